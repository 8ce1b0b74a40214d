use axum::{body::Body, http::Method};
use serde_json::json;
use updraft_protocol::{NodeAttemptState, ReconcileResponse};
use updraft_store::nodes;
use uuid::Uuid;

use crate::client::{Client, registration};

#[tokio::test]
async fn a_wrong_missing_or_revoked_token_is_refused_with_what_to_do() {
    let mut client = Client::new().await;
    client.node("n1").await;
    let good = std::mem::replace(&mut client.token, "wrong".to_owned());
    for path in ["/register", "/poll", "/report", "/reconcile"] {
        let answer = client.post(path, json!({})).await;
        assert_eq!(answer.refusal(), (401, "token_revoked".to_owned()), "{path}");
        assert!(String::from_utf8_lossy(&answer.body).contains("updraft executor token create"));
    }
    client.token = good;
    nodes::revoke_token(&client.seed.store, "http").await.unwrap();
    assert_eq!(client.post("/register", registration("n1")).await.refusal().0, 401);
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_protocols_shape() {
    let client = Client::new().await;
    let bad = client.send(Method::POST, "/poll", &[], Body::from("{")).await;
    assert_eq!(bad.refusal(), (400, "invalid_request".to_owned()));
    assert_eq!(client.post("/poll", json!({"session": 1})).await.refusal().0, 400);
    assert_eq!(client.post("/nothing", json!({})).await.refusal(), (404, "not_found".to_owned()));
    assert_eq!(client.send(Method::GET, "/poll", &[], Body::empty()).await.refusal().0, 405);
    assert_eq!(client.send(Method::GET, "/attempts/x/logs", &[], Body::empty()).await.refusal().0, 404);
}

#[tokio::test]
async fn a_name_is_refused_to_another_identity_and_a_version_to_an_old_node() {
    let client = Client::new().await;
    client.node("n1").await;
    assert_eq!(client.post("/register", registration("n1")).await.refusal(), (409, "name_taken".to_owned()));
    let mut old = registration("n2");
    (old.protocol_min, old.protocol_max) = (0, 0);
    assert_eq!(client.post("/register", old).await.refusal(), (400, "protocol".to_owned()));
    assert_eq!(client.post("/register", registration(" ")).await.refusal().0, 400);
}

#[tokio::test]
async fn reconciliation_travels() {
    let client = Client::new().await;
    let node = client.node("n1").await;
    let (ghost, ended) = (Uuid::new_v4(), client.seed.placed(node, "t0", -1).await);
    let answer: ReconcileResponse = client
        .post(
            "/reconcile",
            json!({"session": node.session, "attempts": [
                {"attempt_id": ghost, "state": NodeAttemptState::Running},
                {"attempt_id": ended, "state": NodeAttemptState::Finished},
            ]}),
        )
        .await
        .json();
    assert_eq!((answer.stop, answer.report_again), (vec![ghost], vec![ended]));
    let unknown = client.post("/reconcile", json!({"session": Uuid::new_v4(), "attempts": []})).await;
    assert_eq!(unknown.refusal(), (409, "unknown_session".to_owned()));
}

#[tokio::test]
async fn a_node_hears_which_of_its_runs_are_over() {
    let client = Client::new().await;
    let node = client.node("n1").await;
    let over = async || -> Vec<String> {
        let run = |dag_id: &str, run_id: &str| json!({"dag_id": dag_id, "run_id": run_id});
        let runs = [run("d", "r1"), run("d", "no such run"), run("no such DAG", "r1")];
        let request = json!({"session": node.session, "attempts": [], "runs": runs});
        let answer: ReconcileResponse = client.post("/reconcile", request).await.json();
        let mut over: Vec<String> =
            answer.over.into_iter().map(|run| format!("{}/{}", run.dag_id, run.run_id)).collect();
        over.sort_unstable();
        over
    };
    assert_eq!(over().await, ["d/no such run", "no such DAG/r1"]);
    client.seed.execute("update dag_run set state = 'success', end_date = now()").await;
    assert_eq!(over().await, ["d/no such run", "d/r1", "no such DAG/r1"]);
}
