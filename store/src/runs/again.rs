//! A run that a backfill runs again.

use serde_json::Value;
use sqlx::PgConnection;
use updraft_core::{
    plan::{self, Selection},
    state::DagRunState,
};

use super::held::{Follow, Mutated, Outcome, commit, hold_locked, outcome};
use crate::{
    StoreError,
    dispatch::Classes,
    plan::{lock_one, new_attempt_id, read_row},
    versions::DagCache,
};

/// A run that a backfill runs again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reprocess<'a> {
    pub(crate) dag_run_id: i64,
    pub(crate) backfill_id: i64,
    pub(crate) ordinal: i32,
    pub(crate) run_on_latest_version: bool,
    /// Takes the place of the run's own.
    pub(crate) conf: Option<&'a Value>,
}

/// Clears all of a run and makes it the backfill's (semantics §10), if it is wanted in the state in which the lock finds it.
pub(crate) async fn reprocess<E>(
    connection: &mut PgConnection,
    classes: &Classes,
    dags: &DagCache,
    request: &Reprocess<'_>,
    wanted: impl Fn(DagRunState) -> Result<(), E>,
) -> Result<Mutated<Result<Outcome, E>>, StoreError> {
    let Some(locked) = lock_one(&mut *connection, request.dag_run_id).await? else { return Ok(Mutated::NoRun) };
    let (row, now) = read_row(&mut *connection, locked).await?;
    if let Err(reason) = wanted(row.run.state) {
        return Ok(Mutated::Done(Err(reason)));
    }
    let follow = if request.run_on_latest_version { Follow::Latest } else { Follow::AsItDoes };
    let Some(held) = hold_locked(&mut *connection, dags, row, now, follow).await? else { return Ok(Mutated::NoRun) };
    let by = format!("backfill {}", request.backfill_id);
    let cleared = plan::clear(&held.state, &Selection::default(), true, &by, now, &mut new_attempt_id);
    let plan = if cleared.instances.is_empty() {
        // A run without task instances is queued all the same.
        plan::mark_run(&held.state, DagRunState::Queued, &by, now, &mut new_attempt_id)
    } else {
        cleared.plan
    };
    let written = commit(&mut *connection, classes, &held, &plan).await?;
    sqlx::query!(
        "update dag_run set run_type = 'backfill', triggered_by = 'backfill', backfill_id = $2, backfill_ordinal = $3
         where id = $1",
        request.dag_run_id,
        request.backfill_id,
        request.ordinal
    )
    .execute(&mut *connection)
    .await?;
    if let Some(conf) = request.conf {
        sqlx::query!(
            "insert into dag_run_conf (dag_run_id, conf) values ($1, $2)
             on conflict (dag_run_id) do update set conf = excluded.conf",
            request.dag_run_id,
            conf
        )
        .execute(connection)
        .await?;
    }
    Ok(Mutated::Done(Ok(outcome(&held, Vec::new(), written))))
}
