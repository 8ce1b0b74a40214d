use serde_json::json;
use updraft_core::spec::TaskSpec;
use updraft_protocol::{Desktop, RunnerStatus};
use updraft_store::{nodes, query::executors, wake::Signal};
use updraft_webserver::logs::LogKey;
use uuid::Uuid;

use crate::client::{Client, poll_request};

#[tokio::test]
async fn a_poll_brings_what_is_placed_with_all_it_takes_to_run_it() {
    let client = Client::new().await;
    let node = client.node("n1").await;
    let attempt = client.seed.placed(node, "t0", -1).await;
    let answer = client.poll(node, &[]).await;
    let [start] = &answer.start[..] else { panic!("{answer:?}") };
    assert_eq!(start.attempt_id, attempt);
    let spec: TaskSpec = serde_json::from_value(start.spec.clone()).unwrap();
    assert_eq!((spec.task_id.as_str(), spec.run.run_id.as_str(), start.token.len()), ("t0", "r1", 64));
}

#[tokio::test]
async fn a_poll_tells_the_load_of_the_node_and_what_is_on_its_screen() {
    let client = Client::new().await;
    let node = client.node("n1").await;
    client.seed.placed(node, "t0", -1).await;
    let mut request = poll_request(node, &[]);
    request.desktop =
        Some(Desktop { user: Some("robot".to_owned()), kind: "x11".to_owned(), locked: Some(false), resolution: None });
    // News, which is written at once; the load alone is written now and then.
    request.runners = vec![RunnerStatus { name: "process".to_owned(), available: true, reason: None }];
    assert!(client.post("/poll", &request).await.status.is_success());
    let mut connection = client.seed.store.pool().acquire().await.unwrap();
    let told = executors::of_name(&mut connection, Some("n1")).await.unwrap().remove(0).stats;
    assert_eq!(told["cpu"], 0.5);
    assert_eq!(told["desktop"], json!({"user": "robot", "kind": "x11", "locked": false}));
}

#[tokio::test]
async fn of_a_sensors_looks_the_latest_hundred_keep_their_logs() {
    let client = Client::new().await;
    let node = client.node("n1").await;
    let looks: Vec<Uuid> = (0..104).map(|_| Uuid::new_v4()).collect();
    let log = |attempt_id| LogKey {
        dag_id: "d".to_owned(),
        run_id: "r1".to_owned(),
        task_id: "t0".to_owned(),
        map_index: -1,
        try_number: 1,
        attempt_id,
    };
    for look in &looks {
        sqlx::query(
            "insert into attempt_log (dag_run_id, attempt_id, task_id, map_index, try_number, executor_id)
             values ($1, $2, 't0', -1, 1, $3)",
        )
        .bind(client.seed.run)
        .bind(look)
        .bind(node.id)
        .execute(client.seed.store.pool())
        .await
        .unwrap();
        client.logs.append(&log(*look), 0, "a line\n".into()).await.unwrap();
    }
    sqlx::query(
        "insert into task_instance (dag_run_id, task_id, attempt_id, state, try_number, max_tries, operator, pool, queue,
                                    priority_weight, reschedules)
         values ($1, 't0', gen_random_uuid(), 'scheduled', 1, 0, 'x', 'default_pool', 'default', 1, 104)",
    )
    .bind(client.seed.run)
    .execute(client.seed.store.pool())
    .await
    .unwrap();
    let now = client.seed.placed(node, "t0", -1).await;
    let answer = client.poll(node, &[]).await;
    let spec: TaskSpec = serde_json::from_value(answer.start[0].spec.clone()).unwrap();
    assert_eq!((spec.run.dag_id.as_str(), spec.run.run_id.as_str()), ("d", "r1"));
    let kept: Vec<Uuid> = sqlx::query_scalar("select attempt_id from attempt_log where task_id = 't0' order by seq")
        .fetch_all(client.seed.store.pool())
        .await
        .unwrap();
    assert_eq!(kept, [&looks[5..], &[now]].concat());
    assert_eq!(client.logs.size(&log(looks[4])).await.unwrap(), 0);
    assert_eq!(client.logs.size(&log(looks[5])).await.unwrap(), 7);
}

#[tokio::test]
async fn a_held_poll_is_woken_by_its_nodes_bell() {
    let client = Client::new().await;
    let node = client.node("n1").await;
    let (answer, attempt) = tokio::join!(client.poll(node, &[]), async {
        let attempt = client.seed.placed(node, "t0", -1).await;
        client.seed.store.wake().ring(Signal::Executor(node.id));
        attempt
    });
    assert_eq!(answer.start.iter().map(|start| start.attempt_id).collect::<Vec<_>>(), [attempt]);
}

#[tokio::test]
async fn a_held_poll_tells_a_cancel_and_that_draining_began() {
    let client = Client::new().await;
    let node = client.node("n1").await;
    let attempt = client.seed.placed(node, "t0", -1).await;
    client.poll(node, &[]).await;
    client.seed.cancel(attempt).await;
    let answer = client.poll(node, &[]).await;
    assert_eq!((answer.cancel[0].attempt_id, answer.cancel[0].grace_ms), (attempt, 5_000));
    let mut request = poll_request(node, &[]);
    request.cancelling = vec![attempt];
    let (answer, ()) = tokio::join!(client.post("/poll", request), async {
        // Once the poll's heartbeat is written its first look may still be under way; both orders end it.
        let mut connection = client.seed.store.pool().acquire().await.unwrap();
        nodes::set_drained(&mut connection, "n1", true).await.unwrap();
        client.seed.store.wake().ring(Signal::Executor(node.id));
    });
    let answer: updraft_protocol::PollResponse = answer.json();
    assert!(answer.drain && answer.cancel.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn shutdown_answers_held_polls_at_once() {
    let client = Client::new().await;
    let node = client.node("n1").await;
    let begun = std::time::Instant::now();
    let (answer, ()) = tokio::join!(client.poll(node, &[]), async { client.shutdown.cancel() });
    assert!(answer.start.is_empty());
    assert!(begun.elapsed() < std::time::Duration::from_secs(4), "not after the poll time");
}

#[tokio::test]
async fn a_superseded_session_must_register_even_while_its_poll_is_held() {
    let client = Client::new().await;
    let node = client.node("n1").await;
    let mut again = crate::client::registration("n1");
    again.identity = node.identity;
    let (answer, _) = tokio::join!(client.post("/poll", poll_request(node, &[])), client.post("/register", &again));
    assert_eq!(answer.refusal(), (409, "unknown_session".to_owned()));
    let mut unknown = poll_request(node, &[]);
    unknown.session = Uuid::new_v4();
    assert_eq!(client.post("/poll", unknown).await.refusal().0, 409);
}
