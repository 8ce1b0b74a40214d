//! Questions to people, answered over the API.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestServer, column};

const RUN: &str = "/api/v2/dags/etl/dagRuns/scheduled__2024-05-01T10:00:00%2B00:00";
const LOAD: &str = "/api/v2/dags/etl/dagRuns/scheduled__2024-05-01T10:00:00%2B00:00/taskInstances/load/-1/hitlDetails";

/// The seeded run's `load` asks `question` (columns and values) and waits.
async fn asking(question: &str) -> TestServer {
    let server = TestServer::seeded().await;
    let ask = format!(
        "update task_instance set state = 'awaiting_input', try_number = 1
         where attempt_id = '10000000-0000-4000-8000-000000000006';
         insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight, run_order,
                              pool, pool_slots, trigger_at, waits)
         select t.attempt_id, t.dag_run_id, t.task_id, -1, 1, r.dag_fk, 1, 1, now(), t.pool, 1, 'infinity', 'awaiting_input'
         from task_instance t join dag_run r on r.id = t.dag_run_id where t.state = 'awaiting_input';
         insert into hitl_detail (dag_run_id, attempt_id, task_id, map_index, subject, options, multiple, params, assigned_users)
         select dag_run_id, attempt_id, task_id, -1, 'Ship?', '{{Approve,Reject}}', {question}
         from task_instance where state = 'awaiting_input'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(ask)).execute(server.store.pool()).await.unwrap();
    server
}

const PLAIN: &str = "false, '{}', '[]'";

async fn answer(server: &TestServer, body: Value) -> (StatusCode, Value) {
    let answer = server.call(Method::PATCH, LOAD, body).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn the_first_answer_counts_and_wakes_the_triggerer() {
    let server = asking(PLAIN).await;
    let open = server.read(&format!("{RUN}/hitlDetails?response_received=false&state=awaiting_input")).await;
    assert_eq!(column(&open["hitl_details"], "subject"), ["Ship?"]);
    assert_eq!(open["hitl_details"][0]["task_instance"]["state"], "awaiting_input");
    let mut bell = server.store.wake().subscribe();
    let (status, taken) = answer(&server, json!({"chosen_options": ["Approve"]})).await;
    assert_eq!((status, &taken["chosen_options"]), (StatusCode::OK, &json!(["Approve"])), "{taken}");
    assert_eq!(taken["responded_by"], json!({"id": "admin", "name": "admin"}));
    assert_eq!(bell.recv().await.unwrap(), updraft_store::wake::Signal::Trigger);
    let due: bool = sqlx::query_scalar("select trigger_at <= now() from attempt where waits = 'awaiting_input'")
        .fetch_one(server.store.pool())
        .await
        .unwrap();
    assert!(due);
    let (status, refused) = answer(&server, json!({"chosen_options": ["Reject"]})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(refused["detail"].as_str().unwrap().contains("already been updated"), "{refused}");
    let stored = server.read(LOAD).await;
    assert_eq!((&stored["chosen_options"], &stored["response_received"]), (&json!(["Approve"]), &json!(true)));
    let event = server.read("/api/v2/eventLogs?order_by=-id&limit=1").await["event_logs"][0].clone();
    assert_eq!((&event["event"], &event["task_id"]), (&json!("update_hitl_detail"), &json!("load")));
}

#[tokio::test]
async fn answers_that_do_not_fit_change_nothing() {
    let server = asking("false, '{\"n\": {\"value\": 1, \"schema\": {\"type\": \"integer\"}}}', '[]'").await;
    for (body, expected) in [
        (json!({}), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"chosen_options": []}), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"chosen_options": ["Perhaps"]}), StatusCode::BAD_REQUEST),
        (json!({"chosen_options": ["Approve", "Reject"]}), StatusCode::BAD_REQUEST),
        (json!({"chosen_options": ["Approve"], "params_input": {"m": 1}}), StatusCode::BAD_REQUEST),
        (json!({"chosen_options": ["Approve"], "params_input": {"n": "one"}}), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(answer(&server, body.clone()).await.0, expected, "{body}");
    }
    assert_eq!(server.read(LOAD).await["response_received"], json!(false));
    let (status, taken) = answer(&server, json!({"chosen_options": ["Approve"]})).await;
    assert_eq!((status, &taken["params_input"]), (StatusCode::OK, &json!({"n": 1})), "the fields' first values");
}

#[tokio::test]
async fn only_respondents_may_answer() {
    let server = asking("false, '{}', '[{\"id\": \"bob\", \"name\": \"bob\"}]'").await;
    let (status, refused) = answer(&server, json!({"chosen_options": ["Approve"]})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(refused["detail"], "User=admin (id=admin) is not a respondent for the task.");
}

#[tokio::test]
async fn a_question_whose_task_no_longer_waits_takes_no_answer() {
    let server = asking(PLAIN).await;
    sqlx::raw_sql("delete from attempt where waits = 'awaiting_input'").execute(server.store.pool()).await.unwrap();
    let (status, refused) = answer(&server, json!({"chosen_options": ["Approve"]})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(refused["detail"].as_str().unwrap().contains("no longer waits"), "{refused}");
    let done = LOAD.replace("/load/", "/done/");
    assert_eq!(server.get(&done).await.status, StatusCode::NOT_FOUND);
}
