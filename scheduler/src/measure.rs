//! What the scheduler exports as metrics: transitions as they are committed, and the state of pools, nodes and DAGs.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use metrics::{counter, gauge, histogram};
use tokio_util::sync::CancellationToken;
use updraft_core::{
    dispatch::NodeState,
    metrics::{
        DAG_PROCESSING_IMPORT_ERRORS, DAGBAG_SIZE, DAGRUN_DURATION_FAILED, DAGRUN_DURATION_SUCCESS,
        DAGRUN_SCHEDULE_DELAY, EXECUTOR_OPEN_SLOTS, EXECUTOR_QUEUED_TASKS, EXECUTOR_RUNNING_TASKS, NODES,
        OPERATOR_FAILURES, OPERATOR_SUCCESSES, POOL_DEFERRED_SLOTS, POOL_OPEN_SLOTS, POOL_QUEUED_SLOTS,
        POOL_RUNNING_SLOTS, POOL_SCHEDULED_SLOTS, TASK_DURATION, TASK_QUEUED_DURATION, TASK_SCHEDULED_DURATION,
        TI_FINISH, TI_START,
    },
    plan::{Plan, RunState, Ti},
    state::{DagRunState, TaskInstanceState},
};
use updraft_store::{Store, StoreError, gauges, runs::StartedRun};

use crate::SchedulerError;

/// How often gauges are read from the database. Prometheus' usual scrape interval.
const EVERY: Duration = Duration::from_secs(15);

/// Counts what a plan changed; to be called when it was committed, with the state before it.
pub(crate) fn planned(before: &RunState, plan: &Plan) {
    let dag_id = before.dag.dag_id.as_str();
    let mut started = 0;
    let mut finished: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (&key, ti) in &plan.tis {
        let old = before.ti(key);
        if began(old, ti) {
            started += 1;
            observe(TASK_SCHEDULED_DURATION.name, dag_id, ti.scheduled_dttm, ti.queued_dttm);
            observe(TASK_QUEUED_DURATION.name, dag_id, ti.queued_dttm, ti.start_date);
        }
        let Some(outcome) = ended(old, ti) else { continue };
        *finished.entry(ti.state.as_str()).or_default() += 1;
        observe(TASK_DURATION.name, dag_id, ti.start_date, ti.end_date);
        let operator = || before.dag.tasks[key.task].operator_class.clone();
        match outcome {
            Outcome::Success => counter!(OPERATOR_SUCCESSES.name, "operator" => operator()).increment(1),
            Outcome::Failure => counter!(OPERATOR_FAILURES.name, "operator" => operator()).increment(1),
            Outcome::Neither => {}
        }
    }
    if started > 0 {
        counter!(TI_START.name, "dag_id" => dag_id.to_owned()).increment(started);
    }
    for (state, count) in finished {
        counter!(TI_FINISH.name, "dag_id" => dag_id.to_owned(), "state" => state).increment(count);
    }
    if let Some(run) = plan.run.as_ref().filter(|run| run.state != before.run.state) {
        match run.state {
            DagRunState::Success => observe(DAGRUN_DURATION_SUCCESS.name, dag_id, run.start_date, run.end_date),
            DagRunState::Failed => observe(DAGRUN_DURATION_FAILED.name, dag_id, run.start_date, run.end_date),
            DagRunState::Queued | DagRunState::Running => {}
        }
    }
}

/// Notes how late runs began.
pub(crate) fn runs_started(runs: Vec<StartedRun>) {
    for run in runs {
        if let Some(delay) = run.delay_seconds {
            histogram!(DAGRUN_SCHEDULE_DELAY.name, "dag_id" => run.dag_id).record(delay);
        }
    }
}

/// What an ended try counts as for its operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Success,
    Failure,
    /// It did not run, or was marked.
    Neither,
}

/// Whether a try began to run between the two. A short one begins and ends in one plan.
fn began(old: Option<&Ti>, new: &Ti) -> bool {
    new.start_date.is_some() && old.is_none_or(|old| old.start_date.is_none() || old.try_number != new.try_number)
}

