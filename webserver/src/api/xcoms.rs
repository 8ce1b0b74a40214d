//! `…/taskInstances/{task_id}/xcomEntries`: list, get, create, change, delete.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use updraft_core::{dag::Dag, template::python_text};
use updraft_store::{
    audit,
    query::{
        dag_runs, dags,
        filter::Page,
        xcoms::{self, XComFilter, XComPath, XComRow},
    },
    xcom::{self, Stored, XComKey},
};
use utoipa::{IntoParams, ToSchema};

use super::{
    dag_not_found,
    params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams, described},
    task_instances::TaskPath,
    wildcard,
};
use crate::{App, auth::Principal, error::ApiError, time::Timestamp};

/// Characters of a key, at most (Airflow's column).
const KEY_LENGTH: usize = 512;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct EntryPath {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    /// May contain slashes.
    xcom_key: String,
}

impl EntryPath {
    fn at(&self, map_index: i32) -> XComPath<'_> {
        let Self { dag_id, dag_run_id, task_id, xcom_key } = self;
        XComPath { dag_id, run_id: dag_run_id, task_id, key: xcom_key, map_index }
    }
}

pub(crate) struct EntriesQuery {
    filter: XComFilter,
    page: Page,
}

const DEFAULT_ORDER: [&str; 5] = ["dag_id", "task_id", "run_id", "map_index", "key"];

impl FromQuery for EntriesQuery {
    fn read(query: &mut Query) -> Self {
        let map_index = query.small_int_from("map_index", -1);
        Self {
            page: query.page(xcoms::ORDER_BY, &DEFAULT_ORDER),
            filter: XComFilter {
                key: query.text("xcom_key"),
                map_index: query.small_int("map_index_filter").or(map_index),
                key_pattern: query.pattern("xcom_key"),
                dag_display_name_pattern: query.pattern("dag_display_name"),
                run_id_pattern: query.pattern("run_id"),
                task_id_pattern: query.pattern("task_id"),
                logical_date: query.times("logical_date"),
                run_after: query.times("run_after"),
                ..XComFilter::default()
            },
        }
    }
}

pub(crate) struct EntryQuery {
    map_index: i32,
    stringify: bool,
}

impl FromQuery for EntryQuery {
    fn read(query: &mut Query) -> Self {
        // Values are JSON; there is nothing else to make of them.
        query.flag_or("deserialize", false);
        Self { map_index: query.small_int_or("map_index", -1, -1), stringify: query.flag_or("stringify", false) }
    }
}

pub(crate) struct MapIndexQuery(i32);

impl FromQuery for MapIndexQuery {
    fn read(query: &mut Query) -> Self {
        Self(query.small_int_or("map_index", -1, -1))
    }
}

/// An XCom as callers push it.
pub(crate) struct XComCreateBody {
    key: String,
    value: Value,
    map_index: i32,
}

described!(XComCreateBody, XComUpdateBody);

impl FromBody for XComCreateBody {
    fn read(body: &mut Body) -> Self {
        body.require("key");
        let key = body.short_text("key", KEY_LENGTH).unwrap_or_default();
        Self { key, value: body.required_json("value"), map_index: body.small_int_or("map_index", -1, -1) }
    }
}

/// What an XCom becomes.
pub(crate) struct XComUpdateBody {
    value: Value,
    map_index: i32,
}

impl FromBody for XComUpdateBody {
    fn read(body: &mut Body) -> Self {
        Self { value: body.required_json("value"), map_index: body.small_int_or("map_index", -1, -1) }
    }
}

/// An XCom without its value.
#[derive(Serialize, ToSchema)]
pub(crate) struct XComResponse {
    key: String,
    timestamp: Timestamp,
    logical_date: Option<Timestamp>,
    map_index: i32,
    task_id: String,
    dag_id: String,
    run_id: String,
    dag_display_name: String,
    task_display_name: String,
    run_after: Timestamp,
}

