//! Writing plans: one data-modifying statement for a whole batch of runs.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use updraft_core::{
    dag::Task,
    notify,
    operator::Place,
    plan::{CANCEL_GRACE, Key, Plan, RunState, SkipMixin, Ti},
    spec::Execution,
    state::TaskInstanceState,
};
use uuid::Uuid;

use crate::{StoreError, assets, deadlines, dispatch::Classes, outbox};

/// A decided plan, with the state it was made from.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    pub dag_fk: i64,
    pub dag_version_id: i64,
    pub state: &'a RunState,
    pub plan: &'a Plan,
    /// The run's tag from this commit on.
    pub tag: i64,
}

/// What writing found.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Nodes with attempts to stop.
    pub cancelled_on: BTreeSet<i64>,
    /// Runs that were given a `stopped` event in this very transaction, because there was nothing to stop.
    pub stopped_at_once: BTreeSet<i64>,
    /// Later runs of the same DAG that were told to look (`depends_on_past`).
    pub later_runs: BTreeSet<i64>,
    /// Whether attempts ended, so that capacity was given back.
    pub freed: bool,
    /// Whether attempts began to wait for dispatch.
    pub waiting: bool,
    /// Whether attempts began that the triggerer works on.
    pub triggers: bool,
    /// Whether there is something to send.
    pub notices: bool,
    /// Whether tasks emitted asset events, for which DAGs may wait.
    pub asset_events: bool,
}

#[derive(Serialize)]
struct RunJson {
    id: i64,
    tag: i64,
    dag_version_id: i64,
    state: &'static str,
    queued_at: Option<DateTime<Utc>>,
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    wake_at: Option<DateTime<Utc>>,
    cleared: i32,
    /// How many more instances are failed than before.
    more_failed: i32,
}

#[derive(Serialize)]
struct TiKeyJson<'a> {
    dag_run_id: i64,
    task_id: &'a str,
    map_index: i32,
}

#[derive(Serialize)]
struct TiJson<'a> {
    dag_run_id: i64,
    task_id: &'a str,
    map_index: i32,
    state: &'static str,
    attempt_id: Uuid,
    try_number: i32,
    max_tries: i32,
    scheduled_dttm: Option<DateTime<Utc>>,
    queued_dttm: Option<DateTime<Utc>>,
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    next_retry_at: Option<DateTime<Utc>>,
    stopping_attempt: Option<Uuid>,
    stop_deadline: Option<DateTime<Utc>>,
    hostname: &'a str,
    pid: Option<i32>,
    failure_class: Option<&'static str>,
    failure_reason: Option<&'a str>,
    exit_code: Option<i64>,
    rendered_fields: Option<&'a Value>,
    execution: Option<&'a Execution>,
    rendered_map_index: Option<&'a str>,
    reschedules: i32,
    skipmixin: Option<&'a SkipMixin>,
    #[serde(flatten)]
    task: Option<TaskJson<'a>>,
}

/// What an instance shows of its task, and in which version of the DAG: of the try it has or had, not of the latest version.
#[derive(Serialize)]
struct TaskJson<'a> {
    dag_version_id: i64,
    operator: &'a str,
    pool: &'a str,
    pool_slots: u32,
    queue: &'a str,
    priority_weight: i32,
}

#[derive(Serialize)]
struct AttemptJson<'a> {
    attempt_id: Uuid,
    dag_run_id: i64,
    task_id: &'a str,
    map_index: i32,
    try_number: i32,
    dag_fk: i64,
    class_id: i64,
    priority_weight: i32,
    run_order: DateTime<Utc>,
    pool: &'a str,
    pool_slots: u32,
    /// For the triggerer, at once; where `max_active_tis_per_dag` limits it, when dispatch says so.
    trigger_at: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct LaterJson {
    dag_fk: i64,
    logical_date: DateTime<Utc>,
}

#[derive(Serialize)]
struct EndJson<'a> {
    attempt_id: Uuid,
    cancel: bool,
    wanted: bool,
    reason: &'a str,
    deadline: Option<DateTime<Utc>>,
}

