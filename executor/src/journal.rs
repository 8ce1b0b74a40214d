//! What the node knows of its attempts, on disk: an append-only file of JSON lines, read back at start.
//!
//! Every line is written with one `write` before the step it announces is visible outside; no fsync, since a `kill -9` keeps the
//! page cache and a power cut also takes the processes. A torn last line is ignored. Settled results (acknowledged by the
//! server) are kept for `keep_results` and within [`SETTLED_LIMIT`], because a database failover may lose the acknowledgement;
//! everything unsettled is kept without limit.

use std::{
    collections::{HashMap, VecDeque},
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use updraft_protocol::{AttemptReport, FinishedReport, NodeAttemptState, StartAttempt};
use uuid::Uuid;

use crate::clock::{self, Moment};

/// At most this many settled attempts are remembered, and at most [`SETTLED_BYTES`] of their results.
const SETTLED_LIMIT: usize = 10_000;
const SETTLED_BYTES: usize = 32 * 1024 * 1024;
/// Settled attempts are part of the reconciled set for this long: a server whose database went back in time hears of them.
const SETTLED_RECONCILED: Duration = Duration::from_mins(2);
/// The file is rewritten when it is larger than this and mostly obsolete.
const COMPACT_BYTES: u64 = 32 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "lives for as long as one line is written or read")]
enum Entry<'a> {
    Received {
        start: std::borrow::Cow<'a, StartAttempt>,
    },
    /// A process group was started; the start time tells a reused pid apart.
    Process {
        id: Uuid,
        group: ProcessGroup,
    },
    /// A container is about to be created under the attempt's name.
    Container {
        id: Uuid,
        unix_ms: u64,
        watch: Value,
    },
    /// It was not created after all.
    Uncreated {
        id: Uuid,
    },
    Finished {
        id: Uuid,
        unix_ms: u64,
        report: std::borrow::Cow<'a, FinishedReport>,
    },
    /// Acknowledged, stale or stopped: nothing is owed to the server.
    Settled {
        id: Uuid,
        unix_ms: u64,
    },
}

/// A process group and its leader's start time (`/proc/<pid>/stat` field 22, clock ticks since boot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessGroup {
    pub(crate) pgid: i32,
    pub(crate) start_ticks: u64,
}

/// A result and when it came about.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) report: Arc<FinishedReport>,
    pub(crate) at: Moment,
}

/// An attempt the server still waits for.
#[derive(Clone)]
pub(crate) struct Owed {
    pub(crate) start: Arc<StartAttempt>,
    pub(crate) state: NodeAttemptState,
    /// The server has confirmed its start, so that it needs no place in `have`.
    confirmed: bool,
    pub(crate) group: Option<ProcessGroup>,
    /// When its container was about to be created, and how to watch it.
    pub(crate) container: Option<(Moment, Value)>,
    pub(crate) result: Option<Recorded>,
}

struct Settled {
    id: Uuid,
    unix_ms: u64,
    bytes: usize,
}

struct Inner {
    file: File,
    size: u64,
    owed: HashMap<Uuid, Owed>,
    settled: HashMap<Uuid, Option<Recorded>>,
    settled_order: VecDeque<Settled>,
    settled_bytes: usize,
}

pub(crate) struct Journal {
    path: PathBuf,
    keep: Duration,
    inner: Mutex<Inner>,
}

