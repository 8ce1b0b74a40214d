use axum::http::StatusCode;
use futures::future::join_all;
use serde_json::json;
use updraft_protocol::{ReportResponse, ReportResult};
use uuid::Uuid;

use crate::client::{Client, finished};

#[tokio::test]
async fn each_event_has_its_own_result_and_an_unreadable_one_spoils_nothing() {
    let client = Client::new().await;
    let node = client.node("n1").await;
    let attempt = client.seed.placed(node, "t0", -1).await;
    let mut odd = finished(attempt, json!(1));
    odd["outcome"] = json!("perhaps");
    let events = json!([
        {"attempt_id": attempt, "age_ms": 0, "kind": "levitated"},
        odd,
        finished(Uuid::new_v4(), json!(2)),
        finished(attempt, json!(3)),
    ]);
    let answer = client.post("/report", json!({"session": node.session, "events": events})).await;
    let answer: ReportResponse = answer.json();
    let (unknown, stale, ok) = (ReportResult::Unknown, ReportResult::Stale, ReportResult::Ok);
    assert_eq!(answer.results, [unknown, unknown, stale, ok]);
    assert_eq!(client.seed.xcoms().await["return_value"], json!(3));
}

#[tokio::test]
async fn reports_of_many_nodes_share_commits() {
    let client = Client::new().await;
    let mut reports = Vec::new();
    for index in 0..20 {
        let node = client.node(&format!("n{index}")).await;
        let attempt = client.seed.placed(node, "t0", index).await;
        reports.push(json!({"session": node.session, "events": [finished(attempt, json!(index))]}));
    }
    let answers = join_all(reports.into_iter().map(|report| client.post("/report", report))).await;
    for answer in answers {
        assert_eq!(answer.json::<ReportResponse>().results, [ReportResult::Ok]);
    }
    let (events, commits): (i64, i64) = sqlx::query_as("select count(*), count(distinct xmin::text) from task_event")
        .fetch_one(client.seed.store.pool())
        .await
        .unwrap();
    assert_eq!(events, 20);
    assert!(commits < 20, "{commits} commits for 20 reports that arrived together");
}

#[tokio::test]
async fn what_cannot_be_stored_is_dropped_alone() {
    let client = Client::new().await;
    let node = client.node("n1").await;
    let (bad, good) = (client.seed.placed(node, "t0", 0).await, client.seed.placed(node, "t0", 1).await);
    client.seed.execute("alter table xcom add constraint no_objects check (jsonb_typeof(value) <> 'object')").await;
    let events = json!([finished(bad, json!({})), finished(good, json!(1))]);
    let answer = client.post("/report", json!({"session": node.session, "events": events})).await;
    assert_eq!(answer.json::<ReportResponse>().results, [ReportResult::Unknown, ReportResult::Ok]);
    assert_eq!(client.seed.inbox().await.len(), 1);
}

#[tokio::test]
async fn an_unknown_session_or_too_many_events_are_refused() {
    let client = Client::new().await;
    let answer = client.post("/report", json!({"session": Uuid::new_v4(), "events": []})).await;
    assert_eq!(answer.refusal(), (409, "unknown_session".to_owned()));
    let node = client.node("n1").await;
    let events = vec![finished(Uuid::new_v4(), json!(null)); 501];
    let answer = client.post("/report", json!({"session": node.session, "events": events})).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}
