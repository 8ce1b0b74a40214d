//! Follows a running container: its log, its end, and what is to happen when it must end.

use std::time::Duration;

use bollard::{
    errors::Error,
    models::ContainerState,
    query_parameters::{DownloadFromContainerOptionsBuilder, LogsOptionsBuilder, StopContainerOptionsBuilder},
};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use serde_json::Value;
use tokio::time::Instant;
use updraft_core::spec::{Failure, FailureClass};
use updraft_protocol::XCOM_LIMIT;

use super::{
    Watch,
    connection::{has_status, is_away},
    cursor::Cursor,
    facts::{self, Memory},
    plan::{POD_RESULT, ResultFrom},
    run,
};
use crate::{
    logs::Resume,
    node::Stop,
    runner::{Finished, Job, bash, cgroup::oom, failure, python},
};

/// A daemon that restarts is waited for this long before the attempt fails.
const PATIENCE: Duration = Duration::from_mins(1);

#[expect(clippy::large_enum_variant, reason = "one of a task, moved a few times")]
pub(super) enum Followed {
    Finished(Finished),
    Stopped(Stop),
    Left,
}

enum Ending {
    Timeout,
    Told(Stop),
}

pub(super) async fn follow(
    job: &Job,
    mut docker: bollard::Docker,
    name: &str,
    watch: &Watch,
    resume: Resume,
    left: Option<Duration>,
) -> Result<Followed, Failure> {
    let mut cursor = Cursor::new(resume);
    let mut memory = Memory::new();
    let mut ending: Option<Ending> = None;
    let mut stopping: BoxFuture<'static, ()> = futures::future::pending().boxed();
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
                        Stop::Shutdown => return Ok(Followed::Left),
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
                () = &mut stopping => stopping = futures::future::pending().boxed(),
            }
        };
        match docker.inspect_container(name, None).await {
            Ok(inspected) => {
                Box::pin(facts::note_image(job, &docker, inspected.image.as_deref())).await;
                let limit = inspected.host_config.and_then(|host| host.memory);
                let state = inspected.state.unwrap_or_default();
                facts::note_oom(job, &state, limit);
                if state.running != Some(true) && state.restarting != Some(true) {
                    break Some(state);
                }
                // The log ended before the container: its driver cannot be read, or the connection broke.
                if let Some(error) = broken {
                    tracing::debug!(%error, container = name, "following the log again");
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) if has_status(&error, 404) => break None,
            Err(error) if is_away(&error) => docker = wait_for_daemon(job).await?,
            Err(error) => return Err(job.node.docker.failure("The container cannot be looked at", &error)),
        }
    };
    cursor.finish(&job.log);
    match ending {
        Some(Ending::Told(stop)) => {
            run::remove(&job.node, &docker, name).await;
            Ok(Followed::Stopped(stop))
        }
        Some(Ending::Timeout) => Ok(Followed::Finished(Finished::failed(bash::timeout_failure(job)))),
        None => Ok(Followed::Finished(match state {
            Some(state) => conclude(job, &docker, name, watch, &state).await,
            None => Finished::failed(failure(
                FailureClass::ContainerError,
                "The container was removed by somebody else while it ran.",
            )),
        })),
    }
}

/// SIGTERM (or the image's own stop signal), the grace, SIGKILL; by force when the daemon cannot do it in its own way.
fn stop_container(docker: bollard::Docker, name: String, grace: Duration) -> BoxFuture<'static, ()> {
    async move {
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let patience = grace + Duration::from_secs(15);
        let stopped = tokio::time::timeout(patience, docker.stop_container(&name, Some(options))).await;
        match stopped {
            Ok(Ok(())) => {}
            Ok(Err(error)) if has_status(&error, 304) || has_status(&error, 404) => {}
            Ok(Err(error)) => tracing::warn!(%error, container = name, "the container could not be stopped; the next reconcile removes it"),
            Err(_) => tracing::warn!(container = name, "the daemon did not stop the container in time; the next reconcile removes it"),
        }
    }
    .boxed()
}

