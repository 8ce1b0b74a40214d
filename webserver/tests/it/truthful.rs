//! Operations without a feature behind them: they exist, and say that there is nothing.

use axum::http::{Method, StatusCode, header};
use serde_json::{Map, Value, json};
use updraft_webserver::{Setting, Source};

use crate::support::{Answer, TestServer};

/// Reviewed: what is answered here is the truth, and becomes a lie with the feature.
#[tokio::test]
async fn the_operations_without_a_feature_are_these_and_answer_so() {
    let server = TestServer::seeded().await;
    let document = serde_json::to_value(updraft_webserver::open_api(&server.app)).unwrap();
    let mut answers = Map::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            // The extensions of one thing come in any order, and the operation has its permission: so it is told of the answer.
            let mut answers_of = operation["responses"].as_object().unwrap().values();
            let feature = answers_of.find_map(|answer| answer["x-without-feature"].as_str());
            let Some(feature) = feature else { continue };
            let uri = path
                .replace("{dag_id}", "etl")
                .replace("{dag_run_id}", "manual__2024-05-01T09:30:00.043063%2B00:00")
                .replace("{task_id}", "extract")
                .replace("{try_number}", "1");
            let body = (method == "post").then(|| json!({"connection_id": "c", "conn_type": "http"}));
            let mut request =
                server.request(Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(), &uri, body.as_ref());
            request.headers_mut().insert("airflow-connection-test-token", "t".parse().unwrap());
            let answer = server.send(request).await;
            answers.insert(
                format!("{method} {path}"),
                json!({"feature": feature, "status": answer.status.as_u16(), "body": answer.json()}),
            );
        }
    }
    insta::assert_json_snapshot!("operations_without_a_feature", answers);
}

#[tokio::test]
async fn a_link_is_looked_for_at_an_instance_that_exists() {
    let server = TestServer::seeded().await;
    let run = "/api/v2/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/taskInstances";
    for path in [
        format!("{run}/nothing/links"),
        format!("{run}/extract/links?map_index=3"),
        format!("{run}/nothing/externalLogUrl/1"),
    ] {
        assert_eq!(server.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let answer = server.get(&format!("{run}/extract/externalLogUrl/0")).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.json()["detail"][0]["type"], "greater_than");
}

#[tokio::test]
async fn the_test_of_a_connection_is_asked_for_by_its_token() {
    let server = TestServer::empty().await;
    let answer = server.get("/api/v2/connections/enqueue-test").await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.json()["detail"][0]["loc"], json!(["header", "airflow-connection-test-token"]));
    let body = json!({"connection_id": "c", "conn_type": "http", "queue": "q", "no_such_key": 1});
    let answer = server.call(Method::POST, "/api/v2/connections/enqueue-test", body).await;
    assert_eq!(answer.json()["detail"][0]["type"], "extra_forbidden");
}

