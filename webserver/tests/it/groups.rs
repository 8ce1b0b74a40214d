//! The instances of a task group, marked and noted together.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestServer, column};

const MANUAL: &str = "/api/v2/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00";

/// `etl` with the group `all`, around `extract` and the group `all.tail`, around `load` and `done`; and an empty group.
async fn grouped() -> TestServer {
    let server = TestServer::seeded().await;
    sqlx::raw_sql(
        r#"update dag_version set data = jsonb_set(jsonb_set(jsonb_set(data::jsonb
               || '{"task_groups": {"all": {"group_id": "all", "parent": null, "tooltip": "", "prefix_group_id": true, "display_name": null},
                                    "all.tail": {"group_id": "all.tail", "parent": "all", "tooltip": "", "prefix_group_id": true, "display_name": null},
                                    "none": {"group_id": "none", "parent": null, "tooltip": "", "prefix_group_id": true, "display_name": null}}}',
               '{tasks,0,task_group}', '"all"'), '{tasks,1,task_group}', '"all.tail"'), '{tasks,2,task_group}', '"all.tail"')"#,
    )
    .execute(server.store.pool())
    .await
    .unwrap();
    server
}

async fn patch(server: &TestServer, group: &str, body: Value) -> (StatusCode, Value) {
    let answer = server.call(Method::PATCH, &format!("{MANUAL}/taskGroupInstances/{group}"), body).await;
    (answer.status, answer.json())
}

async fn states(server: &TestServer) -> Vec<String> {
    column(&server.read(&format!("{MANUAL}/taskInstances")).await["task_instances"], "state")
}

#[tokio::test]
async fn a_group_is_marked_with_the_groups_inside_it() {
    let server = grouped().await;
    let (status, dry) = patch(&server, "all/dry_run", json!({"new_state": "success"})).await;
    assert_eq!(status, StatusCode::OK, "{dry}");
    assert_eq!(column(&dry["task_instances"], "task_id"), ["done", "load"], "extract is in that state");
    assert_eq!(states(&server).await, ["upstream_failed", "success", "failed"]);

    let (status, done) = patch(&server, "all", json!({"new_state": "success", "note": "seen"})).await;
    assert_eq!((status, column(&done["task_instances"], "state")), (StatusCode::OK, vec!["success".to_owned(); 2]));
    assert_eq!(states(&server).await, ["success", "success", "success"]);
    let found = server.read(&format!("{MANUAL}/taskInstances")).await;
    assert_eq!(column(&found["task_instances"], "note"), ["seen", "seen", "seen"], "all of the group");
    let event = server.read("/api/v2/eventLogs?order_by=-id&limit=1").await["event_logs"][0].clone();
    assert_eq!(event["event"], "patch_task_group_instances");
    assert_eq!(serde_json::from_str::<Value>(event["extra"].as_str().unwrap()).unwrap()["group_id"], "all");

    let (status, again) = patch(&server, "all", json!({"new_state": "success"})).await;
    let text = "All task instances in the group are already in success state";
    assert_eq!((status, again), (StatusCode::CONFLICT, json!({ "detail": text })));
}

#[tokio::test]
async fn an_inner_group_is_marked_alone_and_takes_relatives_along_when_asked() {
    let server = grouped().await;
    let (_, dry) = patch(&server, "all.tail/dry_run", json!({"new_state": "skipped"})).await;
    assert_eq!(column(&dry["task_instances"], "task_id"), ["done", "load"]);
    let body = json!({"new_state": "skipped", "include_upstream": true});
    let (_, dry) = patch(&server, "all.tail/dry_run", body).await;
    assert_eq!(column(&dry["task_instances"], "task_id"), ["done", "extract", "load"]);
    let (_, noted) = patch(&server, "all.tail?update_mask=note", json!({"new_state": "skipped", "note": "n"})).await;
    assert_eq!(column(&noted["task_instances"], "state"), ["upstream_failed", "failed"], "the mask left the state out");
    assert_eq!(column(&noted["task_instances"], "note"), ["n", "n"]);
}

#[tokio::test]
async fn a_group_that_cannot_be_marked_is_told_why() {
    let server = grouped().await;
    for (path, body, status) in [
        ("nope", json!({"new_state": "success"}), StatusCode::NOT_FOUND),
        ("none", json!({"new_state": "success"}), StatusCode::NOT_FOUND),
        ("all", json!({"new_state": "running"}), StatusCode::UNPROCESSABLE_ENTITY),
        ("all?update_mask=pid", json!({"new_state": "success"}), StatusCode::BAD_REQUEST),
        // A run by hand has no date to be before or after.
        ("all", json!({"new_state": "success", "include_past": true}), StatusCode::BAD_REQUEST),
    ] {
        let (found, answer) = patch(&server, path, body).await;
        assert_eq!(found, status, "{path}: {answer}");
    }
    for path in ["etl/dagRuns/nope", "nope/dagRuns/x"] {
        let path = format!("/api/v2/dags/{path}/taskGroupInstances/all");
        let answer = server.call(Method::PATCH, &path, json!({"new_state": "success"})).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
    }
}
