//! The outbox: what happened to attempts, on its way to the server in batches, until acknowledged.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use reqwest::StatusCode;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use updraft_protocol::{
    FinishedReport, INLINE_LIMIT, REPORT_LIMIT, RETURN_VALUE, ReportBody, ReportEvent, ReportRequest, ReportResult,
    StartedReport, XCOM_LIMIT,
};
use uuid::Uuid;

use crate::{
    client::{Backoff, CallError, Client},
    clock::Moment,
    journal::{Journal, Recorded},
};

/// One thing to tell.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) id: Uuid,
    pub(crate) at: Moment,
    pub(crate) body: Body,
}

#[derive(Clone)]
pub(crate) enum Body {
    Preparing(String),
    Started(StartedReport),
    Finished(Arc<FinishedReport>),
    Stopped,
}

/// What the server said to an event.
pub(crate) enum Answer {
    /// Told and durable.
    Told(Event),
    /// The attempt is no longer this node's.
    Stale(Uuid),
    /// The server forgot the session.
    UnknownSession,
    /// The server will not have this node.
    Refused { code: String, detail: String },
}

pub(crate) struct Outbox {
    session: Uuid,
    client: Arc<Client>,
    journal: Arc<Journal>,
    queue: Mutex<VecDeque<Event>>,
    notify: Notify,
    /// Rung when the node is registered (again).
    registered: Notify,
}

impl Outbox {
    pub(crate) fn new(session: Uuid, client: Arc<Client>, journal: Arc<Journal>) -> Self {
        Self { session, client, journal, queue: Mutex::default(), notify: Notify::new(), registered: Notify::new() }
    }

    /// Queues an event. Events of one attempt arrive in the order they were pushed.
    pub(crate) fn push(&self, id: Uuid, at: Moment, body: Body) {
        self.queue().push_back(Event { id, at, body });
        self.notify.notify_one();
    }

    /// Queues a result. A return value too large for a report is put on its own before, which may take long: it does not hold
    /// up other reports.
    pub(crate) async fn push_result(&self, id: Uuid, result: Recorded, stop: &CancellationToken) {
        let Recorded { report, at } = result;
        let size = report.return_value.as_ref().map_or(0, json_len);
        if size <= INLINE_LIMIT {
            return self.push(id, at, Body::Finished(report));
        }
        let mut slim = FinishedReport { return_value: None, ..FinishedReport::clone(&report) };
        let value = report.return_value.as_ref().expect("its size was just taken");
        if size > XCOM_LIMIT {
            too_large(&mut slim, size);
        } else if let Some(token) = self.journal.token(id) {
            let mut backoff = Backoff::new();
            loop {
                match self.client.put_xcom(id, &token, RETURN_VALUE, value).await {
                    Ok(()) => break,
                    Err(CallError::Rejected { status: StatusCode::PAYLOAD_TOO_LARGE, .. }) => {
                        too_large(&mut slim, size);
                        break;
                    }
                    Err(CallError::Rejected { status, detail, .. }) => {
                        // Stale, most likely: the report's own answer decides.
                        tracing::warn!(%status, detail, attempt_id = %id, "the server does not take this XCom");
                        break;
                    }
                    Err(error) => {
                        let delay = backoff.delay(&error);
                        tokio::select! {
                            () = tokio::time::sleep(delay) => {}
                            () = stop.cancelled() => return,
                        }
                    }
                }
            }
        }
        self.push(id, at, Body::Finished(Arc::new(slim)));
    }

    /// The node is registered: reports that waited for it go on.
    pub(crate) fn registered(&self) {
        self.registered.notify_one();
    }

    /// Sends events until `stop`; then what is queued, for at most `linger`. `answered` is called for every event the server
    /// answered, in order.
    pub(crate) async fn run(&self, stop: CancellationToken, linger: Duration, answered: impl Fn(Answer)) {
        let deadline = async {
            stop.cancelled().await;
            tokio::time::sleep(linger).await;
        };
        tokio::select! {
            () = self.send_all(&stop, answered) => {}
            () = deadline => tracing::info!("stopping with reports unsent; they are in the journal and go out at the next start"),
        }
    }