#[tokio::test]
async fn default_connections_are_made_once_and_never_over_one_that_exists() {
    let server = TestServer::empty().await;
    let create = async || server.call(Method::POST, "/api/v2/connections/defaults", Value::Null).await;
    assert_eq!(create().await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.read("/api/v2/connections/fs_default").await["extra"], r#"{"path":"/"}"#);
    let changed = json!({"connection_id": "fs_default", "conn_type": "fs", "extra": r#"{"path":"/data"}"#});
    server.call(Method::PATCH, "/api/v2/connections/fs_default", changed).await;
    assert_eq!(create().await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.read("/api/v2/connections/fs_default").await["extra"], r#"{"path":"/data"}"#);
    let log = server.read("/api/v2/eventLogs?event=create_default_connections").await;
    assert_eq!(log["total_entries"], 2);
}

fn setting(section: &str, option: &str, value: &str) -> Setting {
    Setting {
        section: section.to_owned(),
        option: option.to_owned(),
        value: value.to_owned(),
        source: Source::Default,
        origin: None,
        default: value.to_owned(),
    }
}

async fn as_text(server: &TestServer, path: &str, accept: &str) -> Answer {
    let mut request = server.request(Method::GET, path, None);
    request.headers_mut().insert(header::ACCEPT, accept.parse().unwrap());
    server.send(request).await
}

#[tokio::test]
async fn the_configuration_is_shown_only_where_that_is_allowed() {
    let server = TestServer::empty().await;
    for path in ["/api/v2/config", "/api/v2/config/section/core/option/parallelism"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.text().contains("chose not to expose the configuration"), "{}", answer.text());
    }
}

#[tokio::test]
async fn the_configuration_is_json_or_text_whole_by_section_or_by_option() {
    let server = TestServer::with(|config| {
        config.exposed = Some(vec![
            setting("core", "parallelism", "512"),
            setting("core", "fernet_key", "***"),
            setting("git", "ref", "main"),
        ]);
    })
    .await;
    let core = json!({"name": "core", "options": [
        {"key": "parallelism", "value": "512"}, {"key": "fernet_key", "value": "***"}]});
    let git = json!({"name": "git", "options": [{"key": "ref", "value": "main"}]});
    assert_eq!(server.read("/api/v2/config").await, json!({"sections": [core, git]}));
    assert_eq!(server.read("/api/v2/config?section=git").await, json!({"sections": [git]}));
    assert_eq!(server.read("/api/v2/config/section/git/option/ref").await, json!({"sections": [git]}));

    let answer = as_text(&server, "/api/v2/config", "text/plain;q=0.9, application/json;q=0.1").await;
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    assert_eq!(answer.text(), "[core]\nparallelism = 512\nfernet_key = ***\n\n[git]\nref = main\n");

    for (path, detail) in [
        ("/api/v2/config?section=smtp", "Section smtp not found."),
        ("/api/v2/config/section/core/option/x", "Option [core/x] not found."),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::NOT_FOUND, json!({"detail": detail})), "{path}");
    }
    let answer = as_text(&server, "/api/v2/config", "image/png").await;
    assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn a_dag_that_names_a_pool_that_does_not_exist_has_a_warning_until_the_pool_is_made() {
    let server = TestServer::seeded().await;
    assert_eq!(server.read("/api/v2/dagWarnings").await, json!({"dag_warnings": [], "total_entries": 0}));
    sqlx::query(
        "update dag_version set data = replace(data::text, '\"pool\": \"default_pool\"', '\"pool\": \"db\"')::json",
    )
    .execute(server.store.pool())
    .await
    .unwrap();
    let found = server.read("/api/v2/dagWarnings?dag_id=etl&warning_type=non-existent%20pool").await;
    assert_eq!(found["total_entries"], 1, "{found}");
    let warning = &found["dag_warnings"][0];
    assert_eq!(warning["warning_type"], "non-existent pool");
    assert_eq!(warning["message"], "Dag 'etl' references non-existent pools: ['db']");
    assert_eq!(server.read("/api/v2/dagWarnings?warning_type=asset%20conflict").await["total_entries"], 0);
    assert_eq!(server.read("/api/v2/dagWarnings?dag_id=other").await["total_entries"], 0);
    server.call(Method::POST, "/api/v2/pools", json!({"name": "db", "slots": 1})).await;
    assert_eq!(server.read("/api/v2/dagWarnings").await["total_entries"], 0);

    let answer = server.get("/api/v2/dagWarnings?warning_type=bad").await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.json()["detail"][0]["type"], "enum");
}

#[tokio::test]
async fn the_paths_that_airflowctl_gets_wrong_empty_the_queues_that_it_means() {
    for (path, id) in [
        ("/api/v2/assets/1/queuedEvents/", "asset"),
        ("/api/v2/assets/dags/other/queuedEvents?before=2999-01-01T00:00:00Z", "dag"),
        ("/api/v2/assets/dags/other/assets/1/queuedEvents/", "both"),
    ] {
        let server = TestServer::seeded().await;
        assert_eq!(server.read("/api/v2/assets/1/queuedEvents").await["total_entries"], 1);
        let answer = server.call(Method::DELETE, path, Value::Null).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{id}: {}", answer.text());
        assert_eq!(server.read("/api/v2/assets/1/queuedEvents").await["total_entries"], 0, "{id}");
    }
}
