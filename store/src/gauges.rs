//! What schedulers show as gauges: how full pools and nodes are, how many DAGs there are.

use crate::{
    Store, StoreError,
    pools::{self, PoolRow},
    query::filter::{Page, Pattern},
};

/// One look.
#[derive(Clone, Debug)]
pub struct Gauges {
    pub pools: Vec<PoolRow>,
    pub nodes: Vec<NodeUse>,
    /// DAGs that are not stale.
    pub dags: i64,
    /// Files with an import error.
    pub import_errors: i64,
}

/// A node and its attempts.
#[derive(Clone, Debug)]
pub struct NodeUse {
    pub name: String,
    pub state: String,
    pub slots: i32,
    /// Placed and not started.
    pub queued: i64,
    pub running: i64,
}

impl NodeUse {
    /// Whether it is heard of.
    pub fn is_live(&self) -> bool {
        matches!(&*self.state, "active" | "draining")
    }
}

/// Reads them. Every scheduler, every 15 s; `attempt_placed_idx` serves the nodes.
///
/// # Errors
/// The database's.
pub async fn read(store: &Store) -> Result<Gauges, StoreError> {
    let mut connection = store.pool().acquire().await?;
    let pools = pools::page(&mut connection, &Pattern::default(), &Page::ALL).await?.rows;
    let nodes = sqlx::query_as!(
        NodeUse,
        r#"select e.name, e.state, e.slots, coalesce(a.queued, 0) as "queued!", coalesce(a.running, 0) as "running!"
           from executor e
           left join (select executor_id, count(*) filter (where started_at is null) as queued,
                             count(*) filter (where started_at is not null) as running
                      from attempt where executor_id is not null group by executor_id) a on a.executor_id = e.id"#
    )
    .fetch_all(&mut *connection)
    .await?;
    let counts = sqlx::query!(
        r#"select (select count(*) from dag where not is_stale) as "dags!",
                  (select count(*) from import_error) as "import_errors!""#
    )
    .fetch_one(&mut *connection)
    .await?;
    Ok(Gauges { pools, nodes, dags: counts.dags, import_errors: counts.import_errors })
}
