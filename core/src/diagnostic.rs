//! What is wrong with a DAG file, as data: a stable kind, a place, a message that reads alone and a hint.

use serde::{Deserialize, Serialize};

/// An error keeps the DAG (or the file) from loading; a warning does not, unless `--strict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// Another place that belongs to a diagnostic: the first of two duplicate keys, an edge of a cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    pub line: u32,
    pub column: u32,
    pub message: String,
}

/// One finding in one file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// A stable word (`unknown_dependency`); `docs/diagnostics.md` explains each.
    pub kind: String,
    /// The file it points into, when that is not the DAG file itself (an included file, a `defaults.yml`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<String>,
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
    pub dag_id: Option<String>,
    pub task_id: Option<String>,
    pub message: String,
    pub help: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub related: Vec<Related>,
}
