//! Having a DAG file read anew.

use axum::http::{Method, StatusCode};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use updraft_store::{dags, wake::Signal};

use crate::support::TestServer;

async fn reparse(server: &TestServer, token: &str) -> StatusCode {
    let path = format!("/api/v2/parseDagFile/{token}");
    server.call(Method::PUT, &path, Value::Null).await.status
}

#[tokio::test]
async fn the_file_of_a_dag_is_asked_for_by_its_token() {
    let server = TestServer::seeded().await;
    let dag = server.read("/api/v2/dags/etl").await;
    let mut signals = server.store.wake().subscribe();
    for _ in 0..2 {
        assert_eq!(reparse(&server, dag["file_token"].as_str().unwrap()).await, StatusCode::CREATED);
        while signals.recv().await.unwrap() != Signal::Files {}
    }
    let mut connection = server.store.pool().acquire().await.unwrap();
    assert_eq!(dags::parse_requests(&mut connection, "dags").await.unwrap(), ["etl.yaml"]);
    let log = server.read("/api/v2/eventLogs?event=reparse_dag_file").await;
    assert_eq!(log["total_entries"], 2);
}

#[tokio::test]
async fn a_token_that_names_no_file_is_not_found() {
    let server = TestServer::seeded().await;
    let token = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for token in [
        "nonsense!".to_owned(),
        token(json!(1)),
        token(json!({"bundle_name": "dags"})),
        token(json!({"bundle_name": "dags", "relative_fileloc": "none.yaml"})),
        token(json!({"bundle_name": "none", "relative_fileloc": "etl.yaml"})),
    ] {
        assert_eq!(reparse(&server, &token).await, StatusCode::NOT_FOUND, "{token}");
    }
}
