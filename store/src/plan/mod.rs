//! The run lock: reading runs as a plan needs them and writing what it says.
//!
//! Lock in one statement ([`lock`]), read in the next ([`read`]), write in one more ([`write()`]). A single statement that
//! locked and read would return the new tag with old tasks (measured), because its snapshot is older than its lock. Under the
//! run lock an UPDATE hits exactly the rows it names; anything else is a bug, reported as [`StoreError::Inconsistent`].

mod facts;
mod read;
mod write;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use updraft_core::{
    ids::AttemptId,
    plan::{Change, RunState},
};

pub(crate) use self::write::operator_name;
pub use self::{
    facts::load_facts,
    read::{RunRow, load, read, read_row},
    write::{Planned, Written, write},
};
use crate::StoreError;

/// A locked run and its tag: a cached copy is valid only while it carries this tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked {
    pub id: i64,
    pub tag: i64,
}

/// Runs as read after the lock, with what happened to them.
#[derive(Debug)]
pub struct Batch {
    /// Postgres' clock, read with the rows.
    pub now: DateTime<Utc>,
    pub runs: Vec<RunRow>,
    /// Their inbox, in order, deleted in this transaction whether applied or not.
    pub changes: Vec<(i64, Change)>,
}

/// A loaded run, ready to plan.
#[derive(Debug)]
pub struct Loaded {
    pub row: RunRow,
    pub state: RunState,
}

/// Takes the run locks, in id order, passing over runs that another process holds.
///
/// Called by the reactor for each batch; `dag_run_pkey` serves it.
pub async fn lock(connection: &mut PgConnection, runs: &[i64]) -> Result<Vec<Locked>, StoreError> {
    let rows = sqlx::query_as!(
        Locked,
        "select id, tag from dag_run where id = any($1) order by id for no key update skip locked",
        runs
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Takes one run's lock and waits for it: for API requests, which must not pass it over. `None`: no such run.
pub async fn lock_one(connection: &mut PgConnection, run: i64) -> Result<Option<Locked>, StoreError> {
    let row = sqlx::query_as!(Locked, "select id, tag from dag_run where id = $1 for no key update", run)
        .fetch_optional(connection)
        .await?;
    Ok(row)
}

/// A run that needs attention, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    pub dag_run_id: i64,
    /// How long its oldest event or its timer waits. Milliseconds.
    pub waiting_ms: i64,
}

/// Runs that need attention: inbox rows, a timer that is due, or no plan for five minutes. For the sweep, which finds what a
/// lost wake-up would have told; `dag_run_wake_at_idx` and `dag_run_active_idx` serve it, the inbox is small.
pub async fn attention(executor: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Attention>, StoreError> {
    let rows = sqlx::query!(
        r#"
        with due as (
            select dag_run_id, min(created_at) as since from task_event group by dag_run_id
            union all
            select id, wake_at from dag_run where wake_at <= now() and quarantine_reason is null
            union all
            select id, now() - interval '5 minutes' from dag_run
            where state = 'running' and quarantine_reason is null
              and coalesce(last_scheduling_decision, start_date) < now() - interval '5 minutes'
        )
        select dag_run_id as "dag_run_id!",
               (extract(epoch from now() - min(since)) * 1000)::bigint as "waiting_ms!"
        from due group by dag_run_id order by min(since) limit $1
        "#,
        limit
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Attention { dag_run_id: row.dag_run_id, waiting_ms: row.waiting_ms.max(0) })
        .collect())
}

/// How long until the next timer of any run; `None`: there is none. Milliseconds, 0 when one is due.
pub async fn next_timer(executor: impl PgExecutor<'_>) -> Result<Option<u64>, StoreError> {
    let ms = sqlx::query_scalar!(
        r#"select (extract(epoch from min(wake_at) - now()) * 1000)::bigint as "ms" from dag_run
           where wake_at is not null and quarantine_reason is null"#
    )
    .fetch_one(executor)
    .await?;
    Ok(ms.map(|ms| u64::try_from(ms).unwrap_or(0)))
}

/// Counts a failed plan of a run; at the third it is quarantined with the reason and no longer planned until a user clears it.
pub async fn note_failure(connection: &mut PgConnection, run: i64, reason: &str) -> Result<bool, StoreError> {
    let quarantined = sqlx::query_scalar!(
        r#"
        update dag_run
        set plan_failures = plan_failures + 1,
            wake_at = now() + interval '2 seconds' * (plan_failures + 1),
            quarantine_reason = case when plan_failures >= 2 then $2 end
        where id = $1
        returning quarantine_reason is not null as "quarantined!"
        "#,
        run,
        reason
    )
    .fetch_optional(connection)
    .await?;
    Ok(quarantined.unwrap_or(false))
}

/// A new attempt id.
pub fn new_attempt_id() -> AttemptId {
    AttemptId(uuid::Uuid::new_v4())
}
