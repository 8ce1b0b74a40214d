//! The wire types of `/executor/v1`, shared by the webserver (which answers) and the executor (which calls). Nothing else.
//!
//! The protocol is HTTP with JSON bodies, always outbound from the node, authenticated by a node token
//! (`Authorization: Bearer …`). Nodes send ages (`age_ms`), never instants: their clocks may be wrong.
//! `docs/executor-protocol.md` walks through a node's life.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The protocol version this build speaks. A node says the range it understands; the server picks or refuses.
pub const VERSION: u32 = 1;

/// Values up to this size travel inside the hand-out and the report; larger ones have requests of their own.
pub const INLINE_LIMIT: usize = 64 * 1024;

/// At most this many events in one report.
pub const REPORT_LIMIT: usize = 500;

/// At most this many tasks in one answer of `next`.
pub const NEXT_LIMIT: usize = 16;

/// Logs in one [`LogsRequest`].
pub const LOG_PIECES: usize = 256;

/// The header that carries an attempt's token on `resolve`, `next` and `xcom`, beside the node's own `Authorization: Bearer …`.
pub const ATTEMPT_TOKEN_HEADER: &str = "updraft-attempt-token";

/// XComs larger than [`INLINE_LIMIT`] are put one by one before the attempt's `finished` is reported:
/// `PUT /executor/v1/attempts/{attempt_id}/xcom/{key}`, the JSON value as the body, answered with 204. Idempotent. A stale
/// attempt answers 409, a value over the server's limit 413; both end it (the node then reports the attempt without the value
/// or as failed).
pub const XCOM_LIMIT: usize = 16 * 1024 * 1024;

/// The key of a task's result.
pub const RETURN_VALUE: &str = "return_value";

/// `GET /executor/v1/about`: who answers. Asked by people who look why a node does not work; it changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AboutResponse {
    /// The server's version, for people.
    pub version: String,
    pub protocol_min: u32,
    pub protocol_max: u32,
}

/// `POST /executor/v1/register`: a node introduces itself, at start and after the server forgot it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegisterRequest {
    /// The node's name, shown as `hostname` of its tasks.
    pub name: String,
    /// From the key file in the node's data folder. Same identity, new session: supersedes. Another identity with a live node's name: refused.
    pub identity: Uuid,
    /// Random, new at each start of the process.
    pub session: Uuid,
    pub hostname: String,
    /// The binary's version, for people.
    pub version: String,
    pub protocol_min: u32,
    pub protocol_max: u32,
    /// How many attempts at once. 0: this life of the node ends.
    pub slots: u32,
    /// Its share of the work where it is given out by weight, at least 1.
    #[serde(default = "one")]
    pub weight: u32,
    pub labels: BTreeMap<String, String>,
    /// Named queues it serves; empty means `default`.
    pub queues: Vec<String>,
    pub runners: Vec<RunnerStatus>,
    /// Everything the node knows of, so that both sides agree from the first poll.
    pub attempts: Vec<AttemptReport>,
}

/// The weight of a node that says none.
const fn one() -> u32 {
    1
}

/// Whether a runner can take work now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerStatus {
    /// `process`, `docker`, `native`.
    pub name: String,
    pub available: bool,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegisterResponse {
    pub executor_id: i64,
    pub protocol: u32,
    /// The node is taken for lost when no poll began for this long. Milliseconds.
    pub lease_ms: u64,
    /// The server answers a poll at the latest after this. Milliseconds.
    pub poll_ms: u64,
    /// A node reconciles this often. Milliseconds.
    pub reconcile_ms: u64,
    #[serde(flatten)]
    pub reconcile: ReconcileResponse,
}

/// What a node has of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeAttemptState {
    /// Received, not started.
    Received,
    Running,
    /// Ended; the result is in the journal, acknowledged or not.
    Finished,
    /// Being stopped.
    Stopping,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttemptReport {
    pub attempt_id: Uuid,
    pub state: NodeAttemptState,
}

/// `POST /executor/v1/reconcile`: the node's full set, every `reconcile_ms`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReconcileRequest {
    pub session: Uuid,
    pub attempts: Vec<AttemptReport>,
    /// Runs of which the node keeps something that goes with them, such as a container that their tasks share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunRef>,
}

/// A run by its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRef {
    pub dag_id: String,
    pub run_id: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReconcileResponse {
    /// Received or running on the node, but unknown to the server or no longer current: stop and remove, no report wanted.
    /// What is [`NodeAttemptState::Finished`] is never named here; its result stays in the journal.
    pub stop: Vec<Uuid>,
    /// Finished on the node but still live on the server: report the result again.
    pub report_again: Vec<Uuid>,
    /// Of the `runs` of the request: those that ended, or that the server does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<RunRef>,
}

