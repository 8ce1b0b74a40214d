//! The pure domain of Updraft: what a DAG is, what a run's next steps are, where a task may run, what a template renders to.
//!
//! Nothing in this crate performs I/O, reads a clock, an environment variable or a random number: time and every other
//! input enters as a value, and every decision leaves as a value that the edges (store, scheduler, executor, webserver) act on.
//! That is what lets one property test check a decision for thousands of histories, and what makes two schedulers agree.
//!
//! Where to start reading:
//! * [`dag`]: the compiled DAG, what everything else speaks about; [`yaml`]: how a file becomes one, or diagnostics;
//! * [`state`]: the states and the one transition table; [`plan`]: what a run does next; [`dispatch`]: which node gets what, [`lease`]: and whether it is there;
//!   [`explain`]: why something does not run; [`invariants`]: what holds whatever happens; [`notify`]: who is told what;
//! * [`timetable`]: when runs are due; [`asset`]: and what for; [`mapping`]: the instances of a mapped task;
//!   [`template`]: how a task's fields are rendered (on the node); [`triggerer`]: operators that need only the database;
//! * [`param`]: what values params take; [`outline`]: the order in which people read a DAG; [`identity`]: names and roles of people.

pub mod ahead;
pub mod asset;
pub mod backfill;
pub mod connection;
pub mod dag;
pub mod diagnostic;
pub mod dispatch;
mod execution;
pub mod explain;
pub mod failpoint;
pub mod failure;
pub mod identity;
pub mod ids;
pub mod invariants;
pub mod lease;
pub mod mapping;
pub mod mask;
pub mod metrics;
pub mod notify;
pub mod operator;
pub mod outline;
pub mod param;
pub mod plan;
pub mod redact;
pub mod scopes;
pub mod secret_source;
pub mod spec;
pub mod state;
pub mod template;
pub mod timetable;
pub mod triggerer;
pub mod yaml;
