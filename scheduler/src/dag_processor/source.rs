//! What a DAG folder holds: the scan, and the files as the compiler sees them.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};
use updraft_core::{
    dag::MAX_MAP_LENGTH,
    yaml::{self, Files, Settings},
};

/// The largest DAG file, and the largest file one can include.
pub const MAX_DAG_FILE: u64 = 1024 * 1024;
/// Larger files are not shipped to nodes.
pub const MAX_BUNDLED_FILE: u64 = 16 * 1024 * 1024;
/// A folder with more files than this is not a DAG folder (somebody's home, the root of a disk).
const MAX_ENTRIES: usize = 200_000;
const IGNORE_FILE: &str = ".airflowignore";

/// What tells that a file changed without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stat {
    /// Last write, nanoseconds since the epoch.
    pub modified_ns: i128,
    /// Last change of the inode; a restored mtime does not hide a change.
    pub changed_ns: i128,
    pub size: u64,
    pub inode: u64,
    pub device: u64,
    pub mode: u32,
}

impl Stat {
    fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, part: i64| i128::from(seconds) * 1_000_000_000 + i128::from(part);
        Self {
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.size(),
            inode: metadata.ino(),
            device: metadata.dev(),
            mode: metadata.mode(),
        }
    }
}

/// A regular file below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the root, with `/`.
    pub path: String,
    pub stat: Stat,
    /// A scan takes it for a DAG file: its name says so and no `.airflowignore` takes it out.
    pub is_dag_file: bool,
}

/// A folder at one moment.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Every regular file but hidden ones and `__pycache__`, sorted by path.
    pub files: Vec<Entry>,
    /// Folders that could not be listed, with the reason: what is below them is unknown, not gone.
    pub unreadable: BTreeMap<String, String>,
    /// Names that are not UTF-8, shown with replacement characters; they are left out.
    pub not_utf8: Vec<String>,
}

impl Scan {
    /// The DAG files, sorted by path. Files that another one includes are still among them.
    pub fn dag_files(&self) -> impl Iterator<Item = &Entry> {
        self.files.iter().filter(|entry| entry.is_dag_file)
    }