async fn wait_for_daemon(job: &Job) -> Result<bollard::Docker, Failure> {
    job.log.say("warning", "The Docker daemon does not answer; waiting for it.");
    let deadline = Instant::now() + PATIENCE;
    loop {
        job.node.docker.check().await;
        match job.node.docker.client().await {
            Ok(docker) => return Ok(docker),
            Err(failure) if Instant::now() >= deadline => return Err(failure),
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

async fn conclude(job: &Job, docker: &bollard::Docker, name: &str, watch: &Watch, state: &ContainerState) -> Finished {
    let code = state.exit_code.unwrap_or(-1);
    if watch.result == ResultFrom::Shim {
        let finished = python::conclude(job, code, state.oom_killed == Some(true));
        return finished.with_exit_code(code);
    }
    if code == 0 {
        job.log.say("info", "Container exited with code 0");
        return success(job, docker, name, watch).await.with_exit_code(code);
    }
    if watch.skip.contains(code) {
        job.log.say("info", &format!("Container exited with code {code}: skipped"));
        return Finished::skipped().with_exit_code(code);
    }
    job.log.say("error", &format!("Container exited with code {code}"));
    let failure = if state.oom_killed == Some(true) {
        oom(job)
    } else if let Some(error) = state.error.as_deref().filter(|error| !error.is_empty()) {
        failure(FailureClass::ContainerError, format!("The container failed: {error}."))
    } else {
        bash::exit_failure(code, job.log.last_stderr())
    };
    Finished::failed(failure).with_exit_code(code)
}

async fn success(job: &Job, docker: &bollard::Docker, name: &str, watch: &Watch) -> Finished {
    let value = match watch.result {
        ResultFrom::Nothing | ResultFrom::Shim => Ok(None),
        ResultFrom::LastLine => Ok(job.log.last_line().map(|line| Value::String(line.trim().to_owned()))),
        ResultFrom::LastStdout => Ok(Some(job.log.last_stdout().unwrap_or_default().into())),
        ResultFrom::AllLines => all_lines(docker, name).await.map(Some).map_err(|error| error.to_string()),
        ResultFrom::PodFile => pod_file(docker, name).await,
        ResultFrom::Json => match stdout(docker, name).await {
            Ok(Some(bytes)) => return bash::json_result(&bytes).map_or_else(Finished::failed, Finished::success),
            Ok(None) => return Finished::failed(bash::output_too_large()),
            Err(error) => Err(error.to_string()),
        },
    };
    match value {
        Ok(value) => Finished::success(value),
        Err(error) => Finished::failed(failure(
            FailureClass::ContainerError,
            format!("The task ended, but its result cannot be read: {error}."),
        )),
    }
}

/// `xcom_all`: every line, as Airflow reads them again after the end.
async fn all_lines(docker: &bollard::Docker, name: &str) -> Result<Value, Error> {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
    let mut logs = std::pin::pin!(docker.logs(name, Some(options)));
    let mut lines = Vec::new();
    while let Some(message) = logs.next().await {
        lines.push(Value::String(String::from_utf8_lossy(&message?.into_bytes()).trim().to_owned()));
    }
    Ok(Value::Array(lines))
}

/// The whole of standard output; `None` when it is too large for a result.
async fn stdout(docker: &bollard::Docker, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let options = LogsOptionsBuilder::default().stdout(true).build();
    let mut logs = std::pin::pin!(docker.logs(name, Some(options)));
    let mut bytes = Vec::new();
    while let Some(message) = logs.next().await {
        bytes.extend_from_slice(&message?.into_bytes());
        if bytes.len() > XCOM_LIMIT {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}

/// The file a pod leaves its result in; none is no result.
async fn pod_file(docker: &bollard::Docker, name: &str) -> Result<Option<Value>, String> {
    let options = DownloadFromContainerOptionsBuilder::default().path(POD_RESULT).build();
    let mut archive = Vec::new();
    let mut body = std::pin::pin!(docker.download_from_container(name, Some(options)));
    while let Some(bytes) = body.next().await {
        match bytes {
            Ok(bytes) => archive.extend_from_slice(&bytes),
            Err(error) if has_status(&error, 404) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        }
    }
    let mut archive = tar::Archive::new(archive.as_slice());
    let mut entries = archive.entries().map_err(|error| error.to_string())?;
    let Some(entry) = entries.next() else { return Ok(None) };
    let entry = entry.map_err(|error| error.to_string())?;
    if entry.size() == 0 {
        return Ok(None);
    }
    serde_json::from_reader(entry).map(Some).map_err(|error| format!("{POD_RESULT} is not JSON: {error}"))
}
