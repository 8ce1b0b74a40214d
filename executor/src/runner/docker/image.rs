//! Getting an image onto the node: one pull per image at a time, whoever waits for it shares its outcome.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bollard::{
    auth::DockerCredentials, errors::Error, models::CreateImageInfo, query_parameters::CreateImageOptionsBuilder,
};
use futures::StreamExt;
use tokio::{
    sync::watch,
    time::{Instant, interval_at},
};
use tokio_util::sync::CancellationToken;
use updraft_core::{
    operator::PullPolicy,
    spec::{Failure, FailureClass},
};

use super::{
    connection::{has_status, is_away},
    layers::Layers,
};
use crate::{
    node::Node,
    runner::{Job, failure},
};

/// The launch deadline is extended this often while a pull goes on.
const TELL: Duration = Duration::from_secs(15);
/// How often a pull's progress is a line of the task's log.
const SHOW: Duration = Duration::from_secs(5);

/// An image is looked for ahead of its tasks at most this often.
const AHEAD: Duration = Duration::from_secs(30);

/// An image and how to get it.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) pull: PullPolicy,
    /// What its registry wants to see.
    pub(crate) login: Option<DockerCredentials>,
}

impl Image {
    pub(crate) fn new(name: String) -> Self {
        Self { name, pull: PullPolicy::Missing, login: None }
    }
}

/// Where a pull stands.
#[derive(Clone, Debug)]
enum Pulling {
    /// In words for people; empty until the registry has answered.
    Going(String),
    Over(Result<(), Failure>),
}

/// An image, and who asks for it: another login may not see it.
type Key = (String, Option<String>);

/// The pulls under way on this node.
#[derive(Default)]
pub(super) struct Pulls {
    under_way: Mutex<HashMap<Key, watch::Sender<Pulling>>>,
    /// When images were looked for ahead of their tasks.
    ahead: Mutex<HashMap<String, Instant>>,
    /// The node ends: nothing more is fetched ahead.
    closed: CancellationToken,
}

impl Pulls {
    /// Takes part in the pull of an image; begins it when there is none. It ends when nobody waits for it any more.
    fn join(&self, node: &Arc<Node>, docker: &bollard::Docker, image: &Image) -> watch::Receiver<Pulling> {
        let login = image.login.as_ref().map(|login| format!("{:?}:{:?}", login.username, login.password));
        let key = (image.name.clone(), login);
        let mut under_way = self.lock();
        if let Some(pull) = under_way.get(&key) {
            return pull.subscribe();
        }
        let (sender, receiver) = watch::channel(Pulling::Going(String::new()));
        under_way.insert(key.clone(), sender.clone());
        drop(under_way);
        let (task, docker, image) = (Arc::clone(node), docker.clone(), image.clone());
        node.tracker.spawn(async move {
            let mut work = std::pin::pin!(work(&task, &docker, &image, &sender));
            loop {
                tokio::select! {
                    over = &mut work => {
                        task.docker.pulls.lock().remove(&key);
                        sender.send_replace(Pulling::Over(over));
                        return;
                    }
                    () = sender.closed() => {
                        let mut under_way = task.docker.pulls.lock();
                        // Somebody may have joined just now.
                        if sender.receiver_count() == 0 {
                            under_way.remove(&key);
                            return;
                        }
                    }
                }
            }
        });
        receiver
    }

    /// Those of the images that nobody looked for in a while.
    fn unasked<'a>(&self, images: &'a [String]) -> Vec<&'a String> {
        let now = Instant::now();
        let mut ahead = self.ahead.lock().expect("no code panics while it holds the list");
        ahead.retain(|_, at| now.duration_since(*at) < AHEAD);
        images.iter().filter(|image| ahead.insert((*image).clone(), now).is_none()).collect()
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Sender<Pulling>>> {
        self.under_way.lock().expect("no code panics while it holds the list")
    }
}

/// Fetches images that tasks of a run that begins will need and the node does not have.
pub(crate) fn fetch_ahead(node: &Arc<Node>, images: &[String]) {
    if images.is_empty() {
        return;
    }
    let Some(docker) = node.docker.connected() else { return };
    for name in node.docker.pulls.unasked(images) {
        let (task, docker, image) = (Arc::clone(node), docker.clone(), Image::new(name.clone()));
        node.tracker.spawn(async move {
            let fetched = fetch(&task, &docker, &image);
            tokio::select! {
                fetched = fetched => if let Err(failure) = fetched {
                    tracing::debug!(reason = failure.reason, "an image was not fetched ahead; its task tries again");
                },
                () = task.docker.pulls.closed.cancelled() => {}
            }
        });
    }
}

