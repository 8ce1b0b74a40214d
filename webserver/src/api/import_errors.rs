//! `GET /importErrors` and one of them.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use updraft_store::query::{
    filter::Page,
    import_errors::{self, ImportErrorFilter, ImportErrorRow},
};
use utoipa::{IntoParams, ToSchema};

use super::params::{FromQuery, PathParams, Query, QueryParams};
use crate::{App, error::ApiError, time::Timestamp};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ImportErrorPath {
    import_error_id: i64,
}

pub(crate) struct ImportErrorsQuery {
    filter: ImportErrorFilter,
    page: Page,
}

impl FromQuery for ImportErrorsQuery {
    fn read(query: &mut Query) -> Self {
        Self {
            page: query.page(import_errors::ORDER_BY, &["id"]),
            filter: ImportErrorFilter {
                filename_pattern: query.pattern("filename"),
                filename: query.text("filename"),
                bundle_name: query.text("bundle_name"),
            },
        }
    }
}

/// What is wrong with one file, in words.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImportErrorResponse {
    import_error_id: i64,
    timestamp: Timestamp,
    filename: String,
    bundle_name: Option<String>,
    stack_trace: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ImportErrorCollectionResponse {
    import_errors: Vec<ImportErrorResponse>,
    total_entries: i64,
}

impl From<ImportErrorRow> for ImportErrorResponse {
    fn from(row: ImportErrorRow) -> Self {
        Self {
            import_error_id: row.id,
            timestamp: row.timestamp.into(),
            filename: row.filename,
            bundle_name: Some(row.bundle_name),
            stack_trace: row.stacktrace,
        }
    }
}

/// List the files that cannot be read.
#[utoipa::path(get, path = "/importErrors", tag = "Import Error", params(QueryParams<ImportErrorsQuery>),
    responses((status = 200, body = ImportErrorCollectionResponse)))]
pub(crate) async fn get_import_errors(
    State(app): State<App>,
    QueryParams(query): QueryParams<ImportErrorsQuery>,
) -> Result<Json<ImportErrorCollectionResponse>, ApiError> {
    let found = import_errors::page(&mut *app.connection().await?, &query.filter, &query.page).await?;
    let import_errors = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(ImportErrorCollectionResponse { import_errors, total_entries: found.total }))
}

/// One import error.
#[utoipa::path(get, path = "/importErrors/{import_error_id}", tag = "Import Error", params(ImportErrorPath),
    responses((status = 200, body = ImportErrorResponse), (status = 404)))]
pub(crate) async fn get_import_error(
    State(app): State<App>,
    PathParams(path): PathParams<ImportErrorPath>,
) -> Result<Json<ImportErrorResponse>, ApiError> {
    let id = path.import_error_id;
    let row = import_errors::get(&mut *app.connection().await?, id).await?;
    let missing = || ApiError::not_found(format!("The ImportError with import_error_id: `{id}` was not found"));
    Ok(Json(row.ok_or_else(missing)?.into()))
}
