//! The HTTP client of `/executor/v1`: one connection pool for results, one for logs, so that no log ever delays a result.

use std::time::Duration;

use rand::Rng;
use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{DATE, RETRY_AFTER},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use updraft_core::{lease::Lease, metrics::NODE_CALL_FAILURES};
use updraft_protocol::{
    ATTEMPT_TOKEN_HEADER, AboutResponse, ErrorResponse, LogSizeResponse, LogsRequest, LogsResponse, NextResponse,
    PollRequest, PollResponse, ReconcileRequest, ReconcileResponse, Ref, RegisterRequest, RegisterResponse,
    ReportRequest, ReportResponse, ResolveRequest, ResolveResponse, ResolvedRef,
};
use uuid::Uuid;

use crate::config::ExecutorError;

/// Every call but `poll` and bundles ends within this.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Why a call did not succeed, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer, or one that says "later": try again, not before `retry_after`.
    #[error("{reason}")]
    Later { reason: String, retry_after: Option<Duration> },
    /// The server forgot this session: register again.
    #[error("the server does not know this session")]
    UnknownSession,
    /// The server will not have this node; trying again changes nothing.
    #[error("{code}: {detail}")]
    Refused { code: String, detail: String },
    /// This one request is not acceptable; trying again changes nothing.
    #[error("{status}: {detail}")]
    Rejected { status: StatusCode, detail: String, body: Value },
}

pub(crate) struct Client {
    results: reqwest::Client,
    logs: reqwest::Client,
    base: String,
    token: SecretString,
}

impl Client {
    pub(crate) fn new(server: &str, token: SecretString) -> Result<Self, ExecutorError> {
        let url = reqwest::Url::parse(server)
            .map_err(|error| ExecutorError::Server { server: server.to_owned(), reason: error.to_string() })?;
        let (Some(host), "http" | "https") = (url.host_str(), url.scheme()) else {
            return Err(ExecutorError::Server {
                server: server.to_owned(),
                reason: "scheme or host is missing".to_owned(),
            });
        };
        let loopback = host == "localhost" || host.starts_with("127.") || host == "[::1]";
        let build = |idle: usize| {
            let mut builder = reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(5))
                .pool_max_idle_per_host(idle)
                .pool_idle_timeout(Duration::from_mins(1))
                .tcp_nodelay(true)
                .user_agent(concat!("updraft-executor/", env!("CARGO_PKG_VERSION")));
            if loopback {
                builder = builder.no_proxy();
            }
            if url.scheme() == "http" {
                // No TLS on this connection: do not read the system's certificates, which a small image may not even have.
                builder = builder.tls_certs_only([]);
            }
            builder.build()
        };
        Ok(Self { results: build(4)?, logs: build(4)?, base: server.trim_end_matches('/').to_owned(), token })
    }

    pub(crate) async fn register(&self, request: &RegisterRequest) -> Result<RegisterResponse, CallError> {
        self.post("register", request, TIMEOUT).await
    }

    /// Who the server is, and the `Date` of its answer, of a refusal too.
    pub(crate) async fn about(&self) -> (Result<AboutResponse, CallError>, Option<String>) {
        let request = self.results.get(self.url("about")).timeout(TIMEOUT).bearer_auth(self.token.expose_secret());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return (Err(later(&error)), None),
        };
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
        let answer = if response.status().is_success() { read(response).await } else { Err(refusal(response).await) };
        (answer, date)
    }

    /// Asks for work. `held` is how long the server may hold the request.
    pub(crate) async fn poll(
        &self,
        request: &PollRequest,
        held: Duration,
        lease: Lease,
    ) -> Result<PollResponse, CallError> {
        self.post("poll", request, held + lease.patience()).await
    }

    pub(crate) async fn report(&self, request: &ReportRequest) -> Result<ReportResponse, CallError> {
        self.post("report", request, TIMEOUT).await
    }

    pub(crate) async fn reconcile(&self, request: &ReconcileRequest) -> Result<ReconcileResponse, CallError> {
        self.post("reconcile", request, TIMEOUT).await
    }

    /// Fetches what a template names and the hand-out did not bring.
    pub(crate) async fn resolve(&self, id: Uuid, token: &str, refs: Vec<Ref>) -> Result<Vec<ResolvedRef>, CallError> {
        let request = self
            .results
            .post(self.url(&format!("attempts/{id}/resolve")))
            .header(ATTEMPT_TOKEN_HEADER, token)
            .timeout(TIMEOUT)
            .json(&ResolveRequest { refs });
        Ok(read::<ResolveResponse>(self.send(request).await?).await?.refs)
    }

    /// The tasks after an attempt's whose containers may be created while it runs.
    pub(crate) async fn next(&self, id: Uuid, token: &str) -> Result<Vec<Value>, CallError> {
        let request = self
            .results
            .get(self.url(&format!("attempts/{id}/next")))
            .header(ATTEMPT_TOKEN_HEADER, token)
            .timeout(TIMEOUT);
        Ok(read::<NextResponse>(self.send(request).await?).await?.specs)
    }

    /// Puts one XCom that is too large for the report.
    pub(crate) async fn put_xcom(&self, id: Uuid, token: &str, key: &str, value: &Value) -> Result<(), CallError> {
        let request = self
            .results
            .put(self.url(&format!("attempts/{id}/xcom/{key}")))
            .header(ATTEMPT_TOKEN_HEADER, token)
            .timeout(Duration::from_mins(1))
            .json(value);
        self.send(request).await.map(drop)
    }

    /// A bundle's archive (`tar.gz`), as it streams in.
    pub(crate) async fn bundle(&self, hash: &str) -> Result<Response, CallError> {
        self.send(self.results.get(self.url(&format!("bundles/{hash}"))).timeout(Duration::from_mins(5))).await
    }

    /// Appends to attempts' logs; `bytes` are those of the pieces, one after the other.
    pub(crate) async fn send_logs(&self, request: &LogsRequest, bytes: &[u8]) -> Result<LogsResponse, CallError> {
        let request = self
            .logs
            .post(self.url("logs"))
            .header("content-type", "application/octet-stream")
            .timeout(TIMEOUT)
            .body(request.body(bytes));
        read(self.send(request).await?).await
    }

    /// How many bytes of an attempt's log the server has.
    pub(crate) async fn log_size(&self, id: Uuid) -> Result<u64, CallError> {
        let request = self.logs.get(self.url(&format!("attempts/{id}/logs"))).timeout(TIMEOUT);
        Ok(read::<LogSizeResponse>(self.send(request).await?).await?.size)
    }

    async fn post<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        body: &Q,
        timeout: Duration,
    ) -> Result<A, CallError> {
        read(self.send(self.results.post(self.url(path)).timeout(timeout).json(body)).await?).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}/executor/v1/{path}", self.base)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CallError> {
        let answered = match request.bearer_auth(self.token.expose_secret()).send().await {
            Ok(response) if response.status().is_success() => return Ok(response),
            Ok(response) => refusal(response).await,
            Err(error) => later(&error),
        };
        if matches!(answered, CallError::Later { .. }) {
            metrics::counter!(NODE_CALL_FAILURES.name).increment(1);
        }
        Err(answered)
    }
}

