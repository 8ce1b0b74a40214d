//! Deadlines of runs (semantics §16): made with the run, moved when it is queued again, gone when it ends well in time, and
//! otherwise told of through the outbox.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};
use updraft_core::{
    dag::{CallbackAction, Deadline, DeadlineReference},
    failpoint,
    state::DagRunState,
};

use crate::{Store, StoreError, plan::Planned, wake::Signal};

/// Deadlines marked in one transaction, at most.
const BATCH: i64 = 500;

#[derive(Serialize)]
struct Row<'a> {
    dag_run_id: i64,
    rule: usize,
    reference: &'static str,
    fixed: Option<DateTime<Utc>>,
    max_runs: Option<u32>,
    interval_s: f64,
    action: &'a CallbackAction,
}

impl<'a> Row<'a> {
    fn new(dag_run_id: i64, rule: usize, deadline: &'a Deadline) -> Self {
        let (reference, fixed, max_runs) = match &deadline.reference {
            DeadlineReference::LogicalDate => ("logical_date", None, None),
            DeadlineReference::QueuedAt => ("queued_at", None, None),
            DeadlineReference::Fixed(at) => ("fixed", Some(*at), None),
            DeadlineReference::AverageRuntime { max_runs } => ("average_runtime", None, Some(*max_runs)),
        };
        let interval_s = deadline.interval.as_secs_f64();
        Row { dag_run_id, rule, reference, fixed, max_runs, interval_s, action: &deadline.action }
    }
}

/// Makes the deadlines of new runs, in the transaction that makes them. A run without a logical date has none that counts from
/// it, and there is no average before `max_runs` runs succeeded (Airflow: `min_runs` is `max_runs` unless said otherwise).
///
/// One statement, and none when no run has any. Called by everything that makes runs; `dag_run_by_dag_idx` serves the average.
pub(crate) async fn insert<'a>(
    connection: &mut PgConnection,
    runs: impl Iterator<Item = (i64, &'a [Deadline])>,
) -> Result<(), StoreError> {
    let rows: Vec<Row<'_>> = runs
        .flat_map(|(run, deadlines)| deadlines.iter().enumerate().map(move |(rule, of)| Row::new(run, rule, of)))
        .collect();
    write(connection, &rows).await
}

async fn write(connection: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into deadline (dag_run_id, rule, reference, interval_s, deadline_time, action)
         select n.dag_run_id, n.rule, n.reference, n.interval_s, b.base + make_interval(secs => n.interval_s), n.action
         from json_to_recordset($1::text::json) as n(
             dag_run_id bigint, rule integer, reference text, fixed timestamptz, max_runs integer, interval_s double precision,
             action jsonb)
         join dag_run r on r.id = n.dag_run_id
         cross join lateral (select case n.reference
             when 'logical_date' then r.logical_date
             when 'queued_at' then r.queued_at
             when 'fixed' then n.fixed
             else r.queued_at + (
                 select avg(p.end_date - p.start_date) from (
                     select start_date, end_date from dag_run
                     where dag_fk = r.dag_fk and state = 'success' and start_date is not null
                     order by id desc limit n.max_runs) p
                 having count(*) = n.max_runs)
             end as base) b
         where b.base is not null
         -- The run follows another version of the DAG since: its rule of this place counts.
         on conflict on constraint deadline_pkey do update
         set reference = excluded.reference, interval_s = excluded.interval_s, deadline_time = excluded.deadline_time,
             action = excluded.action, missed_at = null",
        serde_json::to_string(rows)?
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What plans do to their runs' deadlines: a run that ended well has met those that have not passed; a run that was queued again
/// counts anew from there, also when it had ended well and lost them.
///
/// Called with every plan, after its rows were written; no statement unless a DAG has deadlines and its run changed so.
/// `deadline_pkey` serves it.
pub(crate) async fn follow(connection: &mut PgConnection, planned: &[Planned<'_>]) -> Result<(), StoreError> {
    let (mut met, mut moved) = (Vec::new(), Vec::<(i64, &[Deadline])>::new());
    for one in planned.iter().filter(|one| !one.state.dag.deadlines.is_empty()) {
        let Some(run) = &one.plan.run else { continue };
        if run.state == DagRunState::Success && one.state.run.state != DagRunState::Success {
            met.push(run.id);
        }
        if run.queued_at != one.state.run.queued_at {
            moved.push((run.id, &one.state.dag.deadlines[..]));
        }
    }
    if met.is_empty() && moved.is_empty() {
        return Ok(());
    }
    let again: Vec<i64> = moved.iter().map(|(run, _)| *run).collect();
    let rows: Vec<Row<'_>> = moved
        .iter()
        .flat_map(|&(run, deadlines)| deadlines.iter().enumerate().map(move |(rule, of)| Row::new(run, rule, of)))
        .filter(|row| row.reference == "queued_at")
        .collect();
    sqlx::query!(
        "delete from deadline
         where (dag_run_id = any($1) and missed_at is null) or (dag_run_id = any($2) and reference = 'queued_at')",
        &met,
        &again
    )
    .execute(&mut *connection)
    .await?;
    write(connection, &rows).await
}

/// Marks deadlines that passed and puts their notices into the outbox, in one statement; the runs that missed one. Runs that had
/// ended well lose theirs.
///
/// Called by each scheduler when [`next_due`] says so; `deadline_due_idx` serves it. Several schedulers take different rows.
pub async fn mark_missed(store: &Store) -> Result<Vec<i64>, StoreError> {
    let mut transaction = store.begin().await?;
    let missed = sqlx::query_scalar!(
        r#"
        with due as (
            select d.dag_run_id, d.rule, r.state, r.start_date, r.end_date, r.clear_number
            from deadline d join dag_run r on r.id = d.dag_run_id
            where d.missed_at is null and d.deadline_time <= now()
            order by d.deadline_time limit $1 for update of d skip locked
        ), met as (
            delete from deadline d using due
            where d.dag_run_id = due.dag_run_id and d.rule = due.rule and due.state = 'success'
        ), missed as (
            update deadline d set missed_at = now() from due
            where d.dag_run_id = due.dag_run_id and d.rule = due.rule and due.state <> 'success'
            returning d.dag_run_id, d.rule, d.deadline_time, d.action, due.state, due.start_date, due.end_date, due.clear_number
        ), told as (
            insert into outbox (dag_run_id, task_id, map_index, try_number, event, rule, action, facts)
            select dag_run_id, '', -1, clear_number, 'deadline', rule, action,
                   jsonb_build_object('cause', 'deadline', 'of_run', true, 'deadline', deadline_time,
                       'run', jsonb_build_object('state', state, 'start_date', start_date, 'end_date', end_date))
            from missed
            on conflict on constraint outbox_event_key do nothing
        )
        select dag_run_id as "dag_run_id!" from missed
        "#,
        BATCH
    )
    .fetch_all(&mut *transaction)
    .await?;
    failpoint!("deadlines.before_commit");
    transaction.commit().await?;
    if !missed.is_empty() {
        store.wake().ring(Signal::Outbox);
    }
    Ok(missed)
}

/// How long until the next deadline passes; `None`: there is none. `deadline_due_idx` serves it.
pub async fn next_due(executor: impl PgExecutor<'_>) -> Result<Option<Duration>, StoreError> {
    let ms = sqlx::query_scalar!(
        r#"select (extract(epoch from min(deadline_time) - now()) * 1000)::bigint as "ms" from deadline
           where missed_at is null"#
    )
    .fetch_one(executor)
    .await?;
    Ok(ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
}
