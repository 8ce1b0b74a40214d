//! The server's side of executor nodes against a real Postgres.
#![expect(clippy::unwrap_used, reason = "a test ends where something it needs does not work")]

mod backlog;
mod callback;
mod delete;
mod hand_out;
mod limits;
mod liveness;
mod reconcile;
mod register;
mod report;
mod seed;
mod starvation;
mod values;
