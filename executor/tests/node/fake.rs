//! The server's side of `/executor/v1`, just enough to see what a node does.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use updraft_executor::{Config, DockerMode, ExecutorError};
use updraft_protocol::*;
use uuid::Uuid;

/// How long a test waits for what must happen. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) registers: Vec<RegisterRequest>,
    pub(crate) events: Vec<ReportEvent>,
    pub(crate) logs: HashMap<Uuid, Vec<u8>>,
    pub(crate) xcoms: HashMap<(Uuid, String), Value>,
    pub(crate) resolved: Vec<Ref>,
    /// How many attempts the last poll said are running.
    pub(crate) running: Option<f64>,
    /// A poll said that containers can be started.
    pub(crate) docker: bool,
    /// Why the last poll said that none can be started; empty when they can.
    pub(crate) docker_away: Option<String>,
    pub(crate) reports: usize,
    starts: Vec<StartAttempt>,
    confirmed: HashSet<Uuid>,
    cancels: Vec<CancelAttempt>,
    /// Their events are answered with `stale`.
    pub(crate) stale: HashSet<Uuid>,
    /// Answers 503 to everything.
    pub(crate) down: bool,
    /// Answers 503 to reports only.
    pub(crate) reports_down: bool,
    /// Sessions that registered since the server last forgot them.
    pub(crate) sessions: HashSet<Uuid>,
    pub(crate) refuse: Option<(StatusCode, &'static str)>,
    pub(crate) reconcile: ReconcileResponse,
    /// The runs that the node asked about last.
    pub(crate) runs: Vec<RunRef>,
    pub(crate) bundles: HashMap<String, Vec<u8>>,
    pub(crate) values: Vec<ResolvedRef>,
    /// The tasks that come after any other.
    next: Vec<Value>,
}

impl Seen {
    /// Registrations that offer slots: a node that ends registers once more, with none.
    pub(crate) fn lives(&self) -> impl Iterator<Item = &RegisterRequest> {
        self.registers.iter().filter(|register| register.slots > 0)
    }

    /// As after a failover to a database that never heard of the attempt's start.
    pub(crate) fn forget(&mut self, id: Uuid) {
        self.confirmed.remove(&id);
        self.starts.retain(|start| start.attempt_id != id);
    }
}

