//! What a node is told at start, and why it refuses to start or gives up.

use std::{collections::BTreeMap, ffi::OsString, io, path::PathBuf, time::Duration};

use secrecy::SecretString;

/// Whether the Docker runner is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DockerMode {
    /// Offered whenever a daemon answers, looked for again while none does.
    #[default]
    Auto,
    /// Never touched.
    Off,
}

/// A node's configuration. [`Config::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Shown as `hostname` of the node's tasks; unique among live nodes.
    pub name: String,
    /// `http://host:port` of any webserver of the deployment.
    pub server: String,
    /// The node token (`updraft executor token create`).
    pub token: SecretString,
    /// Identity, journal, log spool, bundles, working folders. One process at a time.
    pub data_dir: PathBuf,
    /// How many attempts run at once.
    pub slots: u32,
    /// Its share of the work where it is given out by weight, beside the other nodes' weights. At least 1.
    pub weight: u32,
    pub labels: BTreeMap<String, String>,
    /// Named queues it serves; empty means `default`.
    pub queues: Vec<String>,
    pub docker: DockerMode,
    /// `unix:///path` or `tcp://host:port`; without it `/var/run/docker.sock`.
    pub docker_host: Option<String>,
    /// A folder with `ca.pem`, `cert.pem` and `key.pem`: the daemon is spoken to by TLS.
    pub docker_certificates: Option<PathBuf>,
    /// Whether a task may have `privileged`.
    pub docker_privileged: bool,
    /// How many containers of tasks to come may be there, created and not started.
    pub prewarm: u32,
    /// When set, `bash` and `python` tasks that name no image run in a container of this one.
    pub default_image: Option<String>,
    /// Between SIGTERM and SIGKILL when the node itself stops a task (timeout, shutdown).
    pub stop_grace: Duration,
    /// How long results are kept and replayed on request.
    pub keep_results: Duration,
    /// Bytes of logs that may wait on this node's disk for the server.
    pub log_spool_limit: u64,
    /// The shell of `bash` tasks; a name is looked up in `PATH`.
    pub shell: OsString,
    /// The interpreter of `python` tasks that name none.
    pub python: OsString,
    /// How much room virtual environments of tasks may take that are not in use. Bytes.
    pub venv_cache: u64,
    /// The binary's version, for people.
    pub version: String,
}

impl Config {
    /// A node with the defaults: 8 slots, weight 1, queue `default`, Docker if there is one, no container ahead, 10 s grace, results kept for 24 h,
    /// 4 GiB of logs that wait.
    pub fn new(name: impl Into<String>, server: impl Into<String>, token: SecretString, data_dir: PathBuf) -> Self {
        Self {
            name: name.into(),
            server: server.into(),
            token,
            data_dir,
            slots: 8,
            weight: 1,
            labels: BTreeMap::new(),
            queues: Vec::new(),
            docker: DockerMode::Auto,
            docker_host: None,
            docker_certificates: None,
            docker_privileged: false,
            prewarm: 0,
            default_image: None,
            stop_grace: Duration::from_secs(10),
            keep_results: Duration::from_hours(24),
            log_spool_limit: 4 << 30,
            shell: "bash".into(),
            python: "python3".into(),
            venv_cache: 4 << 30,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl Config {
    /// The image of a task's container: the one it names, or the node's for tasks that name none.
    pub(crate) fn image(&self, named: Option<String>) -> Option<String> {
        named.or_else(|| self.default_image.clone())
    }
}

/// Why a node does not run. Everything that may pass (the server away, Docker away) is waited for instead.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The data folder cannot be used.
    #[error("the executor's data folder `{path}` cannot be used: {source}")]
    DataDir { path: PathBuf, source: io::Error },
    /// Another process holds the data folder.
    #[error(
        "another executor already runs on the data folder `{path}`; stop it, or give this one a folder of its own (--data-dir)"
    )]
    Locked { path: PathBuf },
    /// The server's URL is not one.
    #[error("the server `{server}` is not an http(s) URL such as http://127.0.0.1:8080: {reason}")]
    Server { server: String, reason: String },
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// The server will not have this node: wrong or revoked token, name taken, protocol too old or too new.
    #[error("the server refuses this node ({code}): {detail}")]
    Refused { code: String, detail: String },
}
