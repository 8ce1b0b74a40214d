//! Integration tests: the real binary, a real Postgres, one test binary. `make test` sets up what they need.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, in its helpers too")]

#[path = "../scenarios/mod.rs"]
mod scenario_files;
#[path = "../support/mod.rs"]
mod support;

mod big_log;
mod cancel;
mod cli;
mod clients;
mod deploy;
mod doctor;
mod events;
mod failures;
mod fleet;
mod git;
mod kill;
mod metrics;
mod notify;
mod object_store;
mod outage;
mod partition;
mod prewarm;
mod scenarios;
mod scheduling;
mod silence;
mod standalone;
mod tls;
mod tour;
mod triggerer;
mod users;
mod workspace;
