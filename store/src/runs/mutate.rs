//! What users do to a run: clear task instances, mark it, delete it. Each holds the run's lock.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use updraft_core::{
    ids::TaskId,
    plan::{self, Key, Plan, RunState, Selection},
    state::DagRunState,
};

use super::adopt;
use crate::{
    Store, StoreError,
    dispatch::Classes,
    plan::{Planned, RunRow, Written, load, lock_one, new_attempt_id, read_row, write},
    versions::DagCache,
    wake::Signal,
};

/// Which instances of one run to clear.
#[derive(Clone, Debug)]
pub struct ClearRequest<'a> {
    pub dag_run_id: i64,
    pub selection: Selection,
    /// Queue a run that had ended again.
    pub reset_dag_run: bool,
    /// Say what would be cleared and write nothing.
    pub dry_run: bool,
    /// A run that is pinned to a bundle version goes to the latest one; others follow it anyway. `None`: as its DAG says.
    pub run_on_latest_version: Option<bool>,
    /// The user, for the tasks' logs.
    pub by: &'a str,
}

/// What a mutation met.
#[derive(Debug)]
pub enum Mutated<T> {
    Done(T),
    /// The run does not exist (any more).
    NoRun,
}

/// What a mutation changed, and whom to wake after the commit.
#[derive(Debug, Default)]
pub struct Outcome {
    pub dag_run_id: i64,
    /// Task and map index of each.
    pub instances: Vec<(TaskId, i32)>,
    changed: bool,
    notices: bool,
    nodes: BTreeSet<i64>,
}

impl Outcome {
    /// Wakes scheduler and nodes. Call it after the commit.
    pub fn ring(&self, store: &Store) {
        if !self.changed {
            return;
        }
        store.wake().ring(Signal::Run(self.dag_run_id));
        store.wake().ring(Signal::Dags);
        store.wake().ring(Signal::Dispatch);
        if self.notices {
            store.wake().ring(Signal::Outbox);
        }
        for &node in &self.nodes {
            store.wake().ring(Signal::Executor(node));
        }
    }
}

/// A run under its lock, following its DAG's latest version where it does.
struct Held {
    row: RunRow,
    state: RunState,
    version: i64,
    now: DateTime<Utc>,
}

/// Clears task instances of one run (semantics §11).
pub async fn clear(
    connection: &mut PgConnection,
    classes: &Classes,
    dags: &DagCache,
    request: &ClearRequest<'_>,
) -> Result<Mutated<Outcome>, StoreError> {
    let Some(locked) = lock_one(&mut *connection, request.dag_run_id).await? else { return Ok(Mutated::NoRun) };
    let (row, now) = read_row(&mut *connection, locked).await?;
    let follow = if request.dry_run {
        Follow::Stay
    } else if rerun_on_latest(&mut *connection, dags, &row, request.run_on_latest_version).await? {
        Follow::Latest
    } else {
        Follow::AsItDoes
    };
    let Some(held) = hold_locked(&mut *connection, dags, row, now, follow).await? else {
        return Ok(Mutated::NoRun);
    };
    let cleared =
        plan::clear(&held.state, &request.selection, request.reset_dag_run, request.by, held.now, &mut new_attempt_id);
    let instances = named(&held, &cleared.instances);
    // A version that was adopted is written even when nothing is cleared.
    if request.dry_run || (cleared.instances.is_empty() && held.version == held.row.dag_version_id) {
        return Ok(Mutated::Done(Outcome { dag_run_id: request.dag_run_id, instances, ..Outcome::default() }));
    }
    let written = commit(connection, classes, &held, &cleared.plan).await?;
    Ok(Mutated::Done(outcome(&held, instances, written)))
}

