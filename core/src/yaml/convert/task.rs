//! Tasks with their arguments in long form.

use serde_json::{Map, Value, json};

use super::{Converter, below_root, number, put, timedelta};
use crate::{
    dag::{
        Callback, CallbackAction, CallbackEvent, MapInput, MappingKind, Output, RetryAction, RetryPolicy, Sensor, Task,
        TriggerRule, WeightRule,
    },
    operator::{OperatorKind, Place, XComArg},
    yaml::operators::{self, Kind, Operator},
};

impl Converter<'_> {
    pub(super) fn task(&mut self, task: &Task) -> Value {
        let place = format!("task `{}`", task.task_id);
        let Some(operator) = operators::all().find(|operator| operator.class == task.operator_class) else {
            return self.foreign(task);
        };
        self.refuse(&place, task);
        let mut fields = Map::new();
        let decorator = operators::decorator_of(operator);
        put(
            &mut fields,
            if decorator.is_some() { "decorator" } else { "operator" },
            decorator.unwrap_or(operator.class),
        );
        self.arguments(task, operator, &mut fields);
        if let Some(sensor) = &task.sensor {
            waiting(sensor, &mut fields);
        }
        self.beside(task, &mut fields);
        Value::Object(fields)
    }

    fn foreign(&mut self, task: &Task) -> Value {
        let mut fields = Map::new();
        put(&mut fields, "operator", task.operator_class.clone());
        fields.extend(task.args.clone());
        self.refuse(&format!("task `{}`", task.task_id), task);
        self.beside(task, &mut fields);
        Value::Object(fields)
    }

    /// Names what only the native dialect can say of a task.
    fn refuse(&mut self, place: &str, task: &Task) {
        let code = |name: &str| task.args.get(name).and_then(Value::as_str).is_some_and(|text| text.contains('\n'));
        let given = |name: &str| task.args.get(name).is_some_and(|value| !value.is_null());
        let commands = matches!(task.operator, OperatorKind::Bash | OperatorKind::BashSensor);
        let functions = matches!(
            task.operator,
            OperatorKind::Python
                | OperatorKind::BranchPython
                | OperatorKind::ShortCircuitPython
                | OperatorKind::PythonSensor
        );
        for (what, there) in [
            ("`when`", task.when.is_some()),
            ("`output`", task.output != Output::Text),
            ("`secrets`", !task.secrets.is_empty()),
            ("`resources`", !task.resources.is_empty()),
            ("list as `bash_command`", commands && task.args.get("bash_command").is_some_and(Value::is_array)),
            ("`worker_selector`", !task.worker_selector.is_empty()),
            ("`setup` and `teardown`", task.is_setup || task.is_teardown),
            ("template as a condition", given("condition")),
            ("code in place of a function", functions && code("python_callable")),
            ("`image` of this operator", (commands || functions) && given("image")),
            (
                "`interpreter`",
                functions && given("interpreter") && !task.operator_class.ends_with(".ExternalPythonOperator"),
            ),
            ("`url`, `json` and `expect`", ["url", "json", "expect"].iter().any(|name| given(name))),
        ] {
            if there {
                self.native_only(place, what);
            }
        }
        // What runs no process has no environment either.
        let holds_env = matches!(task.operator, OperatorKind::Bash | OperatorKind::Docker);
        if !task.env.is_empty() && !holds_env && task.operator.place() == Place::Node {
            self.native_only(place, "`env` for this operator");
        }
    }

    fn arguments(&mut self, task: &Task, operator: &'static Operator, fields: &mut Map<String, Value>) {
        let decorated = operators::is_decorated(operator);
        for (name, value) in &task.args {
            let arg = operator.args().find(|arg| arg.name == name);
            let default = arg.filter(|arg| !arg.default.is_empty());
            let default = default.and_then(|arg| serde_json::from_str::<Value>(arg.default).ok());
            if value.is_null() || default.as_ref() == Some(value) || arg.is_some_and(|arg| arg.fixed) {
                continue;
            }
            let value = match (name.as_str(), arg.map(|arg| arg.kind), value.as_f64()) {
                // Made of `external_task_id` by the loader, of `params` likewise.
                ("external_task_ids", ..) if task.args.get("external_task_id").is_some_and(Value::is_string) => {
                    continue;
                }
                ("params", ..) => continue,
                ("op_kwargs", ..) if decorated => {
                    let kwargs = value.as_object().into_iter().flatten();
                    let kwargs: Vec<(String, Value)> =
                        kwargs.map(|(name, value)| (name.clone(), self.reference(value))).collect();
                    fields.extend(kwargs);
                    continue;
                }
                ("python_callable_file", ..) => json!(below_root(value.as_str().unwrap_or_default())),
                ("interpreter", ..) => {
                    fields.insert("python".to_owned(), value.clone());
                    continue;
                }
                (_, Some(Kind::Duration), Some(seconds)) => timedelta(seconds),
                (_, Some(Kind::Delta), _) => {
                    value.get("seconds").and_then(Value::as_f64).map_or_else(|| value.clone(), timedelta)
                }
                _ => value.clone(),
            };
            fields.insert(name.clone(), value);
        }
        let env_argument = match task.operator {
            OperatorKind::Bash => "env",
            OperatorKind::Docker => "environment",
            _ => return,
        };
        if !task.env.is_empty() {
            let mut env: Map<String, Value> = task.env.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
            if let Some(Value::Object(own)) = fields.get(env_argument) {
                env.extend(own.clone());
            }
            fields.insert(env_argument.to_owned(), Value::Object(env));
        }
    }

    /// `+task` or `+task['key']` for a result.
    fn reference(&self, value: &Value) -> Value {
        let Some(XComArg { task_id, key }) = XComArg::read(value) else { return value.clone() };
        let task = self.short(&task_id);
        json!(if key == "return_value" { format!("+{task}") } else { format!("+{task}['{key}']") })
    }

    /// What every task may say.
    fn beside(&mut self, task: &Task, fields: &mut Map<String, Value>) {
        let place = format!("task `{}`", task.task_id);
        let new = Task::new(task.task_id.clone(), task.operator, task.operator_class.clone());
        let word = |value: Result<Value, serde_json::Error>| value.unwrap_or_default();
        let seconds = |value: Option<std::time::Duration>| value.map(|value| timedelta(value.as_secs_f64()));
        if task.trigger_rule != TriggerRule::AllSuccess {
            put(fields, "trigger_rule", word(serde_json::to_value(task.trigger_rule)));
        }
        if task.weight_rule != WeightRule::Downstream {
            put(fields, "weight_rule", word(serde_json::to_value(task.weight_rule)));
        }
        if task.retry_delay != new.retry_delay {
            put(fields, "retry_delay", timedelta(task.retry_delay.as_secs_f64()));
        }
        if task.retry_exponential_backoff > 0.0 {
            put(fields, "retry_exponential_backoff", number(task.retry_exponential_backoff));
        }
        put(fields, "max_retry_delay", seconds(task.max_retry_delay));
        put(fields, "retry_policy", task.retry_policy.as_ref().map(retry_policy));
        put(fields, "execution_timeout", seconds(task.execution_timeout));
        for (name, value, default) in [
            ("owner", &task.owner, &new.owner),
            ("pool", &task.pool, &new.pool),
            ("queue", &task.queue, &new.queue),
            ("task_display_name", &task.task_display_name, &new.task_display_name),
        ] {
            if value != default {
                put(fields, name, value.clone());
            }
        }
        for (name, value, default) in [
            ("retries", i64::from(task.retries), 0),
            ("pool_slots", i64::from(task.pool_slots), 1),
            ("priority_weight", i64::from(task.priority_weight), 1),
        ] {
            if value != default {
                put(fields, name, value);
            }
        }
        let pushes = task.operator != OperatorKind::KubernetesPod;
        for (name, value, default) in [
            ("depends_on_past", task.depends_on_past, false),
            ("wait_for_downstream", task.wait_for_downstream, false),
            ("ignore_first_depends_on_past", task.ignore_first_depends_on_past, false),
            ("do_xcom_push", task.do_xcom_push, pushes),
            ("multiple_outputs", task.multiple_outputs, false),
        ] {
            if value != default {
                put(fields, name, value);
            }
        }
        put(fields, "max_active_tis_per_dag", task.max_active_tis_per_dag);
        put(fields, "max_active_tis_per_dagrun", task.max_active_tis_per_dagrun);
        put(fields, "map_index_template", task.map_index_template.clone());
        put(fields, "run_as_user", task.run_as_user.clone());
        put(fields, "doc", task.doc.clone());
        put(fields, "doc_md", task.doc_md.clone());
        for (name, at, of_dag) in
            [("start_date", task.start_date, self.dag.start_date), ("end_date", task.end_date, self.dag.end_date)]
        {
            if at != of_dag {
                let written = self.dag.source_dates.get(&format!("tasks.{}.{name}", task.task_id)).cloned();
                let local = at.map(|at| at.with_timezone(&self.dag.timezone).format("%Y-%m-%dT%H:%M:%S").to_string());
                put(fields, name, written.or(local));
            }
        }
        if !task.params.is_empty() {
            put(fields, "params", task.params.clone());
        }
        for (name, assets) in [("inlets", &task.inlets), ("outlets", &task.outlets)] {
            if !assets.is_empty() {
                let assets: Vec<Value> = assets.iter().map(|asset| self.asset(asset)).collect();
                put(fields, name, assets);
            }
        }
        for (name, value) in &task.extra {
            if !matches!(name.as_str(), "param_schemas" | "partial") {
                put(fields, name, value.clone());
            }
        }
        // The mail of `email` is said by `email`.
        let mut callbacks = task.callbacks.clone();
        if task.extra.contains_key("email") {
            let is_alert = |callback: &Callback| {
                matches!(callback.on, CallbackEvent::Failure | CallbackEvent::Retry)
                    && matches!(callback.action, CallbackAction::Email { subject: None, body: None, .. })
            };
            callbacks.retain(|callback| !is_alert(callback));
        }
        self.callbacks(&place, &callbacks, fields);
        self.mapping(&place, task, fields);
        put(fields, "task_group_name", task.task_group.as_deref().map(|group| self.short_group(group)));
        if !task.upstream.is_empty() {
            let names: Vec<&str> = task.upstream.iter().map(|id| self.short(id)).collect();
            put(fields, "dependencies", names);
        }
    }

    fn mapping(&mut self, place: &str, task: &Task, fields: &mut Map<String, Value>) {
        let Some(mapping) = &task.mapping else { return };
        if mapping.kind != MappingKind::Expand {
            return self.native_only(place, "mapping but `expand`");
        }
        let mut expand = Map::new();
        for (name, input) in &mapping.inputs {
            let value = match input {
                MapInput::Literal(value) => value.clone(),
                MapInput::XCom { task_id, key } if key == "return_value" => {
                    json!(format!("{}.output", self.short(task_id)))
                }
                MapInput::XCom { .. } => return self.native_only(place, "mapping over one key of a result"),
                MapInput::Template(_) => return self.native_only(place, "mapping over a template"),
            };
            expand.insert(name.clone(), value);
        }
        // What stands beside `expand` in dag-factory is `partial`.
        let decorated = fields.contains_key("decorator");
        let operator = operators::all().find(|operator| operator.class == task.operator_class);
        let names: Vec<String> = fields
            .keys()
            .filter(|name| {
                !matches!(name.as_str(), "python_callable" | "python_callable_name" | "python_callable_file")
                    && (operator.is_some_and(|operator| operator.arg(name).is_some())
                        || (decorated && task.args["op_kwargs"].get(name.as_str()).is_some()))
            })
            .cloned()
            .collect();
        let partial: Map<String, Value> =
            names.into_iter().filter_map(|name| Some((name.clone(), fields.shift_remove(&name)?))).collect();
        fields.insert("expand".to_owned(), Value::Object(expand));
        if !partial.is_empty() {
            fields.insert("partial".to_owned(), Value::Object(partial));
        }
    }
}

