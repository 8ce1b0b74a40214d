//! `GET …/taskInstances` and one of them.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use std::{collections::BTreeSet, sync::Arc};
use updraft_core::{dag::Dag, state::TaskInstanceState};
use updraft_store::query::{
    dag_runs,
    filter::Page,
    task_instances::{self, TiFilter, TiPath, TiRow},
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    dag_not_found,
    dag_runs::{RunPath, run_not_found},
    dag_versions::{DagVersionResponse, JoinedVersion},
    dags,
    params::{CursorPage, Cursors, FromQuery, PathParams, Query, QueryParams},
    wildcard, words,
};
use crate::{App, error::ApiError, time::Timestamp};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(clippy::struct_field_names, reason = "the names of the path's parameters")]
pub(crate) struct TaskPath {
    pub(crate) dag_id: String,
    pub(crate) dag_run_id: String,
    pub(crate) task_id: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct MappedPath {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    map_index: i32,
}

impl TaskPath {
    pub(crate) fn key(&self, map_index: i32) -> TiPath<'_> {
        TiPath { dag_id: &self.dag_id, run_id: &self.dag_run_id, task_id: &self.task_id, map_index }
    }
}

impl MappedPath {
    /// The task, and which of its instances.
    pub(super) fn split(self) -> (TaskPath, i32) {
        let Self { dag_id, dag_run_id, task_id, map_index } = self;
        (TaskPath { dag_id, dag_run_id, task_id }, map_index)
    }

    pub(super) fn key(&self) -> TiPath<'_> {
        let Self { dag_id, dag_run_id, task_id, map_index } = self;
        TiPath { dag_id, run_id: dag_run_id, task_id, map_index: *map_index }
    }
}

pub(crate) struct TisQuery {
    filter: TiFilter,
    task_group_id: Option<String>,
    page: CursorPage,
}

impl FromQuery for TisQuery {
    fn read(query: &mut Query) -> Self {
        let page = query.cursor_page(task_instances::ORDER_BY, &["map_index"]);
        let filter = TiFilter {
            task_id: query.text("task_id"),
            dag_id_pattern: query.pattern("dag_id"),
            run_id_pattern: query.pattern("run_id"),
            task_display_name: query.pattern("task_display_name"),
            ..instance_filter(query)
        };
        Self { filter, task_group_id: query.text("task_group_id"), page }
    }
}

/// Like [`TisQuery`], of one task.
pub(crate) struct MappedQuery {
    filter: TiFilter,
    page: Page,
}

impl FromQuery for MappedQuery {
    fn read(query: &mut Query) -> Self {
        Self { page: query.page(task_instances::ORDER_BY, &["map_index"]), filter: instance_filter(query) }
    }
}

/// The filters that any list of instances has.
fn instance_filter(query: &mut Query) -> TiFilter {
    TiFilter {
        run_after: query.times("run_after"),
        logical_date: query.times("logical_date"),
        start_date: query.times("start_date"),
        end_date: query.times("end_date"),
        updated_at: query.times("updated_at"),
        duration: query.floats("duration"),
        state: states(query),
        pool: query.texts("pool"),
        pool_name: query.pattern("pool_name"),
        queue: query.texts("queue"),
        queue_name: query.pattern("queue_name"),
        version_number: query.small_ints("version_number"),
        try_number: query.small_ints("try_number"),
        operator: query.texts("operator"),
        operator_name: query.pattern("operator_name"),
        map_index: query.small_ints("map_index"),
        rendered_map_index: query.pattern("rendered_map_index"),
        executor: query.texts("executor"),
        ..TiFilter::default()
    }
}

/// `none` and `no_status` name the instances without a state.
fn states(query: &mut Query) -> Vec<String> {
    let valid: Vec<&str> = TaskInstanceState::ALL.iter().filter_map(|state| state.api()).collect();
    let given = query.words("state", &valid, &["none", "no_status"]);
    given.into_iter().map(|word| if word == "no_status" { "none".to_owned() } else { word }).collect()
}

/// What a deferred instance waits with, as Airflow has it. Ours wait with none: the field is null.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, and never sent")]
pub(crate) struct TriggerResponse {
    id: i64,
    classpath: String,
    kwargs: String,
    created_date: Timestamp,
    queue: Option<String>,
    triggerer_id: Option<i64>,
}

