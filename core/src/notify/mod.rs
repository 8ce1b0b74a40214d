//! Who is told what: from what changed in a run to the notices that leave it.
//!
//! [`of_plan`] decides, when a plan is written, which callbacks of the file apply; the notices are stored with
//! the plan, so that none is lost and none is sent for a change that was rolled back. [`render`] makes the message of a notice
//! when it is sent, [`next_try`] says when a notice that could not be sent is tried again.

mod backoff;
mod events;
mod message;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::{
    backoff::next_try,
    events::{InstanceChange, of_instance, of_plan, of_run},
    message::{Email, Http, Message, Slack, render},
};
use crate::{
    dag::{CallbackAction, CallbackEvent},
    ids::{AttemptId, TaskId},
    spec::Failure,
    state::{DagRunState, TaskInstanceState},
};

/// What a notice tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    Execute,
    Success,
    Failure,
    Retry,
    Skipped,
    /// A deadline passed and the run had not ended well.
    Deadline,
}

impl Cause {
    pub const ALL: &'static [Self] =
        &[Self::Execute, Self::Success, Self::Failure, Self::Retry, Self::Skipped, Self::Deadline];

    /// The stored spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Retry => "retry",
            Self::Skipped => "skipped",
            Self::Deadline => "deadline",
        }
    }
}

impl From<CallbackEvent> for Cause {
    fn from(event: CallbackEvent) -> Self {
        match event {
            CallbackEvent::Execute => Self::Execute,
            CallbackEvent::Success => Self::Success,
            CallbackEvent::Failure => Self::Failure,
            CallbackEvent::Retry => Self::Retry,
            CallbackEvent::Skipped => Self::Skipped,
        }
    }
}

/// Something to tell, once per run, subject, cause and rule: the key under which the outbox keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub subject: Subject,
    /// The callback's place in the task's or the DAG's list.
    pub rule: usize,
    pub action: CallbackAction,
    pub facts: Facts,
}

/// Whose change it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Instance {
        task_id: TaskId,
        map_index: i32,
        try_number: i32,
    },
    /// The run's own: each clearing of the run counts anew.
    Run,
}

/// What was true at the change: by the time a notice is sent, the next try may be running.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    pub cause: Cause,
    /// The change is the run's, not the instance's.
    #[serde(default)]
    pub of_run: bool,
    /// Of a run: its last instance, the one that ended last with success or failure (of a failed run, the last that failed, if
    /// one did). `None`: none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ti: Option<TiFacts>,
    pub run: RunFacts,
    /// The deadline that was missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DateTime<Utc>>,
    /// Where people read the instance's log; known when the notice is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_url: Option<String>,
}

/// A task instance at the change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TiFacts {
    pub task_id: TaskId,
    pub map_index: i32,
    pub attempt_id: AttemptId,
    pub try_number: i32,
    pub max_tries: i32,
    pub state: TaskInstanceState,
    pub start_date: Option<DateTime<Utc>>,
    pub end_date: Option<DateTime<Utc>>,
    pub hostname: String,
    pub exit_code: Option<i64>,
    pub failure: Option<Failure>,
}

/// A run at the change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    pub state: DagRunState,
    pub start_date: Option<DateTime<Utc>>,
    pub end_date: Option<DateTime<Utc>>,
}

impl Facts {
    /// Why, in a sentence: the reason of the failure, or the deadline that passed.
    pub fn reason(&self) -> Option<String> {
        if let Some(deadline) = self.deadline {
            return Some(format!(
                "the deadline {} UTC passed and the run is {}",
                deadline.format("%Y-%m-%d %H:%M:%S"),
                self.run.state
            ));
        }
        if !matches!(self.cause, Cause::Failure | Cause::Retry) {
            return None;
        }
        self.ti.as_ref().and_then(|ti| ti.failure.as_ref()).map(|failure| failure.reason.clone())
    }
}
