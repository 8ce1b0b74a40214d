//! What lists and single entities look like.

use axum::http::{Method, StatusCode, header};
use serde_json::json;

use crate::support::{ENTITIES, TestServer, column};

#[tokio::test]
async fn version_and_health_need_no_token() {
    let server = TestServer::empty().await;
    assert_eq!(server.read("/api/v2/version").await["version"], "3.3.2");
    let health = server.read("/api/v2/monitor/health").await;
    insta::assert_json_snapshot!(health);
    sqlx::raw_sql(
        "insert into job (uuid, job_type, state, hostname, latest_heartbeat) values
         (gen_random_uuid(), 'SchedulerJob', 'running', 'h', now()),
         (gen_random_uuid(), 'SchedulerJob', 'running', 'h', now() - interval '1 day'),
         (gen_random_uuid(), 'DagProcessorJob', 'running', 'h', now() - interval '1 hour')",
    )
    .execute(server.store.pool())
    .await
    .unwrap();
    let health = server.read("/api/v2/monitor/health").await;
    assert_eq!(health["scheduler"]["status"], "healthy");
    assert!(health["scheduler"]["latest_scheduler_heartbeat"].as_str().unwrap().ends_with("+00:00"));
    assert_eq!(health["dag_processor"]["status"], "unhealthy");
}

#[tokio::test]
async fn entities_have_airflows_shapes() {
    let server = TestServer::seeded().await;
    for (name, _, path) in ENTITIES {
        let answer = server.read(&format!("/api/v2{path}")).await;
        insta::assert_json_snapshot!(*name, answer, { ".**.id" => insta::dynamic_redaction(|value, _| {
            // Uuids are the seed's; inside keys are the database's.
            if value.as_str().is_some() { value } else { "[id]".into() }
        }), ".**.import_error_id" => "[id]", ".**.event_log_id" => "[id]" });
    }
}

#[tokio::test]
async fn dags_are_filtered_and_paged() {
    let server = TestServer::seeded().await;
    for (query, expected) in [
        ("", vec!["etl", "other"]),
        ("exclude_stale=false", vec!["etl", "gone", "other"]),
        ("exclude_stale=false&order_by=-dag_id", vec!["other", "gone", "etl"]),
        ("paused=true", vec!["other"]),
        ("dag_id_pattern=ET", vec!["etl"]),
        ("dag_id_prefix_pattern=oth_", vec!["other"]),
        ("dag_id_pattern=etl|other", vec!["etl", "other"]),
        ("tags=prod&tags=test", vec!["etl", "other"]),
        ("tags=prod&tags=test&tags_match_mode=all", vec![]),
        ("owners=ops", vec!["etl"]),
        ("last_dag_run_state=running", vec!["etl"]),
        ("last_dag_run_state=failed", vec![]),
        ("dag_run_state=failed", vec!["etl"]),
        ("dag_run_end_date_gte=2030-01-01T00:00:00Z", vec![]),
        ("unknown=ignored", vec!["etl", "other"]),
    ] {
        let answer = server.read(&format!("/api/v2/dags?{query}")).await;
        assert_eq!(column(&answer["dags"], "dag_id"), expected, "{query}");
        assert_eq!(answer["total_entries"], expected.len(), "{query}");
    }
    let page = server.read("/api/v2/dags?limit=1&offset=1").await;
    assert_eq!((column(&page["dags"], "dag_id"), &page["total_entries"]), (vec!["other".to_owned()], &json!(2)));
    let none = server.read("/api/v2/dags?limit=0").await;
    assert_eq!((&none["dags"], &none["total_entries"]), (&json!([]), &json!(2)));
    let beyond = server.read("/api/v2/dags?offset=10").await;
    assert_eq!((&beyond["dags"], &beyond["total_entries"]), (&json!([]), &json!(2)));
}