/// A task instance.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TaskInstanceResponse {
    /// New for every launch and at every clear.
    pub(super) id: Uuid,
    pub(super) task_id: String,
    pub(super) dag_id: String,
    pub(super) dag_run_id: String,
    pub(super) map_index: i32,
    pub(super) logical_date: Option<Timestamp>,
    pub(super) run_after: Timestamp,
    pub(super) start_date: Option<Timestamp>,
    pub(super) end_date: Option<Timestamp>,
    pub(super) duration: Option<f64>,
    #[schema(value_type = Option<words::TaskInstanceState>)]
    pub(super) state: Option<String>,
    pub(super) try_number: i32,
    pub(super) max_tries: i32,
    pub(super) task_display_name: String,
    pub(super) dag_display_name: String,
    pub(super) hostname: Option<String>,
    pub(super) unixname: Option<String>,
    pub(super) pool: String,
    pub(super) pool_slots: i32,
    pub(super) queue: Option<String>,
    pub(super) priority_weight: Option<i32>,
    pub(super) operator: Option<String>,
    pub(super) operator_name: Option<String>,
    pub(super) queued_when: Option<Timestamp>,
    pub(super) scheduled_when: Option<Timestamp>,
    pub(super) pid: Option<i32>,
    pub(super) executor: Option<String>,
    pub(super) executor_config: String,
    pub(super) note: Option<String>,
    pub(super) rendered_map_index: Option<String>,
    pub(super) rendered_fields: Map<String, Value>,
    #[schema(value_type = Option<TriggerResponse>)]
    pub(super) trigger: Option<Value>,
    #[schema(value_type = Option<super::jobs::JobResponse>)]
    pub(super) triggerer_job: Option<Value>,
    pub(super) dag_version: Option<DagVersionResponse>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TaskInstanceCollectionResponse {
    task_instances: Vec<TaskInstanceResponse>,
    total_entries: Option<i64>,
    total_entries_limit: Option<i64>,
    next_cursor: Option<String>,
    previous_cursor: Option<String>,
}

impl TaskInstanceCollectionResponse {
    /// One page of `total_entries`.
    pub(super) fn page(task_instances: Vec<TaskInstanceResponse>, total_entries: i64, cursors: Cursors) -> Self {
        Self {
            task_instances,
            total_entries: Some(total_entries),
            total_entries_limit: cursors.total_entries_limit,
            next_cursor: cursors.next,
            previous_cursor: cursors.previous,
        }
    }

    /// All there are.
    pub(super) fn complete(task_instances: Vec<TaskInstanceResponse>) -> Self {
        let total = task_instances.len() as i64;
        Self::page(task_instances, total, Cursors::default())
    }
}

/// `airflow.providers.standard.operators.bash.BashOperator` → `BashOperator`.
fn class_name(operator: &str) -> Option<String> {
    let name = operator.rsplit('.').next().unwrap_or(operator);
    (!name.is_empty()).then(|| name.to_owned())
}

fn version(row: &TiRow) -> Option<DagVersionResponse> {
    let version = JoinedVersion {
        dag_id: &row.dag_id,
        dag_display_name: &row.dag_display_name,
        uuid: row.version_uuid,
        version_number: row.version_number,
        created_at: row.version_created_at,
        bundle_name: row.version_bundle_name.as_deref(),
        bundle_version: row.version_bundle_version.as_deref(),
    };
    version.response()
}

/// Airflow's null for "created, nothing decided".
pub(crate) fn state(stored: &str) -> Option<String> {
    (stored != "none").then(|| stored.to_owned())
}

/// Rows with what only the compiled DAG knows; one read for all versions that are not in the cache.
pub(super) async fn respond<T>(
    app: &App,
    connection: &mut PgConnection,
    rows: Vec<TiRow>,
    response: impl Fn(TiRow, Option<&Dag>) -> T,
) -> Result<Vec<T>, ApiError> {
    let versions: BTreeSet<i64> = rows.iter().map(|row| row.dag_version_id).collect();
    let versions: Vec<i64> = versions.into_iter().collect();
    let dags = app.dags.get_many(connection, &versions).await?;
    let response = |row: TiRow| {
        let dag = dags.get(&row.dag_version_id).map(Arc::as_ref);
        response(row, dag)
    };
    Ok(rows.into_iter().map(response).collect())
}

