//! Logs in an object store: each write is an object of its own, named by the bytes of the log that it holds.
//!
//! Objects cannot grow, and any webserver may get any write, also one twice at once: a node that waited too long sends to
//! another what the first may still be writing. So a part is named by both its ends, `<from>-<to>`, and what a name holds is always
//! the same bytes, because a node never changes what it said. Parts may overlap; a log is what they cover from its beginning
//! without a gap, which only grows. Nothing is ever overwritten by less, and no writer needs to know of another.
//!
//! A log that was quiet for a while becomes one part that covers all, after which the others go ([`Parts::compact`]). A
//! webserver that dies between the two leaves parts too many, which no reader minds.

use std::{
    collections::HashMap,
    io,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout};
use updraft_store::bucket::{Bucket, BucketError};
use uuid::Uuid;

use super::{AppendError, LogKey, limit, path};

/// A node waits 15 s for an answer; one that comes later is of no use.
const DEADLINE: Duration = Duration::from_secs(12);
/// Bytes in memory while parts become one.
const PIECE: u64 = 8 << 20;
/// A part that is gone when it is read has become another one: look again, so often.
const LOOKS: usize = 5;

pub(super) struct Parts {
    bucket: Bucket,
    /// Logs that were written to here and not compacted since.
    written: Mutex<HashMap<Uuid, Written>>,
}

struct Written {
    key: LogKey,
    /// Others may have written more, never less.
    size: u64,
    last: Instant,
}

/// One object of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    from: u64,
    to: u64,
}

impl Part {
    fn name(self) -> String {
        format!("{:012}-{:012}", self.from, self.to)
    }

    fn parse(name: &str) -> Option<Self> {
        let (from, to) = name.split_once('-')?;
        Some(Self { from: from.parse().ok()?, to: to.parse().ok()? })
    }
}

impl Parts {
    pub(super) fn new(bucket: Bucket) -> Self {
        Self { bucket, written: Mutex::default() }
    }

    /// The size afterwards, and whether it grew. One at a time for a log on this webserver.
    pub(super) async fn append(
        &self,
        key: &LogKey,
        offset: u64,
        bytes: &[u8],
        most: u64,
    ) -> Result<(u64, bool), AppendError> {
        let append = async {
            let known = self.written().get(&key.attempt_id).map(|written| written.size);
            let size = match known {
                Some(size) if offset <= size => size,
                _ => covered(&self.list(key).await?),
            };
            let new = limit::cut(size, offset, bytes, most)?;
            let to = size + new.bytes.len() as u64;
            if !new.bytes.is_empty() {
                let name = place(key, Part { from: size, to });
                self.bucket.put(&name, Bytes::from(new.bytes)).await.map_err(io::Error::other)?;
            }
            let written = Written { key: key.clone(), size: to, last: Instant::now() };
            self.written().insert(key.attempt_id, written);
            if new.is_full { Err(AppendError::Full { limit: most }) } else { Ok((to, to > size)) }
        };
        match timeout(DEADLINE, append).await {
            Ok(appended) => appended,
            Err(_) => Err(io::Error::other(format!("{:?} did not answer within {DEADLINE:?}", self.bucket)).into()),
        }
    }

    pub(super) async fn size(&self, key: &LogKey) -> io::Result<u64> {
        Ok(covered(&self.list(key).await?))
    }

    pub(super) async fn read(&self, key: &LogKey, offset: u64, max: usize) -> io::Result<Bytes> {
        let mut bytes = BytesMut::new();
        for _ in 0..LOOKS {
            let parts = self.list(key).await?;
            loop {
                let at = offset + bytes.len() as u64;
                let end = offset.saturating_add(max as u64).min(covered(&parts));
                if at >= end {
                    return Ok(bytes.freeze());
                }
                let Some(part) = best(&parts, at) else { return Ok(bytes.freeze()) };
                match self.piece(key, part, at, end).await.map_err(io::Error::other)? {
                    Some(piece) => bytes.extend_from_slice(&piece),
                    None => break,
                }
            }
        }
        Err(io::Error::other(format!(
            "the parts of the log {} change faster than they can be read",
            path::relative(key)
        )))
    }

