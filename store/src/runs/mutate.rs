//! What users do to a run: clear task instances, mark it or some of them. Each holds the run's lock.

use sqlx::PgConnection;
use updraft_core::{
    plan::{self, Key, Selection},
    state::{DagRunState, TaskInstanceState},
};

use super::held::{Follow, Mutated, Outcome, commit, hold, hold_locked, named, outcome};
use crate::{
    StoreError,
    dispatch::Classes,
    plan::{RunRow, lock_one, new_attempt_id, read_row},
    versions::DagCache,
};

/// Takes the locks of several runs in the order of their ids, for a request that then changes them in an order of its own.
pub async fn hold_all(connection: &mut PgConnection, runs: &[i64]) -> Result<(), StoreError> {
    sqlx::query_scalar!("select id from dag_run where id = any($1) order by id for no key update", runs)
        .fetch_all(connection)
        .await?;
    Ok(())
}

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
    if request.dry_run || (cleared.instances.is_empty() && !held.has_new_version()) {
        return Ok(Mutated::Done(Outcome::unchanged(request.dag_run_id, instances)));
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
    let Some(held) = hold(&mut *connection, dags, dag_run_id, Follow::AsItDoes).await? else {
        return Ok(Mutated::NoRun);
    };
    let plan = plan::mark_run(&held.state, to, by, held.now, &mut new_attempt_id);
    let keys: Vec<Key> = plan.tis.keys().copied().collect();
    let instances = named(&held, &keys);
    let written = commit(&mut *connection, classes, &held, &plan).await?;
    if plan.run.is_some_and(|run| run.state.is_finished()) {
        sqlx::query!("update dag_run set marked_by = $2 where id = $1", dag_run_id, by).execute(connection).await?;
    }
    Ok(Mutated::Done(outcome(&held, instances, written)))
}

/// Which instances of one run to mark, and as what.
#[derive(Clone, Debug)]
pub struct MarkRequest<'a> {
    pub dag_run_id: i64,
    pub selection: Selection,
    /// `success`, `failed` or `skipped`.
    pub to: TaskInstanceState,
    /// Say what would be marked and write nothing.
    pub dry_run: bool,
    /// The user, for the tasks' logs.
    pub by: &'a str,
}

/// Marks task instances of one run (semantics §11.4); none in the outcome: all of them were in that state.
pub async fn mark_instances(
    connection: &mut PgConnection,
    classes: &Classes,
    dags: &DagCache,
    request: &MarkRequest<'_>,
) -> Result<Mutated<Outcome>, StoreError> {
    let follow = if request.dry_run { Follow::Stay } else { Follow::AsItDoes };
    let Some(held) = hold(&mut *connection, dags, request.dag_run_id, follow).await? else {
        return Ok(Mutated::NoRun);
    };
    let marked = plan::mark_tis(&held.state, &request.selection, request.to, request.by, held.now, &mut new_attempt_id);
    let instances = named(&held, &marked.instances);
    if request.dry_run || (marked.instances.is_empty() && !held.has_new_version()) {
        return Ok(Mutated::Done(Outcome::unchanged(request.dag_run_id, instances)));
    }
    let written = commit(connection, classes, &held, &marked.plan).await?;
    Ok(Mutated::Done(outcome(&held, instances, written)))
}

/// Gives a run the tasks that its DAG's latest version has and it lacks, and queues it if it had ended (Airflow's `only_new`).
/// In a dry run only says which those are.
pub async fn add_new_tasks(
    connection: &mut PgConnection,
    classes: &Classes,
    dags: &DagCache,
    dag_run_id: i64,
    dry_run: bool,
    by: &str,
) -> Result<Mutated<Outcome>, StoreError> {
    let Some(before) = hold(&mut *connection, dags, dag_run_id, Follow::Stay).await? else {
        return Ok(Mutated::NoRun);
    };
    let latest = latest_version(&mut *connection, &before.row).await?;
    let dag = dags.get(&mut *connection, latest).await?;
    let lacks = |id: &str| before.state.dag.index_of(id).is_none_or(|task| before.state.instances(task).is_empty());
    let new: Vec<_> =
        dag.tasks.iter().filter(|task| lacks(task.task_id.as_str())).map(|task| (task.task_id.clone(), -1)).collect();
    if dry_run || new.is_empty() {
        return Ok(Mutated::Done(Outcome::unchanged(dag_run_id, new)));
    }
    let Some(held) = hold(&mut *connection, dags, dag_run_id, Follow::Latest).await? else { return Ok(Mutated::NoRun) };
    let plan = plan::mark_run(&held.state, DagRunState::Queued, by, held.now, &mut new_attempt_id);
    let written = commit(connection, classes, &held, &plan).await?;
    Ok(Mutated::Done(outcome(&held, new, written)))
}

async fn latest_version(connection: &mut PgConnection, row: &RunRow) -> Result<i64, StoreError> {
    let latest = sqlx::query_scalar!("select latest_version_id from dag where id = $1", row.dag_fk)
        .fetch_one(connection)
        .await?;
    Ok(latest.unwrap_or(row.dag_version_id))
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