impl Journal {
    /// Opens `journal.ndjson` in `dir` and reads what an earlier life left.
    pub(crate) fn open(dir: &Path, keep: Duration) -> io::Result<Self> {
        let path = dir.join("journal.ndjson");
        let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&path)?;
        let mut inner = Inner {
            file,
            size: 0,
            owed: HashMap::new(),
            settled: HashMap::new(),
            settled_order: VecDeque::new(),
            settled_bytes: 0,
        };
        for line in BufReader::new(File::open(&path)?).split(b'\n') {
            match serde_json::from_slice::<Entry>(&line?) {
                Ok(entry) => inner.replay(entry),
                Err(error) => tracing::debug!(%error, "a journal line is torn or of another version; ignored"),
            }
        }
        let journal = Self { path, keep, inner: Mutex::new(inner) };
        {
            let mut inner = journal.lock();
            journal.evict(&mut inner);
            journal.compact(&mut inner)?;
        }
        Ok(journal)
    }

    /// Records attempts before they are worked on: one write for all of them.
    pub(crate) fn received(&self, starts: &[Arc<StartAttempt>]) -> io::Result<()> {
        let mut lines = Vec::new();
        for start in starts {
            push_line(&mut lines, &Entry::Received { start: std::borrow::Cow::Borrowed(start) })?;
        }
        let mut inner = self.lock();
        self.append(&mut inner, &lines)?;
        for start in starts {
            inner.owed.insert(start.attempt_id, Owed::new(Arc::clone(start)));
        }
        Ok(())
    }

    /// Records an attempt's process group, for the sweep after a crash.
    pub(crate) fn process(&self, id: Uuid, group: ProcessGroup) -> io::Result<()> {
        self.record(Entry::Process { id, group })
    }

    /// Records that the attempt's container is about to be created: from here on only adoption may continue it.
    pub(crate) fn container(&self, id: Uuid, watch: Value) -> io::Result<()> {
        self.record(Entry::Container { id, unix_ms: clock::unix_ms(), watch })
    }

    /// The container was not created: the attempt may start from the beginning.
    pub(crate) fn uncreated(&self, id: Uuid) -> io::Result<()> {
        self.record(Entry::Uncreated { id })
    }

    /// Records a result; it is owed to the server until [`Journal::settle`].
    pub(crate) fn finished(&self, id: Uuid, at: Moment, report: &Arc<FinishedReport>) -> io::Result<()> {
        let mut lines = Vec::new();
        let entry = Entry::Finished { id, unix_ms: at.unix_ms, report: std::borrow::Cow::Borrowed(report) };
        push_line(&mut lines, &entry)?;
        let mut inner = self.lock();
        if let Some(owed) = inner.owed.get_mut(&id) {
            owed.state = NodeAttemptState::Finished;
            owed.result = Some(Recorded { report: Arc::clone(report), at });
        }
        self.append(&mut inner, &lines)
    }

    /// Nothing more is owed for this attempt: its result is acknowledged, or the attempt is stale or stopped.
    pub(crate) fn settle(&self, id: Uuid) {
        let unix_ms = clock::unix_ms();
        let mut inner = self.lock();
        let Some(owed) = inner.owed.remove(&id) else { return };
        inner.keep_settled(id, unix_ms, owed.result);
        let mut lines = Vec::new();
        let written =
            push_line(&mut lines, &Entry::Settled { id, unix_ms }).and_then(|()| self.append(&mut inner, &lines));
        if let Err(error) = written {
            tracing::warn!(%error, attempt_id = %id, "the journal could not be written; this result may be reported twice");
        }
        self.evict(&mut inner);
        if inner.size > COMPACT_BYTES.max(4 * inner.settled_bytes as u64)
            && let Err(error) = self.compact(&mut inner)
        {
            tracing::warn!(%error, "the journal could not be compacted; it goes on growing");
        }
    }

    /// Marks where an attempt is, in memory only: it is part of what reconcile says.
    pub(crate) fn set_state(&self, id: Uuid, state: NodeAttemptState) {
        if let Some(owed) = self.lock().owed.get_mut(&id)
            && owed.result.is_none()
        {
            owed.state = state;
        }
    }

    /// The server confirmed the attempt's start.
    pub(crate) fn confirm(&self, id: Uuid) {
        if let Some(owed) = self.lock().owed.get_mut(&id) {
            owed.confirmed = true;
        }
    }

    pub(crate) fn knows(&self, id: Uuid) -> bool {
        let inner = self.lock();
        inner.owed.contains_key(&id) || inner.settled.contains_key(&id)
    }

    /// The recorded result, owed or settled.
    pub(crate) fn result(&self, id: Uuid) -> Option<Recorded> {
        let inner = self.lock();
        match inner.owed.get(&id) {
            Some(owed) => owed.result.clone(),
            None => inner.settled.get(&id)?.clone(),
        }
    }

    /// A settled attempt is offered again (a database failover lost what the server knew of it): it is owed once more, which keeps
    /// it from being offered at every poll. False when it was not settled.
    pub(crate) fn owe_again(&self, start: &Arc<StartAttempt>) -> bool {
        let mut inner = self.lock();
        let Some(result) = inner.settled.remove(&start.attempt_id) else { return false };
        let owed = Owed { state: NodeAttemptState::Finished, result, ..Owed::new(Arc::clone(start)) };
        inner.owed.insert(start.attempt_id, owed);
        true
    }

    /// The attempt's token, while it is owed.
    pub(crate) fn token(&self, id: Uuid) -> Option<String> {
        Some(self.lock().owed.get(&id)?.start.token.clone())
    }

    /// Attempts whose start the server has not confirmed: a poll's `have`.
    pub(crate) fn unconfirmed(&self) -> Vec<Uuid> {
        self.lock().owed.iter().filter(|(_, owed)| !owed.confirmed).map(|(id, _)| *id).collect()
    }

    /// Everything the server should know of: all that is owed, and what was settled a moment ago.
    pub(crate) fn attempts(&self) -> Vec<AttemptReport> {
        let inner = self.lock();
        let since = clock::unix_ms().saturating_sub(SETTLED_RECONCILED.as_millis() as u64);
        let recent = inner.settled_order.iter().rev().take_while(|settled| settled.unix_ms >= since);
        let recent = recent
            .filter(|settled| matches!(inner.settled.get(&settled.id), Some(Some(_))))
            .map(|settled| AttemptReport { attempt_id: settled.id, state: NodeAttemptState::Finished });
        let owed = inner.owed.iter().map(|(id, owed)| AttemptReport { attempt_id: *id, state: owed.state });
        owed.chain(recent).collect()
    }

    /// All that is owed, for the start of a new life.
    pub(crate) fn owed(&self) -> Vec<Owed> {
        self.lock().owed.values().cloned().collect()
    }

    /// How many results the server has not acknowledged.
    pub(crate) fn unreported(&self) -> usize {
        self.lock().owed.values().filter(|owed| owed.result.is_some()).count()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics while it holds the journal")
    }

    /// Writes one line and applies it.
    fn record(&self, entry: Entry) -> io::Result<()> {
        let mut lines = Vec::new();
        push_line(&mut lines, &entry)?;
        let mut inner = self.lock();
        self.append(&mut inner, &lines)?;
        inner.replay(entry);
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "reads as what it does")]
    fn append(&self, inner: &mut Inner, lines: &[u8]) -> io::Result<()> {
        inner.file.write_all(lines)?;
        inner.size += lines.len() as u64;
        Ok(())
    }

    fn evict(&self, inner: &mut Inner) {
        let since = clock::unix_ms().saturating_sub(self.keep.as_millis() as u64);
        while let Some(oldest) = inner.settled_order.front() {
            let excess = inner.settled_order.len() > SETTLED_LIMIT || inner.settled_bytes > SETTLED_BYTES;
            if !excess && oldest.unix_ms >= since {
                break;
            }
            inner.settled_bytes -= oldest.bytes;
            inner.settled.remove(&oldest.id);
            inner.settled_order.pop_front();
        }
    }

    /// Writes what is still wanted to a new file and puts it in the old one's place.
    fn compact(&self, inner: &mut Inner) -> io::Result<()> {
        let fresh_path = self.path.with_extension("ndjson.new");
        let mut lines = Vec::new();
        for (id, owed) in &inner.owed {
            push_line(&mut lines, &Entry::Received { start: std::borrow::Cow::Borrowed(&owed.start) })?;
            if let Some(group) = owed.group {
                push_line(&mut lines, &Entry::Process { id: *id, group })?;
            }
            if let Some((at, watch)) = &owed.container {
                push_line(&mut lines, &Entry::Container { id: *id, unix_ms: at.unix_ms, watch: watch.clone() })?;
            }
            if let Some(result) = &owed.result {
                push_result(&mut lines, *id, result)?;
            }
        }
        for settled in &inner.settled_order {
            if let Some(Some(result)) = inner.settled.get(&settled.id) {
                push_result(&mut lines, settled.id, result)?;
            }
            push_line(&mut lines, &Entry::Settled { id: settled.id, unix_ms: settled.unix_ms })?;
        }
        let mut fresh = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh_path)?;
        fresh.write_all(&lines)?;
        std::fs::rename(&fresh_path, &self.path)?;
        inner.file = OpenOptions::new().append(true).open(&self.path)?;
        inner.size = lines.len() as u64;
        Ok(())
    }
}

