//! Commands of a shell.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Command, ExitCodes, PullPolicy, Reuse};

/// Arguments of `BashOperator`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BashArgs {
    /// Text for the shell; native: the words of a command that needs none.
    pub bash_command: Command,
    #[serde(default)]
    pub env: Option<IndexMap<String, String>>,
    /// Without it, `env` replaces the node's environment; the short form `bash:` sets it.
    #[serde(default)]
    pub append_env: bool,
    #[serde(default)]
    pub cwd: Option<String>,
    #[serde(default = "exit_99")]
    pub skip_on_exit_code: ExitCodes,
    /// Of what it prints: a name that Python knows.
    #[serde(default)]
    pub output_encoding: Option<String>,
    /// Native: run in a container of this image.
    #[serde(default)]
    pub image: Option<String>,
    /// Native, of the container.
    #[serde(default)]
    pub pull: Option<PullPolicy>,
    #[serde(default)]
    pub reuse: Option<Reuse>,
}

/// Arguments of `BashSensor`: the command is tried until it exits with 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BashSensorArgs {
    pub bash_command: String,
    /// Replaces the node's environment.
    #[serde(default)]
    pub env: Option<IndexMap<String, String>>,
    /// With it, this exit code alone means "not yet"; any other but 0 fails the task. Without it every exit code means that.
    #[serde(default)]
    pub retry_exit_code: Option<i64>,
    #[serde(default)]
    pub output_encoding: Option<String>,
    /// Native: run in a container of this image.
    #[serde(default)]
    pub image: Option<String>,
}

fn exit_99() -> ExitCodes {
    ExitCodes::One(99)
}
