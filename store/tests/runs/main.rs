//! Runs as a whole against a real Postgres: due ones, backfills, streaks of failures, the versions they follow.
#![expect(clippy::unwrap_used, reason = "a test ends where something it needs does not work")]

mod adopt;
mod backfill;
mod check;
mod delete;
mod due;
mod log_retention;
mod past;
mod seed;
mod start;
mod streak;
mod versions;
