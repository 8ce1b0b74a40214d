//! Runs that tasks make: `TriggerDagRunOperator`.

use chrono::TimeDelta;
use sqlx::{Connection, PgConnection};
use updraft_core::{
    ids::RunId,
    plan::Selection,
    spec::check_params,
    state::{DagRunState, DagRunType},
    timetable::infer_manual_data_interval,
    triggerer::trigger::{Refused, Request, WhenExists},
};

use crate::{
    StoreError,
    dispatch::Classes,
    runs::{self, ClearRequest, Mutated, NewRun, Outcome},
    versions::DagCache,
};

/// How many moments are tried for a run whose date does not matter.
const MOMENTS: usize = 20;

/// A run that was made, or runs again.
#[derive(Debug)]
pub struct Made {
    pub dag_run_id: i64,
    pub run_id: String,
    /// Of a reset, to be rung after the commit; a new run rings [`Signal::Dags`](crate::wake::Signal::Dags).
    pub reset: Option<Outcome>,
}

/// Makes the run that a task asks for, or clears the one that exists. `by`: the task, for logs.
///
/// Locks the other DAG's row, then its run: call it before the attempt's own row is locked.
pub async fn make(
    connection: &mut PgConnection,
    classes: &Classes,
    dags: &DagCache,
    request: &Request,
    by: &str,
) -> Result<Result<Made, Refused>, StoreError> {
    let row = sqlx::query!(
        // Shared with other triggers; the DAG processor must not replace the version between here and the commit.
        r#"select id, latest_version_id, is_paused, clock_timestamp() as "now!"
           from dag where dag_id = $1 and not is_stale for share"#,
        request.dag_id
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(Err(Refused::NoDag)) };
    let Some(version) = row.latest_version_id else { return Ok(Err(Refused::NoDag)) };
    if row.is_paused && request.fail_when_paused {
        return Ok(Err(Refused::Paused));
    }
    let dag = dags.get(&mut *connection, version).await?;
    if let Err(refusal) = dag.may_run(DagRunType::OperatorTriggered) {
        return Ok(Err(Refused::NotAllowed(refusal)));
    }
    if let Some(conf) = request.conf.as_object()
        && let Err(why) = check_params(&dag, conf)
    {
        return Ok(Err(Refused::Conf(why)));
    }
    let mut logical_date = request.logical_date;
    for _ in 0..MOMENTS {
        let new = NewRun {
            dag_fk: row.id,
            dag: &dag,
            dag_version_id: version,
            run_type: DagRunType::OperatorTriggered,
            run_id: request.run_id.clone(),
            logical_date,
            data_interval: logical_date.map(|date| infer_manual_data_interval(&dag.schedule, date)),
            run_after: row.now,
            conf: Some(&request.conf),
            note: None,
            triggered_by: "operator",
            user: None,
        };
        let mut savepoint = connection.begin().await?;
        match runs::insert(&mut savepoint, &new).await {
            Ok(dag_run_id) => {
                savepoint.commit().await?;
                return Ok(Ok(Made { dag_run_id, run_id: request.run_id.to_string(), reset: None }));
            }
            Err(StoreError::Constraint { constraint, .. }) if constraint.starts_with("dag_run_") => {
                savepoint.rollback().await?;
                if constraint != "dag_run_logical_date_key" || !request.any_moment {
                    break;
                }
                // Many tasks may ask in one microsecond, the instances of a mapped one for example.
                logical_date = logical_date.map(|date| date + TimeDelta::microseconds(rand::random_range(1..1_000)));
            }
            Err(error) => return Err(error),
        }
    }
    match request.when_exists {
        WhenExists::Fail => Ok(Err(Refused::Exists)),
        WhenExists::Skip => Ok(Err(Refused::Skip)),
        WhenExists::Reset => reset(connection, classes, dags, row.id, request, by).await,
    }
}

async fn reset(
    connection: &mut PgConnection,
    classes: &Classes,
    dags: &DagCache,
    dag_fk: i64,
    request: &Request,
    by: &str,
) -> Result<Result<Made, Refused>, StoreError> {
    let existing = sqlx::query!(
        "select id, run_id from dag_run where dag_fk = $1 and (run_id = $2 or logical_date = $3)
         order by (run_id = $2) desc limit 1",
        dag_fk,
        request.run_id.as_str(),
        request.logical_date
    )
    .fetch_optional(&mut *connection)
    .await?;
    // Deleted since: the next look makes it.
    let gone = || StoreError::Inconsistent("a run that was to be reset is gone".to_owned());
    let existing = existing.ok_or_else(gone)?;
    let clear = ClearRequest {
        dag_run_id: existing.id,
        selection: Selection::default(),
        reset_dag_run: true,
        run_on_latest_version: None,
        dry_run: false,
        by,
    };
    match runs::clear(connection, classes, dags, &clear).await? {
        Mutated::Done(outcome) => {
            Ok(Ok(Made { dag_run_id: existing.id, run_id: existing.run_id, reset: Some(outcome) }))
        }
        Mutated::NoRun => Err(gone()),
    }
}

/// A run that is waited for: its DAG, its id, its state. `None`: it was deleted.
pub async fn awaited(
    connection: &mut PgConnection,
    dag_run_id: i64,
) -> Result<Option<(String, RunId, DagRunState)>, StoreError> {
    let row = sqlx::query!(
        "select d.dag_id, r.run_id, r.state from dag_run r join dag d on d.id = r.dag_fk where r.id = $1",
        dag_run_id
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let state = row.state.parse().map_err(|error| StoreError::Data(format!("dag_run.state: {error}")))?;
        Ok((row.dag_id, row.run_id.into(), state))
    })
    .transpose()
}
