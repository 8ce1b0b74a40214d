//! `GET /ui/tries/{dag_id}/{dag_run_id}/{task_id}`: how each try of a task was carried out, and why it failed.

use axum::{Json, extract::State};
use serde::Serialize;
use updraft_core::spec::Execution;
use updraft_store::query::task_instances::{self, TiRow};
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        params::{PathParams, QueryParams},
        task_instances::{TaskPath, state, ti_not_found},
        tries::MapIndexQuery,
    },
    error::ApiError,
};

/// One try, with what Airflow's answers have no field for. What is not known is null.
#[derive(Serialize, ToSchema)]
pub(crate) struct TryResponse {
    try_number: i32,
    state: Option<String>,
    /// The node.
    hostname: String,
    pid: Option<i32>,
    exit_code: Option<i64>,
    /// A word of the table of failure classes.
    failure_class: Option<String>,
    failure_reason: Option<String>,
    /// As the task names it.
    image: Option<String>,
    /// `repository@sha256:…` of an image that was pulled, the id of one that was made on the node.
    image_digest: Option<String>,
    container_id: Option<String>,
    /// Templates rendered, secrets masked.
    command: Vec<String>,
    /// The most memory its processes used together. Bytes.
    peak_memory: Option<u64>,
    /// Of a try that failed: the last line of its standard error that says something, without colours.
    last_error: Option<String>,
}

impl From<TiRow> for TryResponse {
    fn from(row: TiRow) -> Self {
        let Execution { image, image_digest, container_id, command, peak_memory, last_error } =
            row.execution.map(|execution| execution.0).unwrap_or_default();
        Self {
            try_number: row.try_number,
            state: state(&row.state),
            hostname: row.hostname,
            pid: row.pid,
            exit_code: row.exit_code,
            failure_class: row.failure_class,
            failure_reason: row.failure_reason,
            image,
            image_digest,
            container_id,
            command,
            peak_memory,
            last_error,
        }
    }
}

/// Every try, the earliest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct TriesResponse {
    tries: Vec<TryResponse>,
}

/// How each try of a task instance was carried out.
#[utoipa::path(get, path = "/ui/tries/{dag_id}/{dag_run_id}/{task_id}", tag = "Updraft", params(TaskPath, ("map_index" = Option<i32>, Query)),
    responses((status = 200, body = TriesResponse), (status = 404)))]
pub(crate) async fn get_tries(
    State(app): State<App>,
    PathParams(path): PathParams<TaskPath>,
    QueryParams(MapIndexQuery(map_index)): QueryParams<MapIndexQuery>,
) -> Result<Json<TriesResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let rows = task_instances::tries(&mut connection, path.key(map_index)).await?;
    if rows.is_empty() {
        return Err(ti_not_found(path.key(map_index)));
    }
    Ok(Json(TriesResponse { tries: rows.into_iter().map(Into::into).collect() }))
}
