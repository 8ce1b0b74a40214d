use serde_json::json;
use updraft_core::{connection::Connection, template::Ref};
use updraft_store::{
    StoreError, connections,
    crypto::Keys,
    nodes::{self, Cancel},
    sources::Sources,
    variables,
};
use uuid::Uuid;

use crate::seed::{LAUNCH, LEASE, Seed, finished, started, stopped};

fn ids(start: &[nodes::Handed]) -> Vec<Uuid> {
    start.iter().map(|handed| handed.attempt_id).collect()
}

#[tokio::test]
async fn hands_an_attempt_out_once_while_the_node_has_it() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    assert_eq!(ids(&seed.hand_out(node, &[]).await.unwrap().start), [attempt]);
    assert!(seed.hand_out(node, &[attempt]).await.unwrap().is_empty());
}

#[tokio::test]
async fn hands_out_again_what_a_lost_answer_carried() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    seed.hand_out(node, &[]).await.unwrap();
    seed.execute("update attempt set handed_at = now() - interval '30 seconds', launch_deadline = now()").await;
    assert_eq!(ids(&seed.hand_out(node, &[]).await.unwrap().start), [attempt]);
    let (kept, moved): (bool, bool) = sqlx::query_as(
        "select handed_at < now() - interval '29 seconds', launch_deadline > now() + interval '50 seconds' from attempt",
    )
    .fetch_one(seed.store.pool())
    .await
    .unwrap();
    assert!(kept, "the first hand-out is what counts");
    assert!(moved, "a node that polls gets its time to start again");
    let logs: i64 = sqlx::query_scalar("select count(*) from attempt_log").fetch_one(seed.store.pool()).await.unwrap();
    assert_eq!(logs, 1);
}

#[tokio::test]
async fn a_node_that_never_keeps_an_attempt_does_not_hold_it_for_ever() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    seed.placed(node, "t0", -1).await;
    seed.hand_out(node, &[]).await.unwrap();
    seed.execute(
        "update attempt set handed_at = now() - interval '11 minutes', launch_deadline = now() - interval '1 minute'",
    )
    .await;
    seed.hand_out(node, &[]).await.unwrap();
    let passed: bool =
        sqlx::query_scalar("select launch_deadline < now() from attempt").fetch_one(seed.store.pool()).await.unwrap();
    assert!(passed);
}

