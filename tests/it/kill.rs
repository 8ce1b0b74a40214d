//! `kill -9` of schedulers, the webserver and executors, at random and exactly between two steps, while 50 runs are going.
//!
//! Each task appends its start and its end with its attempt id to a ledger. Afterwards the ledger is held against the
//! attempts: nothing ran that nobody knows of, nothing ended twice, tries overlapped only after a lost node, and every run
//! came to its end without anybody's help.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use updraft_store::{Store, check, testing::TestDb};

use super::support::{
    open_folder,
    process::{finish, updraft},
    write,
};

const RUNS: usize = 50;
const KILLS: usize = 24;
const PATIENCE: Duration = Duration::from_secs(110);

/// Where a process may die between two steps; each process is armed with one of its role's, or none.
const SCHEDULER_FAILPOINTS: &[&str] = &[
    "plan.locked",
    "plan.written",
    "plan.before_commit",
    "plan.after_commit",
    "dispatch.before_commit",
    "dispatch.after_commit",
    "start_queued.before_commit",
    "start_queued.after_commit",
    "triggerer.before_commit",
    "triggerer.after_commit",
];
const WEBSERVER_FAILPOINTS: &[&str] = &[
    "poll.before_commit",
    "poll.after_commit",
    "report.before_commit",
    "report.after_commit",
    "register.after_commit",
];

struct Fleet {
    folder: TempDir,
    db: TestDb,
    port: u16,
    processes: BTreeMap<&'static str, Child>,
    rng: StdRng,
    kills: usize,
}

impl Fleet {
    async fn new(seed: u64) -> Self {
        let folder = open_folder();
        let db = TestDb::new().await;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let ledger = folder.path().join("ledger");
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
        write(&folder.path().join("dags"), "ledger.yaml", &dag);
        fs::write(&ledger, "").unwrap();
        Self { folder, db, port, processes: BTreeMap::new(), rng: StdRng::seed_from_u64(seed), kills: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = updraft(self.folder.path());
        command
            .env("UPDRAFT__DATABASE__URL", &self.db.url)
            .env("UPDRAFT__AUTH__ADMIN_PASSWORD", "kill-test")
            .env("UPDRAFT__AUTH__JWT_SECRET", "a secret of sixty-four characters, the same for all webservers!!")
            .env("UPDRAFT__CORE__DATA_DIR", self.path("data"))
            .env("UPDRAFT__CORE__DAGS_FOLDER", self.path("dags"))
            .env("UPDRAFT__WEBSERVER__PORT", self.port.to_string())
            .env("UPDRAFT__EXECUTOR__LEASE", "3")
            .env("UPDRAFT__EXECUTOR__DOCKER", "false")
            .env("UPDRAFT__CLIENT__SERVER", format!("http://127.0.0.1:{}", self.port))
            .env("UPDRAFT__CLIENT__PASSWORD", "kill-test");
        command
    }

    /// Starts a process; armed, it dies by itself at one of its role's failpoints, once in a while.
    fn start(&mut self, name: &'static str, armed: bool) {
        let mut command = self.command();
        let points: &[&str] = match name {
            "s1" | "s2" => {
                command.arg("scheduler");
                SCHEDULER_FAILPOINTS
            }
            "w" => {
                command.arg("webserver");
                WEBSERVER_FAILPOINTS
            }
            node => {
                let server = format!("http://127.0.0.1:{}", self.port);
                command.args(["executor", "--name", node, "--server", &server]);
                command.arg("--token-file").arg(self.path("token"));
                command.env("UPDRAFT__CORE__DATA_DIR", self.path(node)).env("UPDRAFT__EXECUTOR__SLOTS", "8");
                &[]
            }
        };
        if armed && !points.is_empty() && self.rng.random_bool(0.6) {
            let point = points[self.rng.random_range(0..points.len())];
            command.env("UPDRAFT_FAILPOINTS", format!("{point}=abort@{}", self.rng.random_range(1..40)));
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path(&format!("{name}.log"))).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.processes.insert(name, command.spawn().unwrap());
    }

    /// Restarts what died by itself; returns how many did.
    fn revive(&mut self, armed: bool) -> usize {
        let dead: Vec<&'static str> =
            self.processes.iter_mut().filter_map(|(name, child)| child.try_wait().unwrap().map(|_| *name)).collect();
        for name in &dead {
            self.start(name, armed);
        }
        dead.len()
    }

    async fn kill_one(&mut self) {
        let names: Vec<&'static str> = self.processes.keys().copied().collect();
        let name = names[self.rng.random_range(0..names.len())];
        if let Some(mut child) = self.processes.remove(name) {
            // It may have died by a failpoint a moment ago; that is a kill too.
            let _ = child.start_kill();
            child.wait().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..400))).await;
        self.start(name, true);
        self.kills += 1;
    }

    fn logs(&self) -> String {
        let tail = |name: &&str| {
            let text = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(15).collect();
            format!("--- {name}\n{}\n", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        };
        ["s1", "s2", "w", "n1", "n2"].iter().map(tail).collect()
    }
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
    let store = fleet.db.store().await;
    let token = finish(fleet.command().args(["executor", "token", "create", "kill"])).await;
    assert_eq!(token.code, Some(0), "{}", token.stderr);
    write(fleet.folder.path(), "token", &token.stdout);
    for name in ["s1", "s2", "w", "n1", "n2"] {
        fleet.start(name, false);
    }
    let begun = Instant::now();
    while count(&store, "select count(*) from dag where dag_id = 'ledger' and not is_paused").await == 0 {
        assert!(begun.elapsed() < PATIENCE, "the DAG file is not read:\n{}", fleet.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
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
    let begun = Instant::now();
    while count(&store, "select count(*) from dag_run where state in ('queued', 'running')").await > 0 {
        fleet.revive(false);
        assert!(begun.elapsed() < PATIENCE, "runs do not end (seed {seed}):\n{}", fleet.logs());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
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
