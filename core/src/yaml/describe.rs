//! A DAG as JSON in the shape of the conformance corpus: what `updraft dags validate --output json` shows.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{mapped, rfc3339};
use crate::{
    dag::{
        AssetRef, Callback, CallbackAction, CallbackEvent, Dag, Output, RunImmediately, Schedule, Step, Task,
        TriggerRule, WeightRule,
    },
    operator::XComArg,
};

/// The DAG in the full shape of the corpus' `expected.json`.
pub fn describe(dag: &Dag) -> Value {
    let mut edges: Vec<[&str; 2]> = dag
        .tasks
        .iter()
        .flat_map(|task| task.upstream.iter().map(|upstream| [upstream.as_str(), task.task_id.as_str()]))
        .collect();
    edges.sort_unstable();
    let schemas: Map<String, Value> = params_of(dag)
        .map(|name| (name.clone(), dag.param_schemas.get(name).cloned().unwrap_or_else(|| json!({}))))
        .collect();
    let tasks: Map<String, Value> =
        (0..dag.tasks.len()).map(|index| (dag.tasks[index].task_id.to_string(), task(dag, index))).collect();
    json!({
        "display_name": dag.dag_display_name,
        "description": dag.description,
        "doc_md": dag.doc_md,
        "schedule": schedule(&dag.schedule),
        "timezone": dag.timezone.name(),
        "start_date": date(dag.start_date),
        "end_date": date(dag.end_date),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "max_active_tasks": dag.max_active_tasks,
        "dagrun_timeout": dag.dagrun_timeout.map(|timeout| timeout.as_secs_f64()),
        "is_paused_upon_creation": dag.is_paused_upon_creation,
        "render_template_as_native_obj": dag.render_template_as_native_obj,
        "tags": dag.tags,
        "env": dag.extra.get("env").cloned().unwrap_or_else(|| json!({})),
        "inputs": inputs(dag),
        "params": params(dag, None),
        "param_schemas": schemas,
        "default_args": dag.default_args,
        "callbacks": callback_keys(&dag.callbacks),
        "user_defined_macros": dag.user_defined_macros.keys().collect::<Vec<_>>(),
        "tasks": tasks,
        "edges": edges,
        "task_groups": groups(dag),
    })
}

fn date(at: Option<DateTime<Utc>>) -> Option<String> {
    at.map(rfc3339)
}

