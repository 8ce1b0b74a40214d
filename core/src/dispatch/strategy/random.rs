//! By chance.

use super::{super::Node, open};

/// Any node, as likely as its weight is large beside the others'; one of weight 0 never.
pub(super) fn choose(nodes: &[&Node], weight: impl Fn(&Node) -> u32, draw: &mut dyn FnMut() -> u64) -> Option<usize> {
    let total: u64 = open(nodes).map(|(_, node)| u64::from(weight(node))).sum();
    if total == 0 {
        return None;
    }
    let mut drawn = below(total, draw());
    for (position, node) in open(nodes) {
        let weight = u64::from(weight(node));
        if drawn < weight {
            return Some(position);
        }
        drawn -= weight;
    }
    None
}

/// A number below `limit`, of a random one: the high half of their product, without the bias that a remainder would have.
fn below(limit: u64, random: u64) -> u64 {
    ((u128::from(random) * u128::from(limit)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Strategy, testing::Fleet},
        *,
    };

    #[test]
    fn every_node_is_as_likely_as_any_other() {
        let mut fleet = Fleet::of([100_000, 20_000, 50_000]);
        fleet.weigh([1, 100, 5]);
        fleet.give(Strategy::Random, 30_000);
        // Four standard deviations of a binomial of 30,000 and a third are 327.
        assert!(fleet.used().iter().all(|used| used.abs_diff(10_000) < 330), "{:?}", fleet.used());
    }

    #[test]
    fn a_node_gets_its_weights_share() {
        let mut fleet = Fleet::of([100_000; 3]);
        fleet.weigh([1, 2, 7]);
        fleet.give(Strategy::WeightedRandom, 30_000);
        let used = fleet.used();
        for (used, expected) in used.iter().zip([3_000, 6_000, 21_000]) {
            assert!(used.abs_diff(expected) < 330, "{used:?} of {expected}");
        }
    }

    #[test]
    fn what_is_full_leaves_its_share_to_the_others() {
        let mut fleet = Fleet::of([10, 100_000, 100_000]);
        fleet.weigh([1_000, 1, 1]);
        fleet.give(Strategy::WeightedRandom, 10_000);
        let used = fleet.used();
        assert_eq!(used[0], 10);
        assert!(used[1].abs_diff(4_995) < 220, "{used:?}");
    }

    #[test]
    fn the_ends_of_the_range_are_in_range() {
        assert_eq!((below(3, 0), below(3, u64::MAX), below(1, u64::MAX)), (0, 2, 0));
    }
}
