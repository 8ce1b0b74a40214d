//! One attempt's log on the node.

use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use updraft_core::mask::Mask;
use updraft_protocol::LogLine;
use uuid::Uuid;

use super::shipper::Wake;
use crate::clock;

/// Bytes held back from the file until somebody flushes them.
const BUFFER: usize = 64 * 1024;
/// Bytes kept in memory beside the file, so that a short log is never read back.
const TAIL: usize = 256 * 1024;
/// More than this of one attempt's log is dropped, with a line that says so.
const LOG_LIMIT: u64 = 1024 * 1024 * 1024;

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
    path: PathBuf,
    inner: Mutex<Inner>,
    wake: Arc<Wake>,
}

struct Inner {
    file: Option<File>,
    /// Bytes not in the file yet.
    buffer: Vec<u8>,
    /// The last bytes of the file and the buffer, from `tail_from`; empty when they grew too many.
    tail: Vec<u8>,
    tail_from: u64,
    /// All bytes written so far, file and buffer.
    len: u64,
    /// What the server has; unknown after a restart.
    sent: Option<u64>,
    closed: bool,
    settled: bool,
    full: bool,
    mask: Arc<Mask>,
    last_stdout: Option<String>,
    last_stderr: Option<String>,
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
    /// The last line was cut at [`super::MAX_LINE`]: its rest, with the same timestamp, is no other line.
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
        let cut = line.event.len() > super::MAX_LINE - 4;
        *self = Self { timestamp: Some(line.timestamp.clone()), count, cut };
    }
}

