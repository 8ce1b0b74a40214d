//! In turn.

use super::{super::Node, open};

/// The one that was assigned longest ago.
pub(super) fn choose(nodes: &[&Node]) -> Option<usize> {
    open(nodes).min_by_key(|(_, node)| (node.last_assigned, node.id)).map(|(position, _)| position)
}

#[cfg(test)]
mod tests {
    use super::super::{Strategy, testing::Fleet};

    #[test]
    fn every_node_gets_as_many_as_any_other_whatever_its_slots() {
        let mut fleet = Fleet::of([1000, 200, 300]);
        fleet.give(Strategy::RoundRobin, 600);
        assert_eq!(fleet.used(), [200, 200, 200]);
    }

    #[test]
    fn a_full_node_is_passed_over_and_the_round_goes_on() {
        let mut fleet = Fleet::of([1, 3, 9]);
        fleet.give(Strategy::RoundRobin, 9);
        assert_eq!(fleet.used(), [1, 3, 5]);
    }
}
