//! What a plan changes, for those who act on it: callbacks, notifications, asset events.

use super::{Key, Plan, RunState, Ti};
use crate::{
    dag::Task,
    state::{DagRunState, TaskInstanceState},
};

/// An instance whose state the plan changes.
#[derive(Clone, Copy, Debug)]
pub struct Transition<'a> {
    pub key: Key,
    pub task: &'a Task,
    pub from: TaskInstanceState,
    /// As it is after the plan.
    pub ti: &'a Ti,
}

/// Every change of state of a plan.
#[derive(Clone, Debug, Default)]
pub struct Transitions<'a> {
    pub instances: Vec<Transition<'a>>,
    /// The run's state before and after, where it changes.
    pub run: Option<(DagRunState, DagRunState)>,
}

/// What `plan` changes in `state`, the state it was made from.
pub fn transitions<'a>(state: &'a RunState, plan: &'a Plan) -> Transitions<'a> {
    let instances = plan.tis.iter().filter_map(|(&key, ti)| {
        let before = state.ti(key);
        let from = before.map_or(TaskInstanceState::None, |ti| ti.state);
        // A new try that ends where the last one ended is a change all the same.
        let again = before.is_some_and(|before| before.try_number != ti.try_number);
        (from != ti.state || again).then(|| Transition { key, task: &state.dag.tasks[key.task], from, ti })
    });
    let run = plan.run.as_ref().map(|run| (state.run.state, run.state)).filter(|(from, to)| from != to);
    Transitions { instances: instances.collect(), run }
}
