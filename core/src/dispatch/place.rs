//! One pass: candidates to nodes.

use std::collections::{BTreeMap, HashMap};

use super::{Blocked, Candidate, Capacity, Class, Node, Strategies, TRIGGERER, strategy};
use crate::ids::AttemptId;

/// An attempt and the node it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    pub attempt: AttemptId,
    pub executor_id: i64,
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

/// Places candidates, highest priority first (ties as given: the database's order), each on the node that its queue's strategy
/// chooses of those with a free slot. Counts in `capacity` what it places, so that passes can follow one another. `draw` gives
/// random numbers, any `u64` as likely as any other.
#[expect(clippy::implicit_hasher, reason = "one caller, one map")]
pub fn place(
    capacity: &mut Capacity,
    classes: &HashMap<i64, Class>,
    candidates: &[Candidate],
    strategies: &Strategies,
    draw: &mut dyn FnMut() -> u64,
) -> Dispatch {
    let mut order: Vec<&Candidate> = candidates.iter().collect();
    order.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority_weight));
    let mut turn = capacity.nodes.iter().map(|node| node.last_assigned).max().unwrap_or(0);
    let mut serving: HashMap<i64, Vec<usize>> = HashMap::new();
    let mut dispatch = Dispatch::default();
    for candidate in order {
        let Some(class) = classes.get(&candidate.class_id) else { continue };
        let serving = serving.entry(class.id).or_insert_with(|| capacity.serving(class));
        match capacity.blocked_among(candidate, class, serving) {
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
            let among: Vec<&Node> = serving.iter().map(|&position| &capacity.nodes[position]).collect();
            let chosen = strategy::choose(strategies.of(&class.queue), &among, candidate.affinity, draw);
            let Some(chosen) = chosen else { continue };
            turn += 1;
            let node = &mut capacity.nodes[serving[chosen]];
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
