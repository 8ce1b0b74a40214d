//! Questions to people (human in the loop).

use std::{collections::HashSet, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::values::{flag, names, span};

/// What becomes of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HitlKind {
    /// `ApprovalOperator`: approve or reject; a rejection skips what is downstream, or fails the task.
    Approval,
    /// `HITLOperator`: the answer is the result.
    Options,
    /// `HITLBranchOperator`: the chosen options name the tasks to follow.
    Branch,
    /// `HITLEntryOperator`: a form to fill in.
    Entry,
}

impl HitlKind {
    /// The kind behind [`super::OperatorKind::Hitl`]; by class, since they are one machine.
    pub fn of_class(operator_class: &str) -> Self {
        match operator_class.rsplit('.').next() {
            Some("HITLOperator") => Self::Options,
            Some("HITLBranchOperator") => Self::Branch,
            Some("HITLEntryOperator") => Self::Entry,
            _ => Self::Approval,
        }
    }
}

/// Arguments of `ApprovalOperator`, `HITLOperator`, `HITLBranchOperator` and `HITLEntryOperator`. The loader completes
/// `options` and `defaults` as each class has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HitlArgs {
    pub subject: String,
    /// Markdown.
    #[serde(default)]
    pub body: Option<String>,
    #[serde(deserialize_with = "names::deserialize")]
    pub options: Vec<String>,
    /// Chosen when nobody answers in time; without them the task fails then.
    #[serde(default, deserialize_with = "names::deserialize")]
    pub defaults: Vec<String>,
    #[serde(default, deserialize_with = "flag")]
    pub multiple: bool,
    /// The fields of the form, by name.
    #[serde(default)]
    pub params: IndexMap<String, HitlParam>,
    /// Approval: a rejection fails the task instead of skipping what is downstream.
    #[serde(default, deserialize_with = "flag")]
    pub fail_on_reject: bool,
    /// Approval: a rejection skips everything downstream instead of what is directly downstream.
    #[serde(default, deserialize_with = "flag")]
    pub ignore_downstream_trigger_rules: bool,
    /// Branch: option → the task to follow; an option that is not there names the task itself.
    #[serde(default)]
    pub options_mapping: IndexMap<String, String>,
    /// Users who may answer, by name or id; empty: everyone who may edit the run.
    #[serde(default)]
    pub assigned_users: Vec<Value>,
    /// How long to wait; `None`: as long as `execution_timeout` says, or for ever.
    #[serde(default, with = "span::option")]
    pub response_timeout: Option<Duration>,
}

impl HitlArgs {
    /// What Airflow checks when it makes the operator.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self, kind: HitlKind) -> Result<(), String> {
        let mut seen = HashSet::new();
        if self.options.is_empty() {
            return Err("`options` cannot be empty".to_owned());
        }
        if let Some(twice) = self.options.iter().find(|option| !seen.insert(option.as_str())) {
            return Err(format!("`options` has `{twice}` twice"));
        }
        if let Some(other) = self.defaults.iter().find(|default| !seen.contains(default.as_str())) {
            return Err(format!("the default `{other}` is none of the options"));
        }
        if !self.multiple && self.defaults.len() > 1 {
            return Err("more than one default needs `multiple: true`".to_owned());
        }
        if let Some(other) = self.options_mapping.keys().find(|option| !seen.contains(option.as_str())) {
            return Err(format!("`options_mapping` names `{other}`, which is none of the options"));
        }
        if kind == HitlKind::Approval && self.options.len() != 2 {
            return Err("an approval has the options Approve and Reject".to_owned());
        }
        Ok(())
    }
}

/// One field of a form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HitlParam {
    /// What stands in it at first.
    pub value: Value,
    /// JSON Schema.
    pub schema: Value,
}
