//! DAGs that users marked as their favorites (Airflow's table `dag_favorite`).

use sqlx::PgConnection;

use crate::StoreError;

/// What became of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Done,
    /// It was so already.
    Already,
    NoDag,
}

/// Marks a DAG for a user. The lock keeps the DAG from being deleted meanwhile.
pub async fn add(connection: &mut PgConnection, user_name: &str, dag_id: &str) -> Result<Mark, StoreError> {
    let Some(dag_fk) = dag(&mut *connection, dag_id).await? else { return Ok(Mark::NoDag) };
    let done = sqlx::query!(
        "insert into dag_favorite (user_name, dag_fk) values ($1, $2) on conflict do nothing",
        user_name,
        dag_fk
    )
    .execute(connection)
    .await?;
    Ok(mark(done.rows_affected()))
}

/// Takes a user's mark away.
pub async fn remove(connection: &mut PgConnection, user_name: &str, dag_id: &str) -> Result<Mark, StoreError> {
    let Some(dag_fk) = dag(&mut *connection, dag_id).await? else { return Ok(Mark::NoDag) };
    let done = sqlx::query!("delete from dag_favorite where user_name = $1 and dag_fk = $2", user_name, dag_fk)
        .execute(connection)
        .await?;
    Ok(mark(done.rows_affected()))
}

/// Whether a user marked that DAG.
pub async fn has(connection: &mut PgConnection, user_name: &str, dag_fk: i64) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from dag_favorite where user_name = $1 and dag_fk = $2) as "exists!""#,
        user_name,
        dag_fk
    )
    .fetch_one(connection)
    .await?)
}

async fn dag(connection: &mut PgConnection, dag_id: &str) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar!("select id from dag where dag_id = $1 for key share", dag_id)
        .fetch_optional(connection)
        .await?)
}

fn mark(rows: u64) -> Mark {
    if rows == 0 { Mark::Already } else { Mark::Done }
}
