//! The daemon: connected when it answers, looked for again when it does not.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bollard::errors::Error;
use updraft_core::spec::{Failure, FailureClass};
use updraft_protocol::RunnerStatus;

use super::facts::Digests;
use crate::{config::DockerMode, node::Node, runner::failure};

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// Older daemons lack what the runner relies on (Docker 20.10 speaks 1.41).
const OLDEST_API: (usize, usize) = (1, 41);
/// How often the daemon is looked at.
const WATCH: Duration = Duration::from_secs(5);

/// The Docker daemon of this machine.
pub(crate) struct Docker {
    mode: DockerMode,
    host: String,
    state: Mutex<State>,
    /// The digests of images, by id.
    pub(super) digests: Digests,
}

enum State {
    Up(bollard::Docker),
    /// Why containers cannot be started.
    Down(String),
}

impl Docker {
    pub(crate) fn new(mode: DockerMode, host: Option<String>) -> Self {
        let state = match mode {
            DockerMode::Auto => State::Down("not looked for yet".to_owned()),
            DockerMode::Off => State::Down("switched off in this node's configuration".to_owned()),
        };
        Self {
            mode,
            host: host.unwrap_or_else(|| DEFAULT_HOST.to_owned()),
            state: Mutex::new(state),
            digests: Digests::default(),
        }
    }

    /// Whether containers can be started now.
    pub(crate) fn status(&self) -> RunnerStatus {
        let (available, reason) = match &*self.lock() {
            State::Up(_) => (true, None),
            State::Down(reason) => (false, Some(reason.clone())),
        };
        RunnerStatus { name: "docker".to_owned(), available, reason }
    }

    /// A client, when the daemon answers.
    pub(crate) async fn client(&self) -> Result<bollard::Docker, Failure> {
        if let State::Up(client) = &*self.lock() {
            return Ok(client.clone());
        }
        self.check().await;
        match &*self.lock() {
            State::Up(client) => Ok(client.clone()),
            State::Down(reason) => {
                Err(failure(FailureClass::DockerUnavailable, format!("Docker cannot be used on this node: {reason}")))
            }
        }
    }

    /// Looks at the daemon; true when its availability changed.
    pub(crate) async fn check(&self) -> bool {
        if self.mode == DockerMode::Off {
            return false;
        }
        let before = self.status().available;
        let known = match &*self.lock() {
            State::Up(client) => Some(client.clone()),
            State::Down(_) => None,
        };
        let state = match known {
            Some(client) => match client.ping().await {
                Ok(_) => State::Up(client),
                Err(error) => State::Down(self.away(&error)),
            },
            None => self.connect().await.map_or_else(State::Down, State::Up),
        };
        let after = matches!(state, State::Up(_));
        *self.lock() = state;
        before != after
    }

    /// Looks at the daemon every few seconds and tells the server of changes at once.
    pub(crate) async fn watch(node: Arc<Node>) {
        if node.docker.mode == DockerMode::Off {
            return;
        }
        loop {
            if node.docker.check().await {
                let status = node.docker.status();
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
        let client = bollard::Docker::connect_with_host(&self.host).map_err(|error| self.away(&error))?;
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

    fn away(&self, error: &Error) -> String {
        let socket = self.host.strip_prefix("unix://").unwrap_or(&self.host);
        let cause = match error {
            Error::SocketNotFoundError(_) => "the socket does not exist".to_owned(),
            error => deepest(error),
        };
        format!("no Docker daemon answers at {socket} ({cause}). Is dockerd running?")
    }

    /// A failed call as a failure: the daemon away, or its own words.
    pub(crate) fn failure(&self, what: &str, error: &Error) -> Failure {
        match error {
            Error::DockerResponseServerError { message, .. } => {
                failure(FailureClass::ContainerError, format!("{what}: {}.", message.trim().trim_end_matches('.')))
            }
            error if is_away(error) => {
                failure(FailureClass::DockerUnavailable, format!("{what}: {}", self.away(error)))
            }
            error => failure(FailureClass::ContainerError, format!("{what}: {error}.")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the state")
    }
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