impl TaskInstanceResponse {
    /// `dag`: the compiled form of the run's version.
    pub(super) fn new(mut row: TiRow, dag: Option<&Dag>) -> Self {
        let task = dag.and_then(|dag| dag.task(&row.task_id));
        let rendered_fields = match row.rendered_fields.take() {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        Self {
            id: row.attempt_id,
            logical_date: row.logical_date.map(Into::into),
            run_after: row.run_after.into(),
            rendered_fields,
            trigger: None,
            triggerer_job: None,
            dag_version: version(&row),
            note: row.note,
            rendered_map_index: row.rendered_map_index,
            duration: super::seconds_between(row.start_date, row.end_date),
            state: state(&row.state),
            operator: class_name(&row.operator),
            operator_name: class_name(&row.operator),
            task_display_name: task.map_or_else(|| row.task_id.clone(), |task| task.task_display_name.clone()),
            task_id: row.task_id,
            dag_id: row.dag_id,
            dag_run_id: row.run_id,
            map_index: row.map_index,
            start_date: row.start_date.map(Into::into),
            end_date: row.end_date.map(Into::into),
            try_number: row.try_number,
            max_tries: row.max_tries,
            dag_display_name: row.dag_display_name,
            hostname: Some(row.hostname),
            unixname: None,
            pool: row.pool,
            pool_slots: row.pool_slots,
            queue: Some(row.queue),
            priority_weight: Some(row.priority_weight),
            queued_when: row.queued_dttm.map(Into::into),
            scheduled_when: row.scheduled_dttm.map(Into::into),
            pid: row.pid,
            executor: None,
            executor_config: "{}".to_owned(),
        }
    }
}

/// List task instances; `~` stands for all DAGs and for all runs.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances", tag = "Task Instance",
    params(RunPath, QueryParams<TisQuery>),
    responses((status = 200, body = TaskInstanceCollectionResponse), (status = 400), (status = 404)))]
pub(crate) async fn get_task_instances(
    State(app): State<App>,
    PathParams(path): PathParams<RunPath>,
    QueryParams(query): QueryParams<TisQuery>,
) -> Result<Json<TaskInstanceCollectionResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let mut filter = TiFilter { dag_id: wildcard(&path.dag_id), run_id: wildcard(&path.dag_run_id), ..query.filter };
    if let Some(group_id) = &query.task_group_id {
        filter.task_ids = group_tasks(&app, &mut connection, filter.dag_id.as_deref(), group_id).await?;
    }
    let found = task_instances::page(&mut connection, &filter, &query.page.page).await?;
    if found.rows.is_empty() {
        // An empty answer is worth the look whether what the path names exists at all.
        match (&filter.dag_id, &filter.run_id) {
            (Some(dag_id), Some(run_id)) if dag_runs::get(&mut connection, dag_id, run_id).await?.is_none() => {
                return Err(run_not_found(&path));
            }
            (Some(dag_id), None) if !updraft_store::query::dags::exists(&mut connection, dag_id).await? => {
                return Err(dag_not_found(dag_id));
            }
            _ => {}
        }
    }
    let cursors = query.page.cursors(&app, &found)?;
    let task_instances = respond(&app, &mut connection, found.rows, TaskInstanceResponse::new).await?;
    Ok(Json(TaskInstanceCollectionResponse::page(task_instances, found.total, cursors)))
}

/// One task instance that is not mapped.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}", tag = "Task Instance",
    params(TaskPath), responses((status = 200, body = TaskInstanceResponse), (status = 404)))]
pub(crate) async fn get_task_instance(
    State(app): State<App>,
    PathParams(path): PathParams<TaskPath>,
) -> Result<Json<TaskInstanceResponse>, ApiError> {
    let mut connection = app.connection().await?;
    if let Some(row) = task_instances::get(&mut connection, path.key(-1)).await? {
        return single(&app, &mut connection, row).await;
    }
    if task_instances::is_mapped(&mut connection, &path.dag_id, &path.dag_run_id, &path.task_id).await? {
        let text = "Task instance is mapped, add the map_index value to the URL";
        return Err(ApiError::not_found(text));
    }
    Err(ti_not_found(path.key(-1)))
}

