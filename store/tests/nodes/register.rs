use serde_json::json;
use updraft_store::nodes::{self, Registration};
use uuid::Uuid;

use crate::seed::{LEASE, Seed, started};

#[tokio::test]
async fn the_same_identity_supersedes_with_a_new_session() {
    let seed = Seed::new().await;
    let old = seed.node("n1").await;
    let session = Uuid::new_v4();
    let Registration::Registered { executor_id, .. } = seed.register("n1", old.identity, session).await else {
        panic!("refused")
    };
    assert_eq!(executor_id, old.id);
    let poll = nodes::begin_poll(&seed.store, seed.token, old.session, &json!([]), &json!({}), LEASE).await.unwrap();
    assert!(poll.is_none(), "the old session must register again");
}

#[tokio::test]
async fn another_identity_is_refused_the_name_of_a_live_node() {
    let seed = Seed::new().await;
    seed.node("n1").await;
    let refusal = seed.register("n1", Uuid::new_v4(), Uuid::new_v4()).await;
    assert!(matches!(refusal, Registration::NameTaken), "{refusal:?}");
}

#[tokio::test]
async fn another_identity_takes_over_the_name_of_a_silent_or_lost_node() {
    let seed = Seed::new().await;
    for make_away in
        ["update executor set last_poll_at = now() - interval '31 seconds'", "update executor set state = 'lost'"]
    {
        seed.execute("update liveness set heard_since = now() - interval '1 hour'").await;
        let old = seed.node(make_away).await;
        seed.execute(make_away).await;
        let taken = seed.register(make_away, Uuid::new_v4(), Uuid::new_v4()).await;
        let Registration::Registered { executor_id, .. } = taken else { panic!("refused after {make_away}") };
        assert_eq!(executor_id, old.id);
    }
}

#[tokio::test]
async fn silence_while_nobody_could_hear_does_not_give_a_name_away() {
    let seed = Seed::new().await;
    seed.node("n1").await;
    seed.execute("update executor set last_poll_at = now() - interval '10 minutes'").await;
    seed.execute(
        "update liveness set stamped_at = now() - interval '10 minutes', heard_since = now() - interval '1 day'",
    )
    .await;
    nodes::stamp(&seed.store, LEASE).await.unwrap();
    let refusal = seed.register("n1", Uuid::new_v4(), Uuid::new_v4()).await;
    assert!(matches!(refusal, Registration::NameTaken), "{refusal:?}");
}

#[tokio::test]
async fn a_stamp_in_time_does_not_restart_the_leases() {
    let seed = Seed::new().await;
    seed.execute(
        "update liveness set stamped_at = now() - interval '3 seconds', heard_since = now() - interval '1 day'",
    )
    .await;
    nodes::stamp(&seed.store, LEASE).await.unwrap();
    let kept: bool = sqlx::query_scalar(
        "select heard_since < now() - interval '23 hours' and stamped_at > now() - interval '1 second' from liveness",
    )
    .fetch_one(seed.store.pool())
    .await
    .unwrap();
    assert!(kept);
}

#[tokio::test]
async fn what_was_handed_to_a_restarted_node_is_lost_and_the_rest_is_handed_out() {
    let seed = Seed::new().await;
    let old = seed.node("n1").await;
    let (running, handed) = (seed.placed(old, "t0", 0).await, seed.placed(old, "t0", 1).await);
    seed.hand_out(old, &[]).await.unwrap();
    seed.report(old, vec![started(running)]).await;
    let waiting = seed.placed(old, "t1", -1).await;
    seed.execute("delete from task_event").await;

    let session = Uuid::new_v4();
    seed.register("n1", old.identity, session).await;
    let mut lost: Vec<Uuid> = seed
        .inbox()
        .await
        .into_iter()
        .map(|(kind, attempt, body)| {
            assert_eq!((kind.as_str(), &body["handed"]), ("lost", &json!(true)));
            attempt
        })
        .collect();
    lost.sort();
    let mut expected = vec![running, handed];
    expected.sort();
    assert_eq!(lost, expected);
    let node = crate::seed::Node { session, ..old };
    let next = seed.hand_out(node, &[]).await.unwrap().start;
    assert_eq!(next.iter().map(|start| start.attempt_id).collect::<Vec<_>>(), [waiting]);
}

#[tokio::test]
async fn a_renamed_node_keeps_its_row_and_its_attempts() {
    let seed = Seed::new().await;
    let old = seed.node("n1").await;
    let Registration::Registered { executor_id, .. } = seed.register("n2", old.identity, Uuid::new_v4()).await else {
        panic!("refused")
    };
    assert_eq!(executor_id, old.id);
    let nodes = seed.nodes().await;
    assert_eq!(nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["n2"]);
}

#[tokio::test]
async fn a_revoked_token_is_no_token() {
    let seed = Seed::new().await;
    let token = nodes::create_token(&seed.store, "other").await.unwrap();
    assert!(nodes::authenticate_token(&seed.store, &token).await.unwrap().is_some());
    assert_eq!(nodes::revoke_token(&seed.store, "other").await.unwrap(), 1);
    assert!(nodes::authenticate_token(&seed.store, &token).await.unwrap().is_none());
    let rows = nodes::list_tokens(&seed.store).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| (row.name.as_str(), row.revoked_at.is_some())).collect::<Vec<_>>(),
        [("other", true), ("n", false)]
    );
    let stored: String = sqlx::query_scalar("select string_agg(hash, '') from executor_token")
        .fetch_one(seed.store.pool())
        .await
        .unwrap();
    assert!(!stored.contains(&token), "only the hash is stored");
}
