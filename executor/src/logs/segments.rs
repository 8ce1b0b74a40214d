//! The bytes of one log on the node's disk: files of bounded size, of which those that the server has go.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// A file takes no more when it has so many bytes.
const SEGMENT: u64 = 8 * 1024 * 1024;
/// Of what the server has, so many files stay: an adopted container's log is continued by what its last lines say.
const KEPT: usize = 2;

/// A growing sequence of bytes; the first of them may be gone.
pub(super) struct Segments {
    folder: PathBuf,
    id: Uuid,
    files: VecDeque<Segment>,
    /// The last of `files`, for writing.
    open: Option<File>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    /// The offset of its first byte in the log.
    from: u64,
    len: u64,
}

impl Segments {
    /// Of an attempt that never wrote here.
    pub(super) fn none(folder: &Path, id: Uuid) -> Self {
        Self { folder: folder.to_owned(), id, files: VecDeque::new(), open: None }
    }

    /// What an earlier life left of the attempt.
    pub(super) fn found(folder: &Path, id: Uuid) -> io::Result<Self> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if let Some((of, from)) = parse(&entry.path())
                && of == id
            {
                files.push(Segment { from, len: entry.metadata()?.len() });
            }
        }
        files.sort_by_key(|file| file.from);
        Ok(Self { files: files.into(), ..Self::none(folder, id) })
    }

    /// Whose logs lie in a folder.
    pub(super) fn ids(folder: &Path) -> io::Result<Vec<Uuid>> {
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            ids.extend(parse(&entry?.path()).map(|(id, _)| id));
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// All bytes there ever were.
    pub(super) fn len(&self) -> u64 {
        self.files.back().map_or(0, |last| last.from + last.len)
    }

    /// The offset of the first byte that is still here.
    pub(super) fn begin(&self) -> u64 {
        self.files.front().map_or(0, |first| first.from)
    }

    /// Writes all of it or, with an error, nothing.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.files.back().is_none_or(|last| last.len >= SEGMENT) {
            let from = self.len();
            self.open = Some(OpenOptions::new().create(true).append(true).open(self.path(from))?);
            self.files.push_back(Segment { from, len: 0 });
        }
        let last = *self.files.back().expect("there is one now");
        let file = match &mut self.open {
            Some(file) => file,
            None => self.open.insert(OpenOptions::new().append(true).open(self.path(last.from))?),
        };
        if let Err(error) = file.write_all(bytes) {
            // A part of a line must not stay.
            file.set_len(last.len)?;
            return Err(error);
        }
        if let Some(last) = self.files.back_mut() {
            last.len += bytes.len() as u64;
        }
        Ok(())
    }

    /// At most `limit` bytes from `offset`, which lies between [`Self::begin`] and [`Self::len`].
    pub(super) fn read(&self, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let file = self.files.iter().find(|file| (file.from..file.from + file.len).contains(&offset));
        let Some(segment) = file else { return Ok(Vec::new()) };
        let mut bytes = vec![0; limit.min((segment.from + segment.len - offset) as usize)];
        let mut file = File::open(self.path(segment.from))?;
        file.seek(SeekFrom::Start(offset - segment.from))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// What is still here, from its beginning.
    pub(super) fn reader(&self) -> io::Result<impl io::BufRead + use<>> {
        let empty: Box<dyn Read> = Box::new(io::empty());
        let files = self.files.iter().try_fold(empty, |before, segment| {
            let file = File::open(self.path(segment.from))?.take(segment.len);
            Ok::<_, io::Error>(Box::new(before.chain(file)) as Box<dyn Read>)
        })?;
        Ok(BufReader::new(files))
    }

    /// Cuts off what lies behind `len`, which is in the last file: a crash tore its last line.
    pub(super) fn truncate(&mut self, len: u64) -> io::Result<()> {
        let Some(last) = self.files.back_mut().filter(|last| last.from <= len) else { return Ok(()) };
        last.len = len - last.from;
        let last = *last;
        self.open = None;
        OpenOptions::new().write(true).open(self.path(last.from))?.set_len(last.len)
    }

    /// The server has what is before `offset`: files of nothing else go, but for the last few.
    pub(super) fn release(&mut self, offset: u64) {
        while self.files.len() > KEPT && self.files.front().is_some_and(|first| first.from + first.len <= offset) {
            if let Some(first) = self.files.pop_front() {
                self.delete(first);
            }
        }
    }

    /// Deletes all.
    pub(super) fn remove(&mut self) {
        self.open = None;
        for file in std::mem::take(&mut self.files) {
            self.delete(file);
        }
    }

    fn delete(&self, segment: Segment) {
        let path = self.path(segment.from);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "a shipped log stays in the spool");
            }
            _ => {}
        }
    }

    fn path(&self, from: u64) -> PathBuf {
        self.folder.join(format!("{}.{from:012}.ndjson", self.id))
    }
}

/// Whose segment a file is, and from where on.
fn parse(path: &Path) -> Option<(Uuid, u64)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".ndjson")?;
    let (id, from) = name.split_once('.')?;
    Some((id.parse().ok()?, from.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_has_goes_and_the_end_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Segments::none(folder.path(), Uuid::from_u128(1));
        let line = vec![b'x'; 1024 * 1024];
        for _ in 0..40 {
            log.append(&line).unwrap();
        }
        assert_eq!((log.begin(), log.len()), (0, 40 << 20));
        log.release(20 << 20);
        assert_eq!(log.begin(), 16 << 20);
        assert_eq!(log.read(17 << 20, 64 << 20).unwrap().len(), 7 << 20, "to the end of its file");
        log.release(40 << 20);
        assert_eq!(log.begin(), 24 << 20, "two files stay");
        let found = Segments::found(folder.path(), Uuid::from_u128(1)).unwrap();
        assert_eq!((found.begin(), found.len()), (24 << 20, 40 << 20));
        assert_eq!(Segments::ids(folder.path()).unwrap(), [Uuid::from_u128(1)]);
        log.remove();
        assert!(Segments::ids(folder.path()).unwrap().is_empty());
    }

    #[test]
    fn a_torn_line_is_cut_off_and_the_log_goes_on_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Segments::none(folder.path(), Uuid::from_u128(2));
        log.append(b"whole\nto").unwrap();
        let mut log = Segments::found(folder.path(), Uuid::from_u128(2)).unwrap();
        log.truncate(6).unwrap();
        log.append(b"next\n").unwrap();
        let mut text = String::new();
        log.reader().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "whole\nnext\n");
    }
}
