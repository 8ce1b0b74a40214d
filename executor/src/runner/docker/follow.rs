//! Follows a running container: its log, its end, and what is to happen when it must end.

use std::time::Duration;

use bollard::{
    errors::Error,
    query_parameters::{LogsOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptions},
};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use tokio::time::Instant;
use updraft_core::spec::{Failure, FailureClass};

use super::{
    Watch,
    conclude::{conclude, killed},
    connection::{has_status, is_away},
    cursor::Cursor,
    facts::{self, Memory},
    run,
};
use crate::{
    logs::{AttemptLog, Resume},
    node::Stop,
    runner::{End, Ending, Finished, Job, bash, failure},
};

/// A daemon that restarts is waited for this long before the attempt fails.
const PATIENCE: Duration = Duration::from_mins(1);
/// A log that ended before its container is followed again after this, unless the container ends first.
const AGAIN: Duration = Duration::from_millis(200);

/// What the daemon made of a request to stop a container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// It has ended, or there is none.
    Ended,
    /// The daemon did not do it, or does not answer.
    Unheard,
}

pub(super) async fn follow(
    job: &Job,
    mut docker: bollard::Docker,
    name: &str,
    watch: &Watch,
    resume: Resume,
    left: Option<Duration>,
) -> Result<End, Failure> {
    let mut cursor = Cursor::new(resume);
    let mut memory = Memory::new();
    let mut ending: Option<Ending> = None;
    let mut stopping: BoxFuture<'static, Asked> = futures::future::pending().boxed();
    // The daemon was away while the container ran.
    let mut interrupted = false;
    let alarm = tokio::time::sleep_until(Instant::now() + left.unwrap_or(Duration::from_hours(24 * 365)));
    tokio::pin!(alarm);
    let state = loop {
        let options = LogsOptionsBuilder::default()
            .follow(true)
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .since(cursor.reconnect())
            .build();
        let mut logs = std::pin::pin!(docker.logs(name, Some(options)));
        let broken = loop {
            tokio::select! {
                message = logs.next() => match message {
                    Some(Ok(message)) => {
                        if watch.show {
                            cursor.take(&message, &job.log);
                        }
                    }
                    Some(Err(error)) => break Some(error),
                    None => break None,
                },
                stop = job.stopped(), if !matches!(ending, Some(Ending::Told(_))) => {
                    let grace = match &stop {
                        Stop::Shutdown => return Ok(End::Left),
                        Stop::Stale => Duration::ZERO,
                        Stop::Cancel { grace, reason } => {
                            job.log.say("warning", &format!("Stopping the container: {reason}. SIGTERM now, SIGKILL in {} s.", grace.as_secs_f64()));
                            *grace
                        }
                    };
                    stopping = stop_container(docker.clone(), name.to_owned(), grace);
                    ending = Some(Ending::Told(stop));
                }
                () = &mut alarm, if ending.is_none() => {
                    job.log.say("error", &format!("{} Stopping the container.", bash::timeout_failure(job).reason));
                    stopping = stop_container(docker.clone(), name.to_owned(), job.node.config.stop_grace);
                    ending = Some(Ending::Timeout);
                }
                () = memory.due() => Box::pin(memory.look(job, &docker, name)).await,
                asked = &mut stopping => stopping = match (asked, &ending) {
                    (Asked::Ended, _) => futures::future::pending().boxed(),
                    // Its end is certain as soon as the daemon answers: what is left of it is removed then.
                    (Asked::Unheard, Some(Ending::Timeout)) => {
                        return Ok(End::Finished(Finished::failed(bash::timeout_failure(job))));
                    }
                    (Asked::Unheard, Some(Ending::Told(Stop::Stale))) => return Ok(End::Stopped(Stop::Stale)),
                    // It is not gone before the daemon says so.
                    (Asked::Unheard, _) => stop_container(docker.clone(), name.to_owned(), Duration::ZERO),
                },
            }
        };
        // A daemon that ends cuts its answers off.
        interrupted |= broken.is_some();
        match docker.inspect_container(name, None).await {
            Ok(inspected) => {
                Box::pin(facts::note_image(job, &docker, inspected.image.as_deref())).await;
                let limit = inspected.host_config.and_then(|host| host.memory);
                let state = inspected.state.unwrap_or_default();
                facts::note_oom(job, &state, limit);
                if state.running != Some(true) && state.restarting != Some(true) {
                    break Some(state);
                }
                // The log ended before the container: a moment before, or its driver cannot be read, or the connection broke.
                if let Some(error) = broken {
                    tracing::debug!(%error, container = name, "following the log again");
                }
                let ended = async { docker.wait_container(name, None::<WaitContainerOptions>).next().await };
                match tokio::time::timeout(AGAIN, ended).await {
                    Ok(Some(Ok(_) | Err(Error::DockerContainerWaitError { .. }))) | Err(_) => {}
                    Ok(Some(Err(_)) | None) => tokio::time::sleep(AGAIN).await,
                }
            }
            Err(error) if has_status(&error, 404) => break None,
            Err(error) if is_away(&error) => {
                interrupted = true;
                docker = wait_for_daemon(job).await?;
            }
            Err(error) => return Err(job.node.docker.failure("The container cannot be looked at", &error)),
        }
    };
    if watch.show {
        rest(&docker, name, &mut cursor, &job.log).await;
    }
    cursor.finish(&job.log);
    match ending {
        Some(Ending::Told(stop)) => {
            run::remove(&job.node, &docker, name).await;
            Ok(End::Stopped(stop))
        }
        Some(Ending::Timeout) => Ok(End::Finished(Finished::failed(bash::timeout_failure(job)))),
        None => Ok(End::Finished(match state {
            Some(state) => match killed(job, &docker, name, &state, interrupted).await {
                Some(failure) => {
                    job.log.say("error", &failure.reason);
                    Finished::failed(failure).with_exit_code(state.exit_code)
                }
                None => conclude(job, &docker, name, watch, &state).await,
            },
            None => Finished::failed(failure(
                FailureClass::ContainerError,
                "The container was removed by somebody else while it ran.",
            )),
        })),
    }
}

