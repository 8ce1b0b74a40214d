//! Waiting for a run's end.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::{Method, StatusCode, header},
};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use updraft_store::wake::Signal;

use crate::support::TestServer;

/// Runs.
const RUNS: &str = "/api/v2/dags/etl/dagRuns";
const RUNNING: &str = "scheduled__2024-05-01T10:00:00%2B00:00";
const FAILED: &str = "manual__2024-05-01T09:30:00.043063%2B00:00";
/// Far longer than a test.
const LONG: u32 = 3600;

async fn wait_for(server: &TestServer, run: &str) -> BodyDataStream {
    let request = server.request(Method::GET, &format!("{RUNS}/{run}/wait?interval={LONG}"), None);
    let response = server.answer(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-ndjson");
    Body::into_data_stream(response.into_body())
}

/// The next line; `None`: the answer is over.
async fn line(body: &mut BodyDataStream) -> Option<Value> {
    let line = timeout(Duration::from_secs(30), body.next()).await.expect("a line within 30 s")?.unwrap();
    assert_eq!(line.last(), Some(&b'\n'));
    Some(serde_json::from_slice(&line).unwrap())
}

async fn set_state(server: &TestServer, state: &str) {
    sqlx::query(
        "update dag_run set state = $1, end_date = case when $1 = 'running' then null else now() end where tag = 3",
    )
    .bind(state)
    .execute(server.store.pool())
    .await
    .unwrap();
}

#[tokio::test]
async fn a_finished_run_is_answered_at_once_with_what_its_tasks_returned() {
    let server = TestServer::seeded().await;
    let push = async |task: &str, index: i32, value: Value| {
        sqlx::query(
            "insert into xcom (dag_run_id, task_id, map_index, key, value, size)
             select id, $1, $2, 'return_value', $3, 0 from dag_run where tag = 2",
        )
        .bind(task)
        .bind(index)
        .bind(value)
        .execute(server.store.pool())
        .await
        .unwrap();
    };
    push("extract", -1, json!({"rows": 3})).await;
    push("load", 10, json!("eleventh")).await;
    push("load", 2, json!("third")).await;
    let path = format!("{RUNS}/{FAILED}/wait?interval={LONG}&result=extract&result=load&result=done");
    let answer = server.get(&path).await;
    let expected = json!({"state": "failed", "results": {"extract": {"rows": 3}, "load": ["third", "eleventh"]}});
    assert_eq!(answer.text(), format!("{expected}\n"));
    let mut body = wait_for(&server, FAILED).await;
    assert_eq!(line(&mut body).await, Some(json!({"state": "failed"})));
    assert_eq!(line(&mut body).await, None);
}

#[tokio::test]
async fn who_waits_hears_of_each_change_at_once_and_of_the_end_last() {
    let server = TestServer::seeded().await;
    let mut one = wait_for(&server, RUNNING).await;
    let mut other = wait_for(&server, RUNNING).await;
    for body in [&mut one, &mut other] {
        assert_eq!(line(body).await, Some(json!({"state": "running"})));
    }
    set_state(&server, "success").await;
    server.store.wake().ring(Signal::Dags);
    for body in [&mut one, &mut other] {
        assert_eq!(line(body).await, Some(json!({"state": "success"})));
        assert_eq!(line(body).await, None);
    }
}

#[tokio::test]
async fn a_lost_signal_delays_the_answer_and_does_not_lose_it() {
    let server = TestServer::seeded().await;
    let mut body = wait_for(&server, RUNNING).await;
    assert_eq!(line(&mut body).await, Some(json!({"state": "running"})));
    set_state(&server, "failed").await;
    assert_eq!(line(&mut body).await, Some(json!({"state": "failed"})));
}

#[tokio::test]
async fn without_a_change_the_line_is_repeated_by_the_interval() {
    let server = TestServer::seeded().await;
    let request = server.request(Method::GET, &format!("{RUNS}/{RUNNING}/wait?interval=0.1"), None);
    let mut body = server.answer(request).await.into_body().into_data_stream();
    for _ in 0..3 {
        assert_eq!(line(&mut body).await, Some(json!({"state": "running"})));
    }
}

#[tokio::test]
async fn a_deleted_run_ends_the_answer() {
    let server = TestServer::seeded().await;
    let mut body = wait_for(&server, RUNNING).await;
    assert_eq!(line(&mut body).await, Some(json!({"state": "running"})));
    sqlx::query("delete from dag_run where tag = 3").execute(server.store.pool()).await.unwrap();
    assert_eq!(line(&mut body).await, None);
}

#[tokio::test]
async fn who_waits_holds_no_connection() {
    let server = TestServer::seeded().await;
    let mut bodies = Vec::new();
    // Many more than the pool has connections.
    for _ in 0..50 {
        let mut body = wait_for(&server, RUNNING).await;
        assert_eq!(line(&mut body).await, Some(json!({"state": "running"})));
        bodies.push(body);
    }
    server.read("/api/v2/dags").await;
}

#[tokio::test]
async fn a_wait_needs_a_run_and_an_interval_above_nothing() {
    let server = TestServer::seeded().await;
    let answer = server.get(&format!("{RUNS}/nothing/wait?interval=1")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    for (query, kind) in [("", "missing"), ("?interval=0", "greater_than"), ("?interval=x", "float_parsing")] {
        let answer = server.get(&format!("{RUNS}/{RUNNING}/wait{query}")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        let detail = &answer.json()["detail"];
        assert_eq!((detail.as_array().unwrap().len(), &detail[0]["type"]), (1, &json!(kind)), "{query}");
    }
}
