//! Nodes to try strategies on.

use super::{
    super::{Node, tests::node},
    Strategy, choose,
    consistent_hash::mix,
};

/// Nodes in positions; what is given stays until it is freed.
pub(super) struct Fleet {
    nodes: Vec<Node>,
    turn: i64,
    /// The state of the dice: SplitMix64.
    dice: u64,
}

impl Fleet {
    /// One node for each number of slots.
    pub(super) fn of<const N: usize>(slots: [u32; N]) -> Self {
        Self { nodes: (1..).zip(slots).map(|(id, slots)| node(id, slots)).collect(), turn: 0, dice: 1 }
    }

    pub(super) fn weigh<const N: usize>(&mut self, weights: [u32; N]) {
        for (node, weight) in self.nodes.iter_mut().zip(weights) {
            node.weight = weight;
        }
    }

    /// Places so many attempts, of one task.
    pub(super) fn give(&mut self, strategy: Strategy, count: usize) {
        for _ in 0..count {
            self.give_one(strategy, 0).expect("there is a free slot");
        }
    }

    /// Places one; says where.
    pub(super) fn give_one(&mut self, strategy: Strategy, affinity: u64) -> Option<usize> {
        let among: Vec<&Node> = self.nodes.iter().collect();
        let dice = &mut self.dice;
        let mut draw = || {
            *dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(*dice)
        };
        let position = choose(strategy, &among, affinity, &mut draw)?;
        self.turn += 1;
        let node = &mut self.nodes[position];
        (node.used, node.last_assigned) = (node.used + 1, self.turn);
        Some(position)
    }

    /// So many end on a node.
    pub(super) fn free(&mut self, position: usize, count: u32) {
        self.nodes[position].used -= count;
    }

    /// A node goes; says which.
    pub(super) fn remove(&mut self, position: usize) -> i64 {
        self.nodes.remove(position).id
    }

    pub(super) fn id(&self, position: usize) -> i64 {
        self.nodes[position].id
    }

    pub(super) fn used(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.used).collect()
    }
}
