//! Everything Updraft says to Postgres: every SQL statement, the embedded migrations, the wake-ups.
//!
//! Postgres is the only state. This crate owns how rows are locked and in which order (dag → dag_run by id → dispatch →
//! attempt → task_instance; multi-row writes sorted by key), and offers one function per use case. It decides nothing:
//! decisions are `updraft_core`'s, functions here load what a decision needs and write what it says.
//!
//! Where to start reading: [`Store`] (connections and their session settings), [`wake`] (NOTIFY and the in-process bell),
//! [`plan`] (the run lock), [`dispatch`] (the dispatch lock), [`outbox`] (what is told to people and programs).

pub mod assets;
pub mod audit;
pub mod backfill;
pub mod bucket;
pub mod bundles;
pub mod check;
mod connect;
pub mod connections;
pub mod crypto;
pub mod dags;
pub mod deadlines;
pub mod delete_dag;
pub mod dispatch;
mod error;
pub mod explain;
pub mod favorites;
pub mod gauges;
pub mod hitl;
pub mod identity;
pub mod jobs;
pub mod liveness;
pub mod log_retention;
pub mod nodes;
pub mod objects;
mod opaque;
pub mod outbox;
pub mod plan;
pub mod pools;
pub mod probe;
pub mod query;
pub mod resolve;
pub mod rotate;
pub mod runs;
pub mod sources;
pub mod state_store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod triggerer;
pub mod variables;
pub mod versions;
pub mod waiting;
pub mod wake;
pub mod xcom;

pub use connect::{Store, StoreConfig};
pub use error::StoreError;
/// One connection, inside a transaction or not; what most functions here take.
pub use sqlx::PgConnection;

/// What [`Store::begin`] gives.
pub type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;