    async fn send_all(&self, stop: &CancellationToken, answered: impl Fn(Answer)) {
        let mut backoff = Backoff::new();
        let mut limit = REPORT_LIMIT;
        loop {
            let mut batch = self.take(limit);
            if batch.is_empty() {
                if stop.is_cancelled() {
                    return;
                }
                tokio::select! {
                    () = self.notify.notified() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            match self.send(&batch).await {
                Ok(results) => {
                    backoff = Backoff::new();
                    limit = REPORT_LIMIT;
                    for (event, result) in batch.into_iter().zip(results) {
                        match result {
                            ReportResult::Ok => answered(Answer::Told(event)),
                            ReportResult::Stale => answered(Answer::Stale(event.id)),
                            ReportResult::Unknown => {
                                tracing::error!(attempt_id = %event.id, "the server does not understand this node's report; dropped");
                                answered(Answer::Stale(event.id));
                            }
                        }
                    }
                }
                Err(CallError::Rejected { status, detail, .. }) => {
                    // One bad event must not hold up the rest: send them singly until the culprit is found.
                    tracing::error!(%status, detail, events = batch.len(), "the server rejects a report");
                    limit = 1;
                    if let (1, Some(event)) = (batch.len(), batch.pop()) {
                        answered(Answer::Stale(event.id));
                    } else {
                        self.put_back(batch);
                    }
                }
                Err(error) => {
                    self.put_back(batch);
                    let delay = backoff.delay(&error);
                    let registered = match error {
                        CallError::UnknownSession => {
                            answered(Answer::UnknownSession);
                            true
                        }
                        CallError::Refused { code, detail } => {
                            answered(Answer::Refused { code, detail });
                            false
                        }
                        error => {
                            tracing::warn!(%error, delay_ms = delay.as_millis() as u64, "reports wait for the server");
                            false
                        }
                    };
                    tokio::select! {
                        () = tokio::time::sleep(delay) => {}
                        () = self.registered.notified(), if registered => {}
                    }
                }
            }
        }
    }

    async fn send(&self, batch: &[Event]) -> Result<Vec<ReportResult>, CallError> {
        let events = batch.iter().map(|event| ReportEvent {
            attempt_id: event.id,
            age_ms: event.at.age_ms(),
            body: match &event.body {
                Body::Preparing(what) => ReportBody::Preparing { what: what.clone() },
                Body::Started(started) => ReportBody::Started(started.clone()),
                Body::Finished(report) => ReportBody::Finished(Box::new(FinishedReport::clone(report))),
                Body::Stopped => ReportBody::Stopped,
            },
        });
        let request = ReportRequest { session: self.session, events: events.collect() };
        let results = self.client.report(&request).await?.results;
        if results.len() == batch.len() {
            return Ok(results);
        }
        let reason = format!("{} answers to {} events", results.len(), batch.len());
        Err(CallError::Later { reason, retry_after: None })
    }

    fn take(&self, limit: usize) -> Vec<Event> {
        let mut queue = self.queue();
        let count = queue.len().min(limit);
        queue.drain(..count).collect()
    }

    fn put_back(&self, batch: Vec<Event>) {
        let mut queue = self.queue();
        for event in batch.into_iter().rev() {
            queue.push_front(event);
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.queue.lock().expect("no code panics while it holds the queue")
    }
}

fn too_large(report: &mut FinishedReport, size: usize) {
    "failed".clone_into(&mut report.outcome);
    report.failure_class = Some("node_error".to_owned());
    report.failure_reason = Some(format!(
        "The task ended, but its return value of {size} bytes is larger than an XCom may be; write it to a file or store and return where it is."
    ));
}

/// The length of a value as JSON. Bytes.
pub(crate) fn json_len(value: &serde_json::Value) -> usize {
    /// Counts instead of keeping.
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("a JSON value always serialises, and counting cannot fail");
    count.0
}
