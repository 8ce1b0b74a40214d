//! Nodes as the dashboard lists them.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::StoreError;

/// One executor node and how much of it is in use.
#[derive(Clone, Debug)]
pub struct ExecutorRow {
    pub id: i64,
    pub name: String,
    pub hostname: String,
    pub state: String,
    pub version: String,
    pub slots: i32,
    /// Attempts placed on it (`attempt_placed_idx`).
    pub used: i64,
    pub labels: Value,
    pub queues: Vec<String>,
    pub runners: Value,
    pub stats: Value,
    pub registered_at: DateTime<Utc>,
    pub last_poll_at: DateTime<Utc>,
}

/// Every node, by name.
pub async fn all(connection: &mut PgConnection) -> Result<Vec<ExecutorRow>, StoreError> {
    Ok(sqlx::query_as!(
        ExecutorRow,
        r#"select e.id, e.name, e.hostname, e.state, e.version, e.slots,
                  (select count(*) from attempt a where a.executor_id = e.id) as "used!",
                  e.labels, e.queues, e.runners, e.stats, e.registered_at, e.last_poll_at
           from executor e order by e.name"#
    )
    .fetch_all(connection)
    .await?)
}