#[tokio::test]
async fn a_started_or_finished_attempt_is_not_handed_out_again() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let (long, short) = (seed.placed(node, "t0", -1).await, seed.placed(node, "t1", -1).await);
    seed.hand_out(node, &[]).await.unwrap();
    seed.report(node, vec![started(long), finished(short, None)]).await;
    assert!(seed.hand_out(node, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn hands_out_nothing_to_a_superseded_session() {
    let seed = Seed::new().await;
    let old = seed.node("n1").await;
    seed.register("n1", old.identity, Uuid::new_v4()).await;
    seed.placed(old, "t0", -1).await;
    assert!(seed.hand_out(old, &[]).await.is_none());
    let unhanded: bool =
        sqlx::query_scalar("select handed_at is null from attempt").fetch_one(seed.store.pool()).await.unwrap();
    assert!(unhanded);
}

#[tokio::test]
async fn offers_a_cancel_until_it_is_confirmed() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    seed.hand_out(node, &[]).await.unwrap();
    seed.cancel(attempt).await;
    let cancel = Cancel { attempt_id: attempt, grace_ms: 5000, reason: "cleared".to_owned() };
    for _ in 0..2 {
        assert_eq!(seed.hand_out(node, &[]).await.unwrap().cancel, std::slice::from_ref(&cancel));
    }
    let known = nodes::hand_out(&seed.store, node.id, node.session, &[], &[attempt], LAUNCH).await.unwrap().unwrap();
    assert!(known.is_empty(), "what the node is stopping does not end its wait");
    seed.report(node, vec![stopped(attempt)]).await;
    assert!(seed.hand_out(node, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn does_not_offer_a_cancel_past_its_deadline() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    seed.cancel(attempt).await;
    seed.execute("update attempt_cancel set deadline = now()").await;
    assert!(seed.hand_out(node, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_spec_merges_params_of_dag_task_and_conf() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    seed.placed(node, "t1", -1).await;
    let handed = seed.hand_out(node, &[]).await.unwrap().start;
    let starts = nodes::starts(&seed.store, &seed.dags, &handed, 1024).await.unwrap();
    let spec = &starts[0].spec;
    assert_eq!(json!(spec.run.params), json!({"a": 10, "b": 2, "c": 3}));
    assert_eq!((spec.run.run_id.as_str(), spec.bundle_hash.as_deref()), ("r1", Some("b1")));
    assert_eq!((spec.relative_fileloc.as_str(), spec.run.dag_owner.as_str()), ("d.yaml", "airflow"));
}

#[tokio::test]
async fn xcoms_that_templates_name_travel_along_as_far_as_they_fit() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let large = "x".repeat(100);
    let (t0, t1) = (seed.placed(node, "t0", -1).await, seed.placed(node, "t1", -1).await);
    nodes::put_xcom(&seed.store, &seed.dags, seed.token, t0, "return_value", json!(large)).await.unwrap();
    nodes::put_xcom(&seed.store, &seed.dags, seed.token, t1, "k", json!("small")).await.unwrap();
    seed.placed(node, "t2", -1).await;
    let handed = seed.hand_out(node, &[t0, t1]).await.unwrap().start;
    // As lists: a template that pulls does not know whether the task is mapped.
    for (limit, expected) in [(1024, vec![json!([large]), json!(["small"])]), (50, vec![json!(["small"])])] {
        let starts = nodes::starts(&seed.store, &seed.dags, &handed, limit).await.unwrap();
        let values: Vec<_> = starts[0].refs.iter().filter_map(|resolved| resolved.value.clone()).collect();
        assert_eq!(values, expected, "within {limit} bytes");
    }
}

#[tokio::test]
async fn the_previous_successful_run_is_looked_up_only_for_those_who_name_it() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    seed.execute("update dag_run set logical_date = '2026-01-10T00:00:00Z'").await;
    seed.execute(
        "insert into dag_run (dag_fk, run_id, tag, state, run_type, run_after, dag_version_id, logical_date, data_interval_end,
                              end_date)
         select dag_fk, n.run_id, 1, n.state, 'manual', now(), dag_version_id, n.at, n.at, n.at
         from dag_run, (values ('old', 'success', timestamptz '2026-01-01T00:00:00Z'),
                               ('last', 'success', timestamptz '2026-01-05T00:00:00Z'),
                               ('bad', 'failed', timestamptz '2026-01-06T00:00:00Z'),
                               ('later', 'success', timestamptz '2026-01-20T00:00:00Z')) as n (run_id, state, at)",
    )
    .await;
    seed.placed(node, "t0", -1).await;
    seed.placed(node, "t4", -1).await;
    let handed = seed.hand_out(node, &[]).await.unwrap().start;
    let starts = nodes::starts(&seed.store, &seed.dags, &handed, 1024).await.unwrap();
    let previous = |task_id: &str| {
        let start = starts.iter().find(|start| start.spec.task_id.as_str() == task_id).unwrap();
        start.spec.run.previous_success.as_ref().and_then(|run| run.data_interval_end)
    };
    assert_eq!(previous("t4"), Some("2026-01-05T00:00:00Z".parse().unwrap()));
    assert_eq!(previous("t0"), None);
}

#[tokio::test]
async fn variables_and_connections_of_templates_and_secrets_travel_along_and_unreadable_ones_do_not() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t3", -1).await;
    let (key, other) = (Keys::generate(), Keys::generate());
    let sources = |key: &str| Sources { keys: Keys::parse(key).unwrap(), ..Sources::default() };
    let mut connection = seed.store.pool().acquire().await.unwrap();
    let keys = Keys::parse(&key).unwrap();
    let db = Connection::parse("postgres://me:pw@h").unwrap();
    connections::put(&mut connection, &keys, "db", &db, false).await.unwrap();
    variables::insert(&mut connection, &keys, "region", "eu", None).await.unwrap();
    variables::insert(&mut connection, &Keys::parse(&other).unwrap(), "api", "lost", None).await.unwrap();
    let store = seed.store.clone().with_sources(sources(&key));
    let handed = seed.hand_out(node, &[]).await.unwrap().start;
    let starts = nodes::starts(&store, &seed.dags, &handed, 1024).await.unwrap();
    let (region, db) = (Ref::Variable { key: "region".into() }, Ref::Connection { conn_id: "db".into() });
    let found: Vec<_> = starts[0].refs.iter().map(|resolved| (&resolved.reference, &resolved.value)).collect();
    let [(first, value), (second, fields)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((*first, *value), (&region, &Some(json!("eu"))));
    assert_eq!((*second, &fields.as_ref().unwrap()["password"]), (&db, &json!("pw")));

    let error = nodes::resolve(&store, seed.token, attempt, &[Ref::Variable { key: "api".into() }]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Secret(text) if text.contains("`api`")), "{error:?}");
}

#[tokio::test]
async fn an_attempt_whose_task_left_the_dag_fails_with_the_reason() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let gone = seed.placed(node, "gone", -1).await;
    seed.placed(node, "t0", -1).await;
    let handed = seed.hand_out(node, &[]).await.unwrap().start;
    let starts = nodes::starts(&seed.store, &seed.dags, &handed, 1024).await.unwrap();
    assert_eq!(starts.len(), 1, "the others are not held up");
    let inbox = seed.inbox().await;
    let [(kind, attempt, body)] = &inbox[..] else { panic!("{inbox:?}") };
    assert_eq!((kind.as_str(), *attempt, &body["outcome"]), ("finished", gone, &json!("failed")));
    assert!(body["failure_reason"].as_str().unwrap().contains("no task `gone`"), "{body}");
    let again = seed.hand_out(node, &[]).await.unwrap().start;
    assert!(!ids(&again).contains(&gone));
}

