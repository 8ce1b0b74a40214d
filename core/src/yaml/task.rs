//! One task: its operator, arguments in long form, and everything that stands beside them.

use std::{cell::RefCell, collections::HashSet};

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{
    Context,
    base::{BASE, NOTIFICATIONS, callback_of},
    choose::Chosen,
    groups::{Declared, Dependency, Members},
    node::{Content, Entry, Mapping, Node},
    object::{Family, object},
    operators::{self, Kind, Operator},
    suggest::did_you_mean,
    values::Zone,
};
use crate::{dag::Task, operator::OperatorKind};

/// What the tasks of a DAG share.
pub(super) struct Shared<'n> {
    pub(super) zone: Zone,
    pub(super) default_args: Option<&'n Mapping>,
    pub(super) start_date: Option<DateTime<Utc>>,
    pub(super) end_date: Option<DateTime<Utc>>,
    pub(super) env: IndexMap<String, String>,
    pub(super) secrets: Map<String, Value>,
    pub(super) worker_selector: IndexMap<String, Vec<String>>,
    pub(super) members: &'n Members,
    /// Full ids, for the tasks that templates name.
    pub(super) task_ids: HashSet<&'n str>,
    pub(super) searchpath: Vec<String>,
    /// Relative dates of single tasks, as written.
    pub(super) relative_dates: RefCell<Vec<(String, String)>>,
    /// Keys of `default_args` that some task took.
    pub(super) used_defaults: RefCell<HashSet<String>>,
}

/// A task with the upstreams that its arguments imply (`foreach: other`, `+other`).
pub(super) struct Built {
    pub(super) task: Task,
    pub(super) implied: Vec<Dependency>,
}

/// Where an argument of a task comes from: the task, its groups from the inside out, the DAG.
pub(super) struct Lookup<'n> {
    pub(super) own: &'n Mapping,
    pub(super) defaults: Vec<&'n Mapping>,
}

impl<'n> Lookup<'n> {
    pub(super) fn get(&self, name: &str) -> Option<&'n Entry> {
        let set = |entry: &&Entry| !object(&entry.value).is_some_and(|found| found.family() == Some(Family::NotSet));
        self.own.get(name).filter(set).or_else(|| self.defaults.iter().find_map(|args| args.get(name).filter(set)))
    }
}

/// Keys of a task that belong to no operator.
pub(super) const TASK_KEYS: &[&str] = &[
    "task_id",
    "id",
    "operator",
    "decorator",
    "dependencies",
    "depends_on",
    "task_group_name",
    "expand",
    "partial",
    "foreach",
    "matrix",
    "when",
    "output",
    "env",
    "secrets",
    "worker_selector",
    "variables_as_arguments",
    "provide_context",
    "python_callable",
];

