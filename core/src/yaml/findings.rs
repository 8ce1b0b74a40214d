//! Collects the diagnostics of one load, each in the scope (DAG, task) that was set when it was found.

use std::cell::{Cell, RefCell};

use super::node::Mark;
use crate::diagnostic::{Diagnostic, Related, Severity};

/// More findings than this are counted, not listed: nobody reads them, and comparing each with all costs time.
const MAX_LISTED: usize = 500;

/// The collector. Interior mutability, because every stage of the loader holds it.
#[derive(Default)]
pub(super) struct Findings {
    files: RefCell<Vec<String>>,
    list: RefCell<Vec<(u16, Diagnostic)>>,
    dag_id: RefCell<Option<String>>,
    task_id: RefCell<Option<String>>,
    errors: Cell<usize>,
}

impl Findings {
    /// Registers a file and gives the index its marks carry. The DAG file comes first.
    pub(super) fn add_file(&self, path: &str) -> u16 {
        let mut files = self.files.borrow_mut();
        if let Some(index) = files.iter().position(|file| file == path) {
            return index as u16;
        }
        files.push(path.to_owned());
        (files.len() - 1) as u16
    }

    /// The path of a file that is not the DAG file itself.
    pub(super) fn other_file(&self, index: u16) -> Option<String> {
        if index == 0 { None } else { self.files.borrow().get(usize::from(index)).cloned() }
    }

    /// Runs `body` with this DAG named in what it finds; gives its result and whether it found an error.
    pub(super) fn in_dag<T>(&self, dag_id: &str, body: impl FnOnce() -> T) -> (T, bool) {
        let before = self.errors.get();
        let outer = self.dag_id.replace(Some(dag_id.to_owned()));
        let result = body();
        *self.dag_id.borrow_mut() = outer;
        (result, self.errors.get() > before)
    }

    /// Runs `body` with this task named in what it finds.
    pub(super) fn in_task<T>(&self, task_id: &str, body: impl FnOnce() -> T) -> T {
        let outer = self.task_id.replace(Some(task_id.to_owned()));
        let result = body();
        *self.task_id.borrow_mut() = outer;
        result
    }

    /// How many errors were found so far, repeated ones too.
    pub(super) fn error_count(&self) -> usize {
        self.errors.get()
    }

    pub(super) fn error(&self, kind: &'static str, mark: Mark, message: impl Into<String>) {
        self.push(Severity::Error, kind, mark, message.into(), None, Vec::new());
    }

    pub(super) fn error_help(
        &self,
        kind: &'static str,
        mark: Mark,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.push(Severity::Error, kind, mark, message.into(), help.into(), Vec::new());
    }

    pub(super) fn error_related(
        &self,
        kind: &'static str,
        mark: Mark,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
        related: Vec<Related>,
    ) {
        self.push(Severity::Error, kind, mark, message.into(), help.into(), related);
    }

    pub(super) fn warning(&self, kind: &'static str, mark: Mark, message: impl Into<String>) {
        self.push(Severity::Warning, kind, mark, message.into(), None, Vec::new());
    }

    pub(super) fn warning_help(
        &self,
        kind: &'static str,
        mark: Mark,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.push(Severity::Warning, kind, mark, message.into(), help.into(), Vec::new());
    }

    /// All of them, in file order.
    pub(super) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut list = self.list.into_inner();
        list.sort_by_key(|(file, found)| (*file, found.line, found.column));
        list.into_iter().map(|(_, found)| found).collect()
    }

    fn push(
        &self,
        severity: Severity,
        kind: &'static str,
        mark: Mark,
        message: String,
        help: Option<String>,
        related: Vec<Related>,
    ) {
        if severity == Severity::Error {
            self.errors.set(self.errors.get() + 1);
        }
        let mut list = self.list.borrow_mut();
        if list.len() >= MAX_LISTED {
            return;
        }
        // A default is read once for every DAG and task it reaches; its mistake is one finding.
        if list.iter().any(|(file, found)| {
            *file == mark.file
                && found.kind == kind
                && found.line == mark.line
                && found.column == mark.column
                && found.message == message
        }) {
            return;
        }
        let file = self.other_file(mark.file);
        list.push((
            mark.file,
            Diagnostic {
                severity,
                kind: kind.to_owned(),
                file,
                line: mark.line,
                column: mark.column,
                end_line: mark.end_line,
                end_column: mark.end_column,
                dag_id: self.dag_id.borrow().clone(),
                task_id: self.task_id.borrow().clone(),
                message,
                help,
                related,
            },
        ));
    }
}

/// Another place, for [`Findings::error_related`].
pub(super) fn related(mark: Mark, message: impl Into<String>) -> Related {
    Related { line: mark.line, column: mark.column, message: message.into() }
}