impl Owed {
    fn new(start: Arc<StartAttempt>) -> Self {
        let state = NodeAttemptState::Received;
        Self { start, state, confirmed: false, group: None, container: None, result: None }
    }
}

impl Inner {
    fn set(&mut self, id: Uuid, change: impl FnOnce(&mut Owed)) {
        if let Some(owed) = self.owed.get_mut(&id) {
            owed.state = NodeAttemptState::Running;
            change(owed);
        }
    }

    fn replay(&mut self, entry: Entry) {
        match entry {
            Entry::Received { start } => {
                let start = Arc::new(start.into_owned());
                self.owed.insert(start.attempt_id, Owed::new(start));
            }
            Entry::Process { id, group } => self.set(id, |owed| owed.group = Some(group)),
            Entry::Container { id, unix_ms, watch } => {
                self.set(id, |owed| owed.container = Some((Moment::recorded(unix_ms), watch)));
            }
            Entry::Uncreated { id } => self.set(id, |owed| owed.container = None),
            Entry::Finished { id, unix_ms, report } => {
                let result = Recorded { report: Arc::new(report.into_owned()), at: Moment::recorded(unix_ms) };
                match self.owed.get_mut(&id) {
                    Some(owed) => {
                        owed.state = NodeAttemptState::Finished;
                        owed.result = Some(result);
                    }
                    // Compacted: the settled line follows.
                    None => drop(self.settled.insert(id, Some(result))),
                }
            }
            Entry::Settled { id, unix_ms } => {
                let result = match self.owed.remove(&id) {
                    Some(owed) => owed.result,
                    None => self.settled.remove(&id).flatten(),
                };
                self.keep_settled(id, unix_ms, result);
            }
        }
    }