/// What is in the log beyond what was followed: a daemon under load ends a follower before the last line (Docker 20.10).
async fn rest(docker: &bollard::Docker, name: &str, cursor: &mut Cursor, log: &AttemptLog) {
    let options =
        LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true).since(cursor.reconnect()).build();
    let mut logs = std::pin::pin!(docker.logs(name, Some(options)));
    while let Some(message) = logs.next().await {
        match message {
            Ok(message) => cursor.take(&message, log),
            Err(error) => return tracing::debug!(%error, container = name, "the end of a log was not read again"),
        }
    }
}

/// SIGTERM (or the image's own stop signal), the grace, SIGKILL.
fn stop_container(docker: bollard::Docker, name: String, grace: Duration) -> BoxFuture<'static, Asked> {
    async move {
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let patience = grace + Duration::from_secs(15);
        let stopped = tokio::time::timeout(patience, docker.stop_container(&name, Some(options))).await;
        match stopped {
            Ok(Ok(())) => Asked::Ended,
            Ok(Err(error)) if has_status(&error, 304) || has_status(&error, 404) => Asked::Ended,
            Ok(Err(error)) => {
                tracing::warn!(%error, container = name, "the container could not be stopped");
                // Not in a tight loop: a daemon that is away answers at once.
                tokio::time::sleep(AGAIN).await;
                Asked::Unheard
            }
            Err(_) => {
                tracing::warn!(container = name, "the daemon did not stop the container in time");
                Asked::Unheard
            }
        }
    }
    .boxed()
}

async fn wait_for_daemon(job: &Job) -> Result<bollard::Docker, Failure> {
    job.log.say("warning", "The Docker daemon does not answer; waiting for it.");
    // It was known to answer.
    job.node.docker.check().await;
    job.node.docker.wait(PATIENCE).await
}
