//! A run as a decision sees it: its row, its DAG and its task instances.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    dag::{Dag, TaskIndex},
    ids::{AttemptId, TaskId},
    spec::{Decision, Failure, Outcome},
    state::{DagRunState, DagRunType, TaskInstanceState},
};

/// The row of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub id: i64,
    pub state: DagRunState,
    pub run_type: DagRunType,
    pub logical_date: Option<DateTime<Utc>>,
    pub queued_at: Option<DateTime<Utc>>,
    pub start_date: Option<DateTime<Utc>>,
    pub end_date: Option<DateTime<Utc>>,
    /// A paused DAG's running tasks end, but none begins.
    pub dag_is_paused: bool,
}

/// An earlier attempt that is being stopped; the instance starts anew only after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping {
    pub attempt: AttemptId,
    pub deadline: DateTime<Utc>,
}

/// One task instance, with every column that a plan may write.
#[derive(Clone, Debug, PartialEq)]
pub struct Ti {
    pub state: TaskInstanceState,
    /// The current attempt's id while there is one; otherwise the id of the last, or of none that ever was.
    pub attempt: AttemptId,
    pub try_number: i32,
    pub max_tries: i32,
    pub scheduled_dttm: Option<DateTime<Utc>>,
    pub queued_dttm: Option<DateTime<Utc>>,
    pub start_date: Option<DateTime<Utc>>,
    pub end_date: Option<DateTime<Utc>>,
    pub next_retry_at: Option<DateTime<Utc>>,
    pub stopping: Option<Stopping>,
    pub hostname: String,
    pub pid: Option<i32>,
    pub failure: Option<Failure>,
    pub exit_code: Option<i64>,
}

impl Ti {
    /// An instance as it is created with its run: nothing decided, `max_tries` = the task's retries.
    pub fn new(attempt: AttemptId, retries: u32) -> Self {
        Self {
            state: TaskInstanceState::None,
            attempt,
            try_number: 0,
            max_tries: i32::try_from(retries).unwrap_or(i32::MAX),
            scheduled_dttm: None,
            queued_dttm: None,
            start_date: None,
            end_date: None,
            next_retry_at: None,
            stopping: None,
            hostname: String::new(),
            pid: None,
            failure: None,
            exit_code: None,
        }
    }

    /// Forgets what the last try left, for the next one.
    pub(super) fn begin_anew(&mut self) {
        self.scheduled_dttm = None;
        self.queued_dttm = None;
        self.start_date = None;
        self.end_date = None;
        self.next_retry_at = None;
        self.hostname = String::new();
        self.pid = None;
        self.failure = None;
        self.exit_code = None;
    }
}

/// A run with all it takes to decide about it.
#[derive(Clone, Debug)]
pub struct RunState {
    pub run: Run,
    pub dag: Arc<Dag>,
    /// Indexed like [`Dag::tasks`]. `None`: the run has no instance of the task (its dates exclude the run).
    pub tis: Vec<Option<Ti>>,
}

impl RunState {
    /// The instance of a task.
    pub fn ti(&self, index: TaskIndex) -> Option<&Ti> {
        self.tis.get(index).and_then(Option::as_ref)
    }
}

/// Where a task event happened, as the inbox has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub task_id: TaskId,
    /// The attempt it speaks of; not the instance's current one: stale.
    pub attempt: AttemptId,
    pub event: Event,
}

/// What happened to an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Started(Started),
    Finished(Box<Finished>),
    /// It waits for something without holding a slot; the attempt stays current.
    Deferred,
    /// It waits for a person.
    AwaitingInput,
    /// Its node died, left, or does not know it.
    Lost {
        /// Whether it was handed to the node: then it may have run and costs a try; else it is placed anew for free.
        handed: bool,
        reason: String,
    },
    /// The node took it and never started it.
    LaunchTimeout,
    /// The stop of an earlier attempt is confirmed, or there was nothing to stop.
    Stopped,
}

/// The start, as the node told it, in Postgres' time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Started {
    pub queued_dttm: Option<DateTime<Utc>>,
    pub at: Option<DateTime<Utc>>,
    pub hostname: String,
    pub pid: Option<i32>,
}

/// The end, complete in itself: a short task reports nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub started: Started,
    pub at: Option<DateTime<Utc>>,
    pub outcome: Outcome,
    pub exit_code: Option<i64>,
    pub failure: Option<Failure>,
    /// The task said that another try is pointless (`AirflowFailException`).
    pub no_retry: bool,
    /// A retry policy's delay for this once, instead of the formula (semantics §4).
    pub retry_delay: Option<Duration>,
    pub decision: Option<Decision>,
    pub rendered_fields: Option<Value>,
}
