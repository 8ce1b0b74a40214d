//! Containers created ahead for the next tasks (`executor.prewarm`), not started: one is used only if it is what its task turns
//! out to need, else removed.
//!
//! The attempt does not exist yet, so nothing in such a container names it; when it is used, it gets the attempt's name. What
//! templates read from the clock, a variable that changed, an image that was tagged anew make it the wrong one.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bollard::{
    models::ContainerCreateBody,
    query_parameters::{CreateContainerOptionsBuilder, RenameContainerOptionsBuilder},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use updraft_core::{
    ids::TaskId,
    metrics::PREWARMED_CONTAINERS,
    operator::{OperatorKind, PullPolicy},
    spec::{Failure, TaskSpec},
};
use uuid::Uuid;

use super::{
    AHEAD_NAME, ATTEMPT_LABEL, Plan, Subject,
    connection::has_status,
    image::Image,
    keep::{Need, RunKey},
    name_of, run,
};
use crate::{
    attempt::arguments,
    node::Node,
    render::{self, Rendered},
    runner::Job,
};

/// How long a container waits for its task when no task before it runs here any more.
const IDLE: Duration = Duration::from_mins(1);

/// The task a container is for.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    run: RunKey,
    task_id: TaskId,
}

impl Key {
    fn of(spec: &TaskSpec) -> Self {
        Self { run: RunKey::of(spec), task_id: spec.task_id.clone() }
    }
}

/// A container that waits for its task.
struct Container {
    name: String,
    making: watch::Sender<Making>,
    /// The running tasks before its own are its users.
    need: Mutex<Need>,
}

#[derive(Clone)]
enum Making {
    Going,
    Over(Option<Arc<Made>>),
}

struct Made {
    id: String,
    /// The image's id.
    image: Option<String>,
    body: ContainerCreateBody,
}

impl Container {
    fn need(&self) -> MutexGuard<'_, Need> {
        self.need.lock().expect("no code panics while it holds this")
    }

    fn is_going(&self) -> bool {
        matches!(*self.making.borrow(), Making::Going)
    }

    /// What was made, once that is over.
    async fn made(&self) -> Option<Arc<Made>> {
        let mut making = self.making.subscribe();
        match making.wait_for(|making| matches!(making, Making::Over(_))).await.as_deref() {
            Ok(Making::Over(made)) => made.clone(),
            // The sender is `self`.
            Ok(Making::Going) | Err(_) => None,
        }
    }
}

/// A running task's wish for the container of one that comes after it; given up when dropped.
struct Wish {
    container: Arc<Container>,
}

impl Drop for Wish {
    fn drop(&mut self) {
        self.container.need().leave();
    }
}

/// The containers that wait on this node.
pub(super) struct Ahead {
    limit: usize,
    by_key: Mutex<HashMap<Key, Arc<Container>>>,
    /// The node ends.
    closed: CancellationToken,
}

impl Ahead {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit: limit as usize, by_key: Mutex::default(), closed: CancellationToken::new() }
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    /// A task before it wishes for this container. Also whether it has to be made; `None`: there are as many as may be.
    fn wish(&self, key: Key) -> Option<(Wish, bool)> {
        let mut by_key = self.lock();
        let known = by_key.get(&key).cloned();
        let is_new = known.is_none();
        if is_new && by_key.len() >= self.limit {
            return None;
        }
        let container = known.unwrap_or_else(|| {
            let container = Arc::new(Container {
                name: format!("{AHEAD_NAME}{}", Uuid::new_v4()),
                making: watch::Sender::new(Making::Going),
                need: Mutex::default(),
            });
            by_key.insert(key, Arc::clone(&container));
            container
        });
        container.need().enter();
        Some((Wish { container }, is_new))
    }

    fn take(&self, key: &Key) -> Option<Arc<Container>> {
        self.lock().remove(key)
    }

    fn forget(&self, container: &Arc<Container>) {
        self.lock().retain(|_, known| !Arc::ptr_eq(known, container));
    }

    /// Runs of which a task is waited for: the server says which of them are over.
    pub(super) fn runs(&self) -> HashSet<RunKey> {
        self.lock().keys().map(|key| key.run.clone()).collect()
    }

    /// These runs ended.
    pub(super) fn over(&self, runs: &[RunKey]) {
        for (_, container) in self.lock().iter().filter(|(key, _)| runs.contains(&key.run)) {
            container.need().end();
        }
    }

    /// Takes out the containers that nobody needs any more; their names.
    pub(super) fn done(&self, all: bool) -> Vec<String> {
        // One that is being made cannot be removed yet.
        let done = |container: &Container| all || (!container.is_going() && container.need().is_over(IDLE));
        let done: Vec<String> = self
            .lock()
            .extract_if(|_, container| done(container))
            .map(|(_, container)| container.name.clone())
            .collect();
        count("unused", done.len());
        done
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.lock().values().any(|container| container.name == name)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Container>>> {
        self.by_key.lock().expect("no code panics while it holds the list")
    }
}

fn count(fate: &'static str, containers: usize) {
    metrics::counter!(PREWARMED_CONTAINERS.name, "fate" => fate).increment(containers as u64);
}