    /// Whether the scan could not see whether `path` exists.
    pub fn is_unknown(&self, path: &str) -> bool {
        self.unreadable
            .keys()
            .any(|folder| path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/')))
    }
}

/// A folder still to be listed.
struct Folder {
    path: PathBuf,
    relative: String,
    /// `.airflowignore` took the folder out: its files are code, not DAGs.
    ignored: bool,
    /// The ignore files from the root down.
    rules: Vec<Arc<Gitignore>>,
}

/// Lists a DAG folder: stats only, no file but `.airflowignore` is opened. Symlinks are followed, each folder is visited
/// once (by its real path before any link to it).
///
/// # Errors
/// The root cannot be listed, or holds more than 200,000 files.
pub fn scan(root: &Path) -> io::Result<Scan> {
    let mut found = Scan::default();
    let mut visited = HashSet::new();
    let mut folders =
        VecDeque::from([Folder { path: root.to_owned(), relative: String::new(), ignored: false, rules: Vec::new() }]);
    let mut linked = VecDeque::new();
    while let Some(folder) = folders.pop_front().or_else(|| linked.pop_front()) {
        let listed = list(&folder, &mut visited, &mut found, &mut folders, &mut linked);
        match listed {
            Ok(()) => {}
            Err(error) if folder.relative.is_empty() => return Err(error),
            Err(error) => drop(found.unreadable.insert(folder.relative, error.to_string())),
        }
        if found.files.len() > MAX_ENTRIES {
            return Err(io::Error::other(format!("more than {MAX_ENTRIES} files: is this really a DAG folder?")));
        }
    }
    found.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn list(
    folder: &Folder,
    visited: &mut HashSet<(u64, u64)>,
    found: &mut Scan,
    folders: &mut VecDeque<Folder>,
    linked: &mut VecDeque<Folder>,
) -> io::Result<()> {
    let metadata = fs::metadata(&folder.path)?;
    if !visited.insert((metadata.dev(), metadata.ino())) {
        return Ok(());
    }
    let mut names = Vec::new();
    let mut rules = folder.rules.clone();
    for child in fs::read_dir(&folder.path)? {
        let child = child?;
        match child.file_name().into_string() {
            Ok(name) if name == IGNORE_FILE => rules.extend(ignore_rules(&folder.path)),
            Ok(name) if name.starts_with('.') || name == "__pycache__" => {}
            Ok(name) => names.push((name, child)),
            Err(name) => found.not_utf8.push(join(&folder.relative, &name.to_string_lossy())),
        }
    }
    names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    for (name, child) in names {
        let relative = join(&folder.relative, &name);
        let is_link = child.file_type()?.is_symlink();
        // A link to nowhere, or a file that went meanwhile: not there.
        let metadata = if is_link { fs::metadata(child.path()) } else { child.metadata() };
        let Ok(metadata) = metadata else { continue };
        if metadata.is_dir() {
            let ignored = folder.ignored || is_ignored(&rules, &child.path(), true);
            let next = Folder { path: child.path(), relative, ignored, rules: rules.clone() };
            if is_link { linked.push_back(next) } else { folders.push_back(next) }
        } else if metadata.is_file() {
            let is_dag_file =
                yaml::is_dag_file(&relative) && !folder.ignored && !is_ignored(&rules, &child.path(), false);
            found.files.push(Entry { path: relative, stat: Stat::of(&metadata), is_dag_file });
        }
    }
    Ok(())
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The rules of one `.airflowignore`. Airflow's glob syntax is gitignore's; a line that is no glob is left out and logged.
fn ignore_rules(folder: &Path) -> Option<Arc<Gitignore>> {
    let mut builder = GitignoreBuilder::new(folder);
    let file = folder.join(IGNORE_FILE);
    if let Some(error) = builder.add(&file) {
        tracing::warn!(file = %file.display(), %error, "an .airflowignore has a line that cannot be read");
    }
    match builder.build() {
        Ok(rules) => Some(Arc::new(rules)),
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "an .airflowignore cannot be read");
            None
        }
    }
}

/// The innermost file that says anything decides.
fn is_ignored(rules: &[Arc<Gitignore>], path: &Path, is_dir: bool) -> bool {
    let said = rules.iter().rev().map(|rules| rules.matched(path, is_dir)).find(|said| !said.is_none());
    matches!(said, Some(Match::Ignore(_)))
}

/// The files of a folder, as the compiler asks for them: below the root, regular, never larger than the loader's limit.
#[derive(Clone, Debug)]
pub struct FolderFiles {
    root: PathBuf,
}

impl FolderFiles {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The path on disk, unless `path` is absolute or leads out of the root.
    fn resolve(&self, path: &str) -> Option<PathBuf> {
        let path = Path::new(path);
        path.components().all(|part| matches!(part, Component::Normal(_))).then(|| self.root.join(path))
    }

    /// The file's content; of one that is too large the first byte over the limit comes too, so that the loader refuses it.
    ///
    /// # Errors
    /// There is no such regular file below the root, or it cannot be read.
    pub fn open(&self, path: &str) -> io::Result<Vec<u8>> {
        let path = self.resolve(path).ok_or(io::ErrorKind::NotFound)?;
        // Opening a pipe would wait for its writer.
        if !fs::metadata(&path)?.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_DAG_FILE + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Files for FolderFiles {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.open(path).ok()
    }
}

/// What the server's configuration says about how files are compiled.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Names (and their values) that `$NAME` in a file may stand for.
    pub env: BTreeMap<String, String>,
    /// The zone of DAGs that name none.
    pub default_timezone: Tz,
    /// Cron schedules cover the interval before the run.
    pub create_cron_data_intervals: bool,
    /// The most instances of a mapped task.
    pub max_map_length: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            env: BTreeMap::new(),
            default_timezone: Tz::UTC,
            create_cron_data_intervals: false,
            max_map_length: MAX_MAP_LENGTH,
        }
    }
}

