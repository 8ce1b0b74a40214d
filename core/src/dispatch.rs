//! Where and when: which waiting attempt goes to which node, and why one does not.
//!
//! Called under the dispatch lock with counts read after it. Candidates come per *class* (what dispatch treats alike), at most
//! as many as the class has room for and at most as many of a run as its `max_active_tasks` leaves, so that a full pool or a
//! capped run never hides what could run elsewhere, and the cost grows with the free slots, not with the backlog.

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::ids::AttemptId;

/// A live node, as dispatch sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub id: i64,
    pub name: String,
    pub slots: u32,
    /// Attempts placed on it.
    pub used: u32,
    pub labels: BTreeMap<String, String>,
    pub queues: Vec<String>,
    /// Runners that can take work now.
    pub runners: Vec<String>,
    /// When it was last given something: the smallest is next in the round.
    pub last_assigned: i64,
}

impl Node {
    fn free(&self) -> u32 {
        self.slots.saturating_sub(self.used)
    }
}

/// Pool slots; `slots` −1 is infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    pub slots: i64,
    pub used: i64,
}

/// The runner of tasks that need no node: the triggerer works on them, and they hold no slot. They pass through dispatch only
/// where `max_active_tis_per_dag` limits them.
pub const TRIGGERER: &str = "triggerer";

/// What dispatch treats alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    pub id: i64,
    pub pool: String,
    /// 0: callbacks, which are in no pool.
    pub pool_slots: u32,
    pub queue: String,
    pub selector: IndexMap<String, Vec<String>>,
    /// The runner it needs: `process`, `docker`, `native`, or [`TRIGGERER`].
    pub runner: String,
    pub cap: Option<Cap>,
}

/// `max_active_tis_per_dag`. Classes of one task share the count: a new version may give it another pool, queue or limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// DAG and task.
    pub of: String,
    pub limit: u32,
}

/// Everything that limits, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Capacity {
    /// Attempts that may be placed in the whole deployment.
    pub parallelism: u32,
    /// Attempts placed, also on nodes that are draining or lost and so not among `nodes`.
    pub placed: u32,
    pub nodes: Vec<Node>,
    pub pools: HashMap<String, Pool>,
    /// Attempts placed, by run.
    pub runs: HashMap<i64, u32>,
    /// Active attempts by [`Cap::of`]: placed, and those the triggerer works on (deferred, awaiting input).
    pub caps: HashMap<String, u32>,
}

/// A waiting attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub attempt: AttemptId,
    pub class_id: i64,
    pub dag_run_id: i64,
    /// `max_active_tasks` of its DAG: per run, as in Airflow 3.
    pub max_active_tasks: u32,
    pub priority_weight: i32,
}

