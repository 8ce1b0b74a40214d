//! Callbacks that are functions: from the outbox to a node and back.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::FromRow;
use updraft_core::spec::{FailureClass, Outcome};
use updraft_store::{
    check::invariants,
    dispatch::{Classes, Rules, dispatch},
    nodes::{self, EventBody, NodeAttempt, NodeAttemptState, Verdict},
    outbox::{self, Ended, Room},
};
use uuid::Uuid;

use crate::seed::{LAUNCH, LEASE, Node, Seed, finished, started, stopped};

#[derive(Debug, FromRow)]
struct Row {
    state: String,
    tries: i32,
    last_error: Option<String>,
}

impl Seed {
    /// A notice that task `t1` failed at its second try, which `mod.told` is to be told.
    async fn notice(&self) -> Uuid {
        let facts = json!({
            "cause": "failure", "run": {"state": "running", "start_date": null, "end_date": null},
            "ti": {
                "task_id": "t1", "map_index": -1, "attempt_id": Uuid::new_v4(), "try_number": 2, "max_tries": 1, "state": "failed",
                "start_date": null, "end_date": null, "hostname": "n1", "exit_code": 3,
                "failure": {"class": "exit_code", "reason": "exit code 3"},
            },
        });
        sqlx::query_scalar(
            "insert into outbox (dag_run_id, task_id, map_index, try_number, event, rule, action, facts)
             values ($1, 't1', -1, 2, 'failure', 0, $2, $3) returning key",
        )
        .bind(self.run)
        .bind(json!({"action": "python", "callable": "mod.told", "kwargs": {"room": "ops"}}))
        .bind(facts)
        .fetch_one(self.store.pool())
        .await
        .unwrap()
    }

    /// What a scheduler does with due callbacks, and dispatch with their attempts.
    async fn launch(&self) -> usize {
        let claimed = outbox::claim(&self.store, "python", &Room::of(10), Duration::from_mins(1)).await.unwrap();
        let log_url = |_: &_| Some("https://up/log".to_owned());
        let ready = outbox::contexts(&self.store, &self.dags, claimed, log_url).await.unwrap();
        for one in &ready {
            let context = one.context.as_ref().unwrap();
            assert!(outbox::launch(&self.store, &Classes::default(), &one.notice, context).await.unwrap());
        }
        dispatch(&self.store, &Rules::new(100)).await.unwrap()
    }

    /// Launches the notice's function and hands it to the node.
    async fn called(&self, node: Node) -> Uuid {
        assert_eq!(self.launch().await, 1);
        let handed = self.hand_out(node, &[]).await.unwrap().start;
        assert_eq!(handed.len(), 1);
        handed[0].attempt_id
    }

    async fn row(&self) -> Row {
        sqlx::query_as("select state, tries, last_error from outbox").fetch_one(self.store.pool()).await.unwrap()
    }

    async fn attempts(&self) -> i64 {
        sqlx::query_scalar("select count(*) from attempt").fetch_one(self.store.pool()).await.unwrap()
    }

    /// What a scheduler does with lost callbacks.
    async fn take_lost(&self) -> Vec<String> {
        let mut errors = Vec::new();
        for lost in outbox::lost(&self.store).await.unwrap() {
            let ended = Ended::Again { after: Duration::ZERO, error: lost.error.clone() };
            assert!(outbox::mark_lost(&self.store, &lost, &ended).await.unwrap());
            errors.push(lost.error);
        }
        errors
    }

