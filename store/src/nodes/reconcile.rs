//! Both sides compare what they have, so that a lost word on either side is found within seconds.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use sqlx::{PgConnection, postgres::types::PgInterval};
use uuid::Uuid;

use super::{TokenId, inbox};
use crate::{Store, StoreError, wake::Signal};

/// How far an attempt is on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeAttemptState {
    Received,
    Running,
    /// Ended, the result is in the node's journal.
    Finished,
    Stopping,
}

/// One attempt that a node has.
#[derive(Clone, Copy, Debug)]
pub struct NodeAttempt {
    pub attempt_id: Uuid,
    pub state: NodeAttemptState,
}

/// What the node must do now, and the runs that lost an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Unknown to the server: stop and remove.
    pub stop: Vec<Uuid>,
    /// Finished on the node, live on the server: report again.
    pub report_again: Vec<Uuid>,
    /// Attempts the node does not know though it had them: a `lost` event was written.
    pub lost: Vec<Uuid>,
    runs: BTreeSet<i64>,
    /// Callbacks were among them: their notices wait for a scheduler.
    callbacks: bool,
}

impl Reconciled {
    /// Wakes the runs that lost an attempt. Call it after the commit.
    pub(super) fn ring(&self, store: &Store) {
        for run in &self.runs {
            store.wake().ring(Signal::Run(*run));
        }
        if self.callbacks {
            store.wake().ring(Signal::Outbox);
        }
    }
}

