//! DAGs paused by the dozen, marked as favorites, deleted.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestServer, column};

const ETL: &str = "/api/v2/dags/etl";
const RUNNING: &str = "/api/v2/dags/etl/dagRuns/scheduled__2024-05-01T10:00:00%2B00:00";

async fn last_event(server: &TestServer) -> Value {
    server.read("/api/v2/eventLogs?order_by=-id&limit=1").await["event_logs"][0].clone()
}

async fn execute(server: &TestServer, sql: &'static str) {
    sqlx::raw_sql(sql).execute(server.store.pool()).await.unwrap();
}

async fn count(server: &TestServer, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(server.store.pool()).await.unwrap()
}

/// Paused DAGs, as a list of them says.
async fn paused(server: &TestServer) -> Vec<String> {
    column(&server.read("/api/v2/dags?paused=true&exclude_stale=false").await["dags"], "dag_id")
}

#[tokio::test]
async fn dags_are_paused_by_pattern_and_none_without_one() {
    let server = TestServer::seeded().await;
    let patch = async |query: &str, is_paused: bool| {
        let path = format!("/api/v2/dags?{query}");
        let answer = server.call(Method::PATCH, &path, json!({"is_paused": is_paused})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    };
    assert_eq!(patch("tags=prod", true).await, json!({"dags": [], "total_entries": 0}));
    assert_eq!(paused(&server).await, ["other"]);

    let changed = patch("dag_id_pattern=ETL&paused=false", true).await;
    assert_eq!((column(&changed["dags"], "dag_id"), &changed["total_entries"]), (vec!["etl".to_owned()], &json!(1)));
    assert_eq!(changed["dags"][0]["is_paused"], true, "shown as it is now, though it is not what was asked for");
    assert_eq!(paused(&server).await, ["etl", "other"]);
    let event = last_event(&server).await;
    assert_eq!((&event["event"], &event["owner"]), (&json!("patch_dags"), &json!("admin")));

    // The page is what is shown; what is changed is all.
    let changed = patch("dag_id_pattern=~&limit=1", false).await;
    assert_eq!((column(&changed["dags"], "dag_id").len(), &changed["total_entries"]), (1, &json!(2)));
    assert_eq!(paused(&server).await, Vec::<String>::new());
    patch("dag_id_prefix_pattern=o&tags=test&owners=airflow", true).await;
    assert_eq!(paused(&server).await, ["other"]);
    patch("dag_id_pattern=%25&exclude_stale=false", true).await;
    assert_eq!(paused(&server).await, ["etl", "gone", "other"]);
}

#[tokio::test]
async fn nothing_but_the_pause_of_many_dags_is_changed() {
    let server = TestServer::seeded().await;
    for (query, body, status) in [
        ("dag_id_pattern=~&update_mask=owners", json!({"is_paused": true}), StatusCode::BAD_REQUEST),
        ("dag_id_pattern=~", json!({}), StatusCode::UNPROCESSABLE_ENTITY),
        ("dag_id_pattern=~", json!({"is_paused": true, "owners": []}), StatusCode::UNPROCESSABLE_ENTITY),
        ("dag_id_pattern=~&limit=-1", json!({"is_paused": true}), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let answer = server.call(Method::PATCH, &format!("/api/v2/dags?{query}"), body).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
    }
    assert_eq!(paused(&server).await, ["other"]);
}

#[tokio::test]
async fn a_favorite_is_the_users_own() {
    let server = TestServer::seeded().await;
    execute(&server, "insert into dag_favorite select 'somebody', id from dag where dag_id = 'other'").await;
    let favorites = async |filter: &str| {
        column(&server.read(&format!("/api/v2/dags?is_favorite={filter}")).await["dags"], "dag_id")
    };
    assert_eq!(favorites("true").await, Vec::<String>::new());
    let post = async |path: &str| server.call(Method::POST, &format!("/api/v2/dags/{path}"), json!({})).await;
    let marked = post("etl/favorite").await;
    assert_eq!((marked.status, marked.bytes.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(last_event(&server).await["event"], "favorite_dag");
    assert_eq!((favorites("true").await, favorites("false").await), (vec!["etl".to_owned()], vec!["other".to_owned()]));
    assert_eq!(server.read(&format!("{ETL}/details")).await["is_favorite"], true);

    let again = post("etl/favorite").await;
    assert_eq!(
        (again.status, &again.json()["detail"]["reason"]),
        (StatusCode::CONFLICT, &json!("Unique constraint violation"))
    );
    assert_eq!(post("etl/unfavorite").await.status, StatusCode::NO_CONTENT);
    assert_eq!(last_event(&server).await["event"], "unfavorite_dag");
    assert_eq!(server.read(&format!("{ETL}/details")).await["is_favorite"], false);
    let again = post("etl/unfavorite").await;
    assert_eq!(
        (again.status, again.json()),
        (StatusCode::CONFLICT, json!({"detail": "Dag is not marked as favorite"}))
    );
    for path in ["nope/favorite", "nope/unfavorite"] {
        let answer = post(path).await;
        assert_eq!(
            (answer.status, answer.json()),
            (StatusCode::NOT_FOUND, json!({"detail": "Dag with id 'nope' not found"}))
        );
    }
}

#[tokio::test]
async fn a_dag_is_deleted_with_its_history_unless_a_task_of_it_runs() {
    let server = TestServer::seeded().await;
    let delete = async |dag: &str| server.call(Method::DELETE, &format!("/api/v2/dags/{dag}"), json!({})).await;
    execute(&server, "insert into dag_favorite select 'admin', id from dag").await;
    let running = delete("etl").await;
    let text = "Task instances of dag with id: 'etl' are still running";
    assert_eq!((running.status, running.json()), (StatusCode::CONFLICT, json!({"detail": text})));

    // It is on its way to the node now, so it ends with the DAG.
    execute(&server, "update attempt set started_at = null").await;
    let gone = delete("etl").await;
    assert_eq!((gone.status, gone.bytes.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(server.get(ETL).await.status, StatusCode::NOT_FOUND);
    for (left, sql) in [
        (0, "select count(*) from dag_run"),
        (0, "select count(*) from task_instance"),
        (0, "select count(*) from task_instance_history"),
        (0, "select count(*) from hitl_detail"),
        (0, "select count(*) from dag_version"),
        (0, "select count(*) from attempt"),
        (1, "select count(*) from attempt_cancel where executor_id = 1"),
        (1, "select count(*) from dag_favorite f join dag d on d.id = f.dag_fk where d.dag_id = 'other'"),
        (0, "select count(*) from task_outlet_asset_reference"),
        (2, "select count(*) from import_error"),
    ] {
        assert_eq!(count(&server, sql).await, left, "{sql}");
    }
    let event = last_event(&server).await;
    assert_eq!((&event["event"], &event["dag_id"]), (&json!("delete_dag"), &json!("etl")), "the trail stays");
    let missing = delete("etl").await;
    let text = "Dag with id: etl was not found";
    assert_eq!((missing.status, missing.json()), (StatusCode::NOT_FOUND, json!({"detail": text})));
    assert_eq!(delete("other").await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_run_that_is_marked_lets_its_dag_be_deleted() {
    let server = TestServer::seeded().await;
    server.call(Method::PATCH, RUNNING, json!({"state": "failed"})).await;
    assert_eq!(server.call(Method::DELETE, ETL, json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(count(&server, "select count(*) from attempt_cancel").await, 1, "the mark's own is still told");
}

#[tokio::test]
async fn a_trigger_waits_for_a_deletion_and_then_finds_no_dag() {
    let server = TestServer::seeded().await;
    execute(&server, "update attempt set started_at = null").await;
    let mut deletion = server.store.begin().await.unwrap();
    updraft_store::delete_dag::delete(&mut deletion, "etl").await.unwrap();
    let (trigger, ()) =
        tokio::join!(server.call(Method::POST, "/api/v2/dags/etl/dagRuns", json!({"logical_date": null})), async {
            loop {
                let waits = "select count(*) from pg_locks l join pg_stat_activity a using (pid)
                             where not l.granted and a.datname = current_database()";
                if count(&server, waits).await > 0 {
                    break;
                }
            }
            deletion.commit().await.unwrap();
        });
    assert_eq!(trigger.status, StatusCode::NOT_FOUND, "{}", trigger.text());
    assert_eq!(count(&server, "select count(*) from dag_run").await, 0);
}

#[tokio::test]
async fn details_say_whether_a_clear_takes_the_latest_version() {
    let server = TestServer::seeded().await;
    assert_eq!(server.read(&format!("{ETL}/details")).await["rerun_with_latest_version"], Value::Null);
    let server = TestServer::seeded().await;
    execute(&server, r#"update dag_version set data = (data::jsonb || '{"rerun_with_latest_version": true}')::json"#)
        .await;
    assert_eq!(server.read(&format!("{ETL}/details")).await["rerun_with_latest_version"], true);
}
