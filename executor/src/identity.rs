//! Who this node is: a key file in its data folder, locked for as long as the process lives.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use uuid::Uuid;

use crate::config::ExecutorError;

/// The node's identity. Dropping it releases the folder.
pub(crate) struct Identity {
    pub(crate) id: Uuid,
    /// Holds the lock; children do not inherit it (close-on-exec).
    _lock: File,
}

impl Identity {
    /// Reads or makes `executor.key` in `data_dir` and takes its lock. Fails at once when another process holds it.
    pub(crate) fn take(data_dir: &Path) -> Result<Self, ExecutorError> {
        let failed = |source| ExecutorError::DataDir { path: data_dir.to_owned(), source };
        std::fs::create_dir_all(data_dir).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(data_dir.join("executor.key"))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ExecutorError::Locked { path: data_dir.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let id = read_or_make(&mut file).map_err(failed)?;
        Ok(Self { id, _lock: file })
    }
}

fn read_or_make(file: &mut File) -> io::Result<Uuid> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if text.trim().is_empty() {
        let id = Uuid::new_v4();
        file.rewind()?;
        file.write_all(format!("{id}\n").as_bytes())?;
        file.sync_all()?;
        return Ok(id);
    }
    text.trim().parse().map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("executor.key does not hold a node identity: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_stays_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::take(dir.path()).unwrap().id;
        assert_eq!(Identity::take(dir.path()).unwrap().id, first);
    }

    #[test]
    fn second_process_on_a_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _held = Identity::take(dir.path()).unwrap();
        let Err(error) = Identity::take(dir.path()) else { panic!("the folder was taken twice") };
        assert!(matches!(error, ExecutorError::Locked { .. }), "{error}");
    }
}
