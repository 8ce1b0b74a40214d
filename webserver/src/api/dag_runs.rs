//! `GET /dags/{dag_id}/dagRuns` and one of them.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use updraft_core::state::DagRunType;
use updraft_store::query::{
    dag_runs::{self, RunFilter, RunRow},
    dags,
    filter::{Listing, Range},
};
use utoipa::{IntoParams, ToSchema};

use super::{
    dag_not_found,
    dag_versions::{DagPath, DagVersionResponse, JoinedVersion},
    dags::run_states,
    params::{CursorPage, Cursors, FromQuery, PathParams, Query, QueryParams},
    wildcard, words,
};
use crate::{App, error::ApiError, time::Timestamp};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RunPath {
    pub(crate) dag_id: String,
    pub(crate) dag_run_id: String,
}

pub(crate) struct RunsQuery {
    filter: RunFilter,
    page: CursorPage,
}

impl FromQuery for RunsQuery {
    fn read(query: &mut Query) -> Self {
        let run_types: Vec<&str> = DagRunType::ALL.iter().map(|kind| kind.as_str()).collect();
        Self {
            page: query.cursor_page(dag_runs::ORDER_BY, &["id"]),
            filter: RunFilter {
                dag_id: None,
                dag_ids: Vec::new(),
                dag_id_pattern: query.pattern("dag_id"),
                run_id: query.pattern("run_id"),
                triggering_user_name: query.pattern("triggering_user_name"),
                run_after: query.times("run_after"),
                logical_date: query.times("logical_date"),
                start_date: query.times("start_date"),
                end_date: query.times("end_date"),
                updated_at: query.times("updated_at"),
                duration: query.floats("duration"),
                run_type: query.words("run_type", &run_types, &[]),
                // `none` names no run: a run always has a state.
                state: query.words("state", &run_states(), &["none"]),
                dag_version: query.small_ints("dag_version"),
                bundle_version: query.text("bundle_version"),
                conf_contains: query.text("conf_contains"),
                partition_key: query.pattern("partition_key"),
                partition_date: Range {
                    gte: query.date("partition_date_gte"),
                    lte: query.date("partition_date_lte"),
                    ..Range::default()
                },
                consuming_asset: query.text("consuming_asset_pattern"),
            },
        }
    }
}

/// A DAG run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DAGRunResponse {
    dag_run_id: String,
    dag_id: String,
    logical_date: Option<Timestamp>,
    queued_at: Option<Timestamp>,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
    /// Seconds, once it ended.
    duration: Option<f64>,
    data_interval_start: Option<Timestamp>,
    data_interval_end: Option<Timestamp>,
    run_after: Timestamp,
    last_scheduling_decision: Option<Timestamp>,
    #[schema(value_type = words::DagRunType)]
    run_type: String,
    #[schema(value_type = words::DagRunState)]
    state: String,
    #[schema(value_type = Option<words::DagRunTriggeredByType>)]
    triggered_by: Option<String>,
    triggering_user_name: Option<String>,
    #[schema(value_type = Option<Object>)]
    conf: Option<Value>,
    note: Option<String>,
    dag_versions: Vec<DagVersionResponse>,
    bundle_version: Option<String>,
    dag_display_name: String,
    partition_key: Option<String>,
    partition_date: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DAGRunCollectionResponse {
    dag_runs: Vec<DAGRunResponse>,
    total_entries: Option<i64>,
    total_entries_limit: Option<i64>,
    next_cursor: Option<String>,
    previous_cursor: Option<String>,
}

impl DAGRunCollectionResponse {
    /// All that was asked for, without paging.
    pub(super) fn complete(rows: Vec<RunRow>) -> Self {
        Self {
            total_entries: Some(rows.len() as i64),
            dag_runs: rows.into_iter().map(Into::into).collect(),
            total_entries_limit: None,
            next_cursor: None,
            previous_cursor: None,
        }
    }

