//! DAG runs as a whole: making them, starting them, and what users do to them.
//!
//! Runs are created and started under their `dag` row (`max_active_runs`); everything else here holds one run's lock.
//! Callers commit, then ring: [`Signal::Dags`](crate::wake::Signal::Dags) after [`trigger`] and [`create_due`],
//! [`Outcome::ring`] after the mutations.

mod adopt;
pub(crate) mod batch;
mod create;
mod due;
pub(crate) mod instances;
mod mutate;
mod start;
mod streak;

pub use self::{
    adopt::adopt,
    create::{NewRun, Trigger, TriggerError, trigger, trigger_as},
    due::{create_due, next_due, prepare},
    instances::Blueprints,
    mutate::{ClearRequest, Mutated, Outcome, clear, delete, mark},
    start::{next_start, start_queued},
    streak::pause_failing,
};
pub(crate) use self::{
    create::insert,
    mutate::{Reprocess, reprocess},
};
