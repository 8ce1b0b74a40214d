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
use serde_json::json;
use tokio::task::JoinHandle;
use updraft_executor::DockerMode;

use crate::fake::{Fake, TestNode};

struct Daemon {
    socket: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Daemon {
    /// Answers as Docker 20.10 does; a started container has ended with exit code 0 already.
    fn start(folder: &std::path::Path) -> Self {
        let socket = folder.join("docker.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&asked));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { socket, asked, server }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(asked): State<Arc<Mutex<Vec<String>>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    asked.lock().unwrap().push(format!("{} {path}", request.method()));
    let path = path.strip_prefix("/v1.41").unwrap_or(&path);
    match (request.method(), path) {
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
    let mut config = TestNode::config(&fake, dir.path());
    config.docker = DockerMode::Auto;
    config.docker_host = Some(format!("unix://{}", daemon.socket.display()));
    let node = TestNode::start_with(config);
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
        ["POST /start", "GET /logs", "GET /json", "DELETE "],
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
