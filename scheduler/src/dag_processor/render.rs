//! Diagnostics as text: what the API and the UI show as the `stack_trace` of an import error.

use std::fmt::Write;

use updraft_core::diagnostic::{Diagnostic, Severity};

/// More than this is noise: the first ones are fixed first.
const MAX_SHOWN: usize = 50;
/// Characters of a source line shown, at most.
const MAX_LINE: usize = 200;

/// The errors of a file, with the lines they point to. No NUL characters: Postgres has no place for them.
pub(super) fn render(path: &str, source: &str, diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<&str> = source.lines().collect();
    let errors: Vec<&Diagnostic> =
        diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).collect();
    let mut text = String::new();
    for error in errors.iter().take(MAX_SHOWN) {
        one(&mut text, path, &lines, error);
    }
    if errors.len() > MAX_SHOWN {
        let _ = writeln!(text, "… and {} more errors", errors.len() - MAX_SHOWN);
    }
    text.replace('\0', "\u{fffd}")
}

// Writing to a String cannot fail.
fn one(text: &mut String, path: &str, lines: &[&str], error: &Diagnostic) {
    let file = error.file.as_deref().unwrap_or(path);
    let _ = writeln!(text, "{file}:{}:{}: error[{}]: {}", error.line, error.column, error.kind, error.message);
    let line = error.file.is_none().then(|| lines.get(error.line as usize - 1)).flatten();
    let margin = " ".repeat(error.line.to_string().len());
    if let Some(line) = line.filter(|line| !line.trim().is_empty() && (error.column as usize) <= MAX_LINE) {
        let shown: String = line.chars().take(MAX_LINE).map(|c| if c == '\t' { ' ' } else { c }).collect();
        let end = if error.end_line == error.line { error.end_column } else { u32::MAX };
        let room = (shown.chars().count() as u32 + 1).saturating_sub(error.column);
        let width = end.saturating_sub(error.column).min(room).max(1);
        let _ = writeln!(text, "{margin} |\n{} | {shown}", error.line);
        let _ = writeln!(text, "{margin} | {}{}", " ".repeat(error.column as usize - 1), "^".repeat(width as usize));
    }
    for related in &error.related {
        let _ = writeln!(text, "{margin} = {file}:{}:{}: {}", related.line, related.column, related.message);
    }
    if let Some(help) = &error.help {
        let _ = writeln!(text, "{margin} = help: {help}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag_processor::compile::whole_file;

    #[test]
    fn points_at_the_place_and_says_what_to_do() {
        let mut error =
            whole_file("unknown_dependency", "task `load` depends on `extrct`".to_owned(), Some("`extract`?"));
        (error.line, error.column, error.end_line, error.end_column) = (2, 15, 2, 21);
        let text = render("sales.yaml", "load:\n  depends_on: extrct\n", &[error]);
        let expected = "\
sales.yaml:2:15: error[unknown_dependency]: task `load` depends on `extrct`
  |
2 |   depends_on: extrct
  |               ^^^^^^
  = help: `extract`?
";
        assert_eq!(text, expected);
    }

    #[test]
    fn survives_places_that_do_not_exist() {
        let mut error = whole_file("x", "nul \0".to_owned(), None);
        (error.line, error.column, error.end_line, error.end_column) = (99, 7, 1, 0);
        assert_eq!(render("a", "", &[error.clone()]), "a:99:7: error[x]: nul \u{fffd}\n");
        (error.line, error.column) = (1, 150);
        assert!(render("a", "short", &[error]).contains("1 | short"));
    }
}
