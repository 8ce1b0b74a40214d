//! `GET /dagSources/{dag_id}`: the file's text.

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use updraft_store::query::versions;
use utoipa::ToSchema;

use super::{
    dag_versions::DagPath,
    params::{FromQuery, PathParams, Query, QueryParams},
};
use crate::{App, accept::Format, error::ApiError};

pub(crate) struct SourceQuery {
    version_number: Option<i32>,
}

impl FromQuery for SourceQuery {
    fn read(query: &mut Query) -> Self {
        Self { version_number: query.small_int("version_number") }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DAGSourceResponse {
    content: Option<String>,
    dag_id: String,
    version_number: Option<i32>,
    dag_display_name: String,
}

/// The source of a DAG at a version, JSON or plain text.
#[utoipa::path(get, path = "/dagSources/{dag_id}", tag = "DagSource", params(DagPath, QueryParams<SourceQuery>),
    responses((status = 200, content((DAGSourceResponse = "application/json"), (String = "text/plain"))), (status = 404), (status = 406)))]
pub(crate) async fn get_dag_source(
    State(app): State<App>,
    PathParams(DagPath { dag_id }): PathParams<DagPath>,
    QueryParams(query): QueryParams<SourceQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let format = Format::of(&headers)?;
    let number = query.version_number;
    let row = versions::source(&mut *app.connection().await?, &dag_id, number).await?.ok_or_else(|| {
        let number = number.map_or_else(|| "None".to_owned(), |number| number.to_string());
        ApiError::not_found(format!("The source code of the DAG {dag_id}, version_number {number} was not found"))
    })?;
    Ok(match format {
        Format::Text => row.source.into_response(),
        Format::Json => Json(DAGSourceResponse {
            content: Some(row.source),
            dag_id: row.dag_id,
            version_number: Some(row.version_number),
            dag_display_name: row.dag_display_name,
        })
        .into_response(),
    })
}
