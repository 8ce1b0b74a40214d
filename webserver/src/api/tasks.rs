//! `GET /dags/{dag_id}/tasks` and one of them: the tasks of the latest version.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::Duration};
use updraft_core::dag::{Dag, TaskIndex};
use utoipa::{IntoParams, ToSchema};

use super::{
    dag_not_found,
    dag_versions::DagPath,
    dags::{compiled, find},
    params::{FromQuery, PathParams, Query, QueryParams},
};
use crate::{App, error::ApiError, time::Timestamp};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DagTaskPath {
    dag_id: String,
    task_id: String,
}

/// `order_by`: one field of the answer, `-` before it for descending.
pub(crate) struct TasksQuery {
    order_by: String,
}

impl FromQuery for TasksQuery {
    fn read(query: &mut Query) -> Self {
        Self { order_by: query.text_or("order_by", "task_id") }
    }
}

/// A duration, as Airflow writes one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TimeDelta {
    #[serde(rename = "__type")]
    kind: &'static str,
    days: i64,
    seconds: i64,
    microseconds: i64,
}

impl From<Duration> for TimeDelta {
    fn from(duration: Duration) -> Self {
        let seconds = duration.as_secs() as i64;
        Self {
            kind: "TimeDelta",
            days: seconds / 86_400,
            seconds: seconds % 86_400,
            microseconds: i64::from(duration.subsec_micros()),
        }
    }
}

/// A task of a DAG. Numbers are floats, as Airflow has them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TaskResponse {
    task_id: Option<String>,
    task_display_name: Option<String>,
    owner: Option<String>,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
    #[schema(value_type = Option<String>)]
    trigger_rule: Option<Value>,
    depends_on_past: bool,
    wait_for_downstream: bool,
    retries: Option<f64>,
    queue: Option<String>,
    pool: Option<String>,
    pool_slots: Option<f64>,
    execution_timeout: Option<TimeDelta>,
    retry_delay: Option<TimeDelta>,
    retry_exponential_backoff: f64,
    priority_weight: Option<f64>,
    #[schema(value_type = Option<String>)]
    weight_rule: Option<Value>,
    ui_color: Option<&'static str>,
    ui_fgcolor: Option<&'static str>,
    template_fields: Option<Vec<&'static str>>,
    downstream_task_ids: Option<Vec<String>>,
    doc_md: Option<String>,
    operator_name: Option<String>,
    params: Option<Map<String, Value>>,
    class_ref: Option<Map<String, Value>>,
    is_mapped: Option<bool>,
    extra_links: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TaskCollectionResponse {
    tasks: Vec<TaskResponse>,
    total_entries: i64,
}

fn response(dag: &Dag, index: TaskIndex) -> TaskResponse {
    let task = &dag.tasks[index];
    let (module, class) = task.operator_class.rsplit_once('.').unwrap_or(("", &task.operator_class));
    let class_ref = [("module_path", module), ("class_name", class)];
    let params = task.params.iter().map(|(name, value)| {
        (name.clone(), json!({"value": value, "schema": {}, "description": null, "source": "task"}))
    });
    TaskResponse {
        task_id: Some(task.task_id.to_string()),
        task_display_name: Some(task.task_display_name.clone()),
        owner: Some(task.owner.clone()),
        start_date: task.start_date.or(dag.start_date).map(Into::into),
        end_date: task.end_date.or(dag.end_date).map(Into::into),
        trigger_rule: Some(json!(task.trigger_rule)),
        depends_on_past: task.depends_on_past,
        wait_for_downstream: task.wait_for_downstream,
        retries: Some(f64::from(task.retries)),
        queue: Some(task.queue.clone()),
        pool: Some(task.pool.clone()),
        pool_slots: Some(f64::from(task.pool_slots)),
        execution_timeout: task.execution_timeout.map(Into::into),
        retry_delay: Some(task.retry_delay.into()),
        retry_exponential_backoff: task.retry_exponential_backoff,
        priority_weight: Some(f64::from(task.priority_weight)),
        weight_rule: Some(json!(task.weight_rule)),
        // BaseOperator's colours; ours come from the dashboard's theme.
        ui_color: Some("#fff"),
        ui_fgcolor: Some("#000"),
        template_fields: Some(task.operator.template_fields().to_vec()),
        downstream_task_ids: Some(dag.downstream(index).map(|other| dag.tasks[other].task_id.to_string()).collect()),
        doc_md: task.doc_md.clone(),
        operator_name: Some(class.to_owned()),
        params: Some(params.collect()),
        class_ref: Some(class_ref.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect()),
        is_mapped: Some(task.mapping.is_some()),
        extra_links: Vec::new(),
    }
}

