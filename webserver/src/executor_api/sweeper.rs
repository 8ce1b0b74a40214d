//! Deletes what nothing names any more: files of large values, old logs, logs of deleted runs, values that expired.

use std::{future::Future, time::Duration};

use metrics::counter;
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use updraft_core::metrics::LOGS_EXPIRED;
use updraft_store::{
    Store, StoreError,
    log_retention::{self, Expired},
    objects, state_store,
};

use crate::logs::{LogKey, LogStore};

const INTERVAL: Duration = Duration::from_mins(1);

/// What it looks after.
pub(super) struct Sweeper {
    pub(super) store: Store,
    pub(super) logs: LogStore,
    /// Logs of attempts handed out longer ago go; `None`: they stay.
    pub(super) log_retention: Option<Duration>,
}

impl Sweeper {
    /// Sweeps every minute until `shutdown`. [`super::ExecutorApi::new`] starts one; several webservers do not disturb each other.
    pub(super) fn spawn(self, shutdown: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                tell("files of values that nothing names", objects::sweep(&self.store)).await;
                tell("values of tasks that expired", state_store::sweep(&self.store)).await;
                tell("logs that nobody keeps", self.delete_logs()).await;
                tell("parts of quiet logs", async { self.logs.tidy().await.map_err(unavailable) }).await;
            }
        })
    }

    /// Deletes logs that are too old or whose run is gone; how many. Each sweep does at most so much that it ends within its minute.
    async fn delete_logs(&self) -> Result<usize, StoreError> {
        if let Some(keep) = self.log_retention {
            log_retention::expire(&self.store, keep).await?;
        }
        let claimed = log_retention::claim(&self.store).await?;
        let mut gone = Vec::with_capacity(claimed.len());
        let mut outcome = Ok(());
        for log in claimed {
            let attempt_id = log.attempt_id;
            match self.logs.delete(&key(log)).await {
                Ok(()) => gone.push(attempt_id),
                Err(error) => {
                    outcome = Err(unavailable(error));
                    break;
                }
            }
        }
        log_retention::forget(&self.store, &gone).await?;
        counter!(LOGS_EXPIRED.name).increment(gone.len() as u64);
        outcome.map(|()| gone.len())
    }
}

fn key(log: Expired) -> LogKey {
    let Expired { attempt_id, dag_id, run_id, task_id, map_index, try_number } = log;
    LogKey { dag_id, run_id, task_id, map_index, try_number, attempt_id }
}

fn unavailable(error: std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("the log store: {error}"))
}

/// Says what a sweep of `what` did. What failed is tried again at the next.
async fn tell(what: &str, sweep: impl Future<Output = Result<usize, StoreError>>) {
    match sweep.await {
        Ok(0) => {}
        Ok(count) => tracing::debug!(count, "swept {what}"),
        Err(error) if error.is_transient() => tracing::debug!(%error, "cannot sweep {what} now"),
        Err(error) => tracing::warn!(%error, "cannot sweep {what}"),
    }
}
