//! A restart of the node kills no container: those of live attempts are watched on, the others are removed.

use std::time::Duration;

use updraft_core::spec::{Failure, FailureClass};

use super::{Watch, connection::has_status, facts, name_of, orphans, run};
use crate::{
    clock::Moment,
    runner::{End, Job, failure},
};

/// The daemon is waited for this long after a restart of the node.
const PATIENCE: Duration = Duration::from_mins(10);

/// Goes on with the container an earlier life created. `created`: when it was about to.
pub(crate) async fn adopt(job: &Job, watch: Watch, created: Moment) -> Result<End, Failure> {
    let resume = job
        .log
        .resume()
        .map_err(|error| failure(FailureClass::NodeError, format!("The task's log cannot be read: {error}.")))?;
    let docker = tokio::select! {
        // What it still runs is found when it is back.
        docker = job.node.docker.wait(PATIENCE) => docker?,
        stop = job.stopped() => return Ok(run::before_start(stop)),
    };
    if watch.in_room {
        if let Err(error) = orphans::remove_rooms(&job.node, &docker).await {
            return Err(job.node.docker.failure("The run's shared container could not be removed", &error));
        }
        return Err(failure(
            FailureClass::NodeError,
            "The executor was restarted: a task in the container that its run shares (`reuse`) cannot be followed on, and was ended.",
        ));
    }
    let name = name_of(job.id);
    let inspected = match docker.inspect_container(&name, None).await {
        Ok(inspected) => inspected,
        Err(error) if has_status(&error, 404) => {
            return Err(failure(
                FailureClass::ContainerError,
                "The container was gone when the executor started again.",
            ));
        }
        Err(error) => return Err(job.node.docker.failure("The container cannot be looked at", &error)),
    };
    facts::note_adopted(job, &inspected);
    let state = inspected.state.unwrap_or_default();
    let mut started = run::moment(state.started_at.as_deref());
    if started.is_none() {
        // Created, and the node died before it was started.
        docker
            .start_container(&name, None)
            .await
            .map_err(|error| job.node.docker.failure("The container could not be started", &error))?;
        started = Some(Moment::now());
    }
    let started = started.unwrap_or(created);
    let running_for = Duration::from_millis(started.age_ms());
    let instant = std::time::Instant::now().checked_sub(running_for).unwrap_or_else(std::time::Instant::now);
    job.progress.launched_at(instant, started, job.started());
    job.log.say("info", "The executor was restarted; it goes on watching the container.");
    let left = job.spec.execution_timeout.map(|timeout| timeout.saturating_sub(running_for));
    run::watch_on(job, docker, watch, resume, left).await
}