/// Writes the plans. `now` is Postgres' clock as read with the runs.
///
/// Called once per batch by the reactor and by API mutations.
///
/// # Errors
/// [`StoreError::Inconsistent`] when a row that a plan names is not there: roll back and load the runs anew.
pub async fn write(
    connection: &mut PgConnection,
    classes: &Classes,
    now: DateTime<Utc>,
    planned: &[Planned<'_>],
) -> Result<Written, StoreError> {
    classes.prepare(&mut *connection, planned).await?;
    let mut rows = Rows::default();
    for one in planned {
        rows.add(classes, now, one)?;
    }
    let mut written = execute(&mut *connection, now, &rows).await?;
    written.asset_events = assets::emit_outlets(&mut *connection, now, planned).await?;
    deadlines::follow(&mut *connection, planned).await?;
    let notices: Vec<outbox::Row> = planned
        .iter()
        .flat_map(|one| notify::of_plan(one.state, one.plan).into_iter().map(|notice| (one.state.run.id, notice)))
        .collect();
    written.notices = outbox::add(connection, &notices).await?;
    Ok(written)
}

/// The rows of a batch, by what becomes of them.
#[derive(Default)]
struct Rows<'a> {
    runs: Vec<RunJson>,
    archive: Vec<TiKeyJson<'a>>,
    xcoms: Vec<TiKeyJson<'a>>,
    tis: Vec<TiJson<'a>>,
    created: Vec<TiJson<'a>>,
    unexpanded: Vec<TiKeyJson<'a>>,
    attempts: Vec<AttemptJson<'a>>,
    ends: Vec<EndJson<'a>>,
    later: Vec<LaterJson>,
}

impl<'a> Rows<'a> {
    fn add(&mut self, classes: &Classes, now: DateTime<Utc>, one: &Planned<'a>) -> Result<(), StoreError> {
        let (state, plan) = (one.state, one.plan);
        let id = state.run.id;
        let key = |key: &Key| TiKeyJson {
            dag_run_id: id,
            task_id: state.dag.tasks[key.task].task_id.as_str(),
            map_index: key.map_index,
        };
        let run = plan.run.as_ref().unwrap_or(&state.run);
        self.runs.push(RunJson {
            id,
            tag: one.tag,
            dag_version_id: one.dag_version_id,
            state: run.state.as_str(),
            queued_at: run.queued_at,
            start_date: run.start_date,
            end_date: run.end_date,
            wake_at: plan.wake_at,
            cleared: plan.cleared_runs,
            more_failed: more_failed(state, plan),
        });
        self.archive.extend(plan.archive.iter().map(key));
        self.xcoms.extend(plan.forget_xcoms.iter().map(key));
        self.unexpanded.extend(plan.unexpanded.iter().map(key));
        self.add_instances(one);
        if plan.wake_later_runs
            && let Some(date) = state.run.logical_date
        {
            self.later.push(LaterJson { dag_fk: one.dag_fk, logical_date: date });
        }
        for new in &plan.attempts {
            let task = &state.dag.tasks[new.key.task];
            self.attempts.push(AttemptJson {
                attempt_id: new.attempt.0,
                dag_run_id: id,
                task_id: task.task_id.as_str(),
                map_index: new.key.map_index,
                try_number: new.try_number,
                dag_fk: one.dag_fk,
                class_id: classes.id(&state.dag, task)?,
                priority_weight: state.dag.effective_priority(new.key.task),
                run_order: run.logical_date.or(run.queued_at).unwrap_or(now),
                pool: &task.pool,
                pool_slots: task.pool_slots,
                trigger_at: (task.operator.place() == Place::Triggerer && task.max_active_tis_per_dag.is_none())
                    .then_some(now),
            });
        }
        self.ends.extend(plan.ended.iter().map(|attempt| EndJson {
            attempt_id: attempt.0,
            cancel: false,
            wanted: false,
            reason: "",
            deadline: None,
        }));
        self.ends.extend(plan.cancels.iter().map(|cancel| EndJson {
            attempt_id: cancel.attempt.0,
            cancel: true,
            wanted: cancel.wanted,
            reason: &cancel.reason,
            deadline: Some(cancel.deadline),
        }));
        Ok(())
    }

    fn add_instances(&mut self, one: &Planned<'a>) {
        let (state, plan) = (one.state, one.plan);
        let rendered: HashMap<Key, &Value> = plan.rendered.iter().map(|(of, value)| (*of, value)).collect();
        // Of two words about one attempt in one plan, the later knows more.
        let executions: HashMap<Key, &Execution> = plan.executions.iter().map(|(of, value)| (*of, value)).collect();
        for (&of, ti) in &plan.tis {
            let task = &state.dag.tasks[of.task];
            let is_new = plan.created.contains(&of);
            // A try that began, or was over, stays what it was.
            let keeps = state
                .ti(of)
                .filter(|_| !is_new)
                .is_some_and(|was| was.state.has_attempt() || (was.state.is_finished() && ti.state.is_finished()));
            let shows = (!keeps).then(|| TaskJson {
                dag_version_id: one.dag_version_id,
                operator: operator_name(task),
                pool: &task.pool,
                pool_slots: task.pool_slots,
                queue: &task.queue,
                priority_weight: state.dag.effective_priority(of.task),
            });
            let json = TiJson {
                rendered_fields: rendered.get(&of).copied(),
                execution: executions.get(&of).copied(),
                ..ti_json(state.run.id, task.task_id.as_str(), of.map_index, ti, shows)
            };
            if is_new { self.created.push(json) } else { self.tis.push(json) }
        }
    }
}

