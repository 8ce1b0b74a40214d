//! A deployment as separate processes, each of which may be killed, at random or exactly between two steps: two schedulers, a
//! webserver and executors on one database.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use updraft_store::{Store, StoreConfig, testing::TestDb};
use uuid::Uuid;

use super::{
    api::Api,
    open_folder,
    postgres::Postgres,
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

/// Where a deployment has its state.
pub(crate) enum Database {
    /// On the test cluster.
    Shared(Box<TestDb>),
    /// On a server that the test may stop.
    Own(Postgres),
}

impl Database {
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Shared(db) => db.url.clone(),
            Self::Own(postgres) => postgres.url(),
        }
    }

    pub(crate) async fn store(&self) -> Store {
        let config = StoreConfig { url: self.url(), pool_size: 8, application_name: "updraft test".to_owned() };
        Store::connect(config).await.unwrap()
    }
}

/// The processes are killed when it is dropped.
pub(crate) struct Fleet {
    folder: TempDir,
    pub(crate) db: Database,
    pub(crate) port: u16,
    /// Where the webserver listens, and nodes look for it.
    pub(crate) host: String,
    /// The executors that [`Self::begin`] starts.
    pub(crate) nodes: Vec<&'static str>,
    /// What all processes have in their environment, over what they usually have.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// What the program of a process is started with: a namespace to enter, a clock to believe.
    pub(crate) wrappers: BTreeMap<&'static str, Vec<String>>,
    processes: BTreeMap<&'static str, Child>,
    pub(crate) rng: StdRng,
    /// How many processes died so far.
    pub(crate) kills: usize,
}

impl Fleet {
    /// Nothing runs yet.
    pub(crate) async fn new(seed: u64) -> Self {
        Self::on(seed, open_folder(), Database::Shared(Box::new(TestDb::new().await)))
    }

    /// With a Postgres of its own, which may be stopped.
    pub(crate) async fn with_own_postgres(seed: u64) -> (Self, Store) {
        let folder = open_folder();
        let postgres = Postgres::start(folder.path().join("postgres")).await;
        let fleet = Self::on(seed, folder, Database::Own(postgres));
        let store = fleet.db.store().await;
        store.migrate().await.unwrap();
        (fleet, store)
    }

