//! Why an attempt is not placed.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::NodeState;

/// A node that could take it were it here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwayNode {
    pub name: String,
    pub state: NodeState,
}

/// Why an attempt is not placed. Codes with parameters; the UI says it in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Blocked {
    /// The pool does not exist: nothing in it runs until it is created.
    PoolMissing {
        pool: String,
    },
    PoolFull {
        pool: String,
        used: i64,
        slots: i64,
        needs: u32,
    },
    /// The task wants more slots than the pool has at all.
    PoolTooSmall {
        pool: String,
        slots: i64,
        needs: u32,
    },
    /// No node has ever registered for the queue.
    NoNodeForQueue {
        queue: String,
        /// Nodes of other queues that take work.
        live_nodes: usize,
    },
    /// Of the queue's nodes none has these labels; each label here is one that none of them has, unless it is only all
    /// together that none has.
    NoNodeWithLabels {
        queue: String,
        labels: IndexMap<String, Vec<String>>,
    },
    /// The nodes that could take it are draining, lost or offline.
    NodesAway {
        nodes: Vec<AwayNode>,
    },
    /// Every node that takes work and could take it is full.
    NodesFull {
        nodes: Vec<String>,
        slots: u32,
        /// Those that could take it and are away.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        away: Vec<AwayNode>,
    },
    Parallelism {
        limit: u32,
    },
    MaxActiveTasks {
        limit: u32,
    },
    MaxActiveTisPerDag {
        limit: u32,
    },
}

impl Blocked {
    /// In a sentence, where it is about nodes: a code with a list of them reads badly.
    pub fn told(&self) -> Option<String> {
        Some(match self {
            Self::NoNodeForQueue { queue, live_nodes: 0 } => {
                format!("No node is connected, and none has ever served the queue `{queue}`.")
            }
            Self::NoNodeForQueue { queue, live_nodes } => {
                format!("No node serves the queue `{queue}`; the nodes that are connected ({live_nodes}) serve others.")
            }
            Self::NoNodeWithLabels { queue, labels } => {
                let wanted = |(label, values): (&String, &Vec<String>)| format!("{label}={}", values.join("|"));
                let labels: Vec<String> = labels.iter().map(wanted).collect();
                format!("No node of the queue `{queue}` has {}.", labels.join(" and "))
            }
            Self::NodesAway { nodes } => format!("Every node that could take it is away: {}.", listed(nodes)),
            Self::NodesFull { nodes, slots, away } => {
                let rest = if away.is_empty() { String::new() } else { format!("; {}", listed(away)) };
                format!("Every node that could take it is full: {} ({slots} slots){rest}.", nodes.join(", "))
            }
            Self::PoolMissing { .. }
            | Self::PoolFull { .. }
            | Self::PoolTooSmall { .. }
            | Self::Parallelism { .. }
            | Self::MaxActiveTasks { .. }
            | Self::MaxActiveTisPerDag { .. } => return None,
        })
    }
}

fn listed(nodes: &[AwayNode]) -> String {
    nodes.iter().map(|node| format!("{} is {}", node.name, node.state)).collect::<Vec<_>>().join(", ")
}
