//! The node's life: outages, restarts, refusals, the end.

use reqwest::StatusCode;
use serde_json::json;
use updraft_executor::ExecutorError;
use updraft_protocol::{NodeAttemptState, ReportBody};

use crate::fake::{Fake, TestNode, kinds};

#[tokio::test]
async fn reports_are_sent_again_after_an_outage() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    fake.wait("registration", |seen| seen.registers.first().map(drop)).await;
    fake.change(|seen| seen.reports_down = true);
    let id = fake.bash("echo kept");
    fake.wait("two tries", |seen| (seen.reports >= 2).then_some(())).await;
    fake.change(|seen| seen.reports_down = false);
    assert_eq!(fake.finished(id).await.return_value, Some(json!("kept")));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_at_start_is_waited_for() {
    let fake = Fake::start().await;
    fake.change(|seen| seen.down = true);
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    fake.change(|seen| seen.down = false);
    let id = fake.bash("true");
    fake.finished(id).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_forgotten_session_registers_again() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    fake.wait("registration", |seen| seen.registers.first().map(drop)).await;
    fake.change(|seen| seen.sessions.clear());
    fake.wait("registration again", |seen| (seen.registers.len() == 2).then_some(())).await;
    let id = fake.bash("true");
    fake.finished(id).await;
    let sessions: Vec<_> = fake.seen().registers.iter().map(|register| register.session).collect();
    assert_eq!(sessions[0], sessions[1]);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_stale_attempt_is_stopped_without_a_word() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let id = fake.bash("trap 'echo told; exit 1' TERM; echo ready; while :; do sleep 0.02; done");
    fake.change(|seen| seen.stale.insert(id));
    fake.wait("started", |seen| kinds(seen, id).contains(&"started").then_some(())).await;
    fake.wait("an idle node", |seen| (seen.running == Some(0.0)).then_some(())).await;
    node.stop().await.unwrap();
    assert_eq!(kinds(&fake.seen(), id), ["started"]);
}

#[tokio::test]
async fn what_the_server_does_not_know_is_stopped() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let id = fake.bash("echo ready; sleep 600");
    fake.log_line(id, "ready").await;
    fake.wait("a busy node", |seen| (seen.running == Some(1.0)).then_some(())).await;
    fake.change(|seen| seen.reconcile.stop = vec![id]);
    fake.wait("an idle node", |seen| (seen.running == Some(0.0)).then_some(())).await;
    node.stop().await.unwrap();
    assert!(!kinds(&fake.seen(), id).contains(&"finished"));
    assert!(!kinds(&fake.seen(), id).contains(&"stopped"));
}

#[tokio::test]
async fn an_unacknowledged_result_is_replayed_after_a_restart_and_the_task_runs_once() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger");
    fake.change(|seen| seen.reports_down = true);
    let node = TestNode::start(&fake, dir.path());
    let id = fake.bash(&format!("echo run >> {}; echo value", ledger.display()));
    fake.wait("a report in vain", |seen| (seen.reports > 0).then_some(())).await;
    node.stop().await.unwrap();
    let node = TestNode::start(&fake, dir.path());
    let known =
        fake.wait("registration again", |seen| seen.lives().nth(1).map(|register| register.attempts.clone())).await;
    assert!(known.iter().any(|attempt| attempt.attempt_id == id && attempt.state == NodeAttemptState::Finished));
    fake.change(|seen| seen.reports_down = false);
    assert_eq!(fake.finished(id).await.return_value, Some(json!("value")));
    // Offered again, as after a failover that lost the acknowledgement: reported again, not run again.
    fake.change(|seen| seen.forget(id));
    fake.hand_out_as(id, json!({"args": {"bash_command": "echo again"}}));
    let again = |seen: &crate::fake::Seen| {
        let own =
            seen.events.iter().filter(|event| event.attempt_id == id && matches!(event.body, ReportBody::Finished(_)));
        (own.count() >= 2).then_some(())
    };
    fake.wait("the result again", again).await;
    node.stop().await.unwrap();
    assert_eq!(std::fs::read_to_string(ledger).unwrap(), "run\n");
}

#[tokio::test]
async fn a_clean_stop_ends_processes_and_reports_them() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let id = fake.bash("echo ready; sleep 600");
    fake.log_line(id, "ready").await;
    node.stop().await.unwrap();
    let report = fake.finished(id).await;
    assert_eq!(report.failure_class.as_deref(), Some("node_error"));
    assert!(report.failure_reason.unwrap().starts_with("executor stopped"));
    assert_eq!(fake.seen().registers.last().unwrap().slots, 0, "nothing is placed on a node that ends");
}

#[tokio::test]
async fn a_refused_node_ends_with_the_servers_reason() {
    let fake = Fake::start().await;
    fake.change(|seen| seen.refuse = Some((StatusCode::CONFLICT, "name_taken")));
    let dir = tempfile::tempdir().unwrap();
    let error = TestNode::start(&fake, dir.path()).ended().await.unwrap_err();
    assert!(matches!(&error, ExecutorError::Refused { code, .. } if code == "name_taken"), "{error}");
}

#[tokio::test]
async fn a_second_node_on_the_same_folder_is_refused() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    fake.wait("registration", |seen| seen.registers.first().map(drop)).await;
    let error = TestNode::start(&fake, dir.path()).ended().await.unwrap_err();
    assert!(matches!(error, ExecutorError::Locked { .. }), "{error}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_large_return_value_travels_before_its_report() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    // A line of output is at most 64 KiB, so escapes make the JSON larger than that.
    let id = fake.bash("printf '\"%.0s' $(seq 60000)");
    let report = fake.finished(id).await;
    assert_eq!((report.outcome.as_str(), report.return_value), ("success", None));
    let value = fake.seen().xcoms[&(id, "return_value".to_owned())].clone();
    assert_eq!(value.as_str().unwrap().len(), 60_000);
    node.stop().await.unwrap();
}
