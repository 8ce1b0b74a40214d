//! `POST /dags/{dag_id}/clearDagRuns` and `…/clearPartitions`: many runs at once.
//!
//! No run has a partition (docs/rest-api.md), so a key or a window of partitions selects none; that is an answer, not an
//! error.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use updraft_store::{
    audit,
    query::{
        dag_runs::{self, RunRow},
        dags,
    },
    runs,
};
use utoipa::ToSchema;

use super::{
    bulk_runs::BulkDAGRunBody,
    change_runs::entry,
    clear::{Clear, ClearTaskInstanceCollectionResponse, DAGRunClearBody},
    dag_not_found,
    dag_runs::{DAGRunCollectionResponse, RunPath, run_not_found},
    dag_versions::DagPath,
    params::{Body, FromBody, JsonBody, PathParams, described},
    wildcard,
};
use crate::{App, auth::Principal, error::ApiError};

/// First and last instant of a window of partitions, both inclusive.
type Window = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// Refuses a body that selects in no way, or in two: by what `name` says, by a partition's key, or by a window.
fn check_selection(body: &mut Body, (name, named): (&str, bool), key: Option<&str>, window: Window) {
    let has_window = window.0.is_some() || window.1.is_some();
    if [named, key.is_some(), has_window].into_iter().filter(|&way| way).count() != 1 {
        body.refuse_whole(&format!(
            "Exactly one of {name}, partition_key, or a partition date window (partition_date_start / \
             partition_date_end) must be provided."
        ));
    }
    if window.0.zip(window.1).is_some_and(|(start, end)| start > end) {
        body.refuse_whole("partition_date_start must be on or before partition_date_end.");
    }
}

/// Which runs to clear, and how. By default only says what that would be.
#[derive(Debug)]
pub(crate) struct BulkDAGRunClearBody {
    dag_runs: Vec<BulkDAGRunBody>,
    partition_key: Option<String>,
    /// Inclusive.
    partition_date_start: Option<DateTime<Utc>>,
    /// Inclusive.
    partition_date_end: Option<DateTime<Utc>>,
    dry_run: bool,
    only_failed: bool,
    only_new: bool,
    run_on_latest_version: Option<bool>,
    note: Option<String>,
}

described!(BulkDAGRunClearBody, ClearPartitionsBody);

impl FromBody for BulkDAGRunClearBody {
    fn read(body: &mut Body) -> Self {
        let dag_runs = body.objects_if_any("dag_runs", BulkDAGRunBody::read);
        let DAGRunClearBody { dry_run, only_failed, only_new, run_on_latest_version, note } =
            DAGRunClearBody::read(body);
        let read = Self {
            dag_runs,
            partition_key: body.text("partition_key"),
            partition_date_start: body.time("partition_date_start", true),
            partition_date_end: body.time("partition_date_end", true),
            dry_run,
            only_failed,
            only_new,
            run_on_latest_version,
            note,
        };
        let named = ("dag_runs (non-empty)", !read.dag_runs.is_empty());
        let window = (read.partition_date_start, read.partition_date_end);
        check_selection(body, named, read.partition_key.as_deref(), window);
        read
    }
}

impl BulkDAGRunClearBody {
    /// What is done to each run.
    fn each(self) -> DAGRunClearBody {
        let Self { dry_run, only_failed, only_new, run_on_latest_version, note, .. } = self;
        DAGRunClearBody { dry_run, only_failed, only_new, run_on_latest_version, note }
    }
}

/// Clear many runs of a DAG, or of all (`~`).
#[utoipa::path(post, path = "/dags/{dag_id}/clearDagRuns", tag = "DagRun", params(DagPath),
    request_body = BulkDAGRunClearBody,
    responses((status = 200, body = DAGRunCollectionResponse), (status = 400), (status = 404)))]
pub(crate) async fn clear_dag_runs(
    State(app): State<App>,
    principal: Principal,
    PathParams(DagPath { dag_id }): PathParams<DagPath>,
    JsonBody(body): JsonBody<BulkDAGRunClearBody>,
) -> Result<Response, ApiError> {
    let mut transaction = app.store.begin().await?;
    if let Some(dag_id) = wildcard(&dag_id) {
        check_dag(&mut transaction, &dag_id).await?;
    }
    let paths = body.dag_runs.iter().map(|run| run.path(&dag_id)).collect::<Result<Vec<_>, _>>()?;
    let body = body.each();
    let found = hold(&mut transaction, &paths).await?;
    let mut clear = Clear::of_runs(&app, &principal, &body);
    let mut would = Vec::new();
    for run in &found {
        let cleared = clear.whole(&mut transaction, run, &body).await?;
        if body.dry_run {
            would.append(&mut cleared.respond(&app, &mut transaction).await?);
        } else {
            let extra = cleared.told(&body);
            audit::write(&mut transaction, &entry("clear_dag_runs", &principal, run, extra)).await?;
        }
    }
    if body.dry_run {
        return Ok(Json(ClearTaskInstanceCollectionResponse::new(would)).into_response());
    }
    let keys: Vec<i64> = found.iter().map(|run| run.id).collect();
    let runs = dag_runs::by_keys(&mut transaction, &keys).await?;
    clear.finish(transaction).await?;
    Ok(Json(DAGRunCollectionResponse::complete(runs)).into_response())
}

