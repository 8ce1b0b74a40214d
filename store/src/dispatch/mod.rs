//! The dispatch lock: placing waiting attempts on nodes.
//!
//! Capacity shared by tasks (pool slots, node slots, parallelism, `max_active_tasks`, `max_active_tis_per_dag`) is given out only
//! under one advisory transaction lock, counting live attempt rows in a statement after it. Giving back needs no lock: a count
//! that is too high only delays. What to do is `updraft_core::dispatch`'s; here it is read and written.

mod classes;

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use sqlx::{PgConnection, PgExecutor};
use updraft_core::{
    dispatch::{Candidate, Capacity, Class, Dispatch, Node, Pool, place},
    failpoint,
    ids::AttemptId,
};
use uuid::Uuid;

pub use self::classes::Classes;
use crate::{Store, StoreError, wake::Signal};

/// The key of the advisory lock, any number that nothing else uses.
const LOCK: i64 = 0x7570_6472_6166_7401;

/// At most this many passes in one transaction; each excludes the runs found at their `max_active_tasks` before.
const PASSES: usize = 20;

/// Nodes that were given something, to be woken after the commit.
pub type Woken = BTreeSet<i64>;

/// Waits for the dispatch lock and places what can be placed, in a transaction of its own that holds no run.
///
/// Called when capacity was given back, a node came, or a plan transaction did not get the lock.
pub async fn dispatch(store: &Store, parallelism: u32) -> Result<usize, StoreError> {
    let mut transaction = store.begin().await?;
    sqlx::query!("select pg_advisory_xact_lock($1)", LOCK).execute(&mut *transaction).await?;
    let (woken, placed) = place_waiting(&mut transaction, parallelism).await?;
    failpoint!("dispatch.before_commit");
    transaction.commit().await?;
    failpoint!("dispatch.after_commit");
    ring(store, &woken);
    Ok(placed)
}

/// Tries the lock at the end of a plan transaction: got it, and plan and dispatch are one commit. `None`: somebody else has it.
pub async fn try_dispatch(connection: &mut PgConnection, parallelism: u32) -> Result<Option<Woken>, StoreError> {
    let locked = sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "locked!""#, LOCK)
        .fetch_one(&mut *connection)
        .await?;
    if !locked {
        return Ok(None);
    }
    Ok(Some(place_waiting(connection, parallelism).await?.0))
}

/// Whether an attempt waits for a place. For the sweep; `attempt_waiting_idx` serves it.
pub async fn somebody_waits(executor: impl PgExecutor<'_>) -> Result<bool, StoreError> {
    let waits = sqlx::query_scalar!(
        r#"select exists (select 1 from attempt where executor_id is null and trigger_at is null) as "waits!""#
    )
    .fetch_one(executor)
    .await?;
    Ok(waits)
}

/// Wakes nodes; after the commit.
pub fn ring(store: &Store, woken: &Woken) {
    for &executor in woken {
        store.wake().ring(Signal::Executor(executor));
    }
}

async fn place_waiting(connection: &mut PgConnection, parallelism: u32) -> Result<(Woken, usize), StoreError> {
    let mut excluded: Vec<i64> = Vec::new();
    let mut all = Dispatch::default();
    let (mut capacity, mut classes) = capacity(connection, parallelism).await?;
    for _ in 0..PASSES {
        let candidates = candidates(connection, &capacity, &classes, &excluded, &all).await?;
        if candidates.is_empty() {
            break;
        }
        let pass = place(&mut capacity, &mut classes, &candidates);
        let again = !pass.capped_runs.is_empty();
        excluded.extend(pass.capped_runs);
        all.placements.extend(pass.placements);
        all.turns.extend(pass.turns);
        if !again {
            break;
        }
    }
    write(connection, &all).await?;
    Ok((all.turns.keys().copied().collect(), all.placements.len()))
}

#[derive(Deserialize)]
struct NodeJson {
    id: i64,
    name: String,
    slots: u32,
    labels: std::collections::BTreeMap<String, String>,
    queues: Vec<String>,
    runners: Vec<RunnerJson>,
    last_assigned: i64,
}

#[derive(Deserialize)]
struct RunnerJson {
    name: String,
    available: bool,
}

#[derive(Deserialize)]
struct UsedJson {
    executor_id: i64,
    class_id: i64,
    dag_run_id: i64,
    count: u32,
    /// Those among them that are tasks.
    tasks: u32,
}

