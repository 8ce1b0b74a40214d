//! Assets: what callers find, tell and take away.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestServer, column};

const EVENTS: &str = "/api/v2/assets/events";

async fn last_event(server: &TestServer) -> Value {
    server.read("/api/v2/eventLogs?order_by=-id&limit=1").await["event_logs"][0].clone()
}

async fn waiting(server: &TestServer) -> i64 {
    sqlx::query_scalar("select count(*) from asset_dag_run_queue").fetch_one(server.store.pool()).await.unwrap()
}

#[tokio::test]
async fn an_asset_is_found_by_its_name_uri_dags_and_activity() {
    let server = TestServer::seeded().await;
    for (query, names) in [
        ("", vec!["orders"]),
        ("only_active=false", vec!["orders", "old"]),
        ("only_active=false&order_by=-name", vec!["orders", "old"]),
        ("only_active=false&name_pattern=LD", vec!["old"]),
        ("uri_pattern=lake%2Fo", vec!["orders"]),
        ("uri_prefix_pattern=lake", vec![]),
        ("dag_ids=etl", vec!["orders"]),
        ("dag_ids=gone", vec![]),
    ] {
        let found = server.read(&format!("/api/v2/assets?{query}")).await;
        assert_eq!(column(&found["assets"], "name"), names, "{query}");
    }
}

#[tokio::test]
async fn events_are_found_by_their_source_and_time() {
    let server = TestServer::seeded().await;
    for (query, count) in [
        ("asset_id=1", 2),
        ("asset_id=2", 0),
        ("source_dag_id=etl", 1),
        ("source_task_id=load&source_map_index=-1", 1),
        ("source_task_id=extract", 0),
        ("name_pattern=order", 2),
        ("timestamp_gte=2024-05-01T09:00:00Z", 1),
        ("timestamp_lt=2024-05-01T08:00:00Z", 0),
    ] {
        let found = server.read(&format!("{EVENTS}?{query}")).await;
        assert_eq!(found["total_entries"], count, "{query}");
    }
    let events = server.read(&format!("{EVENTS}?source_dag_id=etl")).await;
    let taken = &events["asset_events"][0]["created_dagruns"][0];
    assert_eq!((&taken["dag_id"], &taken["triggering"]), (&json!("etl"), &json!(true)));
}

#[tokio::test]
async fn an_event_from_outside_waits_for_consumers_that_are_not_paused() {
    let server = TestServer::seeded().await;
    let answer = server.call(Method::POST, EVENTS, json!({"asset_id": 1, "extra": {"rows": 5}})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let event = answer.json();
    assert_eq!((&event["extra"], &event["source_dag_id"]), (&json!({"rows": 5, "from_rest_api": true}), &Value::Null));
    assert_eq!(waiting(&server).await, 2, "it goes along with the next run of `other`, which is paused");
    let queued = server.read("/api/v2/dags/other/assets/queuedEvents").await;
    assert_eq!(queued["queued_events"][0]["created_at"], "2024-05-01T09:00:00Z", "and does not trigger it");
    server.call(Method::PATCH, "/api/v2/dags/other", json!({"is_paused": false})).await;
    server.call(Method::POST, EVENTS, json!({"asset_id": 1})).await;
    let queued = server.read("/api/v2/dags/other/assets/queuedEvents").await;
    assert_ne!(queued["queued_events"][0]["created_at"], "2024-05-01T09:00:00Z");
    let logged = last_event(&server).await;
    assert_eq!((&logged["event"], &logged["owner"]), (&json!("create_asset_event"), &json!("admin")));
}

#[tokio::test]
async fn an_event_that_cannot_be_is_told_why() {
    let server = TestServer::seeded().await;
    let mut told: Vec<(u16, Value)> = Vec::new();
    for body in [
        json!({"asset_id": 99}),
        json!({"asset_id": 2}),
        json!({}),
        json!({"asset_id": "x", "extra": [], "wrong": 1}),
        json!({"asset_id": 1, "partition_key": " "}),
        json!({"asset_id": 1, "access_control": {"consumer_teams": ["a"]}}),
    ] {
        let answer = server.call(Method::POST, EVENTS, body).await;
        told.push((answer.status.as_u16(), answer.json()["detail"].clone()));
    }
    insta::assert_json_snapshot!(told);
    assert_eq!(waiting(&server).await, 1, "nothing happened");
}

#[tokio::test]
async fn an_event_with_a_partition_key_is_kept_and_waits_for_nobody() {
    let server = TestServer::seeded().await;
    let event = server.call(Method::POST, EVENTS, json!({"asset_id": 1, "partition_key": "2024-05-01"})).await.json();
    assert_eq!((&event["partition_key"], waiting(&server).await), (&json!("2024-05-01"), 1));
}

#[tokio::test]
async fn what_is_queued_can_be_taken_out() {
    let server = TestServer::seeded().await;
    for path in ["/dags/other/assets/1", "/dags/other/assets", "/assets/1"] {
        let uri = format!("/api/v2{path}/queuedEvents");
        sqlx::raw_sql("update asset_dag_run_queue set queued = true").execute(server.store.pool()).await.unwrap();
        let early = server.call(Method::DELETE, &format!("{uri}?before=2024-05-01T08:00:00Z"), json!({})).await;
        assert_eq!(early.status, StatusCode::NOT_FOUND, "{path}: nothing is that old");
        let answer = server.call(Method::DELETE, &uri, json!({})).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}: {}", answer.text());
        assert!(last_event(&server).await["event"].as_str().unwrap().starts_with("delete_"), "{path}");
        let again = server.call(Method::DELETE, &uri, json!({})).await;
        assert_eq!(again.status, StatusCode::NOT_FOUND, "{path}");
        assert!(again.json()["detail"].as_str().unwrap().contains("was not found"));
    }
    assert_eq!(server.get("/api/v2/dags/other/assets/1/queuedEvents").await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.read("/api/v2/assets/1/queuedEvents").await["total_entries"], 0);
    assert_eq!(waiting(&server).await, 1, "the event itself is for the next run");
}

#[tokio::test]
async fn materializing_runs_the_one_dag_that_produces_the_asset() {
    let server = TestServer::seeded().await;
    let answer = server.send(server.request(Method::POST, "/api/v2/assets/1/materialize", None)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let run = answer.json();
    assert_eq!((&run["dag_id"], &run["run_type"]), (&json!("etl"), &json!("asset_materialization")));
    assert!(run["dag_run_id"].as_str().unwrap().starts_with("asset_materialization__20"), "{run}");
    assert_eq!(last_event(&server).await["event"], "materialize_asset");
    let status = async |id: i64, body: Value| {
        let answer = server.call(Method::POST, &format!("/api/v2/assets/{id}/materialize"), body).await;
        (answer.status.as_u16(), answer.json()["detail"].clone())
    };
    assert_eq!(status(2, json!({})).await, (404, json!("No DAG materializes asset with ID: 2")));
    assert_eq!(status(99, json!({})).await, (404, json!("The Asset with ID: `99` was not found")));
    assert_eq!(status(1, json!({"conf": {"count": 0}})).await.0, 400);
    sqlx::raw_sql("insert into task_outlet_asset_reference (asset_id, dag_fk, task_id) select 1, id, 't' from dag where dag_id = 'other'")
        .execute(server.store.pool())
        .await
        .unwrap();
    assert_eq!(status(1, json!({})).await, (409, json!("More than one DAG materializes asset with ID: 1")));
}
