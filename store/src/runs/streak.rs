//! `max_consecutive_failed_dag_runs`: a DAG whose runs keep failing is paused (semantics §2.3).

use crate::{Store, StoreError, audit, wake::Signal};

/// DAGs in one transaction, at most.
const BATCH: i64 = 200;

/// Pauses DAGs whose latest runs by `run_after`, as many as their limit says, have all failed. Looks only at DAGs with a run
/// that failed since the last look, so that one which a user unpauses stays so until its next failure. Returns the paused DAGs;
/// rings [`Signal::Dags`] if there are any.
///
/// Called by the scheduler's timetable loop in each pass: what a plan has left in `dag_run.failure_unseen` is not lost with a
/// scheduler. `dag_run_failure_unseen_idx` serves it. Lock order: dag → dag_run.
pub async fn pause_failing(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut transaction = store.begin().await?;
    let locked = sqlx::query_scalar!(
        "select d.id from dag d where d.id in (select dag_fk from dag_run where failure_unseen)
         order by d.id limit $1 for no key update skip locked",
        BATCH
    )
    .fetch_all(&mut *transaction)
    .await?;
    if locked.is_empty() {
        return Ok(Vec::new());
    }
    let paused = sqlx::query_scalar!(
        "update dag d set is_paused = true
         where d.id = any($1) and not d.is_paused and d.max_consecutive_failed_dag_runs > 0
           and (select count(*) filter (where latest.state = 'failed')
                from (select r.state from dag_run r where r.dag_fk = d.id order by r.run_after desc, r.id desc
                      limit d.max_consecutive_failed_dag_runs) latest) = d.max_consecutive_failed_dag_runs
         returning d.dag_id",
        &locked
    )
    .fetch_all(&mut *transaction)
    .await?;
    // A run that a plan holds at this moment is looked at again.
    sqlx::query!(
        "update dag_run set failure_unseen = false
         where id in (select id from dag_run where dag_fk = any($1) and failure_unseen order by id
                      for no key update skip locked)",
        &locked
    )
    .execute(&mut *transaction)
    .await?;
    for dag_id in &paused {
        let entry = audit::Entry {
            event: "paused",
            owner: Some("scheduler"),
            dag_id: Some(dag_id),
            extra: Some(serde_json::json!({"is_paused": true, "reason": "max_consecutive_failed_dag_runs"})),
            ..audit::Entry::default()
        };
        audit::write(&mut transaction, &entry).await?;
    }
    transaction.commit().await?;
    if !paused.is_empty() {
        store.wake().ring(Signal::Dags);
    }
    Ok(paused)
}