/// An attempt and the node it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    pub attempt: AttemptId,
    pub executor_id: i64,
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
    /// Every node that could take it is full.
    NodesFull {
        nodes: Vec<String>,
        slots: u32,
    },
    /// No live node serves the queue with these labels.
    NoNode {
        queue: String,
        selector: IndexMap<String, Vec<String>>,
        live_nodes: usize,
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

impl Class {
    /// Callbacks are no tasks of their run: they take no slots of a pool and count for no `max_active_tasks`.
    pub const fn is_of_callbacks(&self) -> bool {
        self.pool_slots == 0
    }
}

impl Capacity {
    /// How many attempts its `max_active_tis_per_dag` leaves a class; `None`: it has none.
    fn cap_left(&self, class: &Class) -> Option<u32> {
        let cap = class.cap.as_ref()?;
        Some(cap.limit.saturating_sub(self.caps.get(&cap.of).copied().unwrap_or(0)))
    }

    fn full_cap(&self, class: &Class) -> Option<Blocked> {
        let limit = class.cap.as_ref()?.limit;
        (self.cap_left(class) == Some(0)).then_some(Blocked::MaxActiveTisPerDag { limit })
    }

    /// Whether a node serves a class. A runner that no live node has available is not asked for: the task then fails on a node
    /// with a readable reason (Docker daemon away) instead of waiting for ever.
    fn serves(&self, node: &Node, class: &Class) -> bool {
        let somewhere = self.nodes.iter().any(|node| node.runners.contains(&class.runner));
        node.queues.contains(&class.queue)
            && (!somewhere || node.runners.contains(&class.runner))
            && class.selector.iter().all(|(label, wanted)| {
                node.labels.get(label).is_some_and(|has| wanted.iter().any(|value| value == has))
            })
    }

    /// Why nothing of this class can be placed now; `None` when something can.
    pub fn class_blocked(&self, class: &Class) -> Option<Blocked> {
        if class.runner == TRIGGERER {
            return self.full_cap(class);
        }
        if let Some(blocked) = self.pool_blocked(class) {
            return Some(blocked);
        }
        if let Some(full) = self.full_cap(class) {
            return Some(full);
        }
        if self.placed >= self.parallelism {
            return Some(Blocked::Parallelism { limit: self.parallelism });
        }
        let serving: Vec<&Node> = self.nodes.iter().filter(|node| self.serves(node, class)).collect();
        if serving.is_empty() {
            let (queue, selector) = (class.queue.clone(), class.selector.clone());
            return Some(Blocked::NoNode { queue, selector, live_nodes: self.nodes.len() });
        }
        if serving.iter().all(|node| node.free() == 0) {
            let slots = serving.iter().map(|node| node.slots).sum();
            return Some(Blocked::NodesFull { nodes: serving.iter().map(|node| node.name.clone()).collect(), slots });
        }
        None
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

    /// Why this attempt cannot be placed now.
    pub fn blocked(&self, candidate: &Candidate, class: &Class) -> Option<Blocked> {
        // What holds no slot does not count in its run's limit either, nor does what is no task of it.
        if class.runner == TRIGGERER || class.is_of_callbacks() {
            return self.class_blocked(class);
        }
        self.class_blocked(class).or_else(|| {
            let active = self.runs.get(&candidate.dag_run_id).copied().unwrap_or(0);
            (active >= candidate.max_active_tasks)
                .then_some(Blocked::MaxActiveTasks { limit: candidate.max_active_tasks })
        })
    }

    /// How many attempts of the class could be placed at most: what to ask the database for.
    pub fn room(&self, class: &Class) -> u32 {
        if self.class_blocked(class).is_some() {
            return 0;
        }
        let cap = self.cap_left(class).unwrap_or(u32::MAX);
        if class.runner == TRIGGERER {
            return cap;
        }
        let pool = match self.pools.get(&class.pool) {
            Some(pool) if pool.slots >= 0 => {
                let free = (pool.slots - pool.used).max(0);
                u32::try_from(free).unwrap_or(u32::MAX).checked_div(class.pool_slots).unwrap_or(u32::MAX)
            }
            // Without a limit, or no slots are taken from it.
            Some(_) | None => u32::MAX,
        };
        let nodes: u32 = self.nodes.iter().filter(|node| self.serves(node, class)).map(Node::free).sum();
        pool.min(nodes).min(cap).min(self.parallelism.saturating_sub(self.placed))
    }
}

/// What one pass decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dispatch {
    pub placements: Vec<Placement>,
    /// Attempts that the triggerer may begin.
    pub begun: Vec<AttemptId>,
    /// Nodes that were given something, with their new turn.
    pub turns: BTreeMap<i64, i64>,
    /// Runs that came to their `max_active_tasks`, whose further candidates were passed over: ask again without them.
    pub capped_runs: Vec<i64>,
}

/// Places candidates, highest priority first (ties as given: the database's order), each on the serving node whose turn it is
/// (round-robin by `last_assigned`). Counts in `capacity` what it places, so that passes can follow one another.
#[expect(clippy::implicit_hasher, reason = "one caller, one map")]
pub fn place(capacity: &mut Capacity, classes: &HashMap<i64, Class>, candidates: &[Candidate]) -> Dispatch {
    let mut order: Vec<&Candidate> = candidates.iter().collect();
    order.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority_weight));
    let mut turn = capacity.nodes.iter().map(|node| node.last_assigned).max().unwrap_or(0);
    let mut dispatch = Dispatch::default();
    for candidate in order {
        let Some(class) = classes.get(&candidate.class_id) else { continue };
        match capacity.blocked(candidate, class) {
            Some(Blocked::MaxActiveTasks { .. }) => {
                if !dispatch.capped_runs.contains(&candidate.dag_run_id) {
                    dispatch.capped_runs.push(candidate.dag_run_id);
                }
                continue;
            }
            Some(_) => continue,
            None => {}
        }
        if class.runner == TRIGGERER {
            dispatch.begun.push(candidate.attempt);
        } else {
            let Some(index) = next_node(capacity, class) else { continue };
            turn += 1;
            let node = &mut capacity.nodes[index];
            node.used += 1;
            node.last_assigned = turn;
            dispatch.turns.insert(node.id, turn);
            dispatch.placements.push(Placement { attempt: candidate.attempt, executor_id: node.id });
            capacity.placed += 1;
            if !class.is_of_callbacks() {
                *capacity.runs.entry(candidate.dag_run_id).or_default() += 1;
            }
            if let Some(pool) = capacity.pools.get_mut(&class.pool) {
                pool.used += i64::from(class.pool_slots);
            }
        }
        if let Some(cap) = &class.cap {
            *capacity.caps.entry(cap.of.clone()).or_default() += 1;
        }
    }
    dispatch
}

