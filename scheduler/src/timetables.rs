//! Creates the runs that timetables ask for, and starts queued runs within `max_active_runs`.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use updraft_store::{
    Store, StoreError,
    runs::{self, Blueprints},
    wake::Signal,
};

use crate::SchedulerError;

/// Looks at the latest after this long, should a wake-up be lost.
const SWEEP: Duration = Duration::from_secs(5);
/// Wait after a database error, before the next look.
const AFTER_ERROR: Duration = Duration::from_millis(500);

pub(crate) async fn run(store: Store, stop: CancellationToken) -> Result<(), SchedulerError> {
    let blueprints = Blueprints::default();
    let mut bell = store.wake().subscribe();
    loop {
        let wait = match pass(&store, &blueprints).await {
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

/// Does all there is to do now and says when to look again.
async fn pass(store: &Store, blueprints: &Blueprints) -> Result<Duration, StoreError> {
    while runs::create_due(store, blueprints).await? > 0 {
        start(store).await?;
    }
    start(store).await?;
    runs::prepare(store, blueprints).await?;
    let due = runs::next_due(store).await?;
    let starts = runs::next_start(store).await?;
    let next = due.into_iter().chain(starts).min().map_or(SWEEP, Duration::from_millis);
    Ok(next.min(SWEEP).max(Duration::from_millis(1)))
}

async fn start(store: &Store) -> Result<(), StoreError> {
    while !runs::start_queued(store).await?.is_empty() {}
    Ok(())
}
