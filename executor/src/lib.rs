//! The executor node: takes attempts from a webserver, runs them, and reports what became of them.
//!
//! A node holds no database credentials and listens on nothing: it speaks `/executor/v1` (`updraft_protocol`), always
//! outbound. What it knows of its attempts is in its data folder ([`journal`]), so that a `kill -9` between any two steps loses
//! neither a result nor a container. Logs never decide a task's state, and nothing here decides whether a task runs: that is
//! the scheduler's.
//!
//! Where to start reading: [`agent`] (register, poll, reconcile, stop), [`attempt`] (one attempt from hand-out to report),
//! [`runner`] (processes, containers), [`logs`] and [`report`] (what leaves the node). `docs/executor-protocol.md` tells it
//! from the wire's side.

mod agent;
mod attempt;
mod bundle;
mod client;
mod clock;
mod config;
mod desktop;
mod doctor;
mod guardian;
mod identity;
mod journal;
mod logs;
mod measure;
mod node;
mod outcome;
mod registration;
mod render;
mod report;
mod runner;
mod stats;

pub use agent::run;
pub use config::{Config, DockerMode, ExecutorError};
pub use doctor::{Finding, Level, examine};
pub use render::template_ref;
