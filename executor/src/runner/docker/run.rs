//! One container from creation to removal.

use bollard::{
    errors::Error,
    models::ContainerCreateBody,
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder},
};
use updraft_core::{
    operator::{AutoRemove, PullPolicy},
    spec::{Failure, FailureClass, Outcome},
};

use super::{
    Plan, Watch, ahead,
    connection::has_status,
    facts,
    follow::follow,
    image::{self, Image},
    name_of,
    room::run_in_room,
};
use crate::{
    clock::Moment,
    logs::Resume,
    node::{Node, Stop},
    runner::{End, Job, failure},
};

/// A container that is to go once its attempt's result is in the journal.
#[derive(Clone, Debug)]
pub(crate) struct Leftover {
    name: String,
}

/// Runs an attempt in a container.
pub(crate) async fn run(job: &Job, plan: Plan) -> Result<End, Failure> {
    job.log.hide(&plan.watch.mask);
    job.log.say("info", &format!("Starting container from image {}", plan.image.name));
    facts::note_plan(job, &plan.image.name, &plan.body);
    if let Some(user) = &job.spec.run_as_user {
        job.log.say(
            "warning",
            &format!(
                "`run_as_user: {user}` has no effect in a container: its user is the image's, or the operator's `user`."
            ),
        );
    }
    if plan.watch.in_room { Box::pin(run_in_room(job, plan)).await } else { Box::pin(run_alone(job, plan)).await }
}

/// Runs it in a container of its own.
async fn run_alone(job: &Job, plan: Plan) -> Result<End, Failure> {
    let Plan { image, body, watch } = plan;
    let docker = tokio::select! {
        docker = job.node.docker.client() => docker?,
        stop = job.stopped() => return Ok(before_start(stop)),
    };
    let name = name_of(job.id);
    let ready = async {
        let record = || record(job, &watch);
        match ahead::take(job, &docker, &image, &body, record).await? {
            Some(id) => Ok(id),
            None => create(job, &docker, &image, &name, body, record).await,
        }
    };
    let id = tokio::select! {
        id = ready => id?,
        // Perhaps it is created after all: whatever answers next removes it as an orphan.
        lost = job.node.docker.lost() => return Err(lost),
        stop = job.stopped() => {
            // It may or may not have been created: make sure it is not.
            remove(&job.node, &docker, &name).await;
            job.uncreated();
            return Ok(before_start(stop));
        }
    };
    updraft_core::failpoint!("executor.after_create");
    let started = tokio::select! {
        started = docker.start_container(&name, None) => started,
        lost = job.node.docker.lost() => return Err(lost),
    };
    if let Err(error) = started {
        let failure = start_failure(job, &error);
        if failure.class == FailureClass::DockerUnavailable {
            // Perhaps it started after all: whatever answers next removes it as an orphan.
            return Err(failure);
        }
        remove(&job.node, &docker, &name).await;
        return Err(failure);
    }
    updraft_core::failpoint!("executor.after_start");
    job.note(|execution| execution.container_id = Some(id));
    job.progress.launched(job.started());
    watch_on(job, docker, watch, Resume::default(), job.spec.execution_timeout).await
}

/// Sees a running container to its end. `resume`: what is in its log already; `left`: what remains of the execution timeout.
pub(super) async fn watch_on(
    job: &Job,
    docker: bollard::Docker,
    watch: Watch,
    resume: Resume,
    left: Option<std::time::Duration>,
) -> Result<End, Failure> {
    let name = name_of(job.id);
    let end = follow(job, docker, &name, &watch, resume, left).await?;
    if let End::Finished(finished) = &end {
        let keep = match watch.auto_remove {
            AutoRemove::Never => true,
            AutoRemove::Success => finished.outcome != Outcome::Success,
            AutoRemove::Force => false,
        };
        if !keep {
            job.leave_behind(Leftover { name });
        }
    }
    Ok(end)
}

