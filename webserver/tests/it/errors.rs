//! What bad requests get: Airflow's bodies.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::TestServer;

#[tokio::test]
async fn an_unknown_api_path_is_airflows_404() {
    let server = TestServer::empty().await;
    for path in ["/api/v2/nonsense", "/api/v2/dags/", "/api/v2"] {
        let answer = server.get(path).await;
        assert_eq!(
            (answer.status, answer.json()),
            (StatusCode::NOT_FOUND, json!({"error": "API route not found"})),
            "{path}"
        );
    }
    let answer = server.call(Method::POST, "/api/v2/nonsense", json!({})).await;
    assert_eq!(
        (answer.status, answer.json()),
        (StatusCode::METHOD_NOT_ALLOWED, json!({"detail": "Method Not Allowed"}))
    );
}

#[tokio::test]
async fn a_wrong_method_is_405() {
    let server = TestServer::empty().await;
    let answer = server.call(Method::PUT, "/api/v2/dags", json!({})).await;
    assert_eq!(
        (answer.status, answer.json()),
        (StatusCode::METHOD_NOT_ALLOWED, json!({"detail": "Method Not Allowed"}))
    );
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let server = TestServer::seeded().await;
    let mut told = Vec::new();
    for path in [
        "/dags/nope",
        "/dags/nope/details",
        "/dags/nope/dagRuns",
        "/dags/etl/dagRuns/nope",
        "/dags/etl/dagRuns/nope/taskInstances",
        "/dags/etl/dagRuns/nope/taskInstances/extract",
        "/dags/etl/dagRuns/nope/taskInstances/extract/3",
        "/dags/etl/dagRuns/nope/taskInstances/extract/tries/1",
        "/dags/etl/dagVersions/9",
        "/dags/nope/dagVersions",
        "/dags/etl/tasks/nope",
        "/dagSources/nope",
        "/importErrors/99",
        "/eventLogs/99",
    ] {
        let answer = server.get(&format!("/api/v2{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        told.push((path, answer.json()["detail"].clone()));
    }
    insta::assert_json_snapshot!(told);
}

#[tokio::test]
async fn unfit_parameters_are_refused_as_fastapi_does() {
    let server = TestServer::seeded().await;
    let mut told: Vec<(&str, u16, Value)> = Vec::new();
    for path in [
        "/dags?limit=-1&offset=x",
        "/dags?paused=perhaps",
        "/dags?order_by=owner",
        "/dags?tags_match_mode=some",
        "/dags/etl/dagRuns?start_date_gte=2024-05-01T00:00:00",
        "/dags/etl/dagRuns?start_date_gte=yesterday",
        "/dags/etl/dagRuns?state=done",
        "/dags/etl/dagRuns?duration_gt=long",
        "/dags/~/dagRuns/~/taskInstances?state=done&map_index=a",
        "/importErrors/one",
        "/dags?order_by=1&order_by=2&order_by=3&order_by=4&order_by=5&order_by=6&order_by=7&order_by=8&order_by=9&order_by=10&order_by=11",
    ] {
        let answer = server.get(&format!("/api/v2{path}")).await;
        told.push((path, answer.status.as_u16(), answer.json()["detail"].clone()));
    }
    insta::assert_json_snapshot!(told);
}

#[tokio::test]
async fn a_patch_names_what_is_wrong_with_it() {
    let server = TestServer::seeded().await;
    let mut told: Vec<Value> = Vec::new();
    for body in [json!({}), json!({"is_paused": "maybe"}), json!({"is_paused": true, "owner": "x"}), json!([])] {
        let answer = server.call(Method::PATCH, "/api/v2/dags/etl", body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        told.push(answer.json());
    }
    let answer = server.call(Method::PATCH, "/api/v2/dags/etl?update_mask=owner", json!({"is_paused": true})).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    told.push(answer.json());
    insta::assert_json_snapshot!(told);
}
