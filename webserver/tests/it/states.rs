//! What tasks and assets remember.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestServer, column};

const EXTRACT: &str =
    "/api/v2/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/taskInstances/extract/state-store";

async fn count(server: &TestServer) -> i64 {
    sqlx::query_scalar("select count(*) from task_state_store").fetch_one(server.store.pool()).await.unwrap()
}

#[tokio::test]
async fn what_is_put_can_be_read_changed_listed_and_deleted() {
    let server = TestServer::seeded().await;
    for (key, value) in [("b/with/slashes", json!({"rows": [1, 2.5, null]})), ("a", Value::Null)] {
        let answer = server.call(Method::PUT, &format!("{EXTRACT}/{key}"), json!({ "value": value })).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
        assert_eq!(server.read(&format!("{EXTRACT}/{key}")).await["value"], value);
    }
    let list = server.read(EXTRACT).await;
    assert_eq!(column(&list["task_state_store"], "key"), ["a", "b/with/slashes"]);
    let list = server.read(&format!("{EXTRACT}?limit=1&offset=1")).await;
    assert_eq!(column(&list["task_state_store"], "key"), ["b/with/slashes"]);
    assert_eq!(list["total_entries"], 2);
    assert_eq!(server.read(&format!("{EXTRACT}?map_index=0")).await["total_entries"], 0);

    let answer = server.call(Method::PATCH, &format!("{EXTRACT}/a"), json!({"value": "new"})).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, Value::Null));
    assert_eq!(server.read(&format!("{EXTRACT}/a")).await["value"], "new");
    let answer = server.call(Method::PATCH, &format!("{EXTRACT}/none"), json!({"value": 1})).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);

    for _ in 0..2 {
        let answer = server.call(Method::DELETE, &format!("{EXTRACT}/a"), Value::Null).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(server.get(&format!("{EXTRACT}/a")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.call(Method::DELETE, EXTRACT, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(count(&server).await, 0);
    let log = server.read("/api/v2/eventLogs?task_id=extract&order_by=id").await;
    let events = column(&log["event_logs"], "event");
    let expected = ["set", "set", "patch", "delete", "delete", "clear"];
    assert_eq!(events, expected.map(|word| format!("{word}_task_state_store")));
}

#[tokio::test]
async fn a_value_expires_when_its_writer_says_after_a_month_or_never() {
    let server = TestServer::seeded().await;
    let put = async |key: &str, body: Value| server.call(Method::PUT, &format!("{EXTRACT}/{key}"), body).await;
    put("default", json!({"value": 1})).await;
    put("default_too", json!({"value": 1, "expires_at": "default"})).await;
    put("never", json!({"value": 1, "expires_at": null})).await;
    put("later", json!({"value": 1, "expires_at": "2999-01-01T00:00:00Z"})).await;
    put("past", json!({"value": 1, "expires_at": "2024-01-01T00:00:00Z"})).await;
    let list = server.read(EXTRACT).await;
    assert_eq!(column(&list["task_state_store"], "key"), ["default", "default_too", "later", "never"]);
    assert_eq!(list["task_state_store"][2]["expires_at"], "2999-01-01T00:00:00Z");
    assert_eq!(list["task_state_store"][3]["expires_at"], Value::Null);
    let days: f64 = sqlx::query_scalar(
        "select extract(epoch from expires_at - updated_at)::float8 / 86400 from task_state_store where key = 'default'",
    )
    .fetch_one(server.store.pool())
    .await
    .unwrap();
    assert!((29.9..30.1).contains(&days), "{days}");

    for path in ["past", "past?map_index=-2"] {
        assert!(server.get(&format!("{EXTRACT}/{path}")).await.status.is_client_error(), "{path}");
    }
    let answer = server.call(Method::PATCH, &format!("{EXTRACT}/past"), json!({"value": 1})).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(count(&server).await, 5);
    assert_eq!(updraft_store::state_store::sweep(&server.store).await.unwrap(), 1);
    assert_eq!(count(&server).await, 4);

    let answer = put("x", json!({"value": 1, "expires_at": "2024-01-01T00:00:00"})).await;
    assert_eq!(answer.json()["detail"][0]["type"], "timezone_aware");
    let answer = put("x", json!({"expires_at": null})).await;
    assert_eq!(answer.json()["detail"][0]["type"], "missing");
}

#[tokio::test]
async fn only_an_instance_that_exists_remembers_and_its_run_takes_all_with_it() {
    let server = TestServer::seeded().await;
    let body = json!({"value": 1});
    for path in [EXTRACT.replace("/extract/", "/nothing/"), EXTRACT.replace("/etl/", "/other/")] {
        let answer = server.call(Method::PUT, &format!("{path}/k"), body.clone()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(server.call(Method::DELETE, &path, Value::Null).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(server.read(&path).await, json!({"task_state_store": [], "total_entries": 0}), "{path}");
    }
    let answer = server.call(Method::PUT, &format!("{EXTRACT}/k?map_index=0"), body.clone()).await;
    assert!(answer.text().contains("map_index=0"), "{}", answer.text());

    server.call(Method::PUT, &format!("{EXTRACT}/k"), body.clone()).await;
    let answer = server.call(Method::DELETE, &format!("{EXTRACT}?map_index=7&all_map_indices=true"), Value::Null).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    assert_eq!(count(&server).await, 0);

    server.call(Method::PUT, &format!("{EXTRACT}/k"), body).await;
    let run = EXTRACT.split("/taskInstances").next().unwrap();
    assert_eq!(server.call(Method::DELETE, run, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(count(&server).await, 0);
}

#[tokio::test]
async fn what_is_remembered_about_an_asset_says_that_the_api_wrote_it() {
    let server = TestServer::seeded().await;
    let states = "/api/v2/assets/1/state-store";
    for value in [json!("2024-05-01"), json!(["a"])] {
        let answer = server.call(Method::PUT, &format!("{states}/last/seen"), json!({ "value": value })).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        let found = server.read(&format!("{states}/last/seen")).await;
        assert_eq!((&found["key"], &found["value"]), (&json!("last/seen"), &value));
        assert_eq!(found["last_updated_by"]["kind"], "api");
    }
    assert_eq!(server.read(states).await["total_entries"], 1);
    assert_eq!(server.read("/api/v2/assets/2/state-store").await["total_entries"], 0);
    assert_eq!(server.get(&format!("{states}/none")).await.status, StatusCode::NOT_FOUND);
    for (method, path) in [(Method::GET, ""), (Method::DELETE, ""), (Method::PUT, "/k"), (Method::DELETE, "/k")] {
        let path = format!("/api/v2/assets/99/state-store{path}");
        let answer = server.call(method.clone(), &path, json!({"value": 1})).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
    }
    assert_eq!(
        server.call(Method::DELETE, &format!("{states}/none"), Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(server.read(states).await["total_entries"], 1);
    assert_eq!(server.call(Method::DELETE, states, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.read(states).await["total_entries"], 0);
}
