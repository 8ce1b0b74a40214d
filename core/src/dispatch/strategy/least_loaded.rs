//! Where there is most room.

use std::cmp::Ordering;

use super::{super::Node, open};

/// The one with the smallest share of its slots in use; in turn among equals.
pub(super) fn choose(nodes: &[&Node]) -> Option<usize> {
    open(nodes).min_by(|(_, one), (_, other)| compare(one, other)).map(|(position, _)| position)
}

fn compare(one: &Node, other: &Node) -> Ordering {
    // used / slots, without the division.
    let share = |of: &Node, beside: &Node| u64::from(of.used) * u64::from(beside.slots);
    share(one, other)
        .cmp(&share(other, one))
        .then_with(|| (one.last_assigned, one.id).cmp(&(other.last_assigned, other.id)))
}

#[cfg(test)]
mod tests {
    use super::super::{Strategy, testing::Fleet};

    #[test]
    fn nodes_fill_evenly_by_their_slots() {
        let mut fleet = Fleet::of([10, 20, 70]);
        fleet.give(Strategy::LeastLoaded, 50);
        assert_eq!(fleet.used(), [5, 10, 35]);
    }

    #[test]
    fn a_node_that_is_behind_catches_up_first() {
        let mut fleet = Fleet::of([10, 10, 10]);
        fleet.give(Strategy::LeastLoaded, 6);
        fleet.free(1, 2);
        fleet.give(Strategy::LeastLoaded, 2);
        assert_eq!(fleet.used(), [2, 2, 2]);
    }

    #[test]
    fn idle_nodes_take_turns() {
        let mut fleet = Fleet::of([4, 4, 4]);
        let mut given = Vec::new();
        for _ in 0..6 {
            let node = fleet.give_one(Strategy::LeastLoaded, 0).unwrap();
            fleet.free(node, 1);
            given.push(node);
        }
        assert_eq!(given, [0, 1, 2, 0, 1, 2]);
    }
}
