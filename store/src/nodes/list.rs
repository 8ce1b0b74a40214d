//! What people see of the nodes, and what they may tell one.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{Store, StoreError, wake::Signal};

/// One node, as the nodes page and `updraft executor list` show it.
#[derive(Clone, Debug)]
pub struct NodeRow {
    pub id: i64,
    pub name: String,
    /// `active`, `draining`, `lost`, `offline`.
    pub state: String,
    pub hostname: String,
    pub version: String,
    pub slots: i32,
    /// Attempts placed on it, running or not.
    pub attempts: i64,
    pub labels: Value,
    pub queues: Vec<String>,
    pub runners: Value,
    pub stats: Value,
    pub registered_at: DateTime<Utc>,
    pub last_poll_at: DateTime<Utc>,
}

/// All nodes by name.
pub async fn list_nodes(store: &Store) -> Result<Vec<NodeRow>, StoreError> {
    let rows = sqlx::query_as!(
        NodeRow,
        r#"select id, name, state, hostname, version, slots, labels, queues, runners, stats, registered_at, last_poll_at,
                  (select count(*) from attempt a where a.executor_id = e.id) as "attempts!"
           from executor e order by name"#
    )
    .fetch_all(store.pool())
    .await?;
    Ok(rows)
}

/// Stops (`true`) or resumes new work on a node; what it has goes on. `false` when no such node is live.
pub async fn set_draining(store: &Store, name: &str, draining: bool) -> Result<bool, StoreError> {
    let (from, to) = if draining { ("active", "draining") } else { ("draining", "active") };
    let id = sqlx::query_scalar!(
        "update executor set state = case when state = $2 then $3 else state end
         where name = $1 and state in ('active', 'draining') returning id",
        name,
        from,
        to
    )
    .fetch_optional(store.pool())
    .await?;
    let Some(id) = id else { return Ok(false) };
    store.wake().ring(Signal::Executor(id));
    store.wake().ring(Signal::Dispatch);
    Ok(true)
}
