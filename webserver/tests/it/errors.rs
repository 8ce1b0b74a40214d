//! What bad requests get: Airflow's bodies.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use updraft_store::StoreError;

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
    assert_eq!(answer.headers["allow"], "GET,HEAD,PATCH");
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

#[tokio::test]
async fn a_database_that_is_away_is_a_503_and_health_still_answers() {
    let server = TestServer::seeded().await;
    server.store.close().await;
    for path in ["/api/v2/dags", "/api/v2/dags/etl/dagRuns", "/ui/executors"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.headers["retry-after"], "1");
        assert!(answer.json()["detail"].as_str().unwrap().contains("try again"));
    }
    let health = server.read("/api/v2/monitor/health").await;
    assert_eq!(health["metadatabase"]["status"], "unhealthy");
}

#[tokio::test]
async fn what_cannot_be_read_from_the_store_shows_only_an_id() {
    let server = TestServer::seeded().await;
    sqlx::raw_sql("update dag_version set data = '{\"secret\": 1}'").execute(server.store.pool()).await.unwrap();
    let answer = server.get("/api/v2/dags/etl/details").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("Internal Server Error") && detail.contains("look for ID"), "{detail}");
    assert!(!detail.contains("secret"), "{detail}");
}

/// Every operation of the document, whoever added it: in each text of its path, in its query, in its body.
#[tokio::test]
async fn a_text_with_nul_is_refused_wherever_it_stands() {
    let server = TestServer::seeded().await;
    let document = serde_json::to_value(updraft_webserver::open_api(&server.app)).unwrap();
    let mut taken = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
            let of = |place: &str| parameters.iter().filter(|it| it["in"] == place).collect::<Vec<_>>();
            let texts = of("path").into_iter().filter(|it| it["schema"]["type"] == "string");
            let plain =
                path.replace(['{', '}'], "").replace("map_index", "0").replace("_number", "1").replace("_id", "1");
            let mut requests: Vec<_> = texts
                .map(|text| {
                    let name = text["name"].as_str().unwrap();
                    let uri = path.replace(&format!("{{{name}}}"), "a%00b").replace(['{', '}'], "");
                    let uri = uri.replace("map_index", "0").replace("try_number", "1").replace("version_number", "1");
                    server.request(method.clone(), &uri, None)
                })
                .collect();
            let queries = of("query");
            if let Some(query) = queries.first() {
                let uri = format!("{plain}?{}=a%00b", query["name"].as_str().unwrap());
                requests.push(server.request(method.clone(), &uri, None));
            }
            if operation["requestBody"].is_object() {
                requests.push(server.request(method.clone(), &plain, Some(&json!({"deep": [{"text": "a\0b"}]}))));
            }
            for request in requests {
                let uri = request.uri().to_string();
                let answer = server.send(request).await;
                if answer.status != StatusCode::UNPROCESSABLE_ENTITY {
                    taken.push(format!("{method} {uri}: {} {}", answer.status, answer.text()));
                }
            }
        }
    }
    assert!(taken.is_empty(), "{taken:#?}");
}

/// Should a handler hand one on all the same.
#[tokio::test]
async fn a_text_with_nul_that_reaches_postgres_is_told_apart() {
    let server = TestServer::empty().await;
    for (sql, value) in [("select $1::text", "a\0b"), ("select $1::text::jsonb", r#""\u0000""#)] {
        let error = sqlx::query(sql).bind(value).execute(server.store.pool()).await.unwrap_err();
        assert!(matches!(StoreError::from(error), StoreError::Unstorable(_)), "{sql}");
    }
}

#[tokio::test]
async fn a_required_key_may_not_be_null() {
    let server = TestServer::empty().await;
    for (path, body, key) in [
        ("/pools", json!({"name": null, "slots": 1}), "name"),
        ("/pools", json!({"name": "p", "slots": null}), "slots"),
        ("/pools", json!({"name": "p", "slots": 1, "include_deferred": null}), "include_deferred"),
        ("/variables", json!({"key": null, "value": 1}), "key"),
        ("/backfills", json!({"dag_id": "d", "from_date": null, "to_date": null}), "from_date"),
    ] {
        let answer = server.call(Method::POST, &format!("/api/v2{path}"), body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {key}");
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", key]));
    }
}

#[tokio::test]
async fn a_number_below_its_minimum_is_a_finding() {
    let server = TestServer::seeded().await;
    let xcoms = "/dags/etl/dagRuns/r/taskInstances/extract/xcomEntries";
    for path in [
        "/backfills/-1".to_owned(),
        "/dags/etl/dagRuns/r/taskInstances/extract/logs/-1".to_owned(),
        format!("{xcoms}?map_index=-2"),
        format!("{xcoms}/k?map_index=-2"),
    ] {
        let answer = server.get(&format!("/api/v2{path}")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!(answer.json()["detail"][0]["type"], "greater_than_equal", "{path}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let server = TestServer::seeded().await;
    let body = json!({"logical_date": null, "note": "x".repeat(5 << 20)});
    let answer = server.call(Method::POST, "/api/v2/dags/etl/dagRuns", body).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.json()["detail"].is_string());
}
