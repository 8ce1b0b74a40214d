//! Many runs and task instances changed, cleared and deleted by one request.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestServer, column};

const OLD: &str = "scheduled__2024-05-01T08:00:00+00:00";
const MANUAL: &str = "manual__2024-05-01T09:30:00.043063+00:00";
const RUNNING: &str = "scheduled__2024-05-01T10:00:00+00:00";

async fn patch(server: &TestServer, path: &str, actions: Value) -> Value {
    let answer = server.call(Method::PATCH, path, json!({ "actions": actions })).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

fn instances(run: &str) -> String {
    format!("/api/v2/dags/etl/dagRuns/{}/taskInstances", run.replace('+', "%2B"))
}

async fn states(server: &TestServer, run: &str) -> Vec<String> {
    let found = server.read(&format!("{}?order_by=map_index", instances(run))).await;
    let tasks = column(&found["task_instances"], "task_id");
    tasks.iter().zip(column(&found["task_instances"], "state")).map(|(task, state)| format!("{task} {state}")).collect()
}

async fn run_states(server: &TestServer) -> Vec<String> {
    let found = server.read("/api/v2/dags/~/dagRuns?order_by=id").await;
    let (ids, states) = (column(&found["dag_runs"], "dag_run_id"), column(&found["dag_runs"], "state"));
    ids.iter().zip(states).map(|(id, state)| format!("{id} {state}")).collect()
}

async fn last_event(server: &TestServer) -> Value {
    server.read("/api/v2/eventLogs?order_by=-id&limit=1").await["event_logs"][0].clone()
}

async fn count(server: &TestServer, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(server.store.pool()).await.unwrap()
}

#[tokio::test]
async fn runs_are_marked_noted_and_deleted_and_each_is_told_of() {
    let server = TestServer::seeded().await;
    let told = patch(
        &server,
        "/api/v2/dags/etl/dagRuns",
        json!([
            {"action": "update", "entities": [
                {"dag_run_id": MANUAL, "state": "success", "note": "by hand"},
                {"dag_run_id": RUNNING, "note": "left out by the mask", "state": "failed"},
            ], "update_mask": ["state"]},
            {"action": "delete", "entities": [OLD, {"dag_run_id": RUNNING, "dag_id": "etl"}]},
            {"action": "create", "entities": [{"dag_run_id": "x"}]},
        ]),
    )
    .await;
    let gone = [format!("etl.{OLD}"), format!("etl.{RUNNING}")];
    assert_eq!(
        told,
        json!({
            "create": {"success": [], "errors": [{
                "error": "Dag Runs bulk create is not supported. Use the trigger Dag Run endpoint instead.",
                "status_code": 405,
            }]},
            "update": {"success": [format!("etl.{MANUAL}"), format!("etl.{RUNNING}")], "errors": []},
            "delete": {"success": gone, "errors": []},
        })
    );
    assert_eq!(run_states(&server).await, [format!("{MANUAL} success")]);
    let run = server.read(&format!("/api/v2/dags/etl/dagRuns/{}", MANUAL.replace('+', "%2B"))).await;
    assert_eq!(run["note"], "looked at", "the mask named the state alone");
    assert_eq!(count(&server, "select count(*) from attempt_cancel").await, 1);
    let event = last_event(&server).await;
    assert_eq!((&event["event"], &event["dag_id"]), (&json!("bulk_dag_runs"), &json!("etl")));
}

#[tokio::test]
async fn a_running_run_is_left_and_the_others_are_deleted() {
    let server = TestServer::seeded().await;
    let entities = json!([{"dag_run_id": RUNNING}, {"dag_run_id": OLD}]);
    let told = patch(&server, "/api/v2/dags/etl/dagRuns", json!([{"action": "delete", "entities": entities}])).await;
    let text = format!("The DagRun with dag_id: `etl` and run_id: `{RUNNING}` cannot be deleted in running state");
    assert_eq!(
        told["delete"],
        json!({"success": [format!("etl.{OLD}")], "errors": [{"error": text, "status_code": 409}]})
    );
}

#[tokio::test]
async fn a_wildcard_path_wants_the_dag_of_each_run() {
    let server = TestServer::seeded().await;
    let told = patch(
        &server,
        "/api/v2/dags/~/dagRuns",
        json!([
            {"action": "update", "entities": [
                {"dag_run_id": MANUAL, "dag_id": "etl", "note": "here"},
                {"dag_run_id": OLD, "note": "nowhere"},
            ]},
            {"action": "delete", "entities": [OLD]},
        ]),
    )
    .await;
    assert_eq!(told["update"]["success"], json!([format!("etl.{MANUAL}")]));
    insta::assert_json_snapshot!([&told["update"]["errors"], &told["delete"]]);
    assert_eq!(run_states(&server).await.len(), 3);
}

#[tokio::test]
async fn a_run_that_is_missing_stops_its_action_or_is_passed_over() {
    let server = TestServer::seeded().await;
    let action = |otherwise: &str| {
        json!([{"action": "update", "entities": [{"dag_run_id": MANUAL, "note": "n"}, {"dag_run_id": "nope", "note": "n"}],
                "action_on_non_existence": otherwise}])
    };
    let told = patch(&server, "/api/v2/dags/etl/dagRuns", action("fail")).await;
    let text = "The DagRuns with these identifiers: [('etl', 'nope')] were not found";
    assert_eq!(told["update"], json!({"success": [], "errors": [{"error": text, "status_code": 404}]}));
    let told = patch(&server, "/api/v2/dags/etl/dagRuns", action("skip")).await;
    assert_eq!(told["update"], json!({"success": [format!("etl.{MANUAL}")], "errors": []}));
}

#[tokio::test]
async fn instances_are_marked_noted_and_deleted_and_each_is_told_of() {
    let server = TestServer::seeded().await;
    let told = patch(
        &server,
        &instances(MANUAL),
        json!([
            {"action": "update", "entities": [
                {"task_id": "load", "new_state": "success", "note": "by hand"},
                {"task_id": "extract", "map_index": -1, "new_state": "success"},
            ]},
            {"action": "delete", "entities": ["done"]},
            {"action": "create", "entities": []},
        ]),
    )
    .await;
    let text = format!("Task id extract of run {MANUAL} of Dag etl is already in success state");
    assert_eq!(
        told,
        json!({
            "create": {"success": [],
                       "errors": [{"error": "Task instances bulk create is not supported", "status_code": 405}]},
            "update": {"success": [format!("etl.{MANUAL}.load[-1]")], "errors": [{"error": text, "status_code": 409}]},
            "delete": {"success": [format!("etl.{MANUAL}.done[-1]")], "errors": []},
        })
    );
    assert_eq!(states(&server, MANUAL).await, ["extract success", "load success"]);
    assert_eq!(server.read(&format!("{}/load", instances(MANUAL))).await["note"], "by hand");
    let events = server.read("/api/v2/eventLogs?order_by=-id&limit=2").await;
    assert_eq!(column(&events["event_logs"], "event"), ["bulk_task_instances", "delete_task_instance"]);
}

#[tokio::test]
async fn instances_of_a_wildcard_path_name_their_run_and_missing_ones_stop_their_action() {
    let server = TestServer::seeded().await;
    let path = "/api/v2/dags/~/dagRuns/~/taskInstances";
    let whole = |task: &str| json!({"task_id": task, "dag_id": "etl", "dag_run_id": RUNNING, "note": "n"});
    let told = patch(
        &server,
        path,
        json!([
            {"action": "update", "entities": [whole("extract"), {"task_id": "load", "note": "n"}]},
            {"action": "delete", "entities": ["load", whole("load"), whole("nope")]},
        ]),
    )
    .await;
    assert_eq!(told["update"]["success"], json!([format!("etl.{RUNNING}.extract[-1]")]));
    insta::assert_json_snapshot!([&told["update"]["errors"], &told["delete"]]);
    let entities = json!([whole("load"), whole("nope")]);
    let actions = json!([{"action": "delete", "entities": entities, "action_on_non_existence": "skip"}]);
    let told = patch(&server, path, actions).await;
    assert_eq!(told["delete"], json!({"success": [format!("etl.{RUNNING}.load[-1]")], "errors": []}));
}

#[tokio::test]
async fn a_bulk_body_that_is_malformed_is_422() {
    let server = TestServer::seeded().await;
    let mut told = Vec::new();
    for (path, actions) in [
        ("/api/v2/variables", json!([{}])),
        ("/api/v2/pools", json!([{"action": null, "entities": []}])),
        ("/api/v2/connections", json!([{"action": "upsert", "entities": []}])),
        ("/api/v2/dags/etl/dagRuns", json!([{"action": "update", "entities": [{"dag_run_id": null}]}])),
        (
            "/api/v2/dags/etl/dagRuns",
            json!([{"action": "update", "entities": [{"dag_run_id": "x", "state": "running"}]}]),
        ),
        (
            "/api/v2/dags/etl/dagRuns/x/taskInstances",
            json!([{"action": "update", "entities": [{"new_state": "running"}]}]),
        ),
        ("/api/v2/dags/etl/dagRuns/x/taskInstances", json!([{"action": "delete", "entities": [1]}])),
    ] {
        let answer = server.call(Method::PATCH, path, json!({ "actions": actions })).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {}", answer.text());
        told.push((path, answer.json()["detail"].clone()));
    }
    insta::assert_json_snapshot!(told);
}

/// Whoever locks several runs does so by their keys inside, whatever their names: else two of them could wait for each other.
#[tokio::test]
async fn runs_are_locked_in_the_order_in_which_they_were_made() {
    let server = TestServer::seeded().await;
    server.call(Method::POST, "/api/v2/dags/etl/dagRuns", json!({"logical_date": null, "dag_run_id": "a"})).await;
    let mut other = server.store.begin().await.unwrap();
    sqlx::query("select from dag_run where tag = 2 for no key update").execute(&mut *other).await.unwrap();
    let entities = json!([{"dag_run_id": "a", "note": "n"}, {"dag_run_id": MANUAL, "note": "n"}]);
    let actions = json!([{"action": "update", "entities": entities}]);
    let (told, ()) = tokio::join!(patch(&server, "/api/v2/dags/etl/dagRuns", actions), async {
        until_one_waits(&server).await;
        let free = sqlx::query("select from dag_run where run_id = 'a' for no key update nowait");
        free.execute(&mut *other).await.expect("the request waits for the older run first");
        other.commit().await.unwrap();
    });
    assert_eq!(told["update"]["errors"], json!([]));
}

/// Somebody waits for a lock; seen in `pg_locks`, not guessed by time.
async fn until_one_waits(server: &TestServer) {
    let waiting = "select count(*) from pg_locks l join pg_stat_activity a using (pid)
                   where not l.granted and a.datname = current_database()";
    while count(server, waiting).await == 0 {}
}

#[tokio::test]
async fn a_deleted_instance_ends_its_attempt_and_is_gone() {
    let server = TestServer::seeded().await;
    let extract = format!("{}/extract", instances(RUNNING));
    let answer = server.call(Method::DELETE, &extract, json!({})).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, Value::Null));
    assert_eq!(states(&server, RUNNING).await, ["done null", "load null"]);
    assert_eq!(server.get(&extract).await.status, StatusCode::NOT_FOUND);
    assert_eq!(count(&server, "select count(*) from attempt").await, 0);
    assert_eq!(count(&server, "select count(*) from attempt_cancel where executor_id = 1").await, 1);
    let event = last_event(&server).await;
    assert_eq!(
        (&event["event"], &event["task_id"], &event["map_index"], &event["try_number"], &event["task_display_name"]),
        (&json!("delete_task_instance"), &json!("extract"), &json!(-1), &json!(1), &json!("Extract"))
    );
    for query in ["", "?map_index=3"] {
        let again = server.call(Method::DELETE, &format!("{extract}{query}"), json!({})).await;
        assert_eq!(again.status, StatusCode::NOT_FOUND, "{query}: {}", again.text());
    }
    // Its tries, questions, notes and stored state go with it.
    let stored = "insert into task_state_store (dag_run_id, task_id, map_index, key, value)
                  select id, task_id, -1, 'k', '1' from dag_run, (values ('extract'), ('load')) t (task_id) where tag = 2";
    sqlx::raw_sql(stored).execute(server.store.pool()).await.unwrap();
    server.call(Method::DELETE, &format!("{}/extract", instances(MANUAL)), json!({})).await;
    assert_eq!(count(&server, "select count(*) from task_instance_history").await, 0);
    assert_eq!(count(&server, "select count(*) from hitl_detail").await, 0);
    assert_eq!(count(&server, "select count(*) from task_state_store where task_id <> 'load'").await, 0);
    assert_eq!(count(&server, "select count(*) from task_state_store").await, 1);
}

