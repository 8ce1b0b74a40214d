//! Arguments that every task takes (Airflow's `BaseOperator`), of the task, its groups' and the DAG's `default_args`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    Context,
    node::{Entry, Node, Style},
    operators::Kind,
    scalar,
    suggest::did_you_mean,
    task::{Lookup, Shared},
};
use crate::dag::{Task, TriggerRule, WeightRule};

/// Every argument of `BaseOperator` the format knows.
pub(super) const BASE: &[&str] = &[
    "owner",
    "retries",
    "retry_delay",
    "retry_exponential_backoff",
    "max_retry_delay",
    "execution_timeout",
    "trigger_rule",
    "depends_on_past",
    "wait_for_downstream",
    "ignore_first_depends_on_past",
    "start_date",
    "end_date",
    "email",
    "email_on_failure",
    "email_on_retry",
    "params",
    "pool",
    "pool_slots",
    "queue",
    "priority_weight",
    "weight_rule",
    "max_active_tis_per_dag",
    "max_active_tis_per_dagrun",
    "do_xcom_push",
    "multiple_outputs",
    "map_index_template",
    "run_as_user",
    "doc",
    "doc_md",
    "doc_json",
    "doc_yaml",
    "doc_rst",
    "task_display_name",
    "inlets",
    "outlets",
    "executor_config",
    "executor",
    "resources",
    "sla",
    "allow_nested_operators",
    "render_template_as_native_obj",
    "retry_policy",
    "wait_for_past_depends_before_skipping",
];

/// Callbacks of a task; `…_name` and `…_file` belong to each.
pub(super) const CALLBACKS: &[&str] =
    &["on_execute_callback", "on_success_callback", "on_failure_callback", "on_retry_callback", "on_skipped_callback"];

/// The native notifications of a task.
pub(super) const NOTIFICATIONS: &[&str] = &["on_failure", "on_success", "on_retry"];

const RULES: &[(&str, TriggerRule)] = &[
    ("all_success", TriggerRule::AllSuccess),
    ("all_failed", TriggerRule::AllFailed),
    ("all_done", TriggerRule::AllDone),
    ("all_done_min_one_success", TriggerRule::AllDoneMinOneSuccess),
    ("all_done_setup_success", TriggerRule::AllDoneSetupSuccess),
    ("one_success", TriggerRule::OneSuccess),
    ("one_failed", TriggerRule::OneFailed),
    ("one_done", TriggerRule::OneDone),
    ("none_failed", TriggerRule::NoneFailed),
    ("none_failed_min_one_success", TriggerRule::NoneFailedMinOneSuccess),
    ("none_skipped", TriggerRule::NoneSkipped),
    ("all_skipped", TriggerRule::AllSkipped),
    ("always", TriggerRule::Always),
];

/// The callback a key belongs to (`on_failure_callback_name` → `on_failure_callback`).
pub(super) fn callback_of(key: &str) -> Option<&'static str> {
    CALLBACKS
        .iter()
        .copied()
        .find(|callback| key.strip_prefix(callback).is_some_and(|rest| matches!(rest, "" | "_name" | "_file")))
}

