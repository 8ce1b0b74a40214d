//! Who is lost, when, and what becomes of what they had (DESIGN §5).

use serde_json::{Value, json};
use updraft_store::{
    liveness::{Round, round},
    nodes,
};
use uuid::Uuid;

use crate::seed::{LEASE, Seed, started};

/// Somebody has listened for an hour.
const HEARD: &str = "update liveness set stamped_at = now(), heard_since = now() - interval '1 hour'";

async fn go(seed: &Seed) -> Round {
    round(&seed.store, LEASE).await.unwrap()
}

async fn states(seed: &Seed) -> Vec<(String, String)> {
    seed.nodes().await.into_iter().map(|node| (node.name, node.state)).collect()
}

fn are(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect()
}

#[tokio::test]
async fn a_silent_node_is_lost_with_what_it_had_and_the_others_are_not() {
    let seed = Seed::new().await;
    let (silent, _heard, _also) = (seed.node("n1").await, seed.node("n2").await, seed.node("n3").await);
    let (had, never) = (seed.placed(silent, "t0", 0).await, seed.placed(silent, "t0", 1).await);
    seed.execute("update attempt set handed_at = now() where map_index = 0").await;
    seed.execute(HEARD).await;
    assert_eq!(go(&seed).await, Round::default());
    seed.execute("update executor set last_poll_at = now() - interval '31 seconds' where name = 'n1'").await;
    assert_eq!(go(&seed).await.lost, ["n1"]);
    assert_eq!(states(&seed).await, are(&[("n1", "lost"), ("n2", "active"), ("n3", "active")]));
    let told: Vec<(Uuid, Value)> =
        seed.inbox().await.into_iter().map(|(_, attempt, body)| (attempt, body["handed"].clone())).collect();
    assert!(told.contains(&(had, json!(true))) && told.contains(&(never, json!(false))), "{told:?}");
}

#[tokio::test]
async fn silence_counts_only_while_somebody_could_have_heard_it() {
    let seed = Seed::new().await;
    seed.node("n1").await;
    seed.execute("update executor set last_poll_at = now() - interval '2 minutes'").await;
    // The database was away for two minutes, and a scheduler is back before the first webserver.
    seed.execute(
        "update liveness set stamped_at = now() - interval '2 minutes', heard_since = now() - interval '1 day'",
    )
    .await;
    assert_eq!(go(&seed).await, Round::default());
    nodes::stamp(&seed.store, LEASE).await.unwrap();
    assert_eq!(go(&seed).await, Round::default(), "its lease begins anew");
    seed.execute("update liveness set heard_since = now() - interval '31 seconds'").await;
    assert_eq!(go(&seed).await.lost, ["n1"]);
}

#[tokio::test]
async fn when_most_fall_silent_at_once_they_get_one_more_lease_and_no_more() {
    let seed = Seed::new().await;
    for name in ["n1", "n2", "n3"] {
        seed.node(name).await;
    }
    seed.execute(HEARD).await;
    seed.execute("update executor set last_poll_at = now() - interval '31 seconds' where name <> 'n3'").await;
    let alarm = go(&seed).await;
    assert!(alarm.grace && alarm.lost.is_empty(), "{alarm:?}");
    assert_eq!(go(&seed).await, Round::default(), "one alarm is enough");
    // One of them is heard again in that lease; the other is one of three and lost when it is over.
    seed.execute("update executor set last_poll_at = now() where name = 'n2'").await;
    seed.execute("update liveness set grace_since = now() - interval '31 seconds'").await;
    assert_eq!(go(&seed).await.lost, ["n1"]);
    assert_eq!(states(&seed).await, are(&[("n1", "lost"), ("n2", "active"), ("n3", "active")]));
}

#[tokio::test]
async fn a_node_that_ends_is_offline_and_no_alarm() {
    let seed = Seed::new().await;
    let (one, two, _three) = (seed.node("n1").await, seed.node("n2").await, seed.node("n3").await);
    seed.execute(HEARD).await;
    for (name, node) in [("n1", one), ("n2", two)] {
        seed.leave(name, node.identity, node.session).await;
    }
    seed.execute("update executor set last_poll_at = now() - interval '31 seconds' where name <> 'n3'").await;
    assert_eq!(go(&seed).await, Round::default());
    assert_eq!(states(&seed).await, are(&[("n1", "offline"), ("n2", "offline"), ("n3", "active")]));
    assert_eq!(seed.nodes().await[0].slots, 4, "what it will have when it is back");
}

#[tokio::test]
async fn what_a_node_that_ended_has_is_expected_back_for_a_lease_and_what_it_never_got_is_not() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let (container, never) = (seed.placed(node, "t0", 0).await, seed.placed(node, "t0", 1).await);
    seed.execute("update attempt set handed_at = now() where map_index = 0").await;
    seed.report(node, vec![started(container)]).await;
    seed.execute("delete from task_event").await;
    seed.execute(HEARD).await;
    let attempts = [nodes::NodeAttempt { attempt_id: container, state: nodes::NodeAttemptState::Running }];
    let ends = nodes::NewNode { leaves: true, slots: 0, ..crate::seed::new_node("n1", node.identity, node.session) };
    nodes::register(&seed.store, seed.token, &ends, &attempts, LEASE).await.unwrap();
    go(&seed).await;
    let told = async || -> Vec<(Uuid, Value)> {
        seed.inbox().await.into_iter().map(|(_, attempt, body)| (attempt, body["handed"].clone())).collect()
    };
    assert_eq!(told().await, [(never, json!(false))]);
    seed.execute("update executor set last_poll_at = now() - interval '31 seconds'").await;
    go(&seed).await;
    assert_eq!(told().await, [(never, json!(false)), (container, json!(true))]);
}

#[tokio::test]
async fn a_drained_node_that_falls_silent_is_lost_too() {
    let seed = Seed::new().await;
    seed.node("n1").await;
    seed.drain("n1", true).await.expect("it is there");
    seed.execute(HEARD).await;
    seed.execute("update executor set last_poll_at = now() - interval '31 seconds'").await;
    assert_eq!(go(&seed).await.lost, ["n1"]);
}
