//! What the webserver tells plan: the kinds and bodies of `task_event` rows that come from nodes.
//!
//! All instants are Postgres' (`now()` of the writing transaction minus the age that the node measured).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use updraft_core::spec::{Decision, Execution, FailureClass, Outcome};

/// `task_event.kind`: the node confirmed the start. Body: [`Started`].
pub const STARTED: &str = "started";
/// `task_event.kind`: the attempt ended, complete in itself. Body: [`Finished`].
pub const FINISHED: &str = "finished";
/// `task_event.kind`: a cancelled attempt is gone. The attempt row no longer exists; the row's task instance waits for this.
/// Body: `{}`.
pub const STOPPED: &str = "stopped";
/// `task_event.kind`: the attempt will never be heard of again. Body: [`Lost`].
pub const LOST: &str = "lost";

/// `task_event.kind`: it waits for something without a slot. Body: `{}`.
pub const DEFERRED: &str = "deferred";
/// `task_event.kind`: it waits for a person. Body: `{}`.
pub const AWAITING_INPUT: &str = "awaiting_input";
/// `task_event.kind`: look at the run; something outside it changed (an earlier run, a setting). No attempt. Body: `{}`.
pub const LOOK: &str = "look";

/// `task_event.kind`: the node took the attempt and did not start it in time; from the janitor. Body: `{}`.
pub const LAUNCH_TIMEOUT: &str = "launch_timeout";

/// The body of [`STARTED`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The node's name.
    pub hostname: String,
    pub pid: Option<i32>,
    pub started_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered_map_index: Option<String>,
}

/// The body of [`FINISHED`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    pub outcome: Outcome,
    /// The node's name.
    pub hostname: String,
    pub pid: Option<i32>,
    pub started_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,
    pub ended_at: DateTime<Utc>,
    pub exit_code: Option<i64>,
    pub failure_class: Option<FailureClass>,
    pub failure_reason: Option<String>,
    #[serde(default)]
    pub no_retry: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_delay_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    pub rendered_fields: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered_map_index: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlet_events: Option<Value>,
}

/// The body of [`LOST`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// It was handed out, so it may have been started: it costs a try and obeys `on_lost`. Otherwise it is placed anew for free.
    pub handed: bool,
    /// For people.
    pub reason: String,
}
