//! A node, as dispatch sees it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::Class;

/// What a node is to dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Takes work.
    Active,
    /// Finishes what it has and takes nothing new.
    Draining,
    /// Was silent past its lease.
    Lost,
    /// Said that it ends.
    Offline,
}

impl NodeState {
    pub const ALL: [Self; 4] = [Self::Active, Self::Draining, Self::Lost, Self::Offline];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Lost => "lost",
            Self::Offline => "offline",
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A node that has registered.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub id: i64,
    pub name: String,
    pub state: NodeState,
    pub slots: u32,
    /// Attempts placed on it.
    pub used: u32,
    /// Its share of the work under [`super::Strategy::WeightedRandom`], beside the others' weights.
    pub weight: u32,
    pub labels: BTreeMap<String, String>,
    pub queues: Vec<String>,
    /// Runners that can take work now; of one that is away, those that last could.
    pub runners: Vec<String>,
    /// When it was last given something: the smallest is next in the round.
    pub last_assigned: i64,
}

impl Node {
    /// Whether it takes work, as far as it has room.
    pub(super) fn is_active(&self) -> bool {
        self.state == NodeState::Active
    }

    /// Slots that can be given out now.
    pub(super) fn free(&self) -> u32 {
        if self.is_active() { self.slots.saturating_sub(self.used) } else { 0 }
    }

    pub(super) fn serves_queue(&self, queue: &str) -> bool {
        self.queues.iter().any(|served| served == queue)
    }

    pub(super) fn has_label(&self, label: &str, wanted: &[String]) -> bool {
        self.labels.get(label).is_some_and(|has| wanted.contains(has))
    }

    /// Whether its queues and labels are what the class asks for, whatever its state.
    pub(super) fn suits(&self, class: &Class) -> bool {
        self.serves_queue(&class.queue) && class.selector.iter().all(|(label, wanted)| self.has_label(label, wanted))
    }

    pub(super) fn has_runner(&self, runner: &str) -> bool {
        self.runners.iter().any(|available| available == runner)
    }
}
