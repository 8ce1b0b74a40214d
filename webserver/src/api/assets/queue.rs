//! `GET | DELETE …/queuedEvents`: what consumers have heard of and made no run of yet.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use updraft_store::{
    assets::{self, Queued},
    audit,
};
use utoipa::{IntoParams, ToSchema};

use super::AssetPath;
use crate::{
    App,
    api::{
        dag_versions::DagPath,
        params::{FromQuery, PathParams, Query, QueryParams},
    },
    auth::Principal,
    error::ApiError,
    time::Timestamp,
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DagAssetPath {
    dag_id: String,
    asset_id: i64,
}

pub(crate) struct QueueQuery {
    before: Option<DateTime<Utc>>,
}

impl FromQuery for QueueQuery {
    fn read(query: &mut Query) -> Self {
        Self { before: query.time("before") }
    }
}

/// That a DAG has heard of an asset.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct QueuedEventResponse {
    dag_id: String,
    asset_id: i64,
    created_at: Timestamp,
    dag_display_name: String,
}

impl From<Queued> for QueuedEventResponse {
    fn from(row: Queued) -> Self {
        Self {
            dag_id: row.dag_id,
            asset_id: row.asset_id,
            created_at: row.created_at.into(),
            dag_display_name: row.dag_display_name,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct QueuedEventCollectionResponse {
    queued_events: Vec<QueuedEventResponse>,
    total_entries: i64,
}

impl From<Vec<Queued>> for QueuedEventCollectionResponse {
    fn from(rows: Vec<Queued>) -> Self {
        Self { total_entries: rows.len() as i64, queued_events: rows.into_iter().map(Into::into).collect() }
    }
}

/// What is queued of an asset.
#[utoipa::path(get, path = "/assets/{asset_id}/queuedEvents", tag = "Asset", params(AssetPath, QueryParams<QueueQuery>),
    responses((status = 200, body = QueuedEventCollectionResponse)))]
pub(crate) async fn get_asset_queued_events(
    State(app): State<App>,
    PathParams(path): PathParams<AssetPath>,
    QueryParams(query): QueryParams<QueueQuery>,
) -> Result<Json<QueuedEventCollectionResponse>, ApiError> {
    let mut connection = app.connection().await?;
    Ok(Json(assets::queued(&mut connection, None, Some(path.asset_id), query.before).await?.into()))
}

/// What is queued for a DAG.
#[utoipa::path(get, path = "/dags/{dag_id}/assets/queuedEvents", tag = "Asset", params(DagPath, QueryParams<QueueQuery>),
    responses((status = 200, body = QueuedEventCollectionResponse)))]
pub(crate) async fn get_dag_asset_queued_events(
    State(app): State<App>,
    PathParams(path): PathParams<DagPath>,
    QueryParams(query): QueryParams<QueueQuery>,
) -> Result<Json<QueuedEventCollectionResponse>, ApiError> {
    let mut connection = app.connection().await?;
    Ok(Json(assets::queued(&mut connection, Some(&path.dag_id), None, query.before).await?.into()))
}

/// What is queued of one asset for one DAG.
#[utoipa::path(get, path = "/dags/{dag_id}/assets/{asset_id}/queuedEvents", tag = "Asset",
    params(DagAssetPath, QueryParams<QueueQuery>),
    responses((status = 200, body = QueuedEventResponse), (status = 404)))]
pub(crate) async fn get_dag_asset_queued_event(
    State(app): State<App>,
    PathParams(path): PathParams<DagAssetPath>,
    QueryParams(query): QueryParams<QueueQuery>,
) -> Result<Json<QueuedEventResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let rows = assets::queued(&mut connection, Some(&path.dag_id), Some(path.asset_id), query.before).await?;
    Ok(Json(rows.into_iter().next().ok_or_else(|| of_both(&path))?.into()))
}

/// Take an asset out of every DAG's queue.
#[utoipa::path(delete, path = "/assets/{asset_id}/queuedEvents", tag = "Asset",
    params(AssetPath, QueryParams<QueueQuery>), responses((status = 204), (status = 404)))]
pub(crate) async fn delete_asset_queued_events(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<AssetPath>,
    QueryParams(query): QueryParams<QueueQuery>,
) -> Result<StatusCode, ApiError> {
    let missing = || ApiError::not_found(format!("Queue event with asset_id: `{}` was not found", path.asset_id));
    dequeue(&app, &principal, "delete_asset_queued_events", None, Some(path.asset_id), query.before, missing).await
}

/// Empty a DAG's queue.
#[utoipa::path(delete, path = "/dags/{dag_id}/assets/queuedEvents", tag = "Asset",
    params(DagPath, QueryParams<QueueQuery>), responses((status = 204), (status = 404)))]
pub(crate) async fn delete_dag_asset_queued_events(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<DagPath>,
    QueryParams(query): QueryParams<QueueQuery>,
) -> Result<StatusCode, ApiError> {
    let missing = || ApiError::not_found(format!("Queue event with dag_id: `{}` was not found", path.dag_id));
    let event = "delete_dag_asset_queued_events";
    dequeue(&app, &principal, event, Some(&path.dag_id), None, query.before, missing).await
}

/// Take one asset out of one DAG's queue.
#[utoipa::path(delete, path = "/dags/{dag_id}/assets/{asset_id}/queuedEvents", tag = "Asset",
    params(DagAssetPath, QueryParams<QueueQuery>), responses((status = 204), (status = 404)))]
pub(crate) async fn delete_dag_asset_queued_event(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<DagAssetPath>,
    QueryParams(query): QueryParams<QueueQuery>,
) -> Result<StatusCode, ApiError> {
    let event = "delete_dag_asset_queued_event";
    let (dag_id, asset_id) = (Some(path.dag_id.as_str()), Some(path.asset_id));
    dequeue(&app, &principal, event, dag_id, asset_id, query.before, || of_both(&path)).await
}

fn of_both(DagAssetPath { dag_id, asset_id }: &DagAssetPath) -> ApiError {
    ApiError::not_found(format!("Queued event with dag_id: `{dag_id}` and asset_id: `{asset_id}` was not found"))
}

async fn dequeue(
    app: &App,
    principal: &Principal,
    event: &str,
    dag_id: Option<&str>,
    asset_id: Option<i64>,
    before: Option<DateTime<Utc>>,
    missing: impl Fn() -> ApiError,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    if assets::dequeue(&mut transaction, dag_id, asset_id, before).await? == 0 {
        return Err(missing());
    }
    let entry = audit::Entry {
        event,
        owner: Some(&principal.name),
        dag_id,
        extra: Some(json!({"asset_id": asset_id, "before": before.map(Timestamp)})),
        ..audit::Entry::default()
    };
    audit::write(&mut transaction, &entry).await?;
    app.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}
