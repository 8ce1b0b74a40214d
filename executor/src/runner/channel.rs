//! What a running Python task asks its node for: XComs, variables, connections. A Unix socket in the attempt's folder, which a
//! container sees through its mount, so that neither the attempt's token nor the server is within the task's reach.
//!
//! One question a connection: a line of JSON (`{"refs": […]}`, references as in the protocol) and a line of answer (`{"values":
//! […]}` in the same order, or `{"error": "…"}`). A node that is restarted opens it again for the containers it adopts.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};
use updraft_core::spec::{Failure, FailureClass};
use updraft_protocol::{Ref, StartAttempt};

use super::{Job, failure};
use crate::{logs::AttemptLog, node::Node, render};

/// In the attempt's folder.
pub(crate) const SOCKET_FILE: &str = ".updraft.sock";
/// A question is some names, not data. Bytes.
const QUESTION_LIMIT: u64 = 256 * 1024;
/// References of one question.
const REF_LIMIT: usize = 1_000;
/// A task that connects has its question ready.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Question {
    refs: Vec<Ref>,
}

/// Answers as long as it lives.
pub(crate) struct Channel {
    path: PathBuf,
    serving: JoinHandle<()>,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.serving.abort();
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "the task's socket is gone already");
        }
    }
}

/// What answers one attempt's questions.
#[derive(Clone)]
struct Desk {
    node: Arc<Node>,
    start: Arc<StartAttempt>,
    log: AttemptLog,
}

impl Channel {
    /// Opens the socket in the attempt's folder; one that an earlier life left there is replaced.
    pub(crate) fn open(job: &Job, folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(SOCKET_FILE);
        let listener = listen(folder).map_err(|error| {
            failure(FailureClass::NodeError, format!("The node cannot listen in the task's folder: {error}."))
        })?;
        let desk = Desk { node: Arc::clone(&job.node), start: Arc::clone(&job.start), log: job.log.clone() };
        let serving = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let desk = desk.clone();
                        tokio::spawn(async move { desk.serve(stream).await });
                    }
                    Err(error) => {
                        tracing::warn!(%error, attempt_id = %desk.start.attempt_id, "a task's question was not taken");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        });
        Ok(Self { path, serving })
    }
}

/// A socket's address has 108 bytes at most, which a folder's path may exceed; the path through the open folder is short.
fn listen(folder: &Path) -> io::Result<UnixListener> {
    use std::os::fd::AsRawFd;
    let path = folder.join(SOCKET_FILE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let handle = std::fs::File::open(folder)?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET_FILE}", handle.as_raw_fd()))?;
    // A container's user need not be this node's; who gets into the folder is its own permissions' affair.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

impl Desk {
    async fn serve(&self, mut stream: UnixStream) {
        let answer = match tokio::time::timeout(PATIENCE, question(&mut stream)).await {
            Ok(Ok(question)) => self.answer(question).await,
            Ok(Err(reason)) => Err(reason),
            Err(_) => Err("the question did not come in time".to_owned()),
        };
        let answer = answer.map_or_else(|error| json!({ "error": error }), |values| json!({ "values": values }));
        let mut line = answer.to_string().into_bytes();
        line.push(b'\n');
        if let Err(error) = stream.write_all(&line).await {
            tracing::debug!(%error, attempt_id = %self.start.attempt_id, "the task does not wait for its answer");
        }
    }

    async fn answer(&self, question: Question) -> Result<Vec<Value>, String> {
        if question.refs.len() > REF_LIMIT {
            return Err(format!("at most {REF_LIMIT} values in one question"));
        }
        let found =
            render::fetch(&self.node, &self.start, question.refs.clone()).await.map_err(|failure| failure.reason)?;
        // Whatever the task prints from here on, the secrets among these stay out of its log.
        self.log.hide(&render::resolved(&found).mask());
        let value = |reference: &Ref| {
            let known = found.iter().find(|known| known.reference == *reference);
            known.and_then(|known| known.value.clone()).unwrap_or_default()
        };
        Ok(question.refs.iter().map(value).collect())
    }
}

async fn question(stream: &mut UnixStream) -> Result<Question, String> {
    let mut line = String::new();
    BufReader::new(stream.take(QUESTION_LIMIT)).read_line(&mut line).await.map_err(|error| error.to_string())?;
    serde_json::from_str(&line).map_err(|error| format!("this is no question to the node: {error}"))
}
