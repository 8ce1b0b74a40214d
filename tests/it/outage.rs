//! The webserver, then Postgres, is away for several leases while tasks run: they go on, what they came to arrives afterwards, and no
//! attempt is fenced because nobody could hear the nodes (DESIGN §5).
//!
//! Scaled down: a lease of 3 s and an outage of five. `UPDRAFT_TEST_OUTAGE=120` makes it two minutes with the usual lease.

use std::time::Duration;

use updraft_store::{Store, check};

use super::support::{
    api::Api,
    fleet::Fleet,
    ledger::{self, Key, Ledger},
};

const RUNS: usize = 4;
/// Tasks of a run: two that take long, and two rows of short ones.
const SHORT: usize = 6;
const TASKS: usize = RUNS * (2 + 2 * SHORT);

/// How long the outage lasts.
fn outage() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a test is made longer by hand")]
    let seconds = std::env::var("UPDRAFT_TEST_OUTAGE").ok().map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(15))
}

/// A DAG whose tasks have no second try: an attempt that is fenced fails its run. One long task ends in the middle of the outage,
/// one after it.
fn dag(fleet: &Fleet, outage: Duration) -> String {
    let ledger = fleet.path("ledger");
    std::fs::write(&ledger, "").unwrap();
    let task = |name: &str, seconds: f64, upstream: &str| {
        // The last line of its output is a task's result.
        let work = format!(
            "echo began $UPDRAFT_ATTEMPT_ID; sleep {seconds}; echo done $UPDRAFT_ATTEMPT_ID; echo result of {name}"
        );
        let depends = if upstream.is_empty() { String::new() } else { format!("    depends_on: {upstream}\n") };
        format!("  {name}:\n{}{depends}", ledger::script(&ledger, &work))
    };
    let seconds = outage.as_secs_f64();
    let mut dag =
        "max_active_runs: 50\nis_paused_upon_creation: false\ndefault_args: {retries: 0}\ntasks:\n".to_owned();
    dag += &task("long_within", seconds / 2.0, "");
    dag += &task("long_after", seconds + 1.0, "");
    for number in 0..SHORT {
        dag += &task(&format!("first_{number}"), 0.3, "");
        dag += &task(&format!("then_{number}"), 0.3, &format!("first_{number}"));
    }
    dag
}

/// Starts the load and waits until all long tasks run.
async fn under_load(fleet: &mut Fleet, store: &Store) -> Api {
    let seconds = outage();
    if seconds < Duration::from_mins(1) {
        fleet.variables.push(("UPDRAFT__EXECUTOR__LEASE", "3".to_owned()));
    } else {
        fleet.variables.push(("UPDRAFT__EXECUTOR__LEASE", "30".to_owned()));
    }
    let dag = dag(fleet, seconds);
    fleet.begin_with(store, "load", &dag).await;
    let api = fleet.api().await;
    for run in 0..RUNS {
        api.trigger("load", &format!("r{run}")).await;
    }
    let running =
        format!("select count(*) = {} from attempt where task_id like 'long%' and started_at is not null", 2 * RUNS);
    fleet.until(store, &running, false).await;
    api
}

/// Waits for the end of all runs and holds what came of them against what should have.
async fn nothing_is_lost_doubled_or_fenced(fleet: &mut Fleet, store: &Store, api: &Api) {
    fleet.until(store, "select not exists (select from dag_run where state in ('queued', 'running'))", false).await;
    let failed: Vec<(String, String, i32, Option<String>)> = sqlx::query_as(
        "select task_id, state, try_number, failure_reason from task_instance where state <> 'success' or try_number <> 1",
    )
    .fetch_all(store.pool())
    .await
    .unwrap();
    assert!(failed.is_empty(), "{failed:#?}\n{}", fleet.logs());
    for scheduler in ["s1", "s2"] {
        assert!(!fleet.said(scheduler).contains("the node is lost"), "{}", fleet.said(scheduler));
    }
    let ledger = Ledger::check(store, &fleet.path("ledger"), "").await;
    assert_eq!((ledger.ended.len(), ledger.overlapping), (TASKS, 0));
    let results: i64 = sqlx::query_scalar(
        "select count(*) from xcom x where key = 'return_value' and value #>> '{}' = 'result of ' || task_id",
    )
    .fetch_one(store.pool())
    .await
    .unwrap();
    assert_eq!(results, TASKS as i64);
    for Key { run, task, .. } in ledger.ended {
        let path = format!("/api/v2/dags/load/dagRuns/{run}/taskInstances/{task}/logs/1?full_content=true");
        // Logs travel beside the results, and may come after them.
        let said = async || -> Vec<usize> {
            let log = api.get(&path).await;
            let count = |word: &str| {
                let lines = log["content"].as_array().into_iter().flatten().filter_map(|line| line["event"].as_str());
                lines.filter(|line| line.starts_with(word)).count()
            };
            ["began ", "done ", "result of "].map(count).to_vec()
        };
        fleet.until_true(&path, async || said().await.iter().all(|count| *count > 0)).await;
        assert_eq!(said().await, [1, 1, 1], "no line twice: {path}");
    }
    assert_eq!(check::invariants(store).await.unwrap(), []);
}

/// Lets the outage pass, and says how many tasks ended in it.
async fn pass(fleet: &Fleet) -> usize {
    let before = Ledger::count_ended(&fleet.path("ledger"));
    // It is the length of the outage that is tested: there is nothing to wait for.
    tokio::time::sleep(outage()).await;
    Ledger::count_ended(&fleet.path("ledger")) - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webserver_that_is_away_costs_nothing_but_time() {
    let mut fleet = Fleet::new(0).await;
    let store = fleet.db.store().await;
    let api = under_load(&mut fleet, &store).await;
    fleet.kill("w").await;
    assert!(pass(&fleet).await >= RUNS, "tasks go on");
    fleet.start("w", false);
    nothing_is_lost_doubled_or_fenced(&mut fleet, &store, &api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_away_costs_nothing_but_time() {
    let (mut fleet, store) = Fleet::with_own_postgres(0).await;
    let api = under_load(&mut fleet, &store).await;
    fleet.postgres().stop().await;
    assert!(pass(&fleet).await >= RUNS, "tasks go on");
    assert_eq!(fleet.revive(false), 0, "every process stays up\n{}", fleet.logs());
    fleet.postgres().resume().await;
    nothing_is_lost_doubled_or_fenced(&mut fleet, &store, &api).await;
}
