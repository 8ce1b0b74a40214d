//! The webserver as its clients see it: the router on a fresh database, seeded by SQL.

mod auth;
mod contract;
mod errors;
mod logs;
mod mutations;
mod reads;
mod support;
