//! What is in the folder's files, as hashes, kept up to date by their stats: an unchanged folder is never read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};
use updraft_core::dag::hex;

use super::source::{FolderFiles, MAX_BUNDLED_FILE, Scan, Stat};

pub(super) type Hash = [u8; 32];

/// A file changed this shortly before its stat was taken may change again without its stat showing it (time stamps have a
/// grain of milliseconds, on network mounts of seconds), so it is read again at the next pass.
const GRAIN: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
struct Indexed {
    stat: Stat,
    hash: Hash,
    /// Belongs in the bundle; a file that is too large or cannot be read does not.
    bundled: bool,
    racy: bool,
}

/// The folder's content.
#[derive(Debug, Default)]
pub(super) struct Index {
    files: BTreeMap<String, Indexed>,
    /// Paths that DAG files depend on and a scan does not list: absent ones, hidden ones, ones behind a second link.
    watched: BTreeMap<String, Option<Hash>>,
}

/// One file of a bundle.
#[derive(Clone, Debug)]
pub(super) struct BundleEntry {
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) hash: Hash,
}

impl Index {
    /// Brings the index up to a scan and returns the paths whose content came, went or changed. Reads only what may have changed.
    pub(super) fn update(&mut self, root: &Path, scan: &Scan, now: SystemTime) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        let mut before = std::mem::take(&mut self.files);
        for entry in &scan.files {
            let old = before.remove(&entry.path);
            if let Some(old) = &old
                && old.stat == entry.stat
                && !old.racy
            {
                self.files.insert(entry.path.clone(), old.clone());
                continue;
            }
            let (hash, bundled) = hash_file(&root.join(&entry.path), &entry.stat);
            let mode_changed = old.as_ref().is_some_and(|old| old.stat.mode != entry.stat.mode);
            if mode_changed || old.is_none_or(|old| old.hash != hash) {
                changed.insert(entry.path.clone());
            }
            let racy = is_racy(&entry.stat, now);
            self.files.insert(entry.path.clone(), Indexed { stat: entry.stat, hash, bundled, racy });
        }
        for (path, old) in before {
            if scan.is_unknown(&path) {
                self.files.insert(path, old);
            } else {
                changed.insert(path);
            }
        }
        let files = FolderFiles::new(root);
        for (path, known) in &mut self.watched {
            let current = match self.files.get(path) {
                Some(indexed) => Some(indexed.hash),
                None => read_hash(&files, path),
            };
            if *known != current {
                *known = current;
                changed.insert(path.clone());
            }
        }
        changed
    }

    /// The hash of a file, `None` if there is none. A path that the scan does not list is watched from now on.
    pub(super) fn hash(&mut self, root: &Path, path: &str) -> Option<Hash> {
        match self.files.get(path) {
            Some(indexed) => Some(indexed.hash),
            None => *self.watched.entry(path.to_owned()).or_insert_with(|| read_hash(&FolderFiles::new(root), path)),
        }
    }

    /// Stops watching what nothing depends on any more.
    pub(super) fn keep_watching(&mut self, is_needed: impl Fn(&str) -> bool) {
        self.watched.retain(|path, _| is_needed(path));
    }

    /// What a bundle of the folder holds, sorted by path.
    pub(super) fn bundle(&self) -> Vec<BundleEntry> {
        let bundled = self.files.iter().filter(|(_, indexed)| indexed.bundled);
        bundled
            .map(|(path, indexed)| BundleEntry {
                path: path.clone(),
                mode: indexed.stat.mode & 0o777,
                size: indexed.stat.size,
                hash: indexed.hash,
            })
            .collect()
    }
}

fn is_racy(stat: &Stat, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let safe = now.saturating_sub(GRAIN).as_nanos();
    stat.changed_ns >= i128::try_from(safe).unwrap_or(i128::MAX)
}

/// A file's hash; one that is too large to ship, or that cannot be read, is known by its stat.
fn hash_file(path: &Path, stat: &Stat) -> (Hash, bool) {
    if stat.size <= MAX_BUNDLED_FILE
        && let Ok(hash) = hash_content(path)
    {
        return (hash, true);
    }
    let mut hash = Sha256::new();
    hash.update(b"not read");
    hash.update(stat.size.to_le_bytes());
    hash.update(stat.modified_ns.to_le_bytes());
    (hash.finalize().into(), false)
}

fn hash_content(path: &Path) -> io::Result<Hash> {
    // The file may have grown since its stat.
    let mut file = File::open(path)?.take(MAX_BUNDLED_FILE + 1);
    let mut hash = Sha256::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn read_hash(files: &FolderFiles, path: &str) -> Option<Hash> {
    files.open(path).ok().map(|bytes| hash_bytes(&bytes))
}

/// The hash of content already read.
pub(super) fn hash_bytes(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The fingerprint of a DAG file: its content, that of everything it was compiled from, and how it was compiled.
pub(super) fn fingerprint<'a>(
    settings: &str,
    path: &str,
    content: Option<Hash>,
    dependencies: impl Iterator<Item = (&'a str, Option<Hash>)>,
) -> String {
    let mut hash = Sha256::new();
    let mut part = |name: &str, content: Option<Hash>| {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update([u8::from(content.is_some())]);
        hash.update(content.unwrap_or_default());
    };
    part(settings, None);
    part(path, content);
    for (name, content) in dependencies {
        part(name, content);
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::dag_processor::source::scan;

    fn update(index: &mut Index, root: &Path, now: SystemTime) -> Vec<String> {
        index.update(root, &scan(root).unwrap(), now).into_iter().collect()
    }

    #[test]
    fn names_what_came_changed_and_went() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let (mut index, now) = (Index::default(), SystemTime::now());
        fs::write(root.join("a.yml"), "1").unwrap();
        assert_eq!(update(&mut index, root, now), ["a.yml"]);
        assert_eq!(update(&mut index, root, now), [""; 0]);
        fs::write(root.join("a.yml"), "2").unwrap();
        fs::write(root.join("b.py"), "").unwrap();
        assert_eq!(update(&mut index, root, now), ["a.yml", "b.py"]);
        fs::remove_file(root.join("a.yml")).unwrap();
        assert_eq!(update(&mut index, root, now), ["a.yml"]);
    }

    #[test]
    fn a_dependency_that_did_not_exist_is_seen_when_it_comes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let (mut index, now) = (Index::default(), SystemTime::now());
        for path in ["defaults.yml", ".hidden/common.yml"] {
            assert_eq!(update(&mut index, root, now), [""; 0]);
            assert_eq!(index.hash(root, path), None);
            let file = root.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "x").unwrap();
            assert_eq!(update(&mut index, root, now), [path]);
            assert!(index.hash(root, path).is_some());
            fs::remove_file(&file).unwrap();
            assert_eq!(update(&mut index, root, now), [path]);
        }
    }

    #[test]
    fn an_old_file_with_the_same_stat_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let mut index = Index::default();
        fs::write(root.join("a.yml"), "1").unwrap();
        let scan = scan(root).unwrap();
        let later = SystemTime::now() + Duration::from_mins(1);
        assert_eq!(index.update(root, &scan, later).len(), 1);
        // The scan says "nothing changed", so the new content goes unnoticed: proof that it was not read.
        fs::write(root.join("a.yml"), "2").unwrap();
        assert_eq!(index.update(root, &scan, later).len(), 0);
    }
}
