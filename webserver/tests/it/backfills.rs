//! `/backfills` as clients see it; what a backfill then does is the store's tests' matter.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestServer, column};

const BACKFILLS: &str = "/api/v2/backfills";

fn body() -> Value {
    // Naive dates are UTC.
    json!({"dag_id": "etl", "from_date": "2024-05-01T06:00:00", "to_date": "2024-05-01T11:00:00Z"})
}

fn with(key: &str, value: Value) -> Value {
    let mut body = body();
    body[key] = value;
    body
}

#[tokio::test]
async fn a_backfill_is_made_listed_paused_and_cancelled() {
    let server = TestServer::seeded().await;
    let answer = server.call(Method::POST, BACKFILLS, with("dag_run_conf", json!({"day": "friday"}))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let mut made = answer.json();
    let (id, created) = (made["id"].as_i64().unwrap(), made["created_at"].take());
    assert!(created.is_string());
    made["updated_at"] = Value::Null;
    assert_eq!(
        made,
        json!({
            "id": id, "dag_id": "etl", "dag_display_name": "ETL", "from_date": "2024-05-01T06:00:00Z",
            "to_date": "2024-05-01T11:00:00Z", "dag_run_conf": {"day": "friday"}, "is_paused": false,
            "reprocess_behavior": "none", "max_active_runs": 10, "created_at": null, "completed_at": null,
            "updated_at": null,
        })
    );
    let again = server.call(Method::POST, BACKFILLS, body()).await;
    assert_eq!(
        (again.status, again.json()),
        (StatusCode::CONFLICT, json!({"detail": "There is already a running backfill for dag etl"}))
    );
    let listed = server.read(&format!("{BACKFILLS}?dag_id=etl")).await;
    assert_eq!((&listed["total_entries"], &listed["backfills"][0]["id"]), (&json!(1), &json!(id)));
    // `airflowctl` says POST where the API says PUT.
    for (method, verb, paused) in
        [(Method::PUT, "pause", true), (Method::PUT, "unpause", false), (Method::POST, "pause", true)]
    {
        let answer = server.call(method, &format!("{BACKFILLS}/{id}/{verb}"), json!({})).await;
        assert_eq!((answer.status, &answer.json()["is_paused"]), (StatusCode::OK, &json!(paused)), "{verb}");
    }
    let cancel = format!("{BACKFILLS}/{id}/cancel");
    let cancelled = server.call(Method::PUT, &cancel, json!({})).await.json();
    assert!(cancelled["completed_at"].is_string() && cancelled["is_paused"] == true, "{cancelled}");
    for verb in ["cancel", "pause", "unpause"] {
        let answer = server.call(Method::PUT, &format!("{BACKFILLS}/{id}/{verb}"), json!({})).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{verb}");
    }
    let events = server.read("/api/v2/eventLogs?order_by=-id&limit=2").await;
    assert_eq!(column(&events["event_logs"], "event"), ["cancel_backfill", "pause_backfill"]);
}

#[tokio::test]
async fn a_dry_run_names_the_dates_and_writes_nothing() {
    let server = TestServer::seeded().await;
    let answer = server.call(Method::POST, &format!("{BACKFILLS}/dry_run"), body()).await;
    let dates = answer.json();
    // 08:00 and 10:00 have runs.
    assert_eq!(
        column(&dates["backfills"], "logical_date"),
        ["2024-05-01T06:00:00Z", "2024-05-01T07:00:00Z", "2024-05-01T09:00:00Z", "2024-05-01T11:00:00Z"]
    );
    assert_eq!(dates["total_entries"], 4);
    let mut empty = with("from_date", json!("2024-05-01T06:10:00Z"));
    empty["to_date"] = json!("2024-05-01T06:20:00Z");
    let answer = server.call(Method::POST, &format!("{BACKFILLS}/dry_run"), empty).await;
    assert_eq!(answer.json(), json!({"backfills": [], "total_entries": 0}));
    assert_eq!(server.read(&format!("{BACKFILLS}?dag_id=etl")).await["total_entries"], 0);
}

#[tokio::test]
async fn what_cannot_be_is_told_in_airflows_way() {
    let server = TestServer::seeded().await;
    for (body, status) in [
        (with("dag_id", json!("nothing")), StatusCode::NOT_FOUND),
        (with("dag_id", json!("gone")), StatusCode::NOT_FOUND),
        (with("to_date", json!("2024-05-01T05:00:00Z")), StatusCode::UNPROCESSABLE_ENTITY),
        (with("max_active_runs", json!(0)), StatusCode::UNPROCESSABLE_ENTITY),
        (with("dag_run_conf", json!({"count": 0})), StatusCode::UNPROCESSABLE_ENTITY),
        (with("reprocess_behavior", json!("all")), StatusCode::UNPROCESSABLE_ENTITY),
        (with("surprise", json!(1)), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"dag_id": "etl"}), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let answer = server.call(Method::POST, BACKFILLS, body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    let mut future = with("from_date", json!("2999-01-01T00:00:00Z"));
    future["to_date"] = json!("2999-01-02T00:00:00Z");
    let answer = server.call(Method::POST, BACKFILLS, future).await;
    assert_eq!(answer.json(), json!({"detail": "Backfill cannot be executed for future dates."}));
    assert_eq!(server.get(BACKFILLS).await.status, StatusCode::UNPROCESSABLE_ENTITY, "dag_id is required");
    for (method, path) in [(Method::GET, "/7"), (Method::PUT, "/7/pause"), (Method::PUT, "/7/cancel")] {
        let answer = server.call(method, &format!("{BACKFILLS}{path}"), json!({})).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}
