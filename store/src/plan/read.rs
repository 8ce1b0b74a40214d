//! Reading runs under their lock.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use updraft_core::{
    dag::Dag,
    ids::{AttemptId, TaskId},
    plan::{Change, Event, Finished, Key, Run, RunState, Started, Stopping, Ti},
    spec::{Failure, FailureClass},
    state::DagRunType,
};
use uuid::Uuid;

use super::{Batch, Locked};
use crate::{StoreError, nodes::inbox};

/// A run's row.
#[derive(Clone, Debug)]
pub struct RunRow {
    pub run: Run,
    pub tag: i64,
    pub dag_fk: i64,
    pub dag_id: String,
    pub run_id: String,
    pub dag_version_id: i64,
    /// What a run of a folder follows; a run of git is pinned (`bundle_version` is set).
    pub follows: Option<i64>,
    pub wake_at: Option<DateTime<Utc>>,
    /// It was last planned minutes ago: say that it was looked at, so that the sweep rests.
    pub decision_is_old: bool,
    pub is_first_of_backfill: bool,
}

/// Reads the rows and takes the inbox of locked runs: two statements, whatever the number of runs.
///
/// Called by the reactor once per batch and by API mutations; `dag_run_pkey`, `task_event_run_idx` serve it.
pub async fn read(connection: &mut PgConnection, runs: &[Locked]) -> Result<Batch, StoreError> {
    let ids: Vec<i64> = runs.iter().map(|run| run.id).collect();
    let (runs, now) = rows(&mut *connection, &ids).await?;
    let changes = take_inbox(connection, &ids).await?;
    Ok(Batch { now, runs, changes })
}

/// Reads one locked run's row and Postgres' clock, and leaves its inbox alone: for API mutations, after which the events of
/// attempts they fenced are stale and the rest is the reactor's.
pub async fn read_row(connection: &mut PgConnection, run: Locked) -> Result<(RunRow, DateTime<Utc>), StoreError> {
    let (mut rows, now) = rows(connection, &[run.id]).await?;
    let row = rows.pop().ok_or_else(|| StoreError::Inconsistent(format!("the locked run {} is gone", run.id)))?;
    Ok((row, now))
}

async fn rows(connection: &mut PgConnection, ids: &[i64]) -> Result<(Vec<RunRow>, DateTime<Utc>), StoreError> {
    let rows = sqlx::query!(
        r#"
        select r.id, r.tag, r.state, r.run_type, r.logical_date, r.queued_at, r.start_date, r.end_date, r.dag_fk, r.run_id,
               r.dag_version_id, r.bundle_version, r.wake_at, d.dag_id,
               -- Runs of a DAG that is gone from its file rest as those of a paused one (semantics §2.2) until it is back.
               d.is_paused or d.is_stale as "is_paused!", d.latest_version_id,
               coalesce(r.last_scheduling_decision < now() - interval '4 minutes', true) as "decision_is_old!",
               coalesce(r.backfill_ordinal = 1, false) as "is_first_of_backfill!",
               clock_timestamp() as "now!"
        from dag_run r join dag d on d.id = r.dag_fk
        where r.id = any($1) order by r.id
        "#,
        ids
    )
    .fetch_all(connection)
    .await?;
    let now = rows.first().map(|row| row.now).unwrap_or_default();
    let rows = rows.into_iter().map(|row| {
        Ok(RunRow {
            run: Run {
                id: row.id,
                state: parse(&row.state)?,
                run_type: parse::<DagRunType>(&row.run_type)?,
                logical_date: row.logical_date,
                queued_at: row.queued_at,
                start_date: row.start_date,
                end_date: row.end_date,
                dag_is_paused: row.is_paused,
            },
            tag: row.tag,
            dag_fk: row.dag_fk,
            dag_id: row.dag_id,
            run_id: row.run_id,
            dag_version_id: row.dag_version_id,
            follows: row.latest_version_id.filter(|_| row.bundle_version.is_none()),
            wake_at: row.wake_at,
            decision_is_old: row.decision_is_old,
            is_first_of_backfill: row.is_first_of_backfill,
        })
    });
    Ok((rows.collect::<Result<_, StoreError>>()?, now))
}

async fn take_inbox(connection: &mut PgConnection, ids: &[i64]) -> Result<Vec<(i64, Change)>, StoreError> {
    let events = sqlx::query!(
        r#"
        with taken as (delete from task_event where dag_run_id = any($1) returning *)
        select t.dag_run_id as "dag_run_id!", t.task_id as "task_id!", t.map_index as "map_index!", t.attempt_id as "attempt_id!", t.kind as "kind!",
               t.body as "body!", a.placed_at as "placed_at?"
        from taken t left join attempt a on a.attempt_id = t.attempt_id
        order by t.id
        "#,
        ids
    )
    .fetch_all(connection)
    .await?;
    events
        .into_iter()
        .map(|row| {
            let event = event(&row.kind, row.body, row.placed_at)?;
            let change = Change {
                task_id: row.task_id.into(),
                map_index: row.map_index,
                attempt: AttemptId(row.attempt_id),
                event,
            };
            Ok((row.dag_run_id, change))
        })
        .collect()
}

