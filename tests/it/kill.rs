//! `kill -9` of schedulers, the webserver and executors, at random and exactly between two steps, while 50 runs are going.
//!
//! Each task appends its start and its end with its attempt id to a ledger. Afterwards the ledger is held against the
//! attempts: nothing ran that nobody knows of, nothing ended twice, tries overlapped only after a lost node, and every run
//! came to its end without anybody's help.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rand::Rng;
use updraft_store::{Store, check};

use super::support::{
    fleet::{Fleet, PATIENCE},
    process::finish,
    write,
};

const RUNS: usize = 50;
const KILLS: usize = 24;

/// Four tasks that write a ledger, and a decision.
fn write_dag(fleet: &Fleet) {
    let ledger = fleet.path("ledger");
    let bash = |task: &str| {
        format!(
            "    bash: |\n      echo \"start {{{{ run_id }}}} {task} {{{{ ti.try_number }}}} $UPDRAFT_ATTEMPT_ID\" >> {path}\n      \
             sleep 0.1\n      echo \"end {{{{ run_id }}}} {task} {{{{ ti.try_number }}}} $UPDRAFT_ATTEMPT_ID\" >> {path}\n",
            path = ledger.display()
        )
    };
    let dag = format!(
        "max_active_runs: 50\nis_paused_upon_creation: false\ndefault_args: {{retries: 20, retry_delay: 0}}\ntasks:\n  a:\n{}  b:\n{}    \
         depends_on: a\n  c:\n{}    depends_on: a\n  gate:\n    short_circuit: \"{{{{ 'yes' }}}}\"\n    depends_on: a\n  d:\n{}    \
         depends_on: [b, c, gate]\n",
        bash("a"),
        bash("b"),
        bash("c"),
        bash("d")
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
    check_ledger(&store, &fleet.path("ledger"), seed).await;
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    run: String,
    task: String,
    try_number: i32,
}

async fn check_ledger(store: &Store, ledger: &Path, seed: u64) {
    let known: Vec<(String, String, i32, uuid::Uuid, Option<String>)> = sqlx::query_as(
        "select r.run_id, t.task_id, t.try_number, t.attempt_id, t.failure_class
         from task_instance t join dag_run r on r.id = t.dag_run_id
         union all
         select r.run_id, h.task_id, h.try_number, h.attempt_id, h.failure_class
         from task_instance_history h join dag_run r on r.id = h.dag_run_id",
    )
    .fetch_all(store.pool())
    .await
    .unwrap();
    let attempts: HashMap<uuid::Uuid, (Key, Option<String>)> = known
        .into_iter()
        .map(|(run, task, try_number, attempt, class)| (attempt, (Key { run, task, try_number }, class)))
        .collect();
    let mut ended: BTreeSet<Key> = BTreeSet::new();
    let mut open: HashMap<(String, String), BTreeMap<i32, uuid::Uuid>> = HashMap::new();
    let text = fs::read_to_string(ledger).unwrap();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [what, run, task, try_number, attempt] = words[..] else { panic!("half a line: {line:?} (seed {seed})") };
        let attempt: uuid::Uuid = attempt.parse().unwrap();
        let key = Key { run: run.into(), task: task.into(), try_number: try_number.parse().unwrap() };
        let (known, _) = attempts.get(&attempt).unwrap_or_else(|| panic!("nobody knows of {line:?} (seed {seed})"));
        assert_eq!(known, &key, "seed {seed}");
        let tries = open.entry((key.run.clone(), key.task.clone())).or_default();
        if what == "start" {
            // Whatever has not ended here was lost with its node, or killed with it: never simply forgotten.
            for earlier in tries.values() {
                let class = attempts[earlier].1.as_deref();
                assert!(
                    matches!(class, Some("node_lost" | "launch_timeout" | "node_error" | "signal")),
                    "{line:?} overlaps an earlier try that ended as {class:?} (seed {seed})"
                );
            }
            tries.insert(key.try_number, attempt);
        } else {
            assert!(ended.insert(key.clone()), "{line:?} ended twice (seed {seed})");
            tries.remove(&key.try_number);
        }
    }
    assert!(ended.len() >= RUNS * 4, "{} ends for {} tasks (seed {seed})", ended.len(), RUNS * 4);
}