/// One statement. Every table is reached by its primary key. Postgres' whole statement sees one snapshot, so the archive holds
/// the rows as they were before the update beside it.
async fn execute(connection: &mut PgConnection, now: DateTime<Utc>, rows: &Rows<'_>) -> Result<Written, StoreError> {
    let (expected_runs, expected_ends) = (rows.runs.len() as i64, rows.ends.len() as i64);
    let expected_tis = (rows.tis.len() + rows.created.len() + rows.unexpanded.len()) as i64;
    let grace_ms = i64::try_from(CANCEL_GRACE.as_millis()).expect("seconds fit");
    let row = sqlx::query!(
        r#"
        with gone as (
            delete from attempt a
            using json_to_recordset($1::text::json) as e(attempt_id uuid, cancel boolean, wanted boolean, reason text, deadline timestamptz)
            where a.attempt_id = e.attempt_id
            returning a.attempt_id, a.dag_run_id, a.task_id, a.map_index, a.executor_id, a.handed_at,
                      e.cancel, e.wanted, e.reason, e.deadline
        ), cancels as (
            insert into attempt_cancel (attempt_id, dag_run_id, task_id, map_index, executor_id, reason, grace_ms, deadline)
            select attempt_id, dag_run_id, task_id, map_index, executor_id, reason, $2, deadline
            from gone where cancel and handed_at is not null
            on conflict do nothing
            returning executor_id
        ), nothing_to_stop as (
            insert into task_event (dag_run_id, task_id, map_index, attempt_id, kind, body)
            select dag_run_id, task_id, map_index, attempt_id, 'stopped', '{}' from gone where wanted and handed_at is null
            returning dag_run_id
        ), archived as (
            insert into task_instance_history
                (dag_run_id, task_id, map_index, try_number, attempt_id, state, max_tries, scheduled_dttm, queued_dttm, start_date,
                 end_date, hostname, pid, operator, pool, pool_slots, queue, priority_weight, failure_class, failure_reason,
                 exit_code, rendered_fields, execution, rendered_map_index, dag_version_id)
            select t.dag_run_id, t.task_id, t.map_index, t.try_number, t.attempt_id,
                   -- Airflow 3: an archived try is never unfinished.
                   case when o.is_over then t.state else 'failed' end,
                   t.max_tries, t.scheduled_dttm, t.queued_dttm, t.start_date, coalesce(t.end_date, $3), t.hostname, t.pid,
                   t.operator, t.pool, t.pool_slots, t.queue, t.priority_weight,
                   coalesce(t.failure_class, case when o.is_over then null else 'cancelled' end),
                   coalesce(t.failure_reason, case when o.is_over then null else 'The task was cleared before it ended.' end),
                   t.exit_code, t.rendered_fields, t.execution, t.rendered_map_index, t.dag_version_id
            from task_instance t
            join json_to_recordset($4::text::json) as k(dag_run_id bigint, task_id text, map_index integer)
              on t.dag_run_id = k.dag_run_id and t.task_id = k.task_id and t.map_index = k.map_index
            cross join lateral (
                select t.state in ('success', 'skipped', 'failed', 'upstream_failed', 'removed') as is_over) o
            on conflict do nothing
        ), forgotten as (
            delete from xcom x using json_to_recordset($5::text::json) as k(dag_run_id bigint, task_id text, map_index integer)
            where x.dag_run_id = k.dag_run_id and x.task_id = k.task_id and x.map_index = k.map_index
        ), tis as (
            update task_instance t
            set state = w.state, attempt_id = w.attempt_id, try_number = w.try_number, max_tries = w.max_tries,
                scheduled_dttm = w.scheduled_dttm, queued_dttm = w.queued_dttm, start_date = w.start_date, end_date = w.end_date,
                next_retry_at = w.next_retry_at, stopping_attempt = w.stopping_attempt, stop_deadline = w.stop_deadline,
                hostname = w.hostname, pid = w.pid, failure_class = w.failure_class, failure_reason = w.failure_reason,
                exit_code = w.exit_code, reschedules = w.reschedules, skipmixin = w.skipmixin,
                rendered_map_index = w.rendered_map_index, updated_at = $3,
                dag_version_id = coalesce(w.dag_version_id, t.dag_version_id), operator = coalesce(w.operator, t.operator),
                pool = coalesce(w.pool, t.pool), pool_slots = coalesce(w.pool_slots, t.pool_slots),
                queue = coalesce(w.queue, t.queue), priority_weight = coalesce(w.priority_weight, t.priority_weight),
                rendered_fields = case when w.attempt_id = t.attempt_id then coalesce(w.rendered_fields, t.rendered_fields) end,
                execution = case when w.attempt_id = t.attempt_id then coalesce(w.execution, t.execution) end
            from json_to_recordset($6::text::json) as w(
                dag_run_id bigint, task_id text, map_index integer, state text, attempt_id uuid, try_number integer, max_tries integer,
                scheduled_dttm timestamptz, queued_dttm timestamptz, start_date timestamptz, end_date timestamptz,
                next_retry_at timestamptz, stopping_attempt uuid, stop_deadline timestamptz, hostname text, pid integer,
                failure_class text, failure_reason text, exit_code bigint, rendered_fields jsonb, execution jsonb,
                rendered_map_index text,
                reschedules integer, skipmixin jsonb, dag_version_id bigint, operator text, pool text, pool_slots integer,
                queue text, priority_weight integer)
            where t.dag_run_id = w.dag_run_id and t.task_id = w.task_id and t.map_index = w.map_index
            returning 1
        ), unexpanded as (
            delete from task_instance t
            using json_to_recordset($10::text::json) as k(dag_run_id bigint, task_id text, map_index integer)
            where t.dag_run_id = k.dag_run_id and t.task_id = k.task_id and t.map_index = k.map_index
            returning 1
        ), created as (
            insert into task_instance
                (dag_run_id, task_id, map_index, state, attempt_id, try_number, max_tries, scheduled_dttm, start_date, end_date,
                 failure_class, failure_reason, operator, pool, pool_slots, queue, priority_weight, dag_version_id)
            select dag_run_id, task_id, map_index, state, attempt_id, try_number, max_tries, scheduled_dttm, start_date, end_date,
                   failure_class, failure_reason, operator, pool, pool_slots, queue, priority_weight, dag_version_id
            from json_to_recordset($9::text::json) as n(
                dag_run_id bigint, task_id text, map_index integer, state text, attempt_id uuid, try_number integer,
                max_tries integer, scheduled_dttm timestamptz, start_date timestamptz, end_date timestamptz, failure_class text,
                failure_reason text, operator text, pool text, pool_slots integer, queue text, priority_weight integer,
                dag_version_id bigint)
            returning 1
        ), decisions as (
            insert into xcom (dag_run_id, task_id, map_index, key, value, length, size)
            select dag_run_id, task_id, map_index, 'skipmixin_key', skipmixin, 1, octet_length(skipmixin::text)
            from json_to_recordset($6::text::json) as w(dag_run_id bigint, task_id text, map_index integer, state text, skipmixin jsonb)
            where skipmixin is not null and state = 'success'
            on conflict (dag_run_id, task_id, map_index, key)
            do update set value = excluded.value, place = null, length = excluded.length, size = excluded.size
        ), looks as (
            insert into task_event (dag_run_id, task_id, map_index, attempt_id, kind, body)
            select r.id, '', -1, gen_random_uuid(), 'look', '{}'
            from json_to_recordset($11::text::json) as w(dag_fk bigint, logical_date timestamptz)
            join dag_run r on r.dag_fk = w.dag_fk and r.state = 'running' and r.logical_date > w.logical_date
            returning dag_run_id
        ), attempts as (
            insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight,
                                 run_order, pool, pool_slots, trigger_at)
            select attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight, run_order, pool, pool_slots,
                   trigger_at
            from json_to_recordset($7::text::json) as n(
                attempt_id uuid, dag_run_id bigint, task_id text, map_index integer, try_number integer, dag_fk bigint, class_id bigint,
                priority_weight integer, run_order timestamptz, pool text, pool_slots integer, trigger_at timestamptz)
        ), runs as (
            update dag_run r
            set tag = w.tag, dag_version_id = w.dag_version_id, state = w.state, queued_at = w.queued_at,
                start_date = w.start_date, end_date = w.end_date, wake_at = w.wake_at, last_scheduling_decision = $3,
                clear_number = r.clear_number + w.cleared, failed_tasks = r.failed_tasks + w.more_failed, plan_failures = 0, quarantine_reason = null, updated_at = $3,
                marked_by = case when w.state in ('success', 'failed') then r.marked_by end,
                failure_unseen = r.failure_unseen or w.state = 'failed' and r.state <> 'failed' and exists (
                    select 1 from dag d where d.id = r.dag_fk and d.max_consecutive_failed_dag_runs > 0)
            from json_to_recordset($8::text::json) as w(
                id bigint, tag bigint, dag_version_id bigint, state text, queued_at timestamptz, start_date timestamptz,
                end_date timestamptz, wake_at timestamptz, cleared integer, more_failed integer)
            where r.id = w.id
            returning 1
        )
        select (select count(*) from runs) as "runs!", (select count(*) from tis) + (select count(*) from created) + (select count(*) from unexpanded) as "tis!", (select count(*) from gone) as "gone!",
               array(select distinct executor_id from cancels) as "cancelled_on!",
               array(select distinct dag_run_id from nothing_to_stop) as "stopped!",
               array(select distinct dag_run_id from looks) as "later!"
        "#,
        json(&rows.ends)?,
        grace_ms,
        now,
        json(&rows.archive)?,
        json(&rows.xcoms)?,
        json(&rows.tis)?,
        json(&rows.attempts)?,
        json(&rows.runs)?,
        json(&rows.created)?,
        json(&rows.unexpanded)?,
        json(&rows.later)?,
    )
    .fetch_one(connection)
    .await?;
    if (row.runs, row.tis, row.gone) != (expected_runs, expected_tis, expected_ends) {
        return Err(StoreError::Inconsistent(format!(
            "a plan named {expected_runs} runs, {expected_tis} task instances and {expected_ends} attempts; it met {}, {} and {}",
            row.runs, row.tis, row.gone
        )));
    }
    Ok(Written {
        cancelled_on: row.cancelled_on.into_iter().collect(),
        stopped_at_once: row.stopped.into_iter().collect(),
        later_runs: row.later.into_iter().collect(),
        freed: expected_ends > 0,
        waiting: rows.attempts.iter().any(|attempt| attempt.trigger_at.is_none()),
        triggers: rows.attempts.iter().any(|attempt| attempt.trigger_at.is_some()),
        ..Written::default()
    })
}