/// An inbox row as plan takes it.
fn event(kind: &str, body: serde_json::Value, placed_at: Option<DateTime<Utc>>) -> Result<Event, StoreError> {
    Ok(match kind {
        inbox::STARTED => {
            let body: inbox::Started = serde_json::from_value(body)?;
            Event::Started(Started {
                queued_dttm: placed_at,
                at: Some(body.started_at),
                hostname: body.hostname,
                pid: body.pid,
                execution: body.execution,
            })
        }
        inbox::FINISHED => {
            let body: inbox::Finished = serde_json::from_value(body)?;
            let reason = body.failure_reason;
            Event::Finished(Box::new(Finished {
                started: Started {
                    queued_dttm: placed_at,
                    at: Some(body.started_at),
                    hostname: body.hostname,
                    pid: body.pid,
                    execution: body.execution,
                },
                at: Some(body.ended_at),
                outcome: body.outcome,
                exit_code: body.exit_code,
                failure: body.failure_class.map(|class| Failure { class, reason: reason.unwrap_or_default() }),
                no_retry: body.no_retry,
                retry_delay: body.retry_delay_ms.map(std::time::Duration::from_millis),
                decision: body.decision,
                rendered_fields: body.rendered_fields,
                rendered_map_index: body.rendered_map_index,
                outlet_events: body.outlet_events,
            }))
        }
        inbox::LOST => {
            let body: inbox::Lost = serde_json::from_value(body)?;
            Event::Lost { handed: body.handed, reason: body.reason }
        }
        inbox::LAUNCH_TIMEOUT => Event::LaunchTimeout,
        inbox::STOPPED => Event::Stopped,
        inbox::DEFERRED => Event::Deferred,
        inbox::AWAITING_INPUT => Event::AwaitingInput,
        inbox::LOOK => Event::Look,
        other => return Err(StoreError::Data(format!("task_event.kind `{other}` is not known"))),
    })
}

/// Loads the task instances of runs that are not cached, in one statement, and makes each run's state for its DAG.
/// Instances of tasks that the DAG no longer has are left out.
///
/// `task_instance_pkey` serves it.
pub async fn load(connection: &mut PgConnection, runs: Vec<(RunRow, Arc<Dag>)>) -> Result<Vec<RunState>, StoreError> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = runs.iter().map(|(row, _)| row.run.id).collect();
    let rows = sqlx::query!(
        r#"
        select dag_run_id, task_id, map_index, attempt_id, state, try_number, max_tries, scheduled_dttm, queued_dttm, start_date, end_date,
               next_retry_at, stopping_attempt, stop_deadline, hostname, pid, failure_class, failure_reason, exit_code,
               reschedules, skipmixin, rendered_map_index
        from task_instance where dag_run_id = any($1)
        "#,
        &ids
    )
    .fetch_all(connection)
    .await?;
    let mut by_run: HashMap<i64, Vec<(TaskId, i32, Ti)>> = HashMap::with_capacity(runs.len());
    for row in rows {
        let ti = Ti {
            state: parse(&row.state)?,
            attempt: AttemptId(row.attempt_id),
            try_number: row.try_number,
            max_tries: row.max_tries,
            scheduled_dttm: row.scheduled_dttm,
            queued_dttm: row.queued_dttm,
            start_date: row.start_date,
            end_date: row.end_date,
            next_retry_at: row.next_retry_at,
            stopping: stopping(row.stopping_attempt, row.stop_deadline),
            hostname: row.hostname,
            pid: row.pid,
            failure: row
                .failure_class
                .as_deref()
                .map(failure_class)
                .transpose()?
                .map(|class| Failure { class, reason: row.failure_reason.unwrap_or_default() }),
            exit_code: row.exit_code,
            reschedules: row.reschedules,
            skipmixin: row.skipmixin.map(serde_json::from_value).transpose()?,
            rendered_map_index: row.rendered_map_index,
        };
        by_run.entry(row.dag_run_id).or_default().push((row.task_id.into(), row.map_index, ti));
    }
    Ok(runs
        .into_iter()
        .map(|(row, dag)| {
            let tis = by_run.remove(&row.run.id).unwrap_or_default();
            let tis = tis.into_iter().filter_map(|(task_id, map_index, ti)| {
                dag.index_of(task_id.as_str()).map(|task| (Key { task, map_index }, ti))
            });
            let tis: Vec<(Key, Ti)> = tis.collect();
            RunState::new(row.run, dag, tis)
        })
        .collect())
}

fn stopping(attempt: Option<Uuid>, deadline: Option<DateTime<Utc>>) -> Option<Stopping> {
    Some(Stopping { attempt: AttemptId(attempt?), deadline: deadline? })
}

fn failure_class(text: &str) -> Result<FailureClass, StoreError> {
    FailureClass::ALL
        .iter()
        .copied()
        .find(|class| class.as_str() == text)
        .ok_or_else(|| StoreError::Data(format!("failure class `{text}` is not known")))
}

/// A state word of the database. An unknown one was written by a newer binary.
pub(super) fn parse<T: std::str::FromStr<Err = updraft_core::state::UnknownState>>(
    text: &str,
) -> Result<T, StoreError> {
    text.parse().map_err(|error: updraft_core::state::UnknownState| StoreError::Data(error.to_string()))
}
