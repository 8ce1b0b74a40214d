//! The keys of a DAG, read into a [`Dag`].

use serde_json::Value;

use super::{
    Context,
    base::is_base,
    callbacks::callback_of,
    groups::bad_character,
    keys,
    layout::Source,
    node::{Entry, Mapping, Node},
    params::Params,
    suggest::did_you_mean,
    values::{Date, Zone, duration_json},
};
use crate::{
    dag::{Dag, Schedule},
    state::DagRunType,
};

/// Keys that Airflow has, dag-factory drops, and that have no effect here.
pub(super) const WITHOUT_EFFECT: &[&str] = &[
    "on_execute_callback",
    "sla_miss_callback",
    "auto_register",
    "template_undefined",
    "jinja_environment_kwargs",
    "user_defined_filters",
    "access_control",
];

impl Context<'_> {
    /// Reads a DAG whose defaults are merged. What it gives after an error is not to be used.
    pub(super) fn dag(&self, source: &Source) -> Dag {
        let empty = Mapping::new();
        let entries = source.node.as_mapping().unwrap_or(&empty);
        let mut dag = Dag::new(source.dag_id.as_str());
        self.check_id(source);
        self.unknown_keys(entries, source);
        let get = |name: &str| entries.get(name).map(|entry| &entry.value);
        let zone =
            get("timezone").and_then(|node| self.timezone("timezone", node)).unwrap_or(self.settings.default_timezone);
        dag.timezone = zone;
        let zone = Zone { zone, overwrites: !source.native };
        self.texts_of(&mut dag, entries);
        let default_args = self.dates(&mut dag, entries, zone);
        self.limits(&mut dag, entries);
        self.read_schedule(&mut dag, entries, default_args);
        let mut params = Params::default();
        if let Some(node) = get("params") {
            self.params(node, dag.schedule != Schedule::None, &mut params);
        }
        if let Some(node) = get("inputs") {
            self.inputs(node, dag.schedule != Schedule::None, &mut params);
            let names: Vec<&str> = node.as_mapping().into_iter().flatten().map(|(name, _)| &**name).collect();
            dag.extra.insert("inputs".to_owned(), names.into());
        }
        dag.params = params.values;
        dag.param_schemas = params.schemas;
        if let Some(node) = get("deadline") {
            dag.deadlines = self.deadlines(node, zone);
        }
        self.dag_extra(&mut dag, entries);
        let members = self.members(entries);
        if members.tasks.is_empty() && get("tasks").is_none_or(|node| node.as_scalar().is_none_or(|_| node.is_null())) {
            let help = "add `tasks`".to_owned();
            self.findings.warning_help(
                "no_tasks",
                source.mark,
                format!("the DAG `{}` has no tasks", source.dag_id),
                Some(help),
            );
        }
        for index in 0..members.groups.len() {
            let group = self.task_group(&members, index);
            dag.task_groups.insert(group.group_id.clone(), group);
        }
        self.tasks(&mut dag, entries, &members, zone, default_args);
        dag
    }

    fn check_id(&self, source: &Source) {
        let id = &source.dag_id;
        if let Some(bad) = bad_character(id, true) {
            let message = format!("the DAG id `{id}` has a {bad} in it");
            let help = "DAG ids have letters, digits, `_`, `-` and `.`".to_owned();
            self.findings.error_help("invalid_dag_id", source.mark, message, Some(help));
        } else if !(1..=250).contains(&id.chars().count()) {
            self.findings.error("invalid_dag_id", source.mark, "a DAG id has 1 to 250 characters");
        }
    }

    fn unknown_keys(&self, entries: &Mapping, source: &Source) {
        for (key, entry) in entries {
            let key = &**key;
            if key == "dag_id" {
                if !source.native && entry.value.as_text() != Some(&source.dag_id) {
                    let message = format!("`dag_id` has no effect here: the DAG is `{}`", source.dag_id);
                    let help = "in a file of several DAGs the key is the id".to_owned();
                    self.findings.warning_help("unknown_key", entry.key, message, Some(help));
                }
                continue;
            }
            let known = keys::has(keys::DAG, key) || matches!(key, "vars" | "default") || key.starts_with("x-");
            if !known && !callback_of(key).is_some_and(|callback| keys::has(keys::DAG, callback)) {
                let help = if is_base(key) {
                    Some(format!("`{key}` is an argument of tasks; write it in `default_args`"))
                } else {
                    did_you_mean(key, keys::names(keys::DAG))
                };
                self.findings.warning_help(
                    "unknown_key",
                    entry.key,
                    format!("a DAG has no key `{key}`; it has no effect"),
                    help,
                );
            }
            if WITHOUT_EFFECT.contains(&key) && !entry.value.is_null() && !is_empty(&entry.value) {
                self.without_effect(entry.key, &format!("`{key}`"));
            }
        }
    }

    fn texts_of(&self, dag: &mut Dag, entries: &Mapping) {
        let text = |name: &str| entries.get(name).and_then(|entry| self.text(name, &entry.value));
        dag.description = text("description");
        if let Some(name) = text("dag_display_name") {
            dag.dag_display_name = name;
        }
        dag.doc_md = text("doc_md");
        if let Some(entry) = entries.get("doc_md_file_path")
            && let Some(path) = text("doc_md_file_path")
        {
            match self.resolve(self.folder(), &path).and_then(|path| self.read(&path)) {
                Some(bytes) => dag.doc_md = dag.doc_md.take().or_else(|| String::from_utf8(bytes).ok()),
                None => self.findings.warning_help(
                    "template_file_missing",
                    entry.value.mark,
                    format!("there is no file `{path}` with documentation"),
                    Some("paths are relative to this file, or absolute".to_owned()),
                ),
            }
        }
        if let Some(entry) = entries.get("doc_md_python_callable_name") {
            self.without_effect(entry.key, "documentation made by Python");
        }
        if let Some(tags) = entries.get("tags") {
            for tag in self.texts("tags", &tags.value).unwrap_or_default() {
                if !dag.tags.contains(&tag) {
                    dag.tags.push(tag);
                }
            }
        }
    }

    /// Dates of the DAG; gives `default_args` back.
    fn dates<'n>(&self, dag: &mut Dag, entries: &'n Mapping, zone: Zone) -> Option<&'n Mapping> {
        let mut read = |name: &str| {
            let found = entries.get(name).and_then(|entry| self.date(name, &entry.value, zone));
            if let Some(Date { relative: Some(text), .. }) = &found {
                dag.source_dates.insert(name.to_owned(), text.clone());
            }
            found.map(|date| date.at)
        };
        let (start, end) = (read("start_date"), read("end_date"));
        dag.start_date = start;
        dag.end_date = end;
        let default_args = entries.get("default_args").and_then(|entry| self.mapping("default_args", &entry.value));
        if let (Some(start), Some(end), Some(entry)) = (start, end, entries.get("end_date"))
            && end < start
        {
            let help = "the DAG would never run".to_owned();
            self.findings.warning_help("end_before_start", entry.key, "`end_date` is before `start_date`", Some(help));
        }
        let args_zone = default_args
            .and_then(|args| args.get("timezone"))
            .and_then(|entry| self.timezone("timezone", &entry.value))
            .map_or(zone, |own| Zone { zone: own, ..zone });
        for (name, entry) in default_args.into_iter().flatten() {
            let value = match &**name {
                "start_date" | "end_date" => self.date(name, &entry.value, args_zone).map(|date| {
                    if let Some(text) = date.relative {
                        dag.source_dates.insert(format!("default_args.{name}"), text);
                    }
                    Value::String(super::rfc3339(date.at))
                }),
                // A number of seconds is shown as it is, as Airflow does.
                "retry_delay" | "max_retry_delay" | "execution_timeout" => {
                    let number = self.json(&entry.value).filter(Value::is_number);
                    self.duration(name, &entry.value).map(|duration| number.unwrap_or_else(|| duration_json(duration)))
                }
                "retry_exponential_backoff" | "retries" | "trigger_rule" => self.json(&entry.value),
                _ if callback_of(name).is_some() || matches!(&**name, "timezone" | "retry_policy") => None,
                _ => self.json(&entry.value),
            };
            dag.default_args.extend(value.map(|value| (name.to_string(), value)));
        }
        default_args
    }

    fn limits(&self, dag: &mut Dag, entries: &Mapping) {
        let get = |name: &str| entries.get(name).map(|entry| &entry.value);
        let limit = |name: &str, default: u32| {
            let Some(node) = get(name) else { return default };
            match self.integer(name, node) {
                None => default,
                Some(value @ 1..=2_147_483_647) => value as u32,
                Some(value) => {
                    let message = format!("`{name}` is {value}: nothing would ever run");
                    self.findings.warning_help("invalid_value", node.mark, message, Some("write 1 or more".to_owned()));
                    0
                }
            }
        };
        dag.max_active_runs = limit("max_active_runs", 16);
        dag.max_active_tasks = limit("max_active_tasks", 16);
        if let Some(node) = get("max_consecutive_failed_dag_runs") {
            let range = 0..=i64::from(i32::MAX);
            dag.max_consecutive_failed_dag_runs =
                self.integer_in("max_consecutive_failed_dag_runs", node, range).map_or(0, |value| value as u32);
        }
        dag.max_map_length = self.settings.max_map_length;
        dag.allowed_run_types = get("allowed_run_types").and_then(|node| self.run_types(node));
        dag.dagrun_timeout = get("dagrun_timeout").and_then(|node| self.duration("dagrun_timeout", node));
        let flag = |name: &str| get(name).and_then(|node| self.boolean(name, node));
        dag.catchup = flag("catchup").unwrap_or(false);
        dag.fail_fast = flag("fail_fast").unwrap_or(false);
        dag.is_paused_upon_creation = flag("is_paused_upon_creation");
        dag.render_template_as_native_obj = flag("render_template_as_native_obj").unwrap_or(false);
        dag.rerun_with_latest_version = flag("rerun_with_latest_version");
    }

    /// `allowed_run_types`: one type of run or a list of them.
    fn run_types(&self, node: &Node) -> Option<Vec<DagRunType>> {
        if node.is_null() {
            return None;
        }
        let nodes = self.items(node).unwrap_or(std::slice::from_ref(node));
        let mut types = Vec::new();
        for node in nodes {
            let word = self.text("allowed_run_types", node)?;
            let Some(found) = DagRunType::ALL.iter().find(|kind| kind.as_str() == word) else {
                let words = DagRunType::ALL.iter().map(|kind| kind.as_str());
                let help = did_you_mean(&word, words.clone())
                    .unwrap_or_else(|| format!("the types are {}", words.collect::<Vec<_>>().join(", ")));
                let message = format!("there is no type of run `{word}`");
                self.findings.error_help("invalid_value", node.mark, message, Some(help));
                return None;
            };
            if !types.contains(found) {
                types.push(*found);
            }
        }
        Some(types)
    }

    fn read_schedule(&self, dag: &mut Dag, entries: &Mapping, default_args: Option<&Mapping>) {
        let Some(entry) = entries.get("schedule") else { return };
        let Some(schedule) = self.schedule(&entry.value, dag.timezone) else { return };
        dag.schedule = schedule;
        if dag.schedule == Schedule::Continuous && dag.max_active_runs != 1 {
            let place = entries.get("max_active_runs").unwrap_or(entry);
            let help = "write `max_active_runs: 1`".to_owned();
            self.findings.error_help(
                "invalid_value",
                place.value.mark,
                "`@continuous` needs `max_active_runs: 1`",
                Some(help),
            );
        }
        let timed = !matches!(dag.schedule, Schedule::None | Schedule::Assets { timetable: None, .. });
        let start = dag.start_date.is_some() || default_args.is_some_and(|args| args.contains_key("start_date"));
        if dag.catchup
            && timed
            && !start
            && let Some(catchup) = entries.get("catchup")
        {
            let help = "add `start_date`; without it the schedule begins now".to_owned();
            let message = "`catchup` has nothing to catch up from without a `start_date`";
            self.findings.warning_help("missing_start_date", catchup.key, message, Some(help));
        }
    }

    /// Names for templates, and what is shown and has no field of its own.
    fn dag_extra(&self, dag: &mut Dag, entries: &Mapping) {
        if let Some(entry) = entries.get("template_searchpath") {
            dag.template_searchpath = self.searchpath(entry);
        }
        if let Some(links) = entries.get("owner_links").and_then(|entry| self.text_map("owner_links", &entry.value))
            && !links.is_empty()
        {
            dag.extra.insert("owner_links".to_owned(), Value::Object(links));
        }
        if let Some(entry) = entries.get("access_control").filter(|entry| !is_empty(&entry.value)) {
            dag.extra.extend(self.json(&entry.value).map(|value| ("access_control".to_owned(), value)));
        }
        let macros =
            entries.get("user_defined_macros").and_then(|entry| self.mapping("user_defined_macros", &entry.value));
        for (name, entry) in macros.into_iter().flatten() {
            if entry.value.as_text().is_some_and(is_import_path) {
                self.findings.warning_help(
                    "without_effect",
                    entry.value.mark,
                    format!("the macro `{name}` is text here: templates call no Python"),
                    Some("write the value itself, or compute it in a `python` task".to_owned()),
                );
            }
            let value = self.json(&entry.value);
            dag.user_defined_macros.extend(value.map(|value| (name.to_string(), value)));
        }
    }

    /// Folders relative to the DAG root; one outside of it cannot be read from.
    fn searchpath(&self, entry: &Entry) -> Vec<String> {
        let nodes = match self.items(&entry.value) {
            Some(nodes) => nodes,
            None => std::slice::from_ref(&entry.value),
        };
        let mut folders = Vec::new();
        for node in nodes {
            let Some(path) = self.text("template_searchpath", node) else { continue };
            match self.resolve(self.folder(), &path) {
                Some(folder) => folders.push(folder),
                None => self.findings.warning_help(
                    "template_file_missing",
                    node.mark,
                    format!("`{path}` is outside of the DAG folder, and nothing is read from it"),
                    Some("template files travel to the nodes with the DAG folder; put them below it".to_owned()),
                ),
            }
        }
        folders
    }
}

/// `package.module.name`: text that dag-factory imports.
fn is_import_path(text: &str) -> bool {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    text.contains('.') && text.split('.').all(is_name)
}

fn is_empty(node: &Node) -> bool {
    node.as_mapping().is_some_and(Mapping::is_empty) || node.as_sequence().is_some_and(<[Node]>::is_empty)
}
