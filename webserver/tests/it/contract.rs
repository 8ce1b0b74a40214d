//! Airflow's own OpenAPI document against what we serve.

use std::{collections::BTreeSet, path::Path};

use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::support::{ENTITIES, TestServer};

#[tokio::test]
async fn the_openapi_document_is_as_committed() {
    let server = TestServer::empty().await;
    let document = serde_json::to_value(updraft_webserver::open_api(&server.app)).unwrap();
    assert_eq!(server.read("/openapi.json").await, document);
    insta::assert_json_snapshot!("openapi", document);
}

#[tokio::test]
async fn every_answer_has_exactly_airflows_fields() {
    let Some(contract) = contract() else { return };
    let server = TestServer::seeded().await;
    let mut findings = Vec::new();
    for (name, path, uri) in ENTITIES {
        let answer = server.read(&format!("/api/v2{uri}")).await;
        let schema = contract.answer("get", path);
        contract.check(&answer, schema, &mut vec![(*name).to_owned()], &mut findings);
    }
    let run = "/api/v2/dags/etl/dagRuns";
    let clear = "/api/v2/dags/etl/clearTaskInstances";
    let backfill = json!({"dag_id": "etl", "from_date": "2024-05-01T06:00:00Z", "to_date": "2024-05-01T07:00:00Z"});
    let one_run = json!({"dag_runs": [{"dag_run_id": "scheduled__2024-05-01T10:00:00+00:00"}]});
    let no_run = json!({"partition_key": "x", "dry_run": false});
    let bulk = json!({"actions": [{"action": "delete", "entities": ["none"]}]});
    let xcoms = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries";
    let entry = format!("{xcoms}/{{xcom_key}}");
    let entries =
        "/api/v2/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/taskInstances/extract/xcomEntries";
    for (method, path, uri, body) in [
        ("post", "/variables", "/api/v2/variables", json!({"key": "v", "value": [1]})),
        ("get", "/variables", "/api/v2/variables", Value::Null),
        ("get", "/variables/{variable_key}", "/api/v2/variables/v", Value::Null),
        ("patch", "/variables", "/api/v2/variables", bulk.clone()),
        ("post", "/connections", "/api/v2/connections", json!({"connection_id": "c", "conn_type": "http"})),
        ("get", "/connections", "/api/v2/connections", Value::Null),
        ("get", "/connections/{connection_id}", "/api/v2/connections/c", Value::Null),
        ("patch", "/connections", "/api/v2/connections", bulk.clone()),
        ("post", "/pools", "/api/v2/pools", json!({"name": "p", "slots": 1})),
        ("get", "/pools", "/api/v2/pools", Value::Null),
        ("get", "/pools/{pool_name}", "/api/v2/pools/p", Value::Null),
        ("patch", "/pools", "/api/v2/pools", bulk),
        ("post", xcoms, entries, json!({"key": "k", "value": {"a": 1}})),
        ("get", xcoms, entries, Value::Null),
        ("get", &entry, &format!("{entries}/k"), Value::Null),
        ("post", "/dags/{dag_id}/dagRuns", run, json!({"logical_date": null})),
        ("patch", "/dags/{dag_id}", "/api/v2/dags/etl", json!({"is_paused": true})),
        ("post", "/dags/{dag_id}/clearTaskInstances", clear, json!({"only_failed": false})),
        ("patch", "/dags", "/api/v2/dags?dag_id_pattern=etl", json!({"is_paused": false})),
        ("patch", "/dags/{dag_id}/dagRuns", run, json!({"actions": [{"action": "delete", "entities": ["none"]}]})),
        (
            "patch",
            "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances",
            "/api/v2/dags/~/dagRuns/~/taskInstances",
            json!({"actions": [{"action": "update", "entities": [{"task_id": "none"}]}]}),
        ),
        ("post", "/dags/{dag_id}/clearDagRuns", "/api/v2/dags/etl/clearDagRuns", one_run),
        ("post", "/dags/{dag_id}/clearDagRuns", "/api/v2/dags/etl/clearDagRuns", no_run),
        ("post", "/dags/{dag_id}/clearPartitions", "/api/v2/dags/etl/clearPartitions", json!({"partition_key": "x"})),
        ("post", "/backfills", "/api/v2/backfills", backfill.clone()),
        ("post", "/backfills/dry_run", "/api/v2/backfills/dry_run", backfill),
        ("put", "/backfills/{backfill_id}/pause", "/api/v2/backfills/1/pause", json!({})),
        ("post", "/assets/events", "/api/v2/assets/events", json!({"asset_id": 1, "extra": {"rows": 1}})),
        ("post", "/assets/{asset_id}/materialize", "/api/v2/assets/1/materialize", json!({"note": "by hand"})),
    ] {
        let answer = server.call(Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(), uri, body).await;
        let schema = contract.answer(method, path);
        contract.check(&answer.json(), schema, &mut vec![format!("{method} {path}")], &mut findings);
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

#[tokio::test]
async fn every_operation_and_parameter_is_airflows() {
    let Some(contract) = contract() else { return };
    let server = TestServer::empty().await;
    let document = serde_json::to_value(updraft_webserver::open_api(&server.app)).unwrap();
    let mut ours_alone = Vec::new();
    for (path, item) in object(&document["paths"]).iter().filter(|(path, _)| path.starts_with("/api/v2")) {
        for (method, operation) in object(item) {
            let theirs = &contract.document["paths"][path][method];
            assert!(theirs.is_object(), "Airflow has no {method} {path}");
            let known = names(&theirs["parameters"]);
            ours_alone.extend(
                names(&operation["parameters"]).difference(&known).map(|name| format!("{method} {path} {name}")),
            );
        }
    }
    // Ours: how long a followed log may be held.
    let log = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs/{try_number}";
    assert_eq!(ours_alone, [format!("get {log} wait")]);
}

fn names(parameters: &Value) -> BTreeSet<String> {
    let list = parameters.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

/// Airflow's document, where the machine has it.
fn contract() -> Option<Contract> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/spec/airflow-api-v2.openapi.yaml");
    if !path.exists() {
        eprintln!("skipped: airflow-api-v2.openapi.yaml is not beside this checkout");
        return None;
    }
    let text = std::fs::read_to_string(path).expect("the contract can be read");
    let options = serde_saphyr::options! { budget: None };
    Some(Contract { document: serde_saphyr::from_str_with_options(&text, options).expect("the contract is YAML") })
}

struct Contract {
    document: Value,
}

impl Contract {
    /// The schema of an operation's success.
    fn answer(&self, method: &str, path: &str) -> &Value {
        let operation = &self.document["paths"][format!("/api/v2{path}")][method];
        let answer = ["200", "201"].into_iter().map(|status| &operation["responses"][status]).find(|it| it.is_object());
        let schema = &answer.expect("a success is described")["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "Airflow does not describe {method} {path}");
        schema
    }

    /// Notes where `value` is not what `schema` says: fields missing or unknown, other types, words outside an enum.
    fn check(&self, value: &Value, schema: &Value, at: &mut Vec<String>, findings: &mut Vec<String>) {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap();
            return self.check(value, &self.document["components"]["schemas"][name], at, findings);
        }
        if let Some(variants) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
            let tries = variants.iter().map(|variant| {
                let mut found = Vec::new();
                self.check(value, variant, at, &mut found);
                found
            });
            // Of the variants that do not fit, the one that fits best tells most.
            findings.extend(tries.min_by_key(Vec::len).unwrap_or_default());
            return;
        }
        let mut note = |text: String| findings.push(format!("{}: {text}", at.join(".")));
        if let Some(words) = schema["enum"].as_array()
            && !words.contains(value)
        {
            note(format!("{value} is not one of {words:?}"));
        }
        let fits = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some("null") => value.is_null(),
            _ => true,
        };
        if !fits {
            return note(format!("{value} is no {}", schema["type"]));
        }
        if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
            for (index, item) in list.iter().enumerate() {
                at.push(index.to_string());
                self.check(item, items, at, findings);
                at.pop();
            }
        }
        if let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
            let open = schema["additionalProperties"] == json!(true);
            for name in properties.keys().filter(|name| !fields.contains_key(*name)) {
                // Airflow leaves unset fields out of log lines only.
                if !open {
                    findings.push(format!("{}: `{name}` is missing", at.join(".")));
                }
            }
            for (name, field) in fields {
                match properties.get(name) {
                    Some(property) => {
                        at.push(name.clone());
                        self.check(field, property, at, findings);
                        at.pop();
                    }
                    None if open => {}
                    None => findings.push(format!("{}: `{name}` is unknown to Airflow", at.join("."))),
                }
            }
        }
    }
}
