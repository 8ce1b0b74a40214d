use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use updraft_store::{
    nodes::{self, Event, EventBody, NodeReport, Verdict},
    wake::Signal,
};
use uuid::Uuid;

use crate::seed::{LAUNCH, Seed, finished, started, stopped};

#[tokio::test]
async fn a_finished_attempt_tells_its_whole_story_in_postgres_time() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    seed.hand_out(node, &[]).await.unwrap();
    let mut bell = seed.store.wake().subscribe();
    assert_eq!(seed.report(node, vec![finished(attempt, Some(json!({"x": 1})))]).await, [Verdict::Written]);
    let inbox = seed.inbox().await;
    let [(kind, told, body)] = &inbox[..] else { panic!("{inbox:?}") };
    assert_eq!((kind.as_str(), *told), ("finished", attempt));
    let body: nodes::inbox::Finished = serde_json::from_value(body.clone()).unwrap();
    let now: DateTime<Utc> = sqlx::query_scalar("select now()").fetch_one(seed.store.pool()).await.unwrap();
    let ago = (now - body.ended_at).num_milliseconds();
    assert!((1_000..10_000).contains(&ago), "ended {ago} ms ago");
    assert_eq!((body.ended_at - body.started_at).num_milliseconds(), 2_000);
    assert_eq!(seed.xcoms().await, [("return_value".to_owned(), json!({"x": 1}))].into());
    let started_at: Option<DateTime<Utc>> =
        sqlx::query_scalar("select started_at from attempt").fetch_one(seed.store.pool()).await.unwrap();
    assert_eq!(started_at.unwrap().timestamp_micros(), body.started_at.timestamp_micros());
    loop {
        if bell.recv().await.unwrap() == Signal::Run(seed.run) {
            break;
        }
    }
}

#[tokio::test]
async fn the_report_of_a_fenced_attempt_is_stale_and_leaves_nothing() {
    let seed = Seed::new().await;
    let (node, other) = (seed.node("n1").await, seed.node("n2").await);
    let (fenced, elsewhere) = (seed.placed(node, "t0", -1).await, seed.placed(other, "t1", -1).await);
    seed.hand_out(node, &[]).await.unwrap();
    seed.fence(fenced).await;
    let verdicts = seed
        .report(node, vec![started(fenced), finished(fenced, Some(json!(1))), finished(elsewhere, Some(json!(2)))])
        .await;
    assert_eq!(verdicts, [Verdict::Stale; 3]);
    assert_eq!(seed.inbox().await, []);
    assert!(seed.xcoms().await.is_empty());
    let untouched: bool = sqlx::query_scalar("select started_at is null and handed_at is null from attempt")
        .fetch_one(seed.store.pool())
        .await
        .unwrap();
    assert!(untouched, "the other node's attempt");
}

#[tokio::test]
async fn multiple_outputs_push_each_key() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t1", -1).await;
    seed.report(node, vec![finished(attempt, Some(json!({"x": 1, "y": "two"})))]).await;
    let expected = json!({"return_value": {"x": 1, "y": "two"}, "x": 1, "y": "two"});
    assert_eq!(json!(seed.xcoms().await), expected);
}

#[tokio::test]
async fn a_result_is_kept_though_the_dag_version_cannot_be_read() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t1", -1).await;
    seed.execute("update dag_version set data = '{}'").await;
    assert_eq!(seed.report(node, vec![finished(attempt, Some(json!({"x": 1})))]).await, [Verdict::Written]);
    assert_eq!(json!(seed.xcoms().await), json!({"return_value": {"x": 1}}));
}

#[tokio::test]
async fn a_stop_confirms_its_cancel_and_the_task_instance_hears_of_it() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    for (event, verdict) in [
        (stopped as fn(Uuid) -> Event, Verdict::Written),
        ((|attempt| finished(attempt, Some(json!(1)))) as fn(Uuid) -> Event, Verdict::Stale),
    ] {
        let attempt = seed.placed(node, "t0", -1).await;
        seed.hand_out(node, &[]).await.unwrap();
        seed.cancel(attempt).await;
        assert_eq!(seed.report(node, vec![event(attempt)]).await, [verdict]);
        assert_eq!(seed.inbox().await, [("stopped".to_owned(), attempt, json!({}))]);
        assert!(seed.xcoms().await.is_empty());
        let cancels: i64 =
            sqlx::query_scalar("select count(*) from attempt_cancel").fetch_one(seed.store.pool()).await.unwrap();
        assert_eq!(cancels, 0);
        seed.execute("delete from task_event").await;
    }
}

