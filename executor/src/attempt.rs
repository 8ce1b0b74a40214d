//! One attempt on this node, from the hand-out to the result in the journal.

use std::{path::PathBuf, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use updraft_core::{
    operator::{BashArgs, OperatorKind},
    spec::{Failure, FailureClass, Outcome, TaskSpec},
};
use updraft_protocol::{FinishedReport, StartAttempt};

use crate::{
    clock::Moment,
    journal::Recorded,
    node::{Node, Stop, StopSignal},
    render::{self, Rendered},
    report::Body,
    runner::{self, End, Finished, Job, Progress, failure},
};

/// Runs an attempt that was just received and is in the journal. Ends when its result is there too.
pub(crate) async fn run(node: Arc<Node>, start: Arc<StartAttempt>, stop: StopSignal) {
    let id = start.attempt_id;
    let work = async {
        let spec: TaskSpec = match serde_json::from_value(start.spec.clone()) {
            Ok(spec) => spec,
            Err(error) => {
                let reason = format!("This node cannot read the task (is it older than the server?): {error}.");
                return (End::Finished(Finished::failed(failure(FailureClass::NodeError, reason))), None, None);
            }
        };
        if spec.operator == OperatorKind::Noop {
            // Nothing is started and nothing is logged: only its result is told.
            return (End::Finished(Finished::success(None)), None, None);
        }
        let log = match node.logs.open(id) {
            Ok(log) => log,
            Err(error) => {
                let reason = format!("The node cannot write the task's log: {error}.");
                return (End::Finished(Finished::failed(failure(FailureClass::NodeError, reason))), None, None);
            }
        };
        let progress = Arc::new(Progress::default());
        let job = Job { node: Arc::clone(&node), id, start: Arc::clone(&start), spec, log, stop, progress };
        let (end, fields) = tokio::select! {
            done = execute(&job) => done,
            never = job.progress.tell(&node, id) => match never {},
        };
        (end, fields, Some(job))
    };
    let (end, fields, job) = work.await;
    conclude(&node, id, end, fields, job.as_ref()).await;
}

async fn execute(job: &Job) -> (End, Option<Value>) {
    let rendered = tokio::select! {
        rendered = render::render(&job.node, &job.start, &job.spec) => rendered,
        stop = job.stopped() => return (End::Stopped(stop), None),
    };
    let rendered = match rendered {
        Ok(rendered) => rendered,
        Err(failure) => return (failed(job, failure), None),
    };
    job.log.set_mask(Arc::clone(&rendered.mask));
    let end = match dispatch(job, &rendered).await {
        Ok(end) => end,
        Err(failure) => failed(job, failure),
    };
    (end, rendered.fields)
}

fn failed(job: &Job, failure: Failure) -> End {
    job.log.say("error", &failure.reason);
    End::Finished(Finished::failed(failure))
}

async fn dispatch(job: &Job, rendered: &Rendered) -> Result<End, Failure> {
    match job.spec.operator {
        OperatorKind::Noop | OperatorKind::Empty => Ok(End::Finished(Finished::success(None))),
        OperatorKind::Bash => {
            let args: BashArgs = arguments(&rendered.args)?;
            let folder = Folder::make(job)?;
            let end = runner::bash::run(job, args, rendered, folder.path.clone()).await;
            folder.remove(job).await;
            end
        }
        OperatorKind::Python | OperatorKind::Docker | OperatorKind::KubernetesPod | OperatorKind::Unsupported => {
            let reason = format!(
                "`{}` cannot run on this node: no runner of this build knows the operator.",
                job.spec.operator_class
            );
            Err(failure(FailureClass::UnsupportedOperator, reason))
        }
    }
}

/// The rendered arguments in the operator's own type.
pub(crate) fn arguments<T: DeserializeOwned>(args: &Map<String, Value>) -> Result<T, Failure> {
    serde_json::from_value(Value::Object(args.clone())).map_err(|error| {
        failure(FailureClass::InvalidArguments, format!("The rendered arguments do not fit the operator: {error}."))
    })
}

/// An attempt's own folder: where its process starts, gone when it ends (Airflow's temporary `cwd`).
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

impl Folder {
    pub(crate) fn make(job: &Job) -> Result<Self, Failure> {
        let path = job.node.work_dir.join(job.id.to_string());
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Self { path }),
            Err(error) => Err(failure(
                FailureClass::NodeError,
                format!("The node cannot make the task's folder `{}`: {error}.", path.display()),
            )),
        }
    }

    pub(crate) async fn remove(self, job: &Job) {
        // Most tasks leave nothing behind: one system call.
        if std::fs::remove_dir(&self.path).is_ok() {
            return;
        }
        if let Err(error) = tokio::fs::remove_dir_all(&self.path).await {
            tracing::warn!(%error, attempt_id = %job.id, path = %self.path.display(), "the task's folder stays behind until the next start");
        }
    }
}

/// Journals and reports what became of an attempt, and lets it go.
pub(crate) async fn conclude(node: &Arc<Node>, id: uuid::Uuid, end: End, fields: Option<Value>, job: Option<&Job>) {
    let at = Moment::now();
    let finished = match end {
        End::Finished(finished) => Some(finished),
        End::Stopped(Stop::Shutdown) => Some(Finished::failed(failure(
            FailureClass::NodeError,
            "executor stopped: the node was shut down while the task ran.",
        ))),
        End::Stopped(Stop::Cancel { .. }) => {
            node.outbox.push(id, at, Body::Stopped);
            None
        }
        End::Stopped(Stop::Stale) => {
            node.settle(id);
            None
        }
        End::Left => None,
    };
    if let Some(job) = job {
        job.log.close();
    }
    let Some(finished) = finished else { return node.leave(id) };
    let report = Arc::new(report(node, finished, fields, job));
    updraft_core::failpoint!("executor.before_result");
    if let Err(error) = node.journal.finished(id, at, &report) {
        tracing::error!(%error, attempt_id = %id, "a result could not be journaled; a crash before it is acknowledged loses it");
    }
    updraft_core::failpoint!("executor.before_report");
    node.leave(id);
    node.outbox.push_result(id, Recorded { report, at }, &node.halt).await;
}

fn report(node: &Node, finished: Finished, fields: Option<Value>, job: Option<&Job>) -> FinishedReport {
    let (duration, started) =
        job.and_then(|job| job.progress.since_launch()).unwrap_or_else(|| (std::time::Duration::ZERO, node.started()));
    let Finished { outcome, exit_code, failure, no_retry, return_value } = finished;
    let (failure_class, failure_reason) = match failure {
        Some(Failure { class, reason }) => (Some(class.as_str().to_owned()), Some(reason)),
        None => (None, None),
    };
    FinishedReport {
        outcome: match outcome {
            Outcome::Success => "success",
            Outcome::Failed => "failed",
            Outcome::Skipped => "skipped",
        }
        .to_owned(),
        started,
        duration_ms: duration.as_millis() as u64,
        exit_code,
        failure_class,
        failure_reason,
        no_retry,
        return_value,
        rendered_fields: fields,
    }
}
