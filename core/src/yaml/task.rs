//! One task: its operator, arguments in long form, and everything that stands beside them.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{
    Context,
    base::{base_names, is_base},
    callbacks::{callback_of, is_notification},
    choose::Chosen,
    groups::{Declared, Dependency, Members},
    keys,
    mapped::Mapped,
    node::{Content, Entry, Mapping, Mark, Node},
    object::{Family, object},
    operators::{self, Kind},
    suggest::did_you_mean,
    values::Zone,
};
use crate::{
    dag::{MapInput, MappingKind, Task},
    operator::{OperatorKind, XComArg},
};

/// What the tasks of a DAG share.
pub(super) struct Shared<'n> {
    pub(super) zone: Zone,
    pub(super) default_args: Option<&'n Mapping>,
    pub(super) start_date: Option<DateTime<Utc>>,
    pub(super) end_date: Option<DateTime<Utc>>,
    pub(super) env: IndexMap<String, String>,
    pub(super) secrets: IndexMap<String, String>,
    pub(super) worker_selector: IndexMap<String, Vec<String>>,
    pub(super) members: &'n Members,
    /// Full ids, for the tasks that templates name.
    pub(super) task_ids: HashSet<&'n str>,
    /// A task's name in the file → its full id.
    pub(super) ids: HashMap<&'n str, &'n str>,
    pub(super) group_names: HashSet<&'n str>,
    pub(super) searchpath: Vec<String>,
    /// Relative dates of single tasks, as written.
    pub(super) relative_dates: RefCell<Vec<(String, String)>>,
    /// Keys of `default_args` that some task took.
    pub(super) used_defaults: RefCell<HashSet<String>>,
}

