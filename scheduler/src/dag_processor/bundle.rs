//! The folder's code as one deterministic tar.gz, named by its content.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use thiserror::Error;
use updraft_core::dag::hex;

use super::index::{BundleEntry, hash_bytes};

/// A folder this many times larger than a bundle may be is not even tried: no real code packs 8:1.
const MAX_RATIO: u64 = 8;

#[derive(Debug, Error)]
pub(super) enum PackError {
    /// The folder is too large to be shipped.
    #[error("the folder is too large")]
    TooLarge,
    /// A file changed between hashing and packing: the next pass packs again.
    #[error("`{0}` changed while it was packed")]
    Changed(String),
    #[error("packing failed: {0}")]
    Io(#[from] io::Error),
}

/// The bundle's name: paths, permissions and contents.
pub(super) fn hash(entries: &[BundleEntry]) -> String {
    let mut hash = Sha256::new();
    hash.update(b"bundle 1");
    for entry in entries {
        hash.update((entry.path.len() as u64).to_le_bytes());
        hash.update(entry.path.as_bytes());
        hash.update(entry.mode.to_le_bytes());
        hash.update(entry.hash);
    }
    hex(&hash.finalize())
}

/// Packs the files into at most `limit` bytes, checking that they still are what their hashes say.
pub(super) fn pack(root: &Path, entries: &[BundleEntry], limit: usize) -> Result<Vec<u8>, PackError> {
    if entries.iter().map(|entry| entry.size).sum::<u64>() > MAX_RATIO * limit as u64 {
        return Err(PackError::TooLarge);
    }
    let gzip = GzBuilder::new().mtime(0).write(Limited { content: Vec::new(), limit }, Compression::fast());
    let mut archive = tar::Builder::new(gzip);
    let mut content = Vec::new();
    for entry in entries {
        content.clear();
        let changed = |_| PackError::Changed(entry.path.clone());
        File::open(root.join(&entry.path)).map_err(changed)?.take(entry.size + 1).read_to_end(&mut content)?;
        if hash_bytes(&content) != entry.hash {
            return Err(PackError::Changed(entry.path.clone()));
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(entry.mode);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        archive.append_data(&mut header, &entry.path, content.as_slice()).map_err(too_large)?;
    }
    let gzip = archive.into_inner().map_err(too_large)?;
    Ok(gzip.finish().map_err(too_large)?.content)
}

fn too_large(error: io::Error) -> PackError {
    if error.kind() == io::ErrorKind::FileTooLarge { PackError::TooLarge } else { PackError::Io(error) }
}

/// Memory, up to a limit.
struct Limited {
    content: Vec<u8>,
    limit: usize,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.content.len() + bytes.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.content.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, time::SystemTime};

    use super::*;
    use crate::dag_processor::{index::Index, source::scan};

    fn entries(root: &Path) -> Vec<BundleEntry> {
        let mut index = Index::default();
        index.update(root, &scan(root).unwrap(), SystemTime::now());
        index.bundle()
    }

    #[test]
    fn the_same_content_packs_to_the_same_bytes_wherever_and_whenever() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut packed = Vec::new();
        for folder in &folders {
            let root = folder.path();
            fs::create_dir_all(root.join("lib")).unwrap();
            fs::write(root.join("a.yml"), "a: {}").unwrap();
            fs::write(root.join("lib/run.sh"), "#!/bin/sh").unwrap();
            fs::set_permissions(root.join("lib/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
            let entries = entries(root);
            packed.push((hash(&entries), pack(root, &entries, 1 << 20).unwrap()));
        }
        assert_eq!(packed[0], packed[1]);
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed[0].1.as_slice()));
        let files: BTreeMap<String, u32> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap())
            })
            .collect();
        assert_eq!(files["lib/run.sh"], 0o755);
        assert_eq!(files.len(), 2);
    }

    #[test]
    fn permissions_are_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.sh");
        fs::write(&file, "").unwrap();
        let before = hash(&entries(folder.path()));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(before, hash(&entries(folder.path())));
    }

    #[test]
    fn a_file_that_changes_under_the_packer_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.py"), "1").unwrap();
        let entries = entries(folder.path());
        fs::write(folder.path().join("a.py"), "2").unwrap();
        assert!(matches!(pack(folder.path(), &entries, 1 << 20), Err(PackError::Changed(path)) if path == "a.py"));
    }
}
