//! Deleting a run, or some of its task instances, with everything they left; [`crate::delete_dag`] deletes all runs of a DAG.
//!
//! What a node works on is fenced and cancelled as by any other mutation: the node stops it, and what it reports is stale.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use updraft_core::{
    ids::TaskId,
    plan::{CANCEL_GRACE, stop_deadline},
};

use super::held::{Mutated, Outcome};
use crate::{Store, StoreError, dags, plan::lock_one, wake::Signal};

/// Whom a deletion concerns.
#[derive(Debug, Default)]
pub struct Deleted {
    pub(crate) runs: Vec<i64>,
    /// Nodes with attempts to stop.
    pub(crate) nodes: BTreeSet<i64>,
}

impl Deleted {
    /// Wakes scheduler and nodes, since what is gone may let others start, and tells those who show the runs. Call it after the
    /// commit.
    pub fn ring(&self, store: &Store) {
        for &run in &self.runs {
            store.wake().changed(run);
        }
        store.wake().ring(Signal::Dags);
        store.wake().ring(Signal::Dispatch);
        for &node in &self.nodes {
            store.wake().ring(Signal::Executor(node));
        }
    }
}

/// Deletes a run that is not running, with everything it left. `Done(None)`: it is running.
pub async fn delete(connection: &mut PgConnection, dag_run_id: i64) -> Result<Mutated<Option<Deleted>>, StoreError> {
    if lock_one(&mut *connection, dag_run_id).await?.is_none() {
        return Ok(Mutated::NoRun);
    }
    let running =
        sqlx::query_scalar!(r#"select state = 'running' as "running!" from dag_run where id = $1"#, dag_run_id)
            .fetch_one(&mut *connection)
            .await?;
    if running {
        return Ok(Mutated::Done(None));
    }
    let nodes = delete_locked(connection, &[dag_run_id], "the run was deleted").await?;
    Ok(Mutated::Done(Some(Deleted { runs: vec![dag_run_id], nodes })))
}

/// Deletes runs whose locks are held, with everything they left; the nodes that have attempts of theirs to stop.
pub(crate) async fn delete_locked(
    connection: &mut PgConnection,
    runs: &[i64],
    reason: &str,
) -> Result<BTreeSet<i64>, StoreError> {
    let nodes = fence(&mut *connection, runs, None, reason).await?;
    sqlx::query!(
        "with e as (delete from task_event where dag_run_id = any($1)),
              x as (delete from xcom where dag_run_id = any($1)),
              h as (delete from task_instance_history where dag_run_id = any($1)),
              t as (delete from task_instance where dag_run_id = any($1)),
              l as (delete from attempt_log where dag_run_id = any($1)),
              g as (insert into log_garbage (attempt_id, dag_id, run_id, task_id, map_index, try_number)
                    select l.attempt_id, d.dag_id, r.run_id, l.task_id, l.map_index, l.try_number
                    from attempt_log l join dag_run r on r.id = l.dag_run_id join dag d on d.id = r.dag_fk
                    where l.dag_run_id = any($1)
                    on conflict do nothing),
              q as (delete from hitl_detail where dag_run_id = any($1)),
              o as (delete from outbox where dag_run_id = any($1)),
              d as (delete from deadline where dag_run_id = any($1)),
              i as (delete from task_instance_note where dag_run_id = any($1)),
              s as (delete from task_state_store where dag_run_id = any($1)),
              c as (delete from dag_run_conf where dag_run_id = any($1)),
              n as (delete from dag_run_note where dag_run_id = any($1)),
              v as (delete from dag_run_asset_event where dag_run_id = any($1))
         delete from dag_run where id = any($1)",
        runs
    )
    .execute(connection)
    .await?;
    Ok(nodes)
}

/// Deletes task instances of a run, whatever their state, with their tries, XComs, notes, stored state and logs. The run
/// goes on without them; a later version of its DAG, or of a mapped task's list, brings them back.
pub async fn delete_instances(
    connection: &mut PgConnection,
    dag_run_id: i64,
    instances: &[(TaskId, i32)],
) -> Result<Mutated<Outcome>, StoreError> {
    if lock_one(&mut *connection, dag_run_id).await?.is_none() {
        return Ok(Mutated::NoRun);
    }
    let reason = "the task instance was deleted";
    let nodes = fence(&mut *connection, &[dag_run_id], Some(instances), reason).await?;
    let (task_ids, map_indexes) = columns(instances);
    // A run that is planned from its cache is read anew, for its tag is another one.
    sqlx::query!(
        "with k as materialized (select * from unnest($2::text[], $3::integer[]) as k(task_id, map_index)),
              e as (delete from task_event x using k
                    where x.dag_run_id = $1 and x.task_id = k.task_id and x.map_index = k.map_index),
              x as (delete from xcom x using k
                    where x.dag_run_id = $1 and x.task_id = k.task_id and x.map_index = k.map_index),
              h as (delete from task_instance_history x using k
                    where x.dag_run_id = $1 and x.task_id = k.task_id and x.map_index = k.map_index),
              t as (delete from task_instance x using k
                    where x.dag_run_id = $1 and x.task_id = k.task_id and x.map_index = k.map_index
                    returning x.state),
              l as (delete from attempt_log x using k
                    where x.dag_run_id = $1 and x.task_id = k.task_id and x.map_index = k.map_index),
              g as (insert into log_garbage (attempt_id, dag_id, run_id, task_id, map_index, try_number)
                    select l.attempt_id, d.dag_id, r.run_id, l.task_id, l.map_index, l.try_number
                    from attempt_log l join k on l.task_id = k.task_id and l.map_index = k.map_index
                    join dag_run r on r.id = l.dag_run_id join dag d on d.id = r.dag_fk
                    where l.dag_run_id = $1
                    on conflict do nothing),
              q as (delete from hitl_detail x using k
                    where x.dag_run_id = $1 and x.task_id = k.task_id and x.map_index = k.map_index),
              o as (delete from outbox x using k
                    where x.dag_run_id = $1 and x.task_id = k.task_id and x.map_index = k.map_index),
              i as (delete from task_instance_note x using k
                    where x.dag_run_id = $1 and x.task_id = k.task_id and x.map_index = k.map_index),
              s as (delete from task_state_store x using k
                    where x.dag_run_id = $1 and x.task_id = k.task_id and x.map_index = k.map_index)
         update dag_run set tag = $4, wake_at = case when state = 'running' then now() else wake_at end,
                            failed_tasks = failed_tasks - (select count(*) from t where state = 'failed')::integer
         where id = $1",
        dag_run_id,
        &task_ids,
        &map_indexes,
        rand::random::<i64>()
    )
    .execute(connection)
    .await?;
    Ok(Mutated::Done(Outcome::deleted(dag_run_id, instances.to_vec(), nodes)))
}

/// Ends the attempts of runs, or of some instances of one, in the order in which everybody locks them, and cancels those that a
/// node has. A statement of its own, before the rest goes: it waits for reports that hold the rows, and only the next statement
/// sees what they wrote.
async fn fence(
    connection: &mut PgConnection,
    runs: &[i64],
    instances: Option<&[(TaskId, i32)]>,
    reason: &str,
) -> Result<BTreeSet<i64>, StoreError> {
    let (task_ids, map_indexes) = instances.map(columns).unzip();
    let deadline = stop_deadline(dags::now(&mut *connection).await?);
    let grace_ms = i64::try_from(CANCEL_GRACE.as_millis()).expect("seconds fit");
    let nodes = sqlx::query_scalar!(
        r#"
        with held as materialized (
            select attempt_id from attempt
            where dag_run_id = any($1)
              and ($2::text[] is null
                   or (task_id, map_index) in (select * from unnest($2::text[], $3::integer[])))
            order by attempt_id for update
        ), gone as (
            delete from attempt a using held where a.attempt_id = held.attempt_id
            returning a.attempt_id, a.dag_run_id, a.task_id, a.map_index, a.executor_id, a.handed_at
        ), cancels as (
            insert into attempt_cancel (attempt_id, dag_run_id, task_id, map_index, executor_id, reason, grace_ms, deadline)
            select attempt_id, dag_run_id, task_id, map_index, executor_id, $4, $5, $6 from gone where handed_at is not null
            on conflict do nothing
            returning executor_id
        )
        select distinct executor_id as "executor_id!" from cancels
        "#,
        runs,
        task_ids.as_deref(),
        map_indexes.as_deref(),
        reason,
        grace_ms,
        deadline
    )
    .fetch_all(connection)
    .await?;
    Ok(nodes.into_iter().collect())
}

fn columns(instances: &[(TaskId, i32)]) -> (Vec<String>, Vec<i32>) {
    instances.iter().map(|(task_id, map_index)| (task_id.to_string(), *map_index)).unzip()
}
