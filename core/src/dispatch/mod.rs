//! Where and when: which waiting attempt goes to which node, and why one does not.
//!
//! Called under the dispatch lock with counts read after it. Candidates come per *class* (what dispatch treats alike), at most
//! as many as the class has room for and at most as many of a run as its `max_active_tasks` leaves, so that a full pool or a
//! capped run never hides what could run elsewhere, and the cost grows with the free slots, not with the backlog.
//!
//! [`Capacity`] says whether there is room, [`Strategy`] which node of those with room, [`place`] brings them together, and
//! [`Blocked`] is why not.

mod blocked;
mod capacity;
mod node;
mod place;
mod strategy;
#[cfg(test)]
mod tests;

use indexmap::IndexMap;

pub use self::{
    blocked::{AwayNode, Blocked},
    capacity::{Capacity, Pool},
    node::{Node, NodeState},
    place::{Dispatch, Placement, place},
    strategy::{Strategies, Strategy, UnknownStrategy, affinity},
};
use crate::ids::AttemptId;

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
    /// Labels the node must have, each with the values that will do.
    pub selector: IndexMap<String, Vec<String>>,
    /// The runner it needs: `process`, `docker`, `native`, or [`TRIGGERER`].
    pub runner: String,
    pub cap: Option<Cap>,
}

impl Class {
    /// Callbacks are no tasks of their run: they take no slots of a pool and count for no `max_active_tasks`.
    pub const fn is_of_callbacks(&self) -> bool {
        self.pool_slots == 0
    }
}

/// `max_active_tis_per_dag`. Classes of one task share the count: a new version may give it another pool, queue or limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// DAG and task.
    pub of: String,
    pub limit: u32,
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
    /// What [`Strategy::ConsistentHash`] keeps together: see [`affinity()`].
    pub affinity: u64,
}
