//! Standalone's data folder: who may use it, its version, its lock, and the small secrets kept in it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use nix::unistd::{Gid, Uid, geteuid};
use rand::{Rng, distr::Alphanumeric};

use crate::config::{Config, Environment};

/// The layout this binary writes. Raised when a change needs more than adding files.
const FORMAT: u32 = 1;

/// Where the data folder is: `core.data_dir`, or the user's data folder. Root's home is closed to the Postgres user on most
/// machines, so root's default moves to `/var/lib/updraft` then.
pub(crate) fn locate(config: &Config, environment: &Environment) -> Result<PathBuf> {
    if let Some(folder) = &config.core.data_dir {
        return std::path::absolute(folder).with_context(|| format!("resolving the data folder {}", folder.display()));
    }
    if let Some(folder) = &environment.xdg_data_home {
        return Ok(folder.join("updraft"));
    }
    let Some(home) = &environment.home else {
        bail!("no data folder: neither HOME nor XDG_DATA_HOME is set; name one with --data-dir");
    };
    let folder = home.join(".local/share/updraft");
    if geteuid().is_root()
        && let Ok(owner) = super::owner::Owner::find()
        && blocked_for(&folder, owner.uid, owner.gid).is_some()
    {
        return Ok(PathBuf::from("/var/lib/updraft"));
    }
    Ok(folder)
}

/// The files in a data folder, by name. Needs no lock: the command line reads them while standalone runs.
#[derive(Clone, Debug)]
pub(crate) struct Layout(pub(crate) PathBuf);

impl Layout {
    pub(crate) fn postgres(&self) -> PathBuf {
        self.0.join("postgres")
    }
    pub(crate) fn admin_password(&self) -> PathBuf {
        self.0.join("admin-password")
    }
    pub(crate) fn jwt_secret(&self) -> PathBuf {
        self.0.join("jwt-secret")
    }
    pub(crate) fn fernet_key(&self) -> PathBuf {
        self.0.join("fernet-key")
    }
    pub(crate) fn executor_token(&self) -> PathBuf {
        self.0.join("executor-token")
    }
    /// The folder of a node that runs on this machine, one per name, so that several can share this data folder; made if
    /// there is none.
    pub(crate) fn executor(&self, name: &str) -> Result<PathBuf> {
        let folder = self.0.join("executors").join(name.replace(['/', '\0'], "_"));
        fs::create_dir_all(&folder).with_context(|| {
            format!("cannot write to the data folder {}; choose another one with --data-dir", self.0.display())
        })?;
        Ok(folder)
    }
    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }
    /// The URL of the running standalone; absent when none runs.
    pub(crate) fn url(&self) -> PathBuf {
        self.0.join("url")
    }
    fn version(&self) -> PathBuf {
        self.0.join("VERSION")
    }
    fn lock(&self) -> PathBuf {
        self.0.join("standalone.lock")
    }
}

/// A data folder that this process alone uses, until it is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    pub(crate) layout: Layout,
    _lock: File,
}

impl DataDir {
    /// Makes the folder if there is none, locks it and checks its version.
    ///
    /// # Errors
    /// Not writable, in use by another standalone, or written by a newer Updraft.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let unusable =
            || format!("cannot write to the data folder {}; choose another one with --data-dir", path.display());
        // The Postgres user must be able to pass through a folder of root's; the files with secrets have modes of their own.
        let mode = if geteuid().is_root() { 0o755 } else { 0o700 };
        if !path.is_dir() {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).with_context(unusable)?;
            }
            fs::DirBuilder::new().mode(mode).create(path).with_context(unusable)?;
        }
        let layout = Layout(path.to_owned());
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(layout.lock())
            .with_context(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder).with_context(unusable)?;
                bail!(
                    "the data folder {} is in use by another `updraft standalone` (process {}); stop that one, or choose \
                     another folder with --data-dir and another port with --port",
                    path.display(),
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(unusable),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).with_context(unusable)?;
        check_version(&layout)?;
        Ok(Self { layout, _lock: lock })
    }
}

fn check_version(layout: &Layout) -> Result<()> {
    let file = layout.version();
    match fs::read_to_string(&file) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(version) if version <= FORMAT => Ok(()),
            Ok(version) => bail!(
                "the data folder {} was written by a newer Updraft (folder version {version}, this binary knows {FORMAT}); \
                 run that version, or choose another folder with --data-dir",
                layout.0.display()
            ),
            Err(_) => bail!(
                "{} holds {:?}, which is no folder version; is this a data folder of Updraft?",
                file.display(),
                text.trim()
            ),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::write(&file, format!("{FORMAT}\n")).with_context(|| format!("writing {}", file.display()))
        }
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

/// The text of a small file of the data folder; `None` when there is no such file, or nothing in it.
pub(crate) fn read_text(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

/// The secret in `file`; `make` provides it when there is none yet, and it is kept with mode 0600.
pub(crate) fn kept_secret(file: &Path, make: impl FnOnce() -> String) -> Result<String> {
    match read_text(file)? {
        Some(secret) => Ok(secret),
        None => keep(file, make()),
    }
}

/// Writes a secret, replacing what was there, in one step: a reader sees the old or the new one.
pub(crate) fn keep(file: &Path, secret: String) -> Result<String> {
    let fresh = file.with_extension("new");
    let write = || -> io::Result<()> {
        let mut handle = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        handle.set_permissions(fs::Permissions::from_mode(0o600))?;
        writeln!(handle, "{secret}")?;
        handle.sync_all()?;
        fs::rename(&fresh, file)
    };
    write().with_context(|| format!("writing {}", file.display()))?;
    Ok(secret)
}

/// Random letters and digits, about 5.9 bits each.
pub(crate) fn random_text(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

/// The nearest existing ancestor of `path` (itself included) that the user may not pass through.
pub(crate) fn blocked_for(path: &Path, uid: Uid, gid: Gid) -> Option<PathBuf> {
    path.ancestors()
        .find(|folder| {
            fs::metadata(folder).is_ok_and(|metadata| {
                let bit = if metadata.uid() == uid.as_raw() {
                    0o100
                } else if metadata.gid() == gid.as_raw() {
                    0o010
                } else {
                    0o001
                };
                metadata.mode() & bit == 0
            })
        })
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_standalone_is_refused_while_the_first_lives() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::open(folder.path()).unwrap();
        let error = DataDir::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("in use by another") && error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        DataDir::open(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("VERSION"), "99\n").unwrap();
        let error = DataDir::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("newer Updraft (folder version 99"), "{error}");
    }

    #[test]
    fn secrets_are_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let first = kept_secret(&file, || random_text(24)).unwrap();
        let second = kept_secret(&file, || panic!("already made")).unwrap();
        assert_eq!(first, second);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    }
}
