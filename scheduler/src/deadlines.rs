//! Tells of runs that miss a deadline.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use updraft_store::{Store, StoreError, deadlines};

use crate::SchedulerError;

/// Looks at the latest after this long: a run with a nearer deadline may have been made meanwhile.
const SWEEP: Duration = Duration::from_secs(2);

pub(crate) async fn run(store: Store, stop: CancellationToken) -> Result<(), SchedulerError> {
    loop {
        let wait = pass(&store).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "deadlines could not be looked at");
            SWEEP
        });
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Marks what passed, and says when to look again.
async fn pass(store: &Store) -> Result<Duration, StoreError> {
    loop {
        let missed = deadlines::mark_missed(store).await?;
        if missed.is_empty() {
            break;
        }
        for dag_run_id in missed {
            tracing::warn!(dag_run_id, "the run missed a deadline");
        }
    }
    let next = deadlines::next_due(store.pool()).await?.unwrap_or(SWEEP);
    Ok(next.clamp(Duration::from_millis(5), SWEEP))
}
