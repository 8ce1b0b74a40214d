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

/// Lines of the file around a finding, on each side.
const AROUND: usize = 2;
/// Characters of one of them, at most.
const LINE_LENGTH: usize = 300;

/// One line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLine {
    /// From 1.
    pub line: u32,
    pub text: String,
}

/// A finding with the lines around it, as it is stored: whoever shows it later has no file to look into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpted {
    #[serde(flatten)]
    pub diagnostic: Diagnostic,
    /// Empty where the finding is about another file, or about none of its lines.
    #[serde(default)]
    pub excerpt: Vec<SourceLine>,
}

impl Excerpted {
    /// `source` is the text of the DAG file.
    pub fn new(diagnostic: Diagnostic, source: &str) -> Self {
        let excerpt = if diagnostic.file.is_some() || diagnostic.line == 0 {
            Vec::new()
        } else {
            let at = diagnostic.line as usize - 1;
            let lines = source.lines().enumerate().skip(at.saturating_sub(AROUND)).take(at.min(AROUND) + 1 + AROUND);
            let cut = |text: &str| text.chars().take(LINE_LENGTH).collect();
            lines.map(|(index, text)| SourceLine { line: index as u32 + 1, text: cut(text) }).collect()
        };
        Self { diagnostic, excerpt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_kept_with_the_lines_around_it() {
        let found = |line, file: Option<&str>| Diagnostic {
            severity: Severity::Error,
            kind: "k".to_owned(),
            file: file.map(str::to_owned),
            line,
            column: 1,
            end_line: line,
            end_column: 1,
            dag_id: None,
            task_id: None,
            message: "m".to_owned(),
            help: None,
            related: Vec::new(),
        };
        let lines = |line, file| Excerpted::new(found(line, file), "a\nb\nc\nd\ne\nf").excerpt;
        let text = |line, file| {
            lines(line, file).iter().map(|one| format!("{}{}", one.line, one.text)).collect::<Vec<_>>().concat()
        };
        assert_eq!([text(1, None), text(4, None), text(6, None)], ["1a2b3c", "2b3c4d5e6f", "4d5e6f"]);
        assert_eq!(text(9, None), "", "a line that the file does not have");
        assert_eq!(text(1, Some("other.yaml")), "");
        let stored = serde_json::to_value(Excerpted::new(found(1, None), "a")).unwrap();
        assert_eq!(
            serde_json::from_value::<Diagnostic>(stored).unwrap(),
            found(1, None),
            "readers of findings alone go on"
        );
    }
}
