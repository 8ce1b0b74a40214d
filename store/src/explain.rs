//! Why a task instance is not running: reads what plan and dispatch would read, and asks their own functions.

use chrono::{DateTime, Utc};
use updraft_core::{
    dispatch::{Candidate, affinity},
    explain::{AttemptFacts, Reason, RunFacts, explain},
    ids::AttemptId,
    plan::Key,
};

use crate::{
    Store, StoreError, dispatch,
    plan::{Locked, load, read_row},
    versions::DagCache,
};

/// What [`why`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    NoRun,
    /// The run's DAG version has no such task.
    NoTask,
    Reasons(Vec<Reason>),
}

/// Every reason that holds a task instance back now. Takes no lock: an answer for people, from one moment.
pub async fn why(
    store: &Store,
    dags: &DagCache,
    parallelism: u32,
    dag_id: &str,
    run_id: &str,
    task_id: &str,
    map_index: i32,
) -> Result<Why, StoreError> {
    let mut transaction = store.begin().await?;
    let run = sqlx::query!(
        r#"
        select r.id, r.tag, r.dag_fk, r.run_after, r.quarantine_reason, d.is_stale, d.max_active_runs, d.max_active_tasks,
               (select count(*) from dag_run o where o.dag_fk = d.id and o.state = 'running') as "running!",
               clock_timestamp() as "now!"
        from dag_run r join dag d on d.id = r.dag_fk where d.dag_id = $1 and r.run_id = $2
        "#,
        dag_id,
        run_id
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(run) = run else { return Ok(Why::NoRun) };
    let (row, _) = read_row(&mut transaction, Locked { id: run.id, tag: run.tag }).await?;
    let dag = dags.get(&mut *transaction, row.dag_version_id).await?;
    let Some(task) = dag.index_of(task_id) else { return Ok(Why::NoTask) };
    let key = Key { task, map_index };
    let now: DateTime<Utc> = run.now;
    let Some(state) = load(&mut transaction, vec![(row, dag)]).await?.pop() else { return Ok(Why::NoRun) };
    let attempt = sqlx::query!(
        r#"
        select a.attempt_id, a.class_id, a.priority_weight, a.placed_at, a.handed_at, a.started_at, a.trigger_at is not null as "is_triggerers!",
               a.trigger_state -> 'waiting_for' as waiting_for, e.name as "executor?"
        from attempt a left join executor e on e.id = a.executor_id
        where a.dag_run_id = $1 and a.task_id = $2 and a.map_index = $3 and a.kind = 'task'
        "#,
        run.id,
        task_id,
        map_index
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let waiting_for =
        attempt.as_ref().and_then(|row| row.waiting_for.clone()).map(serde_json::from_value).transpose()?;
    let attempt = attempt.map(|row| AttemptFacts {
        candidate: Candidate {
            attempt: AttemptId(row.attempt_id),
            class_id: row.class_id,
            dag_run_id: run.id,
            max_active_tasks: u32::try_from(run.max_active_tasks).unwrap_or(0),
            priority_weight: row.priority_weight,
            affinity: affinity(run.dag_fk, task_id),
        },
        executor: row.executor,
        placed_at: row.placed_at,
        handed_at: row.handed_at,
        started: row.started_at.is_some(),
        is_triggerers: row.is_triggerers,
        waiting_for,
    });
    let (capacity, classes) = dispatch::capacity(&mut transaction, parallelism).await?;
    let class = attempt.as_ref().and_then(|attempt| classes.get(&attempt.candidate.class_id));
    let facts = RunFacts {
        run_after: Some(run.run_after),
        max_active_runs: u32::try_from(run.max_active_runs).unwrap_or(0),
        running_runs: u32::try_from(run.running).unwrap_or(u32::MAX),
        quarantine_reason: run.quarantine_reason,
        dag_is_stale: run.is_stale,
    };
    Ok(Why::Reasons(explain(&state, &facts, key, attempt.as_ref(), &capacity, class, now)))
}
