//! What callers change: runs triggered, marked, cleared, deleted; each with its audit row.

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{TestServer, column};

const RUNS: &str = "/api/v2/dags/etl/dagRuns";
const MANUAL: &str = "/api/v2/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00";

async fn last_event(server: &TestServer) -> Value {
    server.read("/api/v2/eventLogs?order_by=-id&limit=1").await["event_logs"][0].clone()
}

#[tokio::test]
async fn a_trigger_makes_a_queued_run_with_its_instances() {
    let server = TestServer::seeded().await;
    let body = json!({"logical_date": null, "conf": {"day": "sunday"}, "note": "by hand"});
    let answer = server.call(Method::POST, RUNS, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let run = answer.json();
    let run_id = run["dag_run_id"].as_str().unwrap();
    assert!(run_id.starts_with("manual__20") && run_id.ends_with("+00:00"), "{run_id}");
    assert_eq!(
        (&run["state"], &run["conf"], &run["note"], &run["triggered_by"], &run["triggering_user_name"]),
        (&json!("queued"), &json!({"day": "sunday"}), &json!("by hand"), &json!("rest_api"), &json!("admin"))
    );
    assert_eq!((&run["logical_date"], &run["data_interval_start"]), (&Value::Null, &Value::Null));
    let path = format!("{RUNS}/{}/taskInstances?order_by=map_index", run_id.replace('+', "%2B"));
    let instances = server.read(&path).await;
    assert_eq!(column(&instances["task_instances"], "task_id"), ["done", "extract", "load"]);
    assert_eq!(instances["task_instances"][1]["task_display_name"], "Extract");
    let event = last_event(&server).await;
    assert_eq!(
        (&event["event"], &event["owner"], &event["run_id"]),
        (&json!("trigger_dag_run"), &json!("admin"), &json!(run_id))
    );
}

#[tokio::test]
async fn a_trigger_takes_dates_an_id_and_the_callers_page() {
    let server = TestServer::seeded().await;
    let body =
        json!({"dag_run_id": "mine", "logical_date": "2024-06-01T02:00:00+02:00", "run_after": "2024-06-01T00:00:00"});
    let mut request = server.request(Method::POST, RUNS, Some(&body));
    request.headers_mut().insert(header::REFERER, "http://localhost/dags/etl".parse().unwrap());
    let run = server.send(request).await.json();
    assert_eq!((&run["dag_run_id"], &run["triggered_by"]), (&json!("mine"), &json!("ui")));
    for field in ["logical_date", "run_after", "data_interval_start", "data_interval_end"] {
        assert_eq!(run[field], "2024-06-01T00:00:00Z", "{field}");
    }
}

#[tokio::test]
async fn a_run_id_or_logical_date_is_used_once() {
    let server = TestServer::seeded().await;
    for (first, second) in [
        (json!({"logical_date": null, "dag_run_id": "one"}), json!({"logical_date": null, "dag_run_id": "one"})),
        (
            json!({"logical_date": "2024-06-01T00:00:00Z"}),
            json!({"logical_date": "2024-06-01T00:00:00Z", "dag_run_id": "x"}),
        ),
    ] {
        assert_eq!(server.call(Method::POST, RUNS, first).await.status, StatusCode::OK);
        let answer = server.call(Method::POST, RUNS, second).await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
        assert_eq!(answer.json()["detail"]["reason"], "Unique constraint violation");
    }
}

/// Its last good version runs, by schedule and by hand (Airflow refuses both).
#[tokio::test]
async fn a_dag_with_import_errors_is_triggered_in_its_last_good_version() {
    let server = TestServer::seeded().await;
    sqlx::raw_sql("update dag set has_import_errors = true where dag_id = 'etl'")
        .execute(server.store.pool())
        .await
        .unwrap();
    let answer = server.call(Method::POST, RUNS, json!({"logical_date": null})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
    assert_eq!(answer.json()["dag_versions"][0]["version_number"], 2);
}

#[tokio::test]
async fn a_trigger_that_cannot_be_is_told_why() {
    let server = TestServer::seeded().await;
    let mut told: Vec<(u16, Value)> = Vec::new();
    for (dag, body) in [
        ("nope", json!({"logical_date": null})),
        ("gone", json!({"logical_date": null})),
        ("etl", json!({})),
        ("etl", json!({"logical_date": null, "dag_run_id": "scheduled__x"})),
        ("etl", json!({"logical_date": null, "dag_run_id": "a/b"})),
        ("etl", json!({"logical_date": null, "conf": {"count": 0}})),
        ("etl", json!({"logical_date": null, "conf": [], "wrong": 1})),
        ("etl", json!({"logical_date": null, "data_interval_start": "2024-05-01T00:00:00Z"})),
        ("etl", json!({"logical_date": null, "partition_key": "x"})),
    ] {
        let answer = server.call(Method::POST, &format!("/api/v2/dags/{dag}/dagRuns"), body).await;
        told.push((answer.status.as_u16(), answer.json()["detail"].clone()));
    }
    insta::assert_json_snapshot!(told);
}

/// Changes the compiled form of the seeded `etl` before anything has read it.
async fn with_etl(change: &str) -> TestServer {
    let server = TestServer::seeded().await;
    let sql = format!(
        "update dag_version set data = (data::jsonb || '{change}')::json where dag_fk = (select id from dag where dag_id = 'etl')"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(server.store.pool()).await.unwrap();
    server
}

/// The answers to a trigger, a materialization and a backfill of `etl`.
async fn runs_of_etl(server: &TestServer) -> Vec<(u16, Value)> {
    let mut told = Vec::new();
    let backfill = json!({"dag_id": "etl", "from_date": "2024-05-01T06:00:00Z", "to_date": "2024-05-01T07:00:00Z"});
    for (path, body) in [
        (RUNS, json!({"logical_date": null})),
        ("/api/v2/assets/1/materialize", json!({})),
        ("/api/v2/backfills", backfill),
    ] {
        let answer = server.call(Method::POST, path, body).await;
        told.push((answer.status.as_u16(), answer.json()["detail"].clone()));
    }
    told
}

#[tokio::test]
async fn a_partitioned_dag_is_shown_as_one_and_refuses_every_run() {
    let server = with_etl(r#"{"schedule": {"kind": "partitioned", "timetable": "PartitionedAtRuntime"}}"#).await;
    let dag = server.read("/api/v2/dags/etl").await;
    assert_eq!((&dag["timetable_partitioned"], &dag["is_backfillable"]), (&json!(true), &json!(false)));
    let why = json!(
        "DAG with dag_id: 'etl' has the timetable PartitionedAtRuntime: its runs have partitions, and partitions are not run yet"
    );
    assert_eq!(runs_of_etl(&server).await, [(400, why.clone()), (400, why.clone()), (422, why)]);
}

#[tokio::test]
async fn a_run_of_a_type_that_is_not_allowed_is_refused() {
    let server = with_etl(r#"{"allowed_run_types": ["scheduled"]}"#).await;
    let dag = server.read("/api/v2/dags/etl").await;
    assert_eq!((&dag["timetable_partitioned"], &dag["allowed_run_types"]), (&json!(false), &json!(["scheduled"])));
    let why = |kind: &str| json!(format!("Dag with dag_id: 'etl' does not allow {kind} runs"));
    let told = runs_of_etl(&server).await;
    assert_eq!(told, [(400, why("manual")), (400, why("asset_materialization")), (422, why("backfill"))]);
}

#[tokio::test]
async fn a_paused_dags_trigger_stays_queued() {
    let server = TestServer::seeded().await;
    server.call(Method::PATCH, "/api/v2/dags/etl", json!({"is_paused": true})).await;
    let run = server.call(Method::POST, RUNS, json!({"logical_date": null})).await;
    assert_eq!((run.status, &run.json()["state"]), (StatusCode::OK, &json!("queued")));
}

#[tokio::test]
async fn a_clear_is_dry_unless_told_otherwise() {
    let server = TestServer::seeded().await;
    let path = "/api/v2/dags/etl/clearTaskInstances";
    let body = json!({"dag_run_id": "manual__2024-05-01T09:30:00.043063+00:00"});
    let dry = server.call(Method::POST, path, body.clone()).await;
    assert_eq!(dry.status, StatusCode::OK, "{}", dry.text());
    let dry = dry.json();
    assert_eq!(column(&dry["task_instances"], "task_id"), ["done", "load"]);
    assert_eq!(dry["total_entries"], 2);
    assert_eq!(server.read(MANUAL).await["state"], "failed", "a dry run changes nothing");
    let real =
        server.call(Method::POST, path, json!({"dag_run_id": body["dag_run_id"], "dry_run": false})).await.json();
    assert_eq!(column(&real["task_instances"], "state"), ["null", "null"]);
    assert_eq!(server.read(MANUAL).await["state"], "queued");
    assert_eq!(last_event(&server).await["event"], "post_clear_task_instances");
    let tries = server.read(&format!("{MANUAL}/taskInstances/load/tries")).await;
    assert_eq!(column(&tries["task_instances"], "state"), ["failed"], "the next try has not begun");
    let now = server.read(&format!("{MANUAL}/taskInstances/load")).await;
    assert_eq!(now["state"], Value::Null);
}

#[tokio::test]
async fn a_clear_selects_by_task_relation_and_date() {
    let server = TestServer::seeded().await;
    let path = "/api/v2/dags/etl/clearTaskInstances";
    let manual = "manual__2024-05-01T09:30:00.043063+00:00";
    for (body, expected) in [
        (json!({"dag_run_id": manual, "only_failed": false, "task_ids": ["load"]}), vec!["load"]),
        (
            json!({"dag_run_id": manual, "only_failed": false, "task_ids": ["load"], "include_downstream": true}),
            vec!["done", "load"],
        ),
        (
            json!({"dag_run_id": manual, "only_failed": false, "task_ids": [["load", -1]], "include_upstream": true}),
            vec!["extract", "load"],
        ),
        (json!({"dag_run_id": manual, "only_failed": false, "task_ids": ["nope"]}), vec![]),
        (json!({"only_failed": false, "start_date": "2024-05-01T09:00:00Z", "only_running": true}), vec!["extract"]),
        (json!({"only_failed": false, "end_date": "2024-05-01T09:00:00Z"}), vec![]),
    ] {
        let answer = server.call(Method::POST, path, body.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{body}: {}", answer.text());
        assert_eq!(column(&answer.json()["task_instances"], "task_id"), expected, "{body}");
    }
    let mut told: Vec<(u16, Value)> = Vec::new();
    for body in [
        json!({"dag_run_id": "nope"}),
        json!({"dag_run_id": manual, "include_past": true}),
        json!({"dag_run_id": manual, "task_ids": []}),
        json!({"dag_run_id": manual, "start_date": "2024-05-01T00:00:00Z"}),
        json!({"dag_run_id": "scheduled__2024-05-01T10:00:00+00:00", "only_failed": false, "prevent_running_task": true}),
    ] {
        let answer = server.call(Method::POST, path, body).await;
        told.push((answer.status.as_u16(), answer.json()["detail"].clone()));
    }
    insta::assert_json_snapshot!(told);
}

#[tokio::test]
async fn a_whole_run_is_cleared() {
    let server = TestServer::seeded().await;
    let dry = server.call(Method::POST, &format!("{MANUAL}/clear"), json!({"only_failed": true})).await.json();
    assert_eq!(column(&dry["task_instances"], "task_id"), ["done", "load"]);
    let run =
        server.call(Method::POST, &format!("{MANUAL}/clear"), json!({"dry_run": false, "note": "again"})).await.json();
    assert_eq!((&run["state"], &run["note"]), (&json!("queued"), &json!("again")));
}

#[tokio::test]
async fn a_run_is_marked_and_noted() {
    let server = TestServer::seeded().await;
    let running = "/api/v2/dags/etl/dagRuns/scheduled__2024-05-01T10:00:00%2B00:00";
    let answer = server.call(Method::PATCH, running, json!({"state": "failed", "note": "enough"})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let run = answer.json();
    assert_eq!((&run["state"], &run["note"]), (&json!("failed"), &json!("enough")));
    let event = last_event(&server).await;
    assert_eq!(event["event"], "patch_dag_run");
    let run = server.call(Method::PATCH, running, json!({"note": ""})).await.json();
    assert_eq!((&run["state"], &run["note"]), (&json!("failed"), &Value::Null));
    let refused = server.call(Method::PATCH, running, json!({"state": "running"})).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    insta::assert_json_snapshot!(refused.json());
}

#[tokio::test]
async fn a_run_is_deleted_unless_it_runs() {
    let server = TestServer::seeded().await;
    let running =
        server.call(Method::DELETE, "/api/v2/dags/etl/dagRuns/scheduled__2024-05-01T10:00:00%2B00:00", json!({})).await;
    assert_eq!(running.status, StatusCode::CONFLICT);
    let gone = server.call(Method::DELETE, MANUAL, json!({})).await;
    assert_eq!((gone.status, gone.bytes.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(server.get(MANUAL).await.status, StatusCode::NOT_FOUND);
    assert_eq!(last_event(&server).await["event"], "delete_dag_run");
}

#[tokio::test]
async fn why_answers_in_codes() {
    let server = TestServer::seeded().await;
    let why = server.read("/ui/why/etl/manual__2024-05-01T09:30:00.043063%2B00:00/load").await;
    assert_eq!(why["reasons"][0]["code"], "finished", "{why}");
    let nodes = server.read("/ui/executors").await;
    assert_eq!(nodes, json!({"executors": [], "total_entries": 0}));
    assert_eq!(server.get("/ui/why/etl/nope/load").await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        server.get("/ui/why/etl/manual__2024-05-01T09:30:00.043063%2B00:00/nope").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_param_that_is_a_time_needs_no_offset() {
    let server =
        with_etl(r#"{"params": {"at": "12:13:14"}, "param_schemas": {"at": {"type": "string", "format": "time"}}}"#)
            .await;
    for (conf, status) in [
        (json!({}), StatusCode::OK),
        (json!({"at": "10:15:00"}), StatusCode::OK),
        (json!({"at": "10:15"}), StatusCode::OK),
        (json!({"at": "25:00:00"}), StatusCode::BAD_REQUEST),
    ] {
        let answer = server.call(Method::POST, RUNS, json!({"logical_date": null, "conf": conf})).await;
        assert_eq!(answer.status, status, "{conf}: {}", answer.text());
    }
}
