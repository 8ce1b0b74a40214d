//! `POST /report`: durable before the answer, and many nodes' reports in one commit.

use std::time::{Duration, Instant};

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use updraft_core::{
    metrics::{REPORT_DURATION, REPORT_EVENTS},
    spec::{FailureClass, Outcome},
};
use updraft_protocol::{
    FinishedReport, REPORT_LIMIT, ReportBody, ReportEvent, ReportRequest, ReportResponse, ReportResult, StartedReport,
};
use updraft_store::{
    Store, StoreError,
    nodes::{self, Ended, Event, EventBody, NodeReport, Process, Verdict},
    versions::DagCache,
};
use uuid::Uuid;

use super::{
    ExecutorApi,
    auth::Node,
    error::ApiError,
    wire::{self, Raw},
};

/// Requests of one commit, at most.
const BATCH: usize = 64;
/// Requests that may wait for the writer; more wait in their connections.
const QUEUE: usize = 1024;
/// A batch that takes longer than this is given up; its nodes send again.
const DEADLINE: Duration = Duration::from_secs(20);

/// Answers one result per event, in order.
pub(super) async fn report(
    State(api): State<ExecutorApi>,
    Node(token): Node,
    Raw(bytes): Raw,
) -> Result<Json<ReportResponse>, ApiError> {
    let (session, events) = read(&bytes)?;
    if events.len() > REPORT_LIMIT {
        return Err(ApiError::invalid(format!(
            "a report has at most {REPORT_LIMIT} events, this one {}",
            events.len()
        )));
    }
    let valid = events.iter().flatten().cloned().collect();
    let answer = api.inner.writer.write(NodeReport { token, session, events: valid }).await?;
    let mut verdicts = answer.ok_or_else(ApiError::unknown_session)?.into_iter();
    let results = events.iter().map(|event| match event {
        Some(_) => verdicts.next().unwrap_or(ReportResult::Unknown),
        None => ReportResult::Unknown,
    });
    let results: Vec<ReportResult> = results.collect();
    measure(&results);
    Ok(Json(ReportResponse { results }))
}

fn measure(results: &[ReportResult]) {
    for (result, word) in [(ReportResult::Ok, "ok"), (ReportResult::Stale, "stale"), (ReportResult::Unknown, "unknown")]
    {
        let count = results.iter().filter(|one| **one == result).count();
        if count > 0 {
            metrics::counter!(REPORT_EVENTS.name, "result" => word).increment(count as u64);
        }
    }
}

/// The events of a body; `None` stands for one that cannot be read, which must not hold up the others.
fn read(bytes: &[u8]) -> Result<(Uuid, Vec<Option<Event>>), ApiError> {
    #[derive(Deserialize)]
    struct Loose {
        session: Uuid,
        events: Vec<Value>,
    }
    if let Ok(request) = serde_json::from_slice::<ReportRequest>(bytes) {
        return Ok((request.session, request.events.into_iter().map(event).collect()));
    }
    let loose: Loose = wire::parse(bytes)?;
    let events = loose.events.into_iter().map(|value| match serde_json::from_value::<ReportEvent>(value) {
        Ok(read) => event(read),
        Err(error) => {
            tracing::warn!(%error, session = %loose.session, "a node reported something unreadable; it is dropped");
            None
        }
    });
    Ok((loose.session, events.collect()))
}

fn event(report: ReportEvent) -> Option<Event> {
    let body = match report.body {
        ReportBody::Preparing { .. } => EventBody::Preparing,
        ReportBody::Started(started) => EventBody::Started(process(started)),
        ReportBody::Finished(finished) => EventBody::Finished(Box::new(ended(*finished)?)),
        ReportBody::Stopped => EventBody::Stopped,
    };
    Some(Event { attempt_id: report.attempt_id, age: Duration::from_millis(report.age_ms), body })
}

fn process(started: StartedReport) -> Process {
    Process {
        hostname: started.hostname,
        pid: started.pid,
        execution: started.execution.and_then(|execution| serde_json::from_value(execution).ok()),
        rendered_map_index: started.rendered_map_index,
    }
}

