//! Runs of other DAGs.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{
    Moment,
    values::{flag, names, span},
};

/// Arguments of `TriggerDagRunOperator`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerDagRunArgs {
    pub trigger_dag_id: String,
    /// `None`: made from the run's type and date, as for any run.
    #[serde(default)]
    pub trigger_run_id: Option<String>,
    /// A mapping, or its JSON text.
    #[serde(default)]
    pub conf: Value,
    /// `None`: now. `Some(None)`, written as null: the run has none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub logical_date: Option<Option<Moment>>,
    /// Clear a run with this id that exists already, instead of failing.
    #[serde(default, deserialize_with = "flag")]
    pub reset_dag_run: bool,
    #[serde(default, deserialize_with = "flag")]
    pub wait_for_completion: bool,
    #[serde(default = "minute", with = "span")]
    pub poke_interval: Duration,
    #[serde(default = "success", deserialize_with = "names::deserialize")]
    pub allowed_states: Vec<String>,
    #[serde(default = "failed", deserialize_with = "names::deserialize")]
    pub failed_states: Vec<String>,
    /// A run with this id that exists already makes the task skipped.
    #[serde(default, deserialize_with = "flag")]
    pub skip_when_already_exists: bool,
    #[serde(default, deserialize_with = "flag")]
    pub fail_when_dag_is_paused: bool,
}

/// What is there, be it null.
#[expect(clippy::option_option, reason = "absent and null mean different things")]
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Moment>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn minute() -> Duration {
    Duration::from_mins(1)
}

fn success() -> Vec<String> {
    vec!["success".to_owned()]
}

fn failed() -> Vec<String> {
    vec!["failed".to_owned()]
}
