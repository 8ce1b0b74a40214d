//! Task instances marked and noted, mapped ones listed, and what one waits for.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestServer, column};

const MANUAL: &str = "/api/v2/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00";
const RUNNING: &str = "/api/v2/dags/etl/dagRuns/scheduled__2024-05-01T10:00:00%2B00:00";

async fn patch(server: &TestServer, path: &str, body: Value) -> (StatusCode, Value) {
    let answer = server.call(Method::PATCH, path, body).await;
    (answer.status, answer.json())
}

async fn states(server: &TestServer, run: &str) -> Vec<String> {
    let found = server.read(&format!("{run}/taskInstances")).await;
    let tasks = column(&found["task_instances"], "task_id");
    let states = column(&found["task_instances"], "state");
    let mut all: Vec<String> = tasks.iter().zip(states).map(|(task, state)| format!("{task} {state}")).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_failed_task_marked_success_lets_what_failed_behind_it_run_again() {
    let server = TestServer::seeded().await;
    let load = format!("{MANUAL}/taskInstances/load");
    let (status, dry) = patch(&server, &format!("{load}/dry_run"), json!({"new_state": "success"})).await;
    assert_eq!((status, column(&dry["task_instances"], "task_id")), (StatusCode::OK, vec!["load".to_owned()]));
    assert_eq!(states(&server, MANUAL).await, ["done upstream_failed", "extract success", "load failed"]);

    let (status, done) = patch(&server, &load, json!({"new_state": "SUCCESS"})).await;
    assert_eq!((status, column(&done["task_instances"], "state")), (StatusCode::OK, vec!["success".to_owned()]));
    assert_eq!(states(&server, MANUAL).await, ["done null", "extract success", "load success"]);
    assert_eq!(server.read(MANUAL).await["state"], "queued");
    let event = server.read("/api/v2/eventLogs?order_by=-id&limit=1").await["event_logs"][0].clone();
    assert_eq!((&event["event"], &event["task_id"]), (&json!("patch_task_instance"), &json!("load")));

    let (status, again) = patch(&server, &load, json!({"new_state": "success"})).await;
    assert_eq!(status, StatusCode::CONFLICT, "{again}");
}

#[tokio::test]
async fn a_mark_takes_relatives_along() {
    let server = TestServer::seeded().await;
    let body = json!({"new_state": "skipped", "include_upstream": true, "include_downstream": true});
    let (status, done) = patch(&server, &format!("{MANUAL}/taskInstances/load"), body).await;
    assert_eq!(
        (status, column(&done["task_instances"], "task_id")),
        (StatusCode::OK, vec!["done".to_owned(), "extract".to_owned(), "load".to_owned()])
    );
    assert_eq!(states(&server, MANUAL).await, ["done skipped", "extract skipped", "load skipped"]);
}

#[tokio::test]
async fn a_mark_of_a_running_task_ends_its_attempt() {
    let server = TestServer::seeded().await;
    let (status, done) =
        patch(&server, &format!("{RUNNING}/taskInstances/extract"), json!({"new_state": "failed"})).await;
    assert_eq!((status, column(&done["task_instances"], "state")), (StatusCode::OK, vec!["failed".to_owned()]));
    let attempts: i64 =
        sqlx::query_scalar("select count(*) from attempt").fetch_one(server.store.pool()).await.unwrap();
    let cancels: i64 =
        sqlx::query_scalar("select count(*) from attempt_cancel").fetch_one(server.store.pool()).await.unwrap();
    assert_eq!((attempts, cancels), (0, 1));
}

#[tokio::test]
async fn past_and_future_runs_are_marked_too() {
    let server = TestServer::seeded().await;
    let body = json!({"new_state": "success", "include_past": true, "include_future": true});
    let (status, done) = patch(&server, &format!("{RUNNING}/taskInstances/extract/dry_run"), body.clone()).await;
    assert_eq!((status, &done["total_entries"]), (StatusCode::OK, &json!(1)));
    // A run by hand has no date to be before or after.
    let (status, refused) = patch(&server, &format!("{MANUAL}/taskInstances/load"), body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
}

#[tokio::test]
async fn a_note_is_kept_shown_and_deleted() {
    let server = TestServer::seeded().await;
    let load = format!("{MANUAL}/taskInstances/load");
    let (status, noted) = patch(&server, &load, json!({"note": "disk full"})).await;
    assert_eq!((status, &noted["task_instances"][0]["note"]), (StatusCode::OK, &json!("disk full")));
    assert_eq!(server.read(&load).await["note"], "disk full");
    let clear = json!({"dag_run_id": "manual__2024-05-01T09:30:00.043063+00:00", "dry_run": false, "note": "again",
                       "task_ids": ["load"]});
    let cleared = server.call(Method::POST, "/api/v2/dags/etl/clearTaskInstances", clear).await.json();
    assert_eq!(column(&cleared["task_instances"], "note"), ["again"]);
    patch(&server, &load, json!({"note": ""})).await;
    assert_eq!(server.read(&load).await["note"], Value::Null);
}

#[tokio::test]
async fn what_cannot_be_marked_is_told_why() {
    let server = TestServer::seeded().await;
    for (path, body, status) in [
        ("load", json!({"new_state": "running"}), StatusCode::UNPROCESSABLE_ENTITY),
        ("load", json!({"new_state": "success", "surprise": 1}), StatusCode::UNPROCESSABLE_ENTITY),
        ("load?update_mask=pid", json!({"new_state": "success"}), StatusCode::BAD_REQUEST),
        ("nope", json!({"new_state": "success"}), StatusCode::NOT_FOUND),
        ("load/3", json!({"new_state": "success"}), StatusCode::NOT_FOUND),
    ] {
        let (found, answer) = patch(&server, &format!("{MANUAL}/taskInstances/{path}"), body).await;
        assert_eq!(found, status, "{path}: {answer}");
    }
    let (status, _) =
        patch(&server, &format!("{MANUAL}/taskInstances/load?update_mask=note"), json!({"new_state": "success"})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(states(&server, MANUAL).await[2], "load failed", "the mask left the state out");
}

#[tokio::test]
async fn the_instances_of_a_mapped_task_are_listed_and_marked_one_by_one() {
    let server = TestServer::seeded().await;
    sqlx::query(
        "insert into task_instance (dag_run_id, task_id, map_index, attempt_id, state, try_number, operator, pool, queue,
                                    end_date, rendered_map_index)
         select dag_run_id, task_id, n, gen_random_uuid(), 'failed', 1, operator, pool, queue, now(), 'part ' || n
         from task_instance t join dag_run r on r.id = t.dag_run_id, generate_series(0, 2) n
         where r.tag = 2 and task_id = 'load'",
    )
    .execute(server.store.pool())
    .await
    .unwrap();
    sqlx::query("delete from task_instance where task_id = 'load' and map_index = -1 and state = 'failed'")
        .execute(server.store.pool())
        .await
        .unwrap();
    let load = format!("{MANUAL}/taskInstances/load");
    let listed = server.read(&format!("{load}/listMapped?order_by=-map_index&limit=2")).await;
    assert_eq!(column(&listed["task_instances"], "rendered_map_index"), ["part 2", "part 1"]);
    assert_eq!(listed["total_entries"], 3);
    let (status, one) = patch(&server, &format!("{load}/1"), json!({"new_state": "success"})).await;
    assert_eq!((status, column(&one["task_instances"], "map_index")), (StatusCode::OK, vec!["1".to_owned()]));
    let (status, rest) = patch(&server, &load, json!({"new_state": "success"})).await;
    assert_eq!(
        (status, column(&rest["task_instances"], "map_index")),
        (StatusCode::OK, vec!["0".to_owned(), "2".to_owned()])
    );
    let unmapped = server.get(&format!("{MANUAL}/taskInstances/extract/listMapped")).await;
    assert_eq!(
        (unmapped.status, &unmapped.json()["detail"]),
        (StatusCode::NOT_FOUND, &json!("Task id extract is not mapped"))
    );
}

#[tokio::test]
async fn a_waiting_task_names_what_it_depends_on() {
    let server = TestServer::seeded().await;
    let waits = server.read(&format!("{RUNNING}/taskInstances/load/dependencies")).await;
    assert_eq!(
        waits,
        json!({"dependencies": [{"name": "upstream_not_done",
                                 "reason": "upstream not done: trigger rule all_success, waiting for extract"}]})
    );
    let over = server.read(&format!("{MANUAL}/taskInstances/load/dependencies")).await;
    assert_eq!(over, json!({"dependencies": []}));
    assert_eq!(server.get(&format!("{MANUAL}/taskInstances/load/7/dependencies")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_new_adds_the_tasks_of_the_latest_version_and_clears_nothing() {
    let server = TestServer::seeded().await;
    let nothing = server.call(Method::POST, &format!("{MANUAL}/clear"), json!({"only_new": true})).await.json();
    assert_eq!(nothing, json!({"task_instances": [], "total_entries": 0}));
    sqlx::query(
        "with v as (insert into dag_version (dag_fk, version_number, hash, data, source, bundle_name)
                    select dag_fk, 3, 'hash3',
                           jsonb_set(jsonb_set(data::jsonb, '{tasks,3}', data::jsonb #> '{tasks,2}'), '{tasks,3,task_id}',
                                     '\"report\"'),
                           '', bundle_name
                    from dag_version where version_number = 2 returning id)
         update dag set latest_version_id = (select id from v) where dag_id = 'etl'",
    )
    .execute(server.store.pool())
    .await
    .unwrap();
    let dry = server.call(Method::POST, &format!("{MANUAL}/clear"), json!({"only_new": true})).await.json();
    assert_eq!(dry["task_instances"], json!([{"task_id": "report", "task_display_name": "done"}]));
    let body = json!({"only_new": true, "dry_run": false});
    let run = server.call(Method::POST, &format!("{MANUAL}/clear"), body).await.json();
    assert_eq!(run["state"], "queued", "{run}");
    assert_eq!(
        states(&server, MANUAL).await,
        ["done upstream_failed", "extract success", "load failed", "report null"]
    );
}
