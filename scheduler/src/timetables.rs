//! Creates the runs that timetables and backfills ask for, starts queued runs within `max_active_runs`, and pauses DAGs that keep
//! failing.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use updraft_store::{
    Store, StoreError, backfill,
    dispatch::Classes,
    runs::{self, Blueprints},
    versions::DagCache,
    wake::Signal,
};

use crate::{SchedulerError, measure};

/// Looks at the latest after this long, should a wake-up be lost.
const SWEEP: Duration = Duration::from_secs(5);
/// Wait after a database error, before the next look.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// What the loop keeps between its passes; all of it can be lost.
struct Timetables {
    store: Store,
    blueprints: Blueprints,
    dags: DagCache,
    classes: Classes,
}

pub(crate) async fn run(store: Store, dags: DagCache, stop: CancellationToken) -> Result<(), SchedulerError> {
    let mut bell = store.wake().subscribe();
    let timetables = Timetables { store, blueprints: Blueprints::default(), dags, classes: Classes::default() };
    loop {
        let wait = match timetables.pass().await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, "due runs could not be created");
                AFTER_ERROR
            }
        };
        let timer = tokio::time::sleep(wait);
        tokio::pin!(timer);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = &mut timer => break,
                heard = bell.recv() => match heard {
                    Ok(Signal::Dags | Signal::Everything) | Err(RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return Ok(()),
                },
            }
        }
    }
}

impl Timetables {
    /// Does all there is to do now and says when to look again.
    async fn pass(&self) -> Result<Duration, StoreError> {
        let store = &self.store;
        for dag_id in runs::pause_failing(store).await? {
            tracing::warn!(
                dag_id,
                "the DAG is paused: its latest runs have all failed (max_consecutive_failed_dag_runs)"
            );
        }
        while runs::create_due(store, &self.blueprints).await? > 0 {
            self.start().await?;
        }
        self.start().await?;
        // After what is due on time: a large backfill must not hold that up.
        if backfill::proceed(store, &self.classes, &self.dags).await?
            || backfill::fail_cancelled(store, &self.classes, &self.dags).await?
        {
            return Ok(Duration::ZERO);
        }
        backfill::complete(store).await?;
        runs::prepare(store, &self.blueprints).await?;
        let due = runs::next_due(store).await?;
        let starts = runs::next_start(store).await?;
        let next = due.into_iter().chain(starts).min().map_or(SWEEP, Duration::from_millis);
        Ok(next.min(SWEEP).max(Duration::from_millis(1)))
    }

    async fn start(&self) -> Result<(), StoreError> {
        loop {
            let started = runs::start_queued(&self.store).await?;
            if started.is_empty() {
                return Ok(());
            }
            measure::runs_started(started);
        }
    }
}
