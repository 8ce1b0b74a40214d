//! Code bundles: fetched once by content, unpacked beside each other, read-only by convention.

use std::{
    collections::HashMap,
    io,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use flate2::read::GzDecoder;
use tokio::sync::Mutex as AsyncMutex;
use updraft_core::spec::{Failure, FailureClass};

use crate::{
    client::{Backoff, CallError, Client},
    runner::failure,
};

/// Tries before an attempt fails for want of its code.
const TRIES: usize = 8;
/// Larger archives, and archives that unpack to more, are refused.
const ARCHIVE_LIMIT: usize = 256 * 1024 * 1024;
const UNPACKED_LIMIT: u64 = 2 * 1024 * 1024 * 1024;

/// A bundle that no task used for this long is removed.
const UNUSED: Duration = Duration::from_hours(7 * 24);
/// How exactly the last use is known: writing it down for every task would cost more than it tells.
const EXACTNESS: Duration = Duration::from_hours(1);

/// The node's bundles.
pub(crate) struct Bundles {
    dir: PathBuf,
    client: Arc<Client>,
    /// One fetch of each at a time.
    under_way: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
}

impl Bundles {
    pub(crate) fn open(dir: &Path, client: Arc<Client>) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                std::fs::remove_dir_all(path)?;
            }
        }
        Ok(Self { dir, client, under_way: Mutex::default() })
    }

    /// The folder of a bundle, fetched if need be.
    pub(crate) async fn get(&self, hash: &str) -> Result<PathBuf, Failure> {
        if hash.is_empty() || !hash.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(failure(FailureClass::BundleUnavailable, format!("`{hash}` is not the hash of a bundle.")));
        }
        let path = self.dir.join(hash);
        if used(&path) {
            return Ok(path);
        }
        let gate = {
            let mut under_way = self.under_way.lock().expect("no code panics while it holds the list");
            Arc::clone(under_way.entry(hash.to_owned()).or_default())
        };
        let _one_at_a_time = gate.lock().await;
        if used(&path) {
            return Ok(path);
        }
        let archive = self.fetch(hash).await?;
        let (target, dir) = (path.clone(), self.dir.clone());
        let unpacked = tokio::task::spawn_blocking(move || {
            unpack(&archive, &target)?;
            if let Err(error) = remove_unused(&dir) {
                tracing::warn!(%error, "old code bundles cannot be removed");
            }
            Ok::<_, io::Error>(())
        })
        .await;
        match unpacked {
            Ok(Ok(())) => Ok(path),
            Ok(Err(error)) => Err(failure(
                FailureClass::BundleUnavailable,
                format!("The code bundle {hash} cannot be unpacked: {error}."),
            )),
            Err(error) => Err(failure(
                FailureClass::BundleUnavailable,
                format!("The code bundle {hash} cannot be unpacked: {error}."),
            )),
        }
    }

    async fn fetch(&self, hash: &str) -> Result<Vec<u8>, Failure> {
        let mut backoff = Backoff::new();
        let mut tried = 0;
        loop {
            let error = match self.download(hash).await {
                Ok(archive) => return Ok(archive),
                Err(error) => error,
            };
            tried += 1;
            if tried >= TRIES || matches!(error, CallError::Rejected { .. } | CallError::Refused { .. }) {
                return Err(failure(
                    FailureClass::BundleUnavailable,
                    format!("The code bundle {hash} could not be fetched: {error}."),
                ));
            }
            tokio::time::sleep(backoff.delay(&error)).await;
        }
    }

    async fn download(&self, hash: &str) -> Result<Vec<u8>, CallError> {
        let later = |reason: String| CallError::Later { reason, retry_after: None };
        let mut response = self.client.bundle(hash).await?;
        let mut archive = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|error| later(error.to_string()))? {
            archive.extend_from_slice(&bytes);
            if archive.len() > ARCHIVE_LIMIT {
                let detail = format!("it is larger than {} MiB", ARCHIVE_LIMIT >> 20);
                return Err(CallError::Rejected {
                    status: reqwest::StatusCode::PAYLOAD_TOO_LARGE,
                    detail,
                    body: serde_json::Value::Null,
                });
            }
        }
        Ok(archive)
    }
}

