//! `…/taskInstances/{task_id}/state-store`: what a task instance remembers through its tries.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use updraft_store::{
    audit,
    query::{filter::Page, task_instances::TiPath},
    state_store::{self, Entry, Expiry},
};
use utoipa::{IntoParams, ToSchema};

use super::{
    params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams, described},
    task_instances::TaskPath,
};
use crate::{App, auth::Principal, error::ApiError, time::Timestamp};

/// How long a value stays whose writer does not say (`[state_store] default_retention_days`), days.
const RETENTION: i32 = 30;
/// Characters of a key, at most.
pub(super) const KEY_LENGTH: usize = 512;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TaskStatePath {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    /// May contain slashes.
    key: String,
}

impl TaskStatePath {
    /// The task, and the key.
    fn split(self) -> (TaskPath, String) {
        let Self { dag_id, dag_run_id, task_id, key } = self;
        (TaskPath { dag_id, dag_run_id, task_id }, key)
    }
}

pub(crate) struct ListQuery {
    map_index: i32,
    page: Page,
}

impl FromQuery for ListQuery {
    fn read(query: &mut Query) -> Self {
        Self { map_index: map_index(query), page: query.window() }
    }
}

pub(crate) struct MapIndexQuery(i32);

impl FromQuery for MapIndexQuery {
    fn read(query: &mut Query) -> Self {
        Self(map_index(query))
    }
}

pub(crate) struct ClearQuery {
    all_map_indices: bool,
    map_index: i32,
}

impl FromQuery for ClearQuery {
    fn read(query: &mut Query) -> Self {
        Self { all_map_indices: query.flag_or("all_map_indices", false), map_index: map_index(query) }
    }
}

fn map_index(query: &mut Query) -> i32 {
    query.small_int_or("map_index", -1, -1)
}

/// A value as callers write it, and when it expires: at an instant, never (`null`), or after 30 days (`default`).
pub(crate) struct TaskStateStoreBody {
    value: Value,
    expires_at: Expiry,
}

described!(TaskStateStoreBody, TaskStateStorePatchBody);

impl FromBody for TaskStateStoreBody {
    fn read(body: &mut Body) -> Self {
        Self { value: body.required_json("value"), expires_at: expiry(body) }
    }
}

fn expiry(body: &mut Body) -> Expiry {
    let at = body.time_or_word("expires_at", "default");
    at.map_or(Expiry::Days(RETENTION), |at| at.map_or(Expiry::Never, Expiry::At))
}

/// What a value becomes.
pub(crate) struct TaskStateStorePatchBody {
    value: Value,
}

impl FromBody for TaskStateStorePatchBody {
    fn read(body: &mut Body) -> Self {
        Self { value: body.required_json("value") }
    }
}

/// A value.
#[derive(Serialize, ToSchema)]
pub(crate) struct TaskStateStoreResponse {
    key: String,
    value: Value,
    updated_at: Timestamp,
    expires_at: Option<Timestamp>,
}

impl From<Entry> for TaskStateStoreResponse {
    fn from(entry: Entry) -> Self {
        let Entry { key, value, updated_at, expires_at } = entry;
        Self { key, value, updated_at: updated_at.into(), expires_at: expires_at.map(|at: DateTime<Utc>| at.into()) }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TaskStateStoreCollectionResponse {
    task_state_store: Vec<TaskStateStoreResponse>,
    total_entries: i64,
}

/// List what a task instance remembers; one that does not exist remembers nothing.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/state-store",
    tag = "Task State Store", params(TaskPath, QueryParams<ListQuery>),
    responses((status = 200, body = TaskStateStoreCollectionResponse)))]
pub(crate) async fn list_task_state_store(
    State(app): State<App>,
    PathParams(path): PathParams<TaskPath>,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<Json<TaskStateStoreCollectionResponse>, ApiError> {
    let found = state_store::of_task(&mut *app.connection().await?, path.key(query.map_index), &query.page).await?;
    let task_state_store = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(TaskStateStoreCollectionResponse { task_state_store, total_entries: found.total }))
}

/// One value.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/state-store/{*key}",
    tag = "Task State Store", params(TaskStatePath, QueryParams<MapIndexQuery>),
    responses((status = 200, body = TaskStateStoreResponse), (status = 404)))]
pub(crate) async fn get_task_state_store(
    State(app): State<App>,
    PathParams(path): PathParams<TaskStatePath>,
    QueryParams(MapIndexQuery(map_index)): QueryParams<MapIndexQuery>,
) -> Result<Json<TaskStateStoreResponse>, ApiError> {
    let (path, key) = path.split();
    let found = state_store::task_value(&mut *app.connection().await?, path.key(map_index), &key).await?;
    Ok(Json(found.ok_or_else(|| no_key(&key))?.into()))
}

/// Write a value, a new one or over another.
#[utoipa::path(put, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/state-store/{*key}",
    tag = "Task State Store", params(TaskStatePath, QueryParams<MapIndexQuery>), request_body = TaskStateStoreBody,
    responses((status = 204), (status = 404)))]
