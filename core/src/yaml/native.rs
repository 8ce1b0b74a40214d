//! What every task may say in the native dialect, beside its operator's arguments: `env`, `secrets`, `worker_selector`, `when`,
//! `output`.

use super::{
    Context,
    choose::Chosen,
    task::{Lookup, Shared},
};
use crate::{
    dag::{Output, Task},
    operator::OperatorKind,
};

impl Context<'_> {
    /// `env`, `worker_selector` and `secrets`, over those of the DAG.
    pub(super) fn task_environment(&self, task: &mut Task, lookup: &Lookup<'_>, chosen: &Chosen, shared: &Shared<'_>) {
        let own_argument = chosen.operator.is_some_and(|operator| operator.arg("env").is_some()) && !chosen.short;
        if let Some(entry) = lookup.own.get("env")
            && !own_argument
        {
            task.env.extend(self.environment(&entry.value));
        }
        if let Some(entry) = lookup.own.get("worker_selector") {
            task.worker_selector.extend(self.selector(&entry.value));
        }
        task.secrets.clone_from(&shared.secrets);
        // A list is the pod operator's own argument.
        if let Some(entry) = lookup.own.get("secrets")
            && chosen
                .operator
                .is_none_or(|operator| operator.arg("secrets").is_none() || entry.value.as_mapping().is_some())
        {
            task.secrets.extend(self.secrets(&entry.value));
        }
    }

    /// `when` and `output`.
    pub(super) fn guard_and_output(&self, task: &mut Task, lookup: &Lookup<'_>, chosen: &Chosen) {
        task.when = lookup.own.get("when").and_then(|entry| self.text("when", &entry.value));
        let Some(entry) = lookup.own.get("output") else { return };
        let Some(word) = self.text("output", &entry.value) else { return };
        task.output = match word.as_str() {
            "text" => Output::Text,
            "json" => Output::Json,
            "none" => Output::None,
            _ => {
                let message = format!("there is no `output: {word}`");
                let help = "write text, json or none".to_owned();
                self.findings.error_help("invalid_value", entry.value.mark, message, Some(help));
                return;
            }
        };
        let prints = matches!(task.operator, OperatorKind::Bash | OperatorKind::Docker | OperatorKind::KubernetesPod);
        if !prints && task.operator != OperatorKind::Unsupported {
            let class = chosen.class.rsplit('.').next().unwrap_or_default();
            self.without_effect(entry.key, &format!("`output` of a `{class}`, which runs no command,"));
        }
    }
}
