//! The operators the engine runs, and their arguments in long form.
//!
//! A task keeps its arguments as JSON, since templates may stand anywhere in them; after rendering, the node reads them with
//! the typed structs below. The loader reads the same structs to check names and types, so both agree by construction.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What runs a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorKind {
    /// Decided in the scheduler, never leaves it.
    Empty,
    /// Native: a node takes it and reports success. Measures the engine itself.
    Noop,
    Bash,
    Python,
    /// A Python function whose result names the downstream tasks to follow.
    BranchPython,
    /// A Python function whose falsy result skips what is downstream.
    ShortCircuitPython,
    Docker,
    KubernetesPod,
    /// A template that renders to the downstream tasks to follow.
    Branch,
    /// A template whose falsy result skips what is downstream.
    ShortCircuit,
    LatestOnly,
    BranchDayOfWeek,
    BranchDateTime,
    TriggerDagRun,
    ExternalTaskSensor,
    TimeSensor,
    TimeDeltaSensor,
    DateTimeSensor,
    DayOfWeekSensor,
    BashSensor,
    PythonSensor,
    FileSensor,
    /// Waits for a person (`ApprovalOperator` and its relatives).
    Hitl,
    /// A class that loads and is shown but cannot run here; starting it fails with the class named.
    Unsupported,
}

/// Where a task of an operator runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Decided in the plan, without an attempt.
    Plan,
    /// An attempt that dispatch places on a node.
    Node,
    /// An attempt that the triggerer, a loop of the scheduler, works on: it needs the database and nothing else, and waits
    /// without holding a slot.
    Triggerer,
    /// Nowhere: starting it fails with the class named.
    Nowhere,
}

impl OperatorKind {
    /// Where its tasks run.
    pub const fn place(self) -> Place {
        match self {
            Self::Empty => Place::Plan,
            Self::Noop
            | Self::Bash
            | Self::Python
            | Self::BranchPython
            | Self::ShortCircuitPython
            | Self::Docker
            | Self::KubernetesPod
            | Self::BashSensor
            | Self::PythonSensor
            | Self::FileSensor => Place::Node,
            Self::Branch
            | Self::ShortCircuit
            | Self::LatestOnly
            | Self::BranchDayOfWeek
            | Self::BranchDateTime
            | Self::TriggerDagRun
            | Self::ExternalTaskSensor
            | Self::TimeSensor
            | Self::TimeDeltaSensor
            | Self::DateTimeSensor
            | Self::DayOfWeekSensor
            | Self::Hitl => Place::Triggerer,
            Self::Unsupported => Place::Nowhere,
        }
    }

    /// Arguments whose text is rendered before the task runs (Airflow's `template_fields`).
    pub const fn template_fields(self) -> &'static [&'static str] {
        match self {
            Self::Empty | Self::Noop | Self::Unsupported => &[],
            Self::Bash => &["bash_command", "env", "cwd"],
            Self::Python | Self::BranchPython | Self::ShortCircuitPython | Self::PythonSensor => {
                &["templates_dict", "op_args", "op_kwargs"]
            }
            Self::Branch | Self::ShortCircuit => &["condition"],
            Self::LatestOnly
            | Self::BranchDayOfWeek
            | Self::BranchDateTime
            | Self::TimeSensor
            | Self::DayOfWeekSensor => &[],
            Self::TriggerDagRun => &["trigger_dag_id", "trigger_run_id", "logical_date", "conf", "wait_for_completion"],
            Self::ExternalTaskSensor => {
                &["external_dag_id", "external_task_id", "external_task_ids", "external_task_group_id"]
            }
            Self::TimeDeltaSensor => &["delta"],
            Self::DateTimeSensor => &["target_time"],
            Self::BashSensor => &["bash_command", "env"],
            Self::FileSensor => &["filepath"],
            Self::Hitl => &["subject", "body"],
            Self::Docker => &[
                "image",
                "command",
                "environment",
                "env_file",
                "container_name",
                "mounts",
                "working_dir",
                "entrypoint",
            ],
            Self::KubernetesPod => &[
                "image",
                "cmds",
                "arguments",
                "env_vars",
                "labels",
                "annotations",
                "name",
                "namespace",
                "pod_template_file",
                "volumes",
                "volume_mounts",
            ],
        }
    }
}

/// `skip_on_exit_code`: one number, several, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExitCodes {
    #[default]
    None,
    One(i64),
    Many(Vec<i64>),
}

impl ExitCodes {
    pub fn contains(&self, code: i64) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => *one == code,
            Self::Many(many) => many.contains(&code),
        }
    }
}

/// A command: text for a shell (or a container's own parsing), or words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Command {
    Text(String),
    Words(Vec<String>),
}

fn exit_99() -> ExitCodes {
    ExitCodes::One(99)
}

fn yes() -> bool {
    true
}

/// Arguments of `BashOperator`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BashArgs {
    pub bash_command: String,
    #[serde(default)]
    pub env: Option<IndexMap<String, String>>,
    /// Without it, `env` replaces the node's environment; the short form `bash:` sets it.
    #[serde(default)]
    pub append_env: bool,
    #[serde(default)]
    pub cwd: Option<String>,
    #[serde(default = "exit_99")]
    pub skip_on_exit_code: ExitCodes,
    /// Native: run in a container of this image.
    #[serde(default)]
    pub image: Option<String>,
}

/// Arguments of `PythonOperator`: `python_callable` is an import path or, with a line break, code; or file and name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PythonArgs {
    #[serde(default)]
    pub python_callable: Option<String>,
    #[serde(default)]
    pub python_callable_file: Option<String>,
    #[serde(default)]
    pub python_callable_name: Option<String>,
    #[serde(default)]
    pub op_args: Vec<Value>,
    #[serde(default)]
    pub op_kwargs: serde_json::Map<String, Value>,
    #[serde(default)]
    pub templates_dict: Option<Value>,
    #[serde(default)]
    pub interpreter: Option<String>,
    #[serde(default)]
    pub image: Option<String>,
}

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
