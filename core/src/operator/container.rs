//! Containers and pods.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Command, ExitCodes,
    values::{flag, names, yes},
};

/// A mount of a container (`docker.types.Mount`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    pub target: String,
    #[serde(default)]
    pub source: Option<String>,
    /// `bind`, `volume` (also when nothing is said) or `tmpfs`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub read_only: bool,
    #[serde(default)]
    pub consistency: Option<String>,
    /// Of a bind mount: `private`, `rprivate`, `shared`, `rshared`, `slave` or `rslave`.
    #[serde(default)]
    pub propagation: Option<String>,
    /// Of a volume: without what the image has there.
    #[serde(default)]
    pub no_copy: Option<bool>,
    /// Of a volume.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Of a tmpfs. Bytes, or text with a unit (`64m`).
    #[serde(default)]
    pub tmpfs_size: Option<Value>,
    /// Of a tmpfs: its permissions.
    #[serde(default)]
    pub tmpfs_mode: Option<i64>,
}

/// A limit of the container's processes (`docker.types.Ulimit`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ulimit {
    /// `nofile`, `nproc`, …
    #[serde(alias = "Name")]
    pub name: String,
    #[serde(default, alias = "Soft")]
    pub soft: Option<i64>,
    #[serde(default, alias = "Hard")]
    pub hard: Option<i64>,
}

/// Devices of the node, such as GPUs, that a container gets (`docker.types.DeviceRequest`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRequest {
    #[serde(default)]
    pub driver: Option<String>,
    /// -1: all.
    #[serde(default)]
    pub count: Option<i64>,
    #[serde(default)]
    pub device_ids: Option<Vec<String>>,
    /// Any of lists of capabilities.
    #[serde(default)]
    pub capabilities: Option<Vec<Vec<String>>>,
    #[serde(default)]
    pub options: Option<BTreeMap<String, String>>,
}

/// `tmpfs`, native: folders in memory. Folder → options of the mount (`size=64m,mode=1777`), or the folders alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Tmpfs {
    One(String),
    Folders(Vec<String>),
    Options(IndexMap<String, String>),
}

/// `pull`, native: when an image is fetched from its registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// When the node does not have it.
    #[default]
    Missing,
    /// Before every start (Airflow: `force_pull`).
    Always,
    Never,
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

/// `reuse`, native: whose container a task is a process of, when not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reuse {
    /// The tasks' of its run that have the same image and settings.
    Run,
}

/// Arguments of `DockerOperator` that the Docker runner acts on. Those without a comment are Docker's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DockerArgs {
    pub image: String,
    #[serde(default)]
    pub command: Option<Command>,
    #[serde(default)]
    pub entrypoint: Option<Command>,
    #[serde(default)]
    pub environment: IndexMap<String, String>,
    /// Hidden in the task's log.
    #[serde(default)]
    pub private_environment: IndexMap<String, String>,
    /// The text of a `.env` file; `environment` wins.
    #[serde(default)]
    pub env_file: Option<String>,
    #[serde(default)]
    pub working_dir: Option<String>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub hostname: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub tty: bool,
    #[serde(default)]
    pub labels: IndexMap<String, String>,

    /// A relative weight, 1.0 the usual one.
    #[serde(default)]
    pub cpus: Option<f64>,
    /// Bytes, or text with a unit (`512m`).
    #[serde(default)]
    pub mem_limit: Option<Value>,
    /// The size of `/dev/shm`, likewise.
    #[serde(default)]
    pub shm_size: Option<Value>,
    #[serde(default)]
    pub ulimits: Vec<Ulimit>,
    #[serde(default)]
    pub device_requests: Vec<DeviceRequest>,

    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// `/host:/container[:ro]`: what `mounts` was called before.
    #[serde(default, deserialize_with = "names::deserialize")]
    pub volumes: Vec<String>,
    #[serde(default)]
    pub tmpfs: Option<Tmpfs>,
    /// An empty folder of the node at `tmp_dir`, also in `AIRFLOW_TMP_DIR`.
    #[serde(default, deserialize_with = "flag")]
    pub mount_tmp_dir: bool,
    #[serde(default)]
    pub tmp_dir: Option<String>,

    #[serde(default)]
    pub network_mode: Option<String>,
    #[serde(default, deserialize_with = "names::deserialize")]
    pub dns: Vec<String>,
    #[serde(default, deserialize_with = "names::deserialize")]
    pub dns_search: Vec<String>,
    /// Name → address.
    #[serde(default)]
    pub extra_hosts: IndexMap<String, String>,
    /// Port of the container → port of the node, or as docker-py has it.
    #[serde(default)]
    pub port_bindings: IndexMap<String, Value>,

    /// Refused unless the node's configuration allows it.
    #[serde(default, deserialize_with = "flag")]
    pub privileged: bool,
    #[serde(default, deserialize_with = "names::deserialize")]
    pub cap_add: Vec<String>,
    #[serde(default)]
    pub ipc_mode: Option<String>,

    /// How large a file of the daemon's own log may be (`10m`), and how many there are.
    #[serde(default)]
    pub log_opts_max_size: Option<String>,
    #[serde(default)]
    pub log_opts_max_file: Option<String>,

    #[serde(default)]
    pub auto_remove: AutoRemove,
    #[serde(default, deserialize_with = "flag")]
    pub force_pull: bool,
    /// Wins over `force_pull`.
    #[serde(default)]
    pub pull: Option<PullPolicy>,
    /// The registry's connection.
    #[serde(default)]
    pub docker_conn_id: Option<String>,
    #[serde(default)]
    pub reuse: Option<Reuse>,

    #[serde(default, deserialize_with = "flag")]
    pub xcom_all: bool,
    /// The result is the file of this path, JSON; [`RESULT_FILE`] without a path.
    #[serde(default, deserialize_with = "flag")]
    pub retrieve_output: bool,
    #[serde(default)]
    pub retrieve_output_path: Option<String>,
    #[serde(default)]
    pub skip_on_exit_code: ExitCodes,
}

/// Where a pod leaves its result (Airflow's XCom sidecar reads this file), and a container with `retrieve_output`.
pub const RESULT_FILE: &str = "/airflow/xcom/return.json";

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
