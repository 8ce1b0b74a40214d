//! `GET …/taskInstances/{task_id}/links` and `…/externalLogUrl/{try_number}`: links out of the deployment, of which there are
//! none.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use updraft_store::query::task_instances::{self, TiPath};
use utoipa::{IntoParams, ToSchema};

use super::{
    params::{FromQuery, PathParams, Query, QueryParams},
    task_instances::{TaskPath, ti_not_found},
};
use crate::{
    App,
    error::{ApiError, FieldError},
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct LogUrlPath {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    try_number: i32,
}

pub(crate) struct LinksQuery {
    map_index: i32,
}

impl FromQuery for LinksQuery {
    fn read(query: &mut Query) -> Self {
        // No try has a link.
        query.small_int("try_number");
        Self { map_index: query.small_int_or("map_index", i32::MIN, -1) }
    }
}

pub(crate) struct LogUrlQuery {
    map_index: i32,
}

impl FromQuery for LogUrlQuery {
    fn read(query: &mut Query) -> Self {
        Self { map_index: query.small_int_or("map_index", i32::MIN, -1) }
    }
}

/// A link's name → where it leads.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct ExtraLinkCollectionResponse {
    extra_links: BTreeMap<String, Option<String>>,
    total_entries: i64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ExternalLogUrlResponse {
    url: String,
}

/// The links that a task's operator gives: no operator of ours gives any.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/links", tag = "Extra Links",
    params(TaskPath, QueryParams<LinksQuery>),
    responses((status = 200, body = ExtraLinkCollectionResponse,
        extensions(("x-without-feature" = json!("links of operators")))), (status = 404)))]
pub(crate) async fn get_extra_links(
    State(app): State<App>,
    PathParams(path): PathParams<TaskPath>,
    QueryParams(query): QueryParams<LinksQuery>,
) -> Result<Json<ExtraLinkCollectionResponse>, ApiError> {
    must_exist(&app, path.key(query.map_index)).await?;
    Ok(Json(ExtraLinkCollectionResponse::default()))
}

/// Where a log is shown outside: nowhere, the logs are here.
#[utoipa::path(get,
    path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/externalLogUrl/{try_number}",
    tag = "Task Instance", params(LogUrlPath, QueryParams<LogUrlQuery>),
    responses((status = 200, body = ExternalLogUrlResponse,
        extensions(("x-without-feature" = json!("logs kept elsewhere")))), (status = 400), (status = 404)))]
pub(crate) async fn get_external_log_url(
    State(app): State<App>,
    PathParams(path): PathParams<LogUrlPath>,
    QueryParams(query): QueryParams<LogUrlQuery>,
) -> Result<Json<ExternalLogUrlResponse>, ApiError> {
    let LogUrlPath { dag_id, dag_run_id, task_id, try_number } = path;
    if try_number < 1 {
        return Err(ApiError::Invalid(vec![FieldError::not_positive("path", "try_number", try_number)]));
    }
    let path = TaskPath { dag_id, dag_run_id, task_id };
    must_exist(&app, path.key(query.map_index)).await?;
    Err(ApiError::BadRequest("Task log handler does not support external logs.".to_owned()))
}

async fn must_exist(app: &App, key: TiPath<'_>) -> Result<(), ApiError> {
    match task_instances::get(&mut *app.connection().await?, key).await? {
        Some(_) => Ok(()),
        None => Err(ti_not_found(key)),
    }
}
