//! Integration tests: the real binary, a real Postgres, one test binary. `make test` sets up what they need.

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod standalone;
mod workspace;
