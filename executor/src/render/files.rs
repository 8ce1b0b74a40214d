//! Template files of a task's bundle.

use std::path::{Path, PathBuf};

use updraft_core::spec::TaskSpec;

/// A template file is text for people to read. Bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// Where a task's templates look for files: `template_searchpath`, the DAG file's folder, the DAG folder. Nothing outside the
/// bundle is within reach, whatever links it holds.
pub(super) struct Library {
    root: PathBuf,
    folders: Vec<PathBuf>,
}

impl Library {
    pub(super) fn new(bundle: &Path, spec: &TaskSpec) -> Self {
        let root = bundle.canonicalize().unwrap_or_else(|_| bundle.to_owned());
        let mut folders: Vec<PathBuf> = spec.run.template_searchpath.iter().map(|folder| root.join(folder)).collect();
        folders.extend(Path::new(&spec.relative_fileloc).parent().map(|folder| root.join(folder)));
        folders.push(root.clone());
        Self { root, folders }
    }

    /// The text of the first file of this name.
    pub(super) fn read(&self, name: &str) -> Option<String> {
        self.folders.iter().find_map(|folder| {
            let path = folder.join(name).canonicalize().ok().filter(|path| path.starts_with(&self.root))?;
            let small = path.metadata().is_ok_and(|data| data.is_file() && data.len() <= FILE_LIMIT);
            small.then(|| std::fs::read_to_string(path).ok())?
        })
    }
}
