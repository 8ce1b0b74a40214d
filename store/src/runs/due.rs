//! Runs that the timetables ask for (semantics §9.6).

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection, PgConnection};
use updraft_core::{
    dag::Dag,
    failpoint,
    state::DagRunType,
    timetable::{DagRunInfo, DataInterval, next_dagrun_info, restriction, run_id},
};

use super::create::{NewRun, insert};
use crate::{Store, StoreError, versions::DagCache};

/// DAGs in one transaction, at most. One run each: the next pass makes the next.
const BATCH: i64 = 50;

/// A stored next run older than this is computed anew when the DAG does not catch up: it was paused, or nobody scheduled.
const OUTDATED: TimeDelta = TimeDelta::seconds(60);

/// How long until a run is due that may be created; `None`: nothing is scheduled. Milliseconds, 0 when one is due.
pub async fn next_due(store: &Store) -> Result<Option<u64>, StoreError> {
    let ms = sqlx::query_scalar!(
        r#"
        select (extract(epoch from min(d.next_dagrun_create_after) - now()) * 1000)::bigint as "ms"
        from dag d
        where not d.is_paused and not d.is_stale and d.next_dagrun_create_after is not null
          and (select count(*) from dag_run r where r.dag_fk = d.id and r.state in ('queued', 'running')
               and r.run_type <> 'backfill') < d.max_active_runs
        "#
    )
    .fetch_one(store.pool())
    .await?;
    Ok(ms.map(|ms| u64::try_from(ms).unwrap_or(0)))
}

/// Creates at most one due run for each of at most 50 DAGs, and moves their pointers. Returns how many DAGs were looked at.
///
/// Called by the scheduler when [`next_due`] says so; `dag_next_dagrun_create_after_idx` and `dag_run_active_idx` serve it.
/// Several schedulers share the work: each DAG row is locked, those locked elsewhere are passed over.
pub async fn create_due(store: &Store, dags: &DagCache) -> Result<usize, StoreError> {
    let mut transaction = store.begin().await?;
    let locked = sqlx::query_scalar!(
        "select d.id from dag d
         where not d.is_paused and not d.is_stale and d.next_dagrun_create_after <= now()
           and (select count(*) from dag_run r where r.dag_fk = d.id and r.state in ('queued', 'running')
                and r.run_type <> 'backfill') < d.max_active_runs
         order by d.next_dagrun_create_after, d.id limit $1 for no key update skip locked",
        BATCH
    )
    .fetch_all(&mut *transaction)
    .await?;
    if locked.is_empty() {
        return Ok(0);
    }
    let rows = sqlx::query!(
        r#"
        select d.id, d.latest_version_id, d.next_dagrun, d.next_dagrun_data_interval_start as "start",
               d.next_dagrun_data_interval_end as "end", d.next_dagrun_create_after as "create_after",
               last.data_interval_start as "last_start?", last.data_interval_end as "last_end?", clock_timestamp() as "now!"
        from dag d
        left join lateral (
            select r.data_interval_start, r.data_interval_end from dag_run r
            where r.dag_fk = d.id and r.run_type in ('scheduled', 'backfill') and r.logical_date is not null
            order by r.logical_date desc limit 1
        ) last on true
        where d.id = any($1) order by d.id
        "#,
        &locked
    )
    .fetch_all(&mut *transaction)
    .await?;
    for row in &rows {
        let (Some(version), Some(create_after)) = (row.latest_version_id, row.create_after) else { continue };
        let dag = dags.get(&mut *transaction, version).await?;
        let interval =
            |start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>| Some(DataInterval { start: start?, end: end? });
        let stored = DagRunInfo {
            run_after: create_after,
            logical_date: row.next_dagrun,
            data_interval: interval(row.start, row.end),
        };
        let last = interval(row.last_start, row.last_end);
        let due = due(&dag, stored, last, row.now);
        let mut covered = last;
        if let Some(due) = due.filter(|info| info.run_after <= row.now) {
            create_one(&mut transaction, row.id, &dag, version, &due).await?;
            covered = due.data_interval.or(last);
        }
        let next = next_dagrun_info(&dag.schedule, covered, &restriction(&dag), row.now);
        sqlx::query!(
            "update dag set next_dagrun = $2, next_dagrun_data_interval_start = $3, next_dagrun_data_interval_end = $4,
                            next_dagrun_create_after = $5
             where id = $1",
            row.id,
            next.and_then(|next| next.logical_date),
            next.and_then(|next| next.data_interval).map(|interval| interval.start),
            next.and_then(|next| next.data_interval).map(|interval| interval.end),
            next.map(|next| next.run_after)
        )
        .execute(&mut *transaction)
        .await?;
    }
    failpoint!("create_due.before_commit");
    transaction.commit().await?;
    failpoint!("create_due.after_commit");
    Ok(rows.len())
}

/// The stored next run, or without catchup and long past, the one that is due instead.
fn due(dag: &Dag, stored: DagRunInfo, last: Option<DataInterval>, now: DateTime<Utc>) -> Option<DagRunInfo> {
    if dag.catchup || now - stored.run_after <= OUTDATED {
        return Some(stored);
    }
    next_dagrun_info(&dag.schedule, last, &restriction(dag), now)
}

/// Inserts the run; one that exists at that logical date, or under that id, is passed over.
async fn create_one(
    connection: &mut PgConnection,
    dag_fk: i64,
    dag: &Dag,
    dag_version_id: i64,
    due: &DagRunInfo,
) -> Result<(), StoreError> {
    let new = NewRun {
        dag_fk,
        dag,
        dag_version_id,
        run_type: DagRunType::Scheduled,
        run_id: run_id(DagRunType::Scheduled, due.run_after),
        logical_date: due.logical_date,
        data_interval: due.data_interval,
        run_after: due.run_after,
        conf: None,
        note: None,
        triggered_by: "timetable",
        user: None,
    };
    let mut savepoint = connection.begin().await?;
    match insert(&mut savepoint, &new).await {
        Ok(_) => savepoint.commit().await?,
        Err(StoreError::Constraint { constraint, .. }) if constraint.starts_with("dag_run_") => {
            savepoint.rollback().await?;
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
