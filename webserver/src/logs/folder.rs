//! Logs in a local folder: one file per attempt, written at offsets.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::{AppendError, limit};

/// The folder. Its functions block.
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&root)
            .map_err(|error| io::Error::new(error.kind(), format!("log folder {}: {error}", root.display())))?;
        Ok(Self { root })
    }

    /// The size afterwards, and whether it grew.
    pub(super) fn append(&self, name: &str, offset: u64, bytes: &[u8], most: u64) -> Result<(u64, bool), AppendError> {
        let file = open_for_writing(&self.root.join(name))?;
        let size = file.metadata()?.len();
        let new = limit::cut(size, offset, bytes, most)?;
        if new.bytes.is_empty() {
            return Ok((size, false));
        }
        file.write_all_at(&new.bytes, size)?;
        if new.is_full {
            return Err(AppendError::Full { limit: most });
        }
        Ok((size + new.bytes.len() as u64, true))
    }

    pub(super) fn size(&self, name: &str) -> io::Result<u64> {
        match std::fs::metadata(self.root.join(name)) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    pub(super) fn read(&self, name: &str, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let file = match File::open(self.root.join(name)) {
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

    /// Deletes the file, and the folders that it leaves empty.
    pub(super) fn delete(&self, name: &str) -> io::Result<()> {
        let path = self.root.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let above = path.ancestors().skip(1).take_while(|folder| *folder != self.root);
        for folder in above {
            // Not empty, or somebody was faster: either way this is as far as it goes.
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn open_for_writing(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    // A folder may be taken away, empty, between the two.
    for _ in 0..3 {
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
            }
            other => return other,
        }
    }
    open()
}
