//! The dispatch lock: placing waiting attempts on nodes.
//!
//! Capacity shared by tasks (pool slots, node slots, parallelism, `max_active_tasks`, `max_active_tis_per_dag`) is given out only
//! under one advisory transaction lock, counting live attempt rows in a statement after it. Giving back needs no lock: a count
//! that is too high only delays. What to do is `updraft_core::dispatch`'s; here it is read and written.

mod classes;

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Deserialize;
use sqlx::{PgConnection, PgExecutor};
use updraft_core::{
    dispatch::{Candidate, Capacity, Class, Dispatch, Node, NodeState, Pool, Strategies, TRIGGERER, affinity, place},
    failpoint,
    ids::AttemptId,
};
use uuid::Uuid;

pub use self::classes::Classes;
use crate::{Store, StoreError, wake::Signal};

/// The key of the advisory lock, any number that nothing else uses.
///
/// With it, for the rest of the transaction, come two settings: `attempt` fills and empties faster than its statistics follow, and
/// a plan that is made for an empty table and reads the whole of a full one would hold up everybody. There is an index for all.
const LOCK: i64 = 0x7570_6472_6166_7401;

/// What a scheduler's configuration says about dispatch.
///
/// Every scheduler of a deployment should have the same. Where they differ nothing breaks, since each pass counts all that is
/// placed under the lock: a pass holds the limits of the scheduler that makes it, and the strategy is that of whoever comes first.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Attempts that may be placed at once in the whole deployment.
    pub parallelism: u32,
    pub strategies: Strategies,
}

impl Rules {
    /// Nodes in turn.
    pub fn new(parallelism: u32) -> Self {
        Self { parallelism, strategies: Strategies::default() }
    }
}

/// Who was given something, and whose; to be woken and told after the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Woken {
    pub nodes: BTreeSet<i64>,
    /// Tasks may begin that the triggerer works on.
    pub triggerer: bool,
    /// Runs with task instances that are queued on a node now.
    pub runs: BTreeSet<i64>,
}

/// Waits for the dispatch lock and places what can be placed, in a transaction of its own that holds no run.
///
/// Called when capacity was given back, a node came, or a plan transaction did not get the lock.
pub async fn dispatch(store: &Store, rules: &Rules) -> Result<usize, StoreError> {
    let mut transaction = store.begin().await?;
    sqlx::query!(
        "select pg_advisory_xact_lock($1)::text as locked, set_config('enable_seqscan', 'off', true) as seqscan,
                set_config('enable_bitmapscan', 'off', true) as bitmapscan",
        LOCK
    )
    .fetch_one(&mut *transaction)
    .await?;
    let (woken, placed) = place_waiting(&mut transaction, rules).await?;
    failpoint!("dispatch.before_commit");
    transaction.commit().await?;
    failpoint!("dispatch.after_commit");
    ring(store, &woken);
    Ok(placed)
}

