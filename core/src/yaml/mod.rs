//! A DAG file becomes [`Dag`]s, or diagnostics.
//!
//! Pure: the bytes of the file, the files beside it ([`Files`]) and the clock ([`Settings::now`]) are arguments. Reading a file
//! runs no code. Stages, each of which collects findings and goes on where it can:
//!
//! 1. [`parse`]: bytes → UTF-8 → events → tree with marks; limits, duplicate keys, aliases, tags;
//! 2. [`layout`]: which DAGs the file holds; environment, legacy keys, defaults ([`defaults`]) merged, all with their marks;
//! 3. [`dag`], [`schedule`], [`params`], [`tasks`], [`task`]: typed values, operators and their arguments ([`operators`]),
//!    mapping ([`mapped`]), [`callbacks`], [`setup`];
//! 4. [`graph`]: groups, dependencies, flow, cycles; 5. [`templates`]: compiled for syntax, filters and tests.
//!
//! A DAG with an error is left out; the other DAGs of the file load. An error outside of any DAG leaves out all.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
};

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

use crate::{
    dag::{Dag, MAX_MAP_LENGTH},
    diagnostic::Diagnostic,
    operator::OperatorKind,
};

mod arguments;
mod assets;
mod base;
mod callable;
mod callbacks;
mod choose;
mod convert;
mod dag;
pub(crate) mod date;
mod deadline;
mod defaults;
mod describe;
pub(crate) mod duration;
mod emit;
mod env;
mod explain;
mod findings;
mod flow;
mod graph;
mod groups;
#[cfg(test)]
mod idle;
mod keys;
mod layout;
mod legacy;
mod legacy_assets;
mod mapped;
mod native;
mod node;
mod object;
mod operators;
mod params;
mod parse;
pub(crate) mod plain;
mod resources;
mod retry_policy;
mod scalar;
mod schedule;
mod schema;
mod sensor;
mod setup;
mod special;
mod suggest;
mod task;
mod tasks;
mod templates;
mod values;
mod yaml_errors;

pub use convert::to_dag_factory;
pub use describe::describe;
pub use explain::explain;
pub use schema::schema;

/// What reading depends on beside the files.
#[derive(Clone, Debug)]
pub struct Settings {
    /// "Today" of relative dates (`start_date: 2 days`).
    pub now: DateTime<Utc>,
    /// The names that `$NAME` in a file may stand for; every other one stays as it is.
    pub env: BTreeMap<String, String>,
    /// The zone of DAGs without `timezone`.
    pub default_timezone: Tz,
    /// Cron schedules and bare lengths of time cover the interval before the run, as in Airflow 2; otherwise a moment. The
    /// server's `scheduler.create_cron_data_intervals`.
    pub create_cron_data_intervals: bool,
    /// The most instances of a mapped task; the server's `core.max_map_length`.
    pub max_map_length: u32,
    /// The absolute path of the DAG root, so that absolute paths in files can be found below it.
    pub root: Option<String>,
}

impl Settings {
    /// Airflow's defaults: UTC, no environment, runs at a moment.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            now,
            env: BTreeMap::new(),
            default_timezone: Tz::UTC,
            create_cron_data_intervals: false,
            max_map_length: MAX_MAP_LENGTH,
            root: None,
        }
    }
}

/// The files of the bundle. Paths are relative to the DAG root, with `/`, without `.` and `..`.
pub trait Files {
    /// The content, if there is such a file.
    fn read(&self, path: &str) -> Option<Vec<u8>>;
}

/// No file but the one that is read.
impl Files for () {
    fn read(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

/// One DAG of a file.
#[derive(Debug)]
pub struct LoadedDag {
    pub dag: Dag,
    /// The line of its id.
    pub line: u32,
}

/// What a file gave.
#[derive(Debug)]
pub struct Loaded {
    /// The DAGs without errors, in file order.
    pub dags: Vec<LoadedDag>,
    /// Everything that was found, in file order.
    pub diagnostics: Vec<Diagnostic>,
    /// Every file that was consulted, present or not: a change of one of them means reading anew.
    pub dependencies: BTreeSet<String>,
    /// The files named in an `include`: they are no DAG files themselves.
    pub includes: BTreeSet<String>,
}

/// Reads a DAG file. `path` is relative to the DAG root. Never panics, never reads beside `files`, and a broken DAG does
/// not take the others down.
pub fn load(path: &str, bytes: &[u8], files: &dyn Files, settings: &Settings) -> Loaded {
    let context = Context::new(path, files, settings);
    let dags = context.load(bytes);
    Loaded {
        dags,
        diagnostics: context.findings.into_sorted(),
        dependencies: context.dependencies.into_inner(),
        includes: context.includes.into_inner(),
    }
}

/// Whether a folder scan takes this file for a DAG file: `.yml` or `.yaml`, and no `defaults.*`.
pub fn is_dag_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.strip_suffix(".yml").or_else(|| name.strip_suffix(".yaml"));
    stem.is_some_and(|stem| !stem.is_empty() && stem != "defaults" && !stem.starts_with('.'))
}

/// What every stage holds.
struct Context<'a> {
    findings: findings::Findings,
    settings: &'a Settings,
    files: &'a dyn Files,
    path: &'a str,
    dependencies: RefCell<BTreeSet<String>>,
    includes: RefCell<BTreeSet<String>>,
    /// Tasks of the file's DAGs so far.
    tasks: Cell<usize>,
    /// Set while a file is explained.
    trace: Option<RefCell<explain::Trace>>,
}

impl<'a> Context<'a> {
    fn new(path: &'a str, files: &'a dyn Files, settings: &'a Settings) -> Self {
        Self {
            findings: findings::Findings::default(),
            settings,
            files,
            path,
            dependencies: RefCell::default(),
            includes: RefCell::default(),
            tasks: Cell::new(0),
            trace: None,
        }
    }
}

impl Context<'_> {
    /// Reads a file beside the DAG file and records that it was consulted.
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.dependencies.borrow_mut().insert(path.to_owned());
        self.files.read(path)
    }

    /// The folder of the DAG file, empty at the root.
    fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// A path of the file, relative to the DAG root; `None` if it leads out of it.
    fn resolve(&self, folder: &str, path: &str) -> Option<String> {
        let (mut parts, path): (Vec<&str>, &str) = if path.starts_with('/') {
            let root = self.settings.root.as_deref()?.trim_end_matches('/');
            (Vec::new(), path.strip_prefix(root)?.strip_prefix('/')?)
        } else {
            (folder.split('/').filter(|part| !part.is_empty()).collect(), path)
        };
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop()?;
                }
                part => parts.push(part),
            }
        }
        Some(parts.join("/"))
    }

    /// Something that loads and is shown, and that nothing acts on; the tasks run the same without it.
    fn without_effect(&self, mark: node::Mark, what: &str) {
        self.findings.warning("without_effect", mark, format!("{what} has no effect"));
    }

    /// Something that loads and is shown, and that nobody here can run: the task says so when it is started.
    fn unsupported(&self, task: &mut crate::dag::Task, mark: node::Mark, message: String, help: &str) {
        self.findings.warning_help("unsupported_operator", mark, message, Some(help.to_owned()));
        task.operator = OperatorKind::Unsupported;
    }
}

/// `2025-01-01T00:00:00+00:00`, as Python's `isoformat` of a UTC date.
fn rfc3339(at: DateTime<Utc>) -> String {
    let format = if at.timestamp_subsec_micros() == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros };
    at.to_rfc3339_opts(format, false)
}
