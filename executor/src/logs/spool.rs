//! One attempt's log on the node.

use std::{
    io::{self, BufRead},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::counter;
use updraft_core::{
    mask::{Mask, Masked},
    metrics::LOG_LINES_DROPPED,
};
use updraft_protocol::LogLine;
use uuid::Uuid;

use super::{lines::Piece, segments::Segments, shipper::Wake};
use crate::clock;

/// Bytes held back from the file until somebody flushes them.
const BUFFER: usize = 64 * 1024;
/// Bytes kept in memory beside the file, so that a short log is never read back.
const TAIL: usize = 256 * 1024;
/// More than this of one attempt's log is dropped, with a line that says so.
const LOG_LIMIT: u64 = 1024 * 1024 * 1024;

/// What all logs of the node may take on its disk before the server has it.
pub(super) struct Budget {
    limit: u64,
    unsent: AtomicU64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, unsent: AtomicU64::new(0) }
    }

    pub(super) fn unsent(&self) -> u64 {
        self.unsent.load(Ordering::Relaxed)
    }

    fn is_used_up(&self) -> bool {
        self.unsent() >= self.limit
    }

    /// One log counted as `old` and is `new` now.
    fn change(&self, old: u64, new: u64) {
        if new >= old {
            self.unsent.fetch_add(new - old, Ordering::Relaxed);
        } else {
            self.unsent.fetch_sub(old - new, Ordering::Relaxed);
        }
    }
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    const fn logger(self) -> &'static str {
        match self {
            Self::Stdout => "task.stdout",
            Self::Stderr => "task.stderr",
        }
    }
}

/// The writing end of an attempt's log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AttemptLog {
    pub(super) spool: Arc<Spool>,
}

pub(super) struct Spool {
    pub(super) id: Uuid,
    inner: Mutex<Inner>,
    wake: Arc<Wake>,
}

struct Inner {
    segments: Segments,
    /// Bytes that are in no file yet.
    buffer: Vec<u8>,
    /// Lines in it.
    buffered: u64,
    /// The last bytes of the files and the buffer, from `tail_from`; empty when they grew too many.
    tail: Vec<u8>,
    tail_from: u64,
    /// All bytes written so far, files and buffer.
    len: u64,
    /// What the server has; unknown after a restart.
    sent: Option<u64>,
    /// What of it counts in the node's budget.
    counted: u64,
    closed: bool,
    settled: bool,
    /// Nothing more is taken, here or by the server.
    full: bool,
    dropped: Dropped,
    mask: Arc<Mask>,
    stdout: Output,
    stderr: Output,
}

/// One stream of the task.
#[derive(Default)]
struct Output {
    /// Its last line, secrets and all: it may be the task's result.
    last: Option<String>,
    /// Of standard error: the last that is not blank, secrets and all.
    said: Option<String>,
    /// A line that is longer than one of the log, while it goes on.
    long: Option<Masked>,
}

/// Lines that were not kept since the last that was.
#[derive(Default)]
struct Dropped {
    lines: u64,
    reason: Option<Reason>,
}

/// Why lines are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// All logs of the node together wait for the server.
    Spool,
    /// The disk.
    Disk,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Spool => "spool",
            Self::Disk => "disk",
        }
    }

    fn told(self, lines: u64) -> String {
        match self {
            Self::Spool => format!(
                "{lines} lines are missing here: the server did not take logs, and those that wait on this node reached \
                 executor.log_spool_limit."
            ),
            Self::Disk => format!("{lines} lines are missing here: they could not be written to this node's disk."),
        }
    }
}

/// What adoption needs to know of what is already in the log of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) stdout: Position,
    pub(crate) stderr: Position,
}

/// How far one stream of a container is in its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The timestamp of the last line, as the Docker daemon wrote it.
    pub(crate) timestamp: Option<String>,
    /// How many lines carry that timestamp.
    pub(crate) count: usize,
    /// The last line goes on: its rest, with the same timestamp, is no other line.
    cut: bool,
}

impl Position {
    pub(crate) fn new(timestamp: String, count: usize) -> Self {
        Self { timestamp: Some(timestamp), count, cut: false }
    }

    /// Takes the next line of the stream.
    fn advance(&mut self, line: &LogLine) {
        let same = self.timestamp.as_ref() == Some(&line.timestamp);
        let count = if same { self.count + usize::from(!self.cut) } else { 1 };
        *self = Self { timestamp: Some(line.timestamp.clone()), count, cut: line.goes_on };
    }
}