/// An XCom with its value: JSON, or with `stringify` a text as Python writes it.
#[derive(Serialize, ToSchema)]
pub(crate) struct XComResponseNative {
    #[serde(flatten)]
    entry: XComResponse,
    value: Value,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct XComCollectionResponse {
    xcom_entries: Vec<XComResponse>,
    total_entries: i64,
}

impl XComResponse {
    fn new(row: XComRow, dag: Option<&Dag>) -> Self {
        let task = dag.and_then(|dag| dag.task(&row.task_id));
        Self {
            task_display_name: task.map_or_else(|| row.task_id.clone(), |task| task.task_display_name.clone()),
            key: row.key,
            timestamp: row.timestamp.into(),
            logical_date: row.logical_date.map(Into::into),
            map_index: row.map_index,
            task_id: row.task_id,
            dag_id: row.dag_id,
            run_id: row.run_id,
            dag_display_name: row.dag_display_name,
            run_after: row.run_after.into(),
        }
    }
}

/// List XComs.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries", tag = "XCom",
    params(TaskPath, QueryParams<EntriesQuery>),
    responses((status = 200, body = XComCollectionResponse), (status = 404)))]
pub(crate) async fn get_xcom_entries(
    State(app): State<App>,
    PathParams(path): PathParams<TaskPath>,
    QueryParams(mut query): QueryParams<EntriesQuery>,
) -> Result<Json<XComCollectionResponse>, ApiError> {
    let mut connection = app.connection().await?;
    query.filter.dag_id = wildcard(&path.dag_id);
    query.filter.run_id = wildcard(&path.dag_run_id);
    query.filter.task_id = wildcard(&path.task_id);
    if let Some(dag_id) = &query.filter.dag_id
        && !dags::exists(&mut connection, dag_id).await?
    {
        return Err(dag_not_found(dag_id));
    }
    let found = xcoms::page(&mut connection, &query.filter, &query.page).await?;
    let versions: BTreeSet<i64> = found.rows.iter().map(|row| row.dag_version_id).collect();
    let versions: Vec<i64> = versions.into_iter().collect();
    let compiled: HashMap<i64, Arc<Dag>> = app.dags.get_many(&mut *connection, &versions).await?;
    let response = |row: XComRow| {
        let dag = compiled.get(&row.dag_version_id).map(Arc::as_ref);
        XComResponse::new(row, dag)
    };
    let xcom_entries = found.rows.into_iter().map(response).collect();
    Ok(Json(XComCollectionResponse { xcom_entries, total_entries: found.total }))
}

/// One XCom with its value.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries/{*xcom_key}",
    tag = "XCom", params(EntryPath, QueryParams<EntryQuery>),
    responses((status = 200, body = XComResponseNative), (status = 404)))]
pub(crate) async fn get_xcom_entry(
    State(app): State<App>,
    PathParams(path): PathParams<EntryPath>,
    QueryParams(query): QueryParams<EntryQuery>,
) -> Result<Json<XComResponseNative>, ApiError> {
    let found = read(&app, &mut *app.connection().await?, path.at(query.map_index)).await?;
    let mut response = found.load(&app).await?;
    if query.stringify && !response.value.is_null() {
        response.value = python_text(&response.value).into();
    }
    Ok(Json(response))
}

/// Push an XCom in a task's name.
#[utoipa::path(post, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries", tag = "XCom",
    params(TaskPath), request_body = XComCreateBody,
    responses((status = 201, body = XComResponseNative), (status = 404), (status = 409)))]
pub(crate) async fn create_xcom_entry(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<TaskPath>,
    JsonBody(body): JsonBody<XComCreateBody>,
) -> Result<(StatusCode, Json<XComResponseNative>), ApiError> {
    let TaskPath { dag_id, dag_run_id, task_id } = path;
    let value = xcom::prepare(&app.store, body.value).await?;
    let mut transaction = app.store.begin().await?;
    if !dags::exists(&mut transaction, &dag_id).await? {
        return Err(ApiError::not_found(format!("Dag with ID: `{dag_id}` was not found")));
    }
    let run = dag_runs::get(&mut transaction, &dag_id, &dag_run_id).await?;
    let no_run = || ApiError::not_found(format!("Dag Run with ID: `{dag_run_id}` not found for dag: `{dag_id}`"));
    let run = run.ok_or_else(no_run)?;
    // Held, so that the run is not deleted while something is added to it.
    let version = xcom::hold_run(&mut transaction, run.id).await?.ok_or_else(no_run)?;
    let dag = app.dags.get(&mut *transaction, version).await?;
    if dag.task(&task_id).is_none() {
        return Err(ApiError::not_found(format!("Task with ID: `{task_id}` not found in dag: `{dag_id}`")));
    }
    let path = EntryPath { dag_id, dag_run_id, task_id, xcom_key: body.key };
    let key = XComKey {
        dag_run_id: run.id,
        task_id: path.task_id.clone(),
        map_index: body.map_index,
        key: path.xcom_key.clone(),
    };
    if !xcom::insert(&mut transaction, &key, value).await? {
        return Err(ApiError::Conflict(format!(
            "The XCom with key: `{}` with mentioned task instance already exists.",
            path.xcom_key
        )));
    }
    note(&mut transaction, "create_xcom_entry", &principal, &path, body.map_index, "POST").await?;
    let found = read(&app, &mut transaction, path.at(body.map_index)).await?;
    app.commit(transaction).await?;
    Ok((StatusCode::CREATED, Json(found.load(&app).await?)))
}

