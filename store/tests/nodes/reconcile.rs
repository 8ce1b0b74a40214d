use updraft_store::nodes::{self, NodeAttempt, NodeAttemptState, Reconciled};
use uuid::Uuid;

use crate::seed::{Node, Seed, finished, started};

const NONE: [Uuid; 0] = [];

async fn reconcile(seed: &Seed, node: Node, attempts: &[(Uuid, NodeAttemptState)]) -> Reconciled {
    let attempts: Vec<NodeAttempt> =
        attempts.iter().map(|(attempt_id, state)| NodeAttempt { attempt_id: *attempt_id, state: *state }).collect();
    nodes::reconcile(&seed.store, seed.token, node.session, &attempts).await.unwrap().expect("a known session")
}

#[tokio::test]
async fn what_the_server_does_not_know_is_stopped() {
    let seed = Seed::new().await;
    let (node, other) = (seed.node("n1").await, seed.node("n2").await);
    let elsewhere = seed.placed(other, "t0", -1).await;
    let (ghost, done) = (Uuid::new_v4(), Uuid::new_v4());
    let answer = reconcile(
        &seed,
        node,
        &[
            (ghost, NodeAttemptState::Running),
            (elsewhere, NodeAttemptState::Received),
            (done, NodeAttemptState::Finished),
        ],
    )
    .await;
    assert_eq!(answer.stop, [ghost, elsewhere], "a finished one has nothing to stop");
}

#[tokio::test]
async fn a_cancelled_attempt_is_left_to_its_cancel() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    seed.cancel(attempt).await;
    assert_eq!(reconcile(&seed, node, &[(attempt, NodeAttemptState::Running)]).await.stop, NONE);
}

#[tokio::test]
async fn what_finished_on_the_node_and_lives_on_the_server_is_reported_again() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    seed.hand_out(node, &[]).await.unwrap();
    let answer = reconcile(&seed, node, &[(attempt, NodeAttemptState::Finished)]).await;
    assert_eq!((answer.report_again, answer.stop), (vec![attempt], Vec::new()));
}

#[tokio::test]
async fn what_the_node_began_and_does_not_know_is_lost_once() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    seed.hand_out(node, &[]).await.unwrap();
    assert_eq!(reconcile(&seed, node, &[]).await.lost, NONE, "the answer may be on its way");
    seed.execute("update attempt set handed_at = now() - interval '1 hour'").await;
    assert_eq!(reconcile(&seed, node, &[]).await.lost, NONE, "the answer was lost, with its webserver perhaps");
    assert_eq!(seed.hand_out(node, &[]).await.unwrap().start[0].attempt_id, attempt, "the next poll brings it again");
    seed.report(node, vec![started(attempt)]).await;
    seed.execute("delete from task_event").await;
    assert_eq!(reconcile(&seed, node, &[]).await.lost, [attempt]);
    assert_eq!(reconcile(&seed, node, &[]).await.lost, NONE, "once is enough");
    assert_eq!(seed.inbox().await.len(), 1);
}

#[tokio::test]
async fn an_attempt_never_handed_out_or_already_ended_is_not_lost() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let ended = seed.placed(node, "t0", -1).await;
    seed.hand_out(node, &[]).await.unwrap();
    seed.report(node, vec![finished(ended, None)]).await;
    seed.execute("update attempt set handed_at = now() - interval '1 minute'").await;
    seed.placed(node, "t1", -1).await;
    assert_eq!(reconcile(&seed, node, &[]).await.lost, NONE);
}

#[tokio::test]
async fn an_unknown_session_must_register() {
    let seed = Seed::new().await;
    let answer = nodes::reconcile(&seed.store, seed.token, Uuid::new_v4(), &[]).await.unwrap();
    assert!(answer.is_none());
}
