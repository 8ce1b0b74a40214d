//! The operators the engine runs, and their arguments in long form.
//!
//! A task keeps its arguments as JSON, since templates may stand anywhere in them; after rendering, the node or the triggerer
//! reads them with the typed structs of this module, one file per family. Text that a template rendered to is taken where a
//! number, flag, list or date is wanted ([`values`]).
//!
//! Any value in the arguments may also be another task's result, [`XComArg`]: what `+task` in a file becomes. It is not
//! limited to [`OperatorKind::template_fields`].

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

mod branch;
mod container;
mod external_task;
mod file;
mod hitl;
mod python;
mod shell;
mod time;
mod trigger_dagrun;
mod values;

pub use branch::{BranchArgs, DateTimeBranchArgs, DayOfWeekBranchArgs, ShortCircuitArgs};
pub use container::{
    AutoRemove, DeviceRequest, DockerArgs, KubernetesPodArgs, Mount, PullPolicy, RESULT_FILE, Reuse, Tmpfs, Ulimit,
};
pub use external_task::ExternalTaskArgs;
pub use file::FileSensorArgs;
pub use hitl::{HitlArgs, HitlKind, HitlParam};
pub use python::{PythonArgs, ShortCircuitPythonArgs};
pub use shell::{BashArgs, BashSensorArgs};
pub use time::{DateTimeArgs, DayOfWeekArgs, TimeArgs, TimeDeltaArgs};
pub use trigger_dagrun::TriggerDagRunArgs;
pub use values::{Command, ExitCodes, Moment, WeekDays, XComArg};

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

    /// Whether complete arguments, templates rendered, are what the operator's type reads; the message says what does not fit.
    ///
    /// # Errors
    /// The first argument that does not fit, in words.
    pub fn check(self, operator_class: &str, args: &Value) -> Result<(), String> {
        fn read<T: DeserializeOwned>(args: &Value) -> Result<T, String> {
            T::deserialize(args).map_err(|error| error.to_string())
        }
        match self {
            Self::Empty | Self::Noop | Self::LatestOnly | Self::Unsupported => Ok(()),
            Self::Bash => read::<BashArgs>(args).map(drop),
            Self::Python | Self::BranchPython | Self::PythonSensor => read::<PythonArgs>(args).map(drop),
            Self::ShortCircuitPython => read::<ShortCircuitPythonArgs>(args).map(drop),
            Self::Docker => read::<DockerArgs>(args).map(drop),
            Self::KubernetesPod => read::<KubernetesPodArgs>(args).map(drop),
            Self::Branch => read::<BranchArgs>(args).map(drop),
            Self::ShortCircuit => read::<ShortCircuitArgs>(args).map(drop),
            Self::BranchDayOfWeek => read::<DayOfWeekBranchArgs>(args).map(drop),
            Self::BranchDateTime => read::<DateTimeBranchArgs>(args).map(drop),
            Self::TriggerDagRun => read::<TriggerDagRunArgs>(args).map(drop),
            Self::ExternalTaskSensor => read::<ExternalTaskArgs>(args).map(drop),
            Self::TimeSensor => read::<TimeArgs>(args).map(drop),
            Self::TimeDeltaSensor => read::<TimeDeltaArgs>(args).map(drop),
            Self::DateTimeSensor => read::<DateTimeArgs>(args).map(drop),
            Self::DayOfWeekSensor => read::<DayOfWeekArgs>(args).map(drop),
            Self::BashSensor => read::<BashSensorArgs>(args).map(drop),
            Self::FileSensor => read::<FileSensorArgs>(args).map(drop),
            Self::Hitl => read::<HitlArgs>(args)?.check(HitlKind::of_class(operator_class)),
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
            Self::TriggerDagRun => &[
                "trigger_dag_id",
                "trigger_run_id",
                "logical_date",
                "conf",
                "wait_for_completion",
                "skip_when_already_exists",
            ],
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