async fn read<A: DeserializeOwned>(response: Response) -> Result<A, CallError> {
    response.json().await.map_err(|error| later(&error))
}

/// A transport error in one line, with its causes: reqwest's own text says only "error sending request".
fn later(error: &reqwest::Error) -> CallError {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        reason = format!("{reason}: {inner}");
        cause = inner.source();
    }
    CallError::Later { reason, retry_after: None }
}

async fn refusal(response: Response) -> CallError {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let text = response.text().await.unwrap_or_default();
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let (code, detail) = match serde_json::from_value::<ErrorResponse>(body.clone()) {
        Ok(error) => (error.code, error.detail),
        Err(_) => (String::new(), text.chars().take(300).collect()),
    };
    match (status, code.as_str()) {
        (_, "unknown_session") => CallError::UnknownSession,
        (_, "name_taken" | "token_revoked" | "protocol") => CallError::Refused { code, detail },
        (StatusCode::UNAUTHORIZED, _) => CallError::Refused { code: "unauthorized".to_owned(), detail },
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT, _) => {
            CallError::Later { reason: format!("{status} {detail}"), retry_after }
        }
        _ if status.is_server_error() => CallError::Later { reason: format!("{status} {detail}"), retry_after },
        _ => CallError::Rejected { status, detail, body },
    }
}

/// Delays between tries: doubling from 100 ms to 5 s, each drawn from the upper half of its range so that nodes spread out.
pub(crate) struct Backoff {
    next: Duration,
    last: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LAST: Duration = Duration::from_secs(5);

    pub(crate) fn new() -> Self {
        Self { next: Self::FIRST, last: Self::LAST }
    }

    /// For what keeps the lease: a shorter one leaves less time between tries.
    pub(crate) fn within(lease: Lease) -> Self {
        Self { next: Self::FIRST, last: lease.retry() }
    }

    /// How long to wait before the next try; never less than the server asked for.
    pub(crate) fn delay(&mut self, error: &CallError) -> Duration {
        let drawn = self.next.mul_f64(rand::rng().random_range(0.5..1.0));
        self.next = (self.next * 2).min(self.last);
        match error {
            CallError::Later { retry_after: Some(asked), .. } => drawn + *asked,
            _ => drawn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_limit_and_heeds_retry_after() {
        let mut backoff = Backoff::new();
        let error = CallError::Later { reason: String::new(), retry_after: None };
        let delays: Vec<_> = (0..10).map(|_| backoff.delay(&error)).collect();
        assert!(delays[0] <= Duration::from_millis(100));
        assert!(delays.iter().all(|delay| *delay <= Backoff::LAST));
        assert!(delays[9] >= Backoff::LAST / 2);
        let asked = CallError::Later { reason: String::new(), retry_after: Some(Duration::from_secs(7)) };
        assert!(backoff.delay(&asked) >= Duration::from_secs(7));
    }
}