/// How a try ended between the two, if it did.
fn ended(old: Option<&Ti>, new: &Ti) -> Option<Outcome> {
    use TaskInstanceState::{Failed, Removed, Skipped, Success, UpForRetry, UpstreamFailed};
    if old.is_some_and(|old| old.state == new.state && old.try_number == new.try_number) {
        return None;
    }
    match new.state {
        Success => Some(Outcome::Success),
        Failed | UpForRetry => Some(Outcome::Failure),
        Skipped | UpstreamFailed | Removed => Some(Outcome::Neither),
        _ => None,
    }
}

fn observe(name: &'static str, dag_id: &str, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) {
    // Times of a node and of the database may cross by a little.
    if let Some(duration) = from.zip(to).map(|(from, to)| (to - from).to_std().unwrap_or_default()) {
        histogram!(name, "dag_id" => dag_id.to_owned()).record(duration);
    }
}

/// Reads the gauges again and again until `stop`.
pub(crate) async fn run(store: Store, stop: CancellationToken) -> Result<(), SchedulerError> {
    loop {
        if let Err(error) = look(&store).await {
            tracing::debug!(%error, "the gauges keep their values: the database did not answer");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn look(store: &Store) -> Result<(), StoreError> {
    let seen = gauges::read(store).await?;
    for pool in seen.pools {
        let set = |name: &'static str, value: i64| gauge!(name, "pool" => pool.name.clone()).set(value as f64);
        set(POOL_OPEN_SLOTS.name, pool.open());
        set(POOL_QUEUED_SLOTS.name, pool.queued);
        set(POOL_RUNNING_SLOTS.name, pool.running);
        set(POOL_DEFERRED_SLOTS.name, pool.deferred);
        set(POOL_SCHEDULED_SLOTS.name, pool.scheduled);
    }
    let mut states: BTreeMap<String, u32> = NodeState::ALL.map(|state| (state.as_str().to_owned(), 0)).into();
    for node in seen.nodes {
        *states.entry(node.state.clone()).or_default() += 1;
        if node.is_live() {
            let set = |name: &'static str, value: i64| gauge!(name, "executor" => node.name.clone()).set(value as f64);
            set(EXECUTOR_OPEN_SLOTS.name, i64::from(node.slots) - node.queued - node.running);
            set(EXECUTOR_QUEUED_TASKS.name, node.queued);
            set(EXECUTOR_RUNNING_TASKS.name, node.running);
        }
    }
    for (state, count) in states {
        gauge!(NODES.name, "state" => state).set(count);
    }
    gauge!(DAGBAG_SIZE.name).set(seen.dags as f64);
    gauge!(DAG_PROCESSING_IMPORT_ERRORS.name).set(seen.import_errors as f64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use updraft_core::ids::AttemptId;
    use uuid::Uuid;

    use super::*;

    fn ti(state: TaskInstanceState, try_number: i32, started: bool) -> Ti {
        let mut ti = Ti::new(AttemptId(Uuid::nil()), 1);
        (ti.state, ti.try_number) = (state, try_number);
        ti.start_date = started.then(DateTime::<Utc>::default);
        ti
    }

    #[test]
    fn each_try_is_counted_once_when_it_begins_and_once_when_it_ends() {
        use TaskInstanceState::{Failed, None as Undecided, Running, Scheduled, Success, UpForRetry, UpstreamFailed};
        let table = [
            // before, after, begins, ends as
            (Option::None, ti(Undecided, 0, false), false, Option::None),
            (Some(ti(Scheduled, 1, false)), ti(Running, 1, true), true, Option::None),
            (Some(ti(Running, 1, true)), ti(Success, 1, true), false, Some(Outcome::Success)),
            (Some(ti(Scheduled, 1, false)), ti(Success, 1, true), true, Some(Outcome::Success)),
            (Some(ti(Running, 1, true)), ti(UpForRetry, 1, true), false, Some(Outcome::Failure)),
            (Some(ti(UpForRetry, 1, true)), ti(Scheduled, 2, false), false, Option::None),
            (Some(ti(Scheduled, 2, false)), ti(Failed, 2, true), true, Some(Outcome::Failure)),
            (Some(ti(Undecided, 0, false)), ti(UpstreamFailed, 0, false), false, Some(Outcome::Neither)),
            // A note or a label was written.
            (Some(ti(Success, 1, true)), ti(Success, 1, true), false, Option::None),
        ];
        for (old, new, begins, ends) in table {
            assert_eq!((began(old.as_ref(), &new), ended(old.as_ref(), &new)), (begins, ends), "{old:?} {new:?}");
        }
    }
}
