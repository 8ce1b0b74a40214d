//! The log store: one file per attempt in a local folder, written at offsets by nodes, read and followed by the API.
//!
//! A file holds the bytes of NDJSON that the node sent (`updraft_protocol::LogLine` per line), unchanged. The folder may be shared by
//! several webservers (a network mount): a write is positional and repeats harmlessly. Followers on another replica are not
//! told of growth; they look again every second.
//!
//! For readers: [`LogStore::read_lines`] (whole lines from an offset), [`LogStore::size`], [`LogStore::subscribe`].

mod path;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::{Mutex, broadcast};
use updraft_protocol::LogLine;
use uuid::Uuid;

/// What one attempt's log may hold unless told otherwise: 1 GiB.
pub const DEFAULT_LIMIT: u64 = 1 << 30;

/// Attempts share this many locks; more only lowers the chance that two wait for each other.
const STRIPES: usize = 64;

/// A line longer than this is cut into lines of this size when it is read.
const LINE_LIMIT: usize = 16 << 20;

/// Whose log it is. Made of Airflow's keys and the attempt, so that each try of each clear has a file of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogKey {
    pub dag_id: String,
    pub run_id: String,
    pub task_id: String,
    /// -1 for an unmapped task.
    pub map_index: i32,
    pub try_number: i32,
    pub attempt_id: Uuid,
}

/// Whole lines of a log.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    pub lines: Vec<LogLine>,
    /// Where to read on. Less than the file's size while a line's end has not arrived.
    pub next: u64,
}

/// Why bytes were not taken.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The offset lies behind the end: send from `size`.
    #[error("the log has {size} bytes; what lies between is missing")]
    Gap { size: u64 },
    /// The log reached its limit; a line in it says so.
    #[error("the log reached its limit of {limit} bytes")]
    Full { limit: u64 },
    /// The folder cannot be written (disk full, permissions).
    #[error("the log cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct LogStore {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    limit: u64,
    stripes: Vec<Arc<Mutex<()>>>,
    grew: broadcast::Sender<Uuid>,
}