/// Compares the node's full set with the server's. `None`: the session is unknown, the node must register.
///
/// Called every 30 s per node; served by `executor_session_key`, `attempt_placed_idx`.
pub async fn reconcile(
    store: &Store,
    token: TokenId,
    session: Uuid,
    attempts: &[NodeAttempt],
) -> Result<Option<Reconciled>, StoreError> {
    let mut transaction = store.begin().await?;
    let executor_id = sqlx::query_scalar!(
        "select id from executor where session = $1 and token_id = $2 for no key update",
        session,
        token.0
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(executor_id) = executor_id else { return Ok(None) };
    let reconciled = settle(&mut transaction, executor_id, attempts, true).await?;
    transaction.commit().await?;
    reconciled.ring(store);
    Ok(Some(reconciled))
}

/// The comparison itself, in the caller's transaction. The caller rings after its commit.
///
/// A session misses what it has started: it knows that until the result is settled. What was handed to it and it does not name may
/// still be on its way, or its answer was lost, with the webserver that gave it for instance: the next poll brings it again, and
/// the launch deadline ends what is never started. An earlier session may have started whatever was handed to it.
pub(super) async fn settle(
    connection: &mut PgConnection,
    executor_id: i64,
    attempts: &[NodeAttempt],
    is_same_session: bool,
) -> Result<Reconciled, StoreError> {
    let ours = sqlx::query!(
        r#"select attempt_id, (started_at is not null or handed_at is not null and not $2) as "missable!"
           from attempt where executor_id = $1"#,
        executor_id,
        is_same_session
    )
    .fetch_all(&mut *connection)
    .await?;
    let live: HashMap<Uuid, bool> = ours.into_iter().map(|row| (row.attempt_id, row.missable)).collect();
    let theirs: HashSet<Uuid> = attempts.iter().map(|attempt| attempt.attempt_id).collect();

    let mut reconciled = Reconciled::default();
    for attempt in attempts {
        match (live.contains_key(&attempt.attempt_id), attempt.state) {
            (true, NodeAttemptState::Finished) => reconciled.report_again.push(attempt.attempt_id),
            (true, NodeAttemptState::Received | NodeAttemptState::Running | NodeAttemptState::Stopping)
            | (false, NodeAttemptState::Finished) => {}
            (false, NodeAttemptState::Received | NodeAttemptState::Running | NodeAttemptState::Stopping) => {
                reconciled.stop.push(attempt.attempt_id);
            }
        }
    }
    if !reconciled.stop.is_empty() {
        // A cancel is the gentler word (it has a grace and wants a `stopped` report), and polls offer it.
        let cancelled: HashSet<Uuid> = sqlx::query_scalar!(
            "select attempt_id from attempt_cancel where executor_id = $1 and attempt_id = any($2) and deadline > now()",
            executor_id,
            &reconciled.stop
        )
        .fetch_all(&mut *connection)
        .await?
        .into_iter()
        .collect();
        reconciled.stop.retain(|attempt_id| !cancelled.contains(attempt_id));
    }
    let missing: Vec<Uuid> = live
        .into_iter()
        .filter(|(attempt_id, missable)| *missable && !theirs.contains(attempt_id))
        .map(|(attempt_id, _)| attempt_id)
        .collect();
    if !missing.is_empty() {
        let reason = "the node does not know the attempt: it restarted or lost its data folder after taking it";
        let lost = insert_lost(connection, executor_id, &missing, reason).await?;
        reconciled.runs = lost.iter().filter_map(|(_, run)| *run).collect();
        reconciled.callbacks = lost.iter().any(|(_, run)| run.is_none());
        reconciled.lost = lost.into_iter().map(|(attempt_id, _)| attempt_id).collect();
    }
    Ok(reconciled)
}

/// Writes `lost` for attempts that were handed to the node; not for one whose end is in the inbox already. They are given up: no
/// poll brings them any more. A callback has no inbox; its notice is a scheduler's to try again. Each with its run, if it is a task.
async fn insert_lost(
    connection: &mut PgConnection,
    executor_id: i64,
    attempts: &[Uuid],
    reason: &str,
) -> Result<Vec<(Uuid, Option<i64>)>, StoreError> {
    let body = serde_json::to_value(inbox::Lost { handed: true, reason: reason.to_owned() })?;
    let rows = sqlx::query!(
        "with pick as (
             select a.attempt_id from attempt a
             where a.attempt_id = any($2) and a.executor_id = $1 and not a.given_up
               and not exists (select from task_event e
                               where e.dag_run_id = a.dag_run_id and e.attempt_id = a.attempt_id and e.kind = $5)
             order by a.attempt_id for no key update of a
         ), lost as (
             update attempt a set given_up = true from pick where a.attempt_id = pick.attempt_id
             returning a.dag_run_id, a.task_id, a.map_index, a.attempt_id, a.kind
         ), told as (
             insert into task_event (dag_run_id, task_id, map_index, attempt_id, kind, body)
             select dag_run_id, task_id, map_index, attempt_id, $3, $4 from lost where kind = 'task'
         )
         select attempt_id, case kind when 'task' then dag_run_id end as run from lost",
        executor_id,
        attempts,
        inbox::LOST,
        body,
        inbox::FINISHED
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.attempt_id, row.run)).collect())
}

/// Of these runs (DAG id, run id) those that ended or do not exist.
///
/// Called every 30 s by nodes that keep something for a run; served by `dag_dag_id_key`, `dag_run_run_id_key`.
pub async fn over(store: &Store, runs: &[(String, String)]) -> Result<Vec<(String, String)>, StoreError> {
    let (dags, ids): (Vec<String>, Vec<String>) = runs.iter().cloned().unzip();
    let rows = sqlx::query!(
        r#"select o.dag_id as "dag_id!", o.run_id as "run_id!" from unnest($1::text[], $2::text[]) as o (dag_id, run_id)
           where not exists (
               select from dag_run r join dag d on d.id = r.dag_fk
               where d.dag_id = o.dag_id and r.run_id = o.run_id and r.state in ('queued', 'running')
           )"#,
        &dags,
        &ids
    )
    .fetch_all(store.pool())
    .await?;
    Ok(rows.into_iter().map(|row| (row.dag_id, row.run_id)).collect())
}

/// A duration as Postgres takes it.
pub(crate) fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) }
}
