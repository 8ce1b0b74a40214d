//! A task that runs is cleared, marked, or its run is failed: it is over at once or within the grace, and its whole process tree and
//! its container are gone, though they ignore SIGTERM. Also when its node does not answer.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;
use updraft_store::Store;
use uuid::Uuid;

use super::support::{
    api::Api,
    fleet::{Fleet, docker_answers, has_container, processes_of},
};

/// `core::plan::CANCEL_GRACE`, and what the server allows beyond it.
const BOUND: Duration = Duration::from_secs(15);
/// What a busy machine adds.
const SLACK: Duration = Duration::from_secs(4);

/// A tree of four, one of which has left the group and the session; all ignore SIGTERM. Its second try ends at once.
const TREE: &str = r#"is_paused_upon_creation: false
max_active_runs: 10
tasks:
  tree:
    bash: |
      if [ {{ ti.try_number }} != 1 ]; then exit 0; fi
      trap '' TERM
      (trap '' TERM; while :; do sleep 1; done) &
      setsid bash -c "trap '' TERM; while :; do sleep 1; done" &
      while :; do sleep 1; done
"#;

const BOX: &str = r#"
  box:
    docker:
      image: busybox
      command: [sh, -c, "[ {{ ti.try_number }} = 1 ] || exit 0; trap '' TERM; while :; do sleep 1; done"]
"#;

/// What a user does to the tasks of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Clear,
    Mark(&'static str),
    FailRun,
}

const ACTS: [(&str, Act); 4] = [
    ("cleared", Act::Clear),
    ("succeeded", Act::Mark("success")),
    ("failed", Act::Mark("failed")),
    ("ended", Act::FailRun),
];

async fn act(api: &Api, run: &str, task: &str, act: Act) {
    let of_run = format!("/api/v2/dags/tree/dagRuns/{run}");
    match act {
        Act::Clear => {
            let body = json!({"dry_run": false, "dag_run_id": run, "task_ids": [task], "only_failed": false});
            api.post("/api/v2/dags/tree/clearTaskInstances", &body).await;
        }
        Act::Mark(state) => {
            api.send(Method::PATCH, &format!("{of_run}/taskInstances/{task}"), &json!({"new_state": state})).await;
        }
        Act::FailRun => {
            api.send(Method::PATCH, &of_run, &json!({"state": "failed"})).await;
        }
    }
}

/// The attempt of a task that runs.
async fn attempt(store: &Store, run: &str, task: &str) -> Uuid {
    sqlx::query_scalar(
        "select a.attempt_id from attempt a join dag_run r on r.id = a.dag_run_id where r.run_id = $1 and a.task_id = $2",
    )
    .bind(run)
    .bind(task)
    .fetch_one(store.pool())
    .await
    .unwrap()
}

/// The state of a task.
async fn state(api: &Api, run: &str, task: &str) -> String {
    let task = api.get(&format!("/api/v2/dags/tree/dagRuns/{run}/taskInstances/{task}")).await;
    task["state"].as_str().unwrap_or("none").to_owned()
}

