//! Asking for a backfill.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use thiserror::Error;
use updraft_core::{
    backfill::{self, Refusal, Request, Treatment},
    state::DagRunState,
    timetable::DagRunInfo,
};

use crate::{StoreError, versions::DagCache};

/// Rows of one INSERT, at most.
const SLICE: usize = 5_000;

/// What a user asks for.
#[derive(Clone, Debug)]
pub struct NewBackfill<'a> {
    pub dag_id: &'a str,
    pub request: Request,
    /// Of every run, also of those that are run again.
    pub conf: Option<&'a Value>,
    /// `None`: the DAG's own setting, else true.
    pub run_on_latest_version: Option<bool>,
    pub user: Option<&'a str>,
}

/// Why a backfill was not made.
#[derive(Debug, Error)]
pub enum CreateError {
    #[error("the Dag with ID: `{0}` was not found")]
    DagNotFound(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("There is already a running backfill for dag {0}")]
    AlreadyRunning(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for CreateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Writes the backfill and its dates; returns its id. The runs come from [`proceed`](super::proceed).
pub async fn create(connection: &mut PgConnection, dags: &DagCache, new: &NewBackfill<'_>) -> Result<i64, CreateError> {
    let (dag_fk, runs, latest) = plan(connection, dags, new).await?;
    if runs.is_empty() {
        return Err(Refusal::Empty.into());
    }
    let request = &new.request;
    let inserted = sqlx::query_scalar!(
        "insert into backfill (dag_fk, from_date, to_date, dag_run_conf, reprocess_behavior, run_backwards,
                               run_on_latest_version, max_active_runs, triggering_user_name)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id",
        dag_fk,
        request.from_date,
        request.to_date,
        new.conf,
        request.reprocess.as_str(),
        request.run_backwards,
        latest,
        request.max_active_runs,
        new.user
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(StoreError::from);
    let id = match inserted {
        Ok(id) => id,
        Err(StoreError::Constraint { constraint, .. }) if constraint == "backfill_active_key" => {
            return Err(CreateError::AlreadyRunning(new.dag_id.to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    let mut ordinal = 0;
    for slice in runs.chunks(SLICE) {
        let first = ordinal + 1;
        ordinal += i32::try_from(slice.len()).expect("a slice is short");
        sqlx::query!(
            "insert into backfill_dag_run (backfill_id, sort_ordinal, logical_date, data_interval_start, data_interval_end,
                                           run_after)
             select $1, n.* from unnest($2::integer[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[],
                                        $6::timestamptz[]) as n",
            id,
            &(first..=ordinal).collect::<Vec<_>>(),
            &slice.iter().map(|run| run.logical_date).collect::<Vec<_>>(),
            &slice.iter().map(|run| run.interval.start).collect::<Vec<_>>(),
            &slice.iter().map(|run| run.interval.end).collect::<Vec<_>>(),
            &slice.iter().map(|run| run.run_after).collect::<Vec<_>>()
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(id)
}

/// The logical dates that a backfill would create a run for or run again, in its order; nothing is written.
pub async fn dry_run(
    connection: &mut PgConnection,
    dags: &DagCache,
    new: &NewBackfill<'_>,
) -> Result<Vec<DateTime<Utc>>, CreateError> {
    let (dag_fk, runs, _) = plan(&mut *connection, dags, new).await?;
    let dates: Vec<DateTime<Utc>> = runs.iter().map(|run| run.logical_date).collect();
    let existing = existing(connection, dag_fk, &dates).await?;
    let is_done = |date: &DateTime<Utc>| {
        let state = existing.iter().find(|run| run.logical_date == *date).map(|run| run.state);
        !matches!(backfill::treatment(state, new.request.reprocess), Treatment::Skip(_))
    };
    Ok(dates.into_iter().filter(is_done).collect())
}

/// A run that a date has already.
pub(super) struct Existing {
    pub(super) id: i64,
    pub(super) logical_date: DateTime<Utc>,
    pub(super) state: DagRunState,
}

/// The runs at these logical dates. Called by backfills only; `dag_run_logical_date_key` serves it.
pub(super) async fn existing(
    connection: &mut PgConnection,
    dag_fk: i64,
    dates: &[DateTime<Utc>],
) -> Result<Vec<Existing>, StoreError> {
    let rows = sqlx::query!(
        r#"select id, logical_date as "logical_date!", state from dag_run where dag_fk = $1 and logical_date = any($2)"#,
        dag_fk,
        dates
    )
    .fetch_all(connection)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let state = row.state.parse().map_err(|error| StoreError::Data(format!("dag_run.state: {error}")))?;
        Ok(Existing { id: row.id, logical_date: row.logical_date, state })
    });
    rows.collect()
}

/// A date of a backfill.
struct DueDate {
    logical_date: DateTime<Utc>,
    interval: updraft_core::timetable::DataInterval,
    run_after: DateTime<Utc>,
}

/// The DAG's key, the dates in order, and whether runs follow the latest version.
async fn plan(
    connection: &mut PgConnection,
    dags: &DagCache,
    new: &NewBackfill<'_>,
) -> Result<(i64, Vec<DueDate>, bool), CreateError> {
    let row = sqlx::query!(
        // Shared with triggers; the DAG processor must not replace the version between here and the commit.
        r#"select id, latest_version_id, now() as "now!" from dag where dag_id = $1 and not is_stale for share"#,
        new.dag_id
    )
    .fetch_optional(&mut *connection)
    .await?;
    let not_found = || CreateError::DagNotFound(new.dag_id.to_owned());
    let row = row.ok_or_else(not_found)?;
    let dag = dags.get(connection, row.latest_version_id.ok_or_else(not_found)?).await?;
    let runs = backfill::runs(&dag, &new.request, row.now)?;
    let latest = new.run_on_latest_version.or(dag.rerun_with_latest_version).unwrap_or(true);
    Ok((row.id, runs.into_iter().filter_map(date).collect(), latest))
}

/// Timetables with past dates give every run a logical date and an interval.
fn date(info: DagRunInfo) -> Option<DueDate> {
    Some(DueDate { logical_date: info.logical_date?, interval: info.data_interval?, run_after: info.run_after })
}
