//! The log store: the NDJSON that nodes send (`updraft_protocol::LogLine` per line), unchanged, in a local folder or in an object
//! store; written at offsets by nodes, read and followed by the API.
//!
//! A folder has a file per attempt and may be shared by several webservers (a network mount): a write is positional and repeats
//! harmlessly. An object store has parts ([`parts`] says why that is right with any number of webservers). Followers on another
//! replica are not told of growth; they look again every second.
//!
//! For readers: [`LogStore::read_lines`] (whole lines from an offset), [`LogStore::size`], [`LogStore::subscribe`].

mod folder;
mod limit;
mod lines;
mod parts;
mod path;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::{Mutex, broadcast};
use updraft_store::bucket::Bucket;
use uuid::Uuid;

pub use self::lines::Lines;
use self::{folder::Folder, lines::LINE_LIMIT, parts::Parts};

/// What one attempt's log may hold unless told otherwise: 1 GiB.
pub const DEFAULT_LIMIT: u64 = 1 << 30;

/// Attempts share this many locks; more only lowers the chance that two wait for each other.
const STRIPES: usize = 64;

/// Writes of one request under way in an object store at once.
const PARTS_AT_ONCE: usize = 16;

/// Where the last line's end is looked for first, bytes from the log's end.
const LAST_LINE: usize = 64 << 10;

/// Nodes gather lines for so long when each write is a request of an object store.
const GATHER: Duration = Duration::from_secs(2);
/// A log in an object store that nobody wrote to for this long becomes one object.
const QUIET: Duration = Duration::from_mins(5);

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

/// Why bytes were not taken.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The offset lies behind the end: send from `size`.
    #[error("the log has {size} bytes; what lies between is missing")]
    Gap { size: u64 },
    /// The log reached its limit; a line in it says so.
    #[error("the log reached its limit of {limit} bytes")]
    Full { limit: u64 },
    /// The folder cannot be written (disk full, permissions), or the object store does not answer.
    #[error("the log cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct LogStore {
    inner: Arc<Inner>,
}

struct Inner {
    place: Place,
    limit: u64,
    stripes: Vec<Arc<Mutex<()>>>,
    grew: broadcast::Sender<Uuid>,
}

/// Bytes for a log.
pub struct Append {
    pub key: Arc<LogKey>,
    pub offset: u64,
    pub bytes: Bytes,
}

impl Inner {
    /// Blocks. One log's writes go one after the other; only one lock is held at a time.
    fn append_to(&self, folder: &Folder, appends: Vec<Append>) -> Vec<Result<u64, AppendError>> {
        let append = |Append { key, offset, bytes }: Append| {
            let _held = self.stripe(&key).blocking_lock_owned();
            let (size, grew) = folder.append(&path::relative(&key), offset, &bytes, self.limit)?;
            self.tell(&key, grew);
            Ok(size)
        };
        appends.into_iter().map(append).collect()
    }

    fn stripe(&self, key: &LogKey) -> Arc<Mutex<()>> {
        Arc::clone(&self.stripes[usize::from(key.attempt_id.as_bytes()[0]) % STRIPES])
    }

    fn tell(&self, key: &LogKey, grew: bool) {
        if grew {
            // Nobody following is fine.
            let _ = self.grew.send(key.attempt_id);
        }
    }
}

enum Place {
    Folder(Arc<Folder>),
    Parts(Parts),
}

