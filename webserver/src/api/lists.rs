//! `POST …/dagRuns/list` and `POST …/taskInstances/list`: the lists, with their filters in a body.

use axum::{Json, extract::State};
use updraft_core::state::{DagRunState, TaskInstanceState};
use updraft_store::query::{
    dag_runs::{self, RunFilter},
    filter::Page,
    task_instances::{self, TiFilter},
};

use super::{
    dag_runs::{DAGRunCollectionResponse, RunPath},
    dag_versions::DagPath,
    params::{Body, FromBody, JsonBody, PathParams, described},
    task_instances::{TaskInstanceCollectionResponse, TaskInstanceResponse, respond},
};
use crate::{App, error::ApiError};

/// Rows of a batch list when the body does not say.
const PAGE_LIMIT: i64 = 100;

/// Filters of a batch list of runs; all optional.
pub(crate) struct DAGRunsBatchBody {
    filter: RunFilter,
    page: Page,
}

described!(DAGRunsBatchBody, TaskInstancesBatchBody);

impl FromBody for DAGRunsBatchBody {
    fn read(body: &mut Body) -> Self {
        let states: Vec<&str> = DagRunState::ALL.iter().map(|state| state.as_str()).collect();
        Self {
            page: body.page(dag_runs::ORDER_BY, "id", PAGE_LIMIT),
            filter: RunFilter {
                dag_ids: body.texts("dag_ids"),
                state: body.words("states", &states),
                run_after: body.times("run_after"),
                logical_date: body.times("logical_date"),
                start_date: body.times("start_date"),
                end_date: body.times("end_date"),
                duration: body.floats("duration"),
                conf_contains: body.text("conf_contains"),
                ..RunFilter::default()
            },
        }
    }
}

/// Filters of a batch list of task instances; all optional.
pub(crate) struct TaskInstancesBatchBody {
    filter: TiFilter,
    page: Page,
}

impl FromBody for TaskInstancesBatchBody {
    fn read(body: &mut Body) -> Self {
        let states: Vec<&str> = TaskInstanceState::ALL.iter().filter_map(|state| state.api()).collect();
        let filter = TiFilter {
            dag_ids: body.texts("dag_ids"),
            run_ids: body.texts("dag_run_ids"),
            task_ids: body.texts("task_ids"),
            state: body.words("state", &states),
            run_after: body.times("run_after"),
            logical_date: body.times("logical_date"),
            start_date: body.times("start_date"),
            end_date: body.times("end_date"),
            duration: body.floats("duration"),
            pool: body.texts("pool"),
            queue: body.texts("queue"),
            executor: body.texts("executor"),
            ..TiFilter::default()
        };
        Self { page: body.page(task_instances::ORDER_BY, "id", PAGE_LIMIT), filter }
    }
}

/// List the runs of all DAGs by a body.
#[utoipa::path(post, path = "/dags/{dag_id}/dagRuns/list", tag = "DagRun", params(DagPath),
    request_body = DAGRunsBatchBody, responses((status = 200, body = DAGRunCollectionResponse), (status = 400), (status = 404)))]
pub(crate) async fn get_list_dag_runs_batch(
    State(app): State<App>,
    PathParams(path): PathParams<DagPath>,
    JsonBody(body): JsonBody<DAGRunsBatchBody>,
) -> Result<Json<DAGRunCollectionResponse>, ApiError> {
    only_wildcard("dag_id", &path.dag_id)?;
    let found = dag_runs::page(&mut *app.connection().await?, &body.filter, &cut(&app, body.page)).await?;
    Ok(Json(DAGRunCollectionResponse::new(found, super::params::Cursors::default())))
}

/// List the task instances of all runs of all DAGs by a body.
#[utoipa::path(post, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/list", tag = "Task Instance",
    params(RunPath), request_body = TaskInstancesBatchBody,
    responses((status = 200, body = TaskInstanceCollectionResponse), (status = 400), (status = 404)))]
pub(crate) async fn get_task_instances_batch(
    State(app): State<App>,
    PathParams(path): PathParams<RunPath>,
    JsonBody(body): JsonBody<TaskInstancesBatchBody>,
) -> Result<Json<TaskInstanceCollectionResponse>, ApiError> {
    only_wildcard("dag_id", &path.dag_id)?;
    only_wildcard("dag_run_id", &path.dag_run_id)?;
    let mut connection = app.connection().await?;
    let found = task_instances::page(&mut connection, &body.filter, &cut(&app, body.page)).await?;
    let task_instances = respond(&app, &mut connection, found.rows, TaskInstanceResponse::new).await?;
    Ok(Json(TaskInstanceCollectionResponse::page(task_instances, found.total, super::params::Cursors::default())))
}

fn only_wildcard(name: &str, segment: &str) -> Result<(), ApiError> {
    if segment == "~" {
        return Ok(());
    }
    Err(ApiError::InvalidText(format!("{name}: Input should be '~'")))
}

/// As large as pages may be, with the totals that are known.
fn cut(app: &App, page: Page) -> Page {
    Page { limit: page.limit.min(app.config.maximum_page_limit), totals: app.totals.clone(), ..page }
}
