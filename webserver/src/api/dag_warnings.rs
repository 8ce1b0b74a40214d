//! `GET /dagWarnings`: what is odd about DAGs that run nevertheless.

use axum::{Json, extract::State};
use serde::Serialize;
use updraft_store::query::{
    dag_warnings::{self, DagWarningFilter, DagWarningRow},
    filter::Page,
};
use utoipa::ToSchema;

use super::{
    params::{FromQuery, Query, QueryParams},
    words,
};
use crate::{App, error::ApiError, time::Timestamp};

/// `DagWarningType`.
const TYPES: &[&str] = &["asset conflict", "non-existent pool", "runtime varying value"];

pub(crate) struct WarningsQuery {
    filter: DagWarningFilter,
    page: Page,
}

impl FromQuery for WarningsQuery {
    fn read(query: &mut Query) -> Self {
        Self {
            page: query.page(dag_warnings::ORDER_BY, &["dag_id"]),
            filter: DagWarningFilter {
                dag_id: query.text("dag_id"),
                warning_type: query.choice("warning_type", TYPES),
            },
        }
    }
}

/// A warning about a DAG.
#[derive(Serialize, ToSchema)]
pub(crate) struct DAGWarningResponse {
    dag_id: String,
    #[schema(value_type = words::DagWarningType)]
    warning_type: String,
    message: String,
    timestamp: Timestamp,
    dag_display_name: String,
}

impl From<DagWarningRow> for DAGWarningResponse {
    fn from(row: DagWarningRow) -> Self {
        Self {
            dag_id: row.dag_id,
            warning_type: row.warning_type,
            message: row.message,
            timestamp: row.timestamp.into(),
            dag_display_name: row.dag_display_name,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DAGWarningCollectionResponse {
    dag_warnings: Vec<DAGWarningResponse>,
    total_entries: i64,
}

/// List warnings.
#[utoipa::path(get, path = "/dagWarnings", tag = "DagWarning", params(QueryParams<WarningsQuery>),
    responses((status = 200, body = DAGWarningCollectionResponse)))]
pub(crate) async fn list_dag_warnings(
    State(app): State<App>,
    QueryParams(query): QueryParams<WarningsQuery>,
) -> Result<Json<DAGWarningCollectionResponse>, ApiError> {
    let found = dag_warnings::page(&mut *app.connection().await?, &query.filter, &query.page).await?;
    let dag_warnings = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(DAGWarningCollectionResponse { dag_warnings, total_entries: found.total }))
}
