//! The queue as the API shows it: one entry for each asset and consumer that waits.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use crate::StoreError;

/// That a consumer has heard of an asset and has made no run of it yet.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Queued {
    pub dag_id: String,
    pub dag_display_name: String,
    pub asset_id: i64,
    /// When its newest event happened.
    pub created_at: DateTime<Utc>,
}

/// What is queued for a DAG, for an asset, or for both; before a time, if given. In order of DAG and asset.
pub async fn queued(
    connection: &mut PgConnection,
    dag_id: Option<&str>,
    asset_id: Option<i64>,
    before: Option<DateTime<Utc>>,
) -> Result<Vec<Queued>, StoreError> {
    Ok(sqlx::query_as!(
        Queued,
        r#"select d.dag_id, d.dag_display_name, q.asset_id, max(q.created_at) as "created_at!"
           from asset_dag_run_queue q join dag d on d.id = q.dag_fk
           where q.queued and ($1::text is null or d.dag_id = $1) and ($2::bigint is null or q.asset_id = $2)
             and ($3::timestamptz is null or q.created_at < $3)
           group by d.dag_id, d.dag_display_name, q.asset_id order by d.dag_id, q.asset_id"#,
        dag_id,
        asset_id,
        before
    )
    .fetch_all(connection)
    .await?)
}

/// Takes the same out of the queue and returns how many entries there were: their events trigger nothing any more, and go along
/// with the next run, as in Airflow.
pub async fn dequeue(
    connection: &mut PgConnection,
    dag_id: Option<&str>,
    asset_id: Option<i64>,
    before: Option<DateTime<Utc>>,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "with chosen as (
             select q.dag_fk, q.event_id from asset_dag_run_queue q join dag d on d.id = q.dag_fk
             where q.queued and ($1::text is null or d.dag_id = $1) and ($2::bigint is null or q.asset_id = $2)
               and ($3::timestamptz is null or q.created_at < $3)
             order by q.dag_fk, q.event_id for update of q)
         update asset_dag_run_queue q set queued = false from chosen c where q.dag_fk = c.dag_fk and q.event_id = c.event_id",
        dag_id,
        asset_id,
        before
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
