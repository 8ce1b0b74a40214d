//! The runners: what an operator becomes on this machine.

pub(crate) mod bash;
pub(crate) mod cgroup;
pub(crate) mod channel;
pub(crate) mod docker;
pub(crate) mod file;
mod limits;
mod memory;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod sweep;
pub(crate) mod user;
pub(crate) mod venv;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::watch;
use updraft_core::{
    spec::{Decision, Execution, Failure, FailureClass, Outcome, TaskSpec},
    template::Resolved,
};
use updraft_protocol::{NodeAttemptState, StartAttempt, StartedReport};
use uuid::Uuid;

use crate::{
    clock::Moment,
    logs::AttemptLog,
    node::{Node, Stop, StopSignal},
    render::Rendered,
    report::Body,
};

use docker::{Leftover, Subject};

/// Everything a runner needs for one attempt.
pub(crate) struct Job {
    pub(crate) node: Arc<Node>,
    pub(crate) id: Uuid,
    pub(crate) start: Arc<StartAttempt>,
    pub(crate) spec: TaskSpec,
    pub(crate) log: AttemptLog,
    pub(crate) stop: StopSignal,
    pub(crate) progress: Arc<Progress>,
    /// What people see instead of the map index.
    label: Mutex<Option<String>>,
    /// The values its templates named.
    resolved: Mutex<Resolved>,
    execution: Mutex<Execution>,
    begun: OnceLock<(Instant, Moment)>,
    /// The container to remove once the result is in the journal.
    leftover: Mutex<Option<Leftover>>,
}

/// Where a task finds its bundle.
pub(crate) const BUNDLE_VARIABLE: &str = "UPDRAFT_BUNDLE_PATH";

/// How an attempt's work ended.
#[expect(clippy::large_enum_variant, reason = "one of a task, moved a few times")]
pub(crate) enum End {
    Finished(Finished),
    /// It was told to stop and is gone.
    Stopped(Stop),
    /// The node ends; the container stays and is adopted by the next life.
    Left,
}

/// Why a process or container is being ended.
pub(crate) enum Ending {
    Timeout,
    Told(Stop),
}

/// A result, before it becomes a report.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) outcome: Outcome,
    pub(crate) exit_code: Option<i64>,
    pub(crate) failure: Option<Failure>,
    pub(crate) no_retry: bool,
    pub(crate) retry_delay: Option<Duration>,
    pub(crate) decision: Option<Decision>,
    pub(crate) outlet_events: Option<Value>,
    pub(crate) return_value: Option<Value>,
    /// Further XComs, put before the result is told.
    pub(crate) xcoms: Vec<(String, Value)>,
}

impl Finished {
    pub(crate) fn success(return_value: Option<Value>) -> Self {
        Self {
            outcome: Outcome::Success,
            exit_code: None,
            failure: None,
            no_retry: false,
            retry_delay: None,
            decision: None,
            outlet_events: None,
            return_value,
            xcoms: Vec::new(),
        }
    }

    pub(crate) fn skipped() -> Self {
        Self { outcome: Outcome::Skipped, ..Self::success(None) }
    }

    /// A sensor's condition does not hold yet.
    pub(crate) fn rescheduled() -> Self {
        Self { outcome: Outcome::Rescheduled, ..Self::success(None) }
    }

    pub(crate) fn failed(failure: Failure) -> Self {
        Self { outcome: Outcome::Failed, failure: Some(failure), ..Self::success(None) }
    }

    pub(crate) fn with_exit_code(self, exit_code: impl Into<Option<i64>>) -> Self {
        Self { exit_code: exit_code.into(), ..self }
    }
}

/// A failure in one line.
pub(crate) fn failure(class: FailureClass, reason: impl Into<String>) -> Failure {
    Failure { class, reason: reason.into() }
}

/// What is known of a running attempt, for its reports. A start is told only after [`Progress::HOLD`], so that a short task
/// sends one report.
#[derive(Default)]
pub(crate) struct Progress {
    launched: watch::Sender<Option<(Instant, Moment, StartedReport)>>,
}

impl Progress {
    const HOLD: Duration = Duration::from_millis(50);

    /// The task's process or container runs.
    pub(crate) fn launched(&self, started: StartedReport) {
        self.launched_at(Instant::now(), Moment::now(), started);
    }

    /// The same for a container that an earlier life started.
    pub(crate) fn launched_at(&self, instant: Instant, at: Moment, started: StartedReport) {
        self.launched.send_replace(Some((instant, at, started)));
    }

    /// What was launched and how long ago.
    pub(crate) fn since_launch(&self) -> Option<(Duration, StartedReport)> {
        self.launched.borrow().as_ref().map(|(instant, _, started)| (instant.elapsed(), started.clone()))
    }

    /// Waits until the task's process or container runs.
    pub(crate) async fn running(&self) {
        let mut launched = self.launched.subscribe();
        let seen = launched.wait_for(Option::is_some).await;
        seen.expect("the sender is `self`");
    }

