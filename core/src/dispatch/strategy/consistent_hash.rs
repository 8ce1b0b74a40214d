//! The same node for the same task, within bounds.
//!
//! Rendezvous hashing (each task ranks all nodes; a node that comes or goes moves only what ranks it first), with the bound of
//! Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016): no node takes more than [`SLACK`] times its
//! share of what is placed; what is over goes to the next in the task's ranking, so that a wide mapped task does not pile up.

use std::cmp::Reverse;

use super::{super::Node, open};

/// How far a node may be over its even share, as a fraction: 5/4.
const SLACK: (u64, u64) = (5, 4);

/// What [`choose`] keeps together: the task of a DAG, whatever the version, run and map index. `dag` is the DAG's row. The same on
/// every machine and in every build.
pub fn affinity(dag: i64, task_id: &str) -> u64 {
    // FNV-1a: short texts, no secret, and nobody to defend against.
    let bytes = dag.to_le_bytes().into_iter().chain(task_id.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The first in the task's ranking that has a free slot and is within its bound.
///
/// One with a free slot always is, while any has one: the bounds add up to more than what is placed, and where the bound of a full
/// node is above its slots, so is everybody's. That the bound comes first in the key, not in a filter, needs no such proof.
pub(super) fn choose(nodes: &[&Node], affinity: u64) -> Option<usize> {
    let live = || nodes.iter().filter(|node| node.is_active());
    let placed: u64 = live().map(|node| u64::from(node.used)).sum();
    let slots: u64 = live().map(|node| u64::from(node.slots)).sum();
    // used < SLACK · (placed + 1) · node.slots / slots, rounded up, without the division.
    let within = |node: &Node| {
        u128::from(node.used) * u128::from(slots) * u128::from(SLACK.1)
            < u128::from(placed + 1) * u128::from(node.slots) * u128::from(SLACK.0)
    };
    open(nodes)
        .max_by_key(|(_, node)| (within(node), rank(affinity, node.id), Reverse(node.id)))
        .map(|(position, _)| position)
}

/// How much a task likes a node.
fn rank(affinity: u64, node: i64) -> u64 {
    mix(affinity ^ node.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The finaliser of SplitMix64: every bit of the result depends on every bit of the argument.
pub(super) fn mix(bits: u64) -> u64 {
    let mut mixed = bits;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Strategy, testing::Fleet},
        *,
    };

    /// Where each of 3,000 tasks goes while nothing else runs.
    fn homes(fleet: &mut Fleet) -> Vec<i64> {
        (0..3_000)
            .map(|task| {
                let node = fleet.give_one(Strategy::ConsistentHash, affinity(7, &format!("task_{task}"))).unwrap();
                fleet.free(node, 1);
                fleet.id(node)
            })
            .collect()
    }

    #[test]
    fn tasks_spread_over_the_nodes_and_each_stays_on_its_own() {
        let mut fleet = Fleet::of([8; 5]);
        let first = homes(&mut fleet);
        for node in 0..5 {
            let share = first.iter().filter(|home| **home == fleet.id(node)).count();
            // Four standard deviations of a binomial of 3,000 and a fifth are 88.
            assert!(share.abs_diff(600) < 88, "{share} of 3000");
        }
        assert_eq!(homes(&mut fleet), first);
    }

    #[test]
    fn removing_a_node_moves_only_its_share() {
        let mut fleet = Fleet::of([8; 5]);
        let before = homes(&mut fleet);
        let gone = fleet.remove(2);
        let after = homes(&mut fleet);
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before == gone, "a task moved from node {before} to {after}");
        }
        let moved = before.iter().filter(|home| **home == gone).count();
        for node in 0..4 {
            let id = fleet.id(node);
            let taken = before.iter().zip(&after).filter(|(before, after)| **before == gone && **after == id).count();
            assert!(taken.abs_diff(moved / 4) < 50, "node {id} took {taken} of {moved}");
        }
    }

    #[test]
    fn no_node_takes_more_than_its_bound_though_all_are_of_one_task() {
        let mut fleet = Fleet::of([100, 200, 300, 400]);
        for placed in 1..=1_000_u64 {
            fleet.give_one(Strategy::ConsistentHash, affinity(7, "wide")).unwrap();
            for (used, slots) in fleet.used().into_iter().zip([100, 200, 300, 400]) {
                let bound = (placed * slots * SLACK.0).div_ceil(1_000 * SLACK.1);
                assert!(u64::from(used) <= bound, "{used} of a node with {slots} slots; {placed} are placed");
            }
        }
        assert_eq!(fleet.used(), [100, 200, 300, 400], "the bound keeps no slot empty");
        assert_eq!(fleet.give_one(Strategy::ConsistentHash, affinity(7, "wide")), None);
    }

    #[test]
    fn the_hash_is_the_same_in_every_build() {
        let load = affinity(7, "load");
        assert_eq!((load, rank(load, 3)), (0xb56d_aa3c_0d1c_945a, 0x1266_52a1_9ffd_b1f2));
    }
}
