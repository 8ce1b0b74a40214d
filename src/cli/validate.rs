//! `updraft dags validate`: the server's verdict on DAG files, without a server.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, IsTerminal},
    ops::Range,
    path::{Path, PathBuf},
    process::ExitCode,
};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use updraft_core::{
    diagnostic::{Diagnostic, Severity},
    yaml::{self, Loaded, Settings},
};
use updraft_scheduler::dag_processor::source::{self, FolderFiles};

use super::{
    App,
    args::{Output, ValidateFlags},
    output::say,
};
use crate::wiring;

/// Reads every file, prints all findings, and says by the exit code whether the server would take the files.
pub(super) fn run(app: &App, flags: &ValidateFlags) -> Result<ExitCode> {
    let mut checked = Vec::new();
    for path in &flags.paths {
        checked.extend(check(app, path)?);
    }
    mark_duplicates(&mut checked);
    if flags.strict {
        for finding in checked.iter_mut().flat_map(|file| &mut file.loaded.diagnostics) {
            finding.severity = Severity::Error;
        }
    }
    let count = |severity| {
        checked.iter().flat_map(|file| &file.loaded.diagnostics).filter(|finding| finding.severity == severity).count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match flags.output.output {
        Output::Json => say(format_args!("{}", serde_json::to_string_pretty(&as_json(&checked))?))?,
        Output::Table => {
            for file in &checked {
                report(file);
            }
            let dags: usize = checked.iter().map(|file| file.loaded.dags.len()).sum();
            eprintln!(
                "{}, {}: {}, {}",
                plural(checked.len(), "file"),
                plural(dags, "DAG"),
                plural(errors, "error"),
                plural(warnings, "warning")
            );
        }
    }
    Ok(if errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One DAG file with its findings.
pub(super) struct Checked {
    /// As the user named it, or below the folder that the user named.
    path: PathBuf,
    pub(super) root: PathBuf,
    bytes: Vec<u8>,
    pub(super) loaded: Loaded,
}

/// A folder is its own DAG root. A file's root is the configured DAG folder when the file is in it, else the file's folder.
pub(super) fn check(app: &App, path: &Path) -> Result<Vec<Checked>> {
    let metadata = fs::metadata(path).with_context(|| format!("reading {}", path.display()))?;
    if metadata.is_dir() {
        let scan = source::scan(path).with_context(|| format!("reading {}", path.display()))?;
        if let Some((folder, error)) = scan.unreadable.first_key_value() {
            bail!("{}: {error}", path.join(folder).display());
        }
        let mut checked = Vec::new();
        for entry in scan.dag_files() {
            checked.push(Opened::below(app, path, path.join(&entry.path))?.load());
        }
        if checked.is_empty() {
            bail!("{} holds no .yaml or .yml file", path.display());
        }
        // An included file is part of others and no DAG file itself.
        let included: Vec<String> = checked.iter().flat_map(|file| file.loaded.includes.iter().cloned()).collect();
        checked.retain(|file| !included.iter().any(|include| path.join(include) == file.path));
        return Ok(checked);
    }
    let mut file = Opened::at(app, path)?.load();
    path.clone_into(&mut file.path);
    Ok(vec![file])
}

/// A DAG file, and what reading it depends on.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) root: PathBuf,
    /// The path below the root.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) settings: Settings,
}

impl Opened {
    /// Opens a file that a user names.
    pub(super) fn at(app: &App, path: &Path) -> Result<Self> {
        let absolute = fs::canonicalize(path).with_context(|| format!("reading {}", path.display()))?;
        let dags_folder = fs::canonicalize(&app.loaded.config.core.dags_folder).ok();
        let root = dags_folder
            .filter(|folder| absolute.starts_with(folder))
            .or_else(|| absolute.parent().map(Path::to_owned))
            .context("a file has a folder")?;
        Self::below(app, &root, absolute)
    }

    fn below(app: &App, root: &Path, path: PathBuf) -> Result<Self> {
        let name = path
            .strip_prefix(root)
            .ok()
            .and_then(Path::to_str)
            .with_context(|| format!("{}: the path is not Unicode", path.display()))?
            .to_owned();
        let bytes = FolderFiles::new(root).open(&name).with_context(|| format!("reading {}", path.display()))?;
        #[expect(clippy::disallowed_methods, reason = "relative start dates are relative to the moment of the check")]
        let now = chrono::Utc::now();
        let root = std::path::absolute(root).with_context(|| format!("resolving {}", root.display()))?;
        let settings = source::settings(&root, &wiring::compile_rules(app), now);
        Ok(Self { path, root, name, bytes, settings })
    }

    /// The files beside it.
    pub(super) fn files(&self) -> FolderFiles {
        FolderFiles::new(&self.root)
    }

    /// Compiles it as the server does.
    pub(super) fn load(self) -> Checked {
        let loaded = yaml::load(&self.name, &self.bytes, &self.files(), &self.settings);
        Checked { path: self.path, root: self.root, bytes: self.bytes, loaded }
    }
}

/// A dag_id in two files: the first file keeps it, the other gets an error that names both, as on the server.
fn mark_duplicates(checked: &mut [Checked]) {
    let mut owners: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in checked {
        let mut errors = Vec::new();
        file.loaded.dags.retain(|loaded| {
            let dag_id = loaded.dag.dag_id.as_str();
            let Some(owner) = owners.get(dag_id) else {
                owners.insert(dag_id.to_owned(), file.path.clone());
                return true;
            };
            errors.push(Diagnostic {
                severity: Severity::Error,
                kind: "duplicate_dag_id".into(),
                file: None,
                line: loaded.line,
                column: 1,
                end_line: loaded.line,
                end_column: 1,
                dag_id: Some(dag_id.to_owned()),
                task_id: None,
                message: format!("the DAG `{dag_id}` is defined in {} already", owner.display()),
                help: Some("give one of the two another dag_id".into()),
                related: Vec::new(),
            });
            false
        });
        file.loaded.diagnostics.append(&mut errors);
    }
}

fn as_json(checked: &[Checked]) -> Value {
    let mut files = Map::new();
    for file in checked {
        let dags: Map<String, Value> = file
            .loaded
            .dags
            .iter()
            .map(|loaded| (loaded.dag.dag_id.to_string(), yaml::describe(&loaded.dag)))
            .collect();
        let path = file.path.display().to_string();
        files.insert(path, json!({"dags": dags, "diagnostics": file.loaded.diagnostics}));
    }
    json!({"files": files})
}

/// Prints a file's findings as rustc does; colour on a terminal only.
pub(super) fn report(file: &Checked) {
    let renderer = if io::stderr().is_terminal() { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    for finding in &file.loaded.diagnostics {
        // A finding may point into an included file or a defaults.yml.
        let (path, bytes) = match &finding.file {
            Some(other) => (file.root.join(other), fs::read(file.root.join(other)).unwrap_or_default()),
            None => (file.path.clone(), file.bytes.clone()),
        };
        let source = String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}");
        eprintln!("{}\n", render(&renderer, finding, &path.display().to_string(), &source));
    }
}

fn render(renderer: &Renderer, finding: &Diagnostic, path: &str, source: &str) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let primary = span(source, finding.line, finding.column, finding.end_line, finding.end_column);
    let related = finding.related.iter().map(|place| {
        let span = span(source, place.line, place.column, place.line, place.column);
        AnnotationKind::Context.span(span).label(place.message.as_str())
    });
    let snippet =
        Snippet::source(source).path(path).annotation(AnnotationKind::Primary.span(primary)).annotations(related);
    let mut group: Group<'_> = level.primary_title(finding.message.as_str()).id(finding.kind.as_str()).element(snippet);
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

/// The bytes between two places (lines and columns from 1, columns in characters); at least one character where there is one.
fn span(source: &str, line: u32, column: u32, end_line: u32, end_column: u32) -> Range<usize> {
    let begin = offset(source, line, column);
    let end = offset(source, end_line, end_column).max(begin);
    let least = source[begin..].chars().next().filter(|next| *next != '\n').map_or(0, char::len_utf8);
    begin..end.max(begin + least)
}

fn offset(source: &str, line: u32, column: u32) -> usize {
    let mut begin = 0;
    for (number, text) in (1u32..).zip(source.split_inclusive('\n')) {
        if number == line {
            let text = text.trim_end_matches('\n');
            let within = text.char_indices().nth(column.saturating_sub(1) as usize).map_or(text.len(), |(at, _)| at);
            return begin + within;
        }
        begin += text.len();
    }
    source.len()
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        let source = "a: 1\nä: ö b\n";
        assert_eq!(&source[span(source, 2, 4, 2, 5)], "ö");
        assert_eq!(&source[span(source, 2, 6, 2, 6)], "b");
        assert_eq!(span(source, 9, 1, 9, 1), source.len()..source.len());
    }
}
