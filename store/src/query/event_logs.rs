//! The audit trail as the API lists it.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use super::filter::{Filter, Listing, OrderBy, Page, Pattern, list};
use crate::StoreError;

/// One audit row.
#[derive(Clone, Debug, FromRow)]
pub struct EventLogRow {
    pub id: i64,
    pub dttm: DateTime<Utc>,
    pub dag_id: Option<String>,
    pub task_id: Option<String>,
    pub run_id: Option<String>,
    pub map_index: Option<i32>,
    pub try_number: Option<i32>,
    pub event: String,
    pub logical_date: Option<DateTime<Utc>>,
    pub owner: Option<String>,
    pub extra: Option<String>,
    pub dag_display_name: Option<String>,
    /// Of the DAG, if there still is one.
    pub latest_version_id: Option<i64>,
}

/// Filters of `GET /eventLogs`.
#[derive(Clone, Debug, Default)]
pub struct EventLogFilter {
    pub dag_id: Option<String>,
    pub task_id: Option<String>,
    pub run_id: Option<String>,
    pub map_index: Option<i32>,
    pub try_number: Option<i32>,
    pub owner: Option<String>,
    pub event: Option<String>,
    pub included_events: Vec<String>,
    pub excluded_events: Vec<String>,
    pub before: Option<DateTime<Utc>>,
    pub after: Option<DateTime<Utc>>,
    pub dag_id_pattern: Pattern,
    pub task_id_pattern: Pattern,
    pub run_id_pattern: Pattern,
    pub owner_pattern: Pattern,
    pub event_pattern: Pattern,
}

pub const ORDER_BY: OrderBy = &[
    ("id", "l.id", "bigint"),
    ("event_log_id", "l.id", "bigint"),
    ("dttm", "l.dttm", "timestamptz"),
    ("when", "l.dttm", "timestamptz"),
    ("dag_id", "l.dag_id", "text"),
    ("task_id", "l.task_id", "text"),
    ("run_id", "l.run_id", "text"),
    ("event", "l.event", "text"),
    ("logical_date", "l.logical_date", "timestamptz"),
    ("owner", "l.owner", "text"),
    ("extra", "l.extra", "text"),
];

const SELECT: &str = "l.id, l.dttm, l.dag_id, l.task_id, l.run_id, l.map_index, l.try_number, l.event, \
    l.logical_date, l.owner, l.extra, d.dag_display_name, d.latest_version_id";
const FROM: &str = "log l left join dag d on d.dag_id = l.dag_id";

/// One page of the trail; `log_pkey` serves the default order, `log_dag_idx` one DAG.
pub async fn page(
    connection: &mut PgConnection,
    filter: &EventLogFilter,
    page: &Page,
) -> Result<Listing<EventLogRow>, StoreError> {
    list(connection, (SELECT, FROM), page, &[("l.id", "bigint")], |sql| {
        sql.equals("l.dag_id", filter.dag_id.clone());
        sql.equals("l.task_id", filter.task_id.clone());
        sql.equals("l.run_id", filter.run_id.clone());
        sql.equals("l.map_index", filter.map_index);
        sql.equals("l.try_number", filter.try_number);
        sql.equals("l.owner", filter.owner.clone());
        sql.equals("l.event", filter.event.clone());
        sql.any_of("l.event", &filter.included_events);
        if !filter.excluded_events.is_empty() {
            sql.and().push("l.event <> all(").push_bind(filter.excluded_events.clone()).push(")");
        }
        if let Some(before) = filter.before {
            sql.and().push("l.dttm <= ").push_bind(before);
        }
        if let Some(after) = filter.after {
            sql.and().push("l.dttm >= ").push_bind(after);
        }
        sql.pattern("l.dag_id", &filter.dag_id_pattern);
        sql.pattern("l.task_id", &filter.task_id_pattern);
        sql.pattern("l.run_id", &filter.run_id_pattern);
        sql.pattern("l.owner", &filter.owner_pattern);
        sql.pattern("l.event", &filter.event_pattern);
    })
    .await
}

/// One audit row.
pub async fn get(connection: &mut PgConnection, id: i64) -> Result<Option<EventLogRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("l.id", Some(id));
    sql.fetch_optional(connection).await
}
