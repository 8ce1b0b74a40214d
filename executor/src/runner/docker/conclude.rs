//! What the end of a container means: the kernel's, the daemon's or the command's own, and what the task leaves as its result.

use std::{collections::HashMap, io::Read};

use bollard::{
    errors::Error,
    models::ContainerState,
    query_parameters::{DownloadFromContainerOptionsBuilder, EventsOptionsBuilder, LogsOptionsBuilder},
};
use futures::StreamExt;
use serde_json::Value;
use updraft_core::spec::{Failure, FailureClass};
use updraft_protocol::XCOM_LIMIT;

use super::{
    Watch,
    connection::{has_status, is_away},
    plan::ResultFrom,
};
use crate::{
    clock,
    runner::{Finished, Job, bash, cgroup::oom, failure, python},
};

/// What an ended container's state means to its task.
pub(super) async fn conclude(
    job: &Job,
    docker: &bollard::Docker,
    name: &str,
    watch: &Watch,
    state: &ContainerState,
) -> Finished {
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
    let value = match &watch.result {
        ResultFrom::Nothing | ResultFrom::Shim => Ok(None),
        ResultFrom::LastLine => Ok(job.log.last_line().map(|line| Value::String(line.trim().to_owned()))),
        ResultFrom::LastStdout => Ok(Some(job.log.last_stdout().unwrap_or_default().into())),
        ResultFrom::AllLines => all_lines(docker, name).await.map(Some).map_err(|error| error.to_string()),
        ResultFrom::File(path) => result_file(docker, name, path).await,
        ResultFrom::Json => match stdout(docker, name).await {
            Ok(Some(bytes)) => return bash::json_result(&bytes).map_or_else(Finished::failed, Finished::success),
            Ok(None) => return Finished::failed(bash::output_too_large()),
            Err(error) => Err(error.to_string()),
        },
    };
    match value {
        Ok(value) => Finished::success(value),
        Err(error) => Finished::failed(failure(
            FailureClass::InvalidResult,
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

/// The JSON file a task leaves its result in; none is no result.
async fn result_file(docker: &bollard::Docker, name: &str, path: &str) -> Result<Option<Value>, String> {
    let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
    let mut archive = Vec::new();
    let mut body = std::pin::pin!(docker.download_from_container(name, Some(options)));
    while let Some(bytes) = body.next().await {
        match bytes {
            Ok(bytes) => archive.extend_from_slice(&bytes),
            Err(error) if has_status(&error, 404) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        }
        if archive.len() > XCOM_LIMIT {
            return Err(format!("{path} is larger than a result may be ({} MiB)", XCOM_LIMIT >> 20));
        }
    }
    let mut archive = tar::Archive::new(archive.as_slice());
    let mut entries = archive.entries().map_err(|error| error.to_string())?;
    let Some(entry) = entries.next() else { return Ok(None) };
    let mut entry = entry.map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    match bytes.first() {
        None => Ok(None),
        // Every pickle since Python 2.3 begins so.
        Some(0x80) => Err(format!("{path} is pickled, which only Python can read; let the task write JSON")),
        Some(_) => serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("{path} is not JSON: {error}")),
    }
}

/// Why a container ended that neither its command, its memory nor this node ended: the daemon notes each signal that it was
/// asked for, or sent when it was shut down. `interrupted`: it was away meanwhile.
pub(super) async fn killed(
    job: &Job,
    docker: &bollard::Docker,
    name: &str,
    state: &ContainerState,
    interrupted: bool,
) -> Option<Failure> {
    // What a daemon that ends leaves of a container: SIGTERM, SIGKILL, or no word about it.
    let code = state.exit_code.filter(|code| state.oom_killed != Some(true) && matches!(code, 137 | 143 | 255))?;
    let restarted = || {
        failure(
            FailureClass::DockerUnavailable,
            format!(
                "The Docker daemon was restarted, and ended its containers (exit code {code}). With `live-restore` it leaves them running."
            ),
        )
    };
    if interrupted {
        return Some(restarted());
    }
    let launched = job.progress.since_launch()?.0;
    let now = clock::unix_ms();
    let filters = HashMap::from([("container", vec![name]), ("event", vec!["kill"])]);
    let options = EventsOptionsBuilder::default()
        .since(&(now / 1000).saturating_sub(launched.as_secs() + 1).to_string())
        .until(&format!("{}.{:03}", now / 1000, now % 1000))
        .filters(&filters)
        .build();
    match std::pin::pin!(docker.events(Some(options))).next().await {
        Some(Ok(_)) => Some(failure(
            FailureClass::ContainerError,
            format!(
                "The container was ended through the Docker daemon (exit code {code}), not by this node: by `docker stop` or `docker kill`, or by a daemon that was shut down."
            ),
        )),
        Some(Err(error)) if is_away(&error) => Some(restarted()),
        Some(Err(_)) | None => None,
    }
}