/// `POST /executor/v1/poll`: asks for work and is the heartbeat. Held by the server until there is work or `poll_ms` passed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PollRequest {
    pub session: Uuid,
    /// Attempts received whose start the server has not confirmed yet.
    pub have: Vec<Uuid>,
    /// Cancels received and not yet reported as [`ReportBody::Stopped`]: they need no repeating, so they do not end the wait.
    #[serde(default)]
    pub cancelling: Vec<Uuid>,
    pub free_slots: u32,
    pub runners: Vec<RunnerStatus>,
    /// Load facts for people: `cpu`, `memory_free`, `disk_free`, `running`.
    #[serde(default)]
    pub stats: BTreeMap<String, f64>,
    /// Of a node with a screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desktop: Option<Desktop>,
}

/// The session at a node's screen; what is not known is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desktop {
    /// Who is logged in; absent: nobody, the login screen waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `x11`, `wayland`, …
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    /// `1920x1080`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PollResponse {
    pub start: Vec<StartAttempt>,
    pub cancel: Vec<CancelAttempt>,
    /// The node is draining: it finishes what it has and gets nothing new.
    pub drain: bool,
}

/// One attempt to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartAttempt {
    pub attempt_id: Uuid,
    /// An `updraft_core::spec::TaskSpec`; opaque to the transport.
    pub spec: Value,
    /// Proves the attempt on `resolve` and `xcom`. Valid while the attempt is current.
    pub token: String,
    /// XComs that the task's templates name, as far as they fit: see `ResolvedRef`.
    pub refs: Vec<ResolvedRef>,
}

/// An attempt to end. A node that does not know it reports [`ReportBody::Stopped`] at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CancelAttempt {
    pub attempt_id: Uuid,
    /// SIGTERM, then this long, then SIGKILL. Milliseconds.
    pub grace_ms: u64,
    /// For the task's log: `cleared by admin`, `marked failed by admin`, `dagrun_timeout`.
    pub reason: String,
}

/// `POST /executor/v1/report`: at most [`REPORT_LIMIT`] events. Durable on the server before the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportRequest {
    pub session: Uuid,
    pub events: Vec<ReportEvent>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportEvent {
    pub attempt_id: Uuid,
    /// How long ago it happened, measured on the node's monotonic clock where it can. Milliseconds.
    pub age_ms: u64,
    #[serde(flatten)]
    pub body: ReportBody,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReportBody {
    /// The node works on it but has not started it: an image is being pulled. Extends the launch deadline.
    Preparing {
        what: String,
    },
    Started(StartedReport),
    /// Complete in itself: a task that ends within 50 ms sends no `started`.
    Finished(Box<FinishedReport>),
    /// The cancelled attempt is gone (process group and container).
    Stopped,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StartedReport {
    /// The node's name.
    pub hostname: String,
    pub pid: Option<i32>,
    /// An `updraft_core::spec::Execution`: how it is carried out, as far as that is known by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Value>,
    /// What people see instead of the map index of a mapped instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered_map_index: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FinishedReport {
    /// `success`, `failed`, `skipped` or `rescheduled` (`updraft_core::spec::Outcome`).
    pub outcome: String,
    pub started: StartedReport,
    /// From start to end, on the node's monotonic clock. Milliseconds.
    pub duration_ms: u64,
    pub exit_code: Option<i64>,
    /// An `updraft_core::spec::FailureClass` and a sentence, when `outcome` is `failed`.
    pub failure_class: Option<String>,
    pub failure_reason: Option<String>,
    /// The task itself says that another try is pointless (Airflow's `AirflowFailException`): no retry whatever is left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_retry: bool,
    /// The task's own delay before its next try. Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_delay_ms: Option<u64>,
    /// An `updraft_core::spec::Decision`: what a branching task decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Value>,
    /// Asset events beyond the task's outlets: what it said in `outlet_events` (`store::assets`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlet_events: Option<Value>,
    /// `return_value`, when pushed and within [`INLINE_LIMIT`].
    pub return_value: Option<Value>,
    /// Rendered template fields, secrets masked.
    pub rendered_fields: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportResult {
    /// Written.
    Ok,
    /// The attempt is no longer current, or not this node's: dropped, stop working on it.
    Stale,
    /// Malformed: dropped, never sent again.
    Unknown,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportResponse {
    /// One per event, in order.
    pub results: Vec<ReportResult>,
}

/// Something a template names that the hand-out did not bring.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ref {
    /// The value of `key` of one task instance of the same run; `map_index` absent: all of a mapped task, as a list.
    #[serde(rename = "xcom")]
    XCom {
        task_id: String,
        key: String,
        map_index: Option<i32>,
        /// Not the whole value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<Part>,
    },
    /// The values of `key` of a task in another run, as a list in the order of the map indexes; of one instance when `map_index` is
    /// given.
    #[serde(rename = "xcom_of")]
    XComOf {
        /// Absent: the same DAG.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dag_id: Option<String>,
        /// Absent: the same run id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_id: Option<String>,
        /// Of the latest run that pushed it, up to the logical date of that one.
        #[serde(default)]
        include_prior_dates: bool,
        task_id: String,
        key: String,
        map_index: Option<i32>,
    },
    Variable {
        key: String,
    },
    Connection {
        conn_id: String,
    },
}

/// What of an XCom is wanted: `"length"`, `"all"` or `{"item": 3}`. A list's parts are its items, a mapping's its entries; other values
/// have none. Of a mapped task (`map_index` absent) the list of its values is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// How many there are, a number.
    Length,
    /// The one at this position, in a list or mapping of its own (`[item]`, `{key: value}`).
    Item(u32),
    /// What every instance of the task pushed, as a list; of a task that is not mapped, a list of one.
    All,
}

/// A reference and its value; `None` when it does not exist.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResolvedRef {
    #[serde(flatten)]
    pub reference: Ref,
    pub value: Option<Value>,
}

/// `POST /executor/v1/attempts/{attempt_id}/resolve`, with the attempt's token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResolveRequest {
    pub refs: Vec<Ref>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResolveResponse {
    pub refs: Vec<ResolvedRef>,
}

/// `GET /executor/v1/attempts/{attempt_id}/next`: at most [`NEXT_LIMIT`] of the tasks after the attempt's whose containers its node
/// may create, not start, while it runs. Their attempts do not exist yet and may come to another node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NextResponse {
    /// As in [`StartAttempt::spec`], with the nil id for the attempt's.
    pub specs: Vec<Value>,
}

