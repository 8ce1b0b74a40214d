//! `GET …/taskInstances/{task_id}/logs/{try_number}`: the log of a try, whole or followed by its token. Lines and text are sent
//! piece by piece, however large the log is; JSON is one answer of bounded size.

use std::{io, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::{sync::broadcast, time::timeout};
use updraft_core::explain::Reason;
use updraft_protocol::LogLine;
use updraft_store::{
    explain::{self, Why},
    query::task_instances::{self, LoggedAttempt, TiPath, TryLog},
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::params::{FromQuery, PathParams, Query, QueryParams};
use crate::{
    App,
    accept::negotiate,
    error::ApiError,
    logs::{LogKey, LogStore},
    sealed::{self, Purpose},
    time::Timestamp,
};

/// Bytes of log behind one answer of JSON, without and with `full_content`; lines and text come in pieces of the first size.
const PART: usize = 1 << 20;
const FULL: usize = 32 << 20;
/// How long a followed log is held at most while nothing is new, seconds; must stay below the clients' read timeouts.
const LONGEST_WAIT: i64 = 20;
/// Replicas are not told of each other's writes: look again this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

const CONTINUATION: HeaderName = HeaderName::from_static("airflow-continuation-token");

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct LogPath {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    try_number: u32,
}

impl LogPath {
    /// No try has a number beyond the column's.
    fn try_number(&self) -> i32 {
        i32::try_from(self.try_number).unwrap_or(i32::MAX)
    }
}

pub(crate) struct LogQuery {
    full_content: bool,
    map_index: i32,
    token: Option<String>,
    /// Ours: seconds to wait for something new, at most 20; for followers.
    wait: Duration,
}

impl FromQuery for LogQuery {
    fn read(query: &mut Query) -> Self {
        let wait = query.int("wait").unwrap_or(0).clamp(0, LONGEST_WAIT);
        Self {
            full_content: query.flag_or("full_content", false),
            map_index: query.small_int_or("map_index", i32::MIN, -1),
            token: query.text("token"),
            wait: Duration::from_secs(wait as u64),
        }
    }
}

/// One line.
#[derive(Serialize, ToSchema)]
pub(crate) struct StructuredLogMessage {
    #[schema(value_type = Timestamp, required = false)]
    #[serde(skip_serializing_if = "String::is_empty")]
    timestamp: String,
    event: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    level: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    logger: String,
}

impl From<LogLine> for StructuredLogMessage {
    fn from(line: LogLine) -> Self {
        Self { timestamp: line.timestamp, event: line.event, level: line.level, logger: line.logger }
    }
}

/// Lines, and the token that continues behind them; null once the try is over and all was read.
#[derive(Serialize, ToSchema)]
pub(crate) struct TaskInstancesLogResponse {
    content: Vec<StructuredLogMessage>,
    continuation_token: Option<String>,
}

/// The log of a try.
#[utoipa::path(get,
    path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs/{try_number}",
    tag = "Task Instance", params(LogPath, QueryParams<LogQuery>),
    responses((status = 200, content((TaskInstancesLogResponse = "application/json"), (String = "application/x-ndjson"))), (status = 400), (status = 404)))]
pub(crate) async fn get_log(
    State(app): State<App>,
    PathParams(path): PathParams<LogPath>,
    QueryParams(query): QueryParams<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let format = Format::of(&headers);
    let reader = Reader { app: &app, path: &path, map_index: query.map_index };
    let at = match &query.token {
        Some(token) => Some(reader.open(token)?),
        None => None,
    };
    let most = if query.full_content && format == Format::Json { FULL } else { PART };
    // Subscribed before the first look: what comes between is not missed.
    let mut grew = app.logs.subscribe();
    let deadline = tokio::time::Instant::now() + query.wait;
    let read = loop {
        let mut read = reader.read(at, most).await?;
        if read.is_empty {
            read.lines.extend(reader.told().await?);
        }
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        if !read.lines.is_empty() || read.next.is_none() || left.is_zero() || app.shutdown.is_cancelled() {
            break read;
        }
        wait(&mut grew, read.attempt_id, left.min(LOOK_AGAIN), &app).await;
    };
    if format == Format::Json {
        let continuation_token = read.next.map(|at| reader.seal(at));
        let content = read.lines.into_iter().map(Into::into).collect();
        return Ok(Json(TaskInstancesLogResponse { content, continuation_token }).into_response());
    }
    let rest = match read.next.filter(|_| read.is_cut) {
        Some(at) => Some(reader.rest(at).await?),
        None => None,
    };
    let end = rest.as_ref().map_or(read.next, Rest::end);
    let first = stream::once(async move { format.write(read.lines) });
    let others = stream::try_unfold(rest, move |rest| async move {
        let Some(mut rest) = rest else { return Ok(None) };
        let Some(lines) = rest.next().await? else { return Ok(None) };
        Ok::<_, io::Error>(Some((format.write(lines)?, Some(rest))))
    });
    let body = Body::from_stream(first.chain(others));
    Ok(continued(end.map(|at| reader.seal(at)), format.content_type(), body))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Ndjson,
    Text,
}

