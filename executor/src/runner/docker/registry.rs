//! What a registry wants to see: a connection of type `docker` (Airflow's `DockerHook`).

use bollard::auth::DockerCredentials;
use updraft_core::{
    connection::Connection,
    spec::{Failure, FailureClass},
};
use updraft_protocol::Ref;

use crate::{
    render,
    runner::{Job, failure},
};

/// The registry of images that name none.
const DOCKER_HUB: &str = "docker.io";

/// The login of a connection for an image. None for an image of another registry, which is not told the password.
pub(super) async fn login(job: &Job, conn_id: &str, image: &str) -> Result<Option<DockerCredentials>, Failure> {
    let wrong = |what: &str| {
        failure(FailureClass::InvalidArguments, format!("`docker_conn_id`: the connection `{conn_id}` {what}."))
    };
    let wanted = vec![Ref::Connection { conn_id: conn_id.to_owned() }];
    let found = render::fetch(&job.node, &job.start, wanted).await?;
    job.log.hide(&render::resolved(&found).mask());
    let value = found.into_iter().find_map(|found| found.value).ok_or_else(|| wrong("does not exist"))?;
    let connection: Connection = serde_json::from_value(value).map_err(|error| wrong(&format!("is none: {error}")))?;
    let host = connection.host.as_deref().filter(|host| !host.is_empty()).ok_or_else(|| {
        wrong("names no registry: its host is to be one, such as registry.example.com:5000 or docker.io")
    })?;
    let registry = registry_of_host(host, connection.port);
    if registry != registry_of_image(image) {
        job.log.say(
            "warning",
            &format!("Image {image} is not of {registry}: the connection `{conn_id}` is not used for it."),
        );
        return Ok(None);
    }
    Ok(Some(DockerCredentials {
        username: connection.login,
        password: connection.password,
        serveraddress: Some(registry),
        ..DockerCredentials::default()
    }))
}

/// `https://index.docker.io/v1/` and the like are what people write for the Docker Hub.
fn registry_of_host(host: &str, port: Option<i32>) -> String {
    let host = host.split_once("://").map_or(host, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or(host);
    match (host, port) {
        ("docker.io" | "index.docker.io" | "registry-1.docker.io" | "hub.docker.com", _) => DOCKER_HUB.to_owned(),
        (host, Some(port)) if !host.contains(':') => format!("{host}:{port}"),
        (host, _) => host.to_owned(),
    }
}

/// Docker's rule: the first part is a registry when it looks like a host.
fn registry_of_image(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => DOCKER_HUB,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_and_a_connection_name_the_same_registry() {
        for (host, port, image) in [
            ("https://index.docker.io/v1/", None, "busybox"),
            ("docker.io", None, "library/busybox:1"),
            ("registry.example.com", Some(5000), "registry.example.com:5000/a/b"),
            ("http://127.0.0.1:5000", Some(5000), "127.0.0.1:5000/a"),
        ] {
            assert_eq!(registry_of_host(host, port), registry_of_image(image), "{image}");
        }
        assert_ne!(registry_of_host("registry.example.com", None), registry_of_image("registry.evil.com/a"));
    }
}
