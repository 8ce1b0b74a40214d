//! `GET …/taskInstances/{task_id}[/{map_index}]/dependencies`: why a task instance is not scheduled.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;
use updraft_store::explain::{self, Why};
use utoipa::ToSchema;

use super::{
    dag_runs::{RunPath, run_not_found},
    params::{PathParams, QueryParams},
    task_instances::{MappedPath, TaskPath, ti_not_found},
    tries::MapIndexQuery,
};
use crate::{App, error::ApiError};

/// One thing that is not as it must be.
#[derive(Serialize, ToSchema)]
pub(crate) struct TaskDependencyResponse {
    /// The code of the reason, as `/ui/why` has it.
    name: String,
    reason: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TaskDependencyCollectionResponse {
    dependencies: Vec<TaskDependencyResponse>,
}

/// Why a task instance is not scheduled; nothing when it was.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/dependencies",
    tag = "Task Instance", params(TaskPath, QueryParams<MapIndexQuery>),
    responses((status = 200, body = TaskDependencyCollectionResponse), (status = 404)))]
pub(crate) async fn get_task_instance_dependencies(
    State(app): State<App>,
    PathParams(path): PathParams<TaskPath>,
    QueryParams(MapIndexQuery(map_index)): QueryParams<MapIndexQuery>,
) -> Result<Json<TaskDependencyCollectionResponse>, ApiError> {
    dependencies(&app, path, map_index).await
}

/// Why a mapped task instance is not scheduled; nothing when it was.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/dependencies",
    tag = "Task Instance", params(MappedPath),
    responses((status = 200, body = TaskDependencyCollectionResponse), (status = 404)))]
pub(crate) async fn get_task_instance_dependencies_by_map_index(
    State(app): State<App>,
    PathParams(path): PathParams<MappedPath>,
) -> Result<Json<TaskDependencyCollectionResponse>, ApiError> {
    let (path, map_index) = path.split();
    dependencies(&app, path, map_index).await
}

async fn dependencies(
    app: &App,
    path: TaskPath,
    map_index: i32,
) -> Result<Json<TaskDependencyCollectionResponse>, ApiError> {
    let TaskPath { dag_id, dag_run_id, task_id } = &path;
    let parallelism = app.config.parallelism;
    let reasons = match explain::why(&app.store, &app.dags, parallelism, dag_id, dag_run_id, task_id, map_index).await?
    {
        Why::Reasons(reasons) => reasons,
        Why::NoTask => return Err(ti_not_found(path.key(map_index))),
        Why::NoRun => return Err(run_not_found(&RunPath { dag_id: path.dag_id, dag_run_id: path.dag_run_id })),
    };
    let mut dependencies = Vec::new();
    for reason in reasons {
        // A task that is decided, or on its way, waits for nothing more.
        if let Value::Object(fields) = serde_json::to_value(reason).map_err(ApiError::internal)? {
            let name = fields.get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
            match name.as_str() {
                "no_instance" => return Err(ti_not_found(path.key(map_index))),
                "finished" | "running" => {}
                _ => dependencies.push(TaskDependencyResponse { reason: words(&name, &fields), name }),
            }
        }
    }
    Ok(Json(TaskDependencyCollectionResponse { dependencies }))
}

/// `pool full: pool db, used 5, slots 5`.
fn words(code: &str, parameters: &serde_json::Map<String, Value>) -> String {
    let told: Vec<String> = parameters
        .iter()
        .filter(|(name, _)| *name != "code")
        .map(|(name, value)| {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Array(items) => items
                    .iter()
                    .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                    .collect::<Vec<_>>()
                    .join(", "),
                other => other.to_string(),
            };
            format!("{} {value}", name.replace('_', " "))
        })
        .collect();
    let code = code.replace('_', " ");
    if told.is_empty() { code } else { format!("{code}: {}", told.join(", ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reason_is_its_code_and_parameters_in_words() {
        let parameters = json!({"pool": "db", "used": 5}).as_object().cloned().unwrap_or_default();
        assert_eq!(words("pool_full", &parameters), "pool full: pool db, used 5");
        assert_eq!(words("dag_paused", &serde_json::Map::new()), "dag paused");
    }
}
