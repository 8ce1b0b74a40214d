//! Assets: what DAGs say of them, what happens to them, and the runs that come of it (semantics §15).
//!
//! [`register`] and [`forget`] keep the references of a DAG, under its lock. [`emit`] writes events and, in the same statement,
//! one queue row for each event and consumer; it takes no lock on either; plans do so for tasks with outlets. [`create_due`] makes the runs, under the `dag` row: it
//! takes queue rows and leaves `dag_run_asset_event` rows in their place, so that each consumer takes each event once.

mod due;
mod events;
mod outlets;
mod queue;
mod register;
mod triggering;

pub(crate) use self::outlets::emit_outlets;
pub use self::{
    due::create_due,
    events::{NewEvent, Source, emit},
    queue::{Queued, dequeue, queued},
    register::{Conflict, forget, register},
    triggering::triggering,
};