impl AttemptLog {
    /// The log of a new attempt.
    pub(super) fn fresh(id: Uuid, folder: &Path, wake: Arc<Wake>) -> Self {
        Self::of(id, Segments::none(folder, id), wake, Some(0))
    }

    /// The log of an attempt that an earlier life may have written to.
    pub(super) fn found(id: Uuid, folder: &Path, wake: Arc<Wake>) -> io::Result<Self> {
        Ok(Self::of(id, Segments::found(folder, id)?, wake, None))
    }

    fn of(id: Uuid, segments: Segments, wake: Arc<Wake>, sent: Option<u64>) -> Self {
        let len = segments.len();
        let mut inner = Inner {
            segments,
            buffer: Vec::new(),
            buffered: 0,
            tail: Vec::new(),
            tail_from: len,
            len,
            sent,
            counted: 0,
            closed: false,
            settled: false,
            full: false,
            dropped: Dropped::default(),
            mask: Arc::default(),
            stdout: Output::default(),
            stderr: Output::default(),
        };
        inner.count(&wake.budget);
        Self { spool: Arc::new(Spool { id, inner: Mutex::new(inner), wake }) }
    }

    /// Secrets to hide from here on.
    pub(crate) fn set_mask(&self, mask: Arc<Mask>) {
        self.spool.lock().mask = mask;
    }

    /// More secrets to hide from here on.
    pub(crate) fn hide(&self, more: &Mask) {
        let mut inner = self.spool.lock();
        let mask = inner.mask.with(more);
        inner.mask = Arc::new(mask);
    }

    /// A line of the task's own output.
    pub(crate) fn output(&self, stream: Stream, piece: Piece<'_>) {
        self.output_at(stream, piece, clock::timestamp());
    }

    /// A line of the task's own output with the time it was written at.
    pub(crate) fn output_at(&self, stream: Stream, piece: Piece<'_>, timestamp: String) {
        let text = String::from_utf8_lossy(piece.bytes);
        let mut inner = self.spool.lock();
        let mask = Arc::clone(&inner.mask);
        let output = match stream {
            Stream::Stdout => &mut inner.stdout,
            Stream::Stderr => &mut inner.stderr,
        };
        output.last = Some(text.clone().into_owned());
        if stream == Stream::Stderr && !text.trim().is_empty() {
            output.said.clone_from(&output.last);
        }
        // A secret may lie across the pieces of a long line.
        let text = match (output.long.take(), piece.goes_on) {
            (None, false) => mask.apply(&text).into_owned(),
            (long, goes_on) => {
                let mut long = long.unwrap_or_default();
                let mut text = long.feed(&mask, &text);
                if goes_on {
                    output.long = Some(long);
                } else {
                    text += &long.finish(&mask);
                }
                text
            }
        };
        if text.is_empty() && piece.goes_on {
            return;
        }
        let level = if stream == Stream::Stderr { "error" } else { "info" };
        self.spool.push(&mut inner, level, stream.logger(), text, timestamp, piece.goes_on);
    }

    /// The node's own words.
    pub(crate) fn say(&self, level: &str, text: &str) {
        let mut inner = self.spool.lock();
        for line in text.lines() {
            let text = inner.mask.apply(line).into_owned();
            self.spool.push(&mut inner, level, "executor", text, clock::timestamp(), false);
        }
    }

    /// The last line of standard output so far.
    pub(crate) fn last_stdout(&self) -> Option<String> {
        self.spool.lock().stdout.last.clone()
    }

    /// The last line of standard error so far, secrets masked: part of a failure's reason.
    pub(crate) fn last_stderr(&self) -> Option<String> {
        let inner = self.spool.lock();
        inner
            .stderr
            .last
            .as_deref()
            .filter(|line| !line.trim().is_empty())
            .map(|line| inner.mask.apply(line).into_owned())
    }

    /// The last line of standard error so far that is not blank, secrets masked.
    pub(crate) fn last_error(&self) -> Option<String> {
        let inner = self.spool.lock();
        inner.stderr.said.as_deref().map(|line| inner.mask.apply(line).into_owned())
    }