impl Context<'_> {
    /// Fills the fields of `task` that come from `BaseOperator` arguments.
    pub(super) fn base_arguments(&self, task: &mut Task, lookup: &Lookup<'_>, shared: &Shared<'_>, pushes_xcom: bool) {
        let get = |name: &str| lookup.get(name).map(|entry| &entry.value);
        let text = |name: &str| get(name).and_then(|node| self.text(name, node));
        let flag = |name: &str| get(name).and_then(|node| self.boolean(name, node));
        let span = |name: &str| get(name).and_then(|node| self.duration(name, node));
        let positive = |name: &str| {
            get(name).and_then(|node| self.integer_in(name, node, 1..=i64::from(i32::MAX))).map(|value| value as u32)
        };
        if let Some(owner) = text("owner") {
            task.owner = owner;
        }
        task.retries = get("retries").map_or(0, |node| self.retries(node));
        if let Some(delay) = span("retry_delay") {
            task.retry_delay = delay;
        }
        task.retry_exponential_backoff = get("retry_exponential_backoff").map_or(0.0, |node| self.backoff(node));
        task.max_retry_delay = span("max_retry_delay");
        task.execution_timeout = span("execution_timeout");
        if let Some(entry) = lookup.get("execution_timeout")
            && task.execution_timeout == Some(Duration::ZERO)
        {
            self.findings.error("invalid_duration", entry.value.mark, "`execution_timeout` cannot be zero");
        }
        task.trigger_rule = get("trigger_rule").and_then(|node| self.trigger_rule(node)).unwrap_or_default();
        task.weight_rule = get("weight_rule").and_then(|node| self.weight_rule(node)).unwrap_or_default();
        task.wait_for_downstream = flag("wait_for_downstream").unwrap_or(false);
        task.depends_on_past = flag("depends_on_past").unwrap_or(false) || task.wait_for_downstream;
        task.ignore_first_depends_on_past = flag("ignore_first_depends_on_past").unwrap_or(false);
        for name in ["depends_on_past", "wait_for_downstream", "wait_for_past_depends_before_skipping"] {
            if let Some(entry) = lookup.get(name)
                && flag(name) == Some(true)
            {
                self.not_supported(entry.key, &format!("`{name}`"));
            }
        }
        if let Some(pool) = text("pool") {
            task.pool = pool;
        }
        task.pool_slots = positive("pool_slots").unwrap_or(1);
        if let Some(queue) = text("queue") {
            task.queue = queue;
        }
        task.priority_weight = get("priority_weight")
            .and_then(|node| self.integer_in("priority_weight", node, i64::from(i32::MIN)..=i64::from(i32::MAX)))
            .map_or(1, |weight| weight as i32);
        task.max_active_tis_per_dag = positive("max_active_tis_per_dag");
        task.max_active_tis_per_dagrun = positive("max_active_tis_per_dagrun");
        if let Some(entry) = lookup.get("max_active_tis_per_dagrun")
            && task.max_active_tis_per_dagrun.is_some()
        {
            self.not_supported(entry.key, "`max_active_tis_per_dagrun`");
        }
        task.do_xcom_push = flag("do_xcom_push").unwrap_or(pushes_xcom);
        task.multiple_outputs = flag("multiple_outputs").unwrap_or(false);
        for (name, field) in [("start_date", &mut task.start_date), ("end_date", &mut task.end_date)] {
            if let Some(date) = get(name).and_then(|node| self.date(name, node, shared.zone)) {
                *field = Some(date.at);
                let written = date.relative.map(|text| (format!("tasks.{}.{name}", task.task_id), text));
                shared.relative_dates.borrow_mut().extend(written);
            }
        }
        if let Some(name) = text("task_display_name") {
            task.task_display_name = name;
        }
        task.doc = text("doc");
        task.doc_md = text("doc_md");
        if let Some(params) = get("params") {
            let mut read = super::params::Params::default();
            self.params(params, &mut read);
            task.params = read.values.into_iter().collect();
            if !read.schemas.is_empty() {
                task.extra.insert("param_schemas".to_owned(), json!(read.schemas));
            }
        }
        task.inlets = get("inlets").map(|node| self.task_assets("inlets", node)).unwrap_or_default();
        task.outlets = get("outlets").map(|node| self.task_assets("outlets", node)).unwrap_or_default();
        self.base_extra(&mut task.extra, lookup);
    }

    /// What loads and is shown, but is not acted on yet.
    fn base_extra(&self, extra: &mut Map<String, Value>, lookup: &Lookup<'_>) {
        let plain: &[(&str, Kind, bool)] = &[
            ("email", Kind::TextOrList, true),
            ("email_on_failure", Kind::Bool, false),
            ("email_on_retry", Kind::Bool, false),
            ("map_index_template", Kind::Text, true),
            ("doc_json", Kind::Any, false),
            ("doc_yaml", Kind::Any, false),
            ("doc_rst", Kind::Any, false),
            ("executor_config", Kind::Any, true),
            ("executor", Kind::Text, true),
            ("resources", Kind::Any, true),
            ("sla", Kind::Any, true),
            ("allow_nested_operators", Kind::Bool, true),
            ("retry_policy", Kind::Any, true),
            ("render_template_as_native_obj", Kind::Bool, true),
        ];
        for (name, kind, warns) in plain {
            let Some(entry) = lookup.get(name) else { continue };
            let Some(value) = self.argument(name, *kind, &entry.value).filter(|value| !value.is_null()) else {
                continue;
            };
            if *warns {
                self.without_effect(entry.key, &format!("`{name}`"));
            }
            extra.insert((*name).to_owned(), value);
        }
        if let Some(entry) = lookup.get("run_as_user")
            && let Some(user) = self.text("run_as_user", &entry.value)
        {
            self.not_supported(entry.key, "`run_as_user`");
            extra.insert("run_as_user".to_owned(), Value::String(user));
        }
        for callback in CALLBACKS {
            self.callback(extra, callback, &|name| lookup.get(name));
        }
    }

    /// A callback in any of its forms, into `extra` under its name.
    pub(super) fn callback<'n>(
        &self,
        extra: &mut Map<String, Value>,
        callback: &str,
        get: &dyn Fn(&str) -> Option<&'n Entry>,
    ) {
        let value = match (get(callback), get(&format!("{callback}_name")), get(&format!("{callback}_file"))) {
            (Some(entry), ..) => {
                self.without_effect(entry.key, &format!("`{callback}`"));
                self.json(&entry.value)
            }
            (None, Some(name), file) => {
                self.without_effect(name.key, &format!("`{callback}`"));
                Some(json!({
                    "name": self.text("name", &name.value),
                    "file": file.and_then(|file| self.text("file", &file.value)),
                }))
            }
            (None, None, Some(file)) => {
                let message = format!("`{callback}_file` needs `{callback}_name` beside it");
                self.findings.error("missing_argument", file.key, message);
                None
            }
            (None, None, None) => None,
        };
        if let Some(value) = value.filter(|value| !value.is_null()) {
            extra.insert(callback.to_owned(), value);
        }
    }

    fn retries(&self, node: &Node) -> u32 {
        let Some(retries) = self.integer("retries", node) else { return 0 };
        if retries < 0 {
            self.findings.warning_help(
                "invalid_value",
                node.mark,
                format!("`retries` is {retries}: the task never retries"),
                Some("write 0".to_owned()),
            );
            return 0;
        }
        u32::try_from(retries).unwrap_or(u32::MAX).min(i32::MAX as u32)
    }

    /// `true` is the factor 2, as in Airflow.
    fn backoff(&self, node: &Node) -> f64 {
        if let Some(scalar) = node.as_scalar()
            && let Some(value) = scalar::as_bool(&scalar.text)
            && scalar.style == Style::Plain
        {
            return if value { 2.0 } else { 0.0 };
        }
        let factor = self.number("retry_exponential_backoff", node).unwrap_or(0.0);
        if factor < 0.0 {
            self.findings.error("invalid_value", node.mark, "`retry_exponential_backoff` cannot be negative");
            return 0.0;
        }
        factor
    }

    fn trigger_rule(&self, node: &Node) -> Option<TriggerRule> {
        let word = self.text("trigger_rule", node)?;
        let word = word.rsplit('.').next().unwrap_or(&word).to_lowercase();
        let new = match word.as_str() {
            "dummy" => "always",
            "none_failed_or_skipped" => "none_failed_min_one_success",
            other => other,
        };
        if new != word {
            self.findings.warning_help(
                "deprecated_key",
                node.mark,
                format!("the trigger rule `{word}` is of Airflow 2"),
                Some(format!("write `{new}`")),
            );
        }
        let found = RULES.iter().find(|(name, _)| *name == new).map(|(_, rule)| *rule);
        if found.is_none() {
            let names: Vec<&str> = RULES.iter().map(|(name, _)| *name).collect();
            let help = did_you_mean(&word, names.iter().copied())
                .unwrap_or_else(|| format!("the rules are {}", names.join(", ")));
            self.findings.error_help(
                "invalid_trigger_rule",
                node.mark,
                format!("there is no trigger rule `{word}`"),
                Some(help),
            );
        }
        found
    }

    fn weight_rule(&self, node: &Node) -> Option<WeightRule> {
        let word = self.text("weight_rule", node)?;
        match word.as_str() {
            "downstream" => Some(WeightRule::Downstream),
            "upstream" => Some(WeightRule::Upstream),
            "absolute" => Some(WeightRule::Absolute),
            _ => {
                let help = "the rules are downstream, upstream and absolute".to_owned();
                self.findings.error_help(
                    "invalid_value",
                    node.mark,
                    format!("there is no weight rule `{word}`"),
                    Some(help),
                );
                None
            }
        }
    }
}
