//! Finds nodes that fell silent and attempts that were never started.

use std::time::Duration;

use metrics::counter;
use tokio_util::sync::CancellationToken;
use updraft_core::{
    lease::Lease,
    metrics::{LAUNCH_TIMEOUTS, NODES_LOST},
};
use updraft_store::{Store, liveness};

use crate::SchedulerError;

const EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(store: Store, lease: Lease, stop: CancellationToken) -> Result<(), SchedulerError> {
    loop {
        match liveness::round(&store, lease).await {
            Ok(round) => {
                counter!(NODES_LOST.name).increment(round.lost.len() as u64);
                counter!(LAUNCH_TIMEOUTS.name).increment(round.launch_timeouts as u64);
                for node in &round.lost {
                    tracing::warn!(node, "the node is lost; its tasks are retried elsewhere as far as they have tries");
                }
                if round.grace {
                    tracing::error!(
                        "more than half of the nodes fell silent at once; waiting one more lease before losing them"
                    );
                }
                if round.launch_timeouts > 0 {
                    tracing::warn!(count = round.launch_timeouts, "tasks were handed to nodes and not started in time");
                }
            }
            Err(error) => tracing::warn!(%error, "the liveness of nodes could not be checked"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
