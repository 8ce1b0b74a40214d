//! `GET /eventLogs` and one of them: the audit trail.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use updraft_core::dag::Dag;
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

impl EventLogResponse {
    /// `dag`: the compiled form of the latest version of the row's DAG, if there is one.
    fn new(row: EventLogRow, dag: Option<&Dag>) -> Self {
        let task = row.task_id.as_deref().and_then(|task_id| dag?.task(task_id));
        Self {
            task_display_name: task.map(|task| task.task_display_name.clone()),
            event_log_id: row.id,
            when: row.dttm.into(),
            dag_id: row.dag_id,
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

/// Rows with the names that people gave their tasks.
async fn respond(
    app: &App,
    connection: &mut PgConnection,
    rows: Vec<EventLogRow>,
) -> Result<Vec<EventLogResponse>, ApiError> {
    let version = |row: &EventLogRow| row.latest_version_id.filter(|_| row.task_id.is_some());
    let versions: BTreeSet<i64> = rows.iter().filter_map(version).collect();
    let dags = app.dags.get_many(connection, &versions.into_iter().collect::<Vec<_>>()).await?;
    let response = |row: EventLogRow| {
        let dag = version(&row).and_then(|id| dags.get(&id)).map(Arc::as_ref);
        EventLogResponse::new(row, dag)
    };
    Ok(rows.into_iter().map(response).collect())
}

/// List the audit trail.
#[utoipa::path(get, path = "/eventLogs", tag = "Event Log", params(QueryParams<EventLogsQuery>),
    responses((status = 200, body = EventLogCollectionResponse)))]
pub(crate) async fn get_event_logs(
    State(app): State<App>,
    QueryParams(query): QueryParams<EventLogsQuery>,
) -> Result<Json<EventLogCollectionResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let found = event_logs::page(&mut connection, &query.filter, &query.page).await?;
    let event_logs = respond(&app, &mut connection, found.rows).await?;
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
    let mut connection = app.connection().await?;
    let row = event_logs::get(&mut connection, id).await?;
    let found = respond(&app, &mut connection, row.into_iter().collect()).await?.pop();
    Ok(Json(found.ok_or_else(|| ApiError::not_found(format!("The Event Log with id: `{id}` not found")))?))
}
