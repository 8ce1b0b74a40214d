//! Functions of the DAG's Python code.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::values::{flag, yes};

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
    #[serde(default)]
    pub image: Option<String>,
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
