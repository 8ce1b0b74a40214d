//! Containers, through the Docker daemon of this machine.

mod adopt;
mod ahead;
mod conclude;
mod connection;
mod cursor;
mod facts;
mod follow;
mod image;
mod keep;
mod layers;
mod operator;
mod orphans;
mod plan;
mod registry;
mod room;
mod run;
mod words;

pub(crate) use adopt::adopt;
pub(crate) use ahead::prepare_next;
pub(crate) use connection::Docker;
pub(crate) use image::fetch_ahead;
pub(crate) use keep::{RunKey, tidy};
pub(crate) use operator::run_operator;
pub(crate) use orphans::remove_orphans;
pub(crate) use plan::{Plan, ResultFrom, Subject, Watch, in_container};
pub(crate) use run::{Leftover, clean, run};

use updraft_core::ids::AttemptId;
use uuid::Uuid;

/// The label by which a node finds its containers again; their names say what they are for.
const NODE_LABEL: &str = "updraft.node";
/// For people: the attempt, of a container that was created for it.
const ATTEMPT_LABEL: &str = "updraft.attempt";
const AUTO_REMOVE_LABEL: &str = "updraft.auto_remove";

/// Where a task finds its bundle in a container.
pub(crate) const BUNDLE_TARGET: &str = "/opt/updraft/dags";

/// The names of an attempt's container, of one that tasks of a run share, and of one that was created ahead.
const ATTEMPT_NAME: &str = "updraft-";
const ROOM_NAME: &str = "updraft-run-";
const AHEAD_NAME: &str = "updraft-ahead-";

/// The name of an attempt's container.
fn name_of(id: Uuid) -> String {
    format!("{ATTEMPT_NAME}{}", AttemptId(id))
}