/// Change an XCom.
#[utoipa::path(patch, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries/{*xcom_key}",
    tag = "XCom", params(EntryPath), request_body = XComUpdateBody,
    responses((status = 200, body = XComResponseNative), (status = 404)))]
pub(crate) async fn update_xcom_entry(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<EntryPath>,
    JsonBody(body): JsonBody<XComUpdateBody>,
) -> Result<Json<XComResponseNative>, ApiError> {
    let value = xcom::prepare(&app.store, body.value).await?;
    let mut transaction = app.store.begin().await?;
    let key = find(&mut transaction, &path, body.map_index).await?;
    if !xcom::update(&mut transaction, &key, value).await? {
        return Err(missing(&path));
    }
    note(&mut transaction, "update_xcom_entry", &principal, &path, body.map_index, "PATCH").await?;
    let found = read(&app, &mut transaction, path.at(body.map_index)).await?;
    app.commit(transaction).await?;
    Ok(Json(found.load(&app).await?))
}

/// Delete an XCom.
#[utoipa::path(delete, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries/{*xcom_key}",
    tag = "XCom", params(EntryPath, QueryParams<MapIndexQuery>), responses((status = 204), (status = 404)))]
pub(crate) async fn delete_xcom_entry(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<EntryPath>,
    QueryParams(MapIndexQuery(map_index)): QueryParams<MapIndexQuery>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    let key = find(&mut transaction, &path, map_index).await?;
    if !xcom::delete(&mut transaction, &key).await? {
        return Err(missing(&path));
    }
    note(&mut transaction, "delete_xcom_entry", &principal, &path, map_index, "DELETE").await?;
    app.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An XCom whose value may still have to be loaded.
struct Found {
    entry: XComResponse,
    value: Stored,
}

impl Found {
    /// With its value; no connection is held meanwhile.
    async fn load(self, app: &App) -> Result<XComResponseNative, ApiError> {
        Ok(XComResponseNative { value: self.value.load(&app.store.sources().objects).await?, entry: self.entry })
    }
}

async fn read(app: &App, connection: &mut PgConnection, path: XComPath<'_>) -> Result<Found, ApiError> {
    let gone = || ApiError::not_found(format!("XCom entry with key: `{}` not found", path.key));
    let row = xcoms::get(connection, path).await?.ok_or_else(gone)?;
    let value = xcom::stored(connection, &key_of(&row)).await?.ok_or_else(gone)?;
    let dag = app.dags.get_many(&mut *connection, &[row.dag_version_id]).await?.into_values().next();
    Ok(Found { entry: XComResponse::new(row, dag.as_deref()), value })
}

async fn find(connection: &mut PgConnection, path: &EntryPath, map_index: i32) -> Result<XComKey, ApiError> {
    let row = xcoms::get(connection, path.at(map_index)).await?;
    row.as_ref().map(key_of).ok_or_else(|| missing(path))
}

fn key_of(row: &XComRow) -> XComKey {
    let (task_id, key) = (row.task_id.clone(), row.key.clone());
    XComKey { dag_run_id: row.dag_run_id, task_id, map_index: row.map_index, key }
}

fn missing(path: &EntryPath) -> ApiError {
    ApiError::not_found(format!("The XCom with key: `{}` with mentioned task instance doesn't exist.", path.xcom_key))
}

/// The audit row; values are not repeated in it.
async fn note(
    connection: &mut PgConnection,
    event: &str,
    principal: &Principal,
    path: &EntryPath,
    map_index: i32,
    method: &str,
) -> Result<(), ApiError> {
    let entry = audit::Entry {
        event,
        owner: Some(&principal.name),
        dag_id: Some(&path.dag_id),
        run_id: Some(&path.dag_run_id),
        task_id: Some(&path.task_id),
        map_index: Some(map_index),
        extra: Some(json!({"xcom_key": path.xcom_key, "method": method})),
        ..audit::Entry::default()
    };
    Ok(audit::write(connection, &entry).await?)
}
