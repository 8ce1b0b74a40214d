//! Containers created ahead for the next tasks (`executor.prewarm`), not started: one is used only if it is what its task turns
//! out to need, else removed.
//!
//! The attempt does not exist yet, so nothing in such a container names it; when it is used, it gets the attempt's name. What
//! templates read from the clock, a variable that changed, an image that was tagged anew make it the wrong one.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bollard::{
    models::ContainerCreateBody,
    query_parameters::{CreateContainerOptionsBuilder, RenameContainerOptionsBuilder},
};
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;
use updraft_core::{
    ids::TaskId,
    metrics::PREWARMED_CONTAINERS,
    operator::{BashArgs, OperatorKind, PullPolicy},
    spec::{Failure, TaskSpec},
};
use uuid::Uuid;

use super::{
    AHEAD_NAME, ATTEMPT_LABEL, Plan, Subject,
    connection::has_status,
    image::Image,
    keep::{Container, Kept, Need, RunKey, User},
    name_of, run,
};
use crate::{
    attempt::{arguments, bundle},
    node::Node,
    render::{self, Rendered},
    runner::Job,
};

/// How long a container waits for its task when no task before it runs here any more.
const IDLE: Duration = Duration::from_mins(1);

/// A container that waits for its task; the running tasks before that are its users.
pub(super) struct Waiting {
    name: String,
    /// `None`: it could not be made.
    made: SetOnce<Option<Made>>,
    need: Mutex<Need>,
}

struct Made {
    id: String,
    /// The image's id.
    image: Option<String>,
    body: ContainerCreateBody,
}

impl Container for Waiting {
    fn name(&self) -> &str {
        &self.name
    }

    fn need(&self) -> &Mutex<Need> {
        &self.need
    }

    fn is_removable(&self) -> bool {
        self.made.initialized()
    }
}

/// The containers that wait on this node, and how many may.
pub(super) struct Ahead {
    limit: usize,
    pub(super) kept: Kept<TaskId, Waiting>,
    /// The node ends.
    closed: CancellationToken,
}

impl Ahead {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit: limit as usize, kept: Kept::new(IDLE), closed: CancellationToken::new() }
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    /// Takes out the containers that nobody needs any more; their names.
    pub(super) fn done(&self, all: bool) -> Vec<String> {
        let done = self.kept.done(all);
        count("unused", done.len());
        done
    }
}

fn key(spec: &TaskSpec) -> (RunKey, TaskId) {
    (RunKey::of(spec), spec.task_id.clone())
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

fn wish(node: &Arc<Node>, spec: TaskSpec) -> Option<User<Waiting>> {
    let ahead = &node.docker.ahead;
    let (wish, is_new) = ahead.kept.enter_within(ahead.limit, key(&spec), || Waiting {
        name: format!("{AHEAD_NAME}{}", Uuid::new_v4()),
        made: SetOnce::new(),
        need: Mutex::default(),
    })?;
    if is_new {
        let (task, container) = (Arc::clone(node), Arc::clone(&wish.0));
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
                task.docker.ahead.kept.forget(&container);
            }
            container.made.set(made).unwrap_or_else(|_| unreachable!("only this sets it"));
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
            let mut args: BashArgs = arguments(&rendered.args)?;
            let Some(image) = node.config.image(args.image.take()) else { return Ok(None) };
            let bundle = bundle(node, spec).await?;
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
    let Some(container) = job.node.docker.ahead.kept.take(&key(&job.spec)) else { return Ok(None) };
    let Some(made) = container.made.wait().await else { return Ok(None) };
    if is_right(docker, made, image, body).await {
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