impl Context<'_> {
    /// Reads a task; `None` if it has no operator to speak of.
    pub(super) fn task(&self, declared: &Declared, shared: &Shared<'_>) -> Option<Built> {
        let empty = Mapping::new();
        let entries = match &declared.node.content {
            Content::Mapping(entries) => entries,
            _ if declared.node.is_null() => &empty,
            _ => {
                self.wrong_type(&declared.name, &declared.node, "a task (a mapping)");
                return None;
            }
        };
        let chosen = self.choose(declared, entries)?;
        let own = self.flatten(entries, &chosen);
        let mut defaults = Vec::new();
        let mut group = declared.group;
        while let Some(index) = group {
            defaults.extend(shared.members.groups[index].node.get("default_args").and_then(Node::as_mapping));
            group = shared.members.groups[index].parent;
        }
        defaults.extend(shared.default_args);
        let lookup = Lookup { own: &own, defaults };
        note_used(&lookup, &chosen, shared);
        let mut task = blank(declared, &chosen, shared);
        let pod = chosen.operator.is_some_and(|operator| operator.kind == OperatorKind::KubernetesPod);
        self.base_arguments(&mut task, &lookup, shared, !pod);
        let mut implied = Vec::new();
        self.operator_arguments(&mut task, &lookup, &chosen, &mut implied);
        self.task_environment(&mut task, &lookup, &chosen, shared);
        self.mapped(&mut task, &lookup, chosen.operator, chosen.decorated, &mut implied);
        self.beside(&mut task, &own);
        self.required(declared, &task, &lookup, &chosen);
        if pod
            && let Some(push) = lookup.get("do_xcom_push").and_then(|entry| self.boolean("do_xcom_push", &entry.value))
        {
            task.args.insert("do_xcom_push".to_owned(), Value::Bool(push));
        }
        if let Some(operator) = chosen.operator {
            self.callable(&mut task, &lookup, chosen.mark);
            if !chosen.short {
                self.template_files(&mut task, operator, &lookup, shared);
            }
            self.task_templates(&task, operator, &lookup, shared);
        }
        Some(Built { task, implied })
    }

    fn operator_arguments(&self, task: &mut Task, lookup: &Lookup<'_>, chosen: &Chosen, implied: &mut Vec<Dependency>) {
        let Some(operator) = chosen.operator else {
            for (key, entry) in lookup.own.iter().filter(|(key, _)| !is_task_key(key)) {
                task.args.extend(self.json(&entry.value).map(|value| (key.to_string(), value)));
            }
            return;
        };
        if operator.kind == OperatorKind::Unsupported {
            self.not_supported(chosen.mark, &format!("the operator `{}`", operator.class));
        }
        let moves_env = chosen.short && matches!(operator.kind, OperatorKind::Bash);
        for arg in operator.args() {
            // `env` beside a short form, and `secrets` as a mapping, are the native keys of every task.
            let entry = lookup.get(arg.name).filter(|entry| match arg.name {
                "env" => !moves_env,
                "secrets" => entry.value.as_mapping().is_none(),
                _ => true,
            });
            // Nothing behind a key means its default, as leaving it out; `skip_on_exit_code:` means no code at all.
            let entry = entry.filter(|entry| !entry.value.is_null() || arg.kind == Kind::ExitCodes);
            let given = entry.and_then(|entry| self.argument(arg.name, arg.kind, &entry.value));
            match (entry, given) {
                (Some(entry), Some(value)) => {
                    if arg.idle && !value.is_null() && lookup.own.contains_key(arg.name) {
                        self.without_effect(entry.key, &format!("`{}`", arg.name));
                    }
                    task.args.insert(arg.name.to_owned(), value);
                }
                _ if !arg.default.is_empty() => {
                    let value = serde_json::from_str(arg.default).expect("the defaults of the table are JSON");
                    task.args.insert(arg.name.to_owned(), value);
                }
                _ => {}
            }
        }
        if moves_env && !lookup.own.contains_key("append_env") {
            task.args.insert("append_env".to_owned(), Value::Bool(true));
        }
        self.special_arguments(task, lookup, operator);
        let mut kwargs = Map::new();
        for (key, entry) in lookup.own.iter().filter(|(key, _)| !is_task_key(key) && operator.arg(key).is_none()) {
            if chosen.decorated {
                kwargs.extend(self.reference_or_json(entry, implied).map(|value| (key.to_string(), value)));
            } else {
                let known =
                    operator.args().map(|arg| arg.name).chain(BASE.iter().copied()).chain(TASK_KEYS.iter().copied());
                let help = did_you_mean(key, known).or_else(|| {
                    operators::by_alias(key).map(|_| "a task has one operator; make another task of it".to_owned())
                });
                let class = operator.class.rsplit('.').next().unwrap_or(operator.class);
                self.findings.error_help(
                    "unknown_argument",
                    entry.key,
                    format!("`{class}` takes no argument `{key}`"),
                    help,
                );
            }
        }
        if chosen.decorated {
            task.args.insert("op_kwargs".to_owned(), Value::Object(kwargs));
        }
    }

    /// Old words and forms of single arguments.
    fn special_arguments(&self, task: &mut Task, lookup: &Lookup<'_>, operator: &Operator) {
        if operator.kind == OperatorKind::Docker
            && let Some(entry) = lookup.get("auto_remove")
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
        if operator.kind == OperatorKind::Docker
            && let Some(entry) = lookup.get("mounts")
            && let Some(Value::Array(mounts)) = task.args.get("mounts")
            && !mounts.iter().all(|mount| mount.get("target").is_some_and(Value::is_string))
        {
            let help = "a mount is `{source: /host, target: /container, type: bind}`".to_owned();
            self.findings.error_help("wrong_type", entry.value.mark, "every mount needs a `target`", Some(help));
        }
        if operator.aliases.contains(&"wait_for_task") && !task.args.contains_key("external_task_ids") {
            let ids = task.args.get("external_task_id").filter(|id| !id.is_null()).map(|id| json!([id]));
            task.args.extend(ids.map(|ids| ("external_task_ids".to_owned(), ids)));
        }
        if operator.kind == OperatorKind::Python
            && let Some(entry) = lookup.get("requirements").filter(|entry| !entry.value.is_null())
        {
            self.not_supported(entry.key, "`requirements`");
        }
        if let Some(entry) = lookup.own.get("provide_context") {
            self.findings.warning_help(
                "deprecated_key",
                entry.key,
                "`provide_context` is of Airflow 1 and has no effect",
                Some("remove it; a function gets those context names that its signature asks for".to_owned()),
            );
        }
    }

    /// `+task` and `+task['key']` are results of other tasks; everything else is a value.
    fn reference_or_json(&self, entry: &Entry, implied: &mut Vec<Dependency>) -> Option<Value> {
        if let Some(reference) = entry.value.as_text().and_then(super::mapped::plus_reference) {
            self.not_supported(entry.value.mark, "passing a task's result to a function with `+`");
            implied.push((reference.task.clone(), entry.value.mark));
            return Some(reference.json());
        }
        self.json(&entry.value)
    }

    fn task_environment(&self, task: &mut Task, lookup: &Lookup<'_>, chosen: &Chosen, shared: &Shared<'_>) {
        let own_argument = chosen.operator.is_some_and(|operator| operator.arg("env").is_some()) && !chosen.short;
        if let Some(entry) = lookup.own.get("env")
            && !own_argument
        {
            task.env.extend(self.environment(&entry.value));
        }
        if let Some(entry) = lookup.own.get("worker_selector") {
            task.worker_selector.extend(self.selector(&entry.value));
        }
        let mut secrets = shared.secrets.clone();
        if let Some(entry) = lookup.own.get("secrets")
            && chosen
                .operator
                .is_none_or(|operator| operator.arg("secrets").is_none() || entry.value.as_mapping().is_some())
        {
            let own = self.secrets(&entry.value);
            if !own.is_empty() {
                self.not_supported(entry.key, "`secrets`");
            }
            secrets.extend(own);
        }
        if !secrets.is_empty() {
            task.args.shift_remove("secrets");
            task.extra.insert("secrets".to_owned(), Value::Object(secrets));
        }
    }

    /// `when`, `output`, notifications and other keys beside the arguments.
    fn beside(&self, task: &mut Task, own: &Mapping) {
        if let Some(entry) = own.get("when")
            && let Some(text) = self.text("when", &entry.value)
        {
            self.not_supported(entry.key, "`when`");
            task.extra.insert("when".to_owned(), Value::String(text));
        }
        if let Some(entry) = own.get("output")
            && let Some(word) = self.text("output", &entry.value)
        {
            match word.as_str() {
                "text" => {}
                "json" | "none" => self.not_supported(entry.key, &format!("`output: {word}`")),
                _ => {
                    let help = "write text, json or none".to_owned();
                    self.findings.error_help(
                        "invalid_value",
                        entry.value.mark,
                        format!("there is no `output: {word}`"),
                        Some(help),
                    );
                }
            }
            task.extra.insert("output".to_owned(), Value::String(word));
        }
        if let Some(entry) = own.get("variables_as_arguments") {
            self.not_supported(entry.key, "`variables_as_arguments`");
            task.extra.extend(self.json(&entry.value).map(|value| ("variables_as_arguments".to_owned(), value)));
        }
        for name in NOTIFICATIONS {
            if let Some(entry) = own.get(*name) {
                self.without_effect(entry.key, &format!("`{name}`"));
                task.extra.extend(self.json(&entry.value).map(|value| ((*name).to_owned(), value)));
            }
        }
    }

    fn required(&self, declared: &Declared, task: &Task, lookup: &Lookup<'_>, chosen: &Chosen) {
        let Some(operator) = chosen.operator else { return };
        let expanded = |name: &str| {
            lookup
                .own
                .get("expand")
                .and_then(|entry| entry.value.as_mapping())
                .is_some_and(|args| args.contains_key(name))
        };
        let given = |name: &str| lookup.get(name).is_some_and(|entry| !entry.value.is_null()) || expanded(name);
        for arg in operator.args().filter(|arg| arg.required) {
            if !given(arg.name) {
                let class = operator.class.rsplit('.').next().unwrap_or(operator.class);
                let message = format!("`{class}` of task `{}` needs the argument `{}`", task.task_id, arg.name);
                self.findings.error_help(
                    "missing_argument",
                    declared.mark,
                    message,
                    Some(format!("add `{}: …`", arg.name)),
                );
            }
        }
        let calls = operator.arg("python_callable").is_some();
        if calls && !given("python_callable") && !(given("python_callable_name") && given("python_callable_file")) {
            let message = format!("the task `{}` needs the argument `python_callable`", task.task_id);
            let help = "add `python_callable: module.function`, or `python_callable_file` and `python_callable_name`"
                .to_owned();
            self.findings.error_help("missing_argument", declared.mark, message, Some(help));
        }
    }
}

