//! Containers that the tasks of one run share (`reuse: run`): made with the first task, removed with the run.
//!
//! A room is a container that waits; a task is a process of a shell in it ([`session`]), which starts many times faster than a container.
//! Tasks share one when they are of the same run and ask for the same image and settings; command, environment and folder are
//! each task's own. A room belongs to one life of its node: the next life removes it, since a process in it, unlike a container,
//! cannot be followed on.

mod session;
mod tenant;

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bollard::{
    container::LogOutput,
    errors::Error,
    models::{ContainerCreateBody, ExecConfig},
};
use futures::StreamExt;
use tokio::sync::OnceCell;
use updraft_core::spec::{Failure, FailureClass};
use uuid::Uuid;

use self::session::{Session, Task};
use super::{
    NODE_LABEL, Plan, ROOM_NAME,
    connection::has_status,
    keep::{Container, Kept, Need, RunKey, User},
    run,
};
use crate::runner::{Job, failure};

pub(super) use tenant::run as run_in_room;

/// The label that marks a room; its value is the life of the node that made it.
pub(super) const ROOM_LABEL: &str = "updraft.room";
/// A room without tasks is removed after this, whether or not the server says that its run is over.
const IDLE: Duration = Duration::from_mins(10);
/// What a room does: it waits, and takes care of processes whose parents are gone.
const WAITER: &str = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";
/// `oom_kill` of the room's control group, version 1 or 2.
const OOM_KILLS: &str = r#"for file in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
  while read -r name count; do [ "$name" = oom_kill ] && echo "$count"; done < "$file"
done 2>/dev/null; exit 0"#;

/// A shared container.
pub(super) struct Room {
    name: String,
    /// What the image starts by itself; known once the container runs.
    made: OnceCell<Made>,
    need: Mutex<Need>,
    /// Shells that wait for a task.
    sessions: Mutex<Vec<Session>>,
    /// Processes of it that the kernel killed for their memory, as far as they were asked after.
    oom_kills: AtomicU64,
}

/// A room that runs.
pub(super) struct Made {
    id: String,
    /// The image's id.
    image: Option<String>,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
}

/// What the tasks of a run must have in common to share a room: the container without what is each task's own, as JSON.
type Settings = String;

/// The rooms of this life of the node.
pub(super) type Rooms = Kept<Settings, Room>;

/// A task's place in a room.
type Place = User<Room>;

impl Container for Room {
    fn name(&self) -> &str {
        &self.name
    }

    fn need(&self) -> &Mutex<Need> {
        &self.need
    }
}

/// No rooms yet.
pub(super) fn rooms() -> Rooms {
    Kept::new(IDLE)
}

/// A place in the room of the task's run and settings, which need not be made yet.
fn enter(job: &Job, body: &ContainerCreateBody) -> Result<Place, Failure> {
    let settings = settings(body).map_err(|error| {
        failure(FailureClass::NodeError, format!("The container's settings cannot be written: {error}."))
    })?;
    Ok(job.node.docker.rooms.enter((RunKey::of(&job.spec), settings), || Room {
        name: format!("{ROOM_NAME}{}", Uuid::new_v4()),
        made: OnceCell::new(),
        need: Mutex::default(),
        sessions: Mutex::default(),
        oom_kills: AtomicU64::new(0),
    }))
}

impl Room {
    /// The running container; the first task makes it and the others wait.
    async fn made(&self, job: &Job, docker: &bollard::Docker, plan: &Plan) -> Result<&Made, Failure> {
        let make = async || {
            let body = waiting(job, &plan.body);
            let created = run::create(job, docker, &plan.image, &self.name, body, || Ok(())).await?;
            let failed = |error| job.node.docker.failure("The container of the run could not be started", &error);
            if let Err(error) = docker.start_container(&self.name, None).await {
                run::remove(&job.node, docker, &self.name).await;
                let failure = failed(error);
                let hint = "`reuse: run` needs `/bin/sh` in the image";
                return Err(Failure { reason: format!("{} ({hint})", failure.reason), ..failure });
            }
            let image = docker.inspect_image(&plan.image.name).await.map_err(failed)?;
            let config = image.config.unwrap_or_default();
            job.log.say("info", "Made the container that tasks of this run share");
            Ok(Made {
                id: created,
                image: image.id,
                entrypoint: config.entrypoint.unwrap_or_default(),
                cmd: config.cmd.unwrap_or_default(),
            })
        };
        self.made.get_or_try_init(make).await
    }

