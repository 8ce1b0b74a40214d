//! Making one run with its task instances, and hearing why it cannot be.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use thiserror::Error;
use updraft_core::{
    dag::{Dag, RunRefusal},
    ids::RunId,
    state::DagRunType,
    timetable::{DataInterval, infer_manual_data_interval, run_id},
};

use super::instances::{self, Blueprint, Occasion};
use crate::{StoreError, versions::DagCache};

/// A run to insert, in state `queued`.
#[derive(Clone, Debug)]
pub struct NewRun<'a> {
    pub dag_fk: i64,
    pub dag: &'a Dag,
    pub dag_version_id: i64,
    pub run_type: DagRunType,
    pub run_id: RunId,
    pub logical_date: Option<DateTime<Utc>>,
    pub data_interval: Option<DataInterval>,
    pub run_after: DateTime<Utc>,
    pub conf: Option<&'a Value>,
    pub note: Option<&'a str>,
    /// Airflow's `DagRunTriggeredByType`: `rest_api`, `ui`, `cli`, `timetable`, …
    pub triggered_by: &'a str,
    pub user: Option<&'a str>,
}

/// A run that somebody asks for.
#[derive(Clone, Debug)]
pub struct Trigger<'a> {
    pub dag_id: &'a str,
    /// Checked by the caller (`timetable::check_run_id`); `None`: made from `run_after`.
    pub run_id: Option<RunId>,
    pub logical_date: Option<DateTime<Utc>>,
    /// `None` with a logical date: inferred from the timetable; without one: none.
    pub data_interval: Option<DataInterval>,
    /// `None`: now.
    pub run_after: Option<DateTime<Utc>>,
    pub conf: Option<&'a Value>,
    pub note: Option<&'a str>,
    pub triggered_by: &'a str,
    pub user: Option<&'a str>,
}

/// Why a run cannot be made.
#[derive(Debug, Error)]
pub enum TriggerError {
    #[error("the Dag with ID: `{0}` was not found")]
    DagNotFound(String),
    #[error(transparent)]
    Refused(#[from] RunRefusal),
    /// Includes the violated constraints `dag_run_run_id_key` and `dag_run_logical_date_key`.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Inserts a manual run of the latest version and returns its key. Commit, then ring [`Signal::Dags`](crate::wake::Signal::Dags).
///
/// A paused DAG's run is created and stays queued, as in Airflow.
pub async fn trigger(
    connection: &mut PgConnection,
    dags: &DagCache,
    trigger: &Trigger<'_>,
) -> Result<i64, TriggerError> {
    trigger_as(connection, dags, trigger, DagRunType::Manual).await
}

/// The same for a run of another type.
pub async fn trigger_as(
    connection: &mut PgConnection,
    dags: &DagCache,
    trigger: &Trigger<'_>,
    run_type: DagRunType,
) -> Result<i64, TriggerError> {
    let not_found = || TriggerError::DagNotFound(trigger.dag_id.to_owned());
    let held = hold_dag(connection, trigger.dag_id).await?.ok_or_else(not_found)?;
    let dag = dags.get(&mut *connection, held.version_id).await?;
    trigger_held(connection, &held, &dag, trigger, run_type).await
}

/// A DAG whose latest version stays until the transaction ends.
#[derive(Clone, Copy, Debug)]
pub struct HeldDag {
    dag_fk: i64,
    /// The latest version; its compiled form is for [`trigger_held`].
    pub version_id: i64,
    now: DateTime<Utc>,
}

/// Holds a DAG for a run of it; `None` when there is none of this name whose file is there.
pub async fn hold_dag(connection: &mut PgConnection, dag_id: &str) -> Result<Option<HeldDag>, StoreError> {
    let row = sqlx::query!(
        // Shared with other triggers; the DAG processor must not replace the version between here and the commit.
        r#"select id, latest_version_id, now() as "now!" from dag where dag_id = $1 and not is_stale for share"#,
        dag_id
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.and_then(|row| Some(HeldDag { dag_fk: row.id, version_id: row.latest_version_id?, now: row.now })))
}

/// [`trigger_as`] for a DAG that is held, whose version `dag` is.
pub async fn trigger_held(
    connection: &mut PgConnection,
    held: &HeldDag,
    dag: &Dag,
    trigger: &Trigger<'_>,
    run_type: DagRunType,
) -> Result<i64, TriggerError> {
    dag.may_run(run_type)?;
    let run_after = trigger.run_after.unwrap_or(held.now);
    let data_interval = trigger
        .data_interval
        .or_else(|| trigger.logical_date.map(|date| infer_manual_data_interval(&dag.schedule, date)));
    let new = NewRun {
        dag_fk: held.dag_fk,
        dag,
        dag_version_id: held.version_id,
        run_type,
        run_id: trigger.run_id.clone().unwrap_or_else(|| run_id(run_type, run_after)),
        logical_date: trigger.logical_date,
        data_interval,
        run_after,
        conf: trigger.conf,
        note: trigger.note,
        triggered_by: trigger.triggered_by,
        user: trigger.user,
    };
    Ok(insert(connection, &new).await?)
}

/// Inserts the run, its conf and note, and one task instance per task whose dates include it (semantics §9.5).
///
/// # Errors
/// [`StoreError::Constraint`] when the run id or the logical date exists.
pub(crate) async fn insert(connection: &mut PgConnection, new: &NewRun<'_>) -> Result<i64, StoreError> {
    let id = sqlx::query_scalar!(
        "insert into dag_run (dag_fk, run_id, tag, state, run_type, logical_date, data_interval_start, data_interval_end,
                              run_after, queued_at, triggered_by, triggering_user_name, dag_version_id, bundle_version,
                              bundle_hash)
         select $1, $2, $3, 'queued', $4, $5, $6, $7, $8, now(), $9, $10, $11, v.bundle_version,
                case when v.bundle_version is not null then v.bundle_hash end
         from dag_version v where v.id = $11
         returning id",
        new.dag_fk,
        new.run_id.as_str(),
        rand::random::<i64>(),
        new.run_type.as_str(),
        new.logical_date,
        new.data_interval.map(|interval| interval.start),
        new.data_interval.map(|interval| interval.end),
        new.run_after,
        new.triggered_by,
        new.user,
        new.dag_version_id
    )
    .fetch_one(&mut *connection)
    .await?;
    // A run without one has the empty one.
    if let Some(conf) = new.conf.filter(|conf| conf.as_object().is_none_or(|conf| !conf.is_empty())) {
        sqlx::query!("insert into dag_run_conf (dag_run_id, conf) values ($1, $2)", id, conf)
            .execute(&mut *connection)
            .await?;
    }
    if let Some(note) = new.note {
        sqlx::query!(
            "insert into dag_run_note (dag_run_id, content, user_name) values ($1, $2, $3)",
            id,
            note,
            new.user
        )
        .execute(&mut *connection)
        .await?;
    }
    let occasion = Occasion { dag_run_id: id, run_type: new.run_type, logical_date: new.logical_date };
    instances::insert(connection, &[(occasion, &Blueprint::of(new.dag))]).await?;
    Ok(id)
}