#[tokio::test]
async fn runs_are_cleared_together() {
    let server = TestServer::seeded().await;
    let clear = async |dag: &str, body: Value| {
        let answer = server.call(Method::POST, &format!("/api/v2/dags/{dag}/clearDagRuns"), body).await;
        (answer.status, answer.json())
    };
    let runs = json!([{"dag_run_id": RUNNING}, {"dag_run_id": MANUAL}]);
    let (status, dry) = clear("etl", json!({"dag_runs": runs, "only_failed": true})).await;
    assert_eq!(
        (status, column(&dry["task_instances"], "task_id")),
        (StatusCode::OK, vec!["done".to_owned(), "load".to_owned()])
    );
    assert_eq!(run_states(&server).await[1], format!("{MANUAL} failed"), "a dry run changes nothing");

    let body = json!({"dag_runs": runs, "dry_run": false, "note": "again"});
    let (status, real) = clear("etl", body).await;
    assert_eq!((status, &real["total_entries"]), (StatusCode::OK, &json!(2)), "{real}");
    assert_eq!(column(&real["dag_runs"], "dag_run_id"), [MANUAL, RUNNING]);
    assert_eq!(column(&real["dag_runs"], "note"), ["again", "again"]);
    assert_eq!(column(&real["dag_runs"], "state"), ["queued", "running"]);
    let events = server.read("/api/v2/eventLogs?order_by=-id&limit=2&event=clear_dag_runs").await;
    assert_eq!(column(&events["event_logs"], "run_id"), [RUNNING, MANUAL]);

    let everywhere = json!({"dag_runs": [{"dag_run_id": OLD, "dag_id": "etl"}], "only_new": true});
    assert_eq!(
        clear("~", everywhere).await,
        (
            StatusCode::OK,
            json!({"task_instances": [
        {"task_id": "extract", "task_display_name": "Extract"},
        {"task_id": "load", "task_display_name": "load"},
        {"task_id": "done", "task_display_name": "done"},
    ], "total_entries": 3})
        )
    );
    let none = clear("etl", json!({"partition_key": "x", "dry_run": false})).await;
    assert_eq!((none.0, &none.1["dag_runs"], &none.1["total_entries"]), (StatusCode::OK, &json!([]), &json!(0)));
}

