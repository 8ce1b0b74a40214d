//! What a decision needs beyond the run's rows. Plan asks for it by name and is asked again with the answers: most runs need none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::run_state::Past;
use crate::{
    ids::TaskId,
    spec::RunContext,
    template::{Ref, Resolved},
};

/// Something to load before the run can be planned to the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The previous run, for `depends_on_past`.
    Past,
    /// How many elements the result of a task has, for a mapping over it.
    Length { task_id: TaskId, key: String },
    /// The facts that templates may name.
    Context,
    /// A value that a template of the scheduler's (`when`, `foreach`) names.
    Value(Ref),
}

/// What was loaded. Never kept beyond one plan: it is not under the run's lock.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub past: Option<Past>,
    /// `None`: nothing was pushed, or it is neither a list nor a mapping.
    pub lengths: BTreeMap<(TaskId, String), Option<usize>>,
    pub context: Option<Arc<RunContext>>,
    pub values: Resolved,
}

/// Needs, each once, in one order.
pub type Needs = BTreeSet<Need>;
