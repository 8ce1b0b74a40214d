//! Containers and pods.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Command, ExitCodes, values::yes};

/// A bind mount or volume of a container (`docker.types.Mount`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub target: String,
    #[serde(default)]
    pub source: Option<String>,
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub read_only: bool,
}

/// `auto_remove`: Airflow's words, and the booleans of old files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoRemove {
    Never,
    Success,
    /// The node always removes its containers after the outcome is collected, unless told `never`.
    #[default]
    Force,
}

/// Arguments of `DockerOperator` that the Docker runner acts on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DockerArgs {
    pub image: String,
    #[serde(default)]
    pub command: Option<Command>,
    #[serde(default)]
    pub entrypoint: Option<Command>,
    #[serde(default)]
    pub environment: IndexMap<String, String>,
    #[serde(default)]
    pub private_environment: IndexMap<String, String>,
    #[serde(default)]
    pub working_dir: Option<String>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub network_mode: Option<String>,
    #[serde(default)]
    pub cpus: Option<f64>,
    /// Bytes, or text with a unit (`512m`).
    #[serde(default)]
    pub mem_limit: Option<Value>,
    #[serde(default)]
    pub mounts: Vec<Mount>,
    #[serde(default)]
    pub auto_remove: AutoRemove,
    #[serde(default)]
    pub force_pull: bool,
    #[serde(default)]
    pub tty: bool,
    #[serde(default)]
    pub labels: IndexMap<String, String>,
    #[serde(default)]
    pub hostname: Option<String>,
    #[serde(default)]
    pub xcom_all: bool,
    #[serde(default)]
    pub skip_on_exit_code: ExitCodes,
}

/// Arguments of `KubernetesPodOperator` that also have a meaning where a node has Docker and no cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KubernetesPodArgs {
    pub image: String,
    #[serde(default)]
    pub cmds: Vec<String>,
    #[serde(default)]
    pub arguments: Vec<String>,
    /// A mapping, or a list of `{name, value}`.
    #[serde(default)]
    pub env_vars: Value,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub namespace: Option<String>,
    #[serde(default)]
    pub labels: IndexMap<String, String>,
    #[serde(default = "yes")]
    pub get_logs: bool,
    #[serde(default)]
    pub image_pull_policy: Option<String>,
    #[serde(default)]
    pub do_xcom_push: bool,
    #[serde(default)]
    pub skip_on_exit_code: ExitCodes,
}