/// Keys of a task that are no argument of its operator.
fn is_task_key(key: &str) -> bool {
    (TASK_KEYS.contains(&key) && key != "python_callable")
        || BASE.contains(&key)
        || NOTIFICATIONS.contains(&key)
        || callback_of(key).is_some()
        || key.starts_with("x-")
}

fn blank(declared: &Declared, chosen: &Chosen, shared: &Shared<'_>) -> Task {
    let kind = chosen.operator.map_or(OperatorKind::Unsupported, |operator| operator.kind);
    Task {
        task_group: declared.group.map(|group| shared.members.groups[group].id.clone()),
        start_date: shared.start_date,
        end_date: shared.end_date,
        worker_selector: shared.worker_selector.clone(),
        env: shared.env.clone(),
        task_display_name: declared.id.clone(),
        ..Task::new(declared.id.as_str(), kind, chosen.class.clone())
    }
}

/// Remembers which `default_args` this task can take, for the warning about those that none takes.
fn note_used(lookup: &Lookup<'_>, chosen: &Chosen, shared: &Shared<'_>) {
    let mut used = shared.used_defaults.borrow_mut();
    for key in lookup.defaults.iter().flat_map(|args| args.keys()) {
        if chosen.operator.is_none_or(|operator| operator.arg(key).is_some()) {
            used.insert(key.to_string());
        }
    }
}