/// How files of this folder are compiled, on the server and by `updraft dags validate` alike: the folders that dag-factory's
/// users name are set here.
pub fn settings(root: &Path, rules: &Rules, now: DateTime<Utc>) -> Settings {
    let root_text = root.to_string_lossy().into_owned();
    let home = root.parent().unwrap_or(root).to_string_lossy().into_owned();
    let mut settings = Settings::new(now);
    settings.env = BTreeMap::from([
        ("CONFIG_ROOT_DIR".to_owned(), root_text.clone()),
        ("DAGS_FOLDER".to_owned(), root_text.clone()),
        ("AIRFLOW_HOME".to_owned(), home),
    ]);
    settings.env.extend(rules.env.clone());
    settings.default_timezone = rules.default_timezone;
    settings.create_cron_data_intervals = rules.create_cron_data_intervals;
    settings.max_map_length = rules.max_map_length;
    settings.root = Some(root_text);
    settings
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn dag_files(root: &Path) -> Vec<String> {
        scan(root).unwrap().dag_files().map(|entry| entry.path.clone()).collect()
    }

    #[test]
    fn dag_files_are_yaml_files_but_no_defaults_and_nothing_hidden() {
        let folder = folder(&[
            ("b.yml", ""),
            ("a/a.yaml", ""),
            ("defaults.yml", ""),
            (".git/c.yml", ""),
            (".hidden.yml", ""),
            ("helper.py", ""),
            ("__pycache__/d.yml", ""),
        ]);
        assert_eq!(dag_files(folder.path()), ["a/a.yaml", "b.yml"]);
        let all: Vec<String> = scan(folder.path()).unwrap().files.into_iter().map(|entry| entry.path).collect();
        assert_eq!(all, ["a/a.yaml", "b.yml", "defaults.yml", "helper.py"]);
    }

    #[test]
    fn airflowignore_takes_out_and_a_nested_one_takes_back() {
        let folder = folder(&[
            (".airflowignore", "# drafts\n*_draft.yml\nold/\n**/tmp/*.yaml\n"),
            ("a_draft.yml", ""),
            ("a.yml", ""),
            ("old/b.yml", ""),
            ("x/tmp/c.yaml", ""),
            ("x/tmp/c.yml", ""),
            ("x/.airflowignore", "!keep_draft.yml\n"),
            ("x/keep_draft.yml", ""),
        ]);
        assert_eq!(dag_files(folder.path()), ["a.yml", "x/keep_draft.yml", "x/tmp/c.yml"]);
        let scan = scan(folder.path()).unwrap();
        assert!(scan.files.iter().any(|entry| entry.path == "old/b.yml"), "what is no DAG file is still code");
    }

    #[test]
    fn symlinked_folders_are_read_once_by_their_real_path() {
        let folder = folder(&[("real/a.yml", "")]);
        symlink(folder.path().join("real"), folder.path().join("link")).unwrap();
        symlink(folder.path(), folder.path().join("real/loop")).unwrap();
        let outside = self::folder(&[("b.yml", "")]);
        symlink(outside.path(), folder.path().join("first")).unwrap();
        symlink(outside.path(), folder.path().join("second")).unwrap();
        symlink("nowhere", folder.path().join("dangling.yml")).unwrap();
        assert_eq!(dag_files(folder.path()), ["first/b.yml", "real/a.yml"]);
    }

    #[test]
    fn a_missing_root_is_an_error() {
        assert!(scan(Path::new("/nonexistent/dags")).is_err());
    }

    #[test]
    fn folder_files_refuse_paths_that_leave_the_root() {
        let folder = folder(&[("dags/a.yml", "a"), ("secret", "s")]);
        let files = FolderFiles::new(folder.path().join("dags"));
        assert_eq!(files.read("a.yml").as_deref(), Some(&b"a"[..]));
        for path in ["../secret", "x/../../secret", "/etc/passwd", "", "."] {
            assert_eq!(files.read(path), None, "{path}");
        }
    }
}