impl Format {
    /// JSON also for who takes none of them, as in Airflow.
    fn of(headers: &HeaderMap) -> Self {
        let offers =
            [("application/json", Self::Json), ("application/x-ndjson", Self::Ndjson), ("text/plain", Self::Text)];
        negotiate(headers, &offers).unwrap_or(Self::Json)
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    /// One piece of an answer that is sent line by line.
    fn write(self, lines: Vec<LogLine>) -> io::Result<Bytes> {
        let mut bytes = Vec::new();
        for line in lines {
            if self == Self::Text {
                bytes.extend(text(&line).into_bytes());
            } else {
                serde_json::to_writer(&mut bytes, &StructuredLogMessage::from(line))?;
                bytes.push(b'\n');
            }
        }
        Ok(bytes.into())
    }
}

fn continued(token: Option<String>, content_type: &'static str, body: Body) -> Response {
    let mut response = ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response();
    if let Some(token) = token.and_then(|token| HeaderValue::try_from(token).ok()) {
        response.headers_mut().insert(CONTINUATION, token);
    }
    response
}

fn text(LogLine { timestamp, event, .. }: &LogLine) -> String {
    if timestamp.is_empty() { format!("{event}\n") } else { format!("[{timestamp}] {event}\n") }
}

/// Waits until the log of an attempt grew on this webserver, at most for `longest`.
async fn wait(grew: &mut broadcast::Receiver<Uuid>, attempt_id: Uuid, longest: Duration, app: &App) {
    let news = async {
        loop {
            match grew.recv().await {
                Ok(attempt) if attempt != attempt_id => {}
                // A receiver that lagged looks at its log.
                _ => break,
            }
        }
    };
    tokio::select! {
        // Either way the caller looks again.
        _ = timeout(longest, news) => {}
        () = app.shutdown.cancelled() => {}
    }
}

/// Where a reader stands: in the log of which attempt, behind how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    attempt: LoggedAttempt,
    offset: u64,
}

impl At {
    /// The position among the attempts that there are now. An attempt that is gone was never handed out, or its log was one
    /// of too many: what follows it is read next.
    fn resume(self, attempts: &[LoggedAttempt]) -> (usize, u64) {
        let id = self.attempt.attempt_id;
        if let Some(index) = attempts.iter().position(|attempt| attempt.attempt_id == id) {
            return (index, self.offset);
        }
        let next = attempts.iter().position(|attempt| attempt.seq > self.attempt.seq);
        (next.unwrap_or(attempts.len() - 1), 0)
    }
}

struct Part {
    lines: Vec<LogLine>,
    /// `None`: the log is over and was read to its end.
    next: Option<At>,
    /// The attempt that may still write.
    attempt_id: Uuid,
    /// The log is over and nobody wrote a word, now or before this part.
    is_empty: bool,
    /// There is more already.
    is_cut: bool,
}

/// What follows a part that was cut, up to where the log ended when that part was read.
struct Rest {
    logs: LogStore,
    /// The logs that are left, one behind the other.
    left: Vec<(LogKey, LoggedAttempt)>,
    /// In the first of them.
    offset: u64,
    /// In the last of them; `None`: it is over, and read to its end.
    end: Option<u64>,
}

impl Rest {
    /// Where a reader goes on behind it.
    fn end(&self) -> Option<At> {
        let (_, attempt) = self.left.last()?;
        self.end.map(|offset| At { attempt: *attempt, offset })
    }

    /// The next lines; `None`: there are no more.
    async fn next(&mut self) -> io::Result<Option<Vec<LogLine>>> {
        while let Some((key, _)) = self.left.first() {
            let bound = self.end.filter(|_| self.left.len() == 1);
            let most = bound.map_or(PART as u64, |end| end.saturating_sub(self.offset).min(PART as u64));
            if most > 0 {
                let part = self.logs.read_lines(key, self.offset, most as usize, true).await?;
                if part.next > self.offset {
                    self.offset = part.next;
                    return Ok(Some(part.lines));
                }
            }
            self.left.remove(0);
            self.offset = 0;
        }
        Ok(None)
    }
}

/// The log of one try: those of its attempts, one behind the other, before those of its callbacks.
pub(crate) struct Reader<'a> {
    pub(crate) app: &'a App,
    pub(crate) path: &'a LogPath,
    pub(crate) map_index: i32,
}

