//! The daemon: connected when it answers, looked for again when it does not.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, errors::Error};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use updraft_core::spec::{Failure, FailureClass};
use updraft_protocol::RunnerStatus;

use super::{
    ahead::Ahead,
    facts::Digests,
    image::Pulls,
    keep::RunKey,
    room::{self, Rooms},
};
use crate::{
    config::{Config, DockerMode},
    node::Node,
    runner::failure,
};

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// Older daemons lack what the runner relies on (Docker 20.10 speaks 1.41).
const OLDEST_API: (usize, usize) = (1, 41);
/// How often the daemon is looked at.
const WATCH: Duration = Duration::from_secs(5);
/// A daemon that says nothing for this long hangs. Generous: it may be busy with a hundred containers.
const SILENCE: Duration = Duration::from_secs(15);
/// A daemon whose disk was full is offered again after this long.
const FULL: Duration = Duration::from_secs(60);
/// A request waits this long for the beginning of its answer. Seconds.
const REQUEST: u64 = 120;

/// The Docker daemon of this machine.
pub(crate) struct Docker {
    mode: DockerMode,
    host: String,
    /// A folder with `ca.pem`, `cert.pem` and `key.pem`, when it is spoken to by TLS.
    certificates: Option<PathBuf>,
    state: watch::Sender<State>,
    /// When its disk was full, in its words.
    full: Mutex<Option<(Instant, String)>>,
    pub(super) pulls: Pulls,
    pub(super) rooms: Rooms,
    pub(super) ahead: Ahead,
    /// The digests of images, by id.
    pub(super) digests: Digests,
}

enum State {
    Up(bollard::Docker),
    /// Why containers cannot be started.
    Down(String),
}

impl Docker {
    pub(crate) fn new(config: &Config) -> Self {
        let state = match config.docker {
            DockerMode::Auto => State::Down("not looked for yet".to_owned()),
            DockerMode::Off => State::Down("switched off in this node's configuration".to_owned()),
        };
        Self {
            mode: config.docker,
            host: config.docker_host.clone().unwrap_or_else(|| DEFAULT_HOST.to_owned()),
            certificates: config.docker_certificates.clone(),
            state: watch::Sender::new(state),
            full: Mutex::default(),
            pulls: Pulls::default(),
            rooms: room::rooms(),
            ahead: Ahead::new(config.prewarm),
            digests: Digests::default(),
        }
    }

    /// Whether containers can be started now.
    pub(crate) fn status(&self) -> RunnerStatus {
        let reason = match &*self.state.borrow() {
            State::Up(_) => self.full(),
            State::Down(reason) => Some(reason.clone()),
        };
        RunnerStatus { name: "docker".to_owned(), available: reason.is_none(), reason }
    }

    /// Why the daemon, though it answers, is not offered.
    fn full(&self) -> Option<String> {
        let full = self.full.lock().expect("no code panics while it holds this");
        full.as_ref().filter(|(at, _)| at.elapsed() < FULL).map(|(_, words)| format!("Docker's disk is full: {words}"))
    }

    /// A client, when the daemon answers.
    pub(crate) async fn client(&self) -> Result<bollard::Docker, Failure> {
        if let Some(client) = self.connected() {
            return Ok(client);
        }
        self.check().await;
        match &*self.state.borrow() {
            State::Up(client) => Ok(client.clone()),
            State::Down(reason) => Err(unusable(reason)),
        }
    }