    pub(super) fn new(found: Listing<RunRow>, cursors: Cursors) -> Self {
        Self {
            dag_runs: found.rows.into_iter().map(Into::into).collect(),
            total_entries: Some(found.total),
            total_entries_limit: cursors.total_entries_limit,
            next_cursor: cursors.next,
            previous_cursor: cursors.previous,
        }
    }
}

impl From<RunRow> for DAGRunResponse {
    fn from(row: RunRow) -> Self {
        let version = JoinedVersion {
            dag_id: &row.dag_id,
            dag_display_name: &row.dag_display_name,
            uuid: row.version_uuid,
            version_number: row.version_number,
            created_at: row.version_created_at,
            bundle_name: row.version_bundle_name.as_deref(),
            bundle_version: row.version_bundle_version.as_deref(),
        };
        let others = row.other_versions.iter().filter_map(|other| {
            let version = JoinedVersion {
                dag_id: &row.dag_id,
                dag_display_name: &row.dag_display_name,
                uuid: Some(other.uuid),
                version_number: Some(other.version_number),
                created_at: Some(other.created_at),
                bundle_name: Some(&other.bundle_name),
                bundle_version: other.bundle_version.as_deref(),
            };
            version.response()
        });
        let mut dag_versions: Vec<DagVersionResponse> = others.chain(version.response()).collect();
        dag_versions.sort_by_key(DagVersionResponse::number);
        Self {
            dag_versions,
            duration: super::seconds_between(row.start_date, row.end_date),
            dag_run_id: row.run_id,
            dag_id: row.dag_id,
            logical_date: row.logical_date.map(Into::into),
            queued_at: row.queued_at.map(Into::into),
            start_date: row.start_date.map(Into::into),
            end_date: row.end_date.map(Into::into),
            data_interval_start: row.data_interval_start.map(Into::into),
            data_interval_end: row.data_interval_end.map(Into::into),
            run_after: row.run_after.into(),
            last_scheduling_decision: row.last_scheduling_decision.map(Into::into),
            run_type: row.run_type,
            state: row.state,
            triggered_by: row.triggered_by,
            triggering_user_name: row.triggering_user_name,
            conf: Some(row.conf.unwrap_or_else(|| Value::Object(serde_json::Map::new()))),
            note: row.note,
            bundle_version: row.bundle_version,
            dag_display_name: row.dag_display_name,
            partition_key: None,
            partition_date: None,
        }
    }
}

/// List the runs of a DAG, or of all (`~`).
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns", tag = "DagRun", params(DagPath, QueryParams<RunsQuery>),
    responses((status = 200, body = DAGRunCollectionResponse), (status = 400), (status = 404)))]
pub(crate) async fn get_dag_runs(
    State(app): State<App>,
    PathParams(path): PathParams<DagPath>,
    QueryParams(query): QueryParams<RunsQuery>,
) -> Result<Json<DAGRunCollectionResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let filter = RunFilter { dag_id: wildcard(&path.dag_id), ..query.filter };
    let found = dag_runs::page(&mut connection, &filter, &query.page.page).await?;
    if found.rows.is_empty() && filter.dag_id.is_some() && !dags::exists(&mut connection, &path.dag_id).await? {
        return Err(dag_not_found(&path.dag_id));
    }
    let cursors = query.page.cursors(&app, &found)?;
    Ok(Json(DAGRunCollectionResponse::new(found, cursors)))
}

/// One DAG run.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}", tag = "DagRun", params(RunPath),
    responses((status = 200, body = DAGRunResponse), (status = 404)))]
pub(crate) async fn get_dag_run(
    State(app): State<App>,
    PathParams(path): PathParams<RunPath>,
) -> Result<Json<DAGRunResponse>, ApiError> {
    let row = dag_runs::get(&mut *app.connection().await?, &path.dag_id, &path.dag_run_id).await?;
    Ok(Json(row.ok_or_else(|| run_not_found(&path))?.into()))
}

pub(crate) fn run_not_found(path: &RunPath) -> ApiError {
    let RunPath { dag_id, dag_run_id } = path;
    ApiError::not_found(format!("The DagRun with dag_id: `{dag_id}` and run_id: `{dag_run_id}` was not found"))
}
