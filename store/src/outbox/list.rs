//! Notices as people see them.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};
use uuid::Uuid;

use crate::{
    StoreError,
    query::filter::{Listing, OrderBy, Page, list},
};

/// One notice.
#[derive(Clone, Debug, FromRow)]
pub struct NoticeRow {
    pub key: Uuid,
    pub dag_id: String,
    pub run_id: String,
    /// `None`: the run's own.
    pub task_id: Option<String>,
    pub map_index: i32,
    pub try_number: i32,
    pub event: String,
    pub rule: i32,
    pub kind: String,
    pub action: Value,
    pub state: String,
    pub tries: i32,
    pub due_at: DateTime<Utc>,
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// Which notices.
#[derive(Clone, Debug, Default)]
pub struct NoticeFilter {
    pub dag_id: Option<String>,
    pub run_id: Option<String>,
    pub task_id: Option<String>,
    pub state: Vec<String>,
    pub kind: Vec<String>,
}

pub const ORDER_BY: OrderBy = &[
    ("created_at", "o.created_at", "timestamptz"),
    ("ended_at", "o.ended_at", "timestamptz"),
    ("state", "o.state", "text"),
];

const SELECT: &str = "o.key, d.dag_id, r.run_id, nullif(o.task_id, '') as task_id, o.map_index, o.try_number, o.event, o.rule, \
    o.kind, o.action, o.state, o.tries, o.due_at, o.last_error, o.created_at, o.ended_at";
const FROM: &str = "outbox o join dag_run r on r.id = o.dag_run_id join dag d on d.id = r.dag_fk";

/// One notice, by `outbox_pkey`.
pub async fn get(connection: &mut PgConnection, key: Uuid) -> Result<Option<NoticeRow>, StoreError> {
    let row = sqlx::query_as(AssertSqlSafe(format!("select {SELECT} from {FROM} where o.key = $1")));
    Ok(row.bind(key).fetch_optional(connection).await?)
}

/// One page; of one run by `outbox_event_key`.
pub async fn page(
    connection: &mut PgConnection,
    filter: &NoticeFilter,
    page: &Page,
) -> Result<Listing<NoticeRow>, StoreError> {
    list(connection, (SELECT, FROM), page, &[("o.key", "uuid")], |sql| {
        sql.equals("d.dag_id", filter.dag_id.clone());
        sql.equals("r.run_id", filter.run_id.clone());
        sql.equals("o.task_id", filter.task_id.clone());
        sql.any_of("o.state", &filter.state);
        sql.any_of("o.kind", &filter.kind);
    })
    .await
}