/// The tasks of a DAG.
#[utoipa::path(get, path = "/dags/{dag_id}/tasks", tag = "Task", params(DagPath, QueryParams<TasksQuery>),
    responses((status = 200, body = TaskCollectionResponse), (status = 400), (status = 404)))]
pub(crate) async fn get_tasks(
    State(app): State<App>,
    PathParams(DagPath { dag_id }): PathParams<DagPath>,
    QueryParams(query): QueryParams<TasksQuery>,
) -> Result<Json<TaskCollectionResponse>, ApiError> {
    let dag = latest(&app, &dag_id).await?;
    let mut tasks: Vec<TaskResponse> = (0..dag.tasks.len()).map(|index| response(&dag, index)).collect();
    sort(&mut tasks, &query.order_by)?;
    let total_entries = tasks.len() as i64;
    Ok(Json(TaskCollectionResponse { tasks, total_entries }))
}

fn sort(tasks: &mut [TaskResponse], order_by: &str) -> Result<(), ApiError> {
    let (field, descending) = order_by.strip_prefix('-').map_or((order_by, false), |field| (field, true));
    let key = |task: &TaskResponse| match field {
        "task_id" => task.task_id.clone(),
        "task_display_name" => task.task_display_name.clone(),
        "owner" => task.owner.clone(),
        "queue" => task.queue.clone(),
        "pool" => task.pool.clone(),
        "operator_name" => task.operator_name.clone(),
        _ => None,
    };
    match field {
        "task_id" | "task_display_name" | "owner" | "queue" | "pool" | "operator_name" => tasks.sort_by_key(key),
        "start_date" => tasks.sort_by_key(|task| task.start_date.map(|time| time.0)),
        "retries" | "pool_slots" | "priority_weight" => tasks.sort_by(|a, b| {
            let number = |task: &TaskResponse| match field {
                "retries" => task.retries,
                "pool_slots" => task.pool_slots,
                _ => task.priority_weight,
            };
            number(a).unwrap_or_default().total_cmp(&number(b).unwrap_or_default())
        }),
        other => {
            return Err(ApiError::BadRequest(format!("'TaskResponse' object has no attribute '{other}'")));
        }
    }
    if descending {
        tasks.reverse();
    }
    Ok(())
}

/// One task of a DAG.
#[utoipa::path(get, path = "/dags/{dag_id}/tasks/{task_id}", tag = "Task", params(DagTaskPath),
    responses((status = 200, body = TaskResponse), (status = 404)))]
pub(crate) async fn get_task(
    State(app): State<App>,
    PathParams(DagTaskPath { dag_id, task_id }): PathParams<DagTaskPath>,
) -> Result<Json<TaskResponse>, ApiError> {
    let dag = latest(&app, &dag_id).await?;
    let index =
        dag.index_of(&task_id).ok_or_else(|| ApiError::not_found(format!("Task with id {task_id} was not found")))?;
    Ok(Json(response(&dag, index)))
}

async fn latest(app: &App, dag_id: &str) -> Result<Arc<Dag>, ApiError> {
    let mut connection = app.connection().await?;
    let row = find(&mut connection, dag_id).await?;
    compiled(app, &mut connection, &row).await?.ok_or_else(|| dag_not_found(dag_id))
}
