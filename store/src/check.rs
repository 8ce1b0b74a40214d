//! The invariants of the state, one query each: `updraft db check`, and what the fault tests ask after every run.
//!
//! Each query returns the offenders in words; an empty answer is a sound state. They are read in one snapshot, so they may be
//! asked of a busy deployment.

use sqlx::PgConnection;

use crate::{Store, StoreError};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What should hold, in a sentence.
    pub invariant: &'static str,
    /// Which rows break it; at most [`SHOWN`].
    pub offenders: Vec<String>,
}

/// Offenders shown per invariant, at most.
pub const SHOWN: usize = 20;

/// What must hold at any moment, and a query of the rows for which it does not.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "a task instance is scheduled, queued, running, deferred or awaiting_input exactly while it has an attempt",
        "select format('run %s task %s is %s, attempt %s', t.dag_run_id, t.task_id, t.state, coalesce(a.attempt_id::text, 'none'))
         from task_instance t
         full join (select * from attempt where kind = 'task') a
           on a.dag_run_id = t.dag_run_id and a.task_id = t.task_id and a.map_index = t.map_index
         where (t.state in ('scheduled', 'queued', 'running', 'deferred', 'awaiting_input')) is distinct from (a.attempt_id is not null)
            or (a.attempt_id is not null and a.attempt_id <> t.attempt_id)",
    ),
    (
        "an attempt of a callback is that of a running notice",
        "select format('attempt %s of run %s', a.attempt_id, a.dag_run_id) from attempt a
         where a.kind = 'callback' and not exists (select from outbox o where o.attempt_id = a.attempt_id and o.state = 'running')",
    ),
    // A deadlock leaves undecided instances in a failed run, a clear that leaves the run alone in any.
    (
        "a finished run has no unfinished task instance",
        "select format('run %s is %s, task %s is %s', r.id, r.state, t.task_id, t.state)
         from dag_run r join task_instance t on t.dag_run_id = r.id
         where r.state in ('success', 'failed')
           and t.state not in ('success', 'skipped', 'failed', 'upstream_failed', 'removed')
           and not (t.state = 'none' and (r.state = 'failed' or r.clear_number > 0 or t.try_number > 0))",
    ),
    (
        "a task instance is restarting exactly while an earlier attempt of it is being stopped",
        "select format('run %s task %s[%s] is %s, stopping %s', dag_run_id, task_id, map_index, state, coalesce(stopping_attempt::text, 'nothing'))
         from task_instance where (state = 'restarting') is distinct from (stopping_attempt is not null)",
    ),
    (
        "what waits for its next try or its next look knows when that is",
        "select format('run %s task %s[%s] is %s', dag_run_id, task_id, map_index, state)
         from task_instance where state in ('up_for_retry', 'up_for_reschedule') and next_retry_at is null",
    ),
    (
        "a task has one instance, or those of a mapped one counted from 0 without gaps",
        "select format('run %s task %s has %s instances from %s to %s', dag_run_id, task_id, count(*), min(map_index), max(map_index))
         from task_instance group by dag_run_id, task_id
         having max(map_index) + 1 <> count(*) filter (where map_index >= 0)
             or (bool_or(map_index < 0 and state <> 'removed') and bool_or(map_index >= 0 and state <> 'removed'))",
    ),
    (
        "no run has more attempts placed than its DAG's max_active_tasks",
        "select format('run %s: %s placed attempts of %s', r.id, count(*), d.max_active_tasks)
         from attempt a join dag_run r on r.id = a.dag_run_id join dag d on d.id = r.dag_fk
         where a.executor_id is not null and a.kind = 'task' group by r.id, d.max_active_tasks having count(*) > d.max_active_tasks",
    ),
    (
        "no task has more attempts placed in its DAG than max_active_tis_per_dag",
        "select format('%s: %s placed attempts of %s', c.cap_key, count(*), min(c.cap))
         from attempt a join dispatch_class c on c.id = a.class_id
         where a.executor_id is not null and c.cap is not null group by c.cap_key having count(*) > max(c.cap)",
    ),
    (
        "a finished task instance has an end",
        "select format('run %s task %s is %s without an end', dag_run_id, task_id, state) from task_instance
         where state in ('success', 'failed') and end_date is null",
    ),
    (
        "no pool has more slots in use than it has",
        "select format('pool %s: %s of %s slots', p.pool, sum(a.pool_slots), p.slots)
         from attempt a join slot_pool p on p.pool = a.pool
         where a.executor_id is not null and p.slots >= 0 group by p.pool, p.slots having sum(a.pool_slots) > p.slots",
    ),
    (
        "no node has more attempts than slots",
        "select format('node %s: %s attempts on %s slots', e.name, count(*), e.slots)
         from attempt a join executor e on e.id = a.executor_id group by e.id having count(*) > e.slots",
    ),
    (
        "no DAG runs more than max_active_runs at once",
        "select format('dag %s: %s running runs of %s', d.dag_id, count(*), d.max_active_runs)
         from dag_run r join dag d on d.id = r.dag_fk
         where r.state = 'running' and r.backfill_id is null group by d.id having count(*) > d.max_active_runs",
    ),
    (
        "no backfill runs more than its max_active_runs at once",
        "select format('backfill %s: %s running runs of %s', b.id, count(*), b.max_active_runs)
         from dag_run r join backfill b on b.id = r.backfill_id
         where r.state = 'running' group by b.id having count(*) > b.max_active_runs",
    ),
    (
        "every event and every attempt belongs to a run",
        "select format('%s of run %s', x.what, x.dag_run_id)
         from (select 'attempt' as what, dag_run_id from attempt union all select 'event', dag_run_id from task_event) x
         where not exists (select 1 from dag_run r where r.id = x.dag_run_id)",
    ),
    (
        "a try is archived once and its number is never the current one",
        "select format('run %s task %s try %s', h.dag_run_id, h.task_id, h.try_number)
         from task_instance_history h
         join task_instance t on t.dag_run_id = h.dag_run_id and t.task_id = h.task_id and t.map_index = h.map_index
         where h.try_number > t.try_number or (h.attempt_id = t.attempt_id)
         union all
         select format('run %s task %s try %s twice', dag_run_id, task_id, try_number) from task_instance_history
         group by dag_run_id, task_id, map_index, try_number having count(*) > 1",
    ),
    (
        "a DAG takes an asset event once, and then it waits no more",
        "select format('dag %s event %s: taken %s times', d.dag_id, t.event_id, count(*))
         from dag_run_asset_event t join dag_run r on r.id = t.dag_run_id join dag d on d.id = r.dag_fk
         group by d.dag_id, t.event_id having count(*) > 1
         union all
         select format('dag %s event %s: taken and waiting', q.dag_fk, q.event_id)
         from asset_dag_run_queue q join dag_run_asset_event t on t.event_id = q.event_id
         join dag_run r on r.id = t.dag_run_id and r.dag_fk = q.dag_fk",
    ),
    (
        "no run is in quarantine",
        "select format('run %s: %s', id, quarantine_reason) from dag_run where quarantine_reason is not null",
    ),
];

/// Asks every invariant, in one snapshot.
pub async fn invariants(store: &Store) -> Result<Vec<Violation>, StoreError> {
    let mut transaction = store.begin().await?;
    sqlx::query("set transaction isolation level repeatable read, read only").execute(&mut *transaction).await?;
    let mut violations = Vec::new();
    for &(invariant, query) in INVARIANTS {
        let offenders = offenders(&mut transaction, query).await?;
        if !offenders.is_empty() {
            violations.push(Violation { invariant, offenders });
        }
    }
    Ok(violations)
}

async fn offenders(connection: &mut PgConnection, query: &'static str) -> Result<Vec<String>, StoreError> {
    let mut rows: Vec<String> = sqlx::query_scalar(query).fetch_all(connection).await?;
    rows.truncate(SHOWN);
    Ok(rows)
}