/// Marks a run `success`, `failed` or `queued` (semantics §11.5).
pub async fn mark(
    connection: &mut PgConnection,
    classes: &Classes,
    dags: &DagCache,
    dag_run_id: i64,
    to: DagRunState,
    by: &str,
) -> Result<Mutated<Outcome>, StoreError> {
    let Some(held) = hold(connection, dags, dag_run_id, Follow::AsItDoes).await? else { return Ok(Mutated::NoRun) };
    let plan = plan::mark_run(&held.state, to, by, held.now, &mut new_attempt_id);
    let keys: Vec<Key> = plan.tis.keys().copied().collect();
    let instances = named(&held, &keys);
    let written = commit(connection, classes, &held, &plan).await?;
    Ok(Mutated::Done(outcome(&held, instances, written)))
}

/// A run that a backfill runs again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reprocess<'a> {
    pub(crate) dag_run_id: i64,
    pub(crate) backfill_id: i64,
    pub(crate) ordinal: i32,
    pub(crate) run_on_latest_version: bool,
    /// Takes the place of the run's own.
    pub(crate) conf: Option<&'a Value>,
}

/// Clears all of a run and makes it the backfill's (semantics §10), if it is wanted in the state in which the lock finds it.
pub(crate) async fn reprocess<E>(
    connection: &mut PgConnection,
    classes: &Classes,
    dags: &DagCache,
    request: &Reprocess<'_>,
    wanted: impl Fn(DagRunState) -> Result<(), E>,
) -> Result<Mutated<Result<Outcome, E>>, StoreError> {
    let Some(locked) = lock_one(&mut *connection, request.dag_run_id).await? else { return Ok(Mutated::NoRun) };
    let (row, now) = read_row(&mut *connection, locked).await?;
    if let Err(reason) = wanted(row.run.state) {
        return Ok(Mutated::Done(Err(reason)));
    }
    let follow = if request.run_on_latest_version { Follow::Latest } else { Follow::AsItDoes };
    let Some(held) = hold_locked(&mut *connection, dags, row, now, follow).await? else { return Ok(Mutated::NoRun) };
    let by = format!("backfill {}", request.backfill_id);
    let cleared = plan::clear(&held.state, &Selection::default(), true, &by, now, &mut new_attempt_id);
    let plan = if cleared.instances.is_empty() {
        // A run without task instances is queued all the same.
        plan::mark_run(&held.state, DagRunState::Queued, &by, now, &mut new_attempt_id)
    } else {
        cleared.plan
    };
    let written = commit(&mut *connection, classes, &held, &plan).await?;
    sqlx::query!(
        "update dag_run set run_type = 'backfill', triggered_by = 'backfill', backfill_id = $2, backfill_ordinal = $3
         where id = $1",
        request.dag_run_id,
        request.backfill_id,
        request.ordinal
    )
    .execute(&mut *connection)
    .await?;
    if let Some(conf) = request.conf {
        sqlx::query!(
            "insert into dag_run_conf (dag_run_id, conf) values ($1, $2)
             on conflict (dag_run_id) do update set conf = excluded.conf",
            request.dag_run_id,
            conf
        )
        .execute(connection)
        .await?;
    }
    Ok(Mutated::Done(Ok(outcome(&held, Vec::new(), written))))
}

