//! Carrying backfills out: bounded transactions that follow from the rows alone.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use updraft_core::{
    backfill::{ReprocessBehavior, SkipReason, Treatment, treatment},
    failpoint,
    state::{DagRunState, DagRunType},
    timetable::{DagRunInfo, DataInterval},
};

use super::create::existing;
use crate::{
    Store, StoreError,
    dispatch::Classes,
    runs::{
        self, Mutated, Outcome, Reprocess,
        batch::{self, Origin, Planned},
        instances::Blueprint,
    },
    versions::DagCache,
    wake::Signal,
};

/// Dates of one transaction, at most.
const DATES: usize = 100;
/// Task instances of one transaction, about.
const INSTANCES: usize = 10_000;
/// Queued runs of a cancelled backfill that fail in one transaction, at most.
const CANCELLED: i64 = 100;

/// A locked backfill that has dates to process.
struct Open {
    id: i64,
    dag_fk: i64,
    version: i64,
    reprocess: ReprocessBehavior,
    latest: bool,
    conf: Option<Value>,
    user: Option<String>,
}

/// A date to process.
struct DueDate {
    ordinal: i32,
    logical_date: DateTime<Utc>,
    info: DagRunInfo,
}

/// What a date got.
struct Got {
    ordinal: i32,
    run: Option<i64>,
    skipped: Option<SkipReason>,
}

/// Processes the next dates of one backfill: makes their runs, clears those that are to run again, notes why others have none.
/// Returns whether there was anything to do.
///
/// Called by the scheduler's timetable loop until nothing is left; `backfill_active_key` and `backfill_dag_run_open_idx` serve it.
pub async fn proceed(store: &Store, classes: &Classes, dags: &DagCache) -> Result<bool, StoreError> {
    let mut transaction = store.begin().await?;
    let Some(open) = lock(&mut transaction).await? else { return Ok(false) };
    let dag = dags.get(&mut *transaction, open.version).await?;
    let blueprint = Blueprint::of(&dag);
    let limit = (INSTANCES / blueprint.instances().max(1)).clamp(1, DATES);
    let dates = dates(&mut transaction, open.id, limit).await?;
    let logical: Vec<DateTime<Utc>> = dates.iter().map(|date| date.logical_date).collect();
    let mut there = existing(&mut transaction, open.dag_fk, &logical).await?;
    // The order of run locks.
    there.sort_by_key(|run| run.id);

    let mut got = Vec::with_capacity(dates.len());
    let is_new = |date: &&DueDate| there.iter().all(|run| run.logical_date != date.logical_date);
    let new: Vec<&DueDate> = dates.iter().filter(is_new).collect();
    got.extend(create(&mut transaction, &open, &blueprint, &new).await?);
    let mut outcomes = Vec::new();
    for run in &there {
        let Some(date) = dates.iter().find(|date| date.logical_date == run.logical_date) else { continue };
        let (run, skipped, outcome) = again(&mut transaction, classes, dags, &open, date, run.id).await?;
        got.push(Got { ordinal: date.ordinal, run, skipped });
        outcomes.extend(outcome);
    }
    note(&mut transaction, open.id, &got).await?;
    failpoint!("backfill.before_commit");
    transaction.commit().await?;
    failpoint!("backfill.after_commit");
    for outcome in &outcomes {
        outcome.ring(store);
    }
    for run in got.iter().filter_map(|got| got.run) {
        store.wake().changed(run);
    }
    Ok(true)
}

