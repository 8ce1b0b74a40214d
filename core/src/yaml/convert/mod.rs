//! A compiled DAG as dag-factory 1.x reads it: class paths, long arguments, `__type__` objects.
//!
//! Native-only features have no equal there; they are named, and nothing is converted.

mod schedule;
mod task;

use serde_json::{Map, Value, json};

use super::{
    emit::Emitter,
    node::{Entry, Mapping, Mark, Node, Style},
};
use crate::dag::{Callback, CallbackAction, Dag};

/// The DAG in dag-factory's layout.
///
/// # Errors
/// What dag-factory has no word for, each in a sentence.
pub fn to_dag_factory(dag: &Dag) -> Result<String, Vec<String>> {
    let mut converter = Converter { dag, missing: Vec::new() };
    let fields = converter.dag();
    if !converter.missing.is_empty() {
        converter.missing.dedup();
        return Err(converter.missing);
    }
    let mut out = Emitter::default();
    let node = node(&Value::Object(fields));
    out.entry(0, dag.dag_id.as_str(), &node, Mark::start(0));
    Ok(out.lines.into_iter().map(|line| line.text + "\n").collect())
}

struct Converter<'d> {
    dag: &'d Dag,
    missing: Vec<String>,
}

/// Puts what is worth saying.
fn put(fields: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    let value = value.into();
    if !value.is_null() {
        fields.insert(name.to_owned(), value);
    }
}

/// `{__type__: datetime.timedelta, seconds: …}`.
fn timedelta(seconds: f64) -> Value {
    json!({ "__type__": "datetime.timedelta", "seconds": number(seconds) })
}

/// A whole number without its point.
fn number(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}