/// Waits until a task has ended, and says how.
async fn ended(api: &Api, run: &str, task: &str, begun: Instant) -> String {
    loop {
        let state = state(api, run, task).await;
        if matches!(state.as_str(), "success" | "failed" | "skipped") {
            return state;
        }
        assert!(begun.elapsed() < BOUND * 2, "{task} of {run} is {state}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_is_over_within_the_grace_and_leaves_nothing_behind() {
    let docker = docker_answers().await;
    let mut fleet = Fleet::new(0).await;
    let store = fleet.db.store().await;
    fleet.variables.push(("UPDRAFT__EXECUTOR__DOCKER", docker.to_string()));
    let dag = if docker { format!("{TREE}{BOX}") } else { TREE.to_owned() };
    let tasks: &[&str] = if docker { &["tree", "box"] } else { &["tree"] };
    fleet.begin_with(&store, "tree", &dag).await;
    let api = fleet.api().await;
    for (run, _) in ACTS {
        api.trigger("tree", run).await;
    }
    let count = ACTS.len() * tasks.len();
    let running = format!("select count(*) = {count} from attempt where started_at is not null");
    fleet.until(&store, &running, false).await;
    let (fleet, api, store) = (&fleet, &api, &store);
    let all = ACTS.map(|(run, what)| async move {
        let tree = attempt(store, run, "tree").await;
        // Two of the four are born by the shell: they may come a moment after the start.
        fleet.until_true("the whole tree runs", async || processes_of(tree).len() >= 4).await;
        let boxed = if docker { Some(attempt(store, run, "box").await) } else { None };
        let begun = Instant::now();
        match what {
            // The end of the run is the end of all of it.
            Act::FailRun => act(api, run, "tree", what).await,
            Act::Clear | Act::Mark(_) => {
                for task in tasks {
                    act(api, run, task, what).await;
                }
            }
        }
        let over = if matches!(what, Act::Clear | Act::Mark("success")) { "success" } else { "failed" };
        for task in tasks {
            assert_eq!(ended(api, run, task, begun).await, over, "{task} of {run}");
        }
        let told = begun.elapsed();
        // A task that is marked is over with the answer; one that is cleared runs again when its old try is gone.
        let bound = if what == Act::Clear { BOUND } else { Duration::ZERO } + SLACK;
        assert!(told < bound, "{run}: over after {told:?}");
        fleet.until_none_of(tree, BOUND).await;
        if let Some(boxed) = boxed {
            fleet.until_true("the container is gone", async || !has_container(boxed).await).await;
        }
        let gone = begun.elapsed();
        println!("{run}: over after {told:.1?}, gone after {gone:.1?}");
        assert!(gone < BOUND + SLACK, "{run}: gone after {gone:?}");
    });
    futures::future::join_all(all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_deleted_while_it_runs_is_gone_and_then_its_dag_may_go() {
    let mut fleet = Fleet::new(0).await;
    let store = fleet.db.store().await;
    fleet.begin_with(&store, "tree", TREE).await;
    let api = fleet.api().await;
    api.trigger("tree", "deleted").await;
    fleet.until(&store, "select count(*) = 1 from attempt where started_at is not null", false).await;
    let tree = attempt(&store, "deleted", "tree").await;
    fleet.until_true("the whole tree runs", async || processes_of(tree).len() >= 4).await;
    let dag = "/api/v2/dags/tree";
    let delete = async |path: &str| api.request(Method::DELETE, path).send().await.unwrap().status().as_u16();
    assert_eq!(delete(dag).await, 409, "a task of it runs");
    assert_eq!(delete(&format!("{dag}/dagRuns/deleted/taskInstances/tree")).await, 200);
    // Nothing is left for the run to do.
    fleet.until(&store, "select state = 'success' from dag_run", false).await;
    fleet.until_none_of(tree, BOUND).await;
    assert_eq!(delete(dag).await, 204);
    let left: i64 = sqlx::query_scalar("select (select count(*) from dag) + (select count(*) from dag_run)")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_on_a_node_that_does_not_answer_is_over_in_bounded_time() {
    let mut fleet = Fleet::new(0).await;
    let store = fleet.db.store().await;
    // Longer than all of it: it is the deadline of the stop that ends the wait, not the loss of the node.
    fleet.variables.push(("UPDRAFT__EXECUTOR__LEASE", "60".to_owned()));
    fleet.nodes = vec!["n1"];
    fleet.begin_with(&store, "tree", TREE).await;
    let api = fleet.api().await;
    for run in ["cleared", "failed"] {
        api.trigger("tree", run).await;
    }
    fleet.until(&store, "select count(*) = 2 from attempt where started_at is not null", false).await;
    let trees = [attempt(&store, "cleared", "tree").await, attempt(&store, "failed", "tree").await];
    fleet.nodes.push("n2");
    fleet.start("n2", false);
    fleet.until(&store, "select count(*) = 2 from executor where state = 'active'", false).await;
    // What is cleared may only run again where somebody answers.
    api.post("/ui/executors/n1/drain", &json!({})).await;
    fleet.signal("n1", Signal::SIGSTOP);

    let begun = Instant::now();
    act(&api, "failed", "tree", Act::Mark("failed")).await;
    assert_eq!(ended(&api, "failed", "tree", begun).await, "failed");
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    act(&api, "cleared", "tree", Act::Clear).await;
    assert_eq!(ended(&api, "cleared", "tree", begun).await, "success");
    let bounded = begun.elapsed();
    println!("cleared: over after {bounded:.1?}");
    assert!(bounded < BOUND + SLACK, "{bounded:?}");
    // When the node is back it is told, though the deadline has passed.
    fleet.signal("n1", Signal::SIGCONT);
    for tree in trees {
        fleet.until_none_of(tree, Duration::from_secs(90)).await;
    }
}
