//! Getting an image onto the node.

use std::time::{Duration, Instant};

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt;
use updraft_core::spec::{Failure, FailureClass};

use super::connection::is_away;
use crate::runner::{Job, failure};

/// The launch deadline is extended this often while a pull goes on.
const TELL: Duration = Duration::from_secs(15);

/// Pulls an image, telling the server that the attempt is being prepared.
pub(super) async fn pull(job: &Job, docker: &bollard::Docker, image: &str) -> Result<(), Failure> {
    let (name, tag) = reference(image);
    job.log.say("info", &format!("Pulling image {image}"));
    job.preparing(&format!("pulling image {image}"));
    let options = CreateImageOptionsBuilder::default().from_image(name).tag(tag).build();
    let mut progress = docker.create_image(Some(options), None, None);
    let mut told = Instant::now();
    while let Some(step) = progress.next().await {
        let error = match step {
            Ok(step) => step.error_detail.and_then(|detail| detail.message),
            Err(error) if is_away(&error) => {
                return Err(job.node.docker.failure(&format!("Image {image} could not be pulled"), &error));
            }
            Err(bollard::errors::Error::DockerResponseServerError { message, .. }) => Some(message),
            Err(bollard::errors::Error::DockerStreamError { error }) => Some(error),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = error {
            return Err(missing(image, &format!("could not be pulled: {}", error.trim().trim_end_matches('.'))));
        }
        if told.elapsed() >= TELL {
            job.preparing(&format!("pulling image {image}"));
            told = Instant::now();
        }
    }
    job.log.say("info", &format!("Pulled image {image}"));
    Ok(())
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
