//! `resources`: what a task may use of its node. `memory`, `cpus`, `pids` and `ulimits` act; of Airflow's own (`ram`, `disk`, `gpus`)
//! no executor that is left acts on any.

use serde_json::Value;

use super::{
    Context,
    node::{Entry, Node},
    suggest::did_you_mean,
};
use crate::dag::{Resources, Ulimit, parse_bytes};

/// Airflow's, without effect.
const IDLE: &[&str] = &["ram", "disk", "gpus"];
const KNOWN: &[&str] = &["memory", "cpus", "pids", "ulimits"];

impl Context<'_> {
    /// The limits of a task; findings for what is wrong.
    pub(super) fn resources(&self, entry: &Entry) -> Resources {
        let mut resources = Resources::default();
        if entry.value.is_null() {
            return resources;
        }
        let Some(fields) = entry.value.as_mapping() else {
            self.without_effect(entry.key, "`resources` that is no mapping of `memory`, `cpus`, `pids` and `ulimits`");
            return resources;
        };
        for (name, field) in fields {
            let node = &field.value;
            match &**name {
                "memory" => resources.memory = self.amount("memory", node, parse_bytes, "`512m` or a number of bytes"),
                "cpus" => {
                    let positive = |value: &Value| value.as_f64().filter(|cpus| *cpus >= 0.01);
                    resources.cpus = self.amount("cpus", node, positive, "a number of at least 0.01");
                }
                "pids" => {
                    let positive = |value: &Value| value.as_u64().filter(|pids| *pids > 0);
                    resources.pids = self.amount("pids", node, positive, "a number of at least 1");
                }
                "ulimits" => self.ulimits(node, &mut resources),
                name if IDLE.contains(&name) => self.without_effect(field.key, &format!("`resources.{name}`")),
                name => {
                    let message = format!("`resources` has no `{name}`");
                    let help = did_you_mean(name, KNOWN.iter().copied())
                        .unwrap_or_else(|| format!("it has {}", KNOWN.join(", ")));
                    self.findings.error_help("unknown_key", field.key, message, Some(help));
                }
            }
        }
        resources
    }

    fn ulimits(&self, node: &Node, resources: &mut Resources) {
        let Some(fields) = node.as_mapping() else {
            self.wrong_type("ulimits", node, "a mapping of limits such as `nofile: 1024`");
            return;
        };
        for (name, field) in fields {
            let Some(limit) = Ulimit::ALL.iter().find(|limit| *limit.as_str() == **name) else {
                let names: Vec<&str> = Ulimit::ALL.iter().map(|limit| limit.as_str()).collect();
                let message = format!("there is no limit `{name}`");
                let help = did_you_mean(name, names.iter().copied())
                    .unwrap_or_else(|| format!("the limits are {}", names.join(", ")));
                self.findings.error_help("unknown_key", field.key, message, Some(help));
                continue;
            };
            let read = |value: &Value| match value {
                Value::String(word) if word == "unlimited" => Some(None),
                value => parse_bytes(value).map(Some),
            };
            let value = self.amount(limit.as_str(), &field.value, read, "a number, one with a unit, or `unlimited`");
            if let Some(value) = value {
                resources.ulimits.insert(*limit, value);
            }
        }
    }

    fn amount<T>(&self, name: &str, node: &Node, read: impl FnOnce(&Value) -> Option<T>, wanted: &str) -> Option<T> {
        let found = self.json(node).as_ref().and_then(read);
        if found.is_none() {
            self.wrong_type(name, node, wanted);
        }
        found
    }
}
