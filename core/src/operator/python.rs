//! Functions of the DAG's Python code.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{
    PullPolicy,
    values::{flag, yes},
};

/// Arguments of `PythonOperator`, `BranchPythonOperator` (the result names the tasks to follow: an id, a list of ids, or nothing)
/// and `PythonSensor` (tried until the result is truthy): `python_callable` is an import path or, with a line break, code; or file and name.
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
    /// `3.12`: the interpreter is `python3.12`.
    #[serde(default)]
    pub python_version: Option<String>,
    /// Of a virtual environment of its own; in a file's words, or as a list.
    #[serde(default, deserialize_with = "lines")]
    pub requirements: Vec<String>,
    /// Whether that environment also sees what the interpreter has.
    #[serde(default = "yes", deserialize_with = "flag")]
    pub system_site_packages: bool,
    #[serde(default, deserialize_with = "lines")]
    pub pip_install_options: Vec<String>,
    /// Where packages come from, the first in the place of the usual index.
    #[serde(default, deserialize_with = "lines")]
    pub index_urls: Vec<String>,
    #[serde(default)]
    pub image: Option<String>,
    /// Native, of the image's container.
    #[serde(default)]
    pub pull: Option<PullPolicy>,
}

/// A list, or the lines of a text without its comments.
fn lines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Nothing(()),
        Text(String),
        List(Vec<String>),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::Nothing(()) => Vec::new(),
        Written::Text(text) => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.map(str::to_owned).collect()
        }
        Written::List(list) => list,
    })
}

/// Arguments of `ShortCircuitOperator`: a falsy result skips what is downstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShortCircuitPythonArgs {
    #[serde(flatten)]
    pub python: PythonArgs,
    /// Whether everything downstream is skipped, or only what is directly downstream, and trigger rules decide on the rest.
    #[serde(default = "yes", deserialize_with = "flag")]
    pub ignore_downstream_trigger_rules: bool,
}