    /// A client; a daemon that does not answer is waited for.
    pub(super) async fn wait(&self, patience: Duration) -> Result<bollard::Docker, Failure> {
        let deadline = Instant::now() + patience;
        loop {
            match self.client().await {
                Ok(client) => return Ok(client),
                Err(failure) if Instant::now() >= deadline => return Err(failure),
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }

    /// The version of its API that the daemon speaks, for people.
    pub(crate) async fn api_version(&self) -> String {
        let version = match self.client().await {
            Ok(client) => client.version().await.ok().and_then(|version| version.api_version),
            Err(_) => None,
        };
        version.unwrap_or_else(|| "of unknown version".to_owned())
    }

    /// A client, if the daemon answered when it was looked at last.
    pub(super) fn connected(&self) -> Option<bollard::Docker> {
        match &*self.state.borrow() {
            State::Up(client) => Some(client.clone()),
            State::Down(_) => None,
        }
    }

    /// The node ends: nothing is fetched or created ahead any more.
    pub(crate) fn close(&self) {
        self.pulls.close();
        self.ahead.close();
    }

    /// Runs for whose tasks a container is kept here: the server says which of them are over.
    pub(crate) fn runs(&self) -> HashSet<RunKey> {
        let mut runs = self.rooms.runs();
        runs.extend(self.ahead.kept.runs());
        runs
    }

    /// These runs ended.
    pub(crate) fn over(&self, runs: &[RunKey]) {
        self.rooms.over(runs);
        self.ahead.kept.over(runs);
    }

    /// Waits until the daemon, which answered before, does not any more.
    pub(super) async fn lost(&self) -> Failure {
        let mut state = self.state.subscribe();
        match state.wait_for(|state| matches!(state, State::Down(_))).await.as_deref() {
            Ok(State::Down(reason)) => unusable(reason),
            Ok(State::Up(_)) | Err(_) => unusable("this node ends"),
        }
    }

    /// Looks at the daemon.
    pub(crate) async fn check(&self) {
        if self.mode == DockerMode::Off {
            return;
        }
        let known = self.connected();
        let look = async {
            match known {
                Some(client) => match client.ping().await {
                    Ok(_) => State::Up(client),
                    Err(error) => State::Down(self.away(&error)),
                },
                None => self.connect().await.map_or_else(State::Down, State::Up),
            }
        };
        let silent = || {
            State::Down(format!(
                "the Docker daemon at {} takes requests and does not answer within {} s; it hangs, or the machine is overloaded",
                self.address(),
                SILENCE.as_secs()
            ))
        };
        let state = timeout(SILENCE, look).await.unwrap_or_else(|_elapsed| silent());
        self.state.send_replace(state);
    }

    /// Looks at the daemon every few seconds and tells the server of changes at once.
    pub(crate) async fn watch(node: Arc<Node>) {
        if node.docker.mode == DockerMode::Off {
            return;
        }
        let mut offered = node.docker.status().available;
        loop {
            node.docker.check().await;
            let status = node.docker.status();
            if status.available != offered {
                offered = status.available;
                tracing::info!(
                    available = status.available,
                    reason = status.reason,
                    "the Docker runner's availability changed"
                );
                node.ask_again.notify_one();
            }
            tokio::select! {
                () = tokio::time::sleep(WATCH) => {}
                () = node.halt.cancelled() => return,
            }
        }
    }

    async fn connect(&self) -> Result<bollard::Docker, String> {
        // A socket is this machine's own.
        let client = match self.certificates.as_ref().filter(|_| !self.host.starts_with("unix://")) {
            Some(folder) => self.connect_with_tls(folder)?,
            None if self.host.starts_with("https://") => {
                return Err(format!(
                    "{} wants TLS: name the folder with ca.pem, cert.pem and key.pem in `docker_cert_path` (executor), \
                     or in DOCKER_CERT_PATH with DOCKER_TLS_VERIFY=1",
                    self.host
                ));
            }
            // Not by bollard's own choice, which reads the environment: what counts is this node's configuration.
            None if self.host.starts_with("tcp://") || self.host.starts_with("http://") => {
                bollard::Docker::connect_with_http(&self.host, REQUEST, API_DEFAULT_VERSION)
                    .map_err(|error| self.away(&error))?
            }
            None => bollard::Docker::connect_with_host(&self.host).map_err(|error| self.away(&error))?,
        };
        let client = client.with_request_modifier(|mut request| {
            // bollard 0.21 writes this header in the other alphabet than the daemon reads, which then takes it for none.
            if let Some(login) = request.headers_mut().get_mut("x-registry-auth")
                && let Some(text) = login.to_str().ok().map(|text| text.replace('+', "-").replace('/', "_"))
                && let Ok(value) = text.parse()
            {
                *login = value;
            }
            request
        });
        // bollard 0.21 does not send the version (it loses the path prefix); should a later one, this keeps it right.
        let client = client.negotiate_version().await.map_err(|error| self.away(&error))?;
        let version = client.version().await.map_err(|error| self.away(&error))?;
        let api = version.api_version.unwrap_or_default();
        let spoken = api.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        if spoken.is_some_and(|spoken| spoken >= OLDEST_API) {
            return Ok(client);
        }
        let server = version.version.unwrap_or_else(|| "of unknown version".to_owned());
        Err(format!(
            "the daemon at {} (Docker {server}) speaks API {api}; 1.41 (Docker 20.10) or newer is needed",
            self.host
        ))
    }

    fn connect_with_tls(&self, folder: &Path) -> Result<bollard::Docker, String> {
        let [key, cert, ca] = ["key.pem", "cert.pem", "ca.pem"].map(|name| folder.join(name));
        if let Some(absent) = [&key, &cert, &ca].into_iter().find(|file| !file.is_file()) {
            return Err(format!(
                "the daemon at {} is to be spoken to by TLS, and `{}` is not there",
                self.host,
                absent.display()
            ));
        }
        bollard::Docker::connect_with_ssl(&self.host, &key, &cert, &ca, REQUEST, API_DEFAULT_VERSION)
            .map_err(|error| self.away(&error))
    }

    /// Where the daemon listens, as people write it.
    fn address(&self) -> &str {
        self.host.strip_prefix("unix://").unwrap_or(&self.host)
    }

    fn away(&self, error: &Error) -> String {
        let cause = match error {
            Error::SocketNotFoundError(_) => "the socket does not exist".to_owned(),
            error => deepest(error),
        };
        format!("no Docker daemon answers at {} ({cause}). Is dockerd running?", self.address())
    }

    /// A failed call as a failure: the daemon away, its disk full, or its own words.
    pub(crate) fn failure(&self, what: &str, error: &Error) -> Failure {
        match error {
            Error::DockerResponseServerError { message, .. } | Error::DockerStreamError { error: message } => {
                let words = message.trim().trim_end_matches('.');
                if words.contains("no space left on device") {
                    *self.full.lock().expect("no code panics while it holds this") =
                        Some((Instant::now(), words.to_owned()));
                    let reason = format!("{what}: Docker's disk on this node is full ({words}).");
                    return failure(FailureClass::DockerUnavailable, reason);
                }
                failure(FailureClass::ContainerError, format!("{what}: {words}."))
            }
            error if is_away(error) => {
                failure(FailureClass::DockerUnavailable, format!("{what}: {}", self.away(error)))
            }
            error => failure(FailureClass::ContainerError, format!("{what}: {error}.")),
        }
    }
}

fn unusable(reason: &str) -> Failure {
    failure(FailureClass::DockerUnavailable, format!("Docker cannot be used on this node: {reason}"))
}

/// Whether an error means that the daemon did not answer.
pub(super) fn is_away(error: &Error) -> bool {
    matches!(
        error,
        Error::SocketNotFoundError(_)
            | Error::HyperLegacyError { .. }
            | Error::HyperResponseError { .. }
            | Error::IOError { .. }
            | Error::RequestTimeoutError
    )
}

/// Whether the daemon answered with this status.
pub(super) fn has_status(error: &Error, status: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// The innermost cause: "client error (Connect)" alone helps nobody.
fn deepest(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
