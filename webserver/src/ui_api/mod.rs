//! `/ui`: what the dashboard needs beyond Airflow's API. Ours to change with the dashboard.

pub(crate) mod events;
pub(crate) mod executors;
pub(crate) mod log_bytes;
pub(crate) mod me;
pub(crate) mod notifications;
pub(crate) mod tokens;
pub(crate) mod tries;
pub(crate) mod users;
pub(crate) mod why;
