//! Queued runs begin, within their DAG's `max_active_runs` (semantics §2.1).

use updraft_core::failpoint;

use crate::{Store, StoreError, wake::Signal};

/// Starts queued runs whose time has come, oldest first, as many as each DAG allows; returns their keys and rings for them.
///
/// Called when runs were created, cleared or ended, or a DAG was unpaused. Under the `dag` rows; `dag_run_active_idx` serves it.
pub async fn start_queued(store: &Store) -> Result<Vec<i64>, StoreError> {
    let mut transaction = store.begin().await?;
    let locked = sqlx::query_scalar!(
        "select d.id from dag d
         where not d.is_paused and not d.is_stale
           and exists (select 1 from dag_run r where r.dag_fk = d.id and r.state = 'queued' and r.run_after <= now())
         order by d.id limit 200 for no key update skip locked"
    )
    .fetch_all(&mut *transaction)
    .await?;
    if locked.is_empty() {
        return Ok(Vec::new());
    }
    let started = sqlx::query_scalar!(
        r#"
        with busy as (
            select dag_fk, count(*) as running from dag_run where dag_fk = any($1) and state = 'running' group by dag_fk
        ), queue as (
            select r.id, row_number() over (partition by r.dag_fk order by r.run_after, r.id) as place,
                   d.max_active_runs - coalesce(b.running, 0) as free
            from dag_run r join dag d on d.id = r.dag_fk left join busy b on b.dag_fk = r.dag_fk
            where r.dag_fk = any($1) and r.state = 'queued' and r.run_after <= now()
        )
        update dag_run r
        set state = 'running', start_date = clock_timestamp(), end_date = null, wake_at = clock_timestamp(),
            tag = ('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint, updated_at = clock_timestamp()
        from queue q where q.id = r.id and q.place <= q.free
        returning r.id
        "#,
        &locked
    )
    .fetch_all(&mut *transaction)
    .await?;
    failpoint!("start_queued.before_commit");
    transaction.commit().await?;
    failpoint!("start_queued.after_commit");
    for &run in &started {
        store.wake().ring(Signal::Run(run));
    }
    Ok(started)
}

/// How long until a queued run of an active DAG may start; `None`: none waits for its time. Milliseconds.
pub async fn next_start(store: &Store) -> Result<Option<u64>, StoreError> {
    let ms = sqlx::query_scalar!(
        r#"
        select (extract(epoch from min(r.run_after) - now()) * 1000)::bigint as "ms"
        from dag_run r join dag d on d.id = r.dag_fk
        where r.state = 'queued' and r.run_after > now() and not d.is_paused and not d.is_stale
        "#
    )
    .fetch_one(store.pool())
    .await?;
    Ok(ms.map(|ms| u64::try_from(ms).unwrap_or(0)))
}
