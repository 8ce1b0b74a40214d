//! One attempt on this node, from the hand-out to the result in the journal.

use std::{io, path::PathBuf, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use updraft_core::{
    operator::{BashArgs, BashSensorArgs, Command, DockerArgs, ExitCodes, OperatorKind, PythonArgs},
    spec::{Failure, FailureClass, Outcome, TaskSpec},
};
use updraft_protocol::{FinishedReport, StartAttempt, StartedReport};
use uuid::Uuid;

use crate::{
    client::{Backoff, CallError},
    clock::Moment,
    config::Config,
    journal::{Owed, Recorded},
    measure,
    node::{Node, Stop, StopSignal},
    outcome,
    render::{self, Rendered},
    report::Body,
    runner::{
        self, End, Finished, Job,
        docker::{self, Plan, Watch},
        failure, python,
    },
};

/// Where an attempt stands when this life of the node takes it up.
pub(crate) enum Life {
    /// Just received.
    Fresh,
    /// Received by an earlier life, which created no container for it.
    Again,
    /// An earlier life created its container, or was about to.
    Adopted { watch: Value, created: Moment },
}

impl Life {
    /// What an earlier life left of an attempt; `None` when it was a process and went with its node.
    pub(crate) fn of(config: &Config, owed: &Owed) -> Option<Self> {
        if let Some((created, watch)) = &owed.container {
            return Some(Self::Adopted { watch: watch.clone(), created: *created });
        }
        let spec: TaskSpec = serde_json::from_value(owed.start.spec.clone()).ok()?;
        (owed.group.is_none() && docker::in_container(&spec, config)).then_some(Self::Again)
    }
}

/// Runs an attempt that is in the journal. Ends when its result is there too.
pub(crate) async fn run(node: Arc<Node>, start: Arc<StartAttempt>, stop: StopSignal, life: Life) {
    let id = start.attempt_id;
    match prepare(&node, &start, stop, &life) {
        Ok(None) => conclude(&node, id, End::Finished(Finished::success(None)), None, None).await,
        Ok(Some(job)) => {
            let (end, fields) = tokio::select! {
                done = execute(&job, life) => done,
                never = job.progress.tell(&node, id) => match never {},
                never = docker::prepare_next(&job) => match never {},
            };
            conclude(&node, id, end, fields, Some(&job)).await;
        }
        Err(failure) => conclude(&node, id, End::Finished(Finished::failed(failure)), None, None).await,
    }
}

/// Fails an attempt of which this node knows only that it had it.
pub(crate) async fn give_up(node: Arc<Node>, id: Uuid) {
    let reason = "The node ended while it had this attempt; what became of it is not known.";
    let end = End::Finished(Finished::failed(failure(FailureClass::NodeLost, reason)));
    conclude(&node, id, end, None, None).await;
}

/// Reads the task and opens its log. `None`: a noop, which starts and logs nothing; only its result is told.
fn prepare(node: &Arc<Node>, start: &Arc<StartAttempt>, stop: StopSignal, life: &Life) -> Result<Option<Job>, Failure> {
    let spec: TaskSpec = serde_json::from_value(start.spec.clone()).map_err(|error| {
        failure(
            FailureClass::NodeError,
            format!("This node cannot read the task (is it older than the server?): {error}."),
        )
    })?;
    docker::fetch_ahead(node, &spec.images);
    if spec.operator == OperatorKind::Noop {
        return Ok(None);
    }
    let log = match life {
        Life::Fresh => node.logs.open(start.attempt_id),
        Life::Again | Life::Adopted { .. } => node.logs.reopen(start.attempt_id).map_err(|error| {
            failure(FailureClass::NodeError, format!("The node cannot read what it has of the task's log: {error}."))
        })?,
    };
    Ok(Some(Job::new(node, start, spec, log, stop)))
}

async fn execute(job: &Job, life: Life) -> (End, Option<Value>) {
    if let Life::Adopted { watch, created } = life {
        return adopt(job, watch, created).await;
    }
    let rendered = tokio::select! {
        rendered = render::render(&job.node, &job.start, &job.spec) => rendered,
        stop = job.stopped() => return (End::Stopped(stop), None),
    };
    let rendered = match rendered {
        Ok(rendered) => rendered,
        Err(failure) => return (failed(job, failure), None),
    };
    job.log.set_mask(Arc::clone(&rendered.mask));
    job.set_resolved(rendered.resolved.clone());
    match &rendered.label {
        Ok(label) => job.set_label(label.clone()),
        Err(wrong) => job.log.say("warning", &format!("The instance shows its map index: {wrong}")),
    }
    let end = match Box::pin(dispatch(job, &rendered)).await {
        Ok(end) => outcome::settle(job, end),
        Err(failure) => failed(job, failure),
    };
    (end, rendered.fields)
}

async fn adopt(job: &Job, watch: Value, created: Moment) -> (End, Option<Value>) {
    let watch: Watch = match serde_json::from_value(watch) {
        Ok(watch) => watch,
        Err(error) => {
            let reason = format!("The journal of an earlier version of this node cannot be read: {error}.");
            return (failed(job, failure(FailureClass::NodeError, reason)), None);
        }
    };
    job.log.set_mask(Arc::new(watch.mask.clone()));
    job.set_label(watch.label.clone());
    let fields = watch.fields.clone();
    let _channel = python::reopen(job, &watch);
    match docker::adopt(job, watch, created).await {
        Ok(end) => (outcome::settle(job, end), fields),
        Err(failure) => (failed(job, failure), fields),
    }
}

/// An end without a result.
pub(crate) fn failed(job: &Job, failure: Failure) -> End {
    job.log.say("error", &failure.reason);
    End::Finished(Finished::failed(failure))
}

async fn dispatch(job: &Job, rendered: &Rendered) -> Result<End, Failure> {
    let image = |named| job.node.config.image(named);
    if let Some(call) = &job.spec.call {
        let event = job.spec.callback.as_ref().map_or("", |facts| facts.cause.as_str());
        job.log.say("info", &format!("Calling {} on {event}.", call.callable));
        return python_job(job, python::callback(call), image(None), rendered).await;
    }
    match job.spec.operator {
        OperatorKind::Noop | OperatorKind::Empty => Ok(End::Finished(Finished::success(None))),
        OperatorKind::Bash => {
            let mut args: BashArgs = arguments(&rendered.args)?;
            let bundle = bundle(&job.node, &job.spec).await?;
            match image(args.image.take()) {
                Some(image) => {
                    docker::run(job, Plan::bash(&job.subject(), args, image, rendered, bundle.as_deref())).await
                }
                None => runner::bash::run(job, args, rendered, make_folder(job)?, bundle.as_deref()).await,
            }
        }
        OperatorKind::BashSensor => {
            let args: BashSensorArgs = arguments(&rendered.args)?;
            let bundle = bundle(&job.node, &job.spec).await?;
            let BashSensorArgs { bash_command, env, retry_exit_code: _, output_encoding, image: named } = args;
            let args = BashArgs {
                bash_command: Command::Text(bash_command),
                env,
                append_env: false,
                cwd: None,
                skip_on_exit_code: ExitCodes::None,
                output_encoding,
                image: None,
                pull: None,
                reuse: None,
            };
            match image(named) {
                Some(image) => {
                    docker::run(job, Plan::bash(&job.subject(), args, image, rendered, bundle.as_deref())).await
                }
                None => runner::bash::run(job, args, rendered, make_folder(job)?, bundle.as_deref()).await,
            }
        }
        OperatorKind::FileSensor => runner::file::look(job, arguments(&rendered.args)?).await,
        OperatorKind::Python
        | OperatorKind::BranchPython
        | OperatorKind::ShortCircuitPython
        | OperatorKind::PythonSensor => {
            let mut args: PythonArgs = arguments(&rendered.args)?;
            let image = image(args.image.take());
            python_job(job, args, image, rendered).await
        }
        OperatorKind::Docker => {
            let args: DockerArgs = arguments(&rendered.args)?;
            let folder = if args.mount_tmp_dir { Some(make_open_folder(job)?) } else { None };
            docker::run_operator(job, args, rendered, folder).await
        }
        OperatorKind::KubernetesPod => {
            job.log.say("warning", "This node has no Kubernetes cluster: the pod's image, command, arguments and environment run as a Docker container.");
            docker::run(job, Plan::pod(&job.subject(), arguments(&rendered.args)?, rendered)?).await
        }
        _ => {
            let reason =
                format!("`{}` cannot run here: Updraft has no runner for this operator.", job.spec.operator_class);
            Err(failure(FailureClass::UnsupportedOperator, reason))
        }
    }
}

/// A callable, in a container when there is an image to use.
async fn python_job(job: &Job, args: PythonArgs, image: Option<String>, rendered: &Rendered) -> Result<End, Failure> {
    let bundle = bundle(&job.node, &job.spec).await?;
    let folder = make_folder(job)?;
    match image {
        Some(image) => Box::pin(python::run_in_container(job, args, image, rendered, folder, bundle.as_deref())).await,
        None => python::run(job, args, rendered, folder, bundle.as_deref()).await,
    }
}

/// The folder with the task's code, if it has any.
pub(crate) async fn bundle(node: &Node, spec: &TaskSpec) -> Result<Option<PathBuf>, Failure> {
    match &spec.bundle_hash {
        Some(hash) => node.bundles.get(hash).await.map(Some),
        None => Ok(None),
    }
}

/// The rendered arguments in the operator's own type.
pub(crate) fn arguments<T: DeserializeOwned>(args: &Map<String, Value>) -> Result<T, Failure> {
    serde_json::from_value(Value::Object(args.clone())).map_err(|error| {
        failure(FailureClass::InvalidArguments, format!("The rendered arguments do not fit the operator: {error}."))
    })
}

/// An attempt's own folder: where its process starts, gone when it ends (Airflow's temporary `cwd`).
fn make_folder(job: &Job) -> Result<PathBuf, Failure> {
    let path = job.folder();
    match std::fs::create_dir(&path) {
        Ok(()) => Ok(path),
        // An earlier life got no further than this.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(path),
        Err(error) => {
            let reason = format!("The node cannot make the task's folder `{}`: {error}.", path.display());
            Err(failure(FailureClass::NodeError, reason))
        }
    }
}

/// The same for a container, whose user need not be this node's.
fn make_open_folder(job: &Job) -> Result<PathBuf, Failure> {
    let folder = make_folder(job)?;
    python::open_to_all(&folder)?;
    Ok(folder)
}

async fn remove_folder(job: &Job) {
    let path = job.folder();
    // Most tasks leave nothing behind, or had none: one system call.
    match std::fs::remove_dir(&path) {
        Ok(()) => return,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(_) => {}
    }
    if let Err(error) = tokio::fs::remove_dir_all(&path).await {
        tracing::warn!(%error, attempt_id = %job.id, path = %path.display(), "the task's folder stays behind until the next start");
    }
}

/// Journals and reports what became of an attempt, and lets it go.
async fn conclude(node: &Arc<Node>, id: Uuid, end: End, fields: Option<Value>, job: Option<&Job>) {
    let at = Moment::now();
    let left = matches!(end, End::Left);
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
        if !left {
            remove_folder(job).await;
        }
    }
    let Some(mut finished) = finished else { return node.leave(id) };
    for (key, value) in std::mem::take(&mut finished.xcoms) {
        if let Some(job) = job {
            put_xcom(job, &key, &value).await;
        }
    }
    let report = Arc::new(report(node, finished, fields, job));
    measure::finished(&report);
    updraft_core::failpoint!("executor.before_result");
    if let Err(error) = node.journal.finished(id, at, &report) {
        tracing::error!(%error, attempt_id = %id, "a result could not be journaled; a crash before it is acknowledged loses it");
    }
    updraft_core::failpoint!("executor.before_report");
    node.leave(id);
    if let Some(leftover) = job.and_then(Job::take_leftover) {
        let task = Arc::clone(node);
        node.tracker.spawn(async move { docker::clean(&task, leftover).await });
    }
    node.outbox.push_result(id, Recorded { report, at }, &node.halt).await;
}

