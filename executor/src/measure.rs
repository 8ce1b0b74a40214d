//! What a node exports as metrics beside what its parts count where it happens.

use metrics::{counter, gauge};
use updraft_core::metrics::{NODE_FINISHED, NODE_RUNNING, NODE_SLOTS, NODE_UNREPORTED, SPOOL_BYTES};
use updraft_protocol::FinishedReport;

use crate::node::Node;

/// Sets the gauges; called at each poll.
pub(crate) fn node(node: &Node) {
    gauge!(NODE_SLOTS.name).set(node.config.slots);
    gauge!(NODE_RUNNING.name).set(node.live_count() as f64);
    gauge!(NODE_UNREPORTED.name).set(node.journal.unreported() as f64);
    gauge!(SPOOL_BYTES.name).set(node.logs.unsent() as f64);
}

/// Counts an attempt that ended here.
pub(crate) fn finished(report: &FinishedReport) {
    let class = report.failure_class.clone().unwrap_or_default();
    counter!(NODE_FINISHED.name, "outcome" => report.outcome.clone(), "class" => class).increment(1);
}
