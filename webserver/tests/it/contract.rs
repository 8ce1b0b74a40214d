//! Airflow's own OpenAPI document against what we serve.

use axum::http::Method;
use serde_json::{Value, json};

use crate::{
    airflow::airflow,
    differences::differences,
    support::{ENTITIES, TestServer},
};

#[tokio::test]
async fn the_openapi_document_is_as_committed() {
    let server = TestServer::empty().await;
    let document = updraft_webserver::open_api(&server.app);
    assert_eq!(server.read("/openapi.json").await, document);
    let text = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    // A file of its own, since the dashboard's types are made from it; renewed as snapshots are.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    #[expect(clippy::disallowed_methods, reason = "the variable that renews snapshots")]
    let renews = std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always");
    if renews {
        std::fs::write(file, &text).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap();
    assert!(
        committed == text,
        "openapi.json is not current: run this test with INSTA_UPDATE=always and review the change"
    );
}

/// One of each shape. [`TestServer::send`] holds every answer against Airflow's document.
#[tokio::test]
async fn every_answer_has_exactly_airflows_fields() {
    let server = TestServer::seeded().await;
    for (_, path, uri) in ENTITIES {
        server.read(&format!("/api/v2{uri}")).await;
        if let Some(airflow) = airflow() {
            assert_eq!(airflow.route("get", &format!("/api/v2{uri}")), Some(format!("/api/v2{path}").as_str()));
        }
    }
    let run = "/api/v2/dags/etl/dagRuns";
    let clear = "/api/v2/dags/etl/clearTaskInstances";
    let backfill = json!({"dag_id": "etl", "from_date": "2024-05-01T06:00:00Z", "to_date": "2024-05-01T07:00:00Z"});
    let one_run = json!({"dag_runs": [{"dag_run_id": "scheduled__2024-05-01T10:00:00+00:00"}]});
    let no_run = json!({"partition_key": "x", "dry_run": false});
    let bulk = json!({"actions": [{"action": "delete", "entities": ["none"]}]});
    let entries =
        "/api/v2/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/taskInstances/extract/xcomEntries";
    let entry = format!("{entries}/k");
    for (method, uri, body) in [
        (Method::POST, "/api/v2/variables", json!({"key": "v", "value": [1]})),
        (Method::GET, "/api/v2/variables", Value::Null),
        (Method::GET, "/api/v2/variables/v", Value::Null),
        (Method::PATCH, "/api/v2/variables", bulk.clone()),
        (Method::POST, "/api/v2/connections", json!({"connection_id": "c", "conn_type": "http"})),
        (Method::GET, "/api/v2/connections", Value::Null),
        (Method::GET, "/api/v2/connections/c", Value::Null),
        (Method::PATCH, "/api/v2/connections", bulk.clone()),
        (Method::POST, "/api/v2/pools", json!({"name": "p", "slots": 1})),
        (Method::GET, "/api/v2/pools", Value::Null),
        (Method::GET, "/api/v2/pools/p", Value::Null),
        (Method::PATCH, "/api/v2/pools", bulk),
        (Method::POST, entries, json!({"key": "k", "value": {"a": 1}})),
        (Method::GET, entries, Value::Null),
        (Method::GET, &entry, Value::Null),
        (Method::POST, run, json!({"logical_date": null})),
        (Method::PATCH, "/api/v2/dags/etl", json!({"is_paused": true})),
        (Method::POST, clear, json!({"only_failed": false})),
        (Method::PATCH, "/api/v2/dags?dag_id_pattern=etl", json!({"is_paused": false})),
        (Method::PATCH, run, json!({"actions": [{"action": "delete", "entities": ["none"]}]})),
        (
            Method::PATCH,
            "/api/v2/dags/~/dagRuns/~/taskInstances",
            json!({"actions": [{"action": "update", "entities": [{"task_id": "none"}]}]}),
        ),
        (Method::POST, "/api/v2/dags/etl/clearDagRuns", one_run),
        (Method::POST, "/api/v2/dags/etl/clearDagRuns", no_run),
        (Method::POST, "/api/v2/dags/etl/clearPartitions", json!({"partition_key": "x"})),
        (Method::POST, "/api/v2/backfills", backfill.clone()),
        (Method::POST, "/api/v2/backfills/dry_run", backfill),
        (Method::PUT, "/api/v2/backfills/1/pause", json!({})),
        (Method::POST, "/api/v2/assets/events", json!({"asset_id": 1, "extra": {"rows": 1}})),
        (Method::POST, "/api/v2/assets/1/materialize", json!({"note": "by hand"})),
    ] {
        let answer = server.call(method, uri, body).await;
        assert!(answer.status.is_success(), "{uri}: {} {}", answer.status, answer.text());
    }
}

#[tokio::test]
async fn the_document_differs_from_airflows_in_what_is_reviewed() {
    let Some(airflow) = airflow() else { return };
    let server = TestServer::empty().await;
    let ours = updraft_webserver::open_api(&server.app);
    insta::assert_snapshot!("differences", differences(&airflow.document, &ours));
}
