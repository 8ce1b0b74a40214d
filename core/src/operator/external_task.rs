//! Tasks, groups and runs of other DAGs, waited for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::values::{flag, names, span};

/// Arguments of `ExternalTaskSensor`: the run of `external_dag_id` with the same logical date, or one `execution_delta` before.
/// Without task ids and group it waits for the whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExternalTaskArgs {
    pub external_dag_id: String,
    #[serde(default)]
    pub external_task_id: Option<String>,
    #[serde(default, deserialize_with = "names::deserialize")]
    pub external_task_ids: Vec<String>,
    #[serde(default)]
    pub external_task_group_id: Option<String>,
    #[serde(default, with = "span::option")]
    pub execution_delta: Option<Duration>,
    #[serde(default = "success", deserialize_with = "names::deserialize")]
    pub allowed_states: Vec<String>,
    #[serde(default, deserialize_with = "names::deserialize")]
    pub failed_states: Vec<String>,
    #[serde(default, deserialize_with = "names::deserialize")]
    pub skipped_states: Vec<String>,
    /// Fail at once when there is no such DAG, task or group.
    #[serde(default, deserialize_with = "flag")]
    pub check_existence: bool,
}

impl ExternalTaskArgs {
    /// The tasks it waits for, however they were named; empty when it waits for a group or the whole run.
    pub fn task_ids(&self) -> impl Iterator<Item = &str> {
        let one = self.external_task_id.iter().filter(|id| !self.external_task_ids.contains(id));
        self.external_task_ids.iter().chain(one).map(String::as_str).filter(|id| !id.is_empty())
    }
}

fn success() -> Vec<String> {
    vec!["success".to_owned()]
}
