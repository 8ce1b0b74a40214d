//! Queued runs begin, within their DAG's `max_active_runs` (semantics §2.1).

use updraft_core::failpoint;

use crate::{Store, StoreError, wake::Signal};

/// DAGs in one transaction, at most.
const BATCH: i64 = 500;

/// A run that began.
#[derive(Clone, Debug, PartialEq)]
pub struct StartedRun {
    pub id: i64,
    pub dag_id: String,
    /// Of a run of the DAG's schedule that begins for the first time: how long after the moment it was due. Seconds.
    pub delay_seconds: Option<f64>,
}

/// Starts queued runs whose time has come, as many as each bucket allows; returns them and rings for them. A bucket is a
/// backfill with its own `max_active_runs` and in its own order, or everything else of the DAG, oldest first.
///
/// A run with a logical date in the future waits here, where it takes no place from others (Airflow starts it and then leaves
/// it alone). Called when runs were created, cleared or ended, or a DAG was unpaused. Under the `dag` rows;
/// `dag_run_queued_idx` and `dag_run_active_idx` serve it.
pub async fn start_queued(store: &Store) -> Result<Vec<StartedRun>, StoreError> {
    let mut transaction = store.begin().await?;
    let locked = sqlx::query_scalar!(
        // Only DAGs that have room: 500 that wait must not hide the one that need not.
        "select d.id from dag d
         where not d.is_paused and not d.is_stale and d.id in (
             select q.dag_fk
             from (select distinct dag_fk, backfill_id from dag_run
                   where state = 'queued' and run_after <= now() and coalesce(logical_date <= now(), true)) q
             join dag g on g.id = q.dag_fk
             left join backfill b on b.id = q.backfill_id
             where (b.id is null or not b.is_cancelling and (b.completed_at is not null or not b.is_paused))
               and (select count(*) from dag_run r
                    where r.dag_fk = q.dag_fk and r.state = 'running' and r.backfill_id is not distinct from q.backfill_id)
                   < coalesce(b.max_active_runs, g.max_active_runs))
         order by d.id limit $1 for no key update skip locked",
        BATCH
    )
    .fetch_all(&mut *transaction)
    .await?;
    if locked.is_empty() {
        return Ok(Vec::new());
    }
    let started = sqlx::query_as!(
        StartedRun,
        r#"
        with busy as (
            select dag_fk, backfill_id, count(*) as running from dag_run
            where dag_fk = any($1) and state = 'running' group by dag_fk, backfill_id
        ), queue as (
            select r.id, d.dag_id,
                   row_number() over (partition by r.dag_fk, r.backfill_id
                                      order by r.backfill_ordinal nulls first, r.run_after, r.id) as place,
                   coalesce(b.max_active_runs, d.max_active_runs) - coalesce(busy.running, 0) as free
            from dag_run r
            join dag d on d.id = r.dag_fk
            left join backfill b on b.id = r.backfill_id
            left join busy on busy.dag_fk = r.dag_fk and busy.backfill_id is not distinct from r.backfill_id
            where r.dag_fk = any($1) and r.state = 'queued' and r.run_after <= now()
              and coalesce(r.logical_date <= now(), true)
              -- A run that is cleared when its backfill is over starts whatever became of that.
              and (b.id is null or not b.is_cancelling and (b.completed_at is not null or not b.is_paused))
        )
        update dag_run r
        set state = 'running', start_date = clock_timestamp(), end_date = null, wake_at = clock_timestamp(),
            tag = ('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint, updated_at = clock_timestamp()
        -- The queue is a snapshot's; a run that is marked meanwhile has another state when its row is free.
        from queue q where q.id = r.id and q.place <= q.free and r.state = 'queued'
        returning r.id, q.dag_id as "dag_id!",
                  case when r.run_type = 'scheduled' and r.clear_number = 0
                       then extract(epoch from r.start_date - greatest(r.run_after, r.logical_date))::float8
                  end as delay_seconds
        "#,
        &locked
    )
    .fetch_all(&mut *transaction)
    .await?;
    failpoint!("start_queued.before_commit");
    transaction.commit().await?;
    failpoint!("start_queued.after_commit");
    for run in &started {
        store.wake().ring(Signal::Run(run.id));
        store.wake().changed(run.id);
    }
    Ok(started)
}

/// How long until a queued run of an active DAG may start; `None`: none waits for its time. Milliseconds.
pub async fn next_start(store: &Store) -> Result<Option<u64>, StoreError> {
    let ms = sqlx::query_scalar!(
        r#"
        select (extract(epoch from min(greatest(r.run_after, r.logical_date)) - now()) * 1000)::bigint as "ms"
        from dag_run r join dag d on d.id = r.dag_fk
        where r.state = 'queued' and greatest(r.run_after, r.logical_date) > now() and not d.is_paused and not d.is_stale
        "#
    )
    .fetch_one(store.pool())
    .await?;
    Ok(ms.map(|ms| u64::try_from(ms).unwrap_or(0)))
}
