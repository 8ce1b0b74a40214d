//! One DAG file, compiled. Runs on blocking threads; touches nothing but the folder.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use updraft_core::{
    dag::Dag,
    diagnostic::{Diagnostic, Severity},
    timetable,
    yaml::{self, Files, LoadedDag, Settings},
};

use super::{
    index::{Hash, fingerprint, hash_bytes},
    source::FolderFiles,
};

/// What a file gave.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) path: String,
    /// The file's text; of a file that is not UTF-8 what can be shown of it.
    pub(super) source: String,
    pub(super) dags: Vec<CompiledDag>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) dependencies: Vec<String>,
    pub(super) includes: Vec<String>,
    /// Made from the very bytes that were compiled; [`of_day`] if there are relative dates.
    pub(super) fingerprint: String,
    pub(super) duration: Duration,
}

#[derive(Debug)]
pub(super) struct CompiledDag {
    pub(super) dag: Dag,
    pub(super) line: u32,
    pub(super) hash: String,
    pub(super) owners: String,
    pub(super) timetable_summary: Option<String>,
    pub(super) timetable_description: String,
}

impl Compiled {
    pub(super) fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    pub(super) fn dag_ids(&self) -> BTreeSet<String> {
        self.dags.iter().map(|compiled| compiled.dag.dag_id.to_string()).collect()
    }
}

impl CompiledDag {
    /// `start_date: 2 days` and the like, which mean another instant every day.
    pub(super) fn has_relative_dates(&self) -> bool {
        !self.dag.source_dates.is_empty()
    }
}

/// The fingerprint of a file that must be compiled anew every day.
pub(super) fn of_day(fingerprint: &str, now: DateTime<Utc>) -> String {
    format!("{fingerprint}@{}", now.date_naive())
}

/// Compiles one file. `settings_key` stands for `settings` in the fingerprint.
pub(super) fn compile(root: &Path, path: &str, settings: &Settings, settings_key: &str) -> Compiled {
    let started = Instant::now();
    let files = Recorder { files: FolderFiles::new(root), seen: RefCell::default() };
    let mut compiled = Compiled {
        path: path.to_owned(),
        source: String::new(),
        dags: Vec::new(),
        diagnostics: Vec::new(),
        dependencies: Vec::new(),
        includes: Vec::new(),
        fingerprint: String::new(),
        duration: Duration::ZERO,
    };
    let bytes = match files.files.open(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("the file cannot be read: {error}");
            let help = "let the user that runs the scheduler read it";
            compiled.diagnostics.push(whole_file("unreadable_file", message, Some(help)));
            compiled.fingerprint = fingerprint(settings_key, path, None, std::iter::empty());
            compiled.duration = started.elapsed();
            return compiled;
        }
    };
    // The loader does not panic; if it ever does, that is one file's problem.
    let loaded = catch_unwind(AssertUnwindSafe(|| yaml::load(path, &bytes, &files, settings)));
    if let Ok(loaded) = loaded {
        compiled.diagnostics = loaded.diagnostics;
        compiled.includes = loaded.includes.into_iter().filter(|included| included != path).collect();
        let mut seen = files.seen.borrow_mut();
        for dependency in loaded.dependencies {
            seen.entry(dependency).or_insert(None);
        }
        drop(seen);
        compiled.dags = loaded.dags.into_iter().map(compiled_dag).collect();
    } else {
        let message = "the file brought the loader down; this is a bug of Updraft, please report it with the file";
        compiled.diagnostics.push(whole_file("internal_error", message.to_owned(), None));
    }
    let mut seen = files.seen.into_inner();
    seen.remove(path);
    let dependencies = seen.iter().map(|(path, hash)| (path.as_str(), *hash));
    compiled.fingerprint = fingerprint(settings_key, path, Some(hash_bytes(&bytes)), dependencies);
    if compiled.dags.iter().any(CompiledDag::has_relative_dates) {
        compiled.fingerprint = of_day(&compiled.fingerprint, settings.now);
    }
    compiled.dependencies = seen.into_keys().collect();
    compiled.source = String::from_utf8_lossy(&bytes).into_owned();
    compiled.duration = started.elapsed();
    compiled
}

fn compiled_dag(loaded: LoadedDag) -> CompiledDag {
    CompiledDag {
        line: loaded.line,
        hash: loaded.dag.hash(),
        owners: owners(&loaded.dag),
        timetable_summary: timetable::summary(&loaded.dag.schedule),
        timetable_description: timetable::description(&loaded.dag.schedule),
        dag: loaded.dag,
    }
}

/// An error that belongs to no line.
pub(super) fn whole_file(kind: &str, message: String, help: Option<&str>) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        kind: kind.to_owned(),
        file: None,
        line: 1,
        column: 1,
        end_line: 1,
        end_column: 1,
        dag_id: None,
        task_id: None,
        message,
        help: help.map(str::to_owned),
        related: Vec::new(),
    }
}

/// The owners of the DAG's tasks (Airflow's `dag.owner`), sorted.
fn owners(dag: &Dag) -> String {
    let owners: BTreeSet<&str> = dag.tasks.iter().map(|task| task.owner.as_str()).collect();
    owners.into_iter().collect::<Vec<_>>().join(", ")
}

/// Remembers what the compiler was given.
struct Recorder {
    files: FolderFiles,
    seen: RefCell<BTreeMap<String, Option<Hash>>>,
}

impl Files for Recorder {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let bytes = self.files.read(path);
        self.seen.borrow_mut().insert(path.to_owned(), bytes.as_deref().map(hash_bytes));
        bytes
    }
}
