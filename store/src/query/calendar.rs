//! A DAG's runs by day or hour.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::StoreError;

/// How wide a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    Day,
    Hour,
}

/// A day or an hour with runs.
#[derive(Clone, Debug)]
pub struct CalendarCell {
    pub start: DateTime<Utc>,
    pub success: i64,
    pub failed: i64,
    pub running: i64,
    pub queued: i64,
    /// Runs to come.
    pub planned: i64,
}

/// The cells from `from` to before `to` that are not empty, in order, by when the runs were due on the clock of `zone`; `planned`
/// are the instants of runs to come. `dag_run_dag_run_after_idx`: reads the runs of the range.
pub async fn cells(
    connection: &mut PgConnection,
    dag_id: &str,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    granularity: Granularity,
    zone: &str,
    planned: &[DateTime<Utc>],
) -> Result<Vec<CalendarCell>, StoreError> {
    let field = match granularity {
        Granularity::Day => "day",
        Granularity::Hour => "hour",
    };
    Ok(sqlx::query_as!(
        CalendarCell,
        r#"
        select date_trunc($4, at, $5) as "start!", count(*) filter (where state = 'success') as "success!",
               count(*) filter (where state = 'failed') as "failed!", count(*) filter (where state = 'running') as "running!",
               count(*) filter (where state = 'queued') as "queued!", count(*) filter (where state = 'planned') as "planned!"
        from (select r.run_after as at, r.state from dag_run r
              where r.dag_fk = (select id from dag where dag_id = $1) and r.run_after >= $2 and r.run_after < $3
              union all
              select p.at, 'planned' from unnest($6::timestamptz[]) as p(at)) run
        group by 1 order by 1
        "#,
        dag_id,
        from,
        to,
        field,
        zone,
        planned
    )
    .fetch_all(connection)
    .await?)
}
