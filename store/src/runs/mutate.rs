//! What users do to a run: clear task instances, mark it, delete it. Each holds the run's lock.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
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
    let Some(held) = hold(connection, dags, request.dag_run_id, !request.dry_run).await? else {
        return Ok(Mutated::NoRun);
    };
    let cleared =
        plan::clear(&held.state, &request.selection, request.reset_dag_run, request.by, held.now, &mut new_attempt_id);
    let instances = named(&held, &cleared.instances);
    if request.dry_run || cleared.instances.is_empty() {
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
    let Some(held) = hold(connection, dags, dag_run_id, true).await? else { return Ok(Mutated::NoRun) };
    let plan = plan::mark_run(&held.state, to, by, held.now, &mut new_attempt_id);
    let keys: Vec<Key> = plan.tis.keys().copied().collect();
    let instances = named(&held, &keys);
    let written = commit(connection, classes, &held, &plan).await?;
    Ok(Mutated::Done(outcome(&held, instances, written)))
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
              c as (delete from dag_run_conf where dag_run_id = $1),
              n as (delete from dag_run_note where dag_run_id = $1)
         delete from dag_run where id = $1",
        dag_run_id
    )
    .execute(connection)
    .await?;
    Ok(Mutated::Done(true))
}

async fn hold(
    connection: &mut PgConnection,
    dags: &DagCache,
    dag_run_id: i64,
    follow: bool,
) -> Result<Option<Held>, StoreError> {
    let Some(locked) = lock_one(&mut *connection, dag_run_id).await? else { return Ok(None) };
    let (row, now) = read_row(&mut *connection, locked).await?;
    let version = row.follows.filter(|_| follow).unwrap_or(row.dag_version_id);
    let dag = dags.get(&mut *connection, version).await?;
    if version != row.dag_version_id {
        adopt(&mut *connection, &row, &dag, now).await?;
    }
    let state = load(connection, vec![(row.clone(), dag)]).await?.pop();
    Ok(state.map(|state| Held { row, state, version, now }))
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
    Outcome { dag_run_id: held.row.run.id, instances, changed: true, nodes: written.cancelled_on }
}
