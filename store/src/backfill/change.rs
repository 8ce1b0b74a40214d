//! Pausing, going on with and cancelling a backfill.

use sqlx::PgConnection;

use crate::StoreError;

/// What a change met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Done,
    NotFound,
    /// It is over already.
    Completed,
}

/// Starts none of its runs until [`unpause`]. Those that run go on.
pub async fn pause(connection: &mut PgConnection, id: i64) -> Result<Change, StoreError> {
    set_paused(connection, id, true).await
}

/// Goes on starting its runs.
pub async fn unpause(connection: &mut PgConnection, id: i64) -> Result<Change, StoreError> {
    set_paused(connection, id, false).await
}

async fn set_paused(connection: &mut PgConnection, id: i64, is_paused: bool) -> Result<Change, StoreError> {
    if !lock(&mut *connection, id).await? {
        return Ok(Change::NotFound);
    }
    let changed = sqlx::query!(
        "update backfill set is_paused = $2, updated_at = now() where id = $1 and completed_at is null",
        id,
        is_paused
    )
    .execute(connection)
    .await?;
    Ok(if changed.rows_affected() == 0 { Change::Completed } else { Change::Done })
}

/// Ends it: no further run is made or started, and its queued runs fail
/// ([`fail_cancelled`](super::fail_cancelled)). Those that run go on.
pub async fn cancel(connection: &mut PgConnection, id: i64) -> Result<Change, StoreError> {
    if !lock(&mut *connection, id).await? {
        return Ok(Change::NotFound);
    }
    let changed = sqlx::query!(
        "update backfill set is_paused = true, is_cancelling = true, completed_at = clock_timestamp(),
                             updated_at = clock_timestamp()
         where id = $1 and completed_at is null",
        id
    )
    .execute(connection)
    .await?;
    Ok(if changed.rows_affected() == 0 { Change::Completed } else { Change::Done })
}

/// Locks the DAG's row and then the backfill's, so that nothing of it is started meanwhile.
async fn lock(connection: &mut PgConnection, id: i64) -> Result<bool, StoreError> {
    sqlx::query!(
        "select d.id from dag d where d.id = (select dag_fk from backfill where id = $1) for no key update",
        id
    )
    .fetch_optional(&mut *connection)
    .await?;
    let row =
        sqlx::query!("select id from backfill where id = $1 for no key update", id).fetch_optional(connection).await?;
    Ok(row.is_some())
}
