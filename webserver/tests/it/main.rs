//! The webserver as its clients see it: the router on a fresh database, seeded by SQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../../tests/support/airflow.rs"]
mod airflow;
mod assets;
mod auth;
mod backfills;
mod bulk;
mod connection_tests;
mod contract;
mod dag_changes;
mod dashboard;
mod differences;
mod errors;
mod events;
mod executors;
mod filters;
mod groups;
mod hitl;
mod identity;
mod logs;
mod marks;
mod mutations;
mod oidc;
mod permissions;
mod reads;
mod reparse;
mod secrets;
mod states;
mod support;
mod tls;
mod truthful;
mod waits;