    pub(super) async fn delete(&self, key: &LogKey) -> io::Result<()> {
        self.written().remove(&key.attempt_id);
        for part in self.list(key).await? {
            self.bucket.delete(&place(key, part)).await.map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Makes logs that nobody wrote to for `quiet` one object each; how many. The first error ends it, and the next call goes on.
    pub(super) async fn compact_quiet(&self, quiet: Duration) -> io::Result<usize> {
        let due: Vec<LogKey> = {
            let written = self.written();
            written.values().filter(|one| one.last.elapsed() >= quiet).map(|one| one.key.clone()).collect()
        };
        for key in &due {
            self.compact(key).await?;
            // Written to meanwhile: later.
            let mut written = self.written();
            if written.get(&key.attempt_id).is_some_and(|one| one.last.elapsed() >= quiet) {
                written.remove(&key.attempt_id);
            }
        }
        Ok(due.len())
    }

    async fn compact(&self, key: &LogKey) -> io::Result<()> {
        let parts = self.list(key).await?;
        let whole = Part { from: 0, to: covered(&parts) };
        if parts.len() <= 1 {
            return Ok(());
        }
        if !parts.contains(&whole) && !self.join(key, &parts, whole).await.map_err(io::Error::other)? {
            return Ok(());
        }
        updraft_core::failpoint!("logs.compacted");
        for part in parts.into_iter().filter(|part| *part != whole && part.to <= whole.to) {
            self.bucket.delete(&place(key, part)).await.map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Writes the whole from its parts; `false` when one is gone, because somebody else did the same.
    async fn join(&self, key: &LogKey, parts: &[Part], whole: Part) -> Result<bool, BucketError> {
        let name = place(key, whole);
        let mut upload = self.bucket.upload(&name)?;
        let mut at = 0;
        while let Some(part) = best(parts, at).filter(|_| at < whole.to) {
            let Some(piece) = self.piece(key, part, at, at + PIECE).await? else {
                upload.abort().await?;
                return Ok(false);
            };
            at += piece.len() as u64;
            upload.write(piece).await?;
        }
        upload.finish().await?;
        Ok(true)
    }

    /// Bytes of a part from `at` to `end` or its own; `None` when it is gone.
    async fn piece(&self, key: &LogKey, part: Part, at: u64, end: u64) -> Result<Option<Bytes>, BucketError> {
        let range = at - part.from..end.min(part.to) - part.from;
        self.bucket.get(&place(key, part), Some(range)).await
    }

    /// The parts, in order.
    async fn list(&self, key: &LogKey) -> io::Result<Vec<Part>> {
        let found = self.bucket.list(&path::relative(key)).await.map_err(io::Error::other)?;
        let mut parts: Vec<Part> = found.iter().filter_map(|(name, _)| Part::parse(name)).collect();
        parts.sort_unstable_by_key(|part| (part.from, part.to));
        Ok(parts)
    }

    fn written(&self) -> MutexGuard<'_, HashMap<Uuid, Written>> {
        self.written.lock().expect("nothing panics under this lock")
    }
}

fn place(key: &LogKey, part: Part) -> String {
    format!("{}/{}", path::relative(key), part.name())
}

/// How far parts in order cover a log from its beginning.
fn covered(parts: &[Part]) -> u64 {
    parts.iter().fold(0, |end, part| if part.from <= end { end.max(part.to) } else { end })
}

/// The part that holds the byte at an offset and the most after it.
fn best(parts: &[Part], at: u64) -> Option<Part> {
    parts.iter().filter(|part| part.from <= at && at < part.to).max_by_key(|part| part.to).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(ends: &[(u64, u64)]) -> Vec<Part> {
        ends.iter().map(|&(from, to)| Part { from, to }).collect()
    }

    fn key() -> LogKey {
        LogKey {
            dag_id: "d".to_owned(),
            run_id: "r+1/2".to_owned(),
            task_id: "t".to_owned(),
            map_index: -1,
            try_number: 1,
            attempt_id: Uuid::from_u128(1),
        }
    }

    #[test]
    fn a_log_is_what_parts_cover_without_a_gap() {
        assert_eq!(covered(&[]), 0);
        assert_eq!(covered(&parts(&[(0, 10), (0, 5), (7, 20), (25, 30)])), 20);
        assert_eq!(covered(&parts(&[(3, 10)])), 0);
        assert_eq!(best(&parts(&[(0, 10), (5, 20)]), 7), Some(Part { from: 5, to: 20 }));
        assert_eq!(best(&parts(&[(0, 10), (5, 20)]), 20), None);
        assert_eq!(Part::parse(&Part { from: 7, to: 1 << 40 }.name()), Some(Part { from: 7, to: 1 << 40 }));
    }

    #[tokio::test]
    async fn a_write_that_arrives_late_on_another_webserver_takes_nothing_away() {
        let bucket = Bucket::in_memory();
        let (slow, quick) = (Parts::new(bucket.clone()), Parts::new(bucket));
        let key = key();
        assert_eq!(quick.append(&key, 0, b"one\ntwo\n", 1000).await.unwrap(), (8, true));
        // The node sent the first line to the other one, gave up waiting, and went on; only now it is written.
        assert_eq!(slow.append(&key, 0, b"one\n", 1000).await.unwrap(), (8, false));
        slow.bucket.put(&place(&key, Part { from: 0, to: 4 }), Bytes::from_static(b"one\n")).await.unwrap();
        assert_eq!(slow.append(&key, 8, b"three\n", 1000).await.unwrap(), (14, true));
        // What this one knows is old; it looks before it speaks of a gap.
        assert_eq!(quick.append(&key, 14, b"four\n", 1000).await.unwrap(), (19, true));
        assert!(matches!(quick.append(&key, 25, b"x", 1000).await, Err(AppendError::Gap { size: 19 })));
        for parts in [&slow, &quick] {
            assert_eq!(parts.read(&key, 0, 100).await.unwrap(), "one\ntwo\nthree\nfour\n");
            assert_eq!(parts.read(&key, 6, 5).await.unwrap(), "o\nthr");
        }
    }

    #[tokio::test]
    async fn a_quiet_log_becomes_one_object_and_goes_on_behind_it() {
        let parts = Parts::new(Bucket::in_memory());
        let key = key();
        for (number, line) in ["a\n", "bb\n", "ccc\n"].into_iter().enumerate() {
            let offset = [0, 2, 5][number];
            parts.append(&key, offset, line.as_bytes(), 1000).await.unwrap();
        }
        assert_eq!(parts.compact_quiet(Duration::from_mins(5)).await.unwrap(), 0, "it is not quiet");
        assert_eq!(parts.compact_quiet(Duration::ZERO).await.unwrap(), 1);
        assert_eq!(parts.list(&key).await.unwrap(), [Part { from: 0, to: 9 }]);
        parts.append(&key, 9, b"late\n", 1000).await.unwrap();
        assert_eq!(parts.read(&key, 0, 100).await.unwrap(), "a\nbb\nccc\nlate\n");
        // A webserver died before it deleted the old parts.
        parts.bucket.put(&place(&key, Part { from: 0, to: 2 }), Bytes::from_static(b"a\n")).await.unwrap();
        parts.compact(&key).await.unwrap();
        assert_eq!(parts.list(&key).await.unwrap(), [Part { from: 0, to: 14 }]);
        parts.delete(&key).await.unwrap();
        assert_eq!(parts.size(&key).await.unwrap(), 0);
    }
}
