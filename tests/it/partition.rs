//! Three executors on machines of their own, as far as the network goes, one of which is cut off in the middle: no packet comes or
//! goes, and nobody is told. It is healed when it is lost and its work is done elsewhere.

use std::time::Duration;

use updraft_store::{Store, check};
use uuid::Uuid;

use super::support::{
    fleet::{Fleet, docker_answers, has_container, processes_of},
    ledger::{self, Ledger},
    netns::Network,
};

const RUNS: usize = 10;
/// Tasks of a run of the wide DAG.
const WIDTH: usize = 50;

/// Attempts of the first node that run, by task.
async fn attempt(store: &Store, task: &str) -> Uuid {
    sqlx::query_scalar("select attempt_id from attempt where task_id = $1 and started_at is not null")
        .bind(task)
        .fetch_one(store.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_and_healed_ends_nothing_twice_and_stops_what_it_has() {
    let Some(network) = Network::new(3) else { return };
    let docker = docker_answers().await;
    let mut fleet = Fleet::new(0).await;
    let store = fleet.db.store().await;
    fleet.host = network.host();
    fleet.variables.push(("UPDRAFT__EXECUTOR__DOCKER", docker.to_string()));
    for (space, node) in ["n1", "n2", "n3"].into_iter().enumerate() {
        fleet.wrappers.insert(node, network.enter(space));
    }
    let ledger = fleet.path("ledger");
    std::fs::write(&ledger, "").unwrap();
    let head =
        "max_active_runs: 50\nis_paused_upon_creation: false\ndefault_args: {retries: 3, retry_delay: 0}\ntasks:\n";
    let mut wide = head.to_owned();
    let quick = ledger::script(&ledger, "sleep 0.2");
    (0..WIDTH).for_each(|number| wide += &format!("  t{number}:\n{quick}"));
    // What the first node has when it is cut off: a result that comes too late, and two things that would go on for ever.
    let late = ledger::script(&ledger, "if [ {{ ti.try_number }} = 1 ]; then sleep 5; fi");
    let endless = ledger::script(&ledger, "if [ {{ ti.try_number }} = 1 ]; then sleep 300; fi");
    let mut held = format!("{head}  late:\n{late}  endless:\n{endless}");
    if docker {
        held += "  box:\n    docker: {image: busybox, command: [sleep, \"{{ 300 if ti.try_number == 1 else 0 }}\"]}\n";
    }
    super::support::write(&fleet.path("dags"), "wide.yaml", &wide);
    fleet.nodes = vec!["n1"];
    fleet.begin_with(&store, "held", &held).await;
    let api = fleet.api().await;
    api.trigger("held", "r").await;
    let count = if docker { 3 } else { 2 };
    let running = format!("select count(*) = {count} from attempt where started_at is not null");
    fleet.until(&store, &running, false).await;
    let (endless, boxed) =
        (attempt(&store, "endless").await, if docker { Some(attempt(&store, "box").await) } else { None });
    for node in ["n2", "n3"] {
        fleet.nodes.push(node);
        fleet.start(node, false);
    }
    fleet.until(&store, "select count(*) = 3 from executor where state = 'active'", false).await;

    for run in 0..RUNS {
        api.trigger("wide", &format!("r{run}")).await;
    }
    let some = "select count(*) > 100 from task_instance where state = 'success' and task_id like 't%'";
    fleet.until(&store, some, false).await;
    network.cut(0);
    fleet.until(&store, "select state = 'lost' from executor where name = 'n1'", false).await;
    fleet.until(&store, "select not exists (select from dag_run where state in ('queued', 'running'))", false).await;
    assert!(!processes_of(endless).is_empty(), "a node that cannot be told goes on");
    network.heal(0);
    fleet.until_said("w", "a late result is refused").await;
    fleet.until(&store, "select state = 'active' from executor where name = 'n1'", false).await;
    fleet.until_none_of(endless, Duration::from_secs(30)).await;
    if let Some(boxed) = boxed {
        fleet.until_true("its container is gone", async || !has_container(boxed).await).await;
    }

    let wide: i64 =
        sqlx::query_scalar("select count(*) from task_instance where state = 'success' and task_id like 't%'")
            .fetch_one(store.pool())
            .await
            .unwrap();
    assert_eq!(wide, (RUNS * WIDTH) as i64, "{}", fleet.logs());
    let elsewhere: bool = sqlx::query_scalar(
        "select bool_and(hostname <> 'n1') from task_instance where task_id in ('late', 'endless', 'box')",
    )
    .fetch_one(store.pool())
    .await
    .unwrap();
    assert!(elsewhere);
    Ledger::check(&store, &ledger, "").await;
    assert_eq!(check::invariants(&store).await.unwrap(), []);
}
