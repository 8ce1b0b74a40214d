//! Deleting a DAG with all that it left (Airflow 3: `api/common/delete_dag.py`).
//!
//! The audit trail stays, and so does what the DAG processor knows of the file: unchanged, it is not read again, so the DAG stays
//! away until somebody changes the file.

use sqlx::PgConnection;

use crate::{
    StoreError, assets,
    runs::{Deleted, delete_locked},
};

/// Runs deleted by one statement, at most: it must end within the time that a statement has.
const SLICE: usize = 100;

/// What became of it.
#[derive(Debug)]
pub enum Outcome {
    Deleted(Deleted),
    /// Task instances are running.
    Running,
    NoDag,
}

/// Deletes a DAG, its versions, its backfills and its runs, unless one of its task instances is running. Attempts that wait, are
/// deferred or are on their way to a node end with it.
///
/// Holds the DAG's lock, so that no run begins, and then those of its runs in the order of their ids. Ring after the commit.
pub async fn delete(connection: &mut PgConnection, dag_id: &str) -> Result<Outcome, StoreError> {
    let dag_fk = sqlx::query_scalar!("select id from dag where dag_id = $1 for update", dag_id)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(dag_fk) = dag_fk else { return Ok(Outcome::NoDag) };
    let runs = sqlx::query_scalar!("select id from dag_run where dag_fk = $1 order by id for update", dag_fk)
        .fetch_all(&mut *connection)
        .await?;
    let is_running = sqlx::query_scalar!(
        r#"select exists (select from attempt
                          where dag_run_id = any($1) and kind = 'task' and started_at is not null and waits is null)
               as "exists!""#,
        &runs
    )
    .fetch_one(&mut *connection)
    .await?;
    if is_running {
        return Ok(Outcome::Running);
    }
    let mut deleted = Deleted { runs, ..Deleted::default() };
    for slice in deleted.runs.chunks(SLICE) {
        deleted.nodes.append(&mut delete_locked(&mut *connection, slice, "the DAG was deleted").await?);
    }
    assets::forget(&mut *connection, &[dag_fk]).await?;
    sqlx::query!("delete from dag where id = $1", dag_fk).execute(connection).await?;
    Ok(Outcome::Deleted(deleted))
}
