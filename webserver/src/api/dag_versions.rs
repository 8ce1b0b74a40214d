//! `GET /dags/{dag_id}/dagVersions` and one of them.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use updraft_store::query::{
    dags,
    filter::Page,
    versions::{self, VersionFilter, VersionRow},
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    dag_not_found,
    params::{FromQuery, PathParams, Query, QueryParams},
    wildcard,
};
use crate::{App, error::ApiError, time::Timestamp};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DagPath {
    pub(crate) dag_id: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct VersionPath {
    dag_id: String,
    version_number: i32,
}

pub(crate) struct VersionsQuery {
    filter: VersionFilter,
    page: Page,
}

impl FromQuery for VersionsQuery {
    fn read(query: &mut Query) -> Self {
        Self {
            page: query.page(versions::ORDER_BY, &["id"]),
            filter: VersionFilter {
                dag_id: None,
                version_number: query.small_int("version_number"),
                bundle_name: query.text("bundle_name"),
                bundle_version: query.text("bundle_version"),
            },
        }
    }
}

/// One version of a DAG.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DagVersionResponse {
    id: Uuid,
    version_number: i32,
    dag_id: String,
    bundle_name: Option<String>,
    bundle_version: Option<String>,
    created_at: Timestamp,
    dag_display_name: String,
    bundle_url: Option<String>,
}

impl DagVersionResponse {
    /// Where it stands among its DAG's versions.
    pub(super) fn number(&self) -> i32 {
        self.version_number
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DAGVersionCollectionResponse {
    dag_versions: Vec<DagVersionResponse>,
    total_entries: i64,
}

/// The columns of a version as they come with a left join of another entity.
pub(crate) struct JoinedVersion<'a> {
    pub(crate) dag_id: &'a str,
    pub(crate) dag_display_name: &'a str,
    pub(crate) uuid: Option<Uuid>,
    pub(crate) version_number: Option<i32>,
    pub(crate) created_at: Option<DateTime<Utc>>,
    pub(crate) bundle_name: Option<&'a str>,
    pub(crate) bundle_version: Option<&'a str>,
}

impl JoinedVersion<'_> {
    /// `None` where the join found no version.
    pub(crate) fn response(self) -> Option<DagVersionResponse> {
        Some(DagVersionResponse {
            id: self.uuid?,
            version_number: self.version_number?,
            dag_id: self.dag_id.to_owned(),
            bundle_name: self.bundle_name.map(str::to_owned),
            bundle_version: self.bundle_version.map(str::to_owned),
            created_at: self.created_at?.into(),
            dag_display_name: self.dag_display_name.to_owned(),
            bundle_url: None,
        })
    }
}

impl From<VersionRow> for DagVersionResponse {
    fn from(row: VersionRow) -> Self {
        Self {
            id: row.uuid,
            version_number: row.version_number,
            dag_id: row.dag_id,
            bundle_name: Some(row.bundle_name),
            bundle_version: row.bundle_version,
            created_at: row.created_at.into(),
            dag_display_name: row.dag_display_name,
            bundle_url: None,
        }
    }
}

/// The versions of a DAG.
#[utoipa::path(get, path = "/dags/{dag_id}/dagVersions", tag = "DagVersion",
    params(DagPath, QueryParams<VersionsQuery>),
    responses((status = 200, body = DAGVersionCollectionResponse), (status = 404)))]
pub(crate) async fn get_dag_versions(
    State(app): State<App>,
    PathParams(path): PathParams<DagPath>,
    QueryParams(query): QueryParams<VersionsQuery>,
) -> Result<Json<DAGVersionCollectionResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let dag_id = wildcard(&path.dag_id);
    if dag_id.is_some() && !dags::exists(&mut connection, &path.dag_id).await? {
        return Err(dag_not_found(&path.dag_id));
    }
    let filter = VersionFilter { dag_id, ..query.filter };
    let found = versions::page(&mut connection, &filter, &query.page).await?;
    let dag_versions = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(DAGVersionCollectionResponse { dag_versions, total_entries: found.total }))
}

/// One version of a DAG by its number.
#[utoipa::path(get, path = "/dags/{dag_id}/dagVersions/{version_number}", tag = "DagVersion", params(VersionPath),
    responses((status = 200, body = DagVersionResponse), (status = 404)))]
pub(crate) async fn get_dag_version(
    State(app): State<App>,
    PathParams(path): PathParams<VersionPath>,
) -> Result<Json<DagVersionResponse>, ApiError> {
    let VersionPath { dag_id, version_number } = path;
    let mut connection = app.connection().await?;
    let row = versions::get(&mut connection, &dag_id, version_number).await?;
    Ok(Json(row.ok_or_else(|| version_not_found(&dag_id, version_number))?.into()))
}

pub(crate) fn version_not_found(dag_id: &str, version_number: i32) -> ApiError {
    ApiError::not_found(format!(
        "The DagVersion with dag_id: `{dag_id}` and version_number: `{version_number}` was not found"
    ))
}
