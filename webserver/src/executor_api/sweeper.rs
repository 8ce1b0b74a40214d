//! Deletes the files of large values that nothing names any more.

use std::time::Duration;

use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use updraft_store::{Store, objects};

const INTERVAL: Duration = Duration::from_mins(1);

/// Sweeps every minute until `shutdown`. [`super::ExecutorApi::new`] starts one; several webservers do not disturb each other.
pub(super) fn spawn_sweeper(store: Store, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match objects::sweep(&store).await {
                Ok(0) => {}
                Ok(files) => tracing::debug!(files, "files of values that nothing names were deleted"),
                Err(error) if error.is_transient() => tracing::debug!(%error, "files could not be swept now"),
                Err(error) => tracing::warn!(%error, "files of values that nothing names could not be deleted"),
            }
        }
    })
}
