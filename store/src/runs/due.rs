//! Runs that the timetables ask for (semantics §9.6): many DAGs' in one transaction.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use updraft_core::{
    failpoint,
    state::DagRunType,
    timetable::{DagRunInfo, DataInterval, Due, due},
};

use super::{
    batch::{self, Origin, Planned},
    instances::{Blueprint, Blueprints},
};
use crate::{Store, StoreError};

/// DAGs in one transaction, at most. One run each: the next pass makes the next, so a long catch-up of one DAG does not hold up
/// the others.
const BATCH: i64 = 500;

/// DAGs that come due within this time are made ready by [`prepare`].
const AHEAD_SECONDS: f64 = 120.0;

/// How long until a run is due that may be created; `None`: nothing is scheduled. Milliseconds, 0 when one is due.
///
/// Called by the scheduler before it sleeps. Walks `dag_next_dagrun_create_after_idx` up to the first DAG that has room.
pub async fn next_due(store: &Store) -> Result<Option<u64>, StoreError> {
    let ms = sqlx::query_scalar!(
        r#"
        select (extract(epoch from d.next_dagrun_create_after - now()) * 1000)::bigint as "ms!"
        from dag d
        where not d.is_paused and not d.is_stale and d.next_dagrun_create_after is not null
          and (select count(*) from dag_run r where r.dag_fk = d.id and r.state in ('queued', 'running')
               and r.run_type <> 'backfill') < d.max_active_runs
        order by d.next_dagrun_create_after limit 1
        "#
    )
    .fetch_optional(store.pool())
    .await?;
    Ok(ms.map(|ms| u64::try_from(ms).unwrap_or(0)))
}

/// Reads what [`create_due`] will need of DAGs that come due soon, so that their minute does not begin with reading. Called by
/// the scheduler while it has nothing else to do; `dag_next_dagrun_create_after_idx` serves it.
pub async fn prepare(store: &Store, blueprints: &Blueprints) -> Result<(), StoreError> {
    let versions = sqlx::query_scalar!(
        r#"select latest_version_id as "version!" from dag
           where not is_paused and not is_stale and latest_version_id is not null
             and next_dagrun_create_after < now() + make_interval(secs => $1)"#,
        AHEAD_SECONDS
    )
    .fetch_all(store.pool())
    .await?;
    for versions in versions.chunks(500) {
        blueprints.get_many(store.pool(), versions).await?;
    }
    Ok(())
}

/// A locked DAG whose stored next run is due.
struct Row {
    id: i64,
    version: i64,
    stored: DagRunInfo,
    last: Option<DataInterval>,
}

/// Creates at most one due run for each of at most 500 DAGs, and moves their pointers. Returns how many DAGs were looked at.
///
/// Called by the scheduler when [`next_due`] says so; `dag_next_dagrun_create_after_idx` and `dag_run_active_idx` serve it.
/// Several schedulers share the work: each DAG row is locked, those locked elsewhere are passed over.
pub async fn create_due(store: &Store, blueprints: &Blueprints) -> Result<usize, StoreError> {
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
    let (rows, now) = read(&mut transaction, &locked).await?;
    let versions: Vec<i64> = rows.iter().map(|row| row.version).collect();
    let blueprints = blueprints.get_many(&mut *transaction, &versions).await?;
    let mut decided = Vec::with_capacity(rows.len());
    for row in &rows {
        let blueprint = blueprints.get(&row.version).ok_or_else(|| {
            StoreError::Inconsistent(format!("DAG version {} went while its DAG was locked", row.version))
        })?;
        let due = due(&blueprint.schedule, &blueprint.restriction, row.stored, row.last, now);
        decided.push((row, due, blueprint.as_ref()));
    }
    let planned: Vec<Planned<'_>> = decided
        .iter()
        .filter_map(|(row, due, blueprint)| {
            let (dag_fk, version) = (row.id, row.version);
            Some(Planned { dag_fk, version, info: due.run?, blueprint, ordinal: None })
        })
        .collect();
    let origin = Origin {
        run_type: DagRunType::Scheduled,
        triggered_by: "timetable",
        user: None,
        backfill_id: None,
        conf: None,
    };
    // A run that exists at that logical date, or under that id, is passed over.
    let made = batch::insert(&mut transaction, &origin, &planned).await?;
    move_pointers(&mut transaction, &decided).await?;
    failpoint!("create_due.before_commit");
    transaction.commit().await?;
    failpoint!("create_due.after_commit");
    for run in made.into_iter().flatten() {
        store.wake().changed(run);
    }
    Ok(locked.len())
}

async fn read(connection: &mut PgConnection, dags: &[i64]) -> Result<(Vec<Row>, DateTime<Utc>), StoreError> {
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
        dags
    )
    .fetch_all(connection)
    .await?;
    let now = rows.first().map(|row| row.now).unwrap_or_default();
    let interval =
        |start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>| Some(DataInterval { start: start?, end: end? });
    let rows = rows.into_iter().filter_map(|row| {
        let stored = DagRunInfo {
            run_after: row.create_after?,
            logical_date: row.next_dagrun,
            data_interval: interval(row.start, row.end),
        };
        Some(Row { id: row.id, version: row.latest_version_id?, stored, last: interval(row.last_start, row.last_end) })
    });
    Ok((rows.collect(), now))
}

async fn move_pointers(connection: &mut PgConnection, decided: &[(&Row, Due, &Blueprint)]) -> Result<(), StoreError> {
    let next = |of: fn(&DagRunInfo) -> Option<DateTime<Utc>>| -> Vec<Option<DateTime<Utc>>> {
        decided.iter().map(|(_, due, _)| due.next.as_ref().and_then(of)).collect()
    };
    sqlx::query!(
        "update dag d
         set next_dagrun = n.logical_date, next_dagrun_data_interval_start = n.data_interval_start,
             next_dagrun_data_interval_end = n.data_interval_end, next_dagrun_create_after = n.run_after
         from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[])
              as n(id, logical_date, data_interval_start, data_interval_end, run_after)
         where d.id = n.id",
        &decided.iter().map(|(row, ..)| row.id).collect::<Vec<_>>(),
        &next(|info| info.logical_date) as &[Option<DateTime<Utc>>],
        &next(|info| info.data_interval.map(|of| of.start)) as &[Option<DateTime<Utc>>],
        &next(|info| info.data_interval.map(|of| of.end)) as &[Option<DateTime<Utc>>],
        &next(|info| Some(info.run_after)) as &[Option<DateTime<Utc>>]
    )
    .execute(connection)
    .await?;
    Ok(())
}
