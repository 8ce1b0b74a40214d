//! `PATCH …/taskGroupInstances/{group_id}[/dry_run]`: mark or note the instances of all tasks of a group.

use axum::{Json, extract::State};
use serde::Deserialize;
use sqlx::PgConnection;
use updraft_store::audit;
use utoipa::IntoParams;

use super::{
    dags::{UpdateMask, compiled, find},
    mark::{Marks, Named, PatchTaskInstanceBody, masked},
    params::{JsonBody, PathParams, QueryParams},
    task_instances::{TaskInstanceCollectionResponse, TaskInstanceResponse, respond},
};
use crate::{App, auth::Principal, error::ApiError};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(clippy::struct_field_names, reason = "the names of the path's parameters")]
pub(crate) struct GroupPath {
    pub(super) dag_id: String,
    pub(super) dag_run_id: String,
    pub(super) group_id: String,
}

/// Mark the instances of a group's tasks, or note something about them.
#[utoipa::path(patch, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskGroupInstances/{group_id}",
    tag = "Task Instance", params(GroupPath, QueryParams<UpdateMask>), request_body = PatchTaskInstanceBody,
    responses((status = 200, body = TaskInstanceCollectionResponse), (status = 400), (status = 404), (status = 409)))]
pub(crate) async fn patch_task_group_instances(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<GroupPath>,
    QueryParams(mask): QueryParams<UpdateMask>,
    JsonBody(body): JsonBody<PatchTaskInstanceBody>,
) -> Result<Json<TaskInstanceCollectionResponse>, ApiError> {
    patch(&app, &principal, &path, masked(body, &mask)?, false).await
}

/// Which instances a mark of a group would change.
#[utoipa::path(patch, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskGroupInstances/{group_id}/dry_run",
    tag = "Task Instance", params(GroupPath), request_body = PatchTaskInstanceBody,
    responses((status = 200, body = TaskInstanceCollectionResponse), (status = 400), (status = 404)))]
pub(crate) async fn patch_task_group_instances_dry_run(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<GroupPath>,
    JsonBody(body): JsonBody<PatchTaskInstanceBody>,
) -> Result<Json<TaskInstanceCollectionResponse>, ApiError> {
    patch(&app, &principal, &path, body, true).await
}

async fn patch(
    app: &App,
    principal: &Principal,
    path: &GroupPath,
    body: PatchTaskInstanceBody,
    dry_run: bool,
) -> Result<Json<TaskInstanceCollectionResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    let tasks = tasks(app, &mut transaction, path).await?;
    let named = Named::group(&mut transaction, path, tasks).await?;
    let mut marks = Marks { app, principal, dry_run, outcomes: Vec::new() };
    let rows = marks.apply(&mut transaction, &named, &body).await?;
    let task_instances = respond(app, &mut transaction, rows, TaskInstanceResponse::new).await?;
    if !dry_run {
        let mut extra = body.params();
        extra["group_id"] = path.group_id.as_str().into();
        let entry = named.entry("patch_task_group_instances", principal, extra);
        audit::write(&mut transaction, &entry).await?;
        marks.finish(transaction).await?;
    }
    Ok(Json(TaskInstanceCollectionResponse::complete(task_instances)))
}

/// The tasks of the group and of the groups inside it, in the DAG's latest version, as in Airflow; `None`: it has no such
/// group.
async fn tasks(app: &App, connection: &mut PgConnection, path: &GroupPath) -> Result<Option<Vec<String>>, ApiError> {
    let row = find(connection, &path.dag_id).await?;
    let Some(dag) = compiled(app, connection, &row).await? else { return Ok(None) };
    let tasks = dag.group_tasks(&path.group_id);
    Ok(tasks.map(|tasks| tasks.into_iter().map(|task| dag.tasks[task].task_id.to_string()).collect()))
}
