//! Who tells that the folder changed. A hint, no more: the periodic look finds what nobody told.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::AccessKind, event::AccessMode};
use tokio::sync::Notify;

/// Quiet for this long means that whoever writes is done.
const QUIET: Duration = Duration::from_millis(100);
/// Whoever never is done is not waited for longer than this many quiet times.
const MAX_QUIETS: u32 = 4;

/// A watch of one folder, which may come, go and be replaced.
pub(super) struct Watch {
    root: PathBuf,
    bell: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the folder that is watched.
    watched: Option<(u64, u64)>,
    complained: bool,
}

impl Watch {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, bell: Arc::new(Notify::new()), watcher: None, watched: None, complained: false }
    }

    /// Watches the folder that is there now; does nothing when it is watched already.
    pub(super) async fn follow(&mut self) {
        let present = fs::metadata(&self.root).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        if self.watcher.is_some() && present == self.watched {
            return;
        }
        let (root, bell) = (self.root.clone(), self.bell.clone());
        // Adding watches for a large tree takes a while.
        let made = tokio::task::spawn_blocking(move || watcher(&root, bell, present.is_some())).await;
        match made {
            Ok(Ok(watcher)) => {
                self.watcher = Some(watcher);
                self.watched = present;
                self.complained = false;
            }
            Ok(Err(error)) => {
                self.watcher = None;
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(
                        folder = %self.root.display(), %error,
                        "the DAG folder cannot be watched; changes are seen at the next rescan only"
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "watching the DAG folder failed"),
        }
    }

    /// Returns when something changed and has been quiet since (or never is).
    pub(super) async fn changed(&self) {
        self.bell.notified().await;
        for _ in 0..MAX_QUIETS {
            if tokio::time::timeout(QUIET, self.bell.notified()).await.is_err() {
                return;
            }
        }
    }
}

fn watcher(root: &Path, bell: Arc<Notify>, present: bool) -> notify::Result<RecommendedWatcher> {
    let folder = root.to_owned();
    // Events carry the path that was watched with, or the real one behind a link.
    let real = fs::canonicalize(root).unwrap_or_else(|_| folder.clone());
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let matters = match &event {
            Ok(event) => event.need_rescan() || (is_change(event.kind) && concerns(event, &folder, &real)),
            // The watcher lost track (a queue overflowed, a watch was refused): look.
            Err(_) => true,
        };
        if matters {
            bell.notify_one();
        }
    })?;
    if present {
        watcher.watch(root, RecursiveMode::Recursive)?;
    }
    let is_link = fs::symlink_metadata(root).is_ok_and(|metadata| metadata.is_symlink());
    if (is_link || !present)
        && let Some(parent) = root.parent().filter(|parent| parent.is_dir())
    {
        // A link is re-pointed, a missing folder made, in the parent.
        watcher.watch(parent, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Our own reading rings nothing.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Hidden files (git's, editors') and Python's caches are no part of the folder; the parent's other children neither.
fn concerns(event: &Event, folder: &Path, real: &Path) -> bool {
    event.paths.iter().any(|path| {
        let below = path.strip_prefix(folder).or_else(|_| path.strip_prefix(real));
        let Ok(below) = below else {
            // Behind a linked folder, which is watched by its real path; the folder's siblings are not meant.
            return path.parent() != folder.parent();
        };
        below.components().all(|part| match part {
            Component::Normal(name) => {
                let name = name.to_string_lossy();
                name == ".airflowignore" || !(name.starts_with('.') || name == "__pycache__")
            }
            _ => true,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rings_for_a_new_file_and_not_for_hidden_ones() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(folder.path().join("dags"));
        watch.follow().await;
        fs::create_dir(folder.path().join("dags")).unwrap();
        watch.changed().await;
        watch.follow().await;
        fs::write(folder.path().join("dags/a.yml"), "").unwrap();
        watch.changed().await;
        assert!(!concerns(&Event::default().add_path("/d/.git/index".into()), Path::new("/d"), Path::new("/d")));
        assert!(!concerns(&Event::default().add_path("/e".into()), Path::new("/d"), Path::new("/d")));
        assert!(concerns(&Event::default().add_path("/d/x/a.yml".into()), Path::new("/d"), Path::new("/d")));
    }
}