impl AttemptLog {
    pub(super) fn create(id: Uuid, path: PathBuf, wake: Arc<Wake>, sent: Option<u64>) -> io::Result<Self> {
        let len = match std::fs::metadata(&path) {
            Ok(data) => data.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let inner = Inner {
            file: None,
            buffer: Vec::new(),
            tail: Vec::new(),
            tail_from: len,
            len,
            sent,
            closed: false,
            settled: false,
            full: false,
            mask: Arc::default(),
            last_stdout: None,
            last_stderr: None,
        };
        Ok(Self { spool: Arc::new(Spool { id, path, inner: Mutex::new(inner), wake }) })
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
    pub(crate) fn output(&self, stream: Stream, line: &[u8]) {
        self.output_at(stream, line, clock::timestamp());
    }

    /// A line of the task's own output with the time it was written at.
    pub(crate) fn output_at(&self, stream: Stream, line: &[u8], timestamp: String) {
        let text = String::from_utf8_lossy(line);
        let mut inner = self.spool.lock();
        match stream {
            Stream::Stdout => inner.last_stdout = Some(text.clone().into_owned()),
            Stream::Stderr => inner.last_stderr = Some(text.clone().into_owned()),
        }
        let level = if stream == Stream::Stderr { "error" } else { "info" };
        self.spool.push(&mut inner, level, stream.logger(), &text, timestamp);
    }

    /// The node's own words.
    pub(crate) fn say(&self, level: &str, text: &str) {
        let mut inner = self.spool.lock();
        for line in text.lines() {
            self.spool.push(&mut inner, level, "executor", line, clock::timestamp());
        }
    }

    /// The last line of standard output so far.
    pub(crate) fn last_stdout(&self) -> Option<String> {
        self.spool.lock().last_stdout.clone()
    }

    /// The last line of standard error so far, secrets masked: part of a failure's reason.
    pub(crate) fn last_stderr(&self) -> Option<String> {
        let inner = self.spool.lock();
        inner
            .last_stderr
            .as_deref()
            .filter(|line| !line.trim().is_empty())
            .map(|line| inner.mask.apply(line).into_owned())
    }

    /// The last line of standard output so far, or of standard error when there is no other.
    pub(crate) fn last_line(&self) -> Option<String> {
        let inner = self.spool.lock();
        inner.last_stdout.clone().or_else(|| inner.last_stderr.clone())
    }

    /// A text of the task that goes into a report, secrets masked.
    pub(crate) fn masked(&self, text: &str) -> String {
        self.spool.lock().mask.apply(text).into_owned()
    }

    /// No more lines will come.
    pub(crate) fn close(&self) {
        let mut inner = self.spool.lock();
        inner.closed = true;
        // A node that ends while the server is away ships it in its next life.
        self.spool.flush(&mut inner);
        drop(inner);
        self.spool.wake.dirty(&self.spool);
    }

    /// Reads an earlier life's log of a container, so that it can go on where it stopped.
    pub(crate) fn resume(&self) -> io::Result<Resume> {
        let mut resume = Resume::default();
        let mut inner = self.spool.lock();
        let file = match File::open(&self.spool.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(resume),
            Err(error) => return Err(error),
        };
        let mut whole = 0;
        for line in BufReader::new(file).split(b'\n') {
            let line = line?;
            let Ok(parsed) = serde_json::from_slice::<LogLine>(&line) else { break };
            whole += line.len() as u64 + 1;
            match parsed.logger.as_str() {
                "task.stdout" => {
                    resume.stdout.advance(&parsed);
                    inner.last_stdout = Some(parsed.event);
                }
                "task.stderr" => {
                    resume.stderr.advance(&parsed);
                    inner.last_stderr = Some(parsed.event);
                }
                _ => {}
            }
        }
        if whole < inner.len {
            // The crash tore the last line; the container's log has it whole.
            OpenOptions::new().write(true).open(&self.spool.path)?.set_len(whole)?;
            inner.len = whole;
            inner.tail_from = whole;
        }
        Ok(resume)
    }
}

impl Spool {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics while it holds a log")
    }

    fn push(self: &Arc<Self>, inner: &mut Inner, level: &str, logger: &str, text: &str, timestamp: String) {
        if inner.full {
            return;
        }
        let (level, text) = if inner.len < LOG_LIMIT {
            (level, inner.mask.apply(text))
        } else {
            inner.full = true;
            ("warning", Cow::Borrowed("The log is longer than 1 GiB; the rest is dropped."))
        };
        let line = LogLine {
            timestamp,
            level: level.to_owned(),
            event: text.into_owned(),
            logger: if inner.full { "executor" } else { logger }.to_owned(),
        };
        let before = inner.buffer.len();
        serde_json::to_writer(&mut inner.buffer, &line).expect("a log line is plain JSON, and memory takes it");
        inner.buffer.push(b'\n');
        let added = inner.buffer.len() - before;
        inner.len += added as u64;
        let Inner { buffer, tail, .. } = inner;
        tail.extend_from_slice(&buffer[before..]);
        if inner.tail.len() > TAIL {
            inner.tail.clear();
            inner.tail_from = inner.len;
        }
        if inner.buffer.len() >= BUFFER {
            self.flush(inner);
        }
        self.wake.dirty(self);
    }

    /// Moves the buffer to the file. A file that cannot be written (disk full) costs log lines, never the attempt.
    fn flush(&self, inner: &mut Inner) {
        if inner.buffer.is_empty() {
            return;
        }
        let written = match &mut inner.file {
            Some(file) => file.write_all(&inner.buffer),
            None => OpenOptions::new().create(true).append(true).open(&self.path).and_then(|mut file| {
                file.write_all(&inner.buffer)?;
                inner.file = Some(file);
                Ok(())
            }),
        };
        if let Err(error) = written {
            tracing::warn!(%error, attempt_id = %self.id, path = %self.path.display(), "log lines are lost: the spool cannot be written");
            // Keep offsets true: what is on disk is all there is.
            let on_disk = std::fs::metadata(&self.path).map_or(0, |data| data.len());
            inner.len = on_disk;
            inner.tail.clear();
            inner.tail_from = on_disk;
        }
        inner.buffer.clear();
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
        let mut bytes = vec![0; limit.min((inner.len - sent) as usize)];
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(sent))?;
        file.read_exact(&mut bytes)?;
        Ok(Some((sent, bytes)))
    }

    /// Whether the server's size is not known yet.
    pub(super) fn size_unknown(&self) -> bool {
        self.lock().sent.is_none()
    }

    /// How many bytes the server does not have, as far as it is known what it has.
    pub(super) fn unsent(&self) -> u64 {
        let inner = self.lock();
        inner.len.saturating_sub(inner.sent.unwrap_or(0))
    }

    /// The server has `size` bytes.
    pub(super) fn sent(&self, size: u64) {
        let mut inner = self.lock();
        inner.sent = Some(size);
        if size >= inner.len {
            inner.tail.clear();
            inner.tail_from = inner.len;
        }
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

    /// All that was written is with the server.
    pub(super) fn drained(&self) -> bool {
        let inner = self.lock();
        inner.sent.is_some_and(|sent| sent >= inner.len)
    }

    pub(super) fn remove(&self) {
        let mut inner = self.lock();
        inner.buffer.clear();
        if inner.file.take().is_none() && inner.len == 0 {
            return;
        }
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.path.display(), "a shipped log stays in the spool");
            }
            _ => {}
        }
    }
}
