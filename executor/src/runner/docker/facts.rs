//! What people are shown of a container beside its output: which image it was, its command, its peak memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bollard::models::{ContainerCreateBody, ContainerInspectResponse, ContainerState};
use tokio::time::timeout;

use crate::runner::{Job, cgroup, memory::Looks};

/// The digests of images, by their id: an id never means another image.
pub(super) type Digests = Arc<Mutex<HashMap<String, String>>>;

/// Notes what is to be created.
pub(super) fn note_plan(job: &Job, image: &str, body: &ContainerCreateBody) {
    job.note(|execution| execution.image = Some(image.to_owned()));
    let words = [&body.entrypoint, &body.cmd].into_iter().flatten().flatten();
    job.note_command(words.map(String::as_str));
}

/// Notes what an earlier life created.
pub(super) fn note_adopted(job: &Job, inspected: &ContainerInspectResponse) {
    let config = inspected.config.as_ref();
    job.note(|execution| {
        execution.container_id.clone_from(&inspected.id);
        execution.image = config.and_then(|config| config.image.clone());
    });
    let words = config.into_iter().flat_map(|config| [&config.entrypoint, &config.cmd]).flatten().flatten();
    job.note_command(words.map(String::as_str));
}

/// Notes which image the container was made from.
pub(super) async fn note_image(job: &Job, docker: &bollard::Docker, id: Option<&str>) {
    let Some(id) = id else { return };
    let known = || job.node.docker.digests.lock().expect("no code panics while it holds the list");
    let cached = known().get(id).cloned();
    let digest = match cached {
        Some(digest) => digest,
        None => match docker.inspect_image(id).await {
            Ok(image) => {
                let pulled = image.repo_digests.unwrap_or_default().into_iter().next();
                let digest = pulled.unwrap_or_else(|| id.to_owned());
                known().insert(id.to_owned(), digest.clone());
                digest
            }
            // It was removed while its container ran; the id says which it was all the same.
            Err(error) => {
                tracing::debug!(%error, image = id, "an image's digest is not known");
                id.to_owned()
            }
        },
    };
    job.note(|execution| execution.image_digest = Some(digest));
}

/// Notes that a container reached its limit. Bytes.
pub(super) fn note_oom(job: &Job, state: &ContainerState, limit: Option<i64>) {
    let limit = limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
    if let (Some(true), Some(limit)) = (state.oom_killed, limit) {
        job.note_memory(limit);
    }
}

/// Looks at a running container's peak memory now and then: its control group is gone with it.
pub(super) struct Memory {
    looks: Looks,
    group: Group,
}

/// Where its memory is counted.
enum Group {
    /// Its process is not known yet.
    Unknown,
    /// Not on this machine.
    Elsewhere,
    Here(cgroup::Peak),
}

impl Memory {
    const PATIENCE: Duration = Duration::from_secs(1);

    pub(super) fn new() -> Self {
        Self { looks: Looks::new(), group: Group::Unknown }
    }

    /// When to look again.
    pub(super) async fn due(&mut self) {
        self.looks.due().await;
    }

    pub(super) async fn look(&mut self, job: &Job, docker: &bollard::Docker, name: &str) {
        if matches!(self.group, Group::Unknown)
            // A daemon that hangs must not keep the task from its timeout.
            && let Ok(Ok(inspected)) = timeout(Self::PATIENCE, docker.inspect_container(name, None)).await
        {
            let pid = inspected.state.and_then(|state| state.pid).filter(|pid| *pid > 0);
            let id = inspected.id.unwrap_or_default();
            // A daemon elsewhere tells numbers of its own machine.
            self.group = pid.and_then(|pid| cgroup::Peak::of(pid, &id)).map_or(Group::Elsewhere, Group::Here);
        }
        if let Group::Here(group) = &self.group
            && let Some(bytes) = group.read()
        {
            job.note_memory(bytes);
        }
    }
}
