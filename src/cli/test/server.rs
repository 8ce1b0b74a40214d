//! `/executor/v1` for one node of this process, on a loopback port. Logs go to stdout as they come.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    routing::{get, post, put},
};
use serde_json::{Map, Value};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc::UnboundedReceiver},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use updraft_core::triggerer::hitl::{self, Answer, Question, User};
use updraft_executor::template_ref;
use updraft_protocol::{
    LogAnswer, LogLine, LogSizeResponse, LogsRequest, LogsResponse, PollRequest, PollResponse, ReconcileRequest,
    ReconcileResponse, RegisterRequest, RegisterResponse, ReportRequest, ReportResponse, ResolveRequest,
    ResolveResponse, ResolvedRef, StartAttempt, VERSION,
};
use uuid::Uuid;

use super::{
    ask::{self, Said},
    engine::{Engine, now},
};
use crate::cli::output::say;

/// How long a poll is held, and with that how soon a timer of the run can pass unnoticed by the node: never, it is woken.
const POLL: Duration = Duration::from_secs(5);

/// The run, its code, and who waits for news.
pub(super) struct Shared {
    engine: Mutex<Engine>,
    bundle: Bytes,
    /// How much of each attempt's log is here, and its last line's beginning.
    logs: Mutex<HashMap<Uuid, (u64, Vec<u8>)>>,
    news: Notify,
}

impl Shared {
    pub(super) fn new(engine: Engine, bundle: Vec<u8>) -> Self {
        Self { engine: Mutex::new(engine), bundle: bundle.into(), logs: Mutex::default(), news: Notify::new() }
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().expect("no code panics while it holds this")
    }

    /// Drives the run's timers until it ended, and asks the person at the terminal what tasks ask; says how it ended.
    pub(super) async fn run_to_end(&self) -> Option<bool> {
        let mut lines: Option<UnboundedReceiver<String>> = None;
        let mut asked: Option<Asked> = None;
        loop {
            let news = self.news.notified();
            let (ended, wake_at, question) = {
                let engine = self.engine();
                (engine.ended(), engine.wakes_at(), engine.question())
            };
            if let Some(success) = ended {
                eprintln!("{}: the run {}", self.engine().dag_id(), if success { "succeeded" } else { "failed" });
                return Some(success);
            }
            match question {
                None => asked = None,
                Some((attempt, ..)) if asked.as_ref().is_some_and(|asked| asked.attempt == attempt) => {}
                Some((attempt, name, question)) => {
                    eprintln!("{}", ask::shown(&name, &question));
                    lines.get_or_insert_with(ask::lines);
                    asked = Some(Asked { attempt, question, fields: Map::new() });
                }
            }
            let pause = wake_at.map(|at| (at - now()).to_std().unwrap_or_default());
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {
                    self.engine().step(&[]);
                    self.news.notify_waiters();
                }
                line = next_line(&mut lines), if asked.is_some() => {
                    match (line, &mut asked) {
                        (Some(line), Some(asked)) => self.said(asked, &line),
                        // The terminal is gone.
                        _ => self.engine().leave(),
                    }
                    self.news.notify_waiters();
                }
            }
        }
    }
}

impl Shared {
    /// What the person said to the question that was shown.
    fn said(&self, asked: &mut Asked, line: &str) {
        let by = User { id: "you".to_owned(), name: "you".to_owned() };
        match ask::read(&asked.question, line, &by) {
            Said::Field(name, value) => drop(asked.fields.insert(name, value)),
            Said::Wrong(wrong) => eprintln!("  {wrong}"),
            Said::Chosen(chosen_options) => {
                let params_input = hitl::inputs(&asked.question, &asked.fields);
                self.engine().answer(asked.attempt, Answer { chosen_options, params_input, by: Some(by), at: now() });
            }
        }
    }
}

/// A question that was shown, and what was put into its fields.
struct Asked {
    attempt: Uuid,
    question: Question,
    fields: Map<String, Value>,
}

/// The next line; never, where nobody is.
async fn next_line(lines: &mut Option<UnboundedReceiver<String>>) -> Option<String> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}

/// Answers until `shutdown`.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, shutdown: CancellationToken) -> Result<()> {
    let routes = Router::new()
        .route("/register", post(register))
        .route("/reconcile", post(reconcile))
        .route("/poll", post(poll))
        .route("/report", post(report))
        .route("/attempts/{attempt_id}/resolve", post(resolve))
        .route("/attempts/{attempt_id}/xcom/{key}", put(put_xcom))
        .route("/attempts/{attempt_id}/logs", get(log_size))
        .route("/logs", post(append_logs))
        .route("/bundles/{hash}", get(bundle))
        .layer(DefaultBodyLimit::disable())
        .with_state(shared);
    let router = Router::new().nest("/executor/v1", routes);
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .context("serving the node on a loopback port")
}

