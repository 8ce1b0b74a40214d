//! `/api/v2`, one module per screen: query, body, response, handler, from top to bottom.

pub(crate) mod assets;
pub(crate) mod backfills;
pub(crate) mod bulk;
mod bulk_below;
pub(crate) mod bulk_instances;
pub(crate) mod bulk_runs;
pub(crate) mod change_runs;
pub(crate) mod clear;
pub(crate) mod clear_many;
pub(crate) mod config;
pub(crate) mod connection_tests;
pub(crate) mod connections;
pub(crate) mod dag_details;
pub(crate) mod dag_runs;
pub(crate) mod dag_sources;
pub(crate) mod dag_stats;
pub(crate) mod dag_versions;
pub(crate) mod dag_warnings;
pub(crate) mod dags;
pub(crate) mod delete_dag;
pub(crate) mod dependencies;
pub(crate) mod event_logs;
pub(crate) mod favorites;
pub(crate) mod hitl;
pub(crate) mod import_errors;
pub(crate) mod jobs;
pub(crate) mod links;
pub(crate) mod lists;
pub(crate) mod logs;
pub(crate) mod mark;
pub(crate) mod monitor;
pub(crate) mod params;
pub(crate) mod plugins;
pub(crate) mod pools;
pub(crate) mod reparse;
pub(crate) mod task_groups;
pub(crate) mod task_instances;
pub(crate) mod task_states;
pub(crate) mod tasks;
pub(crate) mod tries;
pub(crate) mod trigger;
pub(crate) mod variables;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod words;
pub(crate) mod xcoms;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use updraft_store::audit;

use self::params::Body;
use crate::{auth::Principal, error::ApiError};

/// `~` as a path segment means "all".
fn wildcard(segment: &str) -> Option<String> {
    (segment != "~").then(|| segment.to_owned())
}

/// The 404 of a DAG that a path names.
fn dag_not_found(dag_id: &str) -> ApiError {
    ApiError::not_found(format!("The Dag with ID: `{dag_id}` was not found"))
}

/// Seconds from one instant to another, when both are there.
fn seconds_between(start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> Option<f64> {
    Some((end? - start?).as_seconds_f64())
}

/// The audit row of a change that is about no run. `extra` holds no secret.
pub(crate) async fn note(
    connection: &mut PgConnection,
    event: &str,
    by: &Principal,
    extra: Value,
) -> Result<(), ApiError> {
    let entry = audit::Entry { event, owner: Some(&by.name), extra: Some(extra), ..audit::Entry::default() };
    Ok(audit::write(connection, &entry).await?)
}

/// Characters of a team's name, at most.
const TEAM_LENGTH: usize = 50;

/// Takes `team_name`, which must be null: there are no teams yet (Airflow: `[core] multi_team`).
fn refuse_team(body: &mut Body) {
    if let Some(team) = body.short_text("team_name", TEAM_LENGTH) {
        let msg = "team_name cannot be set when multi_team mode is disabled. Please contact your administrator.";
        body.refuse_value("team_name", team, msg);
    }
}
