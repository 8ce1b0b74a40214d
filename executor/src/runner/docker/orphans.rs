//! Containers of this node that nobody needs: of attempts that are not live any more, and what an earlier life kept for later.

use std::{collections::HashMap, time::Duration};

use bollard::{errors::Error, query_parameters::ListContainersOptionsBuilder};
use uuid::Uuid;

use super::{AHEAD_NAME, ATTEMPT_NAME, AUTO_REMOVE_LABEL, NODE_LABEL, ROOM_NAME, run};
use crate::node::Node;

/// A daemon that hangs must not keep the node from reconciling.
const PATIENCE: Duration = Duration::from_secs(30);

/// A container of this node.
struct Owned {
    name: String,
    role: Role,
    /// It is to stay once it has ended (`auto_remove`).
    kept: bool,
    running: bool,
}

/// What a container is for, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Attempt(Uuid),
    Room,
    Ahead,
}

impl Role {
    fn of(name: &str) -> Option<Self> {
        if name.starts_with(ROOM_NAME) {
            return Some(Self::Room);
        }
        if name.starts_with(AHEAD_NAME) {
            return Some(Self::Ahead);
        }
        name.strip_prefix(ATTEMPT_NAME)?.parse().ok().map(Self::Attempt)
    }
}

/// Removes what nobody needs, as far as the daemon answers.
pub(crate) async fn remove_orphans(node: &Node) {
    let Some(docker) = node.docker.connected() else { return };
    match tokio::time::timeout(PATIENCE, remove(node, &docker, |_| true)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "containers cannot be listed; orphans are looked for again later"),
        Err(_elapsed) => tracing::warn!("the Docker daemon is slow; orphans are looked for again later"),
    }
}

/// Removes the shared containers that no task of this life made.
pub(super) async fn remove_rooms(node: &Node, docker: &bollard::Docker) -> Result<(), Error> {
    remove(node, docker, |role| role == Role::Room).await
}

async fn remove(node: &Node, docker: &bollard::Docker, chosen: impl Fn(Role) -> bool) -> Result<(), Error> {
    for container in owned(node, docker).await?.into_iter().filter(|container| chosen(container.role)) {
        let name = &container.name;
        let needed = match container.role {
            Role::Attempt(id) => node.is_live(id) || (container.kept && !container.running),
            Role::Room => node.docker.rooms.holds(name),
            Role::Ahead => node.docker.ahead.kept.holds(name),
        };
        if needed {
            continue;
        }
        if let Role::Attempt(id) = container.role {
            tracing::info!(attempt_id = %id, "removing a container whose attempt is not live any more");
            metrics::counter!(updraft_core::metrics::ORPHANED_CONTAINERS.name).increment(1);
        } else {
            tracing::info!(container = name, "removing a container that an earlier life of this node kept for later");
        }
        // By the name that was listed: one that was given to an attempt since has another.
        run::remove(node, docker, name).await;
    }
    Ok(())
}

async fn owned(node: &Node, docker: &bollard::Docker) -> Result<Vec<Owned>, Error> {
    let filters = HashMap::from([("label".to_owned(), vec![format!("{NODE_LABEL}={}", node.identity)])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let listed = docker.list_containers(Some(options)).await?.into_iter().filter_map(|container| {
        let name = container.names.unwrap_or_default().pop()?.trim_start_matches('/').to_owned();
        let labels = container.labels.unwrap_or_default();
        Some(Owned {
            role: Role::of(&name)?,
            name,
            kept: labels.get(AUTO_REMOVE_LABEL).is_some_and(|word| word != "force"),
            running: container.state.is_some_and(|state| state.to_string() == "running"),
        })
    });
    Ok(listed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::docker::name_of;

    #[test]
    fn a_name_says_what_a_container_is_for() {
        let id = Uuid::from_u128(7);
        assert_eq!(Role::of(&name_of(id)), Some(Role::Attempt(id)));
        assert_eq!(Role::of(&format!("{ROOM_NAME}{id}")), Some(Role::Room));
        assert_eq!(Role::of(&format!("{AHEAD_NAME}{id}")), Some(Role::Ahead));
        assert_eq!(Role::of("updraft-postgres"), None);
        assert_eq!(Role::of("postgres"), None);
    }
}
