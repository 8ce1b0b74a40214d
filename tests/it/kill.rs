//! `kill -9` of schedulers, the webserver and executors, at random and exactly between two steps, while 50 runs are going.
//!
//! Each task appends its start and its end with its attempt id to a ledger. Afterwards the ledger is held against the
//! attempts: nothing ran that nobody knows of, nothing ended twice, tries overlapped only after a lost node, and every run
//! came to its end without anybody's help.

use std::{
    fs,
    time::{Duration, Instant},
};

use rand::Rng;
use updraft_store::{Store, check};

use super::support::{
    fleet::{Fleet, PATIENCE},
    ledger::{self, Ledger},
    process::finish,
    write,
};

const RUNS: usize = 50;
const KILLS: usize = 24;

/// Four tasks that write a ledger, and a decision.
fn write_dag(fleet: &Fleet) {
    let ledger = fleet.path("ledger");
    let bash = ledger::script(&ledger, "sleep 0.1");
    let dag = format!(
        "max_active_runs: 50\nis_paused_upon_creation: false\ndefault_args: {{retries: 20, retry_delay: 0}}\ntasks:\n  a:\n{bash}  b:\n{bash}    \
         depends_on: a\n  c:\n{bash}    depends_on: a\n  gate:\n    short_circuit: \"{{{{ 'yes' }}}}\"\n    depends_on: a\n  d:\n{bash}    \
         depends_on: [b, c, gate]\n"
    );
    write(&fleet.path("dags"), "ledger.yaml", &dag);
    fs::write(&ledger, "").unwrap();
}

async fn count(store: &Store, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(store.pool()).await.unwrap()
}

async fn exists(store: &Store, run_id: &str) -> bool {
    sqlx::query_scalar("select exists (select 1 from dag_run where run_id = $1)")
        .bind(run_id)
        .fetch_one(store.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_ends_twice_whoever_dies_when() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut fleet = Fleet::new(seed).await;
    write_dag(&fleet);
    let store = fleet.db.store().await;
    fleet.begin().await;
    fleet.until(&store, "select exists (select 1 from dag where dag_id = 'ledger' and not is_paused)", false).await;
    let begun = Instant::now();
    for run in 0..RUNS {
        let id = format!("run{run}");
        while !exists(&store, &id).await {
            // An answer that was lost says nothing: look whether the run is there, as a person would.
            let said = finish(fleet.command().args(["dags", "trigger", "ledger", "--run-id", &id])).await;
            assert!(begun.elapsed() < PATIENCE, "{}\n{}", said.stderr, fleet.logs());
            fleet.kills += fleet.revive(true);
        }
        // The first deaths come while runs are still being triggered.
        if run % 10 == 9 {
            fleet.kill_one().await;
        }
    }
    while fleet.kills < KILLS {
        fleet.kill_one().await;
        let pause = fleet.rng.random_range(100..700);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        fleet.kills += fleet.revive(true);
    }
    fleet.until(&store, "select not exists (select 1 from dag_run where state in ('queued', 'running'))", false).await;
    assert_eq!(count(&store, "select count(*) from dag_run where state = 'success'").await, RUNS as i64, "seed {seed}");
    assert_eq!(check::invariants(&store).await.unwrap(), [], "seed {seed}");
    let ledger = Ledger::check(&store, &fleet.path("ledger"), &format!("seed {seed}")).await;
    assert!(ledger.ended.len() >= RUNS * 4, "{} ends for {} tasks (seed {seed})", ledger.ended.len(), RUNS * 4);
}
