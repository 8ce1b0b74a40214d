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

/// What of the stored DAGs the queries below ask, by version: `spec` (its tasks), `edge` (upstream → downstream).
macro_rules! of_versions {
    ($query:literal) => {
        concat!(
            "with recursive spec as materialized (
                 select v.id as version, task ->> 'task_id' as task_id, task, v.data -> 'task_groups' as groups,
                        coalesce((task ->> 'is_teardown')::boolean, false)
                        and not coalesce((task ->> 'on_failure_fail_dagrun')::boolean, false) as is_quiet
                 from dag_version v cross join lateral json_array_elements(v.data -> 'tasks') task
             ), edge as materialized (
                 select s.version, up, s.task_id as down, s.is_quiet as down_is_quiet
                 from spec s cross join lateral json_array_elements_text(s.task -> 'upstream') up
             )",
            $query
        )
    };
}

/// What must hold at any moment, and a query of the rows for which it does not. They say what `updraft_core::invariants` says,
/// as far as it shows in a snapshot.
///
/// A limit may be lowered under what it let begin: legal, and over when that ends. So what began after the last lowering is
/// judged (`lowered_at`, with ten seconds for a transaction that read the limit before), or the limit that each task began
/// with. `parallelism` is a setting of the schedulers and not in the database.
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
    (
        "an attempt is of the current try, and tries are counted from 1",
        "select format('run %s task %s[%s]: an attempt of try %s, the instance is at %s', t.dag_run_id, t.task_id, t.map_index,
                       a.try_number, t.try_number)
         from attempt a
         join task_instance t on t.dag_run_id = a.dag_run_id and t.task_id = a.task_id and t.map_index = a.map_index
         where a.kind = 'task' and (a.try_number < 1 or a.try_number <> t.try_number)",
    ),
    (
        "a run knows how many of its task instances are failed",
        "select format('run %s says %s, %s are', r.id, r.failed_tasks, coalesce(t.failed, 0))
         from dag_run r
         left join (select dag_run_id, count(*) as failed from task_instance where state = 'failed' group by dag_run_id) t
           on t.dag_run_id = r.id
         where r.failed_tasks <> coalesce(t.failed, 0)",
    ),
    // A deadlock leaves instances that wait in a failed run, a clear that leaves the run alone undecided ones in any.
    (
        "a finished run has no unfinished task instance",
        "select format('run %s is %s, task %s is %s', r.id, r.state, t.task_id, t.state)
         from dag_run r join task_instance t on t.dag_run_id = r.id
         where r.state in ('success', 'failed')
           and t.state not in ('success', 'skipped', 'failed', 'upstream_failed', 'removed')
           and not (t.state = 'none' and (r.state = 'failed' or r.clear_number > 0 or t.try_number > 0))
           and not (t.state in ('up_for_retry', 'up_for_reschedule') and r.state = 'failed')",
    ),
    // Judged while nobody meddled: a user may mark the run, or change its instances afterwards.
    (
        "a run that ended by itself failed exactly if a task that decides it did, or if it timed out",
        of_versions!(
            ", leaf as materialized (
                 select s.version, s.task_id from spec s
                 where case when exists (select from spec o where o.version = s.version and not o.is_quiet)
                       then not s.is_quiet
                            and not exists (select from edge e
                                            where e.version = s.version and e.up = s.task_id and not e.down_is_quiet)
                       else not exists (select from edge e where e.version = s.version and e.up = s.task_id) end
             ), ended as (
                 select r.id, r.state, r.dag_version_id,
                        coalesce(r.start_date + make_interval(secs => (v.data ->> 'dagrun_timeout')::double precision)
                                 <= r.end_date, false) as timed_out
                 from dag_run r join dag_version v on v.id = r.dag_version_id
                 where r.state in ('success', 'failed') and r.marked_by is null
                   and not exists (
                       select from task_instance t
                       where t.dag_run_id = r.id
                         and (t.state not in ('success', 'skipped', 'failed', 'upstream_failed', 'removed')
                              or t.updated_at > r.end_date))
             )
             select format('run %s is %s', id, state || case when timed_out then ' and had timed out' else '' end) from ended
             where (state = 'failed') is distinct from (timed_out or exists (
                 select from leaf l join task_instance t on t.dag_run_id = ended.id and t.task_id = l.task_id
                 where l.version = ended.dag_version_id and t.state in ('failed', 'upstream_failed')))"
        ),
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
    // Where elements are missing, a user deleted them: the trail tells.
    (
        "a task has one instance, or those of a mapped one counted from 0 without gaps",
        "select format('run %s task %s has %s instances from %s to %s', dag_run_id, task_id, count(*), min(map_index), max(map_index))
         from task_instance t group by dag_run_id, task_id
         having (bool_or(map_index < 0 and state <> 'removed') and bool_or(map_index >= 0 and state <> 'removed'))
             or (max(map_index) + 1 <> count(*) filter (where map_index >= 0)
                 and not exists (
                     select from log l join dag d on d.dag_id = l.dag_id
                     join dag_run r on r.dag_fk = d.id and r.run_id = l.run_id
                     where r.id = t.dag_run_id and l.event = 'delete_task_instance' and l.task_id = t.task_id))",
    ),
    (
        "only a mapped task has instances with an index",
        of_versions!(
            ", inside as (
                 select version, task_id, groups, task -> 'mapping' as mapping, task ->> 'task_group' as around from spec
                 union all
                 select version, task_id, groups, groups -> around -> 'mapping', groups -> around ->> 'parent'
                 from inside where around is not null
             ), unmapped as materialized (
                 select version, task_id from inside group by version, task_id
                 having bool_and(mapping is null or json_typeof(mapping) = 'null')
             )
             select format('run %s task %s[%s] is %s', r.id, t.task_id, t.map_index, t.state)
             from unmapped u join dag_run r on r.dag_version_id = u.version
             join task_instance t on t.dag_run_id = r.id and t.task_id = u.task_id
             where t.map_index >= 0 and t.state <> 'removed'"
        ),
    ),
    // Exact where the rows of its upstreams were not written since it began: then they are what its rule was judged by.
    (
        "no task began that its trigger rule forbids",
        of_versions!(
            ", rule (trigger_rule, forbidden) as (values
                 ('all_success', '{failed,upstream_failed,skipped,unfinished}'::text[]),
                 ('all_failed', '{success,skipped,unfinished}'),
                 ('all_done', '{unfinished}'),
                 ('all_done_min_one_success', '{skipped,unfinished}'),
                 ('all_done_setup_success', '{unfinished}'),
                 ('none_failed', '{failed,upstream_failed,unfinished}'),
                 ('none_failed_min_one_success', '{failed,upstream_failed,unfinished}'),
                 ('none_skipped', '{skipped,unfinished}'),
                 ('all_skipped', '{success,failed,upstream_failed,unfinished}')
             ), wanted (trigger_rule, one_of) as (values
                 ('one_success', '{success}'::text[]),
                 ('one_failed', '{failed,upstream_failed}'),
                 ('one_done', '{success,failed}'),
                 ('all_done_min_one_success', '{success}'),
                 ('none_failed_min_one_success', '{success}')
             ), began as (
                 select t.dag_run_id, t.task_id, t.map_index, t.state, t.scheduled_dttm, s.version,
                        s.task ->> 'trigger_rule' as trigger_rule
                 from task_instance t join spec s on s.version = t.dag_version_id and s.task_id = t.task_id
                 where t.scheduled_dttm is not null
                   and t.state in ('scheduled', 'queued', 'running', 'deferred', 'awaiting_input', 'success', 'failed')
             )
             select format('run %s task %s[%s] is %s by %s, and %s is %s', b.dag_run_id, b.task_id, b.map_index, b.state,
                           b.trigger_rule, u.task_id, u.state)
             from began b
             join rule on rule.trigger_rule = b.trigger_rule
             join edge e on e.version = b.version and e.down = b.task_id
             join task_instance u on u.dag_run_id = b.dag_run_id and u.task_id = e.up
             -- Members of a mapped group depend on each other index by index.
             where (u.map_index = b.map_index or u.map_index < 0 or b.map_index < 0)
               and u.updated_at <= b.scheduled_dttm
               and case when u.state in ('success', 'skipped', 'failed', 'upstream_failed', 'removed') then u.state
                   else 'unfinished' end = any(rule.forbidden)
             union all
             select format('run %s task %s is %s by %s, and no upstream is %s', b.dag_run_id, b.task_id, b.state, b.trigger_rule,
                           array_to_string(wanted.one_of, ' or '))
             from began b
             join wanted on wanted.trigger_rule = b.trigger_rule
             join edge e on e.version = b.version and e.down = b.task_id
             join task_instance u on u.dag_run_id = b.dag_run_id and u.task_id = e.up
             where b.map_index < 0
             group by b.dag_run_id, b.task_id, b.state, b.trigger_rule, b.scheduled_dttm, wanted.one_of
             having bool_and(u.updated_at <= b.scheduled_dttm) and not bool_or(u.state = any(wanted.one_of))"
        ),
    ),
    (
        "no run has more attempts placed than its DAG's max_active_tasks",
        "select format('run %s: %s placed attempts of %s', r.id, count(*), d.max_active_tasks)
         from attempt a join dag_run r on r.id = a.dag_run_id join dag d on d.id = r.dag_fk
         where a.executor_id is not null and a.kind = 'task' group by r.id, d.id
         having count(*) > d.max_active_tasks and max(a.placed_at) > d.lowered_at + interval '10 seconds'",
    ),
    (
        "no task has more active attempts in its DAG than max_active_tis_per_dag",
        "select format('%s: %s active attempts of %s', c.cap_key, count(*), max(c.cap))
         from attempt a join dispatch_class c on c.id = a.class_id
         where (a.executor_id is not null or a.trigger_at is not null) and c.cap is not null
         group by c.cap_key having count(*) > max(c.cap)",
    ),
    (
        "no task has more active instances in a run than max_active_tis_per_dagrun",
        of_versions!(
            "select format('run %s task %s: %s active instances of %s', t.dag_run_id, t.task_id, count(*), max(limited.cap))
             from task_instance t join dag_run r on r.id = t.dag_run_id
             join lateral (
                 select (s.task ->> 'max_active_tis_per_dagrun')::integer as cap from spec s
                 where s.version = coalesce(t.dag_version_id, r.dag_version_id) and s.task_id = t.task_id
             ) limited on true
             where t.state in ('scheduled', 'queued', 'running', 'deferred', 'awaiting_input', 'restarting')
             group by t.dag_run_id, t.task_id having count(*) > max(limited.cap) and bool_and(limited.cap is not null)"
        ),
    ),
    (
        "a finished task instance has an end",
        "select format('run %s task %s is %s without an end', dag_run_id, task_id, state) from task_instance
         where state in ('success', 'skipped', 'failed', 'upstream_failed', 'removed') and end_date is null",
    ),
    // Deferred ones count where the pool says so, those that were deferred when the last attempt was placed.
    (
        "no pool has more slots in use than it has",
        "select format('pool %s: %s of %s slots', p.pool, sum(a.pool_slots), p.slots)
         from slot_pool p
         join lateral (select max(placed_at) as at from attempt where pool = p.pool and executor_id is not null) last
              on last.at > p.lowered_at + interval '10 seconds'
         join attempt a on a.pool = p.pool and (a.executor_id is not null
              or p.include_deferred and a.waits = 'deferred'
                 and (a.trigger_state ->> 'started_at')::timestamptz < last.at - interval '10 seconds')
         where p.slots >= 0 group by p.id having sum(a.pool_slots) > p.slots",
    ),
    (
        "no node has more attempts than slots",
        "select format('node %s: %s attempts on %s slots', e.name, count(*), e.slots)
         from attempt a join executor e on e.id = a.executor_id group by e.id
         having count(*) > e.slots and max(a.placed_at) > e.lowered_at + interval '10 seconds'",
    ),
    (
        "no DAG runs more than max_active_runs at once",
        "select format('dag %s: %s running runs of %s', d.dag_id, count(*), d.max_active_runs)
         from dag_run r join dag d on d.id = r.dag_fk
         where r.state = 'running' and r.backfill_id is null group by d.id
         having count(*) > d.max_active_runs and max(r.start_date) > d.lowered_at + interval '10 seconds'",
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