pub(crate) struct Fake {
    pub(crate) url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shared = Arc::new(Shared { seen: Mutex::default(), changed: watch::channel(()).0 });
        let router = Router::new()
            .route("/executor/v1/register", post(register))
            .route("/executor/v1/poll", post(poll))
            .route("/executor/v1/report", post(report))
            .route("/executor/v1/reconcile", post(reconcile))
            .route("/executor/v1/attempts/{id}/logs", get(log_size))
            .route("/executor/v1/logs", post(append_logs))
            .route("/executor/v1/attempts/{id}/resolve", post(resolve))
            .route("/executor/v1/attempts/{id}/next", get(next))
            .route("/executor/v1/attempts/{id}/xcom/{key}", put(put_xcom))
            .route("/executor/v1/bundles/{hash}", get(bundle))
            .layer(axum::extract::DefaultBodyLimit::max(64 * 1024 * 1024))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, server }
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.lock()
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let answer = change(&mut self.shared.lock());
        self.shared.changed.send_replace(());
        answer
    }

    /// Waits until `look` finds something.
    pub(crate) async fn wait<T>(&self, what: &str, mut look: impl FnMut(&Seen) -> Option<T>) -> T {
        let mut changed = self.shared.changed.subscribe();
        let found = async {
            loop {
                if let Some(found) = look(&self.shared.lock()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_elapsed| panic!("waited in vain for {what}; events: {:#?}", self.seen().events))
    }

    /// Hands out an attempt.
    pub(crate) fn hand_out(&self, task: Value) -> Uuid {
        let id = Uuid::new_v4();
        self.hand_out_as(id, task);
        id
    }

    /// Says that this task comes after whichever the node runs.
    pub(crate) fn comes_next(&self, task: &Value) {
        self.change(|seen| seen.next.push(spec(Uuid::nil(), task)));
    }

    pub(crate) fn hand_out_as(&self, id: Uuid, task: Value) {
        let start =
            StartAttempt { attempt_id: id, spec: spec(id, &task), token: format!("token-{id}"), refs: Vec::new() };
        self.change(|seen| seen.starts.push(start));
    }

    pub(crate) fn bash(&self, command: &str) -> Uuid {
        self.hand_out(json!({"args": {"bash_command": command}}))
    }

    /// Offers a bundle of these files; answers its hash.
    pub(crate) fn bundle(&self, files: &[(&str, &str)]) -> String {
        let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut archive = tar::Builder::new(gz);
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        let hash = Uuid::new_v4().simple().to_string();
        let bytes = archive.into_inner().unwrap().finish().unwrap();
        self.change(|seen| seen.bundles.insert(hash.clone(), bytes));
        hash
    }

    pub(crate) fn cancel(&self, id: Uuid, grace: Duration) {
        let cancel =
            CancelAttempt { attempt_id: id, grace_ms: grace.as_millis() as u64, reason: "cleared by admin".to_owned() };
        self.change(|seen| seen.cancels.push(cancel));
    }

    /// Waits for an attempt's result.
    pub(crate) async fn finished(&self, id: Uuid) -> FinishedReport {
        self.wait("a result", |seen| {
            seen.events.iter().find_map(|event| match &event.body {
                ReportBody::Finished(report) if event.attempt_id == id => Some(FinishedReport::clone(report)),
                _ => None,
            })
        })
        .await
    }

    /// Waits for a line of an attempt's log.
    pub(crate) async fn log_line(&self, id: Uuid, text: &str) -> LogLine {
        self.wait(&format!("the log line {text:?}"), |seen| {
            lines(seen, id)
                .into_iter()
                .find(|line| !line.event.starts_with("Running command") && line.event.contains(text))
        })
        .await
    }

    /// What the task itself wrote, as far as the server has it.
    pub(crate) fn output(&self, id: Uuid) -> Vec<String> {
        let lines = lines(&self.seen(), id);
        lines.into_iter().filter(|line| line.logger.starts_with("task.")).map(|line| line.event).collect()
    }
}

/// A task of the run `manual__1`, by default a bash task.
fn spec(id: Uuid, task: &Value) -> Value {
    let mut spec = json!({
        "attempt_id": id, "task_id": "t", "map_index": -1, "try_number": 1, "max_tries": 0,
        "operator": "bash", "operator_class": "airflow.providers.standard.operators.bash.BashOperator",
        "args": {}, "env": {}, "execution_timeout": null, "do_xcom_push": true, "multiple_outputs": false, "owner": "airflow",
        "bundle_hash": null, "relative_fileloc": "d.yaml",
        "run": {
            "dag_id": "d", "run_id": "manual__1", "run_type": "manual", "logical_date": "2026-01-02T03:04:05Z",
            "data_interval_start": null, "data_interval_end": null, "run_after": "2026-01-02T03:04:05Z", "start_date": null,
            "conf": {}, "params": {}, "dag_owner": "airflow", "dag_tags": [], "dag_description": null,
            "render_template_as_native_obj": false
        }
    });
    for (name, value) in task.as_object().unwrap() {
        spec[name] = value.clone();
    }
    spec
}

pub(crate) fn lines(seen: &Seen, id: Uuid) -> Vec<LogLine> {
    let Some(bytes) = seen.logs.get(&id) else { return Vec::new() };
    // A request may end in the middle of a line.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    bytes[..whole]
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// Kinds of an attempt's events, in order.
pub(crate) fn kinds(seen: &Seen, id: Uuid) -> Vec<&'static str> {
    let own = seen.events.iter().filter(|event| event.attempt_id == id);
    own.map(|event| match event.body {
        ReportBody::Preparing { .. } => "preparing",
        ReportBody::Started(_) => "started",
        ReportBody::Finished(_) => "finished",
        ReportBody::Stopped => "stopped",
    })
    .collect()
}

/// A node under test.
pub(crate) struct TestNode {
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), ExecutorError>>>,
}