/// Tries the lock at the end of a plan transaction: got it, and plan and dispatch are one commit. `None`: somebody else has it.
pub async fn try_dispatch(connection: &mut PgConnection, rules: &Rules) -> Result<Option<Woken>, StoreError> {
    let row = sqlx::query!(
        r#"select pg_try_advisory_xact_lock($1) as "locked!", set_config('enable_seqscan', 'off', true) as seqscan,
                  set_config('enable_bitmapscan', 'off', true) as bitmapscan"#,
        LOCK
    )
    .fetch_one(&mut *connection)
    .await?;
    if !row.locked {
        return Ok(None);
    }
    Ok(Some(place_waiting(connection, rules).await?.0))
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

/// Wakes them; after the commit.
pub fn ring(store: &Store, woken: &Woken) {
    for &executor in &woken.nodes {
        store.wake().ring(Signal::Executor(executor));
    }
    if woken.triggerer {
        store.wake().ring(Signal::Trigger);
    }
    for &run in &woken.runs {
        store.wake().changed(run);
    }
}

/// Passes follow one another while runs come to their `max_active_tasks` in one: what they were asked for in vain may be
/// another's. Each such pass places something, so that there are at most as many as there are free slots; one is the rule.
async fn place_waiting(connection: &mut PgConnection, rules: &Rules) -> Result<(Woken, usize), StoreError> {
    let (mut woken, mut placed) = (Woken::default(), 0);
    let (mut capacity, classes) = capacity(connection, rules.parallelism).await?;
    loop {
        let candidates = candidates(connection, &capacity, &classes).await?;
        if candidates.is_empty() {
            break;
        }
        let pass = place(&mut capacity, &classes, &candidates, &rules.strategies, &mut rand::random);
        write(connection, &pass).await?;
        let now_placed = pass.placements.len() + pass.begun.len();
        placed += now_placed;
        woken.nodes.extend(pass.turns.keys());
        let chosen: HashSet<AttemptId> = pass.placements.iter().map(|placement| placement.attempt).collect();
        woken.runs.extend(candidates.iter().filter(|one| chosen.contains(&one.attempt)).map(|one| one.dag_run_id));
        woken.triggerer |= !pass.begun.is_empty();
        if pass.capped_runs.is_empty() || now_placed == 0 {
            break;
        }
    }
    Ok((woken, placed))
}

#[derive(Deserialize)]
struct NodeJson {
    id: i64,
    name: String,
    state: NodeState,
    slots: u32,
    weight: u32,
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
/// The counts are of placed attempts, at most as many as there are slots (`attempt_placed_idx`), of deferred ones in pools that
/// include them (`attempt_deferred_idx`), and of those the triggerer works on where `max_active_tis_per_dag` limits them
/// (`attempt_triggerers_idx`).
pub async fn capacity(
    connection: &mut PgConnection,
    parallelism: u32,
) -> Result<(Capacity, HashMap<i64, Class>), StoreError> {
    let row = sqlx::query!(
        r#"
        select
          coalesce((select json_agg(json_build_object('id', id, 'name', name, 'state', state, 'slots', slots, 'weight', weight,
                                                      'labels', labels, 'queues', queues, 'runners', runners,
                                                      'last_assigned', last_assigned) order by id)
                    from executor), '[]') as "nodes!",
          coalesce((select json_object_agg(pool, slots) from slot_pool), '{}') as "pools!",
          coalesce((select json_agg(used) from (
              select executor_id, class_id, dag_run_id, count(*) as count, count(*) filter (where kind = 'task') as tasks
              from attempt where executor_id is not null group by executor_id, class_id, dag_run_id) used), '[]') as "used!",
          coalesce((select json_object_agg(pool, slots) from (
              select a.pool, sum(a.pool_slots) as slots from slot_pool p join attempt a on a.pool = p.pool and a.waits = 'deferred'
              where p.include_deferred and a.executor_id is null group by a.pool) deferred), '{}') as "deferred!",
          coalesce((select json_object_agg(cap_key, count) from (
              select c.cap_key, sum(n.count) as count from dispatch_class c cross join lateral (
                  select count(*) as count from attempt a where a.class_id = c.id and a.trigger_at is not null) n
              where c.cap is not null group by c.cap_key) triggerers), '{}') as "caps!"
        "#
    )
    .fetch_one(&mut *connection)
    .await?;
    let nodes: Vec<NodeJson> = serde_json::from_value(row.nodes)?;
    let pools: HashMap<String, i64> = serde_json::from_value(row.pools)?;
    let used: Vec<UsedJson> = serde_json::from_value(row.used)?;
    let deferred: HashMap<String, i64> = serde_json::from_value(row.deferred)?;
    let classes = classes::all(connection).await?;

    let mut capacity = Capacity {
        parallelism,
        placed: 0,
        nodes: nodes
            .into_iter()
            .map(|node| Node {
                id: node.id,
                name: node.name,
                state: node.state,
                slots: node.slots,
                used: 0,
                weight: node.weight,
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
        caps: serde_json::from_value(row.caps)?,
    };
    let position: HashMap<i64, usize> =
        capacity.nodes.iter().enumerate().map(|(index, node)| (node.id, index)).collect();
    for used in used {
        if let Some(&index) = position.get(&used.executor_id) {
            capacity.nodes[index].used += used.count;
        }
        capacity.placed += used.count;
        *capacity.runs.entry(used.dag_run_id).or_default() += used.tasks;
        if let Some(class) = classes.get(&used.class_id) {
            if let Some(pool) = capacity.pools.get_mut(&class.pool) {
                pool.used += i64::from(class.pool_slots) * i64::from(used.count);
            }
            if let Some(cap) = &class.cap {
                *capacity.caps.entry(cap.of.clone()).or_default() += used.count;
            }
        }
    }
    Ok((capacity, classes))
}

/// Waiting attempts, per class at most what it has room for, and of a run at most what its `max_active_tasks` leaves: priority
/// first, then the run's date, then the map index (semantics §7.2). Neither that limit nor a pause holds a callback.
///
/// The walk goes from run to run and not from attempt to attempt, one look into `attempt_waiting_idx` for each, so that the
/// backlog of a run at its limit, or of a paused DAG, costs one step.
async fn candidates(
    connection: &mut PgConnection,
    capacity: &Capacity,
    classes: &HashMap<i64, Class>,
) -> Result<Vec<Candidate>, StoreError> {
    let with_room = classes.values().map(|class| (class, i64::from(capacity.room(class))));
    let (open, rooms): (Vec<&Class>, Vec<i64>) = with_room.filter(|(_, room)| *room > 0).unzip();
    let ids: Vec<i64> = open.iter().map(|class| class.id).collect();
    let slotless: Vec<bool> = open.iter().map(|class| class.runner == TRIGGERER).collect();
    let of_callbacks: Vec<bool> = open.iter().map(|class| class.is_of_callbacks()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"
        with recursive walk as (
            select c.class_id, c.room, c.slotless, c.of_callbacks, -9223372036854775808 as weight, '-infinity'::timestamptz as run_order,
                   0::bigint as dag_run_id, 0::bigint as dag_fk, 0 as max_active_tasks, '{}'::uuid[] as found, '{}'::text[] as tasks,
                   0::bigint as taken
            from unnest($1::bigint[], $2::bigint[], $3::boolean[], $5::boolean[]) as c(class_id, room, slotless, of_callbacks)
            union all
            select w.class_id, w.room, w.slotless, w.of_callbacks, n.weight, n.run_order, n.dag_run_id, n.dag_fk, n.max_active_tasks,
                   n.found, n.tasks, w.taken + cardinality(n.found)
            from walk w
            cross join lateral (
                select next.weight, next.run_order, next.dag_run_id, next.dag_fk, d.max_active_tasks, its.found, its.tasks
                from (select -a.priority_weight::bigint as weight, a.run_order, a.dag_run_id, a.dag_fk from attempt a
                      where a.class_id = w.class_id and a.executor_id is null and a.trigger_at is null
                        and (-a.priority_weight::bigint, a.run_order, a.dag_run_id) > (w.weight, w.run_order, w.dag_run_id)
                      order by -a.priority_weight::bigint, a.run_order, a.dag_run_id limit 1) next
                join dag d on d.id = next.dag_fk
                cross join lateral (
                    select coalesce(array_agg(a.attempt_id), '{}') as found, coalesce(array_agg(a.task_id), '{}') as tasks
                    from (select a.attempt_id, a.task_id from attempt a
                          where a.class_id = w.class_id and a.executor_id is null and a.trigger_at is null
                            and -a.priority_weight::bigint = next.weight and a.run_order = next.run_order
                            and a.dag_run_id = next.dag_run_id
                          order by a.map_index, a.created_at
                          limit case when w.of_callbacks then w.room - w.taken
                                     when d.is_paused or d.is_stale then 0
                                     when w.slotless then w.room - w.taken
                                     else greatest(0, least(w.room - w.taken, d.max_active_tasks
                                              - coalesce(($4::jsonb ->> next.dag_run_id::text)::bigint, 0))) end) a
                ) its
            ) n
            where w.taken < w.room
        )
        select f.attempt_id as "attempt_id!", w.class_id as "class_id!", w.dag_run_id as "dag_run_id!",
               (-w.weight)::integer as "priority_weight!", w.max_active_tasks as "max_active_tasks!", w.dag_fk as "dag_fk!",
               f.task_id as "task_id!"
        from walk w cross join lateral unnest(w.found, w.tasks) with ordinality as f(attempt_id, task_id, place)
        order by w.weight, w.run_order, f.place, w.dag_run_id
        "#,
        &ids,
        &rooms,
        &slotless,
        serde_json::to_value(&capacity.runs)?,
        &of_callbacks
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
            affinity: affinity(row.dag_fk, &row.task_id),
        })
        .collect())
}

/// Places, in one statement. A row that is gone was fenced since: fine, dispatch holds no run.
async fn write(connection: &mut PgConnection, dispatch: &Dispatch) -> Result<(), StoreError> {
    let (attempts, executors): (Vec<Uuid>, Vec<i64>) =
        dispatch.placements.iter().map(|placement| (placement.attempt.0, placement.executor_id)).unzip();
    let begun: Vec<Uuid> = dispatch.begun.iter().map(|attempt| attempt.0).collect();
    if attempts.is_empty() && begun.is_empty() {
        return Ok(());
    }
    let (nodes, turns): (Vec<i64>, Vec<i64>) = dispatch.turns.iter().map(|(node, turn)| (*node, *turn)).unzip();
    sqlx::query!(
        r#"
        with placed as (
            update attempt a set executor_id = p.executor_id, placed_at = clock_timestamp()
            from unnest($1::uuid[], $2::bigint[]) as p(attempt_id, executor_id)
            where a.attempt_id = p.attempt_id and a.executor_id is null
        ), begun as (
            update attempt set trigger_at = clock_timestamp() where attempt_id = any($5) and trigger_at is null
        )
        update executor e set last_assigned = t.turn
        from unnest($3::bigint[], $4::bigint[]) as t(executor_id, turn) where e.id = t.executor_id
        "#,
        &attempts,
        &executors,
        &nodes,
        &turns,
        &begun
    )
    .execute(connection)
    .await?;
    Ok(())
}
