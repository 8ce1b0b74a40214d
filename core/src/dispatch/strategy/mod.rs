//! Which node of those with room. Each strategy is a pure function of the nodes and, where it needs chance, of a number drawn by
//! the caller.
//!
//! A strategy only prefers: every limit is [`super::Capacity`]'s, so schedulers that differ in it break nothing.

mod consistent_hash;
mod least_loaded;
mod random;
mod round_robin;
#[cfg(test)]
mod testing;

use std::{collections::BTreeMap, str::FromStr};

pub use self::consistent_hash::affinity;
use super::Node;

/// How a node is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// In turn, by the column `last_assigned`: a restart or another scheduler goes on where the last ended.
    #[default]
    RoundRobin,
    /// Any, as likely as any other.
    Random,
    /// Any, as likely as its weight says.
    WeightedRandom,
    /// The one with the smallest share of its slots in use; in turn among equals.
    LeastLoaded,
    /// The same node for the same task of the same DAG, as long as it has no more than its share of the work: caches stay
    /// warm, licences stay put.
    ConsistentHash,
}

/// A word that names no strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no dispatch strategy; there are {names}", names = Strategy::NAMES.map(|(name, _)| name).join(", "))]
pub struct UnknownStrategy(String);

impl Strategy {
    const NAMES: [(&str, Self); 5] = [
        ("round_robin", Self::RoundRobin),
        ("random", Self::Random),
        ("weighted_random", Self::WeightedRandom),
        ("least_loaded", Self::LeastLoaded),
        ("consistent_hash", Self::ConsistentHash),
    ];
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, UnknownStrategy> {
        let named = Self::NAMES.into_iter().find(|(name, _)| *name == text);
        named.map(|(_, strategy)| strategy).ok_or_else(|| UnknownStrategy(text.to_owned()))
    }
}

/// The deployment's strategy, and those of queues that have another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strategies {
    pub default: Strategy,
    pub queues: BTreeMap<String, Strategy>,
}

impl Strategies {
    /// The strategy of a queue.
    pub fn of(&self, queue: &str) -> Strategy {
        self.queues.get(queue).copied().unwrap_or(self.default)
    }
}

/// The position, in `nodes`, of the one that gets the next attempt; `None` when none has a free slot. `nodes` are all that may
/// have it, full ones and those that are away too.
pub(super) fn choose(
    strategy: Strategy,
    nodes: &[&Node],
    affinity: u64,
    draw: &mut dyn FnMut() -> u64,
) -> Option<usize> {
    match strategy {
        Strategy::RoundRobin => round_robin::choose(nodes),
        Strategy::Random => random::choose(nodes, |_| 1, draw),
        Strategy::WeightedRandom => random::choose(nodes, |node| node.weight, draw),
        Strategy::LeastLoaded => least_loaded::choose(nodes),
        Strategy::ConsistentHash => consistent_hash::choose(nodes, affinity),
    }
}

/// The nodes with a free slot, with their positions.
fn open<'a>(nodes: &'a [&Node]) -> impl Iterator<Item = (usize, &'a Node)> {
    nodes.iter().copied().enumerate().filter(|(_, node)| node.free() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_configurations() {
        for (name, strategy) in Strategy::NAMES {
            assert_eq!(name.parse(), Ok(strategy));
        }
        let error = "fastest".parse::<Strategy>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`fastest` is no dispatch strategy; there are round_robin, random, weighted_random, least_loaded, consistent_hash"
        );
    }

    #[test]
    fn a_queue_may_have_its_own() {
        let queues = [("sap".to_owned(), Strategy::ConsistentHash)].into();
        let strategies = Strategies { default: Strategy::LeastLoaded, queues };
        assert_eq!(strategies.of("sap"), Strategy::ConsistentHash);
        assert_eq!(strategies.of("default"), Strategy::LeastLoaded);
    }
}