/// Which runs lose their partition. By default only says how many that would be.
#[derive(Debug)]
pub(crate) struct ClearPartitionsBody {
    run_id: Option<String>,
    /// Clear the task instances of the runs too.
    clear_task_instances: bool,
    dry_run: bool,
    partition_key: Option<String>,
    /// Inclusive.
    partition_date_start: Option<DateTime<Utc>>,
    /// Inclusive.
    partition_date_end: Option<DateTime<Utc>>,
}

impl FromBody for ClearPartitionsBody {
    fn read(body: &mut Body) -> Self {
        let read = Self {
            run_id: body.text("run_id"),
            clear_task_instances: body.flag("clear_task_instances", false),
            dry_run: body.flag("dry_run", true),
            partition_key: body.text("partition_key"),
            partition_date_start: body.time("partition_date_start", true),
            partition_date_end: body.time("partition_date_end", true),
        };
        let window = (read.partition_date_start, read.partition_date_end);
        check_selection(body, ("run_id", read.run_id.is_some()), read.partition_key.as_deref(), window);
        read
    }
}

/// How many were touched, or would be.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClearPartitionsResponse {
    /// Runs that had a partition.
    dag_runs_cleared: i64,
    task_instances_cleared: i64,
    dry_run: bool,
}

/// Take the partitions of runs away.
#[utoipa::path(post, path = "/dags/{dag_id}/clearPartitions", tag = "DagRun", params(DagPath),
    request_body = ClearPartitionsBody,
    responses((status = 200, body = ClearPartitionsResponse), (status = 400), (status = 404)))]
pub(crate) async fn clear_dag_run_partitions(
    State(app): State<App>,
    principal: Principal,
    PathParams(DagPath { dag_id }): PathParams<DagPath>,
    JsonBody(body): JsonBody<ClearPartitionsBody>,
) -> Result<Json<ClearPartitionsResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    check_dag(&mut transaction, &dag_id).await?;
    let path = body.run_id.map(|dag_run_id| RunPath { dag_id: dag_id.clone(), dag_run_id });
    let found = hold(&mut transaction, path.as_slice()).await?;
    let mut clear = Clear::of_runs(&app, &principal, &DAGRunClearBody::whole(body.dry_run));
    let mut task_instances_cleared = 0;
    for run in found.iter().filter(|_| body.clear_task_instances) {
        task_instances_cleared += clear.run(&mut transaction, run.id).await?.len() as i64;
    }
    if !body.dry_run {
        let extra = json!({
            "partition_key": body.partition_key,
            "partition_date_start": body.partition_date_start,
            "partition_date_end": body.partition_date_end,
            "clear_task_instances": body.clear_task_instances, "task_instances_cleared": task_instances_cleared,
        });
        let entry = audit::Entry {
            event: "clear_dag_run_partitions",
            owner: Some(&principal.name),
            dag_id: Some(&dag_id),
            run_id: path.as_ref().map(|path| path.dag_run_id.as_str()),
            extra: Some(extra),
            ..audit::Entry::default()
        };
        audit::write(&mut transaction, &entry).await?;
    }
    clear.finish(transaction).await?;
    Ok(Json(ClearPartitionsResponse { dag_runs_cleared: 0, task_instances_cleared, dry_run: body.dry_run }))
}

async fn check_dag(connection: &mut PgConnection, dag_id: &str) -> Result<(), ApiError> {
    if dags::exists(connection, dag_id).await? { Ok(()) } else { Err(dag_not_found(dag_id)) }
}

/// The runs, locked in the order of their ids, in which they come; 404 for one that does not exist.
async fn hold(connection: &mut PgConnection, paths: &[RunPath]) -> Result<Vec<RunRow>, ApiError> {
    let ids: Vec<(&str, &str)> = paths.iter().map(|path| (path.dag_id.as_str(), path.dag_run_id.as_str())).collect();
    let keys = dag_runs::keys_of(connection, &ids).await?;
    let is_missing = |path: &&RunPath| !keys.contains_key(&(path.dag_id.clone(), path.dag_run_id.clone()));
    if let Some(path) = paths.iter().find(is_missing) {
        return Err(run_not_found(path));
    }
    let keys: Vec<i64> = keys.into_values().collect();
    runs::hold_all(connection, &keys).await?;
    Ok(dag_runs::by_keys(connection, &keys).await?)
}