/// `POST /executor/v1/logs`: what is new in the logs of several attempts. The body is this as one line of JSON, and then the bytes
/// of the pieces, one after the other. Idempotent: what the server already has is skipped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogsRequest {
    /// At most [`LOG_PIECES`].
    pub pieces: Vec<LogPiece>,
}

impl LogsRequest {
    /// The body of a request; `bytes` are those of the pieces, one after the other.
    pub fn body(&self, bytes: &[u8]) -> Vec<u8> {
        let mut body = serde_json::to_vec(self).expect("ids and numbers are JSON");
        body.push(b'\n');
        body.extend_from_slice(bytes);
        body
    }

    /// The pieces of a body, and where in it the bytes of each lie.
    ///
    /// # Errors
    /// A sentence, when it is not such a body.
    pub fn split(body: &[u8]) -> Result<Vec<(LogPiece, Range<usize>)>, String> {
        let head = body.iter().position(|byte| *byte == b'\n');
        let head = head.ok_or("the body has no first line that says what is in it")?;
        let request: Self = serde_json::from_slice(&body[..head])
            .map_err(|error| format!("the body's first line is not what this path takes: {error}"))?;
        if request.pieces.len() > LOG_PIECES {
            return Err(format!("{} pieces; at most {LOG_PIECES} are taken at once", request.pieces.len()));
        }
        let mut from = head + 1;
        let mut split = Vec::with_capacity(request.pieces.len());
        for piece in request.pieces {
            let to = from.checked_add(piece.length).filter(|to| *to <= body.len());
            let to = to.ok_or("the body ends before the bytes of its pieces")?;
            split.push((piece, from..to));
            from = to;
        }
        if from == body.len() { Ok(split) } else { Err("the body has bytes of no piece".to_owned()) }
    }
}

/// Some bytes of one attempt's log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogPiece {
    pub attempt_id: Uuid,
    /// Of the first byte, in the log.
    pub offset: u64,
    /// Bytes.
    pub length: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogsResponse {
    /// One for each piece, in order.
    pub answers: Vec<LogAnswer>,
    /// For how long the node should gather lines before it sends them, where each write is dear. 0: as it likes.
    #[serde(default)]
    pub gather_ms: u64,
}

/// What became of a piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum LogAnswer {
    /// The server has so many bytes of the log now. Less than the piece's offset: what lies between is missing, send from here.
    Has { size: u64 },
    /// Send no more of this log: it reached the server's limit (`log_full`), or there is no such attempt (any more, `not_found`).
    Refused { code: String, detail: String },
    /// It could not be written; send it again.
    Later { detail: String },
}

/// `GET /executor/v1/attempts/{attempt_id}/logs`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogSizeResponse {
    /// How many bytes of the attempt's log the server has.
    pub size: u64,
}

/// Every error body of `/executor/v1`. 503 carries `Retry-After`: nothing was written, or nothing is known of it; send it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// `unknown_session` asks the node to register again; `name_taken`, `token_revoked`, `protocol` end it.
    pub code: String,
    pub detail: String,
}

/// One line of an attempt's log file: NDJSON, Airflow 3's structured log message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogLine {
    /// RFC 3339, by the node's clock.
    pub timestamp: String,
    /// `info` for stdout and the node's own words, `error` for stderr, as Airflow 3's supervisor has it.
    pub level: String,
    /// The text of the line, without its line break.
    pub event: String,
    /// `task.stdout`, `task.stderr`, `executor`.
    pub logger: String,
    /// The line was longer than one of these may be and goes on in the next one of its logger.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub goes_on: bool,
}