fn ti_json<'a>(
    dag_run_id: i64,
    task_id: &'a str,
    map_index: i32,
    ti: &'a Ti,
    task: Option<TaskJson<'a>>,
) -> TiJson<'a> {
    TiJson {
        dag_run_id,
        task_id,
        map_index,
        state: ti.state.as_str(),
        attempt_id: ti.attempt.0,
        try_number: ti.try_number,
        max_tries: ti.max_tries,
        scheduled_dttm: ti.scheduled_dttm,
        queued_dttm: ti.queued_dttm,
        start_date: ti.start_date,
        end_date: ti.end_date,
        next_retry_at: ti.next_retry_at,
        stopping_attempt: ti.stopping.map(|stopping| stopping.attempt.0),
        stop_deadline: ti.stopping.map(|stopping| stopping.deadline),
        hostname: &ti.hostname,
        pid: ti.pid,
        failure_class: ti.failure.as_ref().map(|failure| failure.class.as_str()),
        failure_reason: ti.failure.as_ref().map(|failure| failure.reason.as_str()),
        exit_code: ti.exit_code,
        rendered_fields: None,
        execution: None,
        rendered_map_index: ti.rendered_map_index.as_deref(),
        reschedules: ti.reschedules,
        skipmixin: ti.skipmixin.as_ref(),
        task,
    }
}

/// By how many the failed instances of the run become more: [`Rows::runs`] adds it to `dag_run.failed_tasks`.
fn more_failed(state: &RunState, plan: &Plan) -> i32 {
    let failed = |ti: Option<&Ti>| i32::from(ti.is_some_and(|ti| ti.state == TaskInstanceState::Failed));
    let written: i32 = plan.tis.iter().map(|(key, ti)| failed(Some(ti)) - failed(state.ti(*key))).sum();
    let gone = plan.unexpanded.iter().filter(|key| !plan.tis.contains_key(key));
    written - gone.map(|key| failed(state.ti(*key))).sum::<i32>()
}

/// Airflow's `operator` of a task instance: the class without its module.
pub(crate) fn operator_name(task: &Task) -> &str {
    task.operator_class.rsplit('.').next().unwrap_or_default()
}

fn json<T: Serialize>(rows: &[T]) -> Result<String, StoreError> {
    Ok(serde_json::to_string(rows)?)
}