async fn register(Json(_request): Json<RegisterRequest>) -> Json<RegisterResponse> {
    let ms = |duration: Duration| duration.as_millis() as u64;
    Json(RegisterResponse {
        executor_id: 1,
        protocol: VERSION,
        lease_ms: ms(Duration::from_mins(1)),
        poll_ms: ms(POLL),
        reconcile_ms: ms(Duration::from_mins(1)),
        reconcile: ReconcileResponse::default(),
    })
}

async fn reconcile(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<ReconcileRequest>,
) -> Json<ReconcileResponse> {
    let engine = shared.engine();
    let gone = request.attempts.iter().map(|attempt| attempt.attempt_id).filter(|id| !engine.is_current(*id));
    Json(ReconcileResponse { stop: gone.collect(), ..ReconcileResponse::default() })
}

async fn poll(State(shared): State<Arc<Shared>>, Json(request): Json<PollRequest>) -> Json<PollResponse> {
    let answer = async {
        loop {
            let news = shared.news.notified();
            let (start, cancel) = {
                let mut engine = shared.engine();
                (engine.hand_out(request.free_slots), engine.take_cancels())
            };
            if !start.is_empty() || !cancel.is_empty() {
                let start = start
                    .into_iter()
                    .map(|spec| StartAttempt {
                        attempt_id: spec.attempt_id.0,
                        spec: serde_json::to_value(&spec).expect("a spec is JSON"),
                        token: "local".into(),
                        refs: Vec::new(),
                    })
                    .collect();
                return PollResponse { start, cancel, drain: false };
            }
            news.await;
        }
    };
    Json(timeout(POLL, answer).await.unwrap_or_default())
}

async fn report(State(shared): State<Arc<Shared>>, Json(request): Json<ReportRequest>) -> Json<ReportResponse> {
    let results = shared.engine().report(request.events);
    shared.news.notify_waiters();
    Json(ReportResponse { results })
}

async fn resolve(State(shared): State<Arc<Shared>>, Json(request): Json<ResolveRequest>) -> Json<ResolveResponse> {
    let engine = shared.engine();
    let refs = request.refs.into_iter().map(|reference| {
        let value = engine.value(&template_ref(&reference));
        ResolvedRef { reference, value }
    });
    Json(ResolveResponse { refs: refs.collect() })
}

async fn put_xcom(
    State(shared): State<Arc<Shared>>,
    Path((attempt, key)): Path<(Uuid, String)>,
    Json(value): Json<Value>,
) -> StatusCode {
    shared.engine().put_xcom(attempt, &key, value);
    StatusCode::NO_CONTENT
}

async fn append_logs(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Json<LogsResponse>, StatusCode> {
    let mut answers = Vec::new();
    for (piece, range) in LogsRequest::split(&body).map_err(|_| StatusCode::BAD_REQUEST)? {
        let label = shared.engine().label(piece.attempt_id);
        let mut logs = shared.logs.lock().expect("no code panics while it holds this");
        let (size, rest) = logs.entry(piece.attempt_id).or_default();
        // What is here already came twice; behind a gap nothing is taken.
        if let Some(known) = size.checked_sub(piece.offset) {
            let fresh = body[range].get(known as usize..).unwrap_or_default();
            *size += fresh.len() as u64;
            rest.extend_from_slice(fresh);
            print_lines(&label, rest);
        }
        answers.push(LogAnswer::Has { size: *size });
    }
    Ok(Json(LogsResponse { answers, gather_ms: 0 }))
}

/// Takes the whole lines.
fn print_lines(label: &str, rest: &mut Vec<u8>) {
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = rest.drain(..=end).collect();
        let text = match serde_json::from_slice::<LogLine>(&line) {
            Ok(line) => line.event,
            Err(_) => String::from_utf8_lossy(&line).trim_end().to_owned(),
        };
        if let Err(error) = say(format_args!("{label} | {text}")) {
            tracing::debug!(%error, "nobody reads the log");
        }
    }
}

async fn log_size(State(shared): State<Arc<Shared>>, Path(attempt): Path<Uuid>) -> Json<LogSizeResponse> {
    let logs = shared.logs.lock().expect("no code panics while it holds this");
    Json(LogSizeResponse { size: logs.get(&attempt).map_or(0, |(size, _)| *size) })
}

async fn bundle(State(shared): State<Arc<Shared>>, Path(_hash): Path<String>) -> Bytes {
    shared.bundle.clone()
}