/// Deletes a run that is not running, with everything it left. `Done(false)`: it is running.
pub async fn delete(connection: &mut PgConnection, dag_run_id: i64) -> Result<Mutated<bool>, StoreError> {
    if lock_one(&mut *connection, dag_run_id).await?.is_none() {
        return Ok(Mutated::NoRun);
    }
    let running =
        sqlx::query_scalar!(r#"select state = 'running' as "running!" from dag_run where id = $1"#, dag_run_id)
            .fetch_one(&mut *connection)
            .await?;
    if running {
        return Ok(Mutated::Done(false));
    }
    sqlx::query!(
        "with a as (delete from attempt where dag_run_id = $1),
              e as (delete from task_event where dag_run_id = $1),
              x as (delete from xcom where dag_run_id = $1),
              h as (delete from task_instance_history where dag_run_id = $1),
              t as (delete from task_instance where dag_run_id = $1),
              l as (delete from attempt_log where dag_run_id = $1),
              q as (delete from hitl_detail where dag_run_id = $1),
              o as (delete from outbox where dag_run_id = $1),
              d as (delete from deadline where dag_run_id = $1),
              c as (delete from dag_run_conf where dag_run_id = $1),
              n as (delete from dag_run_note where dag_run_id = $1),
              v as (delete from dag_run_asset_event where dag_run_id = $1)
         delete from dag_run where id = $1",
        dag_run_id
    )
    .execute(connection)
    .await?;
    Ok(Mutated::Done(true))
}

/// Request → the DAG's own setting → no (semantics §11.3).
async fn rerun_on_latest(
    connection: &mut PgConnection,
    dags: &DagCache,
    row: &RunRow,
    asked: Option<bool>,
) -> Result<bool, StoreError> {
    if let Some(asked) = asked {
        return Ok(asked);
    }
    let dag = dags.get(connection, row.follows.unwrap_or(row.dag_version_id)).await?;
    Ok(dag.rerun_with_latest_version.unwrap_or(false))
}

/// Which version a held run is looked at in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follow {
    /// The one it has: nothing is written.
    Stay,
    /// A folder's run the latest one, a pinned one its own (semantics §14).
    AsItDoes,
    /// The latest one, also where it was pinned.
    Latest,
}

async fn hold(
    connection: &mut PgConnection,
    dags: &DagCache,
    dag_run_id: i64,
    follow: Follow,
) -> Result<Option<Held>, StoreError> {
    let Some(locked) = lock_one(&mut *connection, dag_run_id).await? else { return Ok(None) };
    let (row, now) = read_row(&mut *connection, locked).await?;
    hold_locked(connection, dags, row, now, follow).await
}

async fn hold_locked(
    connection: &mut PgConnection,
    dags: &DagCache,
    row: RunRow,
    now: DateTime<Utc>,
    follow: Follow,
) -> Result<Option<Held>, StoreError> {
    let other = match follow {
        Follow::Stay => None,
        Follow::AsItDoes => row.follows,
        Follow::Latest => follow_latest(&mut *connection, &row).await?,
    };
    let version = other.unwrap_or(row.dag_version_id);
    let dag = dags.get(&mut *connection, version).await?;
    if version != row.dag_version_id {
        adopt(&mut *connection, &row, &dag, now).await?;
    }
    let state = load(connection, vec![(row.clone(), dag)]).await?.pop();
    Ok(state.map(|state| Held { row, state, version, now }))
}

/// The DAG's latest version, to which a pinned run is pinned anew.
async fn follow_latest(connection: &mut PgConnection, row: &RunRow) -> Result<Option<i64>, StoreError> {
    let latest = sqlx::query_scalar!(
        "update dag_run r set bundle_version = v.bundle_version
         from dag d join dag_version v on v.id = d.latest_version_id
         where r.id = $1 and d.id = r.dag_fk returning v.id",
        row.run.id
    )
    .fetch_optional(connection)
    .await?;
    Ok(latest)
}

async fn commit(
    connection: &mut PgConnection,
    classes: &Classes,
    held: &Held,
    plan: &Plan,
) -> Result<Written, StoreError> {
    let planned = Planned {
        dag_fk: held.row.dag_fk,
        dag_version_id: held.version,
        state: &held.state,
        plan,
        tag: rand::random(),
    };
    write(connection, classes, held.now, &[planned]).await
}

fn named(held: &Held, keys: &[Key]) -> Vec<(TaskId, i32)> {
    keys.iter().map(|key| (held.state.dag.tasks[key.task].task_id.clone(), key.map_index)).collect()
}

fn outcome(held: &Held, instances: Vec<(TaskId, i32)>, written: Written) -> Outcome {
    Outcome {
        dag_run_id: held.row.run.id,
        instances,
        changed: true,
        notices: written.notices,
        nodes: written.cancelled_on,
    }
}