#[tokio::test]
async fn runs_are_filtered_and_sorted() {
    let server = TestServer::seeded().await;
    for (query, expected) in [
        ("", vec!["success", "failed", "running"]),
        ("order_by=-run_after", vec!["running", "failed", "success"]),
        ("order_by=duration", vec!["success", "failed", "running"]),
        ("state=failed&state=running", vec!["failed", "running"]),
        ("state=none", vec![]),
        ("run_type=manual", vec!["failed"]),
        ("run_id_pattern=scheduled", vec!["success", "running"]),
        ("run_id_prefix_pattern=manual__", vec!["failed"]),
        ("run_after_gte=2024-05-01T09:00:00Z&run_after_lt=2024-05-01T10:00:00%2B00:00", vec!["failed"]),
        ("duration_gt=30", vec!["failed"]),
        ("conf_contains=friday", vec!["failed"]),
        ("triggering_user_name_pattern=adm", vec!["failed"]),
        ("dag_version=1", vec![]),
        ("limit=1&offset=2", vec!["running"]),
    ] {
        for dag in ["etl", "~"] {
            let answer = server.read(&format!("/api/v2/dags/{dag}/dagRuns?{query}")).await;
            assert_eq!(column(&answer["dag_runs"], "state"), expected, "{query}");
        }
    }
}

#[tokio::test]
async fn task_instances_are_filtered_over_all_runs() {
    let server = TestServer::seeded().await;
    for (query, expected) in [
        ("", vec!["done", "extract", "load", "done", "extract", "load"]),
        ("state=running", vec!["extract"]),
        ("state=none", vec!["done", "load"]),
        ("state=no_status&state=failed", vec!["load", "done", "load"]),
        ("task_id=extract", vec!["extract", "extract"]),
        ("duration_gte=15", vec!["load"]),
        ("pool=other", vec![]),
        ("order_by=-start_date&limit=2&state=running&state=success", vec!["extract", "extract"]),
        ("operator_name_pattern=empty", vec!["done", "done"]),
    ] {
        let answer = server.read(&format!("/api/v2/dags/~/dagRuns/~/taskInstances?{query}")).await;
        assert_eq!(column(&answer["task_instances"], "task_id"), expected, "{query}");
    }
}

#[tokio::test]
async fn a_mapped_task_points_to_its_indexes() {
    let server = TestServer::seeded().await;
    sqlx::raw_sql("update task_instance set map_index = 3 where state = 'running'")
        .execute(server.store.pool())
        .await
        .unwrap();
    let run = "/api/v2/dags/etl/dagRuns/scheduled__2024-05-01T10:00:00%2B00:00/taskInstances/extract";
    let answer = server.get(run).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.json()["detail"].as_str().unwrap().contains("is mapped"));
    assert_eq!(server.read(&format!("{run}/3")).await["map_index"], 3);
    assert_eq!(server.read(&format!("{run}/3/tries/1")).await["state"], "running");
}

#[tokio::test]
async fn a_source_comes_as_json_or_text() {
    let server = TestServer::seeded().await;
    for (accept, status, content) in [
        ("application/json", StatusCode::OK, "application/json"),
        ("text/plain", StatusCode::OK, "text/plain; charset=utf-8"),
        ("image/png", StatusCode::NOT_ACCEPTABLE, "application/json"),
    ] {
        let mut request = server.request(Method::GET, "/api/v2/dagSources/etl", None);
        request.headers_mut().insert(header::ACCEPT, accept.parse().unwrap());
        let answer = server.send(request).await;
        assert_eq!((answer.status, answer.headers[header::CONTENT_TYPE].to_str().unwrap()), (status, content));
    }
}

#[tokio::test]
async fn pausing_a_dag_is_written_down() {
    let server = TestServer::seeded().await;
    let answer = server.call(Method::PATCH, "/api/v2/dags/etl", json!({"is_paused": true})).await;
    assert_eq!((answer.status, &answer.json()["is_paused"]), (StatusCode::OK, &json!(true)));
    let log = server.read("/api/v2/eventLogs?dag_id=etl").await;
    assert_eq!(
        (&log["event_logs"][0]["event"], &log["event_logs"][0]["owner"]),
        (&json!("patch_dag"), &json!("admin"))
    );
    let answer = server.call(Method::PATCH, "/api/v2/dags/nope", json!({"is_paused": true})).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
