use updraft_core::spec::TaskSpec;
use updraft_store::{nodes, wake::Signal};
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
    let (answer, _) = tokio::join!(client.post("/poll", request), async {
        // Once the poll's heartbeat is written its first look may still be under way; both orders end it.
        nodes::set_draining(&client.seed.store, "n1", true).await.unwrap()
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
