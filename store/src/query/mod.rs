//! Read models of the REST API: one module per screen, one SELECT text per entity, filters added by [`filter`].
//!
//! Nothing here locks or decides. A list never runs a query per row, and counts only when the page does not already say how
//! many there are.

pub mod assets;
pub mod calendar;
pub mod changes;
pub mod dag_overview;
pub mod dag_runs;
pub mod dag_warnings;
pub mod dags;
pub mod event_logs;
pub mod executors;
pub mod filter;
pub mod grid;
pub mod health;
pub mod hitl;
pub mod home;
pub mod import_errors;
pub mod jobs;
pub mod needs;
pub mod pool_use;
pub mod search;
pub mod seek;
pub mod task_instances;
pub mod totals;
pub mod versions;
pub mod xcoms;
