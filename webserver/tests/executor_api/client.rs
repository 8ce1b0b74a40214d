//! A node, as far as HTTP goes.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use updraft_core::lease::Lease;
use updraft_protocol::{PollRequest, PollResponse, RegisterRequest, RegisterResponse};
use updraft_store::nodes;
use updraft_webserver::{
    executor_api::{ExecutorApi, ExecutorSettings, router},
    logs::{DEFAULT_LIMIT, LogStore},
};
use uuid::Uuid;

use crate::seed::{Node, Seed};

/// A webserver's routes and a node's token.
pub(crate) struct Client {
    pub(crate) seed: Seed,
    pub(crate) shutdown: CancellationToken,
    pub(crate) token: String,
    pub(crate) logs: LogStore,
    router: Router,
    _folder: tempfile::TempDir,
}

/// An answer: status and body.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The status and the code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let body: updraft_protocol::ErrorResponse = self.json();
        assert!(!body.detail.is_empty());
        (self.status.as_u16(), body.code)
    }
}

impl Client {
    pub(crate) async fn new() -> Self {
        let seed = Seed::new().await;
        let token = nodes::create_token(&seed.store, "http").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let settings = ExecutorSettings {
            token_ttl: Duration::ZERO,
            lease: Lease::new(Duration::from_secs(15)),
            ..ExecutorSettings::new("attempt secret".into())
        };
        let logs = LogStore::open(folder.path(), DEFAULT_LIMIT).unwrap();
        let api = ExecutorApi::new(seed.store.clone(), settings, logs.clone(), shutdown.clone());
        Self { seed, shutdown, token, logs, router: router(api), _folder: folder }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Answer {
        let mut request = Request::builder().method(method).uri(path).body(body).unwrap();
        let bearer = format!("Bearer {}", self.token);
        request.headers_mut().insert(header::AUTHORIZATION, bearer.parse().unwrap());
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec();
        Answer { status, body }
    }

    pub(crate) async fn post(&self, path: &str, body: impl Serialize) -> Answer {
        self.send(Method::POST, path, &[], serde_json::to_vec(&body).unwrap().into()).await
    }

    /// Registers a node that has nothing.
    pub(crate) async fn node(&self, name: &str) -> Node {
        let request = registration(name);
        let answer = self.post("/register", &request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
        let answer: RegisterResponse = answer.json();
        Node { id: answer.executor_id, identity: request.identity, session: request.session }
    }

    pub(crate) async fn poll(&self, node: Node, have: &[Uuid]) -> PollResponse {
        let answer = self.post("/poll", poll_request(node, have)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }
}

pub(crate) fn poll_request(node: Node, have: &[Uuid]) -> PollRequest {
    PollRequest {
        session: node.session,
        have: have.to_vec(),
        cancelling: Vec::new(),
        free_slots: 4,
        runners: Vec::new(),
        stats: [("cpu".to_owned(), 0.5)].into(),
        desktop: None,
    }
}

pub(crate) fn registration(name: &str) -> RegisterRequest {
    serde_json::from_value(json!({
        "name": name, "identity": Uuid::new_v4(), "session": Uuid::new_v4(), "hostname": "h", "version": "0",
        "protocol_min": 1, "protocol_max": 1, "slots": 4, "labels": {}, "queues": [], "runners": [], "attempts": []
    }))
    .unwrap()
}

/// A `finished` event of a successful attempt.
#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
pub(crate) fn finished(attempt: Uuid, return_value: Value) -> Value {
    json!({
        "attempt_id": attempt, "age_ms": 0, "kind": "finished", "outcome": "success",
        "started": {"hostname": "n1", "pid": 1}, "duration_ms": 5, "exit_code": 0,
        "failure_class": null, "failure_reason": null, "return_value": return_value, "rendered_fields": null
    })
}