/// Everything that limits, in two statements: nodes, pools and counts; then the classes that somebody waits in or uses.
///
/// The counts are of placed attempts, at most as many as there are slots (`attempt_placed_idx`), and of deferred ones in pools that
/// include them (`attempt_deferred_idx`).
pub async fn capacity(
    connection: &mut PgConnection,
    parallelism: u32,
) -> Result<(Capacity, HashMap<i64, Class>), StoreError> {
    let row = sqlx::query!(
        r#"
        select
          coalesce((select json_agg(json_build_object('id', id, 'name', name, 'slots', slots, 'labels', labels, 'queues', queues,
                                                      'runners', runners, 'last_assigned', last_assigned))
                    from executor where state = 'active'), '[]') as "nodes!",
          coalesce((select json_object_agg(pool, slots) from slot_pool), '{}') as "pools!",
          coalesce((select json_agg(used) from (
              select executor_id, class_id, dag_run_id, count(*) as count, count(*) filter (where kind = 'task') as tasks
              from attempt where executor_id is not null group by executor_id, class_id, dag_run_id) used), '[]') as "used!",
          coalesce((select json_object_agg(pool, slots) from (
              select a.pool, sum(a.pool_slots) as slots from slot_pool p join attempt a on a.pool = p.pool and a.waits = 'deferred'
              where p.include_deferred and a.executor_id is null group by a.pool) deferred), '{}') as "deferred!"
        "#
    )
    .fetch_one(&mut *connection)
    .await?;
    let nodes: Vec<NodeJson> = serde_json::from_value(row.nodes)?;
    let pools: HashMap<String, i64> = serde_json::from_value(row.pools)?;
    let used: Vec<UsedJson> = serde_json::from_value(row.used)?;
    let deferred: HashMap<String, i64> = serde_json::from_value(row.deferred)?;
    let mut classes = classes::all(connection).await?;

    let mut capacity = Capacity {
        parallelism,
        nodes: nodes
            .into_iter()
            .map(|node| Node {
                id: node.id,
                name: node.name,
                slots: node.slots,
                used: 0,
                labels: node.labels,
                queues: node.queues,
                runners: node.runners.into_iter().filter(|runner| runner.available).map(|runner| runner.name).collect(),
                last_assigned: node.last_assigned,
            })
            .collect(),
        pools: pools
            .into_iter()
            .map(|(pool, slots)| {
                let used = deferred.get(&pool).copied().unwrap_or(0);
                (pool, Pool { slots, used })
            })
            .collect(),
        runs: HashMap::new(),
    };
    let position: HashMap<i64, usize> =
        capacity.nodes.iter().enumerate().map(|(index, node)| (node.id, index)).collect();
    let mut cap_used: HashMap<String, u32> = HashMap::new();
    for used in used {
        // Attempts on a node that is draining or lost still hold their pool slots, not a live node's.
        if let Some(&index) = position.get(&used.executor_id) {
            capacity.nodes[index].used += used.count;
        }
        *capacity.runs.entry(used.dag_run_id).or_default() += used.tasks;
        if let Some((class, cap_key)) = classes.get(&used.class_id) {
            if let Some(pool) = capacity.pools.get_mut(&class.pool) {
                pool.used += i64::from(class.pool_slots) * i64::from(used.count);
            }
            if let Some(key) = cap_key {
                *cap_used.entry(key.clone()).or_default() += used.count;
            }
        }
    }
    for (class, cap_key) in classes.values_mut() {
        class.cap_used = cap_key.as_ref().and_then(|key| cap_used.get(key)).copied().unwrap_or(0);
    }
    Ok((capacity, classes.into_iter().map(|(id, (class, _))| (id, class)).collect()))
}

/// Waiting attempts, per class at most what it has room for, best first; a pause and `max_active_tasks` are for tasks, not for
/// callbacks. `attempt_waiting_idx` serves each class.
async fn candidates(
    connection: &mut PgConnection,
    capacity: &Capacity,
    classes: &HashMap<i64, Class>,
    excluded_runs: &[i64],
    placed: &Dispatch,
) -> Result<Vec<Candidate>, StoreError> {
    let (ids, rooms): (Vec<i64>, Vec<i64>) =
        classes.values().map(|class| (class.id, i64::from(capacity.room(class)))).filter(|(_, room)| *room > 0).unzip();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let taken: Vec<Uuid> = placed.placements.iter().map(|placement| placement.attempt.0).collect();
    let rows = sqlx::query!(
        r#"
        select a.attempt_id as "attempt_id!", a.class_id as "class_id!", a.dag_run_id as "dag_run_id!",
               a.priority_weight as "priority_weight!", a.max_active_tasks as "max_active_tasks!"
        from unnest($1::bigint[], $2::bigint[]) as c(class_id, room)
        cross join lateral (
            select w.attempt_id, w.class_id, w.dag_run_id, w.priority_weight, w.run_order, w.created_at,
                   case w.kind when 'task' then d.max_active_tasks else 2147483647 end as max_active_tasks
            from attempt w join dag d on d.id = w.dag_fk
            where w.class_id = c.class_id and w.executor_id is null and w.trigger_at is null
              and (not d.is_paused or w.kind = 'callback')
              and w.dag_run_id <> all($3::bigint[]) and w.attempt_id <> all($4::uuid[])
            order by w.priority_weight desc, w.run_order, w.created_at
            limit c.room
        ) a
        order by a.priority_weight desc, a.run_order, a.created_at
        "#,
        &ids,
        &rooms,
        excluded_runs,
        &taken
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Candidate {
            attempt: AttemptId(row.attempt_id),
            class_id: row.class_id,
            dag_run_id: row.dag_run_id,
            max_active_tasks: u32::try_from(row.max_active_tasks).unwrap_or(0),
            priority_weight: row.priority_weight,
        })
        .collect())
}

/// Places, in one statement. A row that is gone was fenced since: fine, dispatch holds no run.
async fn write(connection: &mut PgConnection, dispatch: &Dispatch) -> Result<(), StoreError> {
    if dispatch.placements.is_empty() {
        return Ok(());
    }
    let (attempts, executors): (Vec<Uuid>, Vec<i64>) =
        dispatch.placements.iter().map(|placement| (placement.attempt.0, placement.executor_id)).unzip();
    let (nodes, turns): (Vec<i64>, Vec<i64>) = dispatch.turns.iter().map(|(node, turn)| (*node, *turn)).unzip();
    sqlx::query!(
        r#"
        with placed as (
            update attempt a set executor_id = p.executor_id, placed_at = clock_timestamp()
            from unnest($1::uuid[], $2::bigint[]) as p(attempt_id, executor_id)
            where a.attempt_id = p.attempt_id and a.executor_id is null
        )
        update executor e set last_assigned = t.turn
        from unnest($3::bigint[], $4::bigint[]) as t(executor_id, turn) where e.id = t.executor_id
        "#,
        &attempts,
        &executors,
        &nodes,
        &turns
    )
    .execute(connection)
    .await?;
    Ok(())
}
