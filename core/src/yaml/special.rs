//! Old words and forms of single arguments, and arguments that change what an operator is.

use serde_json::{Value, json};

use super::{Context, choose::Chosen, node::Entry, operators::Operator, task::Lookup};
use crate::{
    dag::{Callback, CallbackEvent, Task},
    operator::{HitlParam, OperatorKind},
};

impl Context<'_> {
    pub(super) fn special_arguments(
        &self,
        task: &mut Task,
        lookup: &Lookup<'_>,
        operator: &'static Operator,
        chosen: &Chosen,
    ) {
        match operator.kind {
            OperatorKind::Docker => self.docker_words(task, lookup),
            OperatorKind::ExternalTaskSensor => self.external_task(task, lookup),
            OperatorKind::Python
            | OperatorKind::BranchPython
            | OperatorKind::ShortCircuitPython
            | OperatorKind::PythonSensor => self.python(task, lookup),
            OperatorKind::TriggerDagRun => {
                self.renamed(task, lookup, "execution_date", "logical_date");
                // Unlike elsewhere null is not the default, the moment: it is a run without a date.
                if lookup.get("logical_date").is_some_and(|entry| entry.value.is_null()) {
                    task.args.insert("logical_date".to_owned(), Value::Null);
                }
            }
            OperatorKind::BranchDayOfWeek | OperatorKind::DayOfWeekSensor => {
                self.renamed(task, lookup, "use_task_execution_day", "use_task_logical_date");
            }
            OperatorKind::BranchDateTime => {
                self.renamed(task, lookup, "use_task_execution_date", "use_task_logical_date");
                if !task.args.contains_key("target_lower") && !task.args.contains_key("target_upper") {
                    let message = format!("`{}` needs `target_lower`, `target_upper`, or both", task.task_id);
                    let help = "add `target_lower: 09:00`".to_owned();
                    self.findings.error_help("missing_argument", chosen.mark, message, Some(help));
                }
            }
            OperatorKind::Hitl => {
                question(task, lookup);
                self.notifiers(task, lookup);
            }
            _ => {}
        }
        self.variables(task, lookup, operator);
        if let Some(entry) = lookup.own.get("provide_context") {
            self.findings.warning_help(
                "deprecated_key",
                entry.key,
                "`provide_context` is of Airflow 1 and has no effect",
                Some("remove it; a function gets those context names that its signature asks for".to_owned()),
            );
        }
    }

    /// Who is told that a question waits: the task begins as it asks.
    fn notifiers(&self, task: &mut Task, lookup: &Lookup<'_>) {
        let Some(entry) = lookup.get("notifiers") else { return };
        let told = self.callback_value("notifiers", &entry.value).into_iter();
        task.callbacks.extend(told.map(|action| Callback { on: CallbackEvent::Execute, action }));
    }

    /// An argument under the name it had before.
    fn renamed(&self, task: &mut Task, lookup: &Lookup<'_>, old: &str, new: &str) {
        let Some(value) = task.args.shift_remove(old) else { return };
        if let Some(Entry { key, .. }) = lookup.get(old) {
            let message = format!("`{old}` is the old name of `{new}`");
            self.findings.warning_help("deprecated_key", *key, message, Some(format!("write `{new}`")));
        }
        task.args.entry(new).or_insert(value);
    }

    fn docker_words(&self, task: &mut Task, lookup: &Lookup<'_>) {
        if let Some(entry) = lookup.get("auto_remove")
            && let Some(Value::String(word)) = task.args.get("auto_remove").cloned()
        {
            let new = match word.to_lowercase().as_str() {
                "never" | "false" | "no" | "off" => "never",
                "success" | "true" | "yes" | "on" => "success",
                "force" => "force",
                _ => {
                    let help = "the words are never, success and force".to_owned();
                    let message = format!("there is no `auto_remove: {word}`");
                    self.findings.error_help("invalid_value", entry.value.mark, message, Some(help));
                    "never"
                }
            };
            task.args.insert("auto_remove".to_owned(), json!(new));
        }
        if let Some(entry) = lookup.get("mounts")
            && let Some(Value::Array(mounts)) = task.args.get("mounts")
            && !mounts.iter().all(|mount| mount.get("target").is_some_and(Value::is_string))
        {
            let help = "a mount is `{source: /host, target: /container, type: bind}`".to_owned();
            self.findings.error_help("wrong_type", entry.value.mark, "every mount needs a `target`", Some(help));
        }
    }

    fn external_task(&self, task: &mut Task, lookup: &Lookup<'_>) {
        if !task.args.contains_key("external_task_ids") {
            let ids = task.args.get("external_task_id").filter(|id| !id.is_null()).map(|id| json!([id]));
            task.args.extend(ids.map(|ids| ("external_task_ids".to_owned(), ids)));
        }
        for name in ["execution_date_fn", "execution_date_fn_name", "execution_date_fn_file"] {
            if let Some(entry) = lookup.get(name).filter(|entry| !entry.value.is_null()) {
                let message = format!("`{name}` is a Python function, and the scheduler, which waits, runs none");
                self.unsupported(task, entry.key, message, "write `execution_delta`, or wait in a `python` task");
                return;
            }
        }
    }

    /// A condition that is a template needs no Python. An image has its packages already.
    fn python(&self, task: &mut Task, lookup: &Lookup<'_>) {
        if let Some(entry) = lookup.get("requirements").filter(|entry| !entry.value.is_null())
            && task.args.get("image").is_some_and(|image| !image.is_null())
        {
            let message = "`requirements` are for tasks without an `image`";
            let help = "put them into the image".to_owned();
            self.findings.error_help("invalid_value", entry.key, message, Some(help));
        }
        if let Some(interpreter) = task.args.shift_remove("python") {
            task.args.insert("interpreter".to_owned(), interpreter);
        }
        let native = match task.operator {
            OperatorKind::BranchPython => OperatorKind::Branch,
            OperatorKind::ShortCircuitPython => OperatorKind::ShortCircuit,
            _ => return,
        };
        let condition = task.args.get("python_callable").and_then(Value::as_str);
        if let Some(text) = condition.filter(|text| text.contains("{{") || text.contains("{%")) {
            let text = text.to_owned();
            for name in ["python_callable", "op_args", "op_kwargs"] {
                task.args.shift_remove(name);
            }
            task.args.insert("condition".to_owned(), Value::String(text));
            task.operator = native;
        }
    }

    /// `variables_as_arguments`: an argument that is a Variable, read when the task runs.
    fn variables(&self, task: &mut Task, lookup: &Lookup<'_>, operator: &'static Operator) {
        let Some(entry) = lookup.own.get("variables_as_arguments") else { return };
        let Some(items) = self.items(&entry.value) else {
            self.wrong_type("variables_as_arguments", &entry.value, "a list of `{variable, attribute}`");
            return;
        };
        for item in items {
            let text = |name: &str| item.get(name).and_then(|node| self.text(name, node));
            let (Some(variable), Some(attribute)) = (text("variable"), text("attribute")) else {
                let message = "an item of `variables_as_arguments` has `variable` and `attribute`";
                self.findings.error("missing_argument", item.mark, message);
                continue;
            };
            let Some(argument) = operator.arg(&attribute) else {
                let known = operator.args().map(|arg| arg.name);
                let help = super::suggest::did_you_mean(&attribute, known);
                let message = format!("`{}` takes no argument `{attribute}`", operator.class);
                self.findings.error_help("unknown_argument", item.mark, message, help);
                continue;
            };
            if !argument.template && task.operator != OperatorKind::Unsupported {
                let message = format!("`{attribute}` is not rendered when a task runs, and cannot be a Variable");
                self.unsupported(task, item.mark, message, "write the value into the file");
            }
            let quoted = serde_json::to_string(&variable).unwrap_or_default();
            task.args.insert(attribute, Value::String(format!("{{{{ var.value.get({quoted}) }}}}")));
        }
    }
}

/// Fills in what each class of question says by itself.
fn question(task: &mut Task, lookup: &Lookup<'_>) {
    if task.operator_class.ends_with(".HITLEntryOperator")
        && lookup.get("options").is_none()
        && !task.args.contains_key("defaults")
    {
        task.args.insert("defaults".to_owned(), json!(["OK"]));
    }
    if task.params.is_empty() {
        return;
    }
    let schemas = task.extra.get("param_schemas");
    let fields: serde_json::Map<String, Value> = task
        .params
        .iter()
        .map(|(name, value)| {
            let schema = schemas.and_then(|schemas| schemas.get(name)).cloned().unwrap_or_else(|| json!({}));
            (name.clone(), json!(HitlParam { value: value.clone(), schema }))
        })
        .collect();
    task.args.insert("params".to_owned(), Value::Object(fields));
}
