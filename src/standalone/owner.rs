//! Which user runs the private Postgres. Its programs refuse to run as root.

use std::{fs, os::unix::fs::chown, path::Path, path::PathBuf};

use anyhow::{Context, Result, bail};
use nix::unistd::{Gid, Uid, User, getegid, geteuid};
use tokio::process::Command;

/// The user that owns the cluster's folder and runs the server.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) name: String,
    /// We are root and become this user for Postgres' programs.
    switch: bool,
}

impl Owner {
    /// Ourselves; when we are root the user `postgres` (Debian's package makes it), else `nobody`.
    pub(crate) fn find() -> Result<Self> {
        if !geteuid().is_root() {
            let name = User::from_uid(geteuid()).ok().flatten().map_or_else(|| geteuid().to_string(), |user| user.name);
            return Ok(Self { uid: geteuid(), gid: getegid(), name, switch: false });
        }
        for name in ["postgres", "nobody"] {
            if let Some(user) = User::from_name(name).with_context(|| format!("looking up the user `{name}`"))? {
                return Ok(Self { uid: user.uid, gid: user.gid, name: user.name, switch: true });
            }
        }
        bail!(
            "Postgres does not run as root, and this machine has neither a user `postgres` nor `nobody`; make one \
             (`useradd --system postgres`), or use an existing server with --database-url"
        )
    }

    /// A command that runs as this user, out of reach of the terminal's Ctrl-C, with nothing of our environment but PATH.
    pub(crate) fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        // The C locale keeps messages (and the sort order that initdb takes from it) the same everywhere.
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir(folder).process_group(0);
        if self.switch {
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
        command
    }

    /// Makes a folder that only this user can enter, or makes an existing one so.
    pub(crate) fn private_folder(&self, path: &Path) -> Result<PathBuf> {
        use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
        let context = || format!("making the folder {}", path.display());
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(context),
        }
        let found = fs::symlink_metadata(path).with_context(context)?;
        // In a shared folder such as /tmp somebody else may have been there first.
        if !found.is_dir() || (found.uid() != self.uid.as_raw() && found.uid() != geteuid().as_raw()) {
            bail!("{} exists and is not a folder of ours; remove it", path.display());
        }
        if self.switch {
            chown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw())).with_context(context)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).with_context(context)?;
        Ok(path.to_owned())
    }
}