/// Locks the DAG and the backfill that come next; those that another scheduler works on are passed over.
async fn lock(connection: &mut PgConnection) -> Result<Option<Open>, StoreError> {
    let dag = sqlx::query_scalar!(
        "select d.id from dag d
         where d.latest_version_id is not null and d.id in (
             select b.dag_fk from backfill b
             where b.completed_at is null and exists (
                 select 1 from backfill_dag_run o
                 where o.backfill_id = b.id and o.dag_run_id is null and o.exception_reason is null))
         order by d.id limit 1 for no key update skip locked"
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(dag_fk) = dag else { return Ok(None) };
    let row = sqlx::query!(
        r#"select b.id, b.reprocess_behavior, b.run_on_latest_version, b.dag_run_conf, b.triggering_user_name,
                  (select latest_version_id from dag where id = b.dag_fk) as "version!"
           from backfill b where b.dag_fk = $1 and b.completed_at is null for no key update"#,
        dag_fk
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let reprocess = ReprocessBehavior::of(&row.reprocess_behavior).ok_or_else(|| {
        StoreError::Data(format!("backfill.reprocess_behavior `{}` is not known", row.reprocess_behavior))
    })?;
    Ok(Some(Open {
        id: row.id,
        dag_fk,
        version: row.version,
        reprocess,
        latest: row.run_on_latest_version,
        conf: row.dag_run_conf,
        user: row.triggering_user_name,
    }))
}

async fn dates(connection: &mut PgConnection, backfill: i64, limit: usize) -> Result<Vec<DueDate>, StoreError> {
    let rows = sqlx::query!(
        "select sort_ordinal, logical_date, data_interval_start, data_interval_end, run_after from backfill_dag_run
         where backfill_id = $1 and dag_run_id is null and exception_reason is null order by sort_ordinal limit $2",
        backfill,
        i64::try_from(limit).unwrap_or(i64::MAX)
    )
    .fetch_all(connection)
    .await?;
    let dates = rows.into_iter().map(|row| DueDate {
        ordinal: row.sort_ordinal,
        logical_date: row.logical_date,
        info: DagRunInfo {
            run_after: row.run_after,
            logical_date: Some(row.logical_date),
            data_interval: Some(DataInterval { start: row.data_interval_start, end: row.data_interval_end }),
        },
    });
    Ok(dates.collect())
}

async fn create(
    connection: &mut PgConnection,
    open: &Open,
    blueprint: &Blueprint,
    dates: &[&DueDate],
) -> Result<Vec<Got>, StoreError> {
    let planned: Vec<Planned<'_>> = dates
        .iter()
        .map(|date| Planned {
            dag_fk: open.dag_fk,
            version: open.version,
            info: date.info,
            blueprint,
            ordinal: Some(date.ordinal),
        })
        .collect();
    let origin = Origin {
        run_type: DagRunType::Backfill,
        triggered_by: "backfill",
        user: open.user.as_deref(),
        backfill_id: Some(open.id),
        conf: open.conf.as_ref(),
    };
    let made = batch::insert(connection, &origin, &planned).await?;
    let got = dates.iter().zip(made).map(|(date, run)| Got {
        ordinal: date.ordinal,
        run,
        skipped: run.is_none().then_some(SkipReason::Unknown),
    });
    Ok(got.collect())
}

/// What a date with a run gets, decided under the run's lock.
async fn again(
    connection: &mut PgConnection,
    classes: &Classes,
    dags: &DagCache,
    open: &Open,
    date: &DueDate,
    run: i64,
) -> Result<(Option<i64>, Option<SkipReason>, Option<Outcome>), StoreError> {
    let request = Reprocess {
        dag_run_id: run,
        backfill_id: open.id,
        ordinal: date.ordinal,
        run_on_latest_version: open.latest,
        conf: open.conf.as_ref(),
    };
    let wanted = |state: DagRunState| match treatment(Some(state), open.reprocess) {
        Treatment::Skip(reason) => Err(reason),
        Treatment::Create | Treatment::Reprocess => Ok(()),
    };
    Ok(match runs::reprocess(connection, classes, dags, &request, wanted).await? {
        Mutated::Done(Ok(outcome)) => (Some(run), None, Some(outcome)),
        Mutated::Done(Err(reason)) => (None, Some(reason), None),
        // It was deleted since it was found; there is none at this date that was there when the backfill came to it.
        Mutated::NoRun => (None, Some(SkipReason::Unknown), None),
    })
}

async fn note(connection: &mut PgConnection, backfill: i64, got: &[Got]) -> Result<(), StoreError> {
    sqlx::query!(
        "update backfill_dag_run b set dag_run_id = n.run, exception_reason = n.reason
         from unnest($2::integer[], $3::bigint[], $4::text[]) as n(ordinal, run, reason)
         where b.backfill_id = $1 and b.sort_ordinal = n.ordinal",
        backfill,
        &got.iter().map(|got| got.ordinal).collect::<Vec<_>>(),
        &got.iter().map(|got| got.run).collect::<Vec<_>>() as &[Option<i64>],
        &got.iter().map(|got| got.skipped.map(SkipReason::as_str)).collect::<Vec<_>>() as &[Option<&str>]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks backfills complete that have no date left to process and no queued or running run. Returns how many.
///
/// Called by the scheduler's timetable loop after each pass; the active backfills are few, `dag_run_backfill_idx` serves it.
pub async fn complete(store: &Store) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "update backfill b set completed_at = clock_timestamp(), updated_at = clock_timestamp()
         where b.id in (
             select a.id from backfill a
             where a.completed_at is null
               and not exists (select 1 from backfill_dag_run o
                               where o.backfill_id = a.id and o.dag_run_id is null and o.exception_reason is null)
               and not exists (select 1 from dag_run r where r.backfill_id = a.id and r.state in ('queued', 'running'))
             for no key update skip locked)"
    )
    .execute(store.pool())
    .await?;
    Ok(done.rows_affected())
}

/// Fails queued runs of cancelled backfills, a bounded number per call. Returns whether there was anything to do.
///
/// Called by the scheduler's timetable loop until nothing is left; `backfill_cancelling_idx` and `dag_run_backfill_idx` serve it.
pub async fn fail_cancelled(store: &Store, classes: &Classes, dags: &DagCache) -> Result<bool, StoreError> {
    let mut transaction = store.begin().await?;
    let backfill = sqlx::query_scalar!(
        "select id from backfill where is_cancelling order by id limit 1 for no key update skip locked"
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(backfill) = backfill else { return Ok(false) };
    // Nothing starts them: `start_queued` leaves a backfill alone that is being cancelled.
    let runs = sqlx::query_scalar!(
        "select id from dag_run where backfill_id = $1 and state = 'queued' order by id limit $2",
        backfill,
        CANCELLED
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut outcomes = Vec::new();
    for &run in &runs {
        if let Mutated::Done(outcome) =
            runs::mark(&mut transaction, classes, dags, run, DagRunState::Failed, "the cancelled backfill").await?
        {
            outcomes.push(outcome);
        }
    }
    if (runs.len() as i64) < CANCELLED {
        sqlx::query!("update backfill set is_cancelling = false where id = $1", backfill)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    for outcome in &outcomes {
        outcome.ring(store);
    }
    store.wake().ring(Signal::Dags);
    Ok(true)
}
