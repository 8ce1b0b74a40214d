//! `GET /eventLogs` and one of them: the audit trail.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use updraft_store::query::{
    event_logs::{self, EventLogFilter, EventLogRow},
    filter::Page,
};
use utoipa::{IntoParams, ToSchema};

use super::params::{FromQuery, PathParams, Query, QueryParams};
use crate::{App, error::ApiError, time::Timestamp};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct EventLogPath {
    event_log_id: i64,
}

pub(crate) struct EventLogsQuery {
    filter: EventLogFilter,
    page: Page,
}

impl FromQuery for EventLogsQuery {
    fn read(query: &mut Query) -> Self {
        Self {
            page: query.page(event_logs::ORDER_BY, &["id"]),
            filter: EventLogFilter {
                dag_id: query.text("dag_id"),
                task_id: query.text("task_id"),
                run_id: query.text("run_id"),
                map_index: query.small_int("map_index"),
                try_number: query.small_int("try_number"),
                owner: query.text("owner"),
                event: query.text("event"),
                included_events: query.texts("included_events"),
                excluded_events: query.texts("excluded_events"),
                before: query.time("before"),
                after: query.time("after"),
                dag_id_pattern: query.pattern("dag_id"),
                task_id_pattern: query.pattern("task_id"),
                run_id_pattern: query.pattern("run_id"),
                owner_pattern: query.pattern("owner"),
                event_pattern: query.pattern("event"),
            },
        }
    }
}

/// Who did what, when.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventLogResponse {
    event_log_id: i64,
    when: Timestamp,
    dag_id: Option<String>,
    task_id: Option<String>,
    run_id: Option<String>,
    map_index: Option<i32>,
    try_number: Option<i32>,
    event: String,
    logical_date: Option<Timestamp>,
    owner: Option<String>,
    extra: Option<String>,
    dag_display_name: Option<String>,
    task_display_name: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct EventLogCollectionResponse {
    event_logs: Vec<EventLogResponse>,
    total_entries: i64,
}

impl From<EventLogRow> for EventLogResponse {
    fn from(row: EventLogRow) -> Self {
        Self {
            event_log_id: row.id,
            when: row.dttm.into(),
            dag_id: row.dag_id,
            task_display_name: row.task_id.clone(),
            task_id: row.task_id,
            run_id: row.run_id,
            map_index: row.map_index,
            try_number: row.try_number,
            event: row.event,
            logical_date: row.logical_date.map(Into::into),
            owner: row.owner,
            extra: row.extra,
            dag_display_name: row.dag_display_name,
        }
    }
}

/// List the audit trail.
#[utoipa::path(get, path = "/eventLogs", tag = "Event Log", params(QueryParams<EventLogsQuery>),
    responses((status = 200, body = EventLogCollectionResponse)))]
pub(crate) async fn get_event_logs(
    State(app): State<App>,
    QueryParams(query): QueryParams<EventLogsQuery>,
) -> Result<Json<EventLogCollectionResponse>, ApiError> {
    let found = event_logs::page(&mut *app.connection().await?, &query.filter, &query.page).await?;
    let event_logs = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(EventLogCollectionResponse { event_logs, total_entries: found.total }))
}

/// One row of the audit trail.
#[utoipa::path(get, path = "/eventLogs/{event_log_id}", tag = "Event Log", params(EventLogPath),
    responses((status = 200, body = EventLogResponse), (status = 404)))]
pub(crate) async fn get_event_log(
    State(app): State<App>,
    PathParams(path): PathParams<EventLogPath>,
) -> Result<Json<EventLogResponse>, ApiError> {
    let id = path.event_log_id;
    let row = event_logs::get(&mut *app.connection().await?, id).await?;
    Ok(Json(row.ok_or_else(|| ApiError::not_found(format!("The Event Log with id: `{id}` not found")))?.into()))
}
