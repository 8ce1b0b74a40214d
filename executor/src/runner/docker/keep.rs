//! What a node keeps for the tasks of a run, and for how long.

use std::time::Duration;

use tokio::time::Instant;
use updraft_core::{
    ids::{DagId, RunId},
    spec::TaskSpec,
};

use super::run;
use crate::node::Node;

/// A daemon that hangs must keep the node neither from reconciling nor from ending.
const REMOVAL: Duration = Duration::from_secs(15);

/// A run, as nodes and servers name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RunKey {
    pub(crate) dag_id: DagId,
    pub(crate) run_id: RunId,
}

impl RunKey {
    pub(super) fn of(spec: &TaskSpec) -> Self {
        Self { dag_id: spec.run.dag_id.clone(), run_id: spec.run.run_id.clone() }
    }
}

/// Whether something of a run is needed: while it has users and for a while after, unless the run is over.
#[derive(Default)]
pub(super) struct Need {
    users: usize,
    /// Since when it has none.
    idle: Option<Instant>,
    over: bool,
}

impl Need {
    pub(super) fn enter(&mut self) {
        self.users += 1;
        self.idle = None;
        // A task of the run came: it was cleared, or the word of its end was about an earlier one of this name.
        self.over = false;
    }

    pub(super) fn leave(&mut self) {
        self.users -= 1;
        if self.users == 0 {
            self.idle = Some(Instant::now());
        }
    }

    /// The run ended.
    pub(super) fn end(&mut self) {
        self.over = true;
    }

    /// Whether it can go; without users it stays for `idle`.
    pub(super) fn is_over(&self, idle: Duration) -> bool {
        self.users == 0 && (self.over || self.idle.is_some_and(|since| since.elapsed() >= idle))
    }
}

/// Removes the containers that the tasks of runs do not need any more. `all`: the node ends.
pub(crate) async fn tidy(node: &Node, all: bool) {
    let done = [node.docker.rooms.done(all), node.docker.ahead.done(all)].concat();
    let Some(docker) = node.docker.connected() else { return };
    let removal = async {
        for name in &done {
            run::remove(node, &docker, name).await;
        }
    };
    if tokio::time::timeout(REMOVAL, removal).await.is_err() {
        tracing::warn!("the Docker daemon is slow; containers of runs are removed later");
    }
}
