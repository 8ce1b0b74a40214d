//! Live processes (Airflow's table `job`): who may be preferred for a run, what `/monitor/health` shows.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::StoreError;

/// `job.job_type` of a scheduler.
pub const SCHEDULER: &str = "SchedulerJob";
/// `job.job_type` of a triggerer: a loop of each scheduler.
pub const TRIGGERER: &str = "TriggererJob";
/// `job.job_type` of a DAG processor.
pub const DAG_PROCESSOR: &str = "DagProcessorJob";

/// A process without a heartbeat for this long is dead (Airflow's `scheduler_health_check_threshold`). Seconds.
pub const DEAD_AFTER_SECONDS: f64 = 30.0;

/// Says that a process lives; inserts its row at the first call. Marks the dead ones `failed`.
pub async fn heartbeat(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    job_type: &str,
    hostname: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "with dead as (
             update job set state = 'failed', end_date = latest_heartbeat
             where state = 'running' and uuid <> $1 and latest_heartbeat < now() - make_interval(secs => $4)
         )
         insert into job (uuid, job_type, state, hostname) values ($1, $2, 'running', $3)
         on conflict (uuid) do update set latest_heartbeat = now(), state = 'running', end_date = null",
        id,
        job_type,
        hostname,
        DEAD_AFTER_SECONDS
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Says that a process ended well.
pub async fn end(executor: impl PgExecutor<'_>, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!("update job set state = 'success', end_date = now() where uuid = $1", id).execute(executor).await?;
    Ok(())
}

/// The live schedulers.
pub async fn live_schedulers(executor: impl PgExecutor<'_>) -> Result<Vec<Uuid>, StoreError> {
    let ids = sqlx::query_scalar!(
        "select uuid from job where job_type = $1 and state = 'running' and latest_heartbeat > now() - make_interval(secs => $2)
         order by uuid",
        SCHEDULER,
        DEAD_AFTER_SECONDS / 2.0
    )
    .fetch_all(executor)
    .await?;
    Ok(ids)
}