/// What a stop means to an attempt whose container this life of the node does not watch yet.
pub(super) fn before_start(stop: Stop) -> End {
    match stop {
        // Nothing has begun: the next life of the node begins it.
        Stop::Shutdown => End::Left,
        stop => End::Stopped(stop),
    }
}

/// Writes down that the attempt's container, or its process in a room, is about to begin.
pub(super) fn record(job: &Job, watch: &Watch) -> Result<(), Failure> {
    let recorded = serde_json::to_value(watch)
        .map_err(std::io::Error::from)
        .and_then(|watch| job.node.journal.container(job.id, watch));
    // Without this line a restart could start the task a second time.
    recorded.map_err(|error| failure(FailureClass::NodeError, format!("The node cannot write its journal: {error}.")))
}

/// Creates a container, pulling its image when it has to be. `before`: done before each try. Answers its id.
pub(super) async fn create(
    job: &Job,
    docker: &bollard::Docker,
    image: &Image,
    name: &str,
    body: ContainerCreateBody,
    before: impl Fn() -> Result<(), Failure>,
) -> Result<String, Failure> {
    if image.pull == PullPolicy::Always {
        image::pull(job, docker, image).await?;
    }
    let mut pulled = false;
    loop {
        before()?;
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        match docker.create_container(Some(options), body.clone()).await {
            Ok(created) => {
                for warning in created.warnings {
                    job.log.say("warning", &warning);
                }
                return Ok(created.id);
            }
            Err(error) if has_status(&error, 404) && error.to_string().to_lowercase().contains("no such image") => {
                job.uncreated();
                if image.pull == PullPolicy::Never {
                    return Err(image::missing(&image.name, "its pull policy is never"));
                }
                if pulled {
                    return Err(image::missing(&image.name, "is not there after a pull either"));
                }
                image::pull(job, docker, image).await?;
                pulled = true;
            }
            Err(error) => return Err(job.node.docker.failure("The container could not be created", &error)),
        }
    }
}

/// Why a container did not start; the runtime says "not found" and "permission denied" in words only.
fn start_failure(job: &Job, error: &Error) -> Failure {
    let known = job.node.docker.failure("The container could not be started", error);
    let Error::DockerResponseServerError { message, .. } = error else { return known };
    if known.class == FailureClass::DockerUnavailable {
        return known;
    }
    let detail = message.rsplit_once("process: ").map_or(message.as_str(), |(_, detail)| detail);
    let detail = detail.trim().trim_end_matches(": unknown");
    let lower = detail.to_lowercase();
    if lower.contains("executable file not found") || (lower.starts_with("exec:") && lower.contains("no such file")) {
        return failure(FailureClass::CommandNotFound, format!("The command does not exist in the image: {detail}."));
    }
    if lower.starts_with("exec:") && lower.contains("permission denied") {
        return failure(
            FailureClass::CommandNotFound,
            format!("The command cannot be executed in the image: {detail}."),
        );
    }
    failure(FailureClass::ContainerError, format!("The container could not be started: {detail}."))
}

/// Removes a container, running or not. One that is gone, or going, is no error.
pub(super) async fn remove(node: &Node, docker: &bollard::Docker, name: &str) {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match docker.remove_container(name, Some(options)).await {
        Ok(()) => {}
        Err(error) if has_status(&error, 404) || has_status(&error, 409) => {}
        Err(error) => {
            let reason = node.docker.failure("not removed", &error).reason;
            tracing::warn!(reason, container = name, "a container stays behind until the next reconcile");
        }
    }
}

/// Removes what an ended attempt left.
pub(crate) async fn clean(node: &Node, leftover: Leftover) {
    if let Ok(docker) = node.docker.client().await {
        remove(node, &docker, &leftover.name).await;
    }
}

/// The moment a container says it started at, as far as it says so.
pub(super) fn moment(stamp: Option<&str>) -> Option<Moment> {
    let at = chrono::DateTime::parse_from_rfc3339(stamp?).ok()?;
    u64::try_from(at.timestamp_millis()).ok().filter(|ms| *ms > 0).map(Moment::recorded)
}