/// A task with the upstreams that its arguments imply (`foreach: other`, `+other`, `teardown: other`).
pub(super) struct Built {
    pub(super) task: Task,
    pub(super) implied: Vec<Dependency>,
    /// Those of them that are its setups.
    pub(super) setups: Vec<Dependency>,
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
        let defaults = self.defaults_of(declared, shared.members, shared.default_args);
        let lookup = Lookup { own: &own, defaults };
        note_used(&lookup, &chosen, shared);
        let mut task = blank(declared, &chosen, shared);
        let pod = task.operator == OperatorKind::KubernetesPod;
        let errors = self.findings.error_count();
        self.base_arguments(&mut task, &lookup, shared, !pod);
        let mut implied = Vec::new();
        self.operator_arguments(&mut task, &lookup, &chosen, shared, &mut implied);
        self.task_environment(&mut task, &lookup, &chosen, shared);
        let what = Mapped::Task { operator: chosen.operator, decorated: chosen.decorated };
        task.mapping = self.mapping_of(&own, what, shared, &mut implied);
        if let Some(partial) = own.get("partial").and_then(|entry| entry.value.as_mapping()) {
            let names: Vec<&str> = partial.keys().map(|name| &**name).collect();
            task.extra.insert("partial".to_owned(), json!(names));
        }
        let setups = self.setup_and_teardown(&mut task, &lookup, &mut implied);
        self.guard_and_output(&mut task, &lookup, &chosen);
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
            if task.mapping.is_none() && self.findings.error_count() == errors {
                self.check_arguments(&mut task, chosen.mark);
            }
        }
        Some(Built { task, implied, setups })
    }

    /// The `default_args` that reach a task: of its groups from the inside out, and of the DAG.
    #[expect(clippy::unused_self, reason = "reads like its siblings at every call")]
    pub(super) fn defaults_of<'n>(
        &self,
        declared: &Declared,
        members: &'n Members,
        default_args: Option<&'n Mapping>,
    ) -> Vec<&'n Mapping> {
        let mut defaults = Vec::new();
        let mut group = declared.group;
        while let Some(index) = group {
            defaults.extend(members.groups[index].node.get("default_args").and_then(Node::as_mapping));
            group = members.groups[index].parent;
        }
        defaults.extend(default_args);
        defaults
    }

    fn operator_arguments(
        &self,
        task: &mut Task,
        lookup: &Lookup<'_>,
        chosen: &Chosen,
        shared: &Shared<'_>,
        implied: &mut Vec<Dependency>,
    ) {
        let Some(operator) = chosen.operator else {
            let help = "a `bash`, `python` or `docker` task may do the same; it would take the python bridge, a container with \
                        Airflow's task SDK and the provider, which is not there yet";
            self.unsupported(
                task,
                chosen.mark,
                format!("`{}` cannot run here, and its tasks fail when they are started", chosen.class),
                help,
            );
            for (key, entry) in lookup.own.iter().filter(|(key, _)| !is_task_key(key)) {
                let value = self.reference_or_json(entry, chosen.decorated, shared, implied);
                task.args.extend(value.map(|value| (key.to_string(), value)));
            }
            return;
        };
        if operator.kind == OperatorKind::Unsupported {
            let message = format!("`{}` has no runner here, and its tasks fail when they are started", operator.class);
            let help = "a `bash`, `python` or `docker` task may do the same";
            self.unsupported(task, chosen.mark, message, help);
        }
        let moves_env = chosen.short && matches!(operator.kind, OperatorKind::Bash | OperatorKind::BashSensor);
        if operator.sensor {
            task.sensor = Some(self.sensor(lookup));
        }
        let fields: &[&str] = if operator.sensor { operators::SENSOR_FIELDS } else { &[] };
        // `notifiers` are callbacks of the task, no arguments.
        for arg in operator.args().filter(|arg| !fields.contains(&arg.name) && arg.name != "notifiers") {
            // `env` beside a short form, and `secrets` as a mapping, are the native keys of every task.
            let entry = lookup.get(arg.name).filter(|entry| match arg.name {
                "env" => !moves_env,
                "secrets" => entry.value.as_mapping().is_none(),
                _ => !arg.fixed,
            });
            // Nothing behind a key means its default, as leaving it out; `skip_on_exit_code:` means no code at all.
            let entry = entry.filter(|entry| !entry.value.is_null() || arg.kind == Kind::ExitCodes);
            let given = entry.and_then(|entry| self.argument(arg.name, arg.kind, &entry.value));
            match (entry, given) {
                (Some(entry), Some(value)) => {
                    // To say what holds anyway asks for nothing.
                    let is_default =
                        value.is_null() || serde_json::from_str(arg.default).is_ok_and(|own: Value| own == value);
                    if arg.idle && !is_default && lookup.own.contains_key(arg.name) {
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
        if operator.kind == OperatorKind::Bash && moves_env && !lookup.own.contains_key("append_env") {
            task.args.insert("append_env".to_owned(), Value::Bool(true));
        }
        self.special_arguments(task, lookup, operator, chosen);
        let mut kwargs = Map::new();
        for (key, entry) in lookup.own.iter().filter(|(key, _)| !is_task_key(key) && operator.arg(key).is_none()) {
            if chosen.decorated {
                let value = self.reference_or_json(entry, true, shared, implied);
                kwargs.extend(value.map(|value| (key.to_string(), value)));
            } else {
                let known = operator.args().map(|arg| arg.name).chain(base_names()).chain(keys::names(keys::TASK));
                let help = did_you_mean(key, known).or_else(|| {
                    operators::by_alias(key).map(|_| "a task has one operator; make another task of it".to_owned())
                });
                let class = operator.class.rsplit('.').next().unwrap_or(operator.class);
                let message = format!("`{class}` takes no argument `{key}`");
                if operator.kind == OperatorKind::Unsupported {
                    // Nothing runs it, and the provider may know more arguments than the table.
                    self.findings.warning_help("unknown_argument", entry.key, message + " that is known here", help);
                } else {
                    self.findings.error_help("unknown_argument", entry.key, message, help);
                }
            }
        }
        if chosen.decorated {
            task.args.insert("op_kwargs".to_owned(), Value::Object(kwargs));
        }
    }

    /// In a decorated task, `+task` and `+task['key']` are results of other tasks; everything else is a value.
    fn reference_or_json(
        &self,
        entry: &Entry,
        decorated: bool,
        shared: &Shared<'_>,
        implied: &mut Vec<Dependency>,
    ) -> Option<Value> {
        let reference = entry.value.as_text().filter(|_| decorated).and_then(super::mapped::plus_reference);
        match reference {
            Some(reference) => Some(self.xcom_arg(&reference, entry.value.mark, shared, implied).to_value()),
            None => self.json(&entry.value),
        }
    }

    /// Complete arguments must fit the type that reads them when the task runs; those with templates are read then.
    fn check_arguments(&self, task: &mut Task, operator: Mark) {
        if task.args.values().any(is_unfinished) {
            return;
        }
        let args = Value::Object(std::mem::take(&mut task.args));
        let checked = task.operator.check(&task.operator_class, &args);
        if let Value::Object(args) = args {
            task.args = args;
        }
        if let Err(error) = checked {
            let message = format!("the arguments of `{}` do not fit its operator: {error}", task.task_id);
            self.findings.error("wrong_type", operator, message);
        }
    }

    fn required(&self, declared: &Declared, task: &Task, lookup: &Lookup<'_>, chosen: &Chosen) {
        let Some(operator) = chosen.operator else { return };
        let written = |key: &str, name: &str| {
            lookup.own.get(key).and_then(|entry| entry.value.as_mapping()).is_some_and(|args| args.contains_key(name))
        };
        // What a result brings as arguments is known when the task runs.
        let expanded = |name: &str| {
            written("expand", name)
                || task.mapping.as_ref().filter(|mapping| mapping.kind == MappingKind::ExpandKwargs).is_some_and(
                    |mapping| match &mapping.inputs[0] {
                        MapInput::Literal(Value::Array(items)) => items.iter().all(|item| item.get(name).is_some()),
                        _ => true,
                    },
                )
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
    (keys::has(keys::TASK, key) && key != "python_callable")
        || is_base(key)
        || is_notification(key)
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

/// Whether a template or another task's result stands in it.
fn is_unfinished(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{{") || text.contains("{%"),
        Value::Array(items) => items.iter().any(is_unfinished),
        Value::Object(fields) => XComArg::read(value).is_some() || fields.values().any(is_unfinished),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
