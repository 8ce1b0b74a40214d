//! Notices that are functions of the DAG's code: each is called by a node, as work of the kind `callback`.
//!
//! Its attempt is placed, handed out, fenced and missed as a task's is; what it comes to is the notice's, not the run's. The
//! attempt's row goes with the first word about its end. While the notice stays `running` without one, or with one that was
//! given up, a scheduler decides when it is tried again.

use std::{collections::BTreeMap, time::Duration};

use sqlx::PgConnection;
use updraft_core::{
    dag::{CallbackAction, Task},
    ids::AttemptId,
    notify::Facts,
    operator::OperatorKind,
    spec::{Call, FailureClass, Outcome, TaskSpec},
};
use uuid::Uuid;

use super::{
    claim::{Claimed, Ended, short},
    context::{Context, context},
};
use crate::{Store, StoreError, dispatch::Classes, nodes::Run, nodes::interval, wake::Signal};

/// Makes a claimed notice work for a node; the notice is `running` from then on. `false`: the claim's time had passed and somebody
/// else took it. Rings [`Signal::Dispatch`] after the commit.
pub async fn launch(store: &Store, classes: &Classes, notice: &Claimed, context: &Context) -> Result<bool, StoreError> {
    let facts = context.spec.callback.as_deref().unwrap_or(&notice.facts);
    let ti = facts.ti.as_ref();
    // A run without an instance goes where its first task would.
    let own = ti.and_then(|ti| context.dag.task(ti.task_id.as_str())).or_else(|| context.dag.tasks.first());
    let nowhere = || Task::new("", OperatorKind::Empty, "");
    let mut connection = store.pool().acquire().await?;
    // Two commits: a class may be another launch's at once, so it has to outlive a failure of this one.
    let class_id = match own {
        Some(task) => classes.of_callbacks(&mut connection, task).await?,
        None => classes.of_callbacks(&mut connection, &nowhere()).await?,
    };
    // Ahead of waiting tasks: what it tells of has happened.
    let launched = sqlx::query!(
        "with taken as (
             update outbox set state = 'running', attempt_id = $3, claimed_by = null, facts = $4
             where key = $1 and claimed_by = $2 and state = 'pending' returning dag_run_id
         )
         insert into attempt (attempt_id, kind, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight,
                              run_order, pool, pool_slots)
         select $3, 'callback', r.id, $5, $6, $7, r.dag_fk, $8, $9, coalesce(r.logical_date, r.run_after), '', 0
         from taken t join dag_run r on r.id = t.dag_run_id",
        notice.claim.key,
        notice.claim.claimed_by,
        Uuid::new_v4(),
        serde_json::to_value(facts)?,
        ti.map_or("", |ti| ti.task_id.as_str()),
        ti.map_or(-1, |ti| ti.map_index),
        ti.map_or(0, |ti| ti.try_number),
        class_id,
        i32::MAX
    )
    .execute(&mut *connection)
    .await?;
    if launched.rows_affected() == 0 {
        return Ok(false);
    }
    store.wake().ring(Signal::Dispatch);
    Ok(true)
}

/// What a handed out callback calls; `Err`: the stored notice cannot be read.
pub(crate) type Notice = Result<(Call, Facts), String>;

/// The notices behind attempts of the kind `callback`, by attempt. Called by a hand-out with any; `outbox_attempt_idx` serves it.
pub(crate) async fn notices(
    connection: &mut PgConnection,
    attempts: &[Uuid],
) -> Result<BTreeMap<Uuid, Notice>, StoreError> {
    let rows = sqlx::query!(
        r#"select key, attempt_id as "attempt_id!", action, facts from outbox where attempt_id = any($1) and state = 'running'"#,
        attempts
    )
    .fetch_all(connection)
    .await?;
    let read = |key, action, facts| -> Notice {
        let unreadable = |error| format!("the stored notice cannot be read: {error}");
        let facts = serde_json::from_value(facts).map_err(unreadable)?;
        match serde_json::from_value(action).map_err(unreadable)? {
            CallbackAction::Python { callable, file, kwargs } => Ok((Call { key, callable, file, kwargs }, facts)),
            other => Err(format!("`{other:?}` is no function")),
        }
    };
    Ok(rows.into_iter().map(|row| (row.attempt_id, read(row.key, row.action, row.facts))).collect())
}

/// A callback as its node gets it.
pub(crate) fn spec(attempt_id: Uuid, run: &Run, notice: Notice) -> Result<TaskSpec, String> {
    let dag = run.dag.as_ref().map_err(Clone::clone)?;
    let (call, facts) = notice?;
    Ok(context(run, dag, facts).calling(AttemptId(attempt_id), call))
}

