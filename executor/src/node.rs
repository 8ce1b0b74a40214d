//! What all parts of a node share.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use updraft_protocol::{Desktop, NodeAttemptState, RunnerStatus, StartedReport};
use uuid::Uuid;

use crate::{
    bundle::Bundles,
    client::Client,
    config::Config,
    desktop,
    journal::Journal,
    logs::Shipper,
    report::Outbox,
    runner::{cgroup::Cgroups, docker::Docker, process::Programs, venv::Environments},
    stats,
};

/// Why an attempt is to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The server cancels it and waits to hear that it is gone.
    Cancel { grace: Duration, reason: String },
    /// The server does not know it (any more): gone without a word.
    Stale,
    /// The node itself ends. Processes go with it; containers stay and are adopted by the next life.
    Shutdown,
}

/// Tells an attempt to stop.
pub(crate) type StopSignal = watch::Receiver<Option<Stop>>;

pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) identity: Uuid,
    /// Random, new at each start of the process.
    pub(crate) session: Uuid,
    pub(crate) hostname: String,
    pub(crate) client: Arc<Client>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) logs: Arc<Shipper>,
    pub(crate) docker: Docker,
    pub(crate) bundles: Bundles,
    /// The folder of the Python shim.
    pub(crate) shim: PathBuf,
    pub(crate) environments: Environments,
    pub(crate) work_dir: PathBuf,
    /// What a task's process inherits: the node's environment without Updraft's own configuration.
    pub(crate) base_env: Vec<(OsString, OsString)>,
    pub(crate) programs: Programs,
    pub(crate) cgroups: Cgroups,
    live: Mutex<HashMap<Uuid, watch::Sender<Option<Stop>>>>,
    /// When the load facts were read, and what they said.
    stats: Mutex<Option<(Instant, BTreeMap<String, f64>)>>,
    /// The same of the screen.
    desktop: AsyncMutex<Option<(Instant, Option<Desktop>)>>,
    /// Cancels received and not yet reported as stopped.
    cancelling: Mutex<HashSet<Uuid>>,
    /// Attempts' tasks and their clean-up.
    pub(crate) tracker: TaskTracker,
    /// Ends loops that outlive the last attempt (reports, logs).
    pub(crate) halt: CancellationToken,
    /// The present poll says something that is no longer true: ask anew.
    pub(crate) ask_again: Notify,
}

pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) identity: Uuid,
    pub(crate) client: Arc<Client>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) logs: Arc<Shipper>,
    pub(crate) docker: Docker,
    pub(crate) bundles: Bundles,
    pub(crate) shim: PathBuf,
    pub(crate) environments: Environments,
    pub(crate) work_dir: PathBuf,
}

impl Node {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { config, identity, client, journal, logs, docker, bundles, shim, environments, work_dir } = parts;
        let session = Uuid::new_v4();
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map_or_else(|_| config.name.clone(), |name| name.trim().to_owned());
        let outbox = Arc::new(Outbox::new(session, Arc::clone(&client), Arc::clone(&journal)));
        let base_env =
            std::env::vars_os().filter(|(name, _)| !name.as_encoded_bytes().starts_with(b"UPDRAFT_")).collect();
        Arc::new(Self {
            config,
            identity,
            session,
            hostname,
            client,
            journal,
            outbox,
            logs,
            docker,
            bundles,
            shim,
            environments,
            work_dir,
            base_env,
            programs: Programs::new(std::env::var_os("PATH")),
            cgroups: Cgroups::new(identity, session),
            live: Mutex::default(),
            stats: Mutex::default(),
            desktop: AsyncMutex::default(),
            cancelling: Mutex::default(),
            tracker: TaskTracker::new(),
            halt: CancellationToken::new(),
            ask_again: Notify::new(),
        })
    }

    /// Enters an attempt among the live ones.
    pub(crate) fn enter(&self, id: Uuid) -> StopSignal {
        let (sender, receiver) = watch::channel(None);
        self.live().insert(id, sender);
        receiver
    }

    /// The attempt's work is over.
    pub(crate) fn leave(&self, id: Uuid) {
        self.live().remove(&id);
    }

    pub(crate) fn live_count(&self) -> usize {
        self.live().len()
    }

    pub(crate) fn is_live(&self, id: Uuid) -> bool {
        self.live().contains_key(&id)
    }

    /// Asks a live attempt to stop; false when there is none. A stronger wish replaces a weaker one: `Stale` and `Cancel` are
    /// the server's and win over `Shutdown`.
    pub(crate) fn stop(&self, id: Uuid, stop: Stop) -> bool {
        let live = self.live();
        let Some(sender) = live.get(&id) else { return false };
        self.journal.set_state(id, NodeAttemptState::Stopping);
        sender.send_if_modified(|current| {
            let change = matches!(current, None | Some(Stop::Shutdown)) && current.as_ref() != Some(&stop);
            if change {
                *current = Some(stop);
            }
            change
        });
        true
    }

    /// A cancel came in; until it is told to be done, the server need not repeat it.
    pub(crate) fn note_cancel(&self, id: Uuid) {
        self.cancels().insert(id);
    }

    /// The server knows that the attempt is gone.
    pub(crate) fn cancel_told(&self, id: Uuid) {
        self.cancels().remove(&id);
    }

    pub(crate) fn cancelling(&self) -> Vec<Uuid> {
        self.cancels().iter().copied().collect()
    }

    fn cancels(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.cancelling.lock().expect("no code panics while it holds the list")
    }

    pub(crate) fn stop_all(&self) {
        for sender in self.live().values() {
            sender.send_if_modified(|current| {
                let change = current.is_none();
                if change {
                    *current = Some(Stop::Shutdown);
                }
                change
            });
        }
    }

    /// Nothing is owed for this attempt any more.
    pub(crate) fn settle(&self, id: Uuid) {
        self.journal.settle(id);
        self.logs.settle(id);
    }

    /// What marks a process as this life's: see [`sweep::NODE_VARIABLE`].
    pub(crate) fn mark(&self) -> String {
        format!("{}:{}", self.identity, self.session)
    }

    /// Load facts for people, at most a few seconds old.
    pub(crate) fn stats(&self) -> BTreeMap<String, f64> {
        let mut cached = self.stats.lock().expect("no code panics while it holds this");
        let mut stats = match &*cached {
            Some((at, stats)) if at.elapsed() < Duration::from_secs(5) => stats.clone(),
            _ => {
                let fresh = stats::read(&self.config.data_dir);
                *cached = Some((Instant::now(), fresh.clone()));
                fresh
            }
        };
        stats.insert("running".to_owned(), self.live_count() as f64);
        stats
    }

    /// The session at the screen, if there is one.
    pub(crate) async fn desktop(&self) -> Option<Desktop> {
        let mut cached = self.desktop.lock().await;
        match &*cached {
            Some((at, desktop)) if at.elapsed() < Duration::from_secs(5) => desktop.clone(),
            _ => {
                let fresh = Box::pin(desktop::read(Path::new("/"), &self.programs)).await;
                *cached = Some((Instant::now(), fresh.clone()));
                fresh
            }
        }
    }

    /// What runs here, for register and poll.
    pub(crate) fn runners(&self) -> Vec<RunnerStatus> {
        let always = |name: &str| RunnerStatus { name: name.to_owned(), available: true, reason: None };
        vec![always("process"), always("native"), self.docker.status()]
    }

    pub(crate) fn started(&self) -> StartedReport {
        StartedReport { hostname: self.config.name.clone(), ..StartedReport::default() }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<Option<Stop>>>> {
        self.live.lock().expect("no code panics while it holds the list")
    }
}