/// `None` when the outcome is no outcome.
fn ended(report: FinishedReport) -> Option<Ended> {
    let outcome: Outcome = word(&report.outcome)?;
    // A newer node may know classes that this server does not; the reason says it all the same.
    let failure_class = (outcome == Outcome::Failed)
        .then(|| report.failure_class.as_deref().and_then(word).unwrap_or(FailureClass::NodeError));
    Some(Ended {
        outcome,
        process: process(report.started),
        duration: Duration::from_millis(report.duration_ms),
        exit_code: report.exit_code,
        failure_class,
        failure_reason: report.failure_reason,
        no_retry: report.no_retry,
        retry_delay_ms: report.retry_delay_ms,
        decision: report.decision.and_then(|decision| serde_json::from_value(decision).ok()),
        outlet_events: report.outlet_events,
        return_value: report.return_value,
        rendered_fields: report.rendered_fields,
    })
}

fn word<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(Value::String(text.to_owned())).ok()
}

/// One result per event; `None` for an unknown session.
type Answer = Result<Option<Vec<ReportResult>>, ApiError>;

/// A report on its way to the database.
struct Pending {
    report: NodeReport,
    arrived: Instant,
    answer: oneshot::Sender<Answer>,
}

/// The way to the one task that writes reports: what arrives while a commit runs goes into the next.
pub(super) struct Writer {
    queue: mpsc::Sender<Pending>,
}

impl Writer {
    /// Starts the task; it ends with the `Writer`, after what was queued is written.
    pub(super) fn start(store: Store, dags: DagCache, launch: Duration) -> Self {
        let (queue, mut pending) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let mut batch: Vec<Pending> = Vec::with_capacity(BATCH);
            while pending.recv_many(&mut batch, BATCH).await > 0 {
                write_batch(&store, &dags, launch, std::mem::take(&mut batch)).await;
            }
        });
        Self { queue }
    }

    async fn write(&self, report: NodeReport) -> Answer {
        let (answer, answered) = oneshot::channel();
        let gone = || ApiError::unavailable("the server is shutting down");
        self.queue.send(Pending { report, arrived: Instant::now(), answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn write_batch(store: &Store, dags: &DagCache, launch: Duration, batch: Vec<Pending>) {
    let (mut reports, mut answers) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
    for mut pending in batch {
        let waited = pending.arrived.elapsed();
        for event in &mut pending.report.events {
            event.age += waited;
        }
        reports.push(pending.report);
        answers.push(pending.answer);
    }
    let began = Instant::now();
    let written = write(store, dags, launch, &reports).await;
    metrics::histogram!(REPORT_DURATION.name).record(began.elapsed());
    match written {
        Ok(verdicts) => {
            for (answer, verdicts) in answers.into_iter().zip(verdicts) {
                // A caller that went away sends again and hears the same.
                let _ = answer.send(Ok(verdicts.map(|verdicts| verdicts.into_iter().map(result).collect())));
            }
        }
        Err(error) if error.is_transient() => {
            tracing::warn!(%error, reports = reports.len(), "reports could not be written; the nodes send them again");
            for answer in answers {
                let _ = answer.send(Err(ApiError::unavailable("the database is not available, try again")));
            }
        }
        // Something in it cannot be written. It must not hold up the others, so each event goes alone.
        Err(_) => {
            for (report, answer) in reports.into_iter().zip(answers) {
                let _ = answer.send(write_singly(store, dags, launch, report).await);
            }
        }
    }
}

async fn write_singly(store: &Store, dags: &DagCache, launch: Duration, report: NodeReport) -> Answer {
    let mut results = Vec::with_capacity(report.events.len());
    for event in report.events {
        let attempt_id = event.attempt_id;
        let single = NodeReport { token: report.token, session: report.session, events: vec![event] };
        match write(store, dags, launch, &[single]).await {
            Ok(answers) => match answers.into_iter().next().flatten() {
                Some(verdicts) => results.extend(verdicts.into_iter().map(result)),
                None => return Ok(None),
            },
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, %attempt_id, "a report cannot be stored; it is dropped");
                results.push(ReportResult::Unknown);
            }
        }
    }
    Ok(Some(results))
}

async fn write(
    store: &Store,
    dags: &DagCache,
    launch: Duration,
    reports: &[NodeReport],
) -> Result<Vec<Option<Vec<Verdict>>>, StoreError> {
    match tokio::time::timeout(DEADLINE, nodes::report(store, dags, reports, launch)).await {
        Ok(written) => written,
        Err(_) => Err(StoreError::Timeout(format!("no commit within {} s", DEADLINE.as_secs()))),
    }
}

fn result(verdict: Verdict) -> ReportResult {
    match verdict {
        Verdict::Written => ReportResult::Ok,
        Verdict::Stale => ReportResult::Stale,
    }
}