/// What a node's word about the end of a callback makes of its notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Delivered,
    /// The function failed, or cannot be called: so it would the next time.
    Failed(String),
    /// The node failed: a scheduler says when it is tried again.
    Again(String),
}

impl Word {
    /// From the end of an attempt.
    pub(crate) fn of(outcome: Outcome, class: Option<FailureClass>, reason: Option<&str>) -> Self {
        let reason = reason.unwrap_or("the callback failed without a reason").to_owned();
        match outcome {
            Outcome::Success => Self::Delivered,
            Outcome::Failed if class.is_some_and(FailureClass::is_of_the_node) => Self::Again(reason),
            Outcome::Failed | Outcome::Skipped | Outcome::Rescheduled => Self::Failed(reason),
        }
    }
}

/// Ends attempts of callbacks and writes what their notices come to, in the caller's transaction, which holds the attempts. The
/// caller rings [`Signal::Outbox`] and [`Signal::Dispatch`] after its commit.
pub(crate) async fn settle(connection: &mut PgConnection, words: &BTreeMap<Uuid, Word>) -> Result<(), StoreError> {
    let attempts: Vec<Uuid> = words.keys().copied().collect();
    let (states, errors): (Vec<&str>, Vec<Option<String>>) = words
        .values()
        .map(|word| match word {
            Word::Delivered => ("delivered", None),
            Word::Failed(error) => ("failed", Some(short(error))),
            Word::Again(error) => ("running", Some(short(error))),
        })
        .unzip();
    sqlx::query!(
        "with words as (
             select * from unnest($1::uuid[], $2::text[], $3::text[]) as w (attempt_id, state, error)
         ), gone as (
             delete from attempt a using words w where a.attempt_id = w.attempt_id and a.kind = 'callback'
         )
         update outbox o
         set state = w.state, last_error = coalesce(w.error, o.last_error),
             ended_at = case when w.state <> 'running' then now() end
         from words w where o.attempt_id = w.attempt_id and o.state = 'running'",
        &attempts,
        &states as &[&str],
        &errors as &[Option<String>]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A running notice that no node works on any more.
#[derive(Clone, Debug)]
pub struct Lost {
    pub key: Uuid,
    attempt_id: Uuid,
    pub tries: u32,
    /// Since the change.
    pub age: Duration,
    /// What became of the try.
    pub error: String,
}

/// Notices whose attempt was given up, or failed by its node's fault; a hundred at most. Called by each scheduler when the bell
/// rings and every few seconds; `outbox_attempt_idx` serves it.
pub async fn lost(store: &Store) -> Result<Vec<Lost>, StoreError> {
    let rows = sqlx::query!(
        r#"select o.key, o.attempt_id as "attempt_id!", o.tries, o.last_error,
                  (extract(epoch from now() - coalesce(o.retried_at, o.created_at)) * 1000)::bigint as "age_ms!",
                  a.attempt_id is not null as "given_up!", e.name as "node?"
           from outbox o
           left join attempt a on a.attempt_id = o.attempt_id
           left join executor e on e.id = a.executor_id
           where o.state = 'running' and (a.attempt_id is null or a.given_up)
           limit 100"#
    )
    .fetch_all(store.pool())
    .await?;
    let error = |given_up: bool, node: Option<String>, told: Option<String>| match node {
        Some(node) if given_up => format!("the node {node} was lost with the callback, or did not start it in time"),
        _ => told.unwrap_or_else(|| "the node that ran the callback was lost".to_owned()),
    };
    Ok(rows
        .into_iter()
        .map(|row| Lost {
            key: row.key,
            attempt_id: row.attempt_id,
            tries: row.tries.unsigned_abs(),
            age: Duration::from_millis(u64::try_from(row.age_ms).unwrap_or(0)),
            error: error(row.given_up, row.node, row.last_error),
        })
        .collect())
}

/// Says what becomes of a lost notice, and fences its attempt. `false`: its node, or another scheduler, had a word meanwhile.
pub async fn mark_lost(store: &Store, lost: &Lost, ended: &Ended) -> Result<bool, StoreError> {
    let (state, after, error) = ended.stored();
    let marked = sqlx::query!(
        "with gone as (delete from attempt where attempt_id = $1 and kind = 'callback')
         update outbox
         set state = $2, last_error = coalesce($4, last_error), due_at = now() + $3::interval,
             ended_at = case when $2 <> 'pending' then now() end
         where attempt_id = $1 and state = 'running'",
        lost.attempt_id,
        state,
        interval(after.unwrap_or_default()),
        error
    )
    .execute(store.pool())
    .await?;
    Ok(marked.rows_affected() > 0)
}