/// Whether a bundle is there; if so it counts as used now. Its folder's time says when that was.
fn used(path: &Path) -> bool {
    let Ok(data) = path.metadata() else { return false };
    let age = data.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
    if age > EXACTNESS
        && let Err(error) = std::fs::File::open(path).and_then(|folder| folder.set_modified(SystemTime::now()))
    {
        tracing::debug!(%error, path = %path.display(), "a bundle's last use cannot be noted");
    }
    data.is_dir()
}

fn remove_unused(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > UNUSED) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Unpacks into a folder beside `target` and moves it there. Only plain files, folders and links that stay inside.
fn unpack(archive: &[u8], target: &Path) -> io::Result<()> {
    let part = target.with_extension("part");
    if part.exists() {
        std::fs::remove_dir_all(&part)?;
    }
    std::fs::create_dir(&part)?;
    let mut size = 0;
    let mut tar = tar::Archive::new(GzDecoder::new(archive));
    tar.set_preserve_mtime(true);
    for entry in tar.entries()? {
        let mut entry = entry?;
        size += entry.size();
        let path = entry.path()?.into_owned();
        let kind = entry.header().entry_type();
        let refused = |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("`{}` {why}", path.display()));
        if size > UNPACKED_LIMIT {
            return Err(refused("makes it larger than 2 GiB"));
        }
        if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
            if kind.is_pax_global_extensions() {
                continue;
            }
            return Err(refused("is neither a file nor a folder"));
        }
        if let (true, Some(link)) = (kind.is_symlink(), entry.link_name()?)
            && !stays_inside(&path, &link)
        {
            return Err(refused("is a link that leads out of the bundle"));
        }
        if !entry.unpack_in(&part)? {
            return Err(refused("would be written outside of the bundle"));
        }
    }
    std::fs::File::open(&part)?.set_modified(SystemTime::now())?;
    std::fs::rename(&part, target)
}

/// Whether a link at `path` with this text stays below the root.
fn stays_inside(path: &Path, link: &Path) -> bool {
    let mut depth: i32 = path
        .parent()
        .map_or(0, |parent| parent.components().filter(|part| matches!(part, Component::Normal(_))).count() as i32);
    for part in link.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth -= 1,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
        if depth < 0 {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn archive(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        fill(&mut builder);
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(&builder.into_inner().unwrap()).unwrap();
        gz.finish().unwrap()
    }

    fn file(builder: &mut tar::Builder<Vec<u8>>, path: &str) {
        let mut header = tar::Header::new_gnu();
        // `set_path` refuses what a hostile archive does not.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(2);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, &b"x\n"[..]).unwrap();
    }

    fn link(builder: &mut tar::Builder<Vec<u8>>, path: &str, target: &str) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, path, target).unwrap();
    }

    #[test]
    fn files_and_inner_links_are_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("hash");
        let bytes = archive(|builder| {
            file(builder, "pkg/mod.py");
            link(builder, "pkg/same.py", "../pkg/mod.py");
        });
        unpack(&bytes, &target).unwrap();
        assert_eq!(std::fs::read_to_string(target.join("pkg/same.py")).unwrap(), "x\n");
    }

    #[test]
    fn bundles_go_when_nobody_used_them_for_a_week() {
        let dir = tempfile::tempdir().unwrap();
        let (old, revived) = (dir.path().join("old"), dir.path().join("revived"));
        for path in [&old, &revived] {
            std::fs::create_dir(path).unwrap();
            std::fs::File::open(path).unwrap().set_modified(SystemTime::now() - 2 * UNUSED).unwrap();
        }
        assert!(used(&revived));
        remove_unused(dir.path()).unwrap();
        assert!(!old.exists() && revived.exists());
    }

    #[test]
    fn nothing_escapes_the_bundle() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("hash");
        for bytes in [
            archive(|builder| file(builder, "../outside")),
            archive(|builder| link(builder, "out", "/etc")),
            archive(|builder| link(builder, "a/out", "../../etc")),
        ] {
            assert!(unpack(&bytes, &target).is_err());
            assert!(!target.exists() && !dir.path().join("outside").exists());
        }
    }
}
