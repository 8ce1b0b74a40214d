//! A Docker daemon of our own on a socket: what a real one cannot be told to do, and what we ask of it.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use updraft_executor::{Config, DockerMode};

use crate::fake::{Fake, TestNode};

pub(crate) struct Daemon {
    socket: PathBuf,
    seen: Arc<Mutex<Seen>>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    asked: Vec<String>,
    /// The bodies of `POST /containers/create`.
    created: Vec<Value>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Daemon {
    /// Answers as Docker 20.10 does; a started container has ended with exit code 0 already.
    pub(crate) fn start(folder: &std::path::Path) -> Self {
        let socket = folder.join("docker.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { socket, seen, server }
    }

    fn asked(&self) -> Vec<String> {
        self.seen.lock().unwrap().asked.clone()
    }

    /// The body of the last `POST /containers/create`.
    pub(crate) fn created(&self) -> Value {
        self.seen.lock().unwrap().created.last().unwrap().clone()
    }

    /// The configuration of a node on this daemon.
    pub(crate) fn config(&self, fake: &Fake, dir: &std::path::Path) -> Config {
        let mut config = TestNode::config(fake, dir);
        config.docker = DockerMode::Auto;
        config.docker_host = Some(format!("unix://{}", self.socket.display()));
        config
    }
}

async fn answer(State(seen): State<Arc<Mutex<Seen>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    seen.lock().unwrap().asked.push(format!("{method} {path}"));
    let path = path.strip_prefix("/v1.41").unwrap_or(&path);
    if path == "/containers/create" {
        let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
        seen.lock().unwrap().created.push(serde_json::from_slice(&body).unwrap());
    }
    match (&method, path) {
        (&Method::GET, "/_ping") => "OK".into_response(),
        (&Method::GET, "/version") => axum::Json(json!({"Version": "20.10.24", "ApiVersion": "1.41"})).into_response(),
        (&Method::GET, "/containers/json") => axum::Json(json!([])).into_response(),
        (&Method::POST, "/containers/create") => {
            (StatusCode::CREATED, axum::Json(json!({"Id": "c0ffee", "Warnings": ["be careful"]}))).into_response()
        }
        (&Method::GET, path) if path.ends_with("/json") => {
            let state = json!({"Running": false, "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00Z"});
            axum::Json(json!({"Id": "c0ffee", "State": state})).into_response()
        }
        (&Method::GET, path) if path.ends_with("/logs") => {
            let line = b"2026-01-01T00:00:00.000000000Z hello\n";
            let mut frame = vec![1, 0, 0, 0, 0, 0, 0, u8::try_from(line.len()).unwrap()];
            frame.extend_from_slice(line);
            frame.into_response()
        }
        (&Method::POST, path) if path.ends_with("/start") => StatusCode::NO_CONTENT.into_response(),
        (&Method::DELETE, _) => StatusCode::NO_CONTENT.into_response(),
        _ => (StatusCode::NOT_FOUND, axum::Json(json!({"message": "page not found"}))).into_response(),
    }
}

fn task() -> serde_json::Value {
    json!({"operator": "docker", "args": {"image": "any", "command": "true"}})
}

#[tokio::test]
async fn an_old_daemon_is_asked_for_nothing_newer_than_it_speaks() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let node = TestNode::start_with(daemon.config(&fake, dir.path()));
    let id = fake.hand_out(task());
    let report = fake.finished(id).await;
    assert_eq!(report.return_value, Some(json!("hello")), "{:?}", report.failure_reason);
    fake.log_line(id, "be careful").await;
    node.stop().await.unwrap();
    for request in daemon.asked() {
        let (_, path) = request.split_once(' ').unwrap();
        assert!(!path.starts_with("/v") || path.starts_with("/v1.41/") || path == "/version", "{request}");
    }
    let own: Vec<String> = daemon.asked().into_iter().filter(|request| request.contains(&id.to_string())).collect();
    let name = format!("/containers/updraft-{id}");
    assert_eq!(
        own.iter().map(|request| request.replace("/v1.41", "").replace(&name, "")).collect::<Vec<_>>(),
        ["POST /start", "GET /logs", "GET /json", "GET /logs", "DELETE "],
        "nothing more than is needed is asked"
    );
}

#[tokio::test]
async fn a_daemon_that_comes_back_is_noticed() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = TestNode::config(&fake, dir.path());
    config.docker = DockerMode::Auto;
    config.docker_host = Some(format!("unix://{}/docker.sock", dir.path().display()));
    let node = TestNode::start_with(config);
    let early = fake.hand_out(task());
    assert_eq!(fake.finished(early).await.failure_class.as_deref(), Some("docker_unavailable"));
    let _daemon = Daemon::start(dir.path());
    let later = fake.hand_out(task());
    assert_eq!(fake.finished(later).await.outcome, "success");
    fake.wait("a node with Docker", |seen| seen.docker.then_some(())).await;
    node.stop().await.unwrap();
}
