//! `/assets/{asset_id}/state-store`: what is remembered about an asset.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use updraft_store::{
    query::filter::Page,
    state_store::{self, Entry},
};
use utoipa::{IntoParams, ToSchema};

use super::AssetPath;
use crate::{
    App,
    api::{
        note,
        params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams, described},
        task_states::check_key,
        words,
    },
    auth::Principal,
    error::ApiError,
    time::Timestamp,
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AssetStatePath {
    asset_id: i64,
    /// May contain slashes.
    key: String,
}

pub(crate) struct ListQuery(Page);

impl FromQuery for ListQuery {
    fn read(query: &mut Query) -> Self {
        Self(query.window())
    }
}

/// A value as callers write it.
pub(crate) struct AssetStateStoreBody {
    value: Value,
}

described!(AssetStateStoreBody);

impl FromBody for AssetStateStoreBody {
    fn read(body: &mut Body) -> Self {
        Self { value: body.required_json("value") }
    }
}

/// Who wrote a value: always this API, since tasks cannot yet.
#[derive(Serialize, ToSchema)]
pub(crate) struct AssetStateStoreLastUpdatedBy {
    #[schema(value_type = words::StateStoreWriter)]
    kind: &'static str,
    dag_id: Option<String>,
    run_id: Option<String>,
    task_id: Option<String>,
    map_index: Option<i32>,
}

/// A value.
#[derive(Serialize, ToSchema)]
pub(crate) struct AssetStateStoreResponse {
    key: String,
    value: Value,
    updated_at: Timestamp,
    last_updated_by: Option<AssetStateStoreLastUpdatedBy>,
}

impl From<Entry> for AssetStateStoreResponse {
    fn from(entry: Entry) -> Self {
        let by =
            AssetStateStoreLastUpdatedBy { kind: "api", dag_id: None, run_id: None, task_id: None, map_index: None };
        Self { key: entry.key, value: entry.value, updated_at: entry.updated_at.into(), last_updated_by: Some(by) }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AssetStateStoreCollectionResponse {
    asset_state_store: Vec<AssetStateStoreResponse>,
    total_entries: i64,
}

/// List what is remembered about an asset.
#[utoipa::path(get, path = "/assets/{asset_id}/state-store", tag = "Asset State Store",
    params(AssetPath, QueryParams<ListQuery>),
    responses((status = 200, body = AssetStateStoreCollectionResponse), (status = 404)))]
pub(crate) async fn list_asset_state_store(
    State(app): State<App>,
    PathParams(AssetPath { asset_id }): PathParams<AssetPath>,
    QueryParams(ListQuery(page)): QueryParams<ListQuery>,
) -> Result<Json<AssetStateStoreCollectionResponse>, ApiError> {
    let mut connection = app.connection().await?;
    must_exist(&mut connection, asset_id).await?;
    let found = state_store::of_asset(&mut connection, asset_id, &page).await?;
    let asset_state_store = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(AssetStateStoreCollectionResponse { asset_state_store, total_entries: found.total }))
}

/// One value.
#[utoipa::path(get, path = "/assets/{asset_id}/state-store/{*key}", tag = "Asset State Store", params(AssetStatePath),
    responses((status = 200, body = AssetStateStoreResponse), (status = 404)))]
pub(crate) async fn get_asset_state_store(
    State(app): State<App>,
    PathParams(AssetStatePath { asset_id, key }): PathParams<AssetStatePath>,
) -> Result<Json<AssetStateStoreResponse>, ApiError> {
    let mut connection = app.connection().await?;
    must_exist(&mut connection, asset_id).await?;
    let found = state_store::asset_value(&mut connection, asset_id, &key).await?;
    let found = found.ok_or_else(|| ApiError::not_found(format!("Asset state store key '{key}' not found")))?;
    Ok(Json(found.into()))
}

/// Write a value, a new one or over another.
#[utoipa::path(put, path = "/assets/{asset_id}/state-store/{*key}", tag = "Asset State Store", params(AssetStatePath),
    request_body = AssetStateStoreBody, responses((status = 204), (status = 404)))]
pub(crate) async fn set_asset_state_store(
    State(app): State<App>,
    principal: Principal,
    PathParams(AssetStatePath { asset_id, key }): PathParams<AssetStatePath>,
    JsonBody(body): JsonBody<AssetStateStoreBody>,
) -> Result<StatusCode, ApiError> {
    check_key(&key)?;
    let mut transaction = app.store.begin().await?;
    must_exist(&mut transaction, asset_id).await?;
    state_store::put_asset_value(&mut transaction, asset_id, &key, &body.value).await?;
    // Values are not repeated in the audit trail.
    let extra = json!({"asset_id": asset_id, "key": key, "method": "PUT"});
    note(&mut transaction, "set_asset_state_store", &principal, extra).await?;
    app.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Delete a value; nothing happens when there is none.
#[utoipa::path(delete, path = "/assets/{asset_id}/state-store/{*key}", tag = "Asset State Store",
    params(AssetStatePath), responses((status = 204), (status = 404)))]
pub(crate) async fn delete_asset_state_store(
    State(app): State<App>,
    principal: Principal,
    PathParams(AssetStatePath { asset_id, key }): PathParams<AssetStatePath>,
) -> Result<StatusCode, ApiError> {
    delete(&app, &principal, "delete_asset_state_store", asset_id, Some(&key)).await
}

/// Delete all that is remembered about an asset.
#[utoipa::path(delete, path = "/assets/{asset_id}/state-store", tag = "Asset State Store", params(AssetPath),
    responses((status = 204), (status = 404)))]
pub(crate) async fn clear_asset_state_store(
    State(app): State<App>,
    principal: Principal,
    PathParams(AssetPath { asset_id }): PathParams<AssetPath>,
) -> Result<StatusCode, ApiError> {
    delete(&app, &principal, "clear_asset_state_store", asset_id, None).await
}

async fn delete(
    app: &App,
    principal: &Principal,
    event: &str,
    asset_id: i64,
    key: Option<&str>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    must_exist(&mut transaction, asset_id).await?;
    state_store::delete_of_asset(&mut transaction, asset_id, key).await?;
    let extra = json!({"asset_id": asset_id, "key": key, "method": "DELETE"});
    note(&mut transaction, event, principal, extra).await?;
    app.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn must_exist(connection: &mut PgConnection, asset_id: i64) -> Result<(), ApiError> {
    if state_store::asset_exists(connection, asset_id).await? {
        return Ok(());
    }
    Err(ApiError::not_found(format!("Asset with id {asset_id} not found")))
}