impl LogStore {
    /// Opens (and creates) the folder. `limit`: bytes per attempt.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn open(root: impl Into<PathBuf>, limit: u64) -> io::Result<Self> {
        let root = root.into();
        std::fs::create_dir_all(&root)
            .map_err(|error| io::Error::new(error.kind(), format!("log folder {}: {error}", root.display())))?;
        let (grew, _) = broadcast::channel(1024);
        let stripes = (0..STRIPES).map(|_| Arc::default()).collect();
        Ok(Self { inner: Arc::new(Inner { root, limit, stripes, grew }) })
    }

    /// Writes `bytes` at `offset`, skipping what is there already, and returns the size now. Repeating a call changes nothing.
    pub async fn append(&self, key: &LogKey, offset: u64, bytes: Bytes) -> Result<u64, AppendError> {
        let stripe = usize::from(key.attempt_id.as_bytes()[0]) % STRIPES;
        let held = self.inner.stripes[stripe].clone().lock_owned().await;
        let (path, limit) = (self.path(key), self.inner.limit);
        let (size, grew) = blocking(move || {
            // Held until the write is over, even when the caller has gone away.
            let _held = held;
            Ok(append(&path, offset, &bytes, limit))
        })
        .await??;
        if grew {
            // Nobody following is fine.
            let _ = self.inner.grew.send(key.attempt_id);
        }
        Ok(size)
    }

    /// How many bytes there are; 0 when nothing was written.
    pub async fn size(&self, key: &LogKey) -> io::Result<u64> {
        let path = self.path(key);
        blocking(move || size(&path)).await
    }

    /// At most `max` bytes from `offset`; empty at the end, and for a log that does not exist.
    pub async fn read(&self, key: &LogKey, offset: u64, max: usize) -> io::Result<Bytes> {
        let path = self.path(key);
        blocking(move || read(&path, offset, max)).await.map(Bytes::from)
    }

    /// Whole lines from `offset` (0, or an earlier [`Lines::next`]), about `max` bytes of them, at least one if one is complete.
    /// With `ended` the attempt sends nothing more, so a last line without its end counts. A line that is no
    /// [`LogLine`] is returned as the `event` of one.
    pub async fn read_lines(&self, key: &LogKey, offset: u64, max: usize, ended: bool) -> io::Result<Lines> {
        let path = self.path(key);
        blocking(move || read_lines(&path, offset, max, ended)).await
    }

    /// Deletes a log; one that is not there is deleted already.
    pub async fn delete(&self, key: &LogKey) -> io::Result<()> {
        let path = self.path(key);
        blocking(move || match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    /// The attempts whose log grows on this webserver, from now on. A receiver that lags should look at its log.
    pub fn subscribe(&self) -> broadcast::Receiver<Uuid> {
        self.inner.grew.subscribe()
    }

    fn path(&self, key: &LogKey) -> PathBuf {
        self.inner.root.join(path::relative(key))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The size afterwards, and whether it grew.
fn append(path: &Path, offset: u64, bytes: &[u8], limit: u64) -> Result<(u64, bool), AppendError> {
    let file = open_for_writing(path)?;
    let size = file.metadata()?.len();
    if size >= limit {
        return Err(AppendError::Full { limit });
    }
    if offset > size {
        return Err(AppendError::Gap { size });
    }
    let known = usize::try_from(size - offset).unwrap_or(usize::MAX);
    let Some(new) = bytes.get(known..).filter(|new| !new.is_empty()) else { return Ok((size, false)) };
    let end = size + new.len() as u64;
    if end > limit {
        let room = usize::try_from(limit - size).unwrap_or(usize::MAX);
        let kept = new[..room].iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |last| &new[..=last]);
        // From here on the file is at least as long as the limit, so nothing is ever taken again.
        let mut tail = [kept, limit_notice(limit).as_bytes()].concat();
        if size + (tail.len() as u64) < limit {
            tail.resize(usize::try_from(limit - size).unwrap_or(tail.len()), b'\n');
        }
        file.write_all_at(&tail, size)?;
        return Err(AppendError::Full { limit });
    }
    file.write_all_at(new, size)?;
    Ok((end, true))
}

/// The last line of a log that is cut off.
fn limit_notice(limit: u64) -> String {
    let line = LogLine {
        timestamp: chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).to_rfc3339(),
        level: "warning".to_owned(),
        event: format!(
            "The log of this try reached its limit of {limit} bytes; the rest was not kept. The task goes on."
        ),
        logger: "webserver".to_owned(),
        goes_on: false,
    };
    serde_json::to_string(&line).expect("a line of texts is JSON") + "\n"
}

fn open_for_writing(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            open()
        }
        other => other,
    }
}

fn size(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn read(path: &Path, offset: u64, max: usize) -> io::Result<Vec<u8>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let left = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(max)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn read_lines(path: &Path, offset: u64, max: usize, ended: bool) -> io::Result<Lines> {
    let mut want = max.clamp(1, LINE_LIMIT);
    loop {
        let bytes = read(path, offset, want)?;
        let is_all = bytes.len() < want;
        let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(_) | None if is_all && ended => bytes.len(),
            Some(last) => last + 1,
            None if is_all => 0,
            None if want >= LINE_LIMIT => bytes.len(),
            None => {
                want = LINE_LIMIT.min(want * 8);
                continue;
            }
        };
        let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(parse).collect();
        return Ok(Lines { lines, next: offset + whole as u64 });
    }
}

fn parse(line: &[u8]) -> LogLine {
    serde_json::from_slice(line).unwrap_or_else(|_| LogLine {
        timestamp: String::new(),
        level: "info".to_owned(),
        event: String::from_utf8_lossy(line).into_owned(),
        logger: String::new(),
        goes_on: false,
    })
}

#[cfg(test)]
mod tests;
