//! Keeps saying that nodes can be heard.

use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use updraft_core::lease::Lease;
use updraft_store::{Store, nodes};

/// Stamps `liveness` every [`Lease::stamp`] until `shutdown`. While the database is away nothing is stamped, which is the point: the
/// leases of nodes start anew from the first stamp after the gap. [`super::ExecutorApi::new`] starts one.
pub fn spawn_stamper(store: Store, lease: Lease, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(lease.stamp());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match nodes::stamp(&store, lease).await {
                Ok(()) => failing = false,
                Err(error) if failing => tracing::debug!(%error, "the liveness stamp could not be written"),
                Err(error) => {
                    failing = true;
                    tracing::warn!(%error, "the liveness stamp could not be written; nodes' leases pause until it can");
                }
            }
        }
    })
}
