//! Nodes that are silent: frozen, most of them at once, or with a clock of their own.

use std::time::Duration;

use nix::sys::signal::Signal;
use updraft_store::{Store, check};
use uuid::Uuid;

use super::support::{
    fleet::{Fleet, processes_of},
    ledger::{self, Ledger},
};

/// Attempts of a task on a node.
async fn attempts(store: &Store, node: &str, task: &str) -> Vec<Uuid> {
    sqlx::query_scalar(
        "select a.attempt_id from attempt a join executor e on e.id = a.executor_id where e.name = $1 and a.task_id = $2",
    )
    .bind(node)
    .bind(task)
    .fetch_all(store.pool())
    .await
    .unwrap()
}

const NONE_ACTIVE: &str = "select not exists (select from dag_run where state in ('queued', 'running'))";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_frozen_node_says_when_it_is_thawed_is_stale_and_its_tasks_ran_elsewhere() {
    let mut fleet = Fleet::new(0).await;
    let store = fleet.db.store().await;
    let ledger = fleet.path("ledger");
    std::fs::write(&ledger, "").unwrap();
    let short = ledger::script(&ledger, "sleep 4");
    let endless = ledger::script(&ledger, "if [ {{ ti.try_number }} = 1 ]; then sleep 300; fi");
    let dag = format!(
        "is_paused_upon_creation: false\ndefault_args: {{retries: 3, retry_delay: 0}}\ntasks:\n  short:\n{short}  endless:\n{endless}"
    );
    fleet.nodes = vec!["n1"];
    fleet.begin_with(&store, "frozen", &dag).await;
    let api = fleet.api().await;
    api.trigger("frozen", "r").await;
    fleet.until(&store, "select count(*) = 2 from attempt where started_at is not null", false).await;
    let endless = attempts(&store, "n1", "endless").await[0];
    for node in ["n2", "n3"] {
        fleet.nodes.push(node);
        fleet.start(node, false);
    }
    fleet.until(&store, "select count(*) = 3 from executor where state = 'active'", false).await;

    fleet.signal("n1", Signal::SIGSTOP);
    fleet.until(&store, "select state = 'lost' from executor where name = 'n1'", false).await;
    // Elsewhere both are done before the node hears anything again.
    fleet.until(&store, NONE_ACTIVE, false).await;
    assert!(!processes_of(endless).is_empty(), "a frozen node stops nothing");
    fleet.signal("n1", Signal::SIGCONT);
    fleet.until_said("w", "a late result is refused").await;
    fleet.until_none_of(endless, Duration::from_secs(20)).await;
    fleet.until(&store, "select state = 'active' from executor where name = 'n1'", false).await;

    let tries: Vec<(String, String, i32)> = sqlx::query_as(
        "select task_id, hostname, try_number from task_instance where state = 'success' order by task_id",
    )
    .fetch_all(store.pool())
    .await
    .unwrap();
    assert_eq!(tries.len(), 2, "{tries:?}");
    assert!(tries.iter().all(|(_, host, number)| host != "n1" && *number == 2), "{tries:?}");
    Ledger::check(&store, &ledger, "").await;
    assert_eq!(check::invariants(&store).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_most_nodes_are_silent_at_once_there_is_an_alarm_and_nobody_is_lost() {
    let mut fleet = Fleet::new(0).await;
    let store = fleet.db.store().await;
    let ledger = fleet.path("ledger");
    std::fs::write(&ledger, "").unwrap();
    let script = ledger::script(&ledger, "sleep 3");
    // No second try: an attempt that is lost fails its run.
    let mut dag = "is_paused_upon_creation: false\ndefault_args: {retries: 0}\ntasks:\n".to_owned();
    (0..9).for_each(|number| dag += &format!("  t{number}:\n{script}"));
    fleet.nodes = vec!["n1", "n2", "n3"];
    fleet.begin_with(&store, "most", &dag).await;
    fleet.api().await.trigger("most", "r").await;
    fleet.until(&store, "select count(*) = 9 from attempt where started_at is not null", false).await;
    for node in ["n1", "n2"] {
        fleet.signal(node, Signal::SIGSTOP);
    }
    fleet.until(&store, "select grace_since is not null from liveness", false).await;
    for node in ["n1", "n2"] {
        fleet.signal(node, Signal::SIGCONT);
    }
    fleet.until(&store, NONE_ACTIVE, false).await;
    let alarm = "more than half of the nodes fell silent at once";
    assert!(["s1", "s2"].iter().any(|scheduler| fleet.said(scheduler).contains(alarm)), "{}", fleet.logs());
    let ended: i64 =
        sqlx::query_scalar("select count(*) from task_instance where state = 'success' and try_number = 1")
            .fetch_one(store.pool())
            .await
            .unwrap();
    assert_eq!(ended, 9, "{}", fleet.logs());
    let ledger = Ledger::check(&store, &ledger, "").await;
    assert_eq!((ledger.ended.len(), ledger.overlapping), (9, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_an_hour_wrong_is_as_good_as_any() {
    if std::process::Command::new("faketime").arg("--version").output().is_err() {
        eprintln!("skipped: there is no program `faketime` (Debian: faketime)");
        return;
    }
    let mut fleet = Fleet::new(0).await;
    let store = fleet.db.store().await;
    for (node, offset) in [("n1", "+1h"), ("n2", "-1h")] {
        // The time of day is wrong; a clock that counts from the start of the machine is not.
        let clock = ["env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", offset].map(str::to_owned);
        fleet.wrappers.insert(node, clock.to_vec());
    }
    let dag = "is_paused_upon_creation: false\ndefault_args: {retries: 0}\ntasks:\n  a: {bash: 'date +%s; sleep 1; date +%s'}\n  \
               b: {bash: 'date +%s; sleep 1; date +%s'}\n  c: {bash: 'true', depends_on: [a, b]}\n";
    fleet.begin_with(&store, "clock", dag).await;
    fleet.api().await.trigger("clock", "r").await;
    fleet.until(&store, NONE_ACTIVE, false).await;
    let hosts: Vec<String> = sqlx::query_scalar(
        "select hostname from task_instance
         where state = 'success' and try_number = 1 and task_id in ('a', 'b')
           and start_date between now() - interval '1 minute' and now() and end_date - start_date between '1 s' and '5 s'
         order by hostname",
    )
    .fetch_all(store.pool())
    .await
    .unwrap();
    assert_eq!(hosts, ["n1", "n2"], "{}", fleet.logs());
    let wrong: Vec<i64> = sqlx::query_scalar(
        "select abs((value #>> '{}')::bigint - extract(epoch from now())::bigint) from xcom where task_id in ('a', 'b')",
    )
    .fetch_all(store.pool())
    .await
    .unwrap();
    assert!(wrong.len() == 2 && wrong.iter().all(|seconds| *seconds > 3_000), "their clocks were wrong: {wrong:?}");
    assert!(!fleet.said("s1").contains("the node is lost"), "{}", fleet.logs());
}