/// Puts one further XCom of a task, for as long as it takes: its result must not be told before.
async fn put_xcom(job: &Job, key: &str, value: &Value) {
    let mut backoff = Backoff::new();
    loop {
        let error = match job.node.client.put_xcom(job.id, &job.start.token, key, value).await {
            Ok(()) => return,
            Err(error) => error,
        };
        if let CallError::Rejected { status, detail, .. } = &error {
            // A stale attempt, most likely: the answer to its result decides.
            return tracing::warn!(%status, detail, attempt_id = %job.id, key, "the server does not take this XCom");
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.delay(&error)) => {}
            _ = job.stopped() => return,
        }
    }
}

fn report(node: &Node, finished: Finished, fields: Option<Value>, job: Option<&Job>) -> FinishedReport {
    if let Some(job) = job.filter(|_| finished.outcome == Outcome::Failed)
        && let Some(line) = job.log.last_error()
    {
        job.note(|execution| execution.set_last_error(&line));
    }
    let launched = job.and_then(|job| job.progress.since_launch());
    let (duration, pid) = launched.map_or((std::time::Duration::ZERO, None), |(since, started)| (since, started.pid));
    // More is known by now than at the start.
    let started = StartedReport { pid, ..job.map_or_else(|| node.started(), Job::started) };
    let Finished {
        outcome,
        exit_code,
        failure,
        no_retry,
        retry_delay,
        decision,
        outlet_events,
        return_value,
        xcoms: _,
    } = finished;
    let (failure_class, failure_reason) = match failure {
        Some(Failure { class, reason }) => {
            let reason = job.map_or_else(|| reason.clone(), |job| job.log.masked(&reason));
            (Some(class.as_str().to_owned()), Some(reason))
        }
        None => (None, None),
    };
    FinishedReport {
        outcome: match outcome {
            Outcome::Success => "success",
            Outcome::Failed => "failed",
            Outcome::Skipped => "skipped",
            Outcome::Rescheduled => "rescheduled",
        }
        .to_owned(),
        started,
        duration_ms: duration.as_millis() as u64,
        exit_code,
        failure_class,
        failure_reason,
        no_retry,
        retry_delay_ms: retry_delay.map(|delay| delay.as_millis() as u64),
        decision: decision.and_then(|decision| serde_json::to_value(decision).ok()),
        outlet_events,
        return_value,
        rendered_fields: fields,
    }
}
