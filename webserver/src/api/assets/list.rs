//! `GET /assets`, `/assets/aliases` and one of each.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use updraft_store::query::{
    assets::{self, AliasRow, AssetFilter, AssetRow, Reference},
    filter::{Page, Pattern},
};
use utoipa::{IntoParams, ToSchema};

use super::{AssetPath, path_not_found};
use crate::{
    App,
    api::params::{FromQuery, PathParams, Query, QueryParams},
    error::ApiError,
    time::Timestamp,
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AliasPath {
    asset_alias_id: i64,
}

pub(crate) struct AssetsQuery {
    filter: AssetFilter,
    page: Page,
}

impl FromQuery for AssetsQuery {
    fn read(query: &mut Query) -> Self {
        Self {
            page: query.page(assets::ORDER_BY, &["id"]),
            filter: AssetFilter {
                name: query.pattern("name"),
                uri: query.pattern("uri"),
                dag_ids: query.texts("dag_ids"),
                only_active: query.flag_or("only_active", true),
            },
        }
    }
}

pub(crate) struct AliasesQuery {
    name: Pattern,
    page: Page,
}

impl FromQuery for AliasesQuery {
    fn read(query: &mut Query) -> Self {
        Self { page: query.page(assets::ALIAS_ORDER_BY, &["id"]), name: query.pattern("name") }
    }
}

/// A DAG that waits for an asset.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DagScheduleAssetReference {
    dag_id: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Reference> for DagScheduleAssetReference {
    fn from(row: Reference) -> Self {
        Self { dag_id: row.dag_id, created_at: row.created_at.into(), updated_at: row.updated_at.into() }
    }
}

/// A task that produces an asset.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TaskOutletAssetReference {
    dag_id: String,
    task_id: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Reference> for TaskOutletAssetReference {
    fn from(row: Reference) -> Self {
        let task_id = row.task_id.unwrap_or_default();
        Self { dag_id: row.dag_id, task_id, created_at: row.created_at.into(), updated_at: row.updated_at.into() }
    }
}

/// A task that reads an asset.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TaskInletAssetReference {
    dag_id: String,
    task_id: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Reference> for TaskInletAssetReference {
    fn from(row: Reference) -> Self {
        let task_id = row.task_id.unwrap_or_default();
        Self { dag_id: row.dag_id, task_id, created_at: row.created_at.into(), updated_at: row.updated_at.into() }
    }
}

/// A name that tasks resolve to assets.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AssetAliasResponse {
    id: i64,
    name: String,
    group: String,
}

impl From<AliasRow> for AssetAliasResponse {
    fn from(row: AliasRow) -> Self {
        Self { id: row.id, name: row.name, group: row.group }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AssetAliasCollectionResponse {
    asset_aliases: Vec<AssetAliasResponse>,
    total_entries: i64,
}

/// Something that waits for events outside; a DAG file has none.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AssetWatcherResponse {
    name: String,
    trigger_id: i64,
    created_date: Timestamp,
}

/// The newest event of an asset.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LastAssetEventResponse {
    #[schema(minimum = 0)]
    id: Option<i64>,
    timestamp: Option<Timestamp>,
}

/// An asset with all that names it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AssetResponse {
    id: i64,
    name: String,
    uri: String,
    group: String,
    #[schema(value_type = Option<Object>)]
    extra: Option<Value>,
    created_at: Timestamp,
    updated_at: Timestamp,
    scheduled_dags: Vec<DagScheduleAssetReference>,
    producing_tasks: Vec<TaskOutletAssetReference>,
    consuming_tasks: Vec<TaskInletAssetReference>,
    aliases: Vec<AssetAliasResponse>,
    watchers: Vec<AssetWatcherResponse>,
    last_asset_event: Option<LastAssetEventResponse>,
}

impl From<AssetRow> for AssetResponse {
    fn from(row: AssetRow) -> Self {
        let timestamp = row.last_event_timestamp.map(Into::into);
        Self {
            id: row.id,
            name: row.name,
            uri: row.uri,
            group: row.group,
            extra: Some(row.extra),
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
            scheduled_dags: row.scheduled_dags.into_iter().map(Into::into).collect(),
            producing_tasks: row.producing_tasks.into_iter().map(Into::into).collect(),
            consuming_tasks: row.consuming_tasks.into_iter().map(Into::into).collect(),
            aliases: row.aliases.into_iter().map(Into::into).collect(),
            watchers: Vec::new(),
            last_asset_event: row.last_event_id.map(|id| LastAssetEventResponse { id: Some(id), timestamp }),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AssetCollectionResponse {
    assets: Vec<AssetResponse>,
    total_entries: i64,
}

/// List assets.
#[utoipa::path(get, path = "/assets", tag = "Asset", params(QueryParams<AssetsQuery>),
    responses((status = 200, body = AssetCollectionResponse)))]
pub(crate) async fn get_assets(
    State(app): State<App>,
    QueryParams(query): QueryParams<AssetsQuery>,
) -> Result<Json<AssetCollectionResponse>, ApiError> {
    let found = assets::page(&mut *app.connection().await?, &query.filter, &query.page).await?;
    let assets = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(AssetCollectionResponse { assets, total_entries: found.total }))
}

/// One asset, active or not.
#[utoipa::path(get, path = "/assets/{asset_id}", tag = "Asset", params(AssetPath),
    responses((status = 200, body = AssetResponse), (status = 404)))]
pub(crate) async fn get_asset(
    State(app): State<App>,
    PathParams(path): PathParams<AssetPath>,
) -> Result<Json<AssetResponse>, ApiError> {
    let row = assets::get(&mut *app.connection().await?, path.asset_id).await?;
    Ok(Json(row.ok_or_else(|| path_not_found(path.asset_id))?.into()))
}

/// List asset aliases.
#[utoipa::path(get, path = "/assets/aliases", tag = "Asset", params(QueryParams<AliasesQuery>),
    responses((status = 200, body = AssetAliasCollectionResponse)))]
pub(crate) async fn get_asset_aliases(
    State(app): State<App>,
    QueryParams(query): QueryParams<AliasesQuery>,
) -> Result<Json<AssetAliasCollectionResponse>, ApiError> {
    let found = assets::aliases(&mut *app.connection().await?, &query.name, &query.page).await?;
    let asset_aliases = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(AssetAliasCollectionResponse { asset_aliases, total_entries: found.total }))
}

/// One asset alias.
#[utoipa::path(get, path = "/assets/aliases/{asset_alias_id}", tag = "Asset", params(AliasPath),
    responses((status = 200, body = AssetAliasResponse), (status = 404)))]
pub(crate) async fn get_asset_alias(
    State(app): State<App>,
    PathParams(path): PathParams<AliasPath>,
) -> Result<Json<AssetAliasResponse>, ApiError> {
    let id = path.asset_alias_id;
    let row = assets::alias(&mut *app.connection().await?, id).await?;
    let missing = || ApiError::not_found(format!("The Asset Alias with ID: `{id}` was not found"));
    Ok(Json(row.ok_or_else(missing)?.into()))
}
