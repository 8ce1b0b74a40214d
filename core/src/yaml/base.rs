//! Arguments that every task takes (Airflow's `BaseOperator`), of the task, its groups' and the DAG's `default_args`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{
    Context,
    callbacks::OF_TASKS,
    node::{Node, Style},
    operators::Kind,
    scalar,
    suggest::did_you_mean,
    task::{Lookup, Shared},
};
use crate::{
    dag::{Callback, CallbackAction, CallbackEvent, Task, TriggerRule, WeightRule},
    operator::OperatorKind,
};

/// Where the value of a `BaseOperator` argument goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Into a field of [`Task`].
    Field,
    /// Into [`Task::extra`], to be shown.
    Shown,
    /// The same, and nothing acts on it, which a warning says.
    Idle,
}

/// One argument of `BaseOperator`.
pub(super) struct BaseArg {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) place: Place,
}

const fn base(name: &'static str, kind: Kind, place: Place) -> BaseArg {
    BaseArg { name, kind, place }
}

/// Every argument of `BaseOperator` the format knows.
pub(super) const BASE_ARGS: &[BaseArg] = &[
    base("owner", Kind::Text, Place::Field),
    base("retries", Kind::Int, Place::Field),
    base("retry_delay", Kind::Duration, Place::Field),
    base("retry_exponential_backoff", Kind::BoolOrNumber, Place::Field),
    base("max_retry_delay", Kind::Duration, Place::Field),
    base("execution_timeout", Kind::Duration, Place::Field),
    base("trigger_rule", Kind::Text, Place::Field),
    base("depends_on_past", Kind::Bool, Place::Field),
    base("wait_for_downstream", Kind::Bool, Place::Field),
    base("ignore_first_depends_on_past", Kind::Bool, Place::Field),
    base("start_date", Kind::Date, Place::Field),
    base("end_date", Kind::Date, Place::Field),
    base("email", Kind::TextOrList, Place::Shown),
    base("email_on_failure", Kind::Bool, Place::Shown),
    base("email_on_retry", Kind::Bool, Place::Shown),
    base("params", Kind::Map, Place::Field),
    base("pool", Kind::Text, Place::Field),
    base("pool_slots", Kind::Int, Place::Field),
    base("queue", Kind::Text, Place::Field),
    base("priority_weight", Kind::Int, Place::Field),
    base("weight_rule", Kind::Text, Place::Field),
    base("max_active_tis_per_dag", Kind::Int, Place::Field),
    base("max_active_tis_per_dagrun", Kind::Int, Place::Field),
    base("do_xcom_push", Kind::Bool, Place::Field),
    base("multiple_outputs", Kind::Bool, Place::Field),
    base("map_index_template", Kind::Text, Place::Field),
    base("run_as_user", Kind::Text, Place::Field),
    base("doc", Kind::Text, Place::Field),
    base("doc_md", Kind::Text, Place::Field),
    base("doc_json", Kind::Any, Place::Shown),
    base("doc_yaml", Kind::Any, Place::Shown),
    base("doc_rst", Kind::Any, Place::Shown),
    base("task_display_name", Kind::Text, Place::Field),
    base("inlets", Kind::Assets, Place::Field),
    base("outlets", Kind::Assets, Place::Field),
    base("executor_config", Kind::Any, Place::Idle),
    base("executor", Kind::Text, Place::Idle),
    base("resources", Kind::Any, Place::Field),
    base("sla", Kind::Any, Place::Idle),
    base("allow_nested_operators", Kind::Bool, Place::Idle),
    base("render_template_as_native_obj", Kind::Bool, Place::Idle),
    base("retry_policy", Kind::Any, Place::Field),
    base("wait_for_past_depends_before_skipping", Kind::Bool, Place::Idle),
];

/// Whether every task takes the argument.
pub(super) fn is_base(name: &str) -> bool {
    BASE_ARGS.iter().any(|base| base.name == name)
}

/// The names of [`BASE_ARGS`].
pub(super) fn base_names() -> impl Iterator<Item = &'static str> + Clone {
    BASE_ARGS.iter().map(|base| base.name)
}

pub(super) const RULES: &[(&str, TriggerRule)] = &[
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

/// Which of two dates counts.
type Clip = fn(DateTime<Utc>, DateTime<Utc>) -> DateTime<Utc>;

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
        task.retry_policy = lookup.get("retry_policy").and_then(|entry| self.retry_policy(entry, task.operator));
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
        task.do_xcom_push = flag("do_xcom_push").unwrap_or(pushes_xcom);
        task.multiple_outputs = flag("multiple_outputs").unwrap_or(false);
        // Airflow clips a task's dates to its DAG's, which stand in the fields already.
        let dates: [(&str, &mut Option<DateTime<Utc>>, Clip); 2] =
            [("start_date", &mut task.start_date, Ord::max), ("end_date", &mut task.end_date, Ord::min)];
        for (name, field, clip) in dates {
            if let Some(date) = get(name).and_then(|node| self.date(name, node, shared.zone)) {
                *field = Some(field.map_or(date.at, |dags| clip(dags, date.at)));
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
            self.params(params, false, &mut read);
            task.params = read.values.into_iter().collect();
            if !read.schemas.is_empty() {
                task.extra.insert("param_schemas".to_owned(), json!(read.schemas));
            }
        }
        let assets = |name: &str| match lookup.get(name) {
            Some(entry) if entry.value.get("datasets").is_some() => self.named_task_assets(name, entry),
            Some(entry) => self.task_assets(name, &entry.value),
            None => Vec::new(),
        };
        task.inlets = assets("inlets");
        task.outlets = assets("outlets");
        task.map_index_template = text("map_index_template");
        task.run_as_user = text("run_as_user");
        // The pod operator's own argument of that name is another.
        let resources = lookup.get("resources").filter(|_| task.operator != OperatorKind::KubernetesPod);
        task.resources = resources.map(|entry| self.resources(entry)).unwrap_or_default();
        self.base_extra(&mut task.extra, lookup);
        task.callbacks = self.mails(lookup);
        task.callbacks.extend(self.callbacks(OF_TASKS, &|name| lookup.get(name)));
    }

    /// What `email`, `email_on_failure` and `email_on_retry` send.
    fn mails(&self, lookup: &Lookup<'_>) -> Vec<Callback> {
        let to = lookup.get("email").map(|entry| self.addresses("email", &entry.value)).unwrap_or_default();
        if to.is_empty() {
            return Vec::new();
        }
        [("email_on_failure", CallbackEvent::Failure), ("email_on_retry", CallbackEvent::Retry)]
            .into_iter()
            .filter(|(name, _)| lookup.get(name).and_then(|entry| self.boolean(name, &entry.value)).unwrap_or(true))
            .map(|(_, on)| {
                let to = to.clone();
                let action = CallbackAction::Email { to, subject: None, body: None, from: None, conn_id: None };
                Callback { on, action }
            })
            .collect()
    }

    /// What is shown, and has no field of its own.
    fn base_extra(&self, extra: &mut Map<String, Value>, lookup: &Lookup<'_>) {
        for base in BASE_ARGS.iter().filter(|base| base.place != Place::Field) {
            let Some(entry) = lookup.get(base.name) else { continue };
            let value = self.argument(base.name, base.kind, &entry.value).filter(|value| !value.is_null());
            let Some(value) = value else { continue };
            if base.place == Place::Idle {
                self.without_effect(entry.key, &format!("`{}`", base.name));
            }
            extra.insert(base.name.to_owned(), value);
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
