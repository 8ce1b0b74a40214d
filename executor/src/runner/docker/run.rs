//! One container from creation to removal.

use bollard::{
    errors::Error,
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder},
};
use updraft_core::{
    operator::AutoRemove,
    spec::{Failure, FailureClass, Outcome},
};

use super::{
    Plan, Watch,
    connection::has_status,
    facts,
    follow::{self, Followed},
    image, name_of,
    plan::Pull,
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
    let Plan { image, pull, body, watch } = plan;
    job.log.say("info", &format!("Starting container from image {image}"));
    facts::note_plan(job, &image, &body);
    if let Some(user) = &job.spec.run_as_user {
        job.log.say(
            "warning",
            &format!(
                "`run_as_user: {user}` has no effect in a container: its user is the image's, or the operator's `user`."
            ),
        );
    }
    let docker = tokio::select! {
        docker = job.node.docker.client() => docker?,
        stop = job.stopped() => return Ok(before_start(stop)),
    };
    let ready = async {
        if pull == Pull::Always {
            image::pull(job, &docker, &image).await?;
        }
        create(job, &docker, &image, pull, body, &watch).await
    };
    let id = tokio::select! {
        id = ready => id?,
        stop = job.stopped() => {
            // It may or may not have been created: make sure it is not.
            remove(&job.node, &docker, &name_of(job.id)).await;
            job.uncreated();
            return Ok(before_start(stop));
        }
    };
    updraft_core::failpoint!("executor.after_create");
    let name = name_of(job.id);
    if let Err(error) = docker.start_container(&name, None).await {
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
    match follow::follow(job, docker, &name, &watch, resume, left).await? {
        Followed::Left => Ok(End::Left),
        Followed::Stopped(stop) => Ok(End::Stopped(stop)),
        Followed::Finished(finished) => {
            let keep = match watch.auto_remove {
                AutoRemove::Never => true,
                AutoRemove::Success => finished.outcome != Outcome::Success,
                AutoRemove::Force => false,
            };
            if !keep {
                job.leave_behind(Leftover { name });
            }
            Ok(End::Finished(finished))
        }
    }
}

/// What a stop means to an attempt that has no container yet.
fn before_start(stop: Stop) -> End {
    match stop {
        // Nothing has begun: the next life of the node begins it.
        Stop::Shutdown => End::Left,
        stop => End::Stopped(stop),
    }
}

async fn create(
    job: &Job,
    docker: &bollard::Docker,
    image: &str,
    pull: Pull,
    body: bollard::models::ContainerCreateBody,
    watch: &Watch,
) -> Result<String, Failure> {
    let name = name_of(job.id);
    let mut pulled = false;
    loop {
        let recorded = serde_json::to_value(watch)
            .map_err(std::io::Error::from)
            .and_then(|watch| job.node.journal.container(job.id, watch));
        if let Err(error) = recorded {
            // Without this line a restart could start the task a second time.
            return Err(failure(FailureClass::NodeError, format!("The node cannot write its journal: {error}.")));
        }
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        match docker.create_container(Some(options), body.clone()).await {
            Ok(created) => {
                for warning in created.warnings {
                    job.log.say("warning", &warning);
                }
                return Ok(created.id);
            }
            Err(error) if has_status(&error, 404) && error.to_string().to_lowercase().contains("no such image") => {
                job.uncreated();
                if pull == Pull::Never {
                    return Err(image::missing(image, "its pull policy is Never"));
                }
                if pulled {
                    return Err(image::missing(image, "is not there after a pull either"));
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
    let Error::DockerResponseServerError { message, .. } = error else {
        return job.node.docker.failure("The container could not be started", error);
    };
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
