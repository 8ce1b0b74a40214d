//! Compares a description with the corpus: every expected key, after the known differences of the format are levelled.

use serde_json::{Map, Value, json};

/// Where `actual` differs from `expected`. Entries of the native dialect have fewer keys and raw values.
pub(super) fn differences(expected: &Value, actual: &Value, native: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, want) in expected.as_object().expect("a DAG") {
        match key.as_str() {
            "tasks" => tasks(want, &actual["tasks"], &expected["env"], native, &mut wrong),
            "edges" | "tags" | "user_defined_macros" => same(key, &sorted(want), &sorted(&actual[key]), &mut wrong),
            _ => same(key, want, &actual[key], &mut wrong),
        }
    }
    wrong
}

/// `env` is the DAG's, which the corpus writes at the DAG only and each task has, too.
fn tasks(expected: &Value, actual: &Value, env: &Value, native: bool, wrong: &mut Vec<String>) {
    let (expected, actual) = (expected.as_object().expect("tasks"), actual.as_object().expect("tasks"));
    let ids = |tasks: &Map<String, Value>| {
        let mut ids: Vec<String> = tasks.keys().cloned().collect();
        ids.sort();
        ids
    };
    same("task ids", &json!(ids(expected)), &json!(ids(actual)), wrong);
    for (id, want) in expected {
        let Some(have) = actual.get(id) else { continue };
        for (key, want) in want.as_object().expect("a task") {
            let at = format!("{id}.{key}");
            match key.as_str() {
                "args" => args(&at, want, have, wrong),
                "operator" => same(&at, &json!(class(want.as_str().unwrap_or(""))), &have[key], wrong),
                "retry_exponential_backoff" => {
                    let factor = match want {
                        Value::Bool(false) => json!(0.0),
                        other => other.clone(),
                    };
                    same(&at, &factor, &have[key], wrong);
                }
                "mapped" if native => mapped(&at, want, have, wrong),
                "worker_selector" => {
                    for (label, value) in want.as_object().expect("labels") {
                        let list = if value.is_array() { value.clone() } else { json!([text(value)]) };
                        same(&format!("{at}.{label}"), &list, &have[key][label], wrong);
                    }
                }
                "env" => {
                    let mut whole = env.as_object().cloned().unwrap_or_default();
                    whole.extend(want.as_object().cloned().unwrap_or_default());
                    same(&at, &Value::Object(whole), &have[key], wrong);
                }
                _ => same(&at, want, &have[key], wrong),
            }
        }
    }
}

fn args(at: &str, expected: &Value, task: &Value, wrong: &mut Vec<String>) {
    for (name, want) in expected.as_object().expect("arguments") {
        // Arguments of all sensors are shown beside those of all tasks.
        let have = task["args"].get(name).or_else(|| task.get(name)).unwrap_or(&Value::Null);
        let at = format!("{at}.{name}");
        if name == "python_callable" {
            let called = have.as_str().unwrap_or("");
            match want.get("callable").and_then(Value::as_str) {
                Some(last) => same(&at, &json!(last), &json!(called.rsplit('.').next()), wrong),
                None => same(&at, want, &json!(called), wrong),
            }
            continue;
        }
        // Durations are kept in seconds.
        let seconds = have.as_f64().or_else(|| have.get("seconds").and_then(Value::as_f64));
        if let (Some(seconds), Some(text)) = (seconds, want.as_str()) {
            let meant = match text {
                "10m" => 600.0,
                "10s" => 10.0,
                "2h30m" => 9000.0,
                _ => f64::NAN,
            };
            same(&at, &json!(meant), &json!(seconds), wrong);
            continue;
        }
        same(&at, want, have, wrong);
    }
}

fn mapped(at: &str, expected: &Value, task: &Value, wrong: &mut Vec<String>) {
    let Some(expected) = expected.as_object() else {
        same(at, &json!(false), &task["mapped"], wrong);
        return;
    };
    for (form, want) in expected {
        let mut want = want.clone();
        if form == "expand" {
            for value in want.as_object_mut().into_iter().flat_map(Map::values_mut) {
                if let Some(source) = value.as_str().and_then(|text| text.strip_suffix(".output")) {
                    *value = json!({ "xcom": source, "key": "return_value" });
                }
            }
        }
        same(&format!("{at}.{form}"), &want, &task[form], wrong);
    }
}

fn same(at: &str, expected: &Value, actual: &Value, wrong: &mut Vec<String>) {
    if !equal(expected, actual) {
        wrong.push(format!("{at}: expected {expected}, is {actual}"));
    }
}

/// JSON equality with numbers by value (1 and 1.0 are the same) and mappings without order.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| equal(left, right)))
        }
        (left, right) => left == right,
    }
}

fn sorted(list: &Value) -> Value {
    let mut items = list.as_array().cloned().unwrap_or_default();
    items.sort_by_key(Value::to_string);
    Value::Array(items)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Airflow 2's path of the bash operator in one entry of the corpus: the class is the new one.
fn class(path: &str) -> &str {
    match path {
        "airflow.operators.bash.BashOperator" => "airflow.providers.standard.operators.bash.BashOperator",
        path => path,
    }
}