/// One mapped task instance.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}",
    tag = "Task Instance", params(MappedPath),
    responses((status = 200, body = TaskInstanceResponse), (status = 404)))]
pub(crate) async fn get_mapped_task_instance(
    State(app): State<App>,
    PathParams(path): PathParams<MappedPath>,
) -> Result<Json<TaskInstanceResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let row = task_instances::get(&mut connection, path.key()).await?.ok_or_else(|| ti_not_found(path.key()))?;
    single(&app, &mut connection, row).await
}

/// The instances of a mapped task.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/listMapped",
    tag = "Task Instance", params(TaskPath, QueryParams<MappedQuery>),
    responses((status = 200, body = TaskInstanceCollectionResponse), (status = 404)))]
pub(crate) async fn get_mapped_task_instances(
    State(app): State<App>,
    PathParams(path): PathParams<TaskPath>,
    QueryParams(MappedQuery { filter, page }): QueryParams<MappedQuery>,
) -> Result<Json<TaskInstanceCollectionResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let filter = TiFilter {
        dag_id: Some(path.dag_id.clone()),
        run_id: Some(path.dag_run_id.clone()),
        task_ids: vec![path.task_id.clone()],
        only_mapped: true,
        ..filter
    };
    let found = task_instances::page(&mut connection, &filter, &page).await?;
    if found.rows.is_empty() {
        // Of a mapped task that is not expanded, or expands to nothing, the list is empty; of another there is none.
        let row = task_instances::get(&mut connection, path.key(-1)).await?;
        let dag = match &row {
            Some(row) => app.dags.get_many(&mut *connection, &[row.dag_version_id]).await?.into_values().next(),
            None => None,
        };
        let is_mapped = |dag: &Dag| dag.index_of(&path.task_id).is_some_and(|task| dag.mapping(task).is_some());
        let some = task_instances::is_mapped(&mut connection, &path.dag_id, &path.dag_run_id, &path.task_id).await?;
        if !some && !dag.as_deref().is_some_and(is_mapped) {
            return Err(match row {
                Some(_) => ApiError::not_found(format!("Task id {} is not mapped", path.task_id)),
                None => ti_not_found(path.key(-1)),
            });
        }
    }
    let task_instances = respond(&app, &mut connection, found.rows, TaskInstanceResponse::new).await?;
    Ok(Json(TaskInstanceCollectionResponse::page(task_instances, found.total, Cursors::default())))
}

/// The tasks of a group in the latest version of its DAG.
async fn group_tasks(
    app: &App,
    connection: &mut PgConnection,
    dag_id: Option<&str>,
    group_id: &str,
) -> Result<Vec<String>, ApiError> {
    let dag_id = dag_id.ok_or_else(|| {
        ApiError::BadRequest("task_group_id is about one Dag: name it in the path instead of ~".to_owned())
    })?;
    let row = dags::find(connection, dag_id).await?;
    let dag = dags::compiled(app, connection, &row).await?;
    let tasks = dag.as_ref().and_then(|dag| Some((dag, dag.group_tasks(group_id)?)));
    let (dag, tasks) = tasks.ok_or_else(|| ApiError::not_found(format!("Task group {group_id} not found")))?;
    Ok(tasks.into_iter().map(|task| dag.tasks[task].task_id.to_string()).collect())
}

async fn single(app: &App, connection: &mut PgConnection, row: TiRow) -> Result<Json<TaskInstanceResponse>, ApiError> {
    let dag = app.dags.get_many(connection, &[row.dag_version_id]).await?.into_values().next();
    Ok(Json(TaskInstanceResponse::new(row, dag.as_deref())))
}

pub(crate) fn ti_not_found(key: TiPath<'_>) -> ApiError {
    let TiPath { dag_id, run_id, task_id, map_index } = key;
    ApiError::not_found(if map_index < 0 {
        format!("The Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}` and task_id: `{task_id}` was not found")
    } else {
        format!(
            "The Mapped Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}`, task_id: `{task_id}`, and \
             map_index: `{map_index}` was not found"
        )
    })
}