#[tokio::test]
async fn a_clear_of_runs_that_cannot_be_is_told_why() {
    let server = TestServer::seeded().await;
    let mut told = Vec::new();
    for (dag, body) in [
        ("etl", json!({})),
        ("etl", json!({"dag_runs": [{"dag_run_id": OLD}], "partition_key": "x"})),
        ("etl", json!({"partition_date_start": "2024-05-02T00:00:00", "partition_date_end": "2024-05-01T00:00:00"})),
        ("etl", json!({"dag_runs": [{"dag_run_id": OLD}], "only_new": true, "only_failed": true})),
        ("etl", json!({"dag_runs": [{"dag_run_id": OLD}, {"dag_run_id": "nope"}], "dry_run": false})),
        ("nope", json!({"dag_runs": [{"dag_run_id": OLD}]})),
        ("~", json!({"dag_runs": [{"dag_run_id": OLD}]})),
    ] {
        let answer = server.call(Method::POST, &format!("/api/v2/dags/{dag}/clearDagRuns"), body).await;
        told.push((answer.status.as_u16(), answer.json()["detail"].clone()));
    }
    insta::assert_json_snapshot!(told);
    assert_eq!(run_states(&server).await[0], format!("{OLD} success"));
}

#[tokio::test]
async fn no_run_has_a_partition_and_its_instances_can_be_cleared() {
    let server = TestServer::seeded().await;
    let clear = async |dag: &str, body: Value| {
        let answer = server.call(Method::POST, &format!("/api/v2/dags/{dag}/clearPartitions"), body).await;
        (answer.status, answer.json())
    };
    let counted = |instances: i64, dry: bool| {
        (StatusCode::OK, json!({"dag_runs_cleared": 0, "task_instances_cleared": instances, "dry_run": dry}))
    };
    assert_eq!(clear("etl", json!({"partition_key": "x"})).await, counted(0, true));
    assert_eq!(clear("etl", json!({"run_id": MANUAL, "dry_run": false})).await, counted(0, false));
    assert_eq!(last_event(&server).await["event"], "clear_dag_run_partitions");
    assert_eq!(clear("etl", json!({"run_id": MANUAL, "clear_task_instances": true})).await, counted(3, true));
    assert_eq!(run_states(&server).await[1], format!("{MANUAL} failed"));
    let body = json!({"run_id": MANUAL, "clear_task_instances": true, "dry_run": false});
    assert_eq!(clear("etl", body).await, counted(3, false));
    assert_eq!(run_states(&server).await[1], format!("{MANUAL} queued"));
    for (dag, body, status) in [
        ("nope", json!({"partition_key": "x"}), StatusCode::NOT_FOUND),
        ("etl", json!({"run_id": "nope"}), StatusCode::NOT_FOUND),
        ("etl", json!({}), StatusCode::UNPROCESSABLE_ENTITY),
        ("etl", json!({"run_id": MANUAL, "partition_key": "x"}), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(clear(dag, body).await.0, status);
    }
}