#[tokio::test]
async fn a_poll_is_a_heartbeat_and_brings_a_lost_node_back() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    seed.execute("update executor set state = 'lost', last_poll_at = now() - interval '1 hour'").await;
    let (runners, stats) = (json!([{"name": "process", "available": true}]), json!({"cpu": 0.5}));
    let beat =
        nodes::begin_poll(&seed.store, seed.token, node.session, &runners, &stats, LEASE).await.unwrap().unwrap();
    assert_eq!(beat.executor_id, node.id);
    let row = seed.nodes().await.remove(0);
    assert_eq!((row.state.as_str(), row.runners, row.stats), ("active", runners, stats));
    let recent: bool = sqlx::query_scalar("select last_poll_at > now() - interval '1 minute' from executor")
        .fetch_one(seed.store.pool())
        .await
        .unwrap();
    assert!(recent);
    assert!(
        nodes::begin_poll(&seed.store, seed.token, Uuid::new_v4(), &json!([]), &json!({}), LEASE)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn what_the_janitor_gave_up_is_not_handed_out_though_its_node_came_back() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let (fresh, handed) = (seed.placed(node, "t0", 0).await, seed.placed(node, "t0", 1).await);
    seed.execute("update attempt set handed_at = now() where map_index = 1").await;
    seed.execute("update executor set state = 'lost'").await;
    updraft_store::liveness::round(&seed.store, LEASE).await.unwrap();
    nodes::begin_poll(&seed.store, seed.token, node.session, &json!([]), &json!({}), LEASE).await.unwrap().unwrap();
    assert!(seed.hand_out(node, &[]).await.unwrap().is_empty(), "plan is about to place them anew");
    let mut told: Vec<_> = seed.inbox().await.into_iter().map(|(_, id, body)| (id, body["handed"].clone())).collect();
    told.sort_by_key(|(id, _)| *id != fresh);
    assert_eq!(told, [(fresh, json!(false)), (handed, json!(true))]);
    updraft_store::liveness::round(&seed.store, LEASE).await.unwrap();
    assert_eq!(seed.inbox().await.len(), 2, "once is enough");
}

#[tokio::test]
async fn a_launch_that_took_too_long_is_not_handed_out_again() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    seed.placed(node, "t0", -1).await;
    seed.hand_out(node, &[]).await.unwrap();
    seed.execute("update attempt set launch_deadline = now() - interval '1 second'").await;
    let late = async || updraft_store::liveness::round(&seed.store, LEASE).await.unwrap().launch_timeouts;
    seed.execute("update liveness set stamped_at = now(), heard_since = now() - interval '29 seconds'").await;
    assert_eq!(late().await, 0, "nobody listened until just now: the node could not say that it pulls an image");
    seed.execute("update liveness set stamped_at = now(), heard_since = now() - interval '31 seconds'").await;
    assert_eq!(late().await, 1);
    assert!(seed.hand_out(node, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn draining_is_told_and_survives_a_restart_of_the_node() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    seed.drain("n1", true).await.expect("it is there");
    assert!(seed.hand_out(node, &[]).await.unwrap().draining);
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    seed.register("n1", node.identity, first).await;
    assert_eq!(seed.nodes().await[0].state, "draining");
    // It ends, is away past its lease, and comes back.
    seed.leave("n1", node.identity, first).await;
    assert_eq!(seed.nodes().await[0].state, "offline");
    seed.execute("update executor set state = 'lost'").await;
    seed.register("n1", node.identity, second).await;
    assert_eq!(seed.nodes().await[0].state, "draining");
    seed.execute("update executor set state = 'lost'").await;
    nodes::begin_poll(&seed.store, seed.token, second, &json!([]), &json!({}), LEASE).await.unwrap().unwrap();
    assert_eq!(seed.nodes().await[0].state, "draining");
    seed.drain("n1", false).await.expect("it is there");
    assert_eq!(seed.nodes().await[0].state, "active");
    assert_eq!(seed.drain("nobody", true).await, None);
}

#[tokio::test]
async fn a_wish_to_drain_waits_for_a_node_that_is_away() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    seed.execute("update executor set state = 'lost'").await;
    seed.drain("n1", true).await.expect("it is there");
    assert_eq!((seed.nodes().await[0].state.as_str(), seed.nodes().await[0].is_drained), ("lost", true));
    seed.register("n1", node.identity, Uuid::new_v4()).await;
    assert_eq!(seed.nodes().await[0].state, "draining");
    // Another machine that takes over the name of one that is lost is not what the wish was about.
    seed.execute("update executor set state = 'lost'").await;
    seed.register("n1", Uuid::new_v4(), Uuid::new_v4()).await;
    assert_eq!(seed.nodes().await[0].state, "active");
}