impl TestNode {
    pub(crate) fn config(fake: &Fake, dir: &std::path::Path) -> Config {
        Self::config_at(&fake.url, dir)
    }

    pub(crate) fn config_at(server: &str, dir: &std::path::Path) -> Config {
        let mut config = Config::new("n1", server, "token".to_owned().into(), dir.to_owned());
        config.docker = DockerMode::Off;
        config.stop_grace = Duration::from_millis(500);
        config
    }

    pub(crate) fn start(fake: &Fake, dir: &std::path::Path) -> Self {
        Self::start_with(Self::config(fake, dir))
    }

    pub(crate) fn start_with(config: Config) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(updraft_executor::run(config, stop.clone()));
        Self { stop, task: Some(task) }
    }

    /// Stops it cleanly.
    pub(crate) async fn stop(mut self) -> Result<(), ExecutorError> {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task.take().unwrap()).await.expect("the node stops in time").unwrap()
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self) -> Result<(), ExecutorError> {
        tokio::time::timeout(PATIENCE, self.task.take().unwrap()).await.expect("the node ends").unwrap()
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

type Server = State<Arc<Shared>>;

fn error(status: StatusCode, code: &str) -> Response {
    (status, Json(ErrorResponse { code: code.to_owned(), detail: format!("fake: {code}") })).into_response()
}

fn down() -> Response {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    response.headers_mut().insert("retry-after", "0".parse().unwrap());
    response
}

fn gate(seen: &Seen, session: Option<Uuid>) -> Option<Response> {
    if seen.down {
        return Some(down());
    }
    if let Some((status, code)) = seen.refuse {
        return Some(error(status, code));
    }
    let known = session.is_none_or(|session| seen.sessions.contains(&session));
    (!known).then(|| error(StatusCode::CONFLICT, "unknown_session"))
}

async fn register(State(shared): Server, Json(request): Json<RegisterRequest>) -> Response {
    let mut seen = shared.lock();
    if let Some(response) = gate(&seen, None) {
        return response;
    }
    seen.sessions.insert(request.session);
    seen.registers.push(request);
    let reconcile = seen.reconcile.clone();
    drop(seen);
    shared.changed.send_replace(());
    Json(RegisterResponse { executor_id: 1, protocol: 1, lease_ms: 30_000, poll_ms: 200, reconcile_ms: 200, reconcile })
        .into_response()
}

async fn poll(State(shared): Server, Json(request): Json<PollRequest>) -> Response {
    let mut changed = shared.changed.subscribe();
    let deadline = tokio::time::Instant::now() + Duration::from_millis(200);
    {
        let mut seen = shared.lock();
        seen.running = request.stats.get("running").copied();
        let docker = request.runners.iter().find(|runner| runner.name == "docker").unwrap();
        seen.docker |= docker.available;
        seen.docker_away.clone_from(&docker.reason);
    }
    shared.changed.send_replace(());
    loop {
        {
            let seen = shared.lock();
            if let Some(response) = gate(&seen, Some(request.session)) {
                return response;
            }
            let start: Vec<_> = seen
                .starts
                .iter()
                .filter(|start| {
                    !request.have.contains(&start.attempt_id) && !seen.confirmed.contains(&start.attempt_id)
                })
                .cloned()
                .collect();
            let cancel: Vec<_> = seen
                .cancels
                .iter()
                .filter(|cancel| !request.cancelling.contains(&cancel.attempt_id))
                .cloned()
                .collect();
            if !start.is_empty() || !cancel.is_empty() || tokio::time::Instant::now() >= deadline {
                return Json(PollResponse { start, cancel, drain: false }).into_response();
            }
        }
        let _ = tokio::time::timeout_at(deadline, changed.changed()).await;
    }
}

async fn report(State(shared): Server, Json(request): Json<ReportRequest>) -> Response {
    let mut seen = shared.lock();
    seen.reports += 1;
    if seen.reports_down {
        drop(seen);
        shared.changed.send_replace(());
        return down();
    }
    if let Some(response) = gate(&seen, Some(request.session)) {
        return response;
    }
    let mut results = Vec::new();
    for event in request.events {
        results.push(if seen.stale.contains(&event.attempt_id) { ReportResult::Stale } else { ReportResult::Ok });
        match &event.body {
            ReportBody::Started(_) | ReportBody::Finished(_) => {
                seen.confirmed.insert(event.attempt_id);
            }
            ReportBody::Stopped => seen.cancels.retain(|cancel| cancel.attempt_id != event.attempt_id),
            ReportBody::Preparing { .. } => {}
        }
        seen.events.push(event);
    }
    drop(seen);
    shared.changed.send_replace(());
    Json(ReportResponse { results }).into_response()
}

async fn reconcile(State(shared): Server, Json(request): Json<ReconcileRequest>) -> Response {
    let mut seen = shared.lock();
    if !request.runs.is_empty() {
        seen.runs.clone_from(&request.runs);
    }
    if let Some(response) = gate(&seen, Some(request.session)) {
        return response;
    }
    Json(seen.reconcile.clone()).into_response()
}

async fn append_logs(State(shared): Server, body: Bytes) -> Response {
    let mut seen = shared.lock();
    if seen.down {
        return down();
    }
    let mut answers = Vec::new();
    for (piece, range) in LogsRequest::split(&body).unwrap() {
        let log = seen.logs.entry(piece.attempt_id).or_default();
        // Behind a gap nothing is taken.
        if let Some(known) = log.len().checked_sub(piece.offset as usize) {
            log.extend_from_slice(body[range].get(known..).unwrap_or_default());
        }
        answers.push(LogAnswer::Has { size: log.len() as u64 });
    }
    drop(seen);
    shared.changed.send_replace(());
    Json(LogsResponse { answers, gather_ms: 0 }).into_response()
}

async fn log_size(State(shared): Server, Path(id): Path<Uuid>) -> Response {
    let seen = shared.lock();
    if seen.down {
        return down();
    }
    Json(LogSizeResponse { size: seen.logs.get(&id).map_or(0, |log| log.len() as u64) }).into_response()
}

async fn resolve(
    State(shared): Server,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
    Json(request): Json<ResolveRequest>,
) -> Response {
    assert_eq!(headers[ATTEMPT_TOKEN_HEADER], format!("token-{id}"));
    let mut seen = shared.lock();
    let refs = request.refs.iter().map(|reference| {
        let known = seen.values.iter().find(|value| value.reference == *reference);
        ResolvedRef { reference: reference.clone(), value: known.and_then(|known| known.value.clone()) }
    });
    let response = ResolveResponse { refs: refs.collect() };
    seen.resolved.extend(request.refs);
    Json(response).into_response()
}

async fn next(State(shared): Server, Path(id): Path<Uuid>, headers: HeaderMap) -> Response {
    assert_eq!(headers[ATTEMPT_TOKEN_HEADER], format!("token-{id}"));
    Json(NextResponse { specs: shared.lock().next.clone() }).into_response()
}

async fn put_xcom(
    State(shared): Server,
    Path((id, key)): Path<(Uuid, String)>,
    headers: HeaderMap,
    Json(value): Json<Value>,
) -> Response {
    assert_eq!(headers[ATTEMPT_TOKEN_HEADER], format!("token-{id}"));
    shared.lock().xcoms.insert((id, key), value);
    StatusCode::NO_CONTENT.into_response()
}

async fn bundle(State(shared): Server, Path(hash): Path<String>) -> Response {
    match shared.lock().bundles.get(&hash) {
        Some(bytes) => bytes.clone().into_response(),
        None => error(StatusCode::NOT_FOUND, "unknown_bundle"),
    }
}
