//! Which logs are to be deleted: of attempts handed out long ago, and of runs that were deleted.
//!
//! What a row named is first written down in `log_garbage`, in the statement that deletes the row, and leaves it when the log is
//! gone: a webserver that dies between the two forgets none.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use crate::{Store, StoreError};

/// The key of the advisory lock: one webserver looks for old logs at a time.
const LOCK: i64 = 0x7570_6472_6166_7402;
/// Logs of one sweep, at most.
const SWEEP: i64 = 500;
/// A webserver that took a log to delete and did not within this loses it to the next.
const CLAIM: PgInterval = PgInterval { months: 0, days: 0, microseconds: 5 * 60 * 1_000_000 };

/// A log to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    pub attempt_id: Uuid,
    pub dag_id: String,
    pub run_id: String,
    pub task_id: String,
    pub map_index: i32,
    pub try_number: i32,
}

/// Gives up the logs of attempts that were handed out longer than `keep` ago and are over, at most 500 in a call; how many.
/// Called by webservers every minute; `attempt_log_handed_idx` serves it.
pub async fn expire(store: &Store, keep: Duration) -> Result<u64, StoreError> {
    let mut transaction = store.begin().await?;
    let mine = sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "mine!""#, LOCK)
        .fetch_one(&mut *transaction)
        .await?;
    if !mine {
        return Ok(0);
    }
    let expired = sqlx::query!(
        "with old as (
             select l.dag_run_id, l.attempt_id from attempt_log l
             where l.handed_at < now() - make_interval(secs => $1)
               and not exists (select from attempt a where a.attempt_id = l.attempt_id)
             limit $2
         ), gone as (
             delete from attempt_log l using old where l.dag_run_id = old.dag_run_id and l.attempt_id = old.attempt_id
             returning l.dag_run_id, l.attempt_id, l.task_id, l.map_index, l.try_number
         )
         insert into log_garbage (attempt_id, dag_id, run_id, task_id, map_index, try_number)
         select g.attempt_id, d.dag_id, r.run_id, g.task_id, g.map_index, g.try_number
         from gone g join dag_run r on r.id = g.dag_run_id join dag d on d.id = r.dag_fk
         on conflict do nothing",
        keep.as_secs_f64(),
        SWEEP
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(expired.rows_affected())
}

/// Takes logs to delete, at most 500, that no other webserver has taken. Delete them, then call [`forget`].
pub async fn claim(store: &Store) -> Result<Vec<Expired>, StoreError> {
    Ok(sqlx::query_as!(
        Expired,
        "update log_garbage g set due = now() + $1
         from (select attempt_id from log_garbage where due <= now() order by due limit $2 for update skip locked) mine
         where g.attempt_id = mine.attempt_id
         returning g.attempt_id, g.dag_id, g.run_id, g.task_id, g.map_index, g.try_number",
        CLAIM,
        SWEEP
    )
    .fetch_all(store.pool())
    .await?)
}

/// The logs of these attempts are deleted.
pub async fn forget(store: &Store, attempts: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query!("delete from log_garbage where attempt_id = any($1)", attempts).execute(store.pool()).await?;
    Ok(())
}
