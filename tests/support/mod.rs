//! What the integration tests share: the binary as a process, its output, and a client for its REST API.

pub(crate) mod airflow;
pub(crate) mod api;
pub(crate) mod fleet;
pub(crate) mod ledger;
pub(crate) mod netns;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod standalone;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// A folder that the Postgres user may pass through (a temporary folder is its maker's alone).
pub(crate) fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("updraft-it-").tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Writes `name` into `folder`, parents included.
pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}