    async fn assert_sound(&self) {
        let mut violations = invariants(&self.store).await.unwrap();
        // The seed's run has no task instances.
        violations.retain(|violation| violation.offenders.iter().any(|offender| offender.contains("attempt")));
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

fn failed(attempt: Uuid, class: FailureClass, reason: &str) -> nodes::Event {
    let mut event = finished(attempt, None);
    if let EventBody::Finished(ended) = &mut event.body {
        ended.outcome = Outcome::Failed;
        ended.failure_class = Some(class);
        ended.failure_reason = Some(reason.to_owned());
    }
    event
}

#[tokio::test]
async fn a_callback_is_work_for_a_node_and_its_success_delivers_the_notice() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let key = seed.notice().await;
    // Neither a paused DAG, nor a full pool, nor a run at its limit holds it back.
    seed.execute("update dag set is_paused = true, max_active_tasks = 0").await;
    seed.execute("update slot_pool set slots = 0").await;
    assert_eq!(seed.launch().await, 1);
    seed.assert_sound().await;
    let handed = seed.hand_out(node, &[]).await.unwrap().start;
    assert!(handed[0].is_callback);
    let starts = nodes::starts(&seed.store, &seed.dags, &handed, 1024).await.unwrap();
    let (spec, attempt) = (&starts[0].spec, handed[0].attempt_id);
    assert_eq!(
        serde_json::to_value(&spec.call).unwrap(),
        json!({"key": key, "callable": "mod.told", "kwargs": {"room": "ops"}})
    );
    assert_eq!((spec.attempt_id.0, spec.task_id.as_str(), spec.try_number), (attempt, "t1", 2));
    assert_eq!(spec.bundle_hash.as_deref(), Some("b1"));
    let facts = spec.callback.as_deref().unwrap();
    assert_eq!(facts.reason().as_deref(), Some("exit code 3"));
    assert_eq!(facts.log_url.as_deref(), Some("https://up/log"));

    assert_eq!(seed.report(node, vec![started(attempt)]).await, [Verdict::Written]);
    assert_eq!(seed.row().await.state, "running");
    assert_eq!(seed.report(node, vec![finished(attempt, Some(json!(1)))]).await, [Verdict::Written]);
    assert_eq!(seed.row().await.state, "delivered");
    assert_eq!(seed.attempts().await, 0);
    assert_eq!(seed.inbox().await, Vec::<(String, Uuid, Value)>::new(), "plan hears nothing of it");
    assert!(seed.xcoms().await.is_empty());
    assert_eq!(seed.report(node, vec![finished(attempt, None)]).await, [Verdict::Stale]);
}

#[tokio::test]
async fn a_function_that_raises_fails_the_notice_and_a_node_that_fails_is_no_reason_to() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    seed.notice().await;
    let attempt = seed.called(node).await;
    seed.report(node, vec![failed(attempt, FailureClass::NodeError, "disk full")]).await;
    assert_eq!((seed.row().await.state.as_str(), seed.attempts().await), ("running", 0));
    assert_eq!(seed.take_lost().await, ["disk full"]);
    assert_eq!(seed.row().await.state, "pending");
    let attempt = seed.called(node).await;
    seed.report(node, vec![failed(attempt, FailureClass::ExitCode, "KeyError: 'x'")]).await;
    let row = seed.row().await;
    assert_eq!((row.state.as_str(), row.tries, row.last_error.as_deref()), ("failed", 2, Some("KeyError: 'x'")));
    assert!(seed.take_lost().await.is_empty());
    assert!(seed.inbox().await.is_empty());
}

#[tokio::test]
async fn a_callback_whose_node_is_lost_or_forgot_it_is_called_again() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    seed.notice().await;
    let attempt = seed.called(node).await;
    // The node began it, and knows nothing of it any more.
    seed.report(node, vec![started(attempt)]).await;
    let lost = nodes::reconcile(&seed.store, seed.token, node.session, &[]).await.unwrap().unwrap();
    assert_eq!(lost.lost, [attempt]);
    assert_eq!(seed.take_lost().await, ["the node n1 was lost with the callback, or did not start it in time"]);
    // What it says later is too late; what it still has is stopped.
    assert_eq!(seed.report(node, vec![started(attempt)]).await, [Verdict::Stale]);
    let running = NodeAttempt { attempt_id: attempt, state: NodeAttemptState::Running };
    let told = nodes::reconcile(&seed.store, seed.token, node.session, &[running]).await.unwrap().unwrap();
    assert_eq!(told.stop, [attempt]);

    let second = seed.called(node).await;
    seed.report(node, vec![stopped(second)]).await;
    assert_eq!(seed.take_lost().await, ["the node stopped the callback"]);

    // Never started.
    seed.called(node).await;
    seed.execute("update attempt set launch_deadline = now() - interval '1 second'").await;
    seed.execute("update liveness set stamped_at = now(), heard_since = now() - interval '1 hour'").await;
    let round = updraft_store::liveness::round(&seed.store, LEASE).await.unwrap();
    assert_eq!(round.launch_timeouts, 1);
    assert_eq!(seed.take_lost().await.len(), 1);

    // The node falls silent while it runs.
    let last = seed.called(node).await;
    seed.report(node, vec![started(last)]).await;
    seed.execute("update executor set last_poll_at = now() - interval '1 hour'").await;
    assert_eq!(updraft_store::liveness::round(&seed.store, LEASE).await.unwrap().lost, ["n1"]);
    assert_eq!(seed.take_lost().await.len(), 1);
    assert_eq!((seed.row().await.tries, seed.row().await.state.as_str()), (4, "pending"));
    assert!(seed.inbox().await.is_empty());
    seed.assert_sound().await;
}

#[tokio::test]
async fn two_schedulers_launch_a_notice_once_and_a_notice_that_cannot_be_read_fails() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    seed.notice().await;
    let claimed = outbox::claim(&seed.store, "python", &Room::of(10), Duration::ZERO).await.unwrap();
    let slow = outbox::contexts(&seed.store, &seed.dags, claimed, |_| None).await.unwrap().remove(0);
    seed.launch().await;
    let again = outbox::launch(&seed.store, &Classes::default(), &slow.notice, slow.context.as_ref().unwrap()).await;
    assert!(!again.unwrap(), "its claim had passed");
    assert_eq!(seed.attempts().await, 1);
    seed.execute("update outbox set facts = '{}'").await;
    let handed = seed.hand_out(node, &[]).await.unwrap().start;
    assert!(nodes::starts(&seed.store, &seed.dags, &handed, LAUNCH.as_secs() as usize).await.unwrap().is_empty());
    let row = seed.row().await;
    assert_eq!((row.state.as_str(), seed.attempts().await), ("failed", 0));
    assert!(row.last_error.unwrap().contains("cannot be read"));
}