    /// Begins a task in a shell that waits, or in another one.
    async fn begin(
        &self,
        job: &Job,
        docker: &bollard::Docker,
        made: &Made,
        body: &ContainerCreateBody,
    ) -> Result<Task, Error> {
        loop {
            let waiting = self.sessions().pop();
            let is_new = waiting.is_none();
            let mut session = match waiting {
                Some(session) => session,
                None => Session::open(docker, self).await?,
            };
            if session.is_alive()
                && let Some(task) = session.begin(job, made, body).await
            {
                return Ok(task);
            }
            if is_new {
                let message = "the shell of the shared container ended at once".to_owned();
                return Err(Error::DockerResponseServerError { status_code: 409, message });
            }
        }
    }

    /// A task ended, and its shell waits for another.
    fn put_back(&self, session: Session) {
        self.sessions().push(session);
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().expect("no code panics while it holds this")
    }

    /// Runs a line of shell in the room as its root and returns what it printed.
    async fn ask(&self, docker: &bollard::Docker, script: &str, args: &[&str]) -> Result<String, Error> {
        let words = [&["/bin/sh", "-c", script, "updraft"], args].concat();
        let config = ExecConfig {
            attach_stdout: Some(true),
            user: Some("0".to_owned()),
            cmd: Some(words.into_iter().map(str::to_owned).collect()),
            ..ExecConfig::default()
        };
        let exec = docker.create_exec(&self.name, config).await?;
        let bollard::exec::StartExecResults::Attached { mut output, .. } = docker.start_exec(&exec.id, None).await?
        else {
            return Ok(String::new());
        };
        let mut text = Vec::new();
        while let Some(piece) = output.next().await {
            if let LogOutput::StdOut { message } = piece? {
                text.extend_from_slice(&message);
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Whether the kernel killed a process of the room for its memory since `before`; remembers what it sees.
    async fn oom_killed_since(&self, docker: &bollard::Docker, before: u64) -> bool {
        let count = match self.ask(docker, OOM_KILLS, &[]).await {
            Ok(text) => text.lines().next().and_then(|count| count.trim().parse().ok()).unwrap_or(0),
            Err(error) => {
                tracing::debug!(%error, room = self.name, "the room cannot be asked after its memory");
                0
            }
        };
        self.oom_kills.fetch_max(count, Ordering::Relaxed);
        count > before
    }
}

/// What tasks share of a container: all but command, environment, folder and labels.
fn settings(body: &ContainerCreateBody) -> serde_json::Result<Settings> {
    let shared = ContainerCreateBody {
        cmd: None,
        entrypoint: None,
        env: None,
        working_dir: None,
        labels: None,
        tty: None,
        ..body.clone()
    };
    serde_json::to_string(&serde_json::to_value(shared)?)
}

/// The room's own container.
fn waiting(job: &Job, body: &ContainerCreateBody) -> ContainerCreateBody {
    let run = &job.spec.run;
    let label = |name: &str, value: String| (name.to_owned(), value);
    ContainerCreateBody {
        entrypoint: Some(["/bin/sh", "-c"].map(str::to_owned).to_vec()),
        cmd: Some(vec![WAITER.to_owned()]),
        env: None,
        working_dir: None,
        tty: None,
        labels: Some(HashMap::from([
            label(ROOM_LABEL, job.node.session.to_string()),
            label(NODE_LABEL, job.node.identity.to_string()),
            label("updraft.dag_id", run.dag_id.to_string()),
            label("updraft.run_id", run.run_id.to_string()),
        ])),
        ..body.clone()
    }
}

/// Whether a call failed because the room is gone.
fn is_gone(error: &Error) -> bool {
    has_status(error, 404) || has_status(error, 409)
}
