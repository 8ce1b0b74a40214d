//! What the triggerer reads and writes: attempts that are due, facts they ask for, what became of them.
//!
//! A look at an attempt is one transaction: its row is locked, passing over those another scheduler looks at; the decision
//! (`updraft_core::triggerer`) and everything it leads to is written, and the inbox tells plan. So a process that dies in the
//! middle leaves nothing, and nothing is done twice. No run is locked here: plan applies what the inbox says.

mod external;
mod runs;
mod write;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use updraft_core::triggerer::Memory;
use uuid::Uuid;

pub use self::{
    external::{External, external},
    runs::{Made, awaited, make},
    write::{Finish, Waits, Written, write},
};
pub use crate::nodes::Loaded;
use crate::{
    StoreError,
    nodes::{self, Handed},
    versions::DagCache,
};

/// A locked attempt whose look is due.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub attempt: Handed,
    /// `None`: it begins with this look.
    pub memory: Option<Memory>,
    /// It has told plan already that it waits.
    pub is_waiting: bool,
    /// Postgres' clock, read with the lock.
    pub now: DateTime<Utc>,
}

/// Locks attempts that are due, the longest due first, passing over those that another scheduler looks at. Those that have
/// not begun are left alone while their DAG is paused or stale.
///
/// Called by each triggerer when it wakes, until nothing is due; `attempt_trigger_idx` serves it.
pub async fn claim(connection: &mut PgConnection, limit: i64) -> Result<Vec<Claimed>, StoreError> {
    let rows = sqlx::query!(
        r#"select a.attempt_id, a.dag_run_id, a.task_id, a.map_index, a.try_number, a.trigger_state,
                  a.waits is not null as "is_waiting!", coalesce(t.max_tries, 0) as "max_tries!", clock_timestamp() as "now!"
           from attempt a join dag d on d.id = a.dag_fk
           left join task_instance t on t.dag_run_id = a.dag_run_id and t.task_id = a.task_id and t.map_index = a.map_index
           where a.trigger_at <= now() and (a.trigger_state is not null or not (d.is_paused or d.is_stale))
           order by a.trigger_at, a.attempt_id limit $1
           for no key update of a skip locked"#,
        limit
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let attempt = Handed {
                attempt_id: row.attempt_id,
                dag_run_id: row.dag_run_id,
                task_id: row.task_id,
                map_index: row.map_index,
                try_number: row.try_number,
                max_tries: row.max_tries,
                is_callback: false,
                reschedules: 0,
            };
            let memory = row.trigger_state.map(serde_json::from_value).transpose()?;
            Ok(Claimed { attempt, memory, is_waiting: row.is_waiting, now: row.now })
        })
        .collect()
}

/// Locks one attempt, if it is still due and nobody else looks at it. For looks that lock something else before.
pub async fn claim_one(connection: &mut PgConnection, attempt_id: Uuid) -> Result<Option<Claimed>, StoreError> {
    let row = sqlx::query!(
        r#"select a.attempt_id, a.dag_run_id, a.task_id, a.map_index, a.try_number, a.trigger_state,
                  a.waits is not null as "is_waiting!", coalesce(t.max_tries, 0) as "max_tries!", clock_timestamp() as "now!"
           from attempt a
           left join task_instance t on t.dag_run_id = a.dag_run_id and t.task_id = a.task_id and t.map_index = a.map_index
           where a.attempt_id = $1 and a.trigger_at <= now()
           for no key update of a skip locked"#,
        attempt_id
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let attempt = Handed {
            attempt_id: row.attempt_id,
            dag_run_id: row.dag_run_id,
            task_id: row.task_id,
            map_index: row.map_index,
            try_number: row.try_number,
            max_tries: row.max_tries,
            is_callback: false,
            reschedules: 0,
        };
        let memory = row.trigger_state.map(serde_json::from_value).transpose()?;
        Ok(Claimed { attempt, memory, is_waiting: row.is_waiting, now: row.now })
    })
    .transpose()
}

/// How long until the next look; `None`: nothing is waited for. Milliseconds, 0 when one is due. `attempt_trigger_idx` serves it.
pub async fn next_look(executor: impl PgExecutor<'_>) -> Result<Option<u64>, StoreError> {
    let ms = sqlx::query_scalar!(
        r#"select (extract(epoch from a.trigger_at - now()) * 1000)::bigint as "ms"
           from attempt a join dag d on d.id = a.dag_fk
           where a.trigger_at < 'infinity' and (a.trigger_state is not null or not (d.is_paused or d.is_stale))
           order by a.trigger_at limit 1"#
    )
    .fetch_optional(executor)
    .await?;
    Ok(ms.flatten().map(|ms| u64::try_from(ms).unwrap_or(0)))
}

/// Makes the attempts due that wait for a run that has ended. Called when a run ended; `attempt_awaits_run_idx` serves it.
pub async fn wake_for_ended_runs(executor: impl PgExecutor<'_>) -> Result<u64, StoreError> {
    let woken = sqlx::query!(
        "with pick as (
             select a.attempt_id from attempt a join dag_run r on r.id = a.awaits_run
             where a.awaits_run is not null and a.trigger_at > now() and r.state in ('success', 'failed')
             order by a.attempt_id for no key update of a skip locked
         )
         update attempt a set trigger_at = now() from pick where a.attempt_id = pick.attempt_id"
    )
    .execute(executor)
    .await?;
    Ok(woken.rows_affected())
}

/// What attempts are, in their order: `Err` is why nobody can work on one; `None`: its run is gone.
pub async fn load(
    connection: &mut PgConnection,
    dags: &DagCache,
    claimed: &[Claimed],
) -> Result<Vec<Option<Result<Loaded, String>>>, StoreError> {
    let attempts: Vec<Handed> = claimed.iter().map(|one| one.attempt.clone()).collect();
    nodes::specs(connection, dags, &attempts).await
}
