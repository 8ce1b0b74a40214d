//! Everything that limits, at one moment: what there is room for, and what stands in the way.

use std::collections::HashMap;

use super::{AwayNode, Blocked, Candidate, Class, Node, TRIGGERER};

/// Pool slots; `slots` −1 is infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    pub slots: i64,
    pub used: i64,
}

/// Everything that limits, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Capacity {
    /// Attempts that may be placed in the whole deployment.
    pub parallelism: u32,
    /// Attempts placed, on nodes of any state.
    pub placed: u32,
    /// Every node that has registered; only active ones take work.
    pub nodes: Vec<Node>,
    pub pools: HashMap<String, Pool>,
    /// Attempts placed, by run.
    pub runs: HashMap<i64, u32>,
    /// Active attempts by [`super::Cap::of`]: placed, and those the triggerer works on (deferred, awaiting input).
    pub caps: HashMap<String, u32>,
}

impl Capacity {
    /// The nodes a class may go to, by position, whatever their state. A runner that none of them has is not asked for: the
    /// task then fails on a node with a readable reason (Docker daemon away) instead of waiting for ever.
    pub(super) fn serving(&self, class: &Class) -> Vec<usize> {
        let positions = |suits: &dyn Fn(&Node) -> bool| -> Vec<usize> {
            self.nodes.iter().enumerate().filter(|(_, node)| suits(node)).map(|(position, _)| position).collect()
        };
        let with_runner = positions(&|node| node.suits(class) && node.has_runner(&class.runner));
        if with_runner.is_empty() { positions(&|node| node.suits(class)) } else { with_runner }
    }

    /// Why nothing of this class can be placed now; `None` when something can.
    pub fn class_blocked(&self, class: &Class) -> Option<Blocked> {
        self.class_blocked_among(class, &self.serving(class))
    }

    fn class_blocked_among(&self, class: &Class, serving: &[usize]) -> Option<Blocked> {
        if class.runner == TRIGGERER {
            return self.full_cap(class);
        }
        let full = || (self.placed >= self.parallelism).then_some(Blocked::Parallelism { limit: self.parallelism });
        self.pool_blocked(class)
            .or_else(|| self.full_cap(class))
            .or_else(full)
            .or_else(|| self.nodes_blocked(class, serving))
    }

    /// Why this attempt cannot be placed now.
    pub fn blocked(&self, candidate: &Candidate, class: &Class) -> Option<Blocked> {
        self.blocked_among(candidate, class, &self.serving(class))
    }

    /// [`Self::blocked`], with what [`Self::serving`] says of the class.
    pub(super) fn blocked_among(&self, candidate: &Candidate, class: &Class, serving: &[usize]) -> Option<Blocked> {
        self.class_blocked_among(class, serving).or_else(|| {
            // What holds no slot does not count in its run's limit either, nor does what is no task of it.
            if class.runner == TRIGGERER || class.is_of_callbacks() {
                return None;
            }
            let active = self.runs.get(&candidate.dag_run_id).copied().unwrap_or(0);
            (active >= candidate.max_active_tasks)
                .then_some(Blocked::MaxActiveTasks { limit: candidate.max_active_tasks })
        })
    }

    /// How many attempts of the class could be placed at most: what to ask the database for.
    pub fn room(&self, class: &Class) -> u32 {
        let cap = self.cap_left(class).unwrap_or(u32::MAX);
        if class.runner == TRIGGERER {
            return cap;
        }
        let pool = match self.pools.get(&class.pool) {
            Some(pool) if pool.slots >= 0 => {
                let free = (pool.slots - pool.used).max(0);
                u32::try_from(free).unwrap_or(u32::MAX).checked_div(class.pool_slots).unwrap_or(u32::MAX)
            }
            // Nothing of a pool that does not exist is placed.
            None if !class.is_of_callbacks() => 0,
            // Without a limit, or no slots are taken from it.
            Some(_) | None => u32::MAX,
        };
        let serving = self.serving(class);
        let nodes = serving.iter().fold(0_u32, |free, &position| free.saturating_add(self.nodes[position].free()));
        pool.min(nodes).min(cap).min(self.parallelism.saturating_sub(self.placed))
    }

    /// How many attempts its `max_active_tis_per_dag` leaves a class; `None`: it has none.
    fn cap_left(&self, class: &Class) -> Option<u32> {
        let cap = class.cap.as_ref()?;
        Some(cap.limit.saturating_sub(self.caps.get(&cap.of).copied().unwrap_or(0)))
    }

    fn full_cap(&self, class: &Class) -> Option<Blocked> {
        let limit = class.cap.as_ref()?.limit;
        (self.cap_left(class) == Some(0)).then_some(Blocked::MaxActiveTisPerDag { limit })
    }

    /// Why the pool has no room for the class.
    fn pool_blocked(&self, class: &Class) -> Option<Blocked> {
        if class.is_of_callbacks() {
            return None;
        }
        let needs = class.pool_slots;
        let Some(pool) = self.pools.get(&class.pool) else {
            return Some(Blocked::PoolMissing { pool: class.pool.clone() });
        };
        if pool.slots < 0 {
            return None;
        }
        if i64::from(needs) > pool.slots {
            return Some(Blocked::PoolTooSmall { pool: class.pool.clone(), slots: pool.slots, needs });
        }
        let (used, slots) = (pool.used, pool.slots);
        (used + i64::from(needs) > slots).then(|| Blocked::PoolFull { pool: class.pool.clone(), used, slots, needs })
    }

    /// Why no node takes the class, by what lacks first: a queue, a label, a node that takes work, a slot.
    fn nodes_blocked(&self, class: &Class, serving: &[usize]) -> Option<Blocked> {
        let serving = || serving.iter().map(|&position| &self.nodes[position]);
        if serving().any(|node| node.free() > 0) {
            return None;
        }
        let (live, gone): (Vec<&Node>, Vec<&Node>) = serving().partition(|node| node.is_active());
        let away: Vec<AwayNode> =
            gone.iter().map(|node| AwayNode { name: node.name.clone(), state: node.state }).collect();
        Some(if !live.is_empty() {
            let slots = live.iter().fold(0_u32, |slots, node| slots.saturating_add(node.slots));
            Blocked::NodesFull { nodes: live.iter().map(|node| node.name.clone()).collect(), slots, away }
        } else if !away.is_empty() {
            Blocked::NodesAway { nodes: away }
        } else {
            self.nothing_suits(class)
        })
    }

    /// Why no node, of whatever state, suits the class.
    fn nothing_suits(&self, class: &Class) -> Blocked {
        let queue = class.queue.clone();
        let of_queue: Vec<&Node> = self.nodes.iter().filter(|node| node.serves_queue(&queue)).collect();
        if of_queue.is_empty() {
            let live_nodes = self.nodes.iter().filter(|node| node.is_active()).count();
            return Blocked::NoNodeForQueue { queue, live_nodes };
        }
        let lacks = |label: &str, wanted: &[String]| !of_queue.iter().any(|node| node.has_label(label, wanted));
        let mut labels = class.selector.clone();
        labels.retain(|label, wanted| lacks(label, wanted));
        if labels.is_empty() {
            labels.clone_from(&class.selector);
        }
        Blocked::NoNodeWithLabels { queue, labels }
    }
}
