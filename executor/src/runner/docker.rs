//! Containers, through the Docker daemon of this machine.

mod adopt;
mod conclude;
mod connection;
mod cursor;
mod facts;
mod follow;
mod image;
mod layers;
mod operator;
mod plan;
mod registry;
mod room;
mod run;
mod words;

pub(crate) use adopt::{adopt, remove_orphans};
pub(crate) use connection::Docker;
pub(crate) use image::fetch_ahead;
pub(crate) use operator::run_operator;
pub(crate) use plan::{Plan, ResultFrom, Watch, in_container};
pub(crate) use room::{RunKey, remove_rooms};
pub(crate) use run::{Leftover, clean, run};

use updraft_core::ids::AttemptId;
use uuid::Uuid;

/// Labels by which a node finds its containers again.
const ATTEMPT_LABEL: &str = "updraft.attempt";
const NODE_LABEL: &str = "updraft.node";
const AUTO_REMOVE_LABEL: &str = "updraft.auto_remove";

/// Where a task finds its bundle in a container.
pub(crate) const BUNDLE_TARGET: &str = "/opt/updraft/dags";

/// The name of an attempt's container.
fn name_of(id: Uuid) -> String {
    format!("updraft-{}", AttemptId(id))
}
