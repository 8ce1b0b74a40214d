//! The nodes over the API: what they have, and whether they take new work.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{TestServer, column};

/// A server with a node `n1` that runs one task and has not fetched another.
async fn server() -> TestServer {
    let server = TestServer::seeded().await;
    sqlx::raw_sql(
        "delete from attempt;
         insert into executor_token (name, hash) values ('t', 'h');
         insert into executor (name, identity, session, token_id, state, hostname, version, slots, labels)
         values ('n1', gen_random_uuid(), gen_random_uuid(), 1, 'active', 'host', '0', 4, '{\"gpu\": \"true\"}');
         insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight, run_order, pool,
                              pool_slots, executor_id, placed_at, handed_at, started_at)
         select gen_random_uuid(), r.id, task_id, -1, 1, r.dag_fk, 1, 1, now(), 'default_pool', 1, e.id, now() - interval '1 minute',
                begun, begun
         from executor e, (select * from dag_run order by id limit 1) r,
              (values ('fetched', now()), ('placed', null)) as t (task_id, begun)
         where e.name = 'n1'",
    )
    .execute(server.store.pool())
    .await
    .unwrap();
    server
}

async fn post(server: &TestServer, path: &str) -> (u16, Value) {
    let answer = server.call(Method::POST, path, json!({})).await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn a_drained_node_shows_what_it_still_runs() {
    let server = server().await;
    let (status, drained) = post(&server, "/ui/executors/n1/drain").await;
    assert_eq!((status, &drained["state"], &drained["used"]), (200, &json!("draining"), &json!(2)), "{drained}");
    let mut has: Vec<(String, String)> =
        column(&drained["attempts"], "task_id").into_iter().zip(column(&drained["attempts"], "state")).collect();
    has.sort();
    assert_eq!(has, [("fetched".into(), "running".into()), ("placed".into(), "placed".into())]);
    assert_eq!(server.read("/ui/executors/n1").await, drained);
    assert_eq!(column(&server.read("/ui/executors").await["executors"], "state"), ["draining"]);
    let (_, resumed) = post(&server, "/ui/executors/n1/resume").await;
    assert_eq!((&resumed["state"], &resumed["is_drained"]), (&json!("active"), &json!(false)));
    let events = server.read("/api/v2/eventLogs?order_by=-id&limit=2").await;
    assert_eq!(column(&events["event_logs"], "event"), ["resume_executor", "drain_executor"]);
    assert_eq!(column(&events["event_logs"], "owner"), ["admin", "admin"]);
}

#[tokio::test]
async fn a_node_that_is_away_may_be_drained_and_one_that_never_was_may_not() {
    let server = server().await;
    sqlx::query("update executor set state = 'lost'").execute(server.store.pool()).await.unwrap();
    let (_, drained) = post(&server, "/ui/executors/n1/drain").await;
    assert_eq!((&drained["state"], &drained["is_drained"]), (&json!("lost"), &json!(true)));
    for path in ["/ui/executors/n2/drain", "/ui/executors/n2/resume"] {
        let (status, answer) = post(&server, path).await;
        assert_eq!((status, &answer["detail"]), (404, &json!("There is no executor with the name `n2`")));
    }
}
