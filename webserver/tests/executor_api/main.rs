//! `/executor/v1` as nodes see it, against a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs does not work")]

#[expect(dead_code, reason = "the store's tests need more of it")]
#[path = "../../../store/tests/nodes/seed.rs"]
mod seed;

mod attempts;
mod client;
mod node;
mod poll;
mod report;
