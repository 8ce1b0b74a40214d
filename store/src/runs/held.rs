//! A run in somebody's hands: locked, loaded in the version it follows, and written back.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use updraft_core::{
    ids::TaskId,
    plan::{Key, Plan, RunState},
};

use super::adopt;
use crate::{
    Store, StoreError,
    dispatch::Classes,
    plan::{Planned, RunRow, Written, load, lock_one, read_row, write},
    versions::DagCache,
    wake::Signal,
};

/// What a mutation met.
#[derive(Debug)]
pub enum Mutated<T> {
    Done(T),
    /// The run does not exist (any more).
    NoRun,
}

/// What a mutation changed, and whom to wake after the commit.
#[derive(Debug)]
pub struct Outcome {
    pub dag_run_id: i64,
    /// Task and map index of each.
    pub instances: Vec<(TaskId, i32)>,
    changed: bool,
    notices: bool,
    nodes: BTreeSet<i64>,
}

impl Outcome {
    /// Nothing was written; the instances are those that would have been.
    pub(super) fn unchanged(dag_run_id: i64, instances: Vec<(TaskId, i32)>) -> Self {
        Self { dag_run_id, instances, changed: false, notices: false, nodes: BTreeSet::new() }
    }

    /// The instances are gone.
    pub(super) fn deleted(dag_run_id: i64, instances: Vec<(TaskId, i32)>, nodes: BTreeSet<i64>) -> Self {
        Self { dag_run_id, instances, changed: true, notices: false, nodes }
    }

    /// Wakes scheduler and nodes, and tells those who show the run. Call it after the commit.
    pub fn ring(&self, store: &Store) {
        if !self.changed {
            return;
        }
        store.wake().ring(Signal::Run(self.dag_run_id));
        store.wake().changed(self.dag_run_id);
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
pub(super) struct Held {
    pub(super) row: RunRow,
    pub(super) state: RunState,
    pub(super) version: i64,
    pub(super) now: DateTime<Utc>,
}

impl Held {
    /// Another version was adopted: it must be written, whatever the plan says.
    pub(super) fn has_new_version(&self) -> bool {
        self.version != self.row.dag_version_id
    }
}

/// Which version a held run is looked at in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// The one it has: nothing is written.
    Stay,
    /// A folder's run the latest one, a pinned one its own (semantics §14).
    AsItDoes,
    /// The latest one, also where it was pinned.
    Latest,
}

/// Locks and loads a run; `None`: there is none.
pub(super) async fn hold(
    connection: &mut PgConnection,
    dags: &DagCache,
    dag_run_id: i64,
    follow: Follow,
) -> Result<Option<Held>, StoreError> {
    let Some(locked) = lock_one(&mut *connection, dag_run_id).await? else { return Ok(None) };
    let (row, now) = read_row(&mut *connection, locked).await?;
    hold_locked(connection, dags, row, now, follow).await
}

/// The same of a run that is locked and read already.
pub(super) async fn hold_locked(
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
        "update dag_run r set bundle_version = v.bundle_version,
                bundle_hash = case when v.bundle_version is not null then v.bundle_hash end
         from dag d join dag_version v on v.id = d.latest_version_id
         where r.id = $1 and d.id = r.dag_fk returning v.id",
        row.run.id
    )
    .fetch_optional(connection)
    .await?;
    Ok(latest)
}

/// Writes a plan of the held run, with the version it was made in.
pub(super) async fn commit(
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

/// The instances by name.
pub(super) fn named(held: &Held, keys: &[Key]) -> Vec<(TaskId, i32)> {
    keys.iter().map(|key| (held.state.dag.tasks[key.task].task_id.clone(), key.map_index)).collect()
}

/// What was written, for the caller.
pub(super) fn outcome(held: &Held, instances: Vec<(TaskId, i32)>, written: Written) -> Outcome {
    Outcome {
        dag_run_id: held.row.run.id,
        instances,
        changed: true,
        notices: written.notices,
        nodes: written.cancelled_on,
    }
}
