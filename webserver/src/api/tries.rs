//! `GET …/tries` and one of them: every launch of a task instance that counted.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use updraft_core::dag::Dag;
use updraft_store::query::task_instances::{self, TiPath, TiRow};
use utoipa::{IntoParams, ToSchema};

use super::{
    dag_versions::DagVersionResponse,
    params::{FromQuery, PathParams, Query, QueryParams},
    task_instances::{MappedPath, TaskInstanceResponse, TaskPath, respond, ti_not_found},
    words,
};
use crate::{App, error::ApiError, time::Timestamp};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TryPath {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    task_try_number: i32,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct MappedTryPath {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    map_index: i32,
    task_try_number: i32,
}

/// `map_index`, -1 when it is not given.
pub(crate) struct MapIndexQuery(pub(crate) i32);

impl FromQuery for MapIndexQuery {
    fn read(query: &mut Query) -> Self {
        Self(query.small_int_or("map_index", i32::MIN, -1))
    }
}

/// One try of a task instance.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TaskInstanceHistoryResponse {
    task_id: String,
    dag_id: String,
    dag_run_id: String,
    map_index: i32,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
    duration: Option<f64>,
    #[schema(value_type = Option<words::TaskInstanceState>)]
    state: Option<String>,
    try_number: i32,
    max_tries: i32,
    task_display_name: String,
    dag_display_name: String,
    hostname: Option<String>,
    unixname: Option<String>,
    pool: String,
    pool_slots: i32,
    queue: Option<String>,
    priority_weight: Option<i32>,
    operator: Option<String>,
    operator_name: Option<String>,
    queued_when: Option<Timestamp>,
    scheduled_when: Option<Timestamp>,
    pid: Option<i32>,
    executor: Option<String>,
    executor_config: String,
    dag_version: Option<DagVersionResponse>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TaskInstanceHistoryCollectionResponse {
    task_instances: Vec<TaskInstanceHistoryResponse>,
    total_entries: i64,
}

impl TaskInstanceHistoryResponse {
    pub(super) fn new(row: TiRow, dag: Option<&Dag>) -> Self {
        let shared = TaskInstanceResponse::new(row, dag);
        Self {
            task_id: shared.task_id,
            dag_id: shared.dag_id,
            dag_run_id: shared.dag_run_id,
            map_index: shared.map_index,
            start_date: shared.start_date,
            end_date: shared.end_date,
            duration: shared.duration,
            state: shared.state,
            try_number: shared.try_number,
            max_tries: shared.max_tries,
            task_display_name: shared.task_display_name,
            dag_display_name: shared.dag_display_name,
            hostname: shared.hostname,
            unixname: shared.unixname,
            pool: shared.pool,
            pool_slots: shared.pool_slots,
            queue: shared.queue,
            priority_weight: shared.priority_weight,
            operator: shared.operator,
            operator_name: shared.operator_name,
            queued_when: shared.queued_when,
            scheduled_when: shared.scheduled_when,
            pid: shared.pid,
            executor: shared.executor,
            executor_config: shared.executor_config,
            dag_version: shared.dag_version,
        }
    }
}

/// Every try of a task instance.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/tries",
    tag = "Task Instance", params(TaskPath, QueryParams<MapIndexQuery>),
    responses((status = 200, body = TaskInstanceHistoryCollectionResponse), (status = 404)))]
pub(crate) async fn get_task_instance_tries(
    State(app): State<App>,
    PathParams(path): PathParams<TaskPath>,
    QueryParams(MapIndexQuery(map_index)): QueryParams<MapIndexQuery>,
) -> Result<Json<TaskInstanceHistoryCollectionResponse>, ApiError> {
    tries(&app, path.key(map_index)).await
}

/// Every try of a mapped task instance.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/tries",
    tag = "Task Instance", params(MappedPath),
    responses((status = 200, body = TaskInstanceHistoryCollectionResponse), (status = 404)))]
pub(crate) async fn get_mapped_task_instance_tries(
    State(app): State<App>,
    PathParams(path): PathParams<MappedPath>,
) -> Result<Json<TaskInstanceHistoryCollectionResponse>, ApiError> {
    tries(&app, path.key()).await
}

/// One try of a task instance.
#[utoipa::path(get,
    path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/tries/{task_try_number}",
    tag = "Task Instance", params(TryPath, QueryParams<MapIndexQuery>),
    responses((status = 200, body = TaskInstanceHistoryResponse), (status = 404)))]
pub(crate) async fn get_task_instance_try_details(
    State(app): State<App>,
    PathParams(path): PathParams<TryPath>,
    QueryParams(MapIndexQuery(map_index)): QueryParams<MapIndexQuery>,
) -> Result<Json<TaskInstanceHistoryResponse>, ApiError> {
    let TryPath { dag_id, dag_run_id, task_id, task_try_number } = &path;
    one_try(&app, TiPath { dag_id, run_id: dag_run_id, task_id, map_index }, *task_try_number).await
}

/// One try of a mapped task instance.
#[utoipa::path(get,
    path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/tries/{task_try_number}",
    tag = "Task Instance", params(MappedTryPath),
    responses((status = 200, body = TaskInstanceHistoryResponse), (status = 404)))]
pub(crate) async fn get_mapped_task_instance_try_details(
    State(app): State<App>,
    PathParams(path): PathParams<MappedTryPath>,
) -> Result<Json<TaskInstanceHistoryResponse>, ApiError> {
    let MappedTryPath { dag_id, dag_run_id, task_id, map_index, task_try_number } = &path;
    one_try(&app, TiPath { dag_id, run_id: dag_run_id, task_id, map_index: *map_index }, *task_try_number).await
}

async fn tries(app: &App, key: TiPath<'_>) -> Result<Json<TaskInstanceHistoryCollectionResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let rows = task_instances::tries(&mut connection, key).await?;
    if rows.is_empty() {
        return Err(ti_not_found(key));
    }
    let total_entries = rows.len() as i64;
    let task_instances = respond(app, &mut connection, rows, TaskInstanceHistoryResponse::new).await?;
    Ok(Json(TaskInstanceHistoryCollectionResponse { task_instances, total_entries }))
}

async fn one_try(app: &App, key: TiPath<'_>, number: i32) -> Result<Json<TaskInstanceHistoryResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let rows = task_instances::tries(&mut connection, key).await?;
    // A cleared instance keeps the number of its last try until the next begins: the try itself is what is asked for.
    let of_number = rows.into_iter().filter(|row| row.try_number == number);
    let best = of_number.min_by_key(|row| row.state == "none").ok_or_else(|| {
        let TiPath { dag_id, run_id, task_id, map_index } = key;
        ApiError::not_found(format!(
            "The Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}`, task_id: `{task_id}`, \
             try_number: `{number}` and map_index: `{map_index}` was not found"
        ))
    })?;
    let mut found = respond(app, &mut connection, vec![best], TaskInstanceHistoryResponse::new).await?;
    Ok(Json(found.remove(0)))
}