    fn on(seed: u64, folder: TempDir, db: Database) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::create_dir_all(folder.path().join("bin")).unwrap();
        fs::create_dir_all(folder.path().join("dags")).unwrap();
        Self {
            folder,
            db,
            port,
            host: "127.0.0.1".to_owned(),
            nodes: vec!["n1", "n2"],
            variables: Vec::new(),
            wrappers: BTreeMap::new(),
            processes: BTreeMap::new(),
            rng: StdRng::seed_from_u64(seed),
            kills: 0,
        }
    }

    /// A file or folder of the deployment. What lies in `bin` is a program that tasks find.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = updraft(self.folder.path());
        command
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.path("bin").display()))
            .env("UPDRAFT__DATABASE__URL", self.db.url())
            .env("UPDRAFT__AUTH__ADMIN_PASSWORD", PASSWORD)
            .env("UPDRAFT__AUTH__JWT_SECRET", "a secret of sixty-four characters, the same for all webservers!!")
            .env("UPDRAFT__CORE__DATA_DIR", self.path("data"))
            .env("UPDRAFT__CORE__DAGS_FOLDER", self.path("dags"))
            .env("UPDRAFT__WEBSERVER__HOST", &self.host)
            .env("UPDRAFT__WEBSERVER__PORT", self.port.to_string())
            .env("UPDRAFT__EXECUTOR__LEASE", "3")
            .env("UPDRAFT__EXECUTOR__DOCKER", "false")
            .env("UPDRAFT__CLIENT__SERVER", self.url())
            .env("UPDRAFT__CLIENT__PASSWORD", PASSWORD)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The webserver's.
    pub(crate) fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }

    /// The REST API, once the webserver answers.
    pub(crate) async fn api(&self) -> Api {
        self.until_it_answers().await;
        Api::login(&self.url(), PASSWORD).await
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
                command.args(["executor", "--name", node, "--server", &self.url()]);
                command.arg("--token-file").arg(self.path("token"));
                command.env("UPDRAFT__CORE__DATA_DIR", self.path(node)).env("UPDRAFT__EXECUTOR__SLOTS", "8");
                &[]
            }
        };
        if armed && !points.is_empty() && self.rng.random_bool(0.6) {
            let point = points[self.rng.random_range(0..points.len())];
            command.env("UPDRAFT_FAILPOINTS", format!("{point}=abort@{}", self.rng.random_range(1..40)));
        }
        if let Some(wrapper) = self.wrappers.get(name) {
            command = wrapped(wrapper, &command);
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
        for name in ["s1", "s2", "w"].into_iter().chain(self.nodes.clone()) {
            self.start(name, false);
        }
    }

    /// Writes a DAG, starts everything, and waits until the DAG is there and every node has registered.
    pub(crate) async fn begin_with(&mut self, store: &Store, dag_id: &str, dag: &str) {
        write(&self.path("dags"), &format!("{dag_id}.yaml"), dag);
        self.begin().await;
        let ready = format!(
            "select exists (select from dag where dag_id = '{dag_id}' and not is_paused)
                    and (select count(*) from executor where state = 'active') = {}",
            self.nodes.len()
        );
        self.until(store, &ready, false).await;
    }

    /// The server of [`Self::with_own_postgres`].
    pub(crate) fn postgres(&self) -> &Postgres {
        match &self.db {
            Database::Own(postgres) => postgres,
            Database::Shared(_) => panic!("the test cluster is everybody's"),
        }
    }

    /// Waits until something is so.
    pub(crate) async fn until_true(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !is_so().await {
            assert!(begun.elapsed() < PATIENCE, "never: {what}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until an attempt has no process any more, for at most so long.
    pub(crate) async fn until_none_of(&self, attempt: Uuid, patience: Duration) {
        let begun = Instant::now();
        while let [pid, ..] = processes_of(attempt)[..] {
            assert!(
                begun.elapsed() < patience,
                "process {pid} of {attempt} is there after {patience:?}\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a signal to a process, which goes on or not.
    pub(crate) fn signal(&self, name: &'static str, signal: Signal) {
        let id = self.processes[name].id().expect("it runs");
        kill(Pid::from_raw(id.cast_signed()), signal).unwrap();
    }

    /// What a process has said so far.
    pub(crate) fn said(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// Waits until a process has said something.
    pub(crate) async fn until_said(&self, name: &str, what: &str) {
        let begun = Instant::now();
        while !self.said(name).contains(what) {
            assert!(begun.elapsed() < PATIENCE, "{name} never says {what:?}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a query says true, and starts anew what dies meanwhile.
    pub(crate) async fn until(&mut self, store: &Store, what: &str, armed: bool) {
        let begun = Instant::now();
        while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(what)).fetch_one(store.pool()).await.unwrap() {
            self.kills += self.revive(armed);
            assert!(begun.elapsed() < PATIENCE, "never true: {what}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the webserver takes connections.
    pub(crate) async fn until_it_answers(&self) {
        let begun = Instant::now();
        while tokio::net::TcpStream::connect((self.host.as_str(), self.port)).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "the webserver does not answer\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The last words of every process.
    pub(crate) fn logs(&self) -> String {
        let tail = |name: &&str| {
            let text = self.said(name);
            let lines: Vec<&str> = text.lines().rev().take(15).collect();
            format!("--- {name}\n{}\n", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        };
        ["s1", "s2", "w"].iter().chain(&self.nodes).map(tail).collect()
    }
}

/// The same command, run by a wrapper that becomes it.
fn wrapped(wrapper: &[String], command: &Command) -> Command {
    let command = command.as_std();
    let mut outer = Command::new(&wrapper[0]);
    outer.args(&wrapper[1..]).arg(command.get_program()).args(command.get_args()).env_clear();
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer.stdin(Stdio::null()).kill_on_drop(true);
    outer
}

/// Docker is a part of what is promised; where it is not, say so and test the rest.
pub(crate) async fn docker_answers() -> bool {
    let answers = Command::new("docker").arg("info").output().await.is_ok_and(|output| output.status.success());
    if !answers {
        eprintln!("skipped: no Docker daemon answers");
    }
    answers
}

/// Whether there is a container of an attempt.
pub(crate) async fn has_container(attempt: Uuid) -> bool {
    let filter = format!("name=updraft-{attempt}");
    let listed = Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output().await.unwrap();
    !listed.stdout.is_empty()
}

/// The live processes of an attempt: all carry it in their environment.
pub(crate) fn processes_of(attempt: Uuid) -> Vec<i32> {
    let mark = format!("UPDRAFT_ATTEMPT_ID={attempt}").into_bytes();
    let id = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| id(entry.ok()?));
    // One that ends meanwhile, or is a zombie, has no environment.
    let of_attempt = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    pids.filter(of_attempt).collect()
}