    /// The last line of standard output so far, or of standard error when there is no other.
    pub(crate) fn last_line(&self) -> Option<String> {
        let inner = self.spool.lock();
        inner.stdout.last.clone().or_else(|| inner.stderr.last.clone())
    }

    /// A text of the task that goes into a report, secrets masked.
    pub(crate) fn masked(&self, text: &str) -> String {
        self.spool.lock().mask.apply(text).into_owned()
    }

    /// No more lines will come.
    pub(crate) fn close(&self) {
        let mut inner = self.spool.lock();
        inner.closed = true;
        inner.tell_dropped();
        inner.count(&self.spool.wake.budget);
        // A node that ends while the server is away ships it in its next life.
        self.spool.flush(&mut inner);
        drop(inner);
        self.spool.wake.dirty(&self.spool);
    }

    /// Reads an earlier life's log of a container, so that it can go on where it stopped.
    pub(crate) fn resume(&self) -> io::Result<Resume> {
        let mut resume = Resume::default();
        let mut inner = self.spool.lock();
        let mut whole = inner.segments.begin();
        for line in inner.segments.reader()?.split(b'\n') {
            let line = line?;
            let Ok(parsed) = serde_json::from_slice::<LogLine>(&line) else { break };
            whole += line.len() as u64 + 1;
            match parsed.logger.as_str() {
                "task.stdout" => {
                    resume.stdout.advance(&parsed);
                    inner.stdout.last = Some(parsed.event);
                }
                "task.stderr" => {
                    resume.stderr.advance(&parsed);
                    if !parsed.event.trim().is_empty() {
                        inner.stderr.said = Some(parsed.event.clone());
                    }
                    inner.stderr.last = Some(parsed.event);
                }
                _ => {}
            }
        }
        if whole < inner.segments.len() {
            // The crash tore the last line; the container's log has it whole. What this life has said since comes after it.
            inner.segments.truncate(whole)?;
            let said = inner.buffer.clone();
            inner.len = whole + said.len() as u64;
            inner.tail = said;
            inner.tail_from = whole;
            inner.count(&self.spool.wake.budget);
        }
        Ok(resume)
    }
}

impl Spool {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics while it holds a log")
    }

    fn push(
        self: &Arc<Self>,
        inner: &mut Inner,
        level: &str,
        logger: &str,
        event: String,
        timestamp: String,
        goes_on: bool,
    ) {
        if inner.full {
            counter!(LOG_LINES_DROPPED.name, "reason" => "limit").increment(1);
            return;
        }
        if self.wake.budget.is_used_up() {
            inner.drop_lines(1, Reason::Spool);
            return;
        }
        inner.tell_dropped();
        if inner.len < LOG_LIMIT {
            inner.write(&LogLine { timestamp, level: level.to_owned(), event, logger: logger.to_owned(), goes_on });
        } else {
            inner.full = true;
            let event = "The log is longer than 1 GiB; the rest is dropped.".to_owned();
            inner.write(&own_words(event));
        }
        if inner.buffer.len() >= BUFFER {
            self.flush(inner);
        }
        inner.count(&self.wake.budget);
        self.wake.dirty(self);
    }

    /// Moves the buffer to the files. A disk that cannot be written costs log lines, never the attempt.
    fn flush(&self, inner: &mut Inner) {
        if inner.buffer.is_empty() {
            return;
        }
        if let Err(error) = inner.segments.append(&inner.buffer) {
            if inner.dropped.reason.is_none() {
                tracing::warn!(%error, attempt_id = %self.id, "log lines are lost: the spool cannot be written");
            }
            let lines = inner.buffered;
            inner.drop_lines(lines, Reason::Disk);
            // Keep offsets true: what is in the files is all there is.
            inner.len = inner.segments.len();
            inner.tail.clear();
            inner.tail_from = inner.len;
            inner.count(&self.wake.budget);
        }
        inner.buffer.clear();
        inner.buffered = 0;
    }

    /// The next bytes to send and their offset. `None`: nothing to send now.
    pub(super) fn next_chunk(&self, limit: usize) -> io::Result<Option<(u64, Vec<u8>)>> {
        let mut inner = self.lock();
        self.flush(&mut inner);
        let Some(sent) = inner.sent else { return Ok(None) };
        if sent >= inner.len {
            return Ok(None);
        }
        if sent >= inner.tail_from {
            let from = (sent - inner.tail_from) as usize;
            let to = inner.tail.len().min(from + limit);
            return Ok(Some((sent, inner.tail[from..to].to_vec())));
        }
        let begin = inner.segments.begin();
        if sent < begin {
            let reason =
                format!("the server has {sent} bytes, and what lies before {begin} was deleted when it had them");
            return Err(io::Error::other(reason));
        }
        let bytes = inner.segments.read(sent, limit)?;
        Ok(Some((sent, bytes)))
    }

    /// Whether the server's size is not known yet.
    pub(super) fn size_unknown(&self) -> bool {
        self.lock().sent.is_none()
    }

    /// The server has `size` bytes.
    pub(super) fn sent(&self, size: u64) {
        let mut inner = self.lock();
        inner.sent = Some(size);
        if size >= inner.len {
            inner.tail.clear();
            inner.tail_from = inner.len;
        }
        inner.segments.release(size);
        inner.count(&self.wake.budget);
    }

    /// The server takes nothing more of this log, or it cannot be read any more: what there is goes, and nothing is added.
    pub(super) fn give_up(&self) {
        let mut inner = self.lock();
        inner.full = true;
        inner.buffer.clear();
        inner.tail.clear();
        inner.segments.remove();
        inner.len = 0;
        inner.tail_from = 0;
        inner.sent = Some(0);
        inner.count(&self.wake.budget);
    }

    /// The attempt's result is settled: once everything is sent, nobody needs this log here.
    pub(super) fn settle(&self) {
        self.lock().settled = true;
    }

    /// Closed, settled and sent: the file may go.
    pub(super) fn done(&self) -> bool {
        let inner = self.lock();
        inner.closed && inner.settled && inner.sent.is_some_and(|sent| sent >= inner.len)
    }

    /// Bytes that the server does not have.
    pub(super) fn unsent(&self) -> u64 {
        self.lock().counted
    }

    /// All that was written is with the server.
    pub(super) fn drained(&self) -> bool {
        let inner = self.lock();
        inner.sent.is_some_and(|sent| sent >= inner.len)
    }

    pub(super) fn remove(&self) {
        let mut inner = self.lock();
        inner.buffer.clear();
        inner.segments.remove();
    }
}