/// Creates containers for the tasks after this one while it runs, as far as the node may. Never ends; when dropped, the wish for
/// them is given up.
pub(crate) async fn prepare_next(job: &Job) -> Infallible {
    let mut wishes = Vec::new();
    if job.node.docker.ahead.limit > 0 && job.spec.has_next {
        // Not before: it would only delay this task.
        job.progress.running().await;
        match job.node.client.next(job.id, &job.start.token).await {
            Ok(specs) => {
                let specs = specs.into_iter().filter_map(|spec| serde_json::from_value(spec).ok());
                wishes.extend(specs.map_while(|spec| wish(&job.node, spec)));
            }
            Err(error) => tracing::debug!(%error, attempt_id = %job.id, "no container is created ahead"),
        }
    }
    let _held = wishes;
    std::future::pending().await
}

fn wish(node: &Arc<Node>, spec: TaskSpec) -> Option<Wish> {
    let (wish, is_new) = node.docker.ahead.wish(Key::of(&spec))?;
    if is_new {
        let (task, container) = (Arc::clone(node), Arc::clone(&wish.container));
        node.tracker.spawn(async move {
            let made = tokio::select! {
                made = make(&task, &container.name, &spec) => made,
                () = task.docker.ahead.closed.cancelled() => Ok(None),
            };
            let made = made.unwrap_or_else(|failure| {
                // Its task says it again, to people.
                tracing::debug!(reason = failure.reason, "a container was not created ahead");
                None
            });
            if made.is_none() {
                task.docker.ahead.forget(&container);
            }
            container.making.send_replace(Making::Over(made.map(Arc::new)));
        });
    }
    Some(wish)
}

/// `None`: the task has no container that can be created now.
async fn make(node: &Node, name: &str, spec: &TaskSpec) -> Result<Option<Made>, Failure> {
    let Some(docker) = node.docker.connected() else { return Ok(None) };
    let Some(rendered) = render::render_known(node, spec).await? else { return Ok(None) };
    let Some(Plan { image, body, .. }) = plan(node, spec, &rendered).await? else { return Ok(None) };
    let failed = |error| node.docker.failure("The container could not be created ahead", &error);
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let id = match docker.create_container(Some(options), body.clone()).await {
        Ok(created) => created.id,
        // The image is being fetched, or its task says what is wrong with it.
        Err(error) if has_status(&error, 404) => {
            tracing::debug!(image = image.name, "no container is created ahead: its image is not here");
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let inspected = docker.inspect_container(name, None).await.map_err(failed)?;
    Ok(Some(Made { id, image: inspected.image, body }))
}

/// The container of a task that runs alone in one.
async fn plan(node: &Node, spec: &TaskSpec, rendered: &Rendered) -> Result<Option<Plan>, Failure> {
    let subject = Subject { node, attempt: None, spec, label: None };
    match spec.operator {
        OperatorKind::Docker => Plan::operator(&subject, arguments(&rendered.args)?, rendered, None).map(Some),
        OperatorKind::Bash => {
            let mut args: updraft_core::operator::BashArgs = arguments(&rendered.args)?;
            let Some(image) = args.image.take().or_else(|| node.config.default_image.clone()) else { return Ok(None) };
            let bundle = match &spec.bundle_hash {
                Some(hash) => Some(node.bundles.get(hash).await?),
                None => None,
            };
            Ok(Some(Plan::bash(&subject, args, image, rendered, bundle.as_deref())))
        }
        _ => Ok(None),
    }
}

/// Gives an attempt the container that was created ahead for it, if it is the right one; answers its id. `before`: done before
/// the attempt has it.
pub(super) async fn take(
    job: &Job,
    docker: &bollard::Docker,
    image: &Image,
    body: &ContainerCreateBody,
    before: impl Fn() -> Result<(), Failure>,
) -> Result<Option<String>, Failure> {
    let Some(container) = job.node.docker.ahead.take(&Key::of(&job.spec)) else { return Ok(None) };
    let Some(made) = container.made().await else { return Ok(None) };
    if is_right(docker, &made, image, body).await {
        before()?;
        let options = RenameContainerOptionsBuilder::default().name(&name_of(job.id)).build();
        match docker.rename_container(&container.name, options).await {
            Ok(()) => {
                count("used", 1);
                return Ok(Some(made.id.clone()));
            }
            // Somebody removed it, most likely: waiting containers look like left ones.
            Err(error) => {
                job.uncreated();
                tracing::debug!(%error, attempt_id = %job.id, "a container that was created ahead cannot be used");
            }
        }
    }
    count("changed", 1);
    let (node, docker) = (Arc::clone(&job.node), docker.clone());
    job.node.tracker.spawn(async move { run::remove(&node, &docker, &container.name).await });
    Ok(None)
}

/// Whether what was made is what would be made now.
async fn is_right(docker: &bollard::Docker, made: &Made, image: &Image, body: &ContainerCreateBody) -> bool {
    let mut wanted = body.clone();
    wanted.labels.get_or_insert_default().remove(ATTEMPT_LABEL);
    if image.pull == PullPolicy::Always || image.login.is_some() || wanted != made.body {
        return false;
    }
    let current = docker.inspect_image(&image.name).await.ok().and_then(|image| image.id);
    current.is_some() && current == made.image
}