async fn fetch(node: &Arc<Node>, docker: &bollard::Docker, image: &Image) -> Result<(), Failure> {
    match docker.inspect_image(&image.name).await {
        Ok(_) => Ok(()),
        Err(error) if has_status(&error, 404) => {
            let mut pulling = node.docker.pulls.join(node, docker, image);
            let over = pulling.wait_for(|pulling| matches!(pulling, Pulling::Over(_))).await;
            match over.as_deref() {
                Ok(Pulling::Over(result)) => result.clone(),
                Ok(Pulling::Going(_)) | Err(_) => Err(given_up(&image.name)),
            }
        }
        Err(error) => Err(node.docker.failure("The image cannot be looked for", &error)),
    }
}

fn given_up(image: &str) -> Failure {
    failure(FailureClass::NodeError, format!("The pull of image {image} was given up."))
}

/// Pulls an image for an attempt, telling the server that it is being prepared and the task's log how far it is.
pub(super) async fn pull(job: &Job, docker: &bollard::Docker, image: &Image) -> Result<(), Failure> {
    let name = &image.name;
    job.log.say("info", &format!("Pulling image {name}"));
    job.preparing(&format!("pulling image {name}"));
    let pulling = job.node.docker.pulls.join(&job.node, docker, image);
    let mut end = pulling.clone();
    let mut over = std::pin::pin!(end.wait_for(|pulling| matches!(pulling, Pulling::Over(_))));
    let (mut tell, mut show) = (interval_at(Instant::now() + TELL, TELL), interval_at(Instant::now() + SHOW, SHOW));
    let mut shown = String::new();
    loop {
        tokio::select! {
            over = &mut over => {
                match over.map(|pulling| pulling.clone()) {
                    Ok(Pulling::Over(result)) => result?,
                    Ok(Pulling::Going(_)) | Err(_) => {
                        return Err(given_up(name));
                    }
                }
                job.log.say("info", &format!("Pulled image {name}"));
                return Ok(());
            }
            _ = tell.tick() => job.preparing(&format!("pulling image {name}")),
            _ = show.tick() => {
                let text = match &*pulling.borrow() {
                    Pulling::Going(text) => text.clone(),
                    Pulling::Over(_) => continue,
                };
                if text != shown {
                    job.log.say("info", &format!("Pulling image {name}: {text}"));
                    shown = text;
                }
            }
        }
    }
}

async fn work(
    node: &Node,
    docker: &bollard::Docker,
    image: &Image,
    told: &watch::Sender<Pulling>,
) -> Result<(), Failure> {
    let (name, tag) = reference(&image.name);
    let options = CreateImageOptionsBuilder::default().from_image(name).tag(tag).build();
    let mut progress = std::pin::pin!(docker.create_image(Some(options), None, image.login.clone()));
    let mut layers = Layers::default();
    while let Some(step) = progress.next().await {
        match step {
            Ok(CreateImageInfo { error_detail: Some(detail), .. }) => {
                return Err(unpulled(&image.name, &detail.message.unwrap_or_default()));
            }
            Ok(step) => {
                layers.take(step);
                told.send_replace(Pulling::Going(layers.to_string()));
            }
            Err(error) if is_away(&error) => {
                return Err(node.docker.failure(&format!("Image {} could not be pulled", image.name), &error));
            }
            Err(Error::DockerResponseServerError { message: error, .. } | Error::DockerStreamError { error }) => {
                return Err(unpulled(&image.name, &error));
            }
            Err(error) => return Err(unpulled(&image.name, &error.to_string())),
        }
    }
    Ok(())
}

fn unpulled(image: &str, error: &str) -> Failure {
    missing(image, &format!("could not be pulled: {}", error.trim().trim_end_matches('.')))
}

/// The failure of an image that is not there.
pub(super) fn missing(image: &str, why: &str) -> Failure {
    failure(
        FailureClass::ImageMissing,
        format!(
            "Image `{image}` is not on this node and {why}. Load it there (docker load, docker pull) or correct the name."
        ),
    )
}

/// Name and tag or digest: without a tag the daemon would pull every tag there is.
fn reference(image: &str) -> (&str, &str) {
    if let Some(parts) = image.split_once('@') {
        return parts;
    }
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::reference;

    #[test]
    fn references_are_taken_apart() {
        assert_eq!(reference("busybox"), ("busybox", "latest"));
        assert_eq!(reference("host:5000/a/b"), ("host:5000/a/b", "latest"));
        assert_eq!(reference("host:5000/a/b:1.2"), ("host:5000/a/b", "1.2"));
        assert_eq!(reference("a@sha256:12"), ("a", "sha256:12"));
    }
}
