//! Airflow's own OpenAPI document against what we serve.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use crate::support::TestServer;

#[tokio::test]
async fn the_openapi_document_is_as_committed() {
    let server = TestServer::empty().await;
    let document = serde_json::to_value(updraft_webserver::open_api(&server.app)).unwrap();
    assert_eq!(server.read("/openapi.json").await, document);
    insta::assert_json_snapshot!("openapi", document);
}
