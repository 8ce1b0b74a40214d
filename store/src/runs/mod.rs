//! DAG runs as a whole: making them, starting them, and what users do to them.
//!
//! Runs are created and started under their `dag` row (`max_active_runs`); everything else here holds one run's lock.
//! Callers commit, then ring: [`Signal::Dags`](crate::wake::Signal::Dags) after [`trigger`] and [`create_due`],
//! [`Outcome::ring`] or [`Deleted::ring`] after the mutations.

mod adopt;
mod again;
pub(crate) mod batch;
mod create;
mod delete;
mod due;
mod held;
pub(crate) mod instances;
mod mutate;
mod start;
mod streak;

pub use self::{
    adopt::adopt,
    create::{HeldDag, NewRun, Trigger, TriggerError, hold_dag, trigger, trigger_as, trigger_held},
    delete::{Deleted, delete, delete_instances},
    due::{create_due, next_due, prepare},
    held::{Mutated, Outcome},
    instances::Blueprints,
    mutate::{ClearRequest, MarkRequest, add_new_tasks, clear, hold_all, mark, mark_instances},
    start::{StartedRun, next_start, start_queued},
    streak::pause_failing,
};
pub(crate) use self::{
    again::{Reprocess, reprocess},
    create::insert,
    delete::delete_locked,
};
