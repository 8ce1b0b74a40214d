//! `resources` of a task as limits of its container.

use bollard::models::{HostConfig, ResourcesUlimits};
use updraft_core::dag::Resources;

/// What the daemon is told; an operator's own arguments (`mem_limit`, `ulimits`) win.
pub(super) fn host(resources: &Resources) -> HostConfig {
    let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let ulimits = resources.ulimits.iter().map(|(limit, value)| {
        // Docker writes `unlimited` as -1.
        let value = value.map_or(-1, whole);
        ResourcesUlimits { name: Some(limit.as_str().to_owned()), soft: Some(value), hard: Some(value) }
    });
    HostConfig {
        memory: resources.memory.map(whole),
        // Without swap to go to, the limit is where it is said to be.
        memory_swap: resources.memory.map(whole),
        nano_cpus: resources.cpus.map(|cpus| (cpus * 1e9).round() as i64),
        pids_limit: resources.pids.map(whole),
        ulimits: (!resources.ulimits.is_empty()).then(|| ulimits.collect()),
        ..HostConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_has_the_limits_of_its_task() {
        let resources = json!({"memory": 1024, "cpus": 1.5, "pids": 7, "ulimits": {"core": null, "nofile": 64}});
        let host = host(&serde_json::from_value(resources).unwrap());
        assert_eq!((host.memory, host.memory_swap, host.nano_cpus), (Some(1024), Some(1024), Some(1_500_000_000)));
        assert_eq!(host.pids_limit, Some(7));
        let ulimits: Vec<_> =
            host.ulimits.unwrap().into_iter().map(|limit| (limit.name, limit.soft, limit.hard)).collect();
        let named = |name: &str, value| (Some(name.to_owned()), Some(value), Some(value));
        assert_eq!(ulimits, [named("core", -1), named("nofile", 64)]);
        assert_eq!(super::host(&Resources::default()), HostConfig::default());
    }
}
