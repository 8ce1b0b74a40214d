//! Processes as `GET /jobs` lists them.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use super::filter::{Listing, OrderBy, Page, Range, list};
use crate::{StoreError, jobs::DEAD_AFTER_SECONDS};

/// One process, or one loop that answers for itself.
#[derive(Clone, Debug, FromRow)]
pub struct JobRow {
    pub id: i64,
    pub job_type: String,
    pub state: String,
    pub hostname: String,
    pub start_date: DateTime<Utc>,
    pub end_date: Option<DateTime<Utc>>,
    pub latest_heartbeat: DateTime<Utc>,
}

/// Filters of `GET /jobs`.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Running, and heard of lately.
    pub is_alive: Option<bool>,
    pub start_date: Range<DateTime<Utc>>,
    pub end_date: Range<DateTime<Utc>>,
    pub job_state: Option<String>,
    pub job_type: Option<String>,
    pub hostname: Option<String>,
    /// No job has an executor: naming one finds nothing.
    pub executor_class: Option<String>,
}

pub const ORDER_BY: OrderBy = &[
    ("id", "j.id", "bigint"),
    ("dag_id", "null::text", "text"),
    ("state", "j.state", "text"),
    ("job_type", "j.job_type", "text"),
    ("start_date", "j.start_date", "timestamptz"),
    ("end_date", "j.end_date", "timestamptz"),
    ("latest_heartbeat", "j.latest_heartbeat", "timestamptz"),
    ("executor_class", "null::text", "text"),
    ("hostname", "j.hostname", "text"),
    ("unixname", "null::text", "text"),
];

/// One page of jobs. A small table: a row per process start.
pub async fn page(
    connection: &mut PgConnection,
    filter: &JobFilter,
    page: &Page,
) -> Result<Listing<JobRow>, StoreError> {
    let select = "j.id, j.job_type, j.state, j.hostname, j.start_date, j.end_date, j.latest_heartbeat";
    list(connection, (select, "job j"), page, &[("j.id", "bigint")], |sql| {
        if let Some(alive) = filter.is_alive {
            sql.and()
                .push("(j.state = 'running' and j.latest_heartbeat > now() - make_interval(secs => ")
                .push_bind(DEAD_AFTER_SECONDS)
                .push(")) = ")
                .push_bind(alive);
        }
        sql.range("j.start_date", &filter.start_date);
        sql.range("j.end_date", &filter.end_date);
        sql.equals("j.state", filter.job_state.clone());
        sql.equals("j.job_type", filter.job_type.clone());
        sql.equals("j.hostname", filter.hostname.clone());
        sql.equals("null::text", filter.executor_class.clone());
    })
    .await
}
