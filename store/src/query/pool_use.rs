//! Who has the slots of a pool, and who waits for one.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::StoreError;

/// A task that has slots of a pool, or waits for some.
#[derive(Clone, Debug)]
pub struct PoolTask {
    pub pool: String,
    pub dag_id: String,
    pub run_id: String,
    pub task_id: String,
    pub map_index: i32,
    /// When it was placed, or became ready.
    pub since: DateTime<Utc>,
    pub pool_slots: i32,
    pub priority_weight: i32,
}

/// Those that have slots longest, at most `limit` of each pool; `attempt_placed_idx`, as many as there are slots.
pub async fn holders(connection: &mut PgConnection, pools: &[String], limit: i64) -> Result<Vec<PoolTask>, StoreError> {
    Ok(sqlx::query_as!(
        PoolTask,
        r#"
        select h.pool as "pool!", d.dag_id as "dag_id!", r.run_id as "run_id!", h.task_id as "task_id!", h.map_index as "map_index!",
               h.placed_at as "since!", h.pool_slots as "pool_slots!", h.priority_weight as "priority_weight!"
        from (select a.*, row_number() over (partition by a.pool order by a.placed_at, a.attempt_id) as place
              from attempt a where a.executor_id is not null and a.kind = 'task' and a.pool = any($1)) h
        join dag_run r on r.id = h.dag_run_id join dag d on d.id = h.dag_fk
        where h.place <= $2 order by h.pool, h.place
        "#,
        pools,
        limit
    )
    .fetch_all(connection)
    .await?)
}

/// Those that come next, at most `limit` of each pool, in the order of dispatch; `attempt_waiting_idx`, once for each class of a
/// pool.
pub async fn waiting(connection: &mut PgConnection, pools: &[String], limit: i64) -> Result<Vec<PoolTask>, StoreError> {
    Ok(sqlx::query_as!(
        PoolTask,
        r#"
        select p.pool as "pool!", d.dag_id as "dag_id!", r.run_id as "run_id!", w.task_id as "task_id!", w.map_index as "map_index!",
               w.created_at as "since!", w.pool_slots as "pool_slots!", w.priority_weight as "priority_weight!"
        from unnest($1::text[]) with ordinality as p(pool, place) cross join lateral (
            select n.* from dispatch_class c cross join lateral (
                select a.* from attempt a
                where a.class_id = c.id and a.executor_id is null and a.trigger_at is null and a.kind = 'task'
                order by (-a.priority_weight::bigint), a.run_order, a.dag_run_id, a.map_index, a.created_at limit $2) n
            where c.pool = p.pool
            order by (-n.priority_weight::bigint), n.run_order, n.dag_run_id, n.map_index, n.created_at limit $2) w
        join dag_run r on r.id = w.dag_run_id join dag d on d.id = w.dag_fk
        order by p.place, (-w.priority_weight::bigint), w.run_order, w.dag_run_id, w.map_index, w.created_at
        "#,
        pools,
        limit
    )
    .fetch_all(connection)
    .await?)
}
