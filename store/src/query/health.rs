//! Who is alive, for `/monitor/health`.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::StoreError;

/// The newest heartbeat of one kind of process.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub job_type: String,
    pub latest_heartbeat: DateTime<Utc>,
    /// By Postgres' clock, seconds.
    pub age: f64,
    /// `running`, or what the process said when it stopped.
    pub state: String,
}

/// The newest heartbeat of each job type. `job` has a row per process start and is swept by the janitor.
pub async fn heartbeats(connection: &mut PgConnection) -> Result<Vec<Heartbeat>, StoreError> {
    Ok(sqlx::query_as!(
        Heartbeat,
        r#"select distinct on (job_type) job_type, latest_heartbeat, state,
                  extract(epoch from clock_timestamp() - latest_heartbeat)::float8 as "age!"
           from job order by job_type, (state = 'running') desc, latest_heartbeat desc"#
    )
    .fetch_all(connection)
    .await?)
}