impl Inner {
    fn write(&mut self, line: &LogLine) {
        let before = self.buffer.len();
        serde_json::to_writer(&mut self.buffer, line).expect("a log line is plain JSON, and memory takes it");
        self.buffer.push(b'\n');
        self.buffered += 1;
        let added = self.buffer.len() - before;
        self.len += added as u64;
        let Self { buffer, tail, .. } = self;
        tail.extend_from_slice(&buffer[before..]);
        if self.tail.len() > TAIL {
            self.tail.clear();
            self.tail_from = self.len;
        }
    }

    fn drop_lines(&mut self, lines: u64, reason: Reason) {
        counter!(LOG_LINES_DROPPED.name, "reason" => reason.as_str()).increment(lines);
        self.dropped.lines += lines;
        self.dropped.reason = Some(reason);
    }

    /// Says in the log what is missing from it.
    fn tell_dropped(&mut self) {
        if let Some(reason) = self.dropped.reason.take() {
            let event = reason.told(std::mem::take(&mut self.dropped.lines));
            self.write(&own_words(event));
        }
    }

    /// Brings the budget up to date.
    fn count(&mut self, budget: &Budget) {
        let unsent = self.len.saturating_sub(self.sent.unwrap_or(0));
        budget.change(std::mem::replace(&mut self.counted, unsent), unsent);
    }
}