#[tokio::test]
async fn another_node_cannot_confirm_a_cancel() {
    let seed = Seed::new().await;
    let (node, other) = (seed.node("n1").await, seed.node("n2").await);
    let attempt = seed.placed(node, "t0", -1).await;
    seed.cancel(attempt).await;
    seed.report(other, vec![stopped(attempt)]).await;
    assert_eq!(seed.inbox().await, []);
}

#[tokio::test]
async fn a_current_attempt_that_its_node_stopped_by_itself_is_lost() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    seed.report(node, vec![stopped(attempt)]).await;
    let inbox = seed.inbox().await;
    assert_eq!((inbox[0].0.as_str(), inbox[0].1), ("lost", attempt));
    assert!(seed.hand_out(node, &[]).await.unwrap().is_empty(), "it is not handed out meanwhile");
}

#[tokio::test]
async fn preparing_moves_the_launch_deadline_and_tells_nobody() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    seed.hand_out(node, &[]).await.unwrap();
    seed.execute("update attempt set launch_deadline = now()").await;
    let preparing = Event { attempt_id: attempt, age: Duration::ZERO, body: EventBody::Preparing };
    assert_eq!(seed.report(node, vec![preparing]).await, [Verdict::Written]);
    let (moved, unstarted): (bool, bool) =
        sqlx::query_as("select launch_deadline > now() + interval '50 seconds', started_at is null from attempt")
            .fetch_one(seed.store.pool())
            .await
            .unwrap();
    assert!(moved && unstarted);
    assert_eq!(seed.inbox().await, []);
}

#[tokio::test]
async fn five_hundred_events_of_many_nodes_are_one_transaction() {
    let seed = Seed::new().await;
    let mut reports = Vec::new();
    for name in ["n1", "n2", "n3", "n4", "n5"] {
        let node = seed.node(name).await;
        let mut events = Vec::new();
        for index in 0..50 {
            let attempt = seed.placed(node, "t0", i32::try_from(node.id).unwrap() * 1_000 + index).await;
            events.extend([started(attempt), finished(attempt, Some(json!(index)))]);
        }
        reports.push(NodeReport { token: seed.token, session: node.session, events });
    }
    reports.push(NodeReport { token: seed.token, session: Uuid::new_v4(), events: vec![started(Uuid::new_v4())] });
    let answers = nodes::report(&seed.store, &seed.dags, &reports, LAUNCH).await.unwrap();
    assert!(answers[5].is_none(), "an unknown session spoils nobody else's report");
    for answer in answers.into_iter().flatten() {
        assert_eq!(answer, [Verdict::Written; 100]);
    }
    let (events, transactions): (i64, i64) =
        sqlx::query_as("select count(*), count(distinct xmin::text) from task_event")
            .fetch_one(seed.store.pool())
            .await
            .unwrap();
    assert_eq!((events, transactions), (500, 1));
}

#[tokio::test]
async fn text_that_postgres_cannot_hold_is_made_readable() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    assert_eq!(seed.report(node, vec![finished(attempt, Some(json!(["a\0b"])))]).await, [Verdict::Written]);
    assert_eq!(seed.xcoms().await["return_value"], json!(["a\u{fffd}b"]));
}

#[tokio::test]
async fn a_fence_waits_for_a_report_and_a_report_for_a_fence() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    let mut fence = seed.store.begin().await.unwrap();
    sqlx::query("delete from attempt where attempt_id = $1").bind(attempt).execute(&mut *fence).await.unwrap();
    let (verdicts, ()) = tokio::join!(seed.report(node, vec![finished(attempt, Some(json!(1)))]), async {
        // The report waits for the row; seen in pg_locks, not guessed by time.
        loop {
            let waiting: bool = sqlx::query_scalar("select exists (select from pg_locks where not granted)")
                .fetch_one(seed.store.pool())
                .await
                .unwrap();
            if waiting {
                break;
            }
        }
        fence.commit().await.unwrap();
    });
    assert_eq!(verdicts, [Verdict::Stale]);
    assert_eq!(seed.inbox().await, []);
}