impl Reader<'_> {
    async fn read(&self, at: Option<At>, most: usize) -> Result<Part, ApiError> {
        let found = self.find().await?;
        let attempts = &found.attempts;
        let attempt_id = attempts[attempts.len() - 1].attempt_id;
        let (mut index, mut offset) = at.map_or((0, 0), |at| at.resume(attempts));
        let is_untouched = offset == 0 && (at.is_none() || attempts.len() == 1);
        let (mut lines, mut size) = (Vec::new(), 0);
        let logs: &LogStore = &self.app.logs;
        loop {
            let last = index + 1 == attempts.len();
            let key = self.key(attempts[index].attempt_id);
            let part =
                logs.read_lines(&key, offset, most - size, !last || found.ended).await.map_err(ApiError::internal)?;
            let read = (part.next - offset) as usize;
            (size, offset) = (size + read, part.next);
            lines.extend(part.lines);
            let here = Some(At { attempt: attempts[index], offset });
            if size >= most {
                return Ok(Part { lines, next: here, attempt_id, is_empty: false, is_cut: true });
            }
            if read == 0 && last {
                let next = if found.ended { None } else { here };
                let is_empty = is_untouched && next.is_none() && lines.is_empty();
                return Ok(Part { lines, next, attempt_id, is_empty, is_cut: false });
            }
            if read == 0 {
                (index, offset) = (index + 1, 0);
            }
        }
    }

    async fn rest(&self, at: At) -> Result<Rest, ApiError> {
        let found = self.find().await?;
        let (index, offset) = at.resume(&found.attempts);
        let left: Vec<_> =
            found.attempts[index..].iter().map(|attempt| (self.key(attempt.attempt_id), *attempt)).collect();
        let logs = self.app.logs.clone();
        let end = match left.last() {
            Some((last, _)) if !found.ended => Some(logs.whole_lines(last).await.map_err(ApiError::internal)?),
            _ => None,
        };
        Ok(Rest { logs, left, offset, end })
    }

    pub(crate) async fn find(&self) -> Result<TryLog, ApiError> {
        let LogPath { dag_id, dag_run_id, task_id, .. } = self.path;
        let key = TiPath { dag_id, run_id: dag_run_id, task_id, map_index: self.map_index };
        let mut connection = self.app.connection().await?;
        let found = task_instances::try_log(&mut connection, key, self.path.try_number()).await?;
        found.ok_or_else(|| ApiError::not_found("TaskInstance not found"))
    }

    /// What is said in the place of a log that nobody wrote: no node had the task. Why it ended as it did.
    async fn told(&self) -> Result<Option<LogLine>, ApiError> {
        let found = self.find().await?;
        let LogPath { dag_id, dag_run_id, task_id, .. } = self.path;
        let mut reason = found.failure_reason;
        if reason.is_none() && found.is_latest {
            let (app, parallelism) = (self.app, self.app.config.parallelism);
            let why = explain::why(&app.store, &app.dags, parallelism, dag_id, dag_run_id, task_id, self.map_index);
            let why = why.await?;
            if let Why::Reasons(reasons) = why {
                reason = reasons.iter().find_map(Reason::told);
            }
        }
        Ok(reason.map(|event| LogLine {
            timestamp: found.end_date.map(|at| Timestamp::from(at).text()).unwrap_or_default(),
            level: if matches!(&*found.state, "failed" | "upstream_failed") { "error" } else { "info" }.to_owned(),
            event,
            logger: "updraft".to_owned(),
            goes_on: false,
        }))
    }

    pub(crate) fn key(&self, attempt_id: Uuid) -> LogKey {
        LogKey {
            dag_id: self.path.dag_id.clone(),
            run_id: self.path.dag_run_id.clone(),
            task_id: self.path.task_id.clone(),
            map_index: self.map_index,
            try_number: self.path.try_number(),
            attempt_id,
        }
    }

    fn seal(&self, at: At) -> String {
        let LoggedAttempt { attempt_id, seq } = at.attempt;
        let text = format!("{}:{seq}:{}", attempt_id.simple(), at.offset);
        sealed::seal(&self.app.config.jwt_secret, Purpose::Log, &text)
    }

    fn open(&self, token: &str) -> Result<At, ApiError> {
        let read = || {
            let text = sealed::open(&self.app.config.jwt_secret, Purpose::Log, token)?;
            let (attempt, rest) = text.split_once(':')?;
            let (seq, offset) = rest.split_once(':')?;
            let attempt = LoggedAttempt { attempt_id: attempt.parse().ok()?, seq: seq.parse().ok()? };
            Some(At { attempt, offset: offset.parse().ok()? })
        };
        read().ok_or_else(|| {
            ApiError::BadRequest("Bad Signature. Please use only the tokens provided by the API.".to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_goes_on_behind_what_it_read_whatever_came_and_went() {
        let attempt = |id: u128, seq| LoggedAttempt { attempt_id: Uuid::from_u128(id), seq };
        let at = |id, seq| At { attempt: attempt(id, seq), offset: 7 };
        let attempts = [attempt(9, 4), attempt(1, 5), attempt(5, 8)];
        let table = [
            // Where it stood, where it goes on.
            (at(9, 4), (0, 7)),
            (at(5, 8), (2, 7)),
            // It was known before it was handed out.
            (at(5, 5), (2, 7)),
            // Never handed out: another took its place.
            (at(3, 5), (2, 0)),
            (at(3, 8), (2, 0)),
            // An old look that was deleted.
            (at(3, 2), (0, 0)),
        ];
        for (at, expected) in table {
            assert_eq!(at.resume(&attempts), expected, "{at:?}");
        }
    }
}