/// The serving node with a free slot that was assigned longest ago.
fn next_node(capacity: &Capacity, class: &Class) -> Option<usize> {
    capacity
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.free() > 0 && capacity.serves(node, class))
        .min_by_key(|(_, node)| (node.last_assigned, node.id))
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn node(id: i64, slots: u32) -> Node {
        Node {
            id,
            name: format!("n{id}"),
            slots,
            used: 0,
            labels: BTreeMap::new(),
            queues: vec!["default".into()],
            runners: vec!["process".into(), "native".into()],
            last_assigned: 0,
        }
    }

    fn class(id: i64, pool: &str) -> Class {
        Class {
            id,
            pool: pool.into(),
            pool_slots: 1,
            queue: "default".into(),
            selector: IndexMap::new(),
            runner: "process".into(),
            cap: None,
        }
    }

    fn candidates(class_id: i64, run: i64, count: u128) -> Vec<Candidate> {
        (0..count)
            .map(|n| Candidate {
                attempt: AttemptId(Uuid::from_u128(u128::from(class_id.unsigned_abs()) << 64 | n)),
                class_id,
                dag_run_id: run,
                max_active_tasks: 1_000_000,
                priority_weight: 1,
            })
            .collect()
    }

    fn capacity(nodes: Vec<Node>) -> Capacity {
        let pools = [("default_pool".to_owned(), Pool { slots: 128, used: 0 })].into();
        Capacity { parallelism: 1000, nodes, pools, ..Capacity::default() }
    }

    fn nodes_of(dispatch: &Dispatch) -> Vec<i64> {
        dispatch.placements.iter().map(|placement| placement.executor_id).collect()
    }

    #[test]
    fn nodes_take_turns() {
        let mut capacity = capacity(vec![node(1, 10), node(2, 10), node(3, 10)]);
        let classes: HashMap<i64, Class> = [(1, class(1, "default_pool"))].into();
        let first = place(&mut capacity, &classes, &candidates(1, 1, 4));
        assert_eq!(nodes_of(&first), [1, 2, 3, 1]);
        // The turn is in the nodes' column: a second pass (another scheduler, a restart) goes on where the first ended.
        let second = place(&mut capacity, &classes, &candidates(1, 2, 2));
        assert_eq!(nodes_of(&second), [2, 3]);
    }

    #[test]
    fn a_full_node_is_passed_over_and_the_round_goes_on() {
        let mut capacity = capacity(vec![node(1, 1), node(2, 3)]);
        let classes: HashMap<i64, Class> = [(1, class(1, "default_pool"))].into();
        let dispatch = place(&mut capacity, &classes, &candidates(1, 1, 9));
        assert_eq!(nodes_of(&dispatch), [1, 2, 2, 2]);
        assert!(matches!(capacity.class_blocked(&classes[&1]), Some(Blocked::NodesFull { slots: 4, .. })));
    }

    #[test]
    fn a_full_pool_does_not_hide_another() {
        let mut capacity = capacity(vec![node(1, 200)]);
        capacity.pools.insert("full".into(), Pool { slots: 2, used: 2 });
        let classes: HashMap<i64, Class> = [(1, class(1, "full")), (2, class(2, "default_pool"))].into();
        assert_eq!(capacity.room(&classes[&1]), 0);
        let all: Vec<_> = candidates(1, 1, 1000).into_iter().chain(candidates(2, 2, 100)).collect();
        assert_eq!(place(&mut capacity, &classes, &all).placements.len(), 100);
    }

    #[test]
    fn higher_priority_goes_first_and_smaller_tasks_may_pass_a_big_one() {
        let mut capacity = capacity(vec![node(1, 10)]);
        capacity.pools.insert("p".into(), Pool { slots: 3, used: 0 });
        let big = Class { pool_slots: 2, ..class(1, "p") };
        let classes: HashMap<i64, Class> = [(1, big), (2, class(2, "p"))].into();
        let mut wanted = candidates(1, 1, 2);
        for candidate in &mut wanted {
            candidate.priority_weight = 9;
        }
        wanted.extend(candidates(2, 1, 2));
        let placed: Vec<_> = place(&mut capacity, &classes, &wanted).placements.iter().map(|p| p.attempt).collect();
        assert_eq!(placed, [wanted[0].attempt, wanted[2].attempt]);
    }

    #[test]
    fn a_capped_run_is_named_so_that_its_class_can_be_asked_again() {
        let mut capacity = capacity(vec![node(1, 10)]);
        let classes: HashMap<i64, Class> = [(1, class(1, "default_pool"))].into();
        let mut wanted = candidates(1, 7, 3);
        for candidate in &mut wanted {
            candidate.max_active_tasks = 2;
        }
        let dispatch = place(&mut capacity, &classes, &wanted);
        assert_eq!(dispatch.placements.len(), 2);
        assert_eq!(dispatch.capped_runs, [7]);
    }

    #[test]
    fn a_callback_takes_a_node_slot_and_none_of_a_pool_or_its_run() {
        let mut capacity = capacity(vec![node(1, 3)]);
        capacity.pools.insert("p".into(), Pool { slots: 1, used: 1 });
        let classes: HashMap<i64, Class> =
            [(1, class(1, "default_pool")), (2, Class { pool_slots: 0, ..class(2, "") })].into();
        assert_eq!(capacity.room(&classes[&2]), 3);
        let limited = |task| Candidate { max_active_tasks: 1, ..task };
        let mut wanted: Vec<_> = candidates(1, 7, 1).into_iter().map(limited).collect();
        wanted.extend(candidates(2, 7, 2).into_iter().map(limited));
        wanted.extend(candidates(1, 7, 1).into_iter().map(limited));
        let dispatch = place(&mut capacity, &classes, &wanted);
        assert_eq!(dispatch.placements.len(), 3, "one task of the run, and two callbacks after it");
        assert_eq!(dispatch.placements[1].attempt, wanted[1].attempt);
        assert_eq!((capacity.runs[&7], capacity.placed), (1, 3));
        capacity.parallelism = 3;
        assert_eq!(capacity.class_blocked(&classes[&2]), Some(Blocked::Parallelism { limit: 3 }));
    }

    #[test]
    fn parallelism_counts_what_is_placed_on_nodes_that_take_nothing_more() {
        let mut capacity = capacity(vec![node(1, 10)]);
        (capacity.parallelism, capacity.placed) = (5, 3);
        let classes: HashMap<i64, Class> = [(1, class(1, "default_pool"))].into();
        assert_eq!(capacity.room(&classes[&1]), 2, "three run on a node that drains");
        assert_eq!(place(&mut capacity, &classes, &candidates(1, 1, 9)).placements.len(), 2);
        assert_eq!(capacity.class_blocked(&classes[&1]), Some(Blocked::Parallelism { limit: 5 }));
    }

    #[test]
    fn a_tasks_cap_is_shared_by_its_classes_and_holds_for_the_triggerer_too() {
        let mut capacity = capacity(vec![node(1, 10)]);
        let cap = |limit| Some(Cap { of: "d/t".into(), limit });
        let old = Class { cap: cap(2), ..class(1, "default_pool") };
        let new = Class { cap: cap(3), runner: TRIGGERER.into(), ..class(2, "no such pool") };
        let classes: HashMap<i64, Class> = [(1, old), (2, new)].into();
        let all: Vec<_> = candidates(1, 1, 9).into_iter().chain(candidates(2, 2, 9)).collect();
        let dispatch = place(&mut capacity, &classes, &all);
        assert_eq!((dispatch.placements.len(), dispatch.begun.len()), (2, 1));
        assert_eq!(capacity.placed, 2, "the triggerer's holds no slot");
        assert_eq!(capacity.class_blocked(&classes[&2]), Some(Blocked::MaxActiveTisPerDag { limit: 3 }));
    }

    #[test]
    fn labels_and_queues_choose_the_node() {
        let mut gpu = node(2, 5);
        gpu.labels.insert("gpu".into(), "true".into());
        gpu.queues = vec!["ml".into()];
        let mut capacity = capacity(vec![node(1, 5), gpu]);
        let mut wanted = class(1, "default_pool");
        wanted.queue = "ml".into();
        wanted.selector.insert("gpu".into(), vec!["true".into(), "yes".into()]);
        let mut classes: HashMap<i64, Class> = [(1, wanted)].into();
        assert_eq!(nodes_of(&place(&mut capacity, &classes, &candidates(1, 1, 2))), [2, 2]);
        classes.get_mut(&1).unwrap().queue = "nobody".into();
        let blocked = capacity.class_blocked(&classes[&1]);
        assert!(matches!(blocked, Some(Blocked::NoNode { live_nodes: 2, .. })), "{blocked:?}");
    }

    #[test]
    fn docker_tasks_prefer_nodes_whose_daemon_answers_and_fail_readably_where_none_does() {
        let mut with_docker = node(2, 5);
        with_docker.runners.push("docker".into());
        let mut capacity = capacity(vec![node(1, 5), with_docker]);
        let classes: HashMap<i64, Class> = [(1, Class { runner: "docker".into(), ..class(1, "default_pool") })].into();
        assert_eq!(nodes_of(&place(&mut capacity, &classes, &candidates(1, 1, 2))), [2, 2]);
        capacity.nodes.pop();
        assert_eq!(nodes_of(&place(&mut capacity, &classes, &candidates(1, 1, 1))), [1]);
    }

    #[test]
    fn reasons_name_their_numbers() {
        let mut capacity = capacity(vec![node(1, 5)]);
        capacity.pools.insert("p".into(), Pool { slots: 5, used: 5 });
        let full = capacity.class_blocked(&class(1, "p"));
        assert_eq!(full, Some(Blocked::PoolFull { pool: "p".into(), used: 5, slots: 5, needs: 1 }));
        assert_eq!(capacity.class_blocked(&class(1, "no")), Some(Blocked::PoolMissing { pool: "no".into() }));
        capacity.parallelism = 0;
        let limit = capacity.class_blocked(&class(1, "default_pool"));
        assert_eq!(limit, Some(Blocked::Parallelism { limit: 0 }));
    }
}
