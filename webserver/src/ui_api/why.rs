//! `GET /ui/why/{dag_id}/{dag_run_id}/{task_id}`: the reasons why a task does not run, as codes.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;
use updraft_store::{
    explain::{self, Why},
    query::task_instances,
};
use utoipa::ToSchema;

use super::reason_json;
use crate::{
    App,
    api::{
        dag_runs::{RunPath, run_not_found},
        params::{PathParams, QueryParams},
        task_instances::{self as api_instances, TaskPath, ti_not_found},
        tries::MapIndexQuery,
    },
    error::ApiError,
};

/// Each reason is an object with a `code` and its parameters beside it; where these do not say it all, also a `message`.
#[derive(Serialize, ToSchema)]
pub(crate) struct WhyResponse {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    state: Option<String>,
    reasons: Vec<Value>,
}

/// Why a task does not run, computed now.
#[utoipa::path(get, path = "/ui/why/{dag_id}/{dag_run_id}/{task_id}", tag = "Updraft", params(TaskPath, ("map_index" = Option<i32>, Query)),
    responses((status = 200, body = WhyResponse), (status = 404)))]
pub(crate) async fn get_why(
    State(app): State<App>,
    PathParams(path): PathParams<TaskPath>,
    QueryParams(MapIndexQuery(map_index)): QueryParams<MapIndexQuery>,
) -> Result<Json<WhyResponse>, ApiError> {
    let TaskPath { dag_id, dag_run_id, task_id } = &path;
    let parallelism = app.config.parallelism;
    let reasons = match explain::why(&app.store, &app.dags, parallelism, dag_id, dag_run_id, task_id, map_index).await?
    {
        Why::Reasons(reasons) => reasons,
        Why::NoTask => return Err(ti_not_found(path.key(map_index))),
        Why::NoRun => {
            return Err(run_not_found(&RunPath { dag_id: path.dag_id, dag_run_id: path.dag_run_id }));
        }
    };
    let row = task_instances::get(&mut *app.connection().await?, path.key(map_index)).await?;
    let reasons = reasons.iter().map(reason_json).collect::<Result<_, _>>()?;
    let state = row.and_then(|row| api_instances::state(&row.state));
    Ok(Json(WhyResponse { dag_id: path.dag_id, dag_run_id: path.dag_run_id, task_id: path.task_id, state, reasons }))
}