    /// Tells the start once it has held for a while; never ends.
    pub(crate) async fn tell(&self, node: &Node, id: Uuid) -> std::convert::Infallible {
        self.running().await;
        node.journal.set_state(id, NodeAttemptState::Running);
        tokio::time::sleep(Self::HOLD).await;
        let launched = self.launched.borrow().clone();
        if let Some((_, at, started)) = launched {
            node.outbox.push(id, at, Body::Started(started));
        }
        std::future::pending().await
    }
}

impl Job {
    pub(crate) fn new(
        node: &Arc<Node>,
        start: &Arc<StartAttempt>,
        spec: TaskSpec,
        log: AttemptLog,
        stop: StopSignal,
    ) -> Self {
        Self {
            node: Arc::clone(node),
            id: start.attempt_id,
            start: Arc::clone(start),
            spec,
            log,
            stop,
            progress: Arc::default(),
            label: Mutex::default(),
            resolved: Mutex::default(),
            execution: Mutex::default(),
            begun: OnceLock::new(),
            leftover: Mutex::default(),
        }
    }

    /// What people see instead of the map index.
    pub(crate) fn label(&self) -> Option<String> {
        self.label.lock().expect("no code panics while it holds this").clone()
    }

    pub(crate) fn set_label(&self, label: Option<String>) {
        *self.label.lock().expect("no code panics while it holds this") = label;
    }

    /// The values its templates named; none after the node was restarted.
    pub(crate) fn resolved(&self) -> Resolved {
        self.resolved.lock().expect("no code panics while it holds this").clone()
    }

    pub(crate) fn set_resolved(&self, resolved: Resolved) {
        *self.resolved.lock().expect("no code panics while it holds this") = resolved;
    }

    /// When its first process was about to start, which is what its timeout counts from.
    pub(crate) fn begun(&self) -> (Instant, Moment) {
        *self.begun.get_or_init(|| (Instant::now(), Moment::now()))
    }

    /// How it is carried out, as far as that is known by now.
    pub(crate) fn execution(&self) -> Execution {
        self.execution.lock().expect("no code panics while it holds this").clone()
    }

    /// What its container is planned for.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject { node: &self.node, attempt: Some(self.id), spec: &self.spec, label: self.label() }
    }

    /// Notes something about how it is carried out.
    pub(crate) fn note(&self, edit: impl FnOnce(&mut Execution)) {
        edit(&mut self.execution.lock().expect("no code panics while it holds this"));
    }

    /// Notes the words of its command, secrets masked.
    pub(crate) fn note_command<'a>(&self, words: impl IntoIterator<Item = &'a str>) {
        self.note(|execution| execution.set_command(words, |word| self.log.masked(word)));
    }

    /// Notes memory that is in use, or was. Bytes.
    pub(crate) fn note_memory(&self, bytes: u64) {
        self.note(|execution| execution.peak_memory = execution.peak_memory.max(Some(bytes)));
    }

    /// Where and how the attempt runs, as far as that is known by now.
    pub(crate) fn started(&self) -> StartedReport {
        let execution = Some(self.execution()).filter(|execution| !execution.is_empty());
        let execution = execution.and_then(|execution| serde_json::to_value(execution).ok());
        StartedReport { rendered_map_index: self.label(), execution, ..self.node.started() }
    }

    /// The attempt's own folder, whether or not it was made.
    pub(crate) fn folder(&self) -> PathBuf {
        self.node.work_dir.join(self.id.to_string())
    }

    /// Notes a container for removal after the result is journaled.
    pub(crate) fn leave_behind(&self, leftover: Leftover) {
        *self.leftover.lock().expect("no code panics while it holds this") = Some(leftover);
    }

    pub(crate) fn take_leftover(&self) -> Option<Leftover> {
        self.leftover.lock().expect("no code panics while it holds this").take()
    }

    /// No container was created after all.
    pub(crate) fn uncreated(&self) {
        if let Err(error) = self.node.journal.uncreated(self.id) {
            tracing::warn!(%error, attempt_id = %self.id, "the journal could not be written; a restart now would look for a container in vain");
        }
    }

    /// Tells the server that the attempt is being worked on though it has not started.
    pub(crate) fn preparing(&self, what: &str) {
        self.node.outbox.push(self.id, Moment::now(), Body::Preparing(what.to_owned()));
    }

    /// What the attempt is told to do, once it is told.
    pub(crate) async fn stopped(&self) -> Stop {
        let mut stop = self.stop.clone();
        let told = stop.wait_for(Option::is_some).await.ok().and_then(|stop| stop.clone());
        match told {
            Some(stop) => stop,
            // The sender lives in the list of live attempts for as long as this runs.
            None => std::future::pending().await,
        }
    }

    /// Variables of a process of the node: those of the task, and marks by which it is found again, so that it never outlives its
    /// attempt or the node.
    pub(crate) fn process_env(&self, rendered: &Rendered, bundle: Option<&Path>) -> Vec<(OsString, OsString)> {
        let mut env: Vec<(OsString, OsString)> =
            rendered.task_env().map(|(name, value)| (name.into(), value.into())).collect();
        env.push((sweep::ATTEMPT_VARIABLE.into(), self.id.to_string().into()));
        env.push((sweep::NODE_VARIABLE.into(), self.node.mark().into()));
        env.extend(bundle.map(|bundle| (BUNDLE_VARIABLE.into(), bundle.into())));
        env
    }
}
