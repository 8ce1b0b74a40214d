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
async fn an_answer_that_is_known_is_not_sent_again() {
    let server = TestServer::seeded().await;
    for path in ["/api/v2/dags", "/api/v2/dags/etl", "/api/v2/dags/~/dagRuns/~/taskInstances"] {
        let ask = async |tag: &str| {
            let mut request = server.request(Method::GET, path, None);
            request.headers_mut().insert(header::IF_NONE_MATCH, tag.parse().unwrap());
            server.send(request).await
        };
        let first = ask("W/\"other\"").await;
        assert_eq!(first.status, StatusCode::OK, "{path}");
        let tag = first.headers[header::ETAG].to_str().unwrap().to_owned();
        let known = ask(&format!("W/\"other\", {tag}")).await;
        assert_eq!((known.status, known.bytes.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
        assert_eq!(known.headers[header::ETAG], tag, "{path}");
        sqlx::raw_sql("update dag set dag_display_name = dag_display_name || '!'")
            .execute(server.store.pool())
            .await
            .unwrap();
        assert_eq!(ask(&tag).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_full_page_never_shows_more_than_its_total() {
    let server = TestServer::seeded().await;
    let path = "/api/v2/dags/~/dagRuns/~/taskInstances?limit=3";
    assert_eq!(server.read(path).await["total_entries"], 6);
    // A total may be kept for a while; what the page itself shows is counted.
    sqlx::raw_sql("delete from task_instance").execute(server.store.pool()).await.unwrap();
    assert_eq!(server.read(path).await["total_entries"], 0);
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

#[tokio::test]
async fn cursors_walk_forth_and_back_over_equal_and_absent_keys() {
    let server = TestServer::seeded().await;
    for (list, uri) in [
        ("task_instances", "/api/v2/dags/~/dagRuns/~/taskInstances?order_by=start_date&limit=1"),
        ("task_instances", "/api/v2/dags/~/dagRuns/~/taskInstances?order_by=-end_date&order_by=state&limit=2"),
        ("dag_runs", "/api/v2/dags/~/dagRuns?order_by=-logical_date&limit=1"),
        ("dag_runs", "/api/v2/dags/etl/dagRuns?order_by=duration&limit=2"),
    ] {
        let field = if list == "dag_runs" { "dag_run_id" } else { "id" };
        let all = server.read(&uri.replace("limit=1", "limit=50").replace("limit=2", "limit=50")).await;
        let all = column(&all[list], field);
        let mut page = server.read(&format!("{uri}&cursor=")).await;
        assert_eq!((&page["previous_cursor"], &page["total_entries_limit"]), (&json!(null), &json!(1000)), "{uri}");
        let mut pages = vec![column(&page[list], field)];
        while let Some(cursor) = page["next_cursor"].as_str().map(str::to_owned) {
            page = server.read(&format!("{uri}&cursor={cursor}")).await;
            pages.push(column(&page[list], field));
        }
        assert_eq!(pages.concat(), all, "{uri}");
        pages.pop();
        while let Some(cursor) = page["previous_cursor"].as_str().map(str::to_owned) {
            assert!(cursor.starts_with('~'));
            page = server.read(&format!("{uri}&cursor={cursor}")).await;
            assert_eq!(Some(column(&page[list], field)), pages.pop(), "{uri}");
        }
        assert!(pages.is_empty(), "{uri}: back at the beginning");
    }
    let cursor =
        server.read("/api/v2/dags/~/dagRuns?limit=1&cursor=").await["next_cursor"].as_str().unwrap().to_owned();
    for uri in [format!("order_by=-id&cursor={cursor}"), "cursor=nonsense".to_owned()] {
        let answer = server.get(&format!("/api/v2/dags/~/dagRuns?{uri}")).await;
        assert_eq!(
            (answer.status, answer.json()),
            (StatusCode::BAD_REQUEST, json!({"detail": "Invalid cursor token"}))
        );
    }
}

#[tokio::test]
async fn batch_lists_take_their_filters_in_a_body() {
    let server = TestServer::seeded().await;
    let runs = "/api/v2/dags/~/dagRuns/list";
    for (body, expected) in [
        (json!({}), vec!["success", "failed", "running"]),
        (json!({"order_by": "-run_after", "page_limit": 1}), vec!["running"]),
        (json!({"dag_ids": ["etl"], "states": ["failed", null]}), vec!["failed"]),
        (json!({"run_after_gte": "2024-05-01T09:00:00Z", "duration_lt": 3600}), vec!["failed"]),
        (json!({"dag_ids": ["nope"]}), vec![]),
    ] {
        let answer = server.call(Method::POST, runs, body.clone()).await;
        assert_eq!(column(&answer.json()["dag_runs"], "state"), expected, "{body}");
    }
    let instances = "/api/v2/dags/~/dagRuns/~/taskInstances/list";
    for (body, expected) in [
        (json!({"task_ids": ["extract"], "order_by": "start_date"}), vec!["success", "running"]),
        (json!({"state": [null]}), vec!["null", "null"]),
        (json!({"executor": ["CeleryExecutor"]}), vec![]),
    ] {
        let answer = server.call(Method::POST, instances, body.clone()).await;
        assert_eq!(column(&answer.json()["task_instances"], "state"), expected, "{body}");
    }
    let refused = server.call(Method::POST, runs, json!({"states": ["done"], "page_limit": -1, "x": 1})).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    insta::assert_json_snapshot!("unfit_batch", refused.json());
    let order = server.call(Method::POST, runs, json!({"order_by": "x"})).await;
    assert_eq!(order.status, StatusCode::BAD_REQUEST);
    assert_eq!(server.call(Method::POST, "/api/v2/dags/etl/dagRuns/list", json!({})).await.status, 422);
}