impl Converter<'_> {
    fn native_only(&mut self, where_: &str, what: &str) {
        self.missing.push(format!("{where_}: dag-factory has no {what}"));
    }

    fn dag(&mut self) -> Map<String, Value> {
        let dag = self.dag;
        let place = format!("DAG `{}`", dag.dag_id);
        let mut fields = Map::new();
        put(&mut fields, "description", dag.description.clone());
        if dag.dag_display_name != dag.dag_id.as_str() {
            put(&mut fields, "dag_display_name", dag.dag_display_name.clone());
        }
        put(&mut fields, "schedule", self.schedule(&dag.schedule));
        for (name, at) in [("start_date", dag.start_date), ("end_date", dag.end_date)] {
            // dag-factory puts the DAG's zone in place of any other.
            let local = at.map(|at| at.with_timezone(&dag.timezone).format("%Y-%m-%dT%H:%M:%S").to_string());
            put(&mut fields, name, dag.source_dates.get(name).cloned().or(local));
        }
        if dag.timezone != chrono_tz::Tz::UTC {
            put(&mut fields, "timezone", dag.timezone.name());
        }
        if dag.catchup {
            put(&mut fields, "catchup", true);
        }
        for (name, value) in [("max_active_runs", dag.max_active_runs), ("max_active_tasks", dag.max_active_tasks)] {
            if value != 16 {
                put(&mut fields, name, value);
            }
        }
        put(&mut fields, "dagrun_timeout", dag.dagrun_timeout.map(|timeout| timedelta(timeout.as_secs_f64())));
        put(&mut fields, "is_paused_upon_creation", dag.is_paused_upon_creation);
        if dag.render_template_as_native_obj {
            put(&mut fields, "render_template_as_native_obj", true);
        }
        put(&mut fields, "doc_md", dag.doc_md.clone());
        if !dag.tags.is_empty() {
            put(&mut fields, "tags", dag.tags.clone());
        }
        let params = self.params();
        if !params.is_empty() {
            put(&mut fields, "params", params);
        }
        if !dag.user_defined_macros.is_empty() {
            put(&mut fields, "user_defined_macros", dag.user_defined_macros.clone());
        }
        if !dag.template_searchpath.is_empty() {
            let folders: Vec<String> = dag.template_searchpath.iter().map(|path| below_root(path)).collect();
            put(&mut fields, "template_searchpath", folders);
        }
        put(&mut fields, "access_control", dag.extra.get("access_control").cloned().unwrap_or_default());
        self.callbacks(&place, &dag.callbacks, &mut fields);
        for (what, there) in [
            ("`fail_fast`", dag.fail_fast),
            ("`max_consecutive_failed_dag_runs`", dag.max_consecutive_failed_dag_runs > 0),
            ("`deadline`", !dag.deadlines.is_empty()),
            ("`rerun_with_latest_version`", dag.rerun_with_latest_version.is_some()),
            ("`owner_links`", dag.extra.contains_key("owner_links")),
        ] {
            if there {
                self.native_only(&place, what);
            }
        }
        let groups = self.groups();
        if !groups.is_empty() {
            put(&mut fields, "task_groups", groups);
        }
        let tasks: Map<String, Value> =
            dag.tasks.iter().map(|task| (self.short(&task.task_id).to_owned(), self.task(task))).collect();
        put(&mut fields, "tasks", tasks);
        fields
    }

    fn params(&self) -> Map<String, Value> {
        let required = self.dag.param_schemas.keys().filter(|name| !self.dag.params.contains_key(*name));
        let names = self.dag.params.keys().chain(required);
        names
            .map(|name| {
                let default = self.dag.params.get(name).cloned();
                let Some(schema) = self.dag.param_schemas.get(name) else {
                    return (name.clone(), default.unwrap_or_default());
                };
                let mut param = Map::new();
                put(&mut param, "__type__", "airflow.sdk.Param");
                param.extend(default.map(|default| ("default".to_owned(), default)));
                param.extend(schema.as_object().cloned().unwrap_or_default());
                (name.clone(), Value::Object(param))
            })
            .collect()
    }

    fn groups(&mut self) -> Map<String, Value> {
        let mut groups = Map::new();
        for (id, group) in &self.dag.task_groups {
            let place = format!("group `{id}`");
            if group.mapping.is_some() {
                self.native_only(&place, "mapping of groups");
            }
            let mut fields = Map::new();
            if !group.tooltip.is_empty() {
                put(&mut fields, "tooltip", group.tooltip.clone());
            }
            put(&mut fields, "group_display_name", group.display_name.clone());
            put(&mut fields, "parent_group_name", group.parent.as_ref().map(|parent| self.short_group(parent)));
            if !group.prefix_group_id {
                put(&mut fields, "prefix_group_id", false);
            }
            groups.insert(self.short_group(id).to_owned(), Value::Object(fields));
        }
        groups
    }

    /// A task's name, without its groups'.
    fn short<'t>(&self, id: &'t crate::ids::TaskId) -> &'t str {
        let group = self.dag.task(id.as_str()).and_then(|task| task.task_group.as_deref());
        self.without(group, id.as_str())
    }

    fn short_group<'g>(&self, id: &'g str) -> &'g str {
        let parent = self.dag.task_groups.get(id).and_then(|group| group.parent.as_deref());
        self.without(parent, id)
    }

    fn without<'i>(&self, group: Option<&str>, id: &'i str) -> &'i str {
        let prefix = group.and_then(|group| self.dag.task_groups.get(group)).filter(|group| group.prefix_group_id);
        prefix.and_then(|group| id.strip_prefix(group.group_id.as_str())?.strip_prefix('.')).unwrap_or(id)
    }

    /// `on_*_callback`: functions as paths, mail and Slack as Airflow's notifiers.
    fn callbacks(&mut self, place: &str, callbacks: &[Callback], fields: &mut Map<String, Value>) {
        for callback in callbacks {
            let key = format!("on_{}_callback", callback.on.as_str());
            let mut said = Map::new();
            match &callback.action {
                CallbackAction::Python { callable, file: Some(file), .. } => {
                    put(fields, &format!("{key}_name"), callable.clone());
                    put(fields, &format!("{key}_file"), below_root(file));
                    continue;
                }
                CallbackAction::Python { callable, kwargs, .. } => {
                    put(&mut said, "callback", callable.clone());
                    said.extend(kwargs.clone());
                }
                CallbackAction::Email { to, subject, body, from, conn_id } => {
                    put(&mut said, "__type__", "airflow.providers.smtp.notifications.smtp.SmtpNotifier");
                    put(&mut said, "to", to.clone());
                    put(&mut said, "subject", subject.clone());
                    put(&mut said, "html_content", body.clone());
                    put(&mut said, "from_email", from.clone());
                    put(&mut said, "smtp_conn_id", conn_id.clone());
                }
                CallbackAction::Slack { conn_id, channel, text } => {
                    put(&mut said, "__type__", "airflow.providers.slack.notifications.slack.SlackNotifier");
                    put(&mut said, "slack_conn_id", conn_id.clone());
                    put(&mut said, "channel", channel.clone());
                    put(&mut said, "text", text.clone());
                }
                CallbackAction::Http { .. } => {
                    self.native_only(place, "callback that calls a URL");
                    continue;
                }
            }
            if fields.insert(key, Value::Object(said)).is_some() {
                self.native_only(place, "way to call back twice for one event");
            }
        }
    }
}

/// A path below the DAG folder, as dag-factory's files name it.
fn below_root(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("$CONFIG_ROOT_DIR/{path}") }
}

/// A value as a node, to be written.
fn node(value: &Value) -> Node {
    let mark = Mark::start(0);
    match value {
        Value::Null => Node::scalar(mark, "", Style::Plain),
        Value::Bool(_) | Value::Number(_) => Node::scalar(mark, value.to_string(), Style::Plain),
        Value::String(text) => Node::scalar(mark, text.as_str(), Style::Quoted),
        Value::Array(items) => Node::sequence(mark, items.iter().map(node).collect()),
        Value::Object(fields) => {
            let entries: Mapping = fields
                .iter()
                .map(|(name, value)| (name.as_str().into(), Entry { key: mark, value: node(value) }))
                .collect();
            Node::mapping(mark, entries)
        }
    }
}