impl LogStore {
    /// Opens (and creates) the folder. `limit`: bytes per attempt.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn open(root: impl Into<PathBuf>, limit: u64) -> io::Result<Self> {
        Ok(Self::new(Place::Folder(Arc::new(Folder::open(root.into())?)), limit))
    }

    /// Logs in an object store.
    pub fn in_bucket(bucket: Bucket, limit: u64) -> Self {
        Self::new(Place::Parts(Parts::new(bucket)), limit)
    }

    fn new(place: Place, limit: u64) -> Self {
        let (grew, _) = broadcast::channel(1024);
        let stripes = (0..STRIPES).map(|_| Arc::default()).collect();
        Self { inner: Arc::new(Inner { place, limit, stripes, grew }) }
    }

    /// How long nodes should gather lines before they send them.
    pub fn gather(&self) -> Duration {
        match self.inner.place {
            Place::Folder(_) => Duration::ZERO,
            Place::Parts(_) => GATHER,
        }
    }

    /// Writes bytes at offsets of logs, skipping what is there already; answers the sizes now, in order. Repeating a call changes
    /// nothing.
    pub async fn append_all(&self, appends: Vec<Append>) -> Vec<Result<u64, AppendError>> {
        let inner = Arc::clone(&self.inner);
        match &self.inner.place {
            Place::Folder(folder) => {
                let (folder, count) = (Arc::clone(folder), appends.len());
                // Goes on to its end, also when the caller has gone away.
                let written = blocking(move || Ok(inner.append_to(&folder, appends))).await;
                written.unwrap_or_else(|error| {
                    let failed = |_| Err(io::Error::new(error.kind(), error.to_string()).into());
                    (0..count).map(failed).collect()
                })
            }
            Place::Parts(parts) => {
                let inner = &inner;
                let append = async |Append { key, offset, bytes }: Append| {
                    let _held = inner.stripe(&key).lock_owned().await;
                    let (size, grew) = parts.append(&key, offset, &bytes, inner.limit).await?;
                    inner.tell(&key, grew);
                    Ok(size)
                };
                futures::stream::iter(appends.into_iter().map(append)).buffered(PARTS_AT_ONCE).collect().await
            }
        }
    }

    /// [`Self::append_all`] for one log.
    pub async fn append(&self, key: &LogKey, offset: u64, bytes: Bytes) -> Result<u64, AppendError> {
        let one = Append { key: Arc::new(key.clone()), offset, bytes };
        self.append_all(vec![one]).await.pop().expect("one answer for one log")
    }

    /// How many bytes there are; 0 when nothing was written.
    pub async fn size(&self, key: &LogKey) -> io::Result<u64> {
        match &self.inner.place {
            Place::Folder(folder) => {
                let (folder, name) = (Arc::clone(folder), path::relative(key));
                blocking(move || folder.size(&name)).await
            }
            Place::Parts(parts) => parts.size(key).await,
        }
    }

    /// At most `max` bytes from `offset`; empty at the end, and for a log that does not exist.
    pub async fn read(&self, key: &LogKey, offset: u64, max: usize) -> io::Result<Bytes> {
        match &self.inner.place {
            Place::Folder(folder) => {
                let (folder, name) = (Arc::clone(folder), path::relative(key));
                blocking(move || folder.read(&name, offset, max)).await.map(Bytes::from)
            }
            Place::Parts(parts) => parts.read(key, offset, max).await,
        }
    }

    /// Whole lines from `offset` (0, or an earlier [`Lines::next`]), about `max` bytes of them, at least one if one is complete.
    /// With `ended` the attempt sends nothing more, so a last line without its end counts. A line that is no
    /// [`LogLine`](updraft_protocol::LogLine) is returned as the `event` of one.
    pub async fn read_lines(&self, key: &LogKey, offset: u64, max: usize, ended: bool) -> io::Result<Lines> {
        let mut want = max.clamp(1, LINE_LIMIT);
        loop {
            let bytes = self.read(key, offset, want).await?;
            match lines::whole(&bytes, bytes.len() < want, ended) {
                Some(whole) => return Ok(lines::split(&bytes[..whole], offset)),
                None => want = LINE_LIMIT.min(want * 8),
            }
        }
    }

    /// How many bytes the whole lines take that there are now: a place for [`LogStore::read_lines`] to stop at.
    pub async fn whole_lines(&self, key: &LogKey) -> io::Result<u64> {
        let size = self.size(key).await?;
        let mut look = LAST_LINE;
        loop {
            let from = size.saturating_sub(look as u64);
            let bytes = self.read(key, from, (size - from) as usize).await?;
            match bytes.iter().rposition(|byte| *byte == b'\n') {
                Some(last) => return Ok(from + last as u64 + 1),
                None if from == 0 => return Ok(0),
                // Longer than a line may be: it is cut when it is read.
                None if look >= LINE_LIMIT => return Ok(size),
                None => look = LINE_LIMIT.min(look * 8),
            }
        }
    }

    /// Deletes a log; one that is not there is deleted already.
    pub async fn delete(&self, key: &LogKey) -> io::Result<()> {
        match &self.inner.place {
            Place::Folder(folder) => {
                let (folder, name) = (Arc::clone(folder), path::relative(key));
                blocking(move || folder.delete(&name)).await
            }
            Place::Parts(parts) => parts.delete(key).await,
        }
    }

    /// Makes one object of each log that this webserver wrote to and that is quiet; how many. Called every minute.
    pub async fn tidy(&self) -> io::Result<usize> {
        match &self.inner.place {
            Place::Folder(_) => Ok(0),
            Place::Parts(parts) => parts.compact_quiet(QUIET).await,
        }
    }

    /// The attempts whose log grows on this webserver, from now on. A receiver that lags should look at its log.
    pub fn subscribe(&self) -> broadcast::Receiver<Uuid> {
        self.inner.grew.subscribe()
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
