//! `/ui/executors`: the nodes, what each has, and whether it takes new work.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use updraft_store::{
    audit, nodes,
    query::executors::{self, ExecutorRow, NodeAttemptRow},
    wake::Signal,
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{App, api::params::PathParams, auth::Principal, error::ApiError, time::Timestamp};

#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct ExecutorPath {
    name: String,
}

/// One node and how much of it is in use.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutorResponse {
    id: i64,
    name: String,
    hostname: String,
    /// `active`, `draining`, `lost` (silent past its lease) or `offline` (it said that it ends).
    state: String,
    /// It is to take no new work; one that is away will drain when it is back.
    is_drained: bool,
    version: String,
    slots: i32,
    /// Attempts placed on it, running or not.
    used: i64,
    weight: i32,
    labels: Value,
    queues: Vec<String>,
    runners: Value,
    stats: Value,
    registered_at: Timestamp,
    last_poll: Timestamp,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutorCollectionResponse {
    executors: Vec<ExecutorResponse>,
    total_entries: i64,
}

/// One node and what it has.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutorDetailsResponse {
    #[serde(flatten)]
    executor: ExecutorResponse,
    attempts: Vec<ExecutorAttemptResponse>,
}

/// A try of a task, or a callback, that a node has.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutorAttemptResponse {
    attempt_id: Uuid,
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    map_index: i32,
    try_number: i32,
    /// `task` or `callback`.
    kind: &'static str,
    /// `placed` (the node has not fetched it), `handed_out` or `running`.
    state: &'static str,
    /// When that began.
    since: Option<Timestamp>,
}

impl From<ExecutorRow> for ExecutorResponse {
    fn from(row: ExecutorRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            hostname: row.hostname,
            state: row.state,
            is_drained: row.is_drained,
            version: row.version,
            slots: row.slots,
            used: row.used,
            weight: row.weight,
            labels: row.labels,
            queues: row.queues,
            runners: row.runners,
            stats: row.stats,
            registered_at: row.registered_at.into(),
            last_poll: row.last_poll_at.into(),
        }
    }
}

impl From<NodeAttemptRow> for ExecutorAttemptResponse {
    fn from(row: NodeAttemptRow) -> Self {
        let (state, since) = match (row.started_at, row.handed_at) {
            (Some(started_at), _) => ("running", Some(started_at)),
            (None, Some(handed_at)) => ("handed_out", Some(handed_at)),
            (None, None) => ("placed", row.placed_at),
        };
        Self {
            attempt_id: row.attempt_id,
            dag_id: row.dag_id,
            dag_run_id: row.run_id,
            task_id: row.task_id,
            map_index: row.map_index,
            try_number: row.try_number,
            kind: if row.is_callback { "callback" } else { "task" },
            state,
            since: since.map(Into::into),
        }
    }
}

/// List the executor nodes.
#[utoipa::path(get, path = "/ui/executors", tag = "Updraft",
    responses((status = 200, body = ExecutorCollectionResponse)))]
pub(crate) async fn get_executors(State(app): State<App>) -> Result<Json<ExecutorCollectionResponse>, ApiError> {
    let rows = executors::of_name(&mut *app.connection().await?, None).await?;
    let total_entries = rows.len() as i64;
    Ok(Json(ExecutorCollectionResponse { executors: rows.into_iter().map(Into::into).collect(), total_entries }))
}

/// One executor node and what it runs.
#[utoipa::path(get, path = "/ui/executors/{name}", tag = "Updraft", params(ExecutorPath),
    responses((status = 200, body = ExecutorDetailsResponse), (status = 404)))]
pub(crate) async fn get_executor(
    State(app): State<App>,
    PathParams(path): PathParams<ExecutorPath>,
) -> Result<Json<ExecutorDetailsResponse>, ApiError> {
    Ok(Json(details(&mut *app.connection().await?, &path.name).await?))
}

/// Give a node no new work, until it is resumed; what it has goes on.
#[utoipa::path(post, path = "/ui/executors/{name}/drain", tag = "Updraft", params(ExecutorPath),
    responses((status = 200, body = ExecutorDetailsResponse), (status = 404)))]
pub(crate) async fn drain_executor(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<ExecutorPath>,
) -> Result<Json<ExecutorDetailsResponse>, ApiError> {
    set_drained(&app, &principal, &path.name, true).await
}

/// Give a drained node work again.
#[utoipa::path(post, path = "/ui/executors/{name}/resume", tag = "Updraft", params(ExecutorPath),
    responses((status = 200, body = ExecutorDetailsResponse), (status = 404)))]
pub(crate) async fn resume_executor(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<ExecutorPath>,
) -> Result<Json<ExecutorDetailsResponse>, ApiError> {
    set_drained(&app, &principal, &path.name, false).await
}

async fn set_drained(
    app: &App,
    principal: &Principal,
    name: &str,
    drained: bool,
) -> Result<Json<ExecutorDetailsResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    let id = nodes::set_drained(&mut transaction, name, drained).await?.ok_or_else(|| missing(name))?;
    let entry = audit::Entry {
        event: if drained { "drain_executor" } else { "resume_executor" },
        owner: Some(&principal.name),
        extra: Some(json!({"name": name})),
        ..audit::Entry::default()
    };
    audit::write(&mut transaction, &entry).await?;
    let answer = details(&mut transaction, name).await?;
    app.commit(transaction).await?;
    app.store.wake().ring(Signal::Executor(id));
    app.store.wake().ring(Signal::Dispatch);
    Ok(Json(answer))
}

async fn details(connection: &mut PgConnection, name: &str) -> Result<ExecutorDetailsResponse, ApiError> {
    let row = executors::of_name(connection, Some(name)).await?.pop().ok_or_else(|| missing(name))?;
    let attempts = executors::attempts(connection, row.id).await?;
    Ok(ExecutorDetailsResponse { executor: row.into(), attempts: attempts.into_iter().map(Into::into).collect() })
}

fn missing(name: &str) -> ApiError {
    ApiError::not_found(format!("There is no executor with the name `{name}`"))
}
