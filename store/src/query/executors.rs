//! Nodes as people see them.

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
    /// It is to take no new work, now or when it is back.
    pub is_drained: bool,
    pub version: String,
    pub slots: i32,
    /// Attempts placed on it (`attempt_placed_idx`).
    pub used: i64,
    pub weight: i32,
    pub labels: Value,
    pub queues: Vec<String>,
    pub runners: Value,
    pub stats: Value,
    pub registered_at: DateTime<Utc>,
    pub last_poll_at: DateTime<Utc>,
}

/// Every node, by name; or the one of this name.
pub async fn of_name(connection: &mut PgConnection, name: Option<&str>) -> Result<Vec<ExecutorRow>, StoreError> {
    Ok(sqlx::query_as!(
        ExecutorRow,
        r#"select e.id, e.name, e.hostname, e.state, e.is_drained, e.version, e.slots,
                  (select count(*) from attempt a where a.executor_id = e.id) as "used!",
                  e.weight, e.labels, e.queues, e.runners, e.stats, e.registered_at, e.last_poll_at
           from executor e where $1::text is null or e.name = $1 order by e.name"#,
        name
    )
    .fetch_all(connection)
    .await?)
}

/// What a node has.
#[derive(Clone, Debug)]
pub struct NodeAttemptRow {
    pub attempt_id: uuid::Uuid,
    pub dag_id: String,
    pub run_id: String,
    pub task_id: String,
    pub map_index: i32,
    pub try_number: i32,
    pub is_callback: bool,
    pub placed_at: Option<DateTime<Utc>>,
    pub handed_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
}

/// The attempts placed on a node, the oldest first (`attempt_placed_idx`): at most as many as it has slots.
pub async fn attempts(connection: &mut PgConnection, executor_id: i64) -> Result<Vec<NodeAttemptRow>, StoreError> {
    Ok(sqlx::query_as!(
        NodeAttemptRow,
        r#"select a.attempt_id, d.dag_id, r.run_id, a.task_id, a.map_index, a.try_number, a.kind = 'callback' as "is_callback!",
                  a.placed_at, a.handed_at, a.started_at
           from attempt a join dag_run r on r.id = a.dag_run_id join dag d on d.id = r.dag_fk
           where a.executor_id = $1 order by a.placed_at, a.attempt_id"#,
        executor_id
    )
    .fetch_all(connection)
    .await?)
}