/// How a sensor waits, where it differs from Airflow's default.
fn waiting(sensor: &Sensor, fields: &mut Map<String, Value>) {
    let default = Sensor::default();
    for (name, value, usual) in
        [("poke_interval", sensor.poke_interval, default.poke_interval), ("timeout", sensor.timeout, default.timeout)]
    {
        if value != usual {
            put(fields, name, number(value.as_secs_f64()));
        }
    }
    put(fields, "max_wait", sensor.max_wait.map(|wait| timedelta(wait.as_secs_f64())));
    for (name, set) in [
        ("soft_fail", sensor.soft_fail),
        ("exponential_backoff", sensor.exponential_backoff),
        ("silent_fail", sensor.silent_fail),
        ("never_fail", sensor.never_fail),
    ] {
        if set {
            put(fields, name, true);
        }
    }
}

fn retry_policy(policy: &RetryPolicy) -> Value {
    let action = |action: RetryAction| json!({ "__type__": "airflow.sdk.RetryAction", "__args__": [action.as_str()] });
    let rules: Vec<Value> = policy
        .rules
        .iter()
        .map(|rule| {
            let mut said = json!({
                "__type__": "airflow.sdk.RetryRule",
                "exception": rule.exceptions,
                "action": action(rule.action),
                "match_subclasses": rule.match_subclasses,
            });
            if let Some(delay) = rule.retry_delay {
                said["retry_delay"] = timedelta(delay.as_secs_f64());
            }
            if let Some(reason) = &rule.reason {
                said["reason"] = json!(reason);
            }
            said
        })
        .collect();
    json!({ "__type__": "airflow.sdk.ExceptionRetryPolicy", "rules": rules, "default": action(policy.default) })
}