    fn keep_settled(&mut self, id: Uuid, unix_ms: u64, result: Option<Recorded>) {
        let bytes = 256 + result.as_ref().map_or(0, |result| weight(&result.report));
        self.settled_bytes += bytes;
        self.settled_order.push_back(Settled { id, unix_ms, bytes });
        self.settled.insert(id, result);
    }
}

/// Roughly how much memory a result holds.
fn weight(report: &FinishedReport) -> usize {
    let json = |value: &Option<Value>| value.as_ref().map_or(0, |value| value.to_string().len());
    json(&report.return_value) + json(&report.rendered_fields) + report.failure_reason.as_ref().map_or(0, String::len)
}

fn push_result(lines: &mut Vec<u8>, id: Uuid, result: &Recorded) -> io::Result<()> {
    let report = std::borrow::Cow::Borrowed(&*result.report);
    push_line(lines, &Entry::Finished { id, unix_ms: result.at.unix_ms, report })
}

fn push_line(lines: &mut Vec<u8>, entry: &Entry) -> io::Result<()> {
    serde_json::to_writer(&mut *lines, entry)?;
    lines.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(id: u128) -> Arc<StartAttempt> {
        Arc::new(StartAttempt {
            attempt_id: Uuid::from_u128(id),
            spec: serde_json::json!({"task_id": "t"}),
            token: "secret".to_owned(),
            refs: Vec::new(),
        })
    }

    fn report() -> Arc<FinishedReport> {
        Arc::new(
            serde_json::from_value(serde_json::json!({
                "outcome": "success", "started": {"hostname": "n"}, "duration_ms": 5, "exit_code": 0
            }))
            .unwrap(),
        )
    }

    fn open(dir: &Path) -> Journal {
        Journal::open(dir, Duration::from_hours(24)).unwrap()
    }

    #[test]
    fn an_unacknowledged_result_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let id = Uuid::from_u128(1);
        {
            let journal = open(dir.path());
            journal.received(&[start(1), start(2)]).unwrap();
            journal.finished(id, Moment::now(), &report()).unwrap();
        }
        for _ in 0..2 {
            let journal = open(dir.path());
            assert_eq!(journal.result(id).unwrap().report.outcome, "success");
            assert_eq!(journal.owed().len(), 2);
            assert_eq!(journal.token(id).as_deref(), Some("secret"));
        }
    }

    #[test]
    fn a_settled_result_is_known_after_a_restart_and_not_owed() {
        let dir = tempfile::tempdir().unwrap();
        let id = Uuid::from_u128(1);
        {
            let journal = open(dir.path());
            journal.received(&[start(1)]).unwrap();
            journal.finished(id, Moment::now(), &report()).unwrap();
            journal.settle(id);
        }
        for _ in 0..2 {
            let journal = open(dir.path());
            assert!(journal.knows(id));
            assert!(journal.owed().is_empty());
            assert_eq!(journal.attempts().len(), 1, "a server gone back in time still hears of it");
            assert!(journal.result(id).is_some());
        }
    }

    #[test]
    fn settled_results_are_dropped_when_their_time_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Duration::ZERO).unwrap();
        journal.received(&[start(1)]).unwrap();
        journal.settle(Uuid::from_u128(1));
        journal.received(&[start(2)]).unwrap();
        drop(journal);
        let later = Journal::open(dir.path(), Duration::ZERO).unwrap();
        assert!(later.knows(Uuid::from_u128(2)));
    }

    #[test]
    fn a_torn_last_line_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).received(&[start(1)]).unwrap();
        let path = dir.path().join("journal.ndjson");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"entry\":\"fini").unwrap();
        assert!(open(dir.path()).knows(Uuid::from_u128(1)));
    }
}