/// A line of the node's own about the log.
fn own_words(event: String) -> LogLine {
    LogLine {
        timestamp: clock::timestamp(),
        level: "warning".to_owned(),
        event,
        logger: "executor".to_owned(),
        goes_on: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wake(limit: u64) -> Arc<Wake> {
        Arc::new(Wake::new(limit))
    }

    /// Takes everything that is there, as the shipper does.
    fn ship(log: &AttemptLog) -> String {
        let mut text = String::new();
        while let Some((offset, bytes)) = log.spool.next_chunk(1000).unwrap() {
            log.spool.sent(offset + bytes.len() as u64);
            text += std::str::from_utf8(&bytes).unwrap();
        }
        text
    }

    fn events(text: &str) -> Vec<String> {
        text.lines().map(|line| serde_json::from_str::<LogLine>(line).unwrap().event).collect()
    }

    fn piece(bytes: &[u8], goes_on: bool) -> Piece<'_> {
        Piece { bytes, goes_on }
    }

    #[test]
    fn a_secret_across_the_pieces_of_a_long_line_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let log = AttemptLog::fresh(Uuid::from_u128(1), folder.path(), wake(u64::MAX));
        log.set_mask(Arc::new(Mask::of_texts(["hunter@22"])));
        log.output(Stream::Stdout, piece(b"x=hunt", true));
        log.output(Stream::Stderr, piece(b"hunt", false));
        log.output(Stream::Stdout, piece(b"er@22 and more", false));
        let text = ship(&log);
        assert!(!text.contains("er@22"), "{text}");
        let stdout = text.lines().map(|line| serde_json::from_str::<LogLine>(line).unwrap());
        let stdout: String = stdout.filter(|line| line.logger == "task.stdout").map(|line| line.event).collect();
        assert_eq!(stdout, "x=*** and more");
        assert_eq!(log.last_stdout().as_deref(), Some("er@22 and more"), "a result is not masked");
    }

    #[test]
    fn lines_beyond_the_spool_are_dropped_and_counted_where_they_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let log = AttemptLog::fresh(Uuid::from_u128(1), folder.path(), wake(10_000));
        for number in 0..1000 {
            log.output(Stream::Stdout, piece(format!("line {number}").as_bytes(), false));
        }
        let kept = events(&ship(&log));
        assert!((10..200).contains(&kept.len()), "{} lines", kept.len());
        log.output(Stream::Stdout, piece(b"again", false));
        let after = events(&ship(&log));
        assert!(after[0].starts_with(&format!("{} lines are missing here", 1000 - kept.len())), "{after:?}");
        assert_eq!(after[1], "again");
    }

    #[test]
    fn a_log_of_an_earlier_life_counts_and_goes_on_where_the_server_stands() {
        let folder = tempfile::tempdir().unwrap();
        let (id, first) = (Uuid::from_u128(1), wake(u64::MAX));
        let log = AttemptLog::fresh(id, folder.path(), first);
        log.output_at(Stream::Stdout, piece(b"one", false), "t1".to_owned());
        log.output_at(Stream::Stdout, piece(b"two", true), "t2".to_owned());
        log.output_at(Stream::Stdout, piece(b"two", false), "t2".to_owned());
        log.close();
        let second = wake(u64::MAX);
        let again = AttemptLog::found(id, folder.path(), Arc::clone(&second)).unwrap();
        assert!(second.budget.unsent() > 0);
        let resume = again.resume().unwrap();
        assert_eq!(resume.stdout, Position::new("t2".to_owned(), 1), "pieces are one line");
        again.spool.sent(0);
        assert_eq!(events(&ship(&again)), ["one", "two", "two"]);
        assert_eq!(second.budget.unsent(), 0);
    }

    #[test]
    fn what_is_said_before_a_torn_log_is_read_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let id = Uuid::from_u128(1);
        let log = AttemptLog::fresh(id, folder.path(), wake(u64::MAX));
        log.output_at(Stream::Stdout, piece(b"one", false), "t1".to_owned());
        log.close();
        let file = walk(folder.path()).remove(0);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.extend_from_slice(b"{\"timestamp\": \"t2\", \"ev");
        std::fs::write(&file, bytes).unwrap();
        let again = AttemptLog::found(id, folder.path(), wake(u64::MAX)).unwrap();
        again.say("warning", "something is wrong");
        assert_eq!(again.resume().unwrap().stdout, Position::new("t1".to_owned(), 1));
        again.output(Stream::Stdout, piece(b"two", false));
        again.spool.sent(0);
        assert_eq!(events(&ship(&again)), ["one", "something is wrong", "two"]);
    }

    /// The files below a folder.
    fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn a_log_that_the_server_does_not_take_leaves_nothing_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let wake = wake(u64::MAX);
        let log = AttemptLog::fresh(Uuid::from_u128(1), folder.path(), Arc::clone(&wake));
        log.output(Stream::Stdout, piece(b"line", false));
        log.spool.give_up();
        log.output(Stream::Stdout, piece(b"more", false));
        log.close();
        assert_eq!((ship(&log), wake.budget.unsent()), (String::new(), 0));
        assert!(Segments::ids(folder.path()).unwrap().is_empty() && log.spool.drained());
    }
}
