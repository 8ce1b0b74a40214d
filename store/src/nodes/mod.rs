//! The server's side of executor nodes: tokens, registration, hand-out, reports, reconciliation.
//!
//! Called by the webserver's `/executor/v1` only. It decides *how far* an attempt came (`handed_at`, `started_at`) and writes the
//! inbox (`task_event`), XComs and logs' whereabouts; *whether* a task runs is plan's, *where* is dispatch's. Every write names
//! the attempt and its node; hitting no row means that the word is stale, not an error.
//!
//! The bodies of the events written here, which plan reads, are [`inbox`]'s types.

mod drain;
pub mod inbox;
mod poll;
mod reconcile;
mod register;
mod report;
mod spec;
mod stamp;
mod tokens;
mod values;

pub use drain::set_drained;
pub use poll::{
    Cancel, HandOut, Handed, Heartbeat, LOOKS_KEPT, LogPlace, begin_poll, forget_looks, hand_out, log_places, old_looks,
};
pub(crate) use reconcile::interval;
pub use reconcile::{NodeAttempt, NodeAttemptState, Reconciled, over, reconcile};
pub use register::{NewNode, Registration, register};
pub use report::{Ended, Event, EventBody, NodeReport, Process, Verdict, report};
pub use spec::{Loaded, ResolvedRef, Start, next, starts};
pub(crate) use spec::{Run, previous_runs, run_facts, specs};
pub use stamp::stamp;
pub use tokens::{TokenId, TokenRow, authenticate_token, create_token, list_tokens, revoke_token};
pub use values::{Put, bundle_size, bundle_slice, put_xcom, resolve};
