//! Says that this scheduler lives, and learns which others do.

use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use updraft_core::metrics::{Metric, SCHEDULER_HEARTBEAT};
use updraft_store::{Store, jobs};
use uuid::Uuid;

use crate::SchedulerError;

/// Airflow's `job_heartbeat_sec`.
const EVERY: Duration = Duration::from_secs(5);

pub(crate) async fn run(
    store: Store,
    id: Uuid,
    hostname: String,
    live: watch::Sender<Vec<Uuid>>,
    stop: CancellationToken,
) -> Result<(), SchedulerError> {
    loop {
        match beat(&store, id, &hostname).await {
            Ok(schedulers) => {
                live.send_if_modified(|known| {
                    let changed = *known != schedulers;
                    known.clone_from(&schedulers);
                    changed
                });
            }
            // Others will think this one dead and take its runs; that costs nothing but a preference.
            Err(error) => tracing::warn!(%error, "the heartbeat could not be written"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn beat(store: &Store, id: Uuid, hostname: &str) -> Result<Vec<Uuid>, updraft_store::StoreError> {
    jobs::heartbeat(store.pool(), id, jobs::SCHEDULER, hostname).await?;
    counter!(SCHEDULER_HEARTBEAT.name).increment(1);
    jobs::live_schedulers(store.pool()).await
}

/// Says that something lives which nobody needs to know the others of: `/monitor/health` and `/jobs` show it. Until `stop`.
pub(crate) async fn keep(
    store: Store,
    job_type: &'static str,
    metric: Metric,
    hostname: String,
    stop: CancellationToken,
) {
    let id = Uuid::new_v4();
    loop {
        match jobs::heartbeat(store.pool(), id, job_type, &hostname).await {
            Ok(()) => counter!(metric.name).increment(1),
            Err(error) => tracing::warn!(%error, job_type, "the heartbeat could not be written"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    end(&store, id).await;
}

/// Says that a process ended well.
pub(crate) async fn end(store: &Store, id: Uuid) {
    if let Err(error) = jobs::end(store.pool(), id).await {
        tracing::debug!(%error, "the end could not be noted; it will be taken for dead");
    }
}
