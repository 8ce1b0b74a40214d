//! A deployment as separate processes, each of which may be killed, at random or exactly between two steps: two schedulers, a
//! webserver and executors on one database.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use updraft_store::{Store, testing::TestDb};

use super::{
    open_folder,
    process::{finish, updraft},
    write,
};

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(110);
/// The password of `admin`.
pub(crate) const PASSWORD: &str = "fleet-test";

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

/// The processes are killed when it is dropped.
pub(crate) struct Fleet {
    folder: TempDir,
    pub(crate) db: TestDb,
    pub(crate) port: u16,
    processes: BTreeMap<&'static str, Child>,
    pub(crate) rng: StdRng,
    /// How many processes died so far.
    pub(crate) kills: usize,
}

impl Fleet {
    /// Nothing runs yet.
    pub(crate) async fn new(seed: u64) -> Self {
        let folder = open_folder();
        let db = TestDb::new().await;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::create_dir_all(folder.path().join("bin")).unwrap();
        fs::create_dir_all(folder.path().join("dags")).unwrap();
        Self { folder, db, port, processes: BTreeMap::new(), rng: StdRng::seed_from_u64(seed), kills: 0 }
    }

    /// A file or folder of the deployment. What lies in `bin` is a program that tasks find.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = updraft(self.folder.path());
        command
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.path("bin").display()))
            .env("UPDRAFT__DATABASE__URL", &self.db.url)
            .env("UPDRAFT__AUTH__ADMIN_PASSWORD", PASSWORD)
            .env("UPDRAFT__AUTH__JWT_SECRET", "a secret of sixty-four characters, the same for all webservers!!")
            .env("UPDRAFT__CORE__DATA_DIR", self.path("data"))
            .env("UPDRAFT__CORE__DAGS_FOLDER", self.path("dags"))
            .env("UPDRAFT__WEBSERVER__PORT", self.port.to_string())
            .env("UPDRAFT__EXECUTOR__LEASE", "3")
            .env("UPDRAFT__EXECUTOR__DOCKER", "false")
            .env("UPDRAFT__CLIENT__SERVER", format!("http://127.0.0.1:{}", self.port))
            .env("UPDRAFT__CLIENT__PASSWORD", PASSWORD);
        command
    }

    /// Starts a process; armed, it dies by itself at one of its role's failpoints, once in a while.
    pub(crate) fn start(&mut self, name: &'static str, armed: bool) {
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
    pub(crate) fn revive(&mut self, armed: bool) -> usize {
        let dead: Vec<&'static str> =
            self.processes.iter_mut().filter_map(|(name, child)| child.try_wait().unwrap().map(|_| *name)).collect();
        for name in &dead {
            self.start(name, armed);
        }
        dead.len()
    }

    /// Kills a process and waits for its end.
    pub(crate) async fn kill(&mut self, name: &'static str) {
        if let Some(mut child) = self.processes.remove(name) {
            // It may have died by a failpoint a moment ago; that is a kill too.
            let _ = child.start_kill();
            child.wait().await.unwrap();
        }
        self.kills += 1;
    }

    /// Kills one of them and, after a while, starts it anew.
    pub(crate) async fn kill_one(&mut self) {
        let names: Vec<&'static str> = self.processes.keys().copied().collect();
        let name = names[self.rng.random_range(0..names.len())];
        self.kill(name).await;
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..400))).await;
        self.start(name, true);
    }

    /// Starts all five, none armed, with a node token.
    pub(crate) async fn begin(&mut self) {
        let token = finish(self.command().args(["executor", "token", "create", "fleet"])).await;
        assert_eq!(token.code, Some(0), "{}", token.stderr);
        write(self.folder.path(), "token", &token.stdout);
        for name in ["s1", "s2", "w", "n1", "n2"] {
            self.start(name, false);
        }
    }

    /// Waits until a query says true, and starts anew what dies meanwhile.
    pub(crate) async fn until(&mut self, store: &Store, what: &'static str, armed: bool) {
        let begun = Instant::now();
        while !sqlx::query_scalar::<_, bool>(what).fetch_one(store.pool()).await.unwrap() {
            self.kills += self.revive(armed);
            assert!(begun.elapsed() < PATIENCE, "never true: {what}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the webserver takes connections.
    pub(crate) async fn until_it_answers(&self) {
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "the webserver does not answer\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The last words of every process.
    pub(crate) fn logs(&self) -> String {
        let tail = |name: &&str| {
            let text = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(15).collect();
            format!("--- {name}\n{}\n", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        };
        ["s1", "s2", "w", "n1", "n2"].iter().map(tail).collect()
    }
}