/// The names of the parameters written as `inputs`.
fn input_names(dag: &Dag) -> impl Iterator<Item = &str> {
    dag.extra.get("inputs").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Inputs as JSON Schema with the default among the keys.
fn inputs(dag: &Dag) -> Map<String, Value> {
    input_names(dag)
        .map(|name| {
            let mut schema = dag.param_schemas.get(name).cloned().unwrap_or_else(|| json!({}));
            if let Some(default) = dag.params.get(name) {
                schema["default"] = default.clone();
            }
            (name.to_owned(), schema)
        })
        .collect()
}

/// The names of the parameters written as `params`.
fn params_of(dag: &Dag) -> impl Iterator<Item = &String> {
    let required = dag.param_schemas.keys().filter(|name| !dag.params.contains_key(*name));
    dag.params.keys().chain(required).filter(|name| !input_names(dag).any(|input| input == name.as_str()))
}

/// Parameters with their schemas; a task's own over the DAG's.
fn params(dag: &Dag, task: Option<&Task>) -> Value {
    let empty = json!({});
    let mut result: Map<String, Value> = params_of(dag)
        .map(|name| {
            let schema = dag.param_schemas.get(name).unwrap_or(&empty);
            (name.clone(), json!({ "param": dag.params.get(name), "schema": schema }))
        })
        .collect();
    if let Some(task) = task {
        let schemas = task.extra.get("param_schemas");
        for (name, value) in &task.params {
            let schema = schemas.and_then(|schemas| schemas.get(name)).unwrap_or(&empty);
            result.insert(name.clone(), json!({ "param": value, "schema": schema }));
        }
    }
    Value::Object(result)
}

/// The keys that say these callbacks: Python has `on_*_callback`, messages have the native words.
fn callback_keys(callbacks: &[Callback]) -> Vec<String> {
    let mut keys: Vec<String> = callbacks
        .iter()
        .map(|callback| match callback.action {
            CallbackAction::Python { .. } => format!("on_{}_callback", callback.on.as_str()),
            _ => format!("on_{}", callback.on.as_str()),
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The callbacks of a task without the mails that `email` stands for.
fn beside_email(task: &Task) -> Vec<Callback> {
    let mut callbacks = task.callbacks.clone();
    if task.extra.contains_key("email") {
        for event in [CallbackEvent::Failure, CallbackEvent::Retry] {
            let plain = |callback: &Callback| {
                callback.on == event
                    && matches!(&callback.action, CallbackAction::Email { subject: None, body: None, from: None, .. })
            };
            if let Some(place) = callbacks.iter().position(plain)
                && task.extra.get(&format!("email_on_{}", event.as_str())) != Some(&Value::Bool(false))
            {
                callbacks.remove(place);
            }
        }
    }
    callbacks
}

/// Messages as an item of a native list says them, in their shortest form.
fn message(action: &CallbackAction) -> Option<Value> {
    let (word, value) = match action {
        CallbackAction::Email { to, subject: None, body: None, from: None, conn_id: None } if to.len() == 1 => {
            ("email", json!(to[0]))
        }
        CallbackAction::Email { .. } => ("email", fields(action)),
        CallbackAction::Http { url, method, json: Value::Null, headers } if method == "POST" && headers.is_empty() => {
            ("http", json!(url))
        }
        CallbackAction::Http { .. } => ("http", fields(action)),
        CallbackAction::Slack { .. } => ("slack", fields(action)),
        CallbackAction::Python { .. } => return None,
    };
    Some(json!({ word: value }))
}

fn fields(action: &CallbackAction) -> Value {
    let mut value = serde_json::to_value(action).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove("action");
    }
    value
}

fn step(step: Step) -> Value {
    if step.months == 0 {
        return json!(step.duration.as_secs_f64());
    }
    let mut result = json!({ "months": step.months });
    if !step.duration.is_zero() {
        result["seconds"] = json!(step.duration.as_secs_f64());
    }
    result
}

fn schedule(schedule: &Schedule) -> Value {
    match schedule {
        Schedule::None => json!({ "kind": "none" }),
        Schedule::Once => json!({ "kind": "once" }),
        Schedule::Continuous => json!({ "kind": "continuous" }),
        Schedule::Cron { expressions, timezone, interval, run_immediately } => {
            let mut result = match &expressions[..] {
                [one] => json!({ "kind": "cron", "cron": one, "timezone": timezone.name() }),
                many => json!({ "kind": "crons", "crons": many, "timezone": timezone.name() }),
            };
            if let Some(interval) = interval {
                result["interval"] = step(*interval);
            }
            match run_immediately {
                RunImmediately::IfRecent => {}
                RunImmediately::Always => result["run_immediately"] = json!(true),
                RunImmediately::Within(grace) => {
                    result["run_immediately"] = json!({ "seconds": grace.as_secs_f64() });
                }
            }
            result
        }
        Schedule::CronInterval { expression, timezone } => {
            json!({ "kind": "cron_interval", "cron": expression, "timezone": timezone.name() })
        }
        Schedule::Delta { delta, interval } => {
            let mut result = json!({ "kind": "every", "every": step(*delta) });
            if let Some(interval) = interval {
                result["interval"] = step(*interval);
            }
            result
        }
        Schedule::DeltaInterval { delta } => json!({ "kind": "every_interval", "every": step(*delta) }),
        Schedule::Events { dates } => {
            json!({ "kind": "events", "events": dates.iter().map(|at| rfc3339(*at)).collect::<Vec<_>>() })
        }
        Schedule::Partitioned { timetable, expression } => {
            json!({ "kind": "partitioned", "timetable": timetable, "cron": expression })
        }
        Schedule::Assets { expression, timetable: None } => {
            json!({ "kind": "assets", "assets": expression.describe() })
        }
        Schedule::Assets { expression, timetable: Some(time) } => {
            json!({ "kind": "assets_or_time", "assets": expression.describe(), "time": self::schedule(time) })
        }
    }
}

fn task(dag: &Dag, index: usize) -> Value {
    let task = &dag.tasks[index];
    let extra = |name: &str| task.extra.get(name).cloned().unwrap_or(Value::Null);
    let or = |name: &str, default: Value| task.extra.get(name).cloned().unwrap_or(default);
    let mut args = task.args.clone();
    let mut result = Map::new();
    let mut put = |name: &str, value: Value| {
        result.insert(name.to_owned(), value);
    };
    put("operator", json!(task.operator_class));
    let sorted = |neighbours: Vec<usize>| {
        let mut ids: Vec<&str> = neighbours.into_iter().map(|index| dag.tasks[index].task_id.as_str()).collect();
        ids.sort_unstable();
        json!(ids)
    };
    put("upstream", sorted(dag.upstream(index).collect()));
    put("downstream", sorted(dag.downstream(index).collect()));
    put("task_group", json!(task.task_group));
    put("task_display_name", json!(task.task_display_name));
    put("owner", json!(task.owner));
    put("trigger_rule", serde_json::to_value::<TriggerRule>(task.trigger_rule).unwrap_or_default());
    put("weight_rule", serde_json::to_value::<WeightRule>(task.weight_rule).unwrap_or_default());
    put("retries", json!(task.retries));
    put("retry_delay", json!(task.retry_delay.as_secs_f64()));
    // `true` in a file is the factor 2, and Airflow shows it as it was written.
    let doubles = (task.retry_exponential_backoff - 2.0).abs() < f64::EPSILON;
    put("retry_exponential_backoff", if doubles { json!(true) } else { json!(task.retry_exponential_backoff) });
    put("max_retry_delay", json!(task.max_retry_delay.map(|delay| delay.as_secs_f64())));
    put("execution_timeout", json!(task.execution_timeout.map(|timeout| timeout.as_secs_f64())));
    put("depends_on_past", json!(task.depends_on_past));
    put("wait_for_downstream", json!(task.wait_for_downstream));
    put("ignore_first_depends_on_past", json!(task.ignore_first_depends_on_past));
    put("start_date", json!(date(task.start_date)));
    put("end_date", json!(date(task.end_date)));
    put("pool", json!(task.pool));
    put("pool_slots", json!(task.pool_slots));
    put("queue", json!(task.queue));
    put("priority_weight", json!(task.priority_weight));
    put("max_active_tis_per_dag", json!(task.max_active_tis_per_dag));
    put("max_active_tis_per_dagrun", json!(task.max_active_tis_per_dagrun));
    if task.mapping.is_none() {
        put("do_xcom_push", json!(task.do_xcom_push));
    }
    put("multiple_outputs", json!(task.multiple_outputs));
    put("params", params(dag, Some(task)));
    put("doc", json!(task.doc));
    put("doc_md", json!(task.doc_md));
    put("email", extra("email"));
    put("email_on_failure", or("email_on_failure", json!(true)));
    put("email_on_retry", or("email_on_retry", json!(true)));
    let assets = |assets: &[AssetRef]| Value::Array(assets.iter().map(AssetRef::describe).collect());
    put("inlets", assets(&task.inlets));
    put("outlets", assets(&task.outlets));
    put("map_index_template", json!(task.map_index_template));
    put("run_as_user", json!(task.run_as_user));
    let callbacks = beside_email(task);
    put("callbacks", json!(callback_keys(&callbacks)));
    put("mapped", json!(task.mapping.is_some()));
    if let Some(mapping) = &task.mapping {
        let (word, value) = mapped::describe(mapping);
        put(word, value);
    }
    if let Some(names) = task.extra.get("partial").and_then(Value::as_array) {
        let partial: Map<String, Value> = names
            .iter()
            .filter_map(Value::as_str)
            .filter_map(|name| Some((name.to_owned(), args.get(name)?.clone())))
            .collect();
        put("partial", Value::Object(partial));
    }
    for event in [CallbackEvent::Failure, CallbackEvent::Success, CallbackEvent::Retry] {
        let messages: Vec<Value> = callbacks
            .iter()
            .filter(|callback| callback.on == event)
            .filter_map(|callback| message(&callback.action))
            .collect();
        if !messages.is_empty() {
            put(&format!("on_{}", event.as_str()), Value::Array(messages));
        }
    }
    if let Some(when) = &task.when {
        put("when", json!(when));
    }
    if task.output != Output::Text {
        put("output", json!(task.output));
    }
    if !task.resources.is_empty() {
        put("resources", json!(task.resources));
    }
    if !task.secrets.is_empty() {
        put("secrets", json!(task.secrets));
    }
    for (name, set) in [
        ("setup", task.is_setup),
        ("teardown", task.is_teardown),
        ("on_failure_fail_dagrun", task.on_failure_fail_dagrun),
    ] {
        if set {
            put(name, json!(true));
        }
    }
    if !task.env.is_empty() {
        put("env", json!(task.env));
    }
    if !task.worker_selector.is_empty() {
        put("worker_selector", json!(task.worker_selector));
    }
    // Airflow shows the arguments of every sensor beside those of every task.
    if let Some(sensor) = &task.sensor {
        put("poke_interval", json!(sensor.poke_interval.as_secs_f64()));
        put("timeout", json!(sensor.timeout.as_secs_f64()));
        put("mode", args.shift_remove("mode").unwrap_or_default());
        put("soft_fail", json!(sensor.soft_fail));
        put("exponential_backoff", json!(sensor.exponential_backoff));
    }
    // The native condition stands where Airflow has the function.
    if let Some(condition) = args.shift_remove("condition") {
        args.insert("python_callable".to_owned(), condition);
    }
    // A callable named by file and function has no import path; its name stands for it.
    if let (None, Some(name)) = (args.get("python_callable"), args.get("python_callable_name").cloned()) {
        args.insert("python_callable".to_owned(), name);
    }
    put("args", Value::Object(args.into_iter().map(|(name, value)| (name, results(value))).collect()));
    Value::Object(result)
}

/// Results of other tasks in the form of the corpus.
fn results(value: Value) -> Value {
    if let Some(XComArg { task_id, key }) = XComArg::read(&value) {
        return json!({ "xcom": task_id, "key": key });
    }
    match value {
        Value::Array(items) => items.into_iter().map(results).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, results(value))).collect(),
        other => other,
    }
}

fn groups(dag: &Dag) -> Map<String, Value> {
    let mut result = Map::new();
    for (id, group) in &dag.task_groups {
        let mut children: Vec<&str> = dag
            .tasks
            .iter()
            .filter(|task| task.task_group.as_ref() == Some(id))
            .map(|task| task.task_id.as_str())
            .chain(
                dag.task_groups
                    .values()
                    .filter(|child| child.parent.as_ref() == Some(id))
                    .map(|child| child.group_id.as_str()),
            )
            .collect();
        children.sort_unstable();
        result.insert(
            id.clone(),
            json!({
                "parent": group.parent,
                "tooltip": group.tooltip,
                "prefix_group_id": group.prefix_group_id,
                "children": children,
                "upstream_tasks": group.upstream_tasks,
                "downstream_tasks": group.downstream_tasks,
                "upstream_groups": group.upstream_groups,
                "downstream_groups": group.downstream_groups,
            }),
        );
    }
    result
}