pub(crate) async fn set_task_state_store(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<TaskStatePath>,
    QueryParams(MapIndexQuery(map_index)): QueryParams<MapIndexQuery>,
    JsonBody(body): JsonBody<TaskStateStoreBody>,
) -> Result<StatusCode, ApiError> {
    let (path, key) = path.split();
    check_key(&key)?;
    let mut transaction = app.store.begin().await?;
    let run = hold(&mut transaction, path.key(map_index), false).await?;
    state_store::put_task_value(&mut transaction, run, path.key(map_index), &key, &body.value, body.expires_at).await?;
    let entry = entry("set_task_state_store", "PUT", &principal, path.key(map_index), Some(&key));
    audit::write(&mut transaction, &entry).await?;
    app.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Change a value that is there.
#[utoipa::path(patch, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/state-store/{*key}",
    tag = "Task State Store", params(TaskStatePath, QueryParams<MapIndexQuery>),
    request_body = TaskStateStorePatchBody, responses((status = 200), (status = 404)))]
pub(crate) async fn patch_task_state_store(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<TaskStatePath>,
    QueryParams(MapIndexQuery(map_index)): QueryParams<MapIndexQuery>,
    JsonBody(body): JsonBody<TaskStateStorePatchBody>,
) -> Result<Json<()>, ApiError> {
    let (path, key) = path.split();
    let mut transaction = app.store.begin().await?;
    let run = hold(&mut transaction, path.key(map_index), false).await?;
    if !state_store::change_task_value(&mut transaction, run, path.key(map_index), &key, &body.value).await? {
        return Err(no_key(&key));
    }
    let entry = entry("patch_task_state_store", "PATCH", &principal, path.key(map_index), Some(&key));
    audit::write(&mut transaction, &entry).await?;
    app.commit(transaction).await?;
    Ok(Json(()))
}

/// Delete a value; nothing happens when there is none.
#[utoipa::path(delete, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/state-store/{*key}",
    tag = "Task State Store", params(TaskStatePath, QueryParams<MapIndexQuery>),
    responses((status = 204), (status = 404)))]
pub(crate) async fn delete_task_state_store(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<TaskStatePath>,
    QueryParams(MapIndexQuery(map_index)): QueryParams<MapIndexQuery>,
) -> Result<StatusCode, ApiError> {
    let (path, key) = path.split();
    delete(&app, &principal, "delete_task_state_store", path.key(map_index), Some(&key), false).await
}

/// Delete all that a task instance remembers, or with `all_map_indices` all instances of its task.
#[utoipa::path(delete, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/state-store",
    tag = "Task State Store", params(TaskPath, QueryParams<ClearQuery>), responses((status = 204), (status = 404)))]
pub(crate) async fn clear_task_state_store(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<TaskPath>,
    QueryParams(query): QueryParams<ClearQuery>,
) -> Result<StatusCode, ApiError> {
    let key = path.key(query.map_index);
    delete(&app, &principal, "clear_task_state_store", key, None, query.all_map_indices).await
}

async fn delete(
    app: &App,
    principal: &Principal,
    event: &str,
    path: TiPath<'_>,
    key: Option<&str>,
    any: bool,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    let run = hold(&mut transaction, path, any).await?;
    state_store::delete_of_task(&mut transaction, run, path, key, any).await?;
    audit::write(&mut transaction, &entry(event, "DELETE", principal, path, key)).await?;
    app.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The run of an instance that must exist.
async fn hold(connection: &mut PgConnection, path: TiPath<'_>, any: bool) -> Result<i64, ApiError> {
    state_store::hold_instance(connection, path, any).await?.ok_or_else(|| {
        let TiPath { dag_id, run_id, task_id, map_index } = path;
        let index = if any { "all_map_indices=True".to_owned() } else { format!("map_index={map_index}") };
        let text =
            format!("Task instance not found for dag_id='{dag_id}', run_id='{run_id}', task_id='{task_id}', {index}");
        ApiError::not_found(text)
    })
}

/// Refuses a key that is too long to be one.
pub(super) fn check_key(key: &str) -> Result<(), ApiError> {
    if key.chars().count() <= KEY_LENGTH {
        return Ok(());
    }
    Err(ApiError::InvalidText(format!("key: String should have at most {KEY_LENGTH} characters")))
}

fn no_key(key: &str) -> ApiError {
    ApiError::not_found(format!("Task state store key '{key}' not found"))
}

/// The audit row; values are not repeated in it.
fn entry<'a>(
    event: &'a str,
    method: &str,
    principal: &'a Principal,
    path: TiPath<'a>,
    key: Option<&str>,
) -> audit::Entry<'a> {
    audit::Entry {
        event,
        owner: Some(&principal.name),
        dag_id: Some(path.dag_id),
        run_id: Some(path.run_id),
        task_id: Some(path.task_id),
        map_index: Some(path.map_index),
        extra: Some(json!({"key": key, "method": method})),
        ..audit::Entry::default()
    }
}
