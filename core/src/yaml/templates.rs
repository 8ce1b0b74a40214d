//! Templates are compiled when a file is read: syntax, filters, tests, and the tasks that `xcom_pull` names.

use serde_json::Value;

use super::{
    Context,
    node::{Content, Mark, Node, Style},
    operators::Operator,
    suggest::did_you_mean,
    task::{Lookup, Shared},
};
use crate::{dag::Task, template::check_syntax};

impl Context<'_> {
    /// Checks the templates of a task: the template fields of its operator, `env`, `when`, `foreach`.
    pub(super) fn task_templates(&self, task: &Task, operator: &Operator, lookup: &Lookup<'_>, shared: &Shared<'_>) {
        let fields = operator.args().filter(|arg| arg.template).map(|arg| arg.name);
        let calls = ["python_callable"].into_iter().filter(|_| {
            task.args.get("python_callable").and_then(Value::as_str).is_some_and(|text| !text.contains('\n'))
        });
        for name in fields.chain(["env", "when", "foreach", "map_index_template"]).chain(calls) {
            // A file's content stands in the field instead of its name, and is checked as the file.
            if let Some(entry) = lookup.get(name) {
                self.template_node(&entry.value, shared);
            }
        }
    }

    /// Checks every text below a node. Depth is bounded by the depth of the tree.
    pub(super) fn template_node(&self, node: &Node, shared: &Shared<'_>) {
        match &node.content {
            Content::Scalar(scalar) => self.template(&scalar.text, node.mark, scalar.style, shared),
            Content::Sequence(items) => items.iter().for_each(|item| self.template_node(item, shared)),
            Content::Mapping(entries) => entries.values().for_each(|entry| self.template_node(&entry.value, shared)),
        }
    }

    fn template(&self, text: &str, mark: Mark, style: Style, shared: &Shared<'_>) {
        if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
            return;
        }
        let at = |line: u32| if style == Style::Block && line > 0 { mark.lines_below(line) } else { mark };
        let invalid = |line: u32, message: String, help: Option<String>| {
            self.findings.error_help("invalid_template", at(line), message, help);
        };
        let spans = match code(text) {
            Ok(spans) => spans,
            Err((line, open)) => {
                let help = match open {
                    "{{" => "add `}}`",
                    "{%" => "add `%}`",
                    _ => "`{#` begins a comment; for the shell's `${#name}` write `{% raw %}${#name}{% endraw %}`",
                };
                invalid(line, format!("`{open}` is not closed"), Some(help.to_owned()));
                return;
            }
        };
        if let Err(problem) = check_syntax(text) {
            invalid(problem.line.saturating_sub(1), problem.message, None);
            return;
        }
        for (line, span) in spans {
            for task in pulled_tasks(span) {
                if shared.task_ids.contains(task) {
                    continue;
                }
                let inside = shared.members.tasks.iter().find(|known| &*known.name == task);
                let help = inside
                    .map(|known| format!("the full id is `{}`", known.id))
                    .or_else(|| did_you_mean(task, shared.members.tasks.iter().map(|known| known.id.as_str())));
                let message = format!("`xcom_pull` names the task `{task}`, which does not exist");
                self.findings.warning_help("unknown_xcom_task", at(line), message, help);
            }
        }
    }

    /// Text that names a file to render: its content takes its place; without such a file the text is taken as it is.
    pub(super) fn template_files(
        &self,
        task: &mut Task,
        operator: &Operator,
        lookup: &Lookup<'_>,
        shared: &Shared<'_>,
    ) {
        for (name, extensions) in operator.template_files {
            let Some(text) = task.args.get(*name).and_then(Value::as_str) else { continue };
            if text.contains(['\n', '{']) || !extensions.iter().any(|extension| text.ends_with(extension)) {
                continue;
            }
            let Some(entry) = lookup.get(name) else { continue };
            let folders = shared.searchpath.iter().map(String::as_str).chain([self.folder()]);
            let paths: Vec<String> = folders.filter_map(|folder| self.resolve(folder, text)).collect();
            match paths.iter().find_map(|path| self.read(path)) {
                Some(bytes) => match String::from_utf8(bytes) {
                    Ok(content) => {
                        task.args.insert((*name).to_owned(), Value::String(content));
                    }
                    Err(_) => {
                        self.findings.error("not_utf8", entry.value.mark, format!("the file `{text}` is not UTF-8"));
                    }
                },
                None => self.findings.warning_help(
                    "template_file_missing",
                    entry.value.mark,
                    format!("there is no file `{text}` to render; the text is taken as it is"),
                    Some(
                        "Airflow would fail when the task runs; in the short form the text always is the command"
                            .to_owned(),
                    ),
                ),
            }
        }
    }
}

/// The code between `{{ }}` and `{% %}` with its line (from 0), or the line and the bracket that is not closed.
fn code(text: &str) -> Result<Vec<(u32, &str)>, (u32, &'static str)> {
    let mut spans = Vec::new();
    let mut at = 0;
    let line_of = |at: usize| text[..at].matches('\n').count() as u32;
    while let Some(open) = text[at..].find('{').map(|found| at + found) {
        let (bracket, close) = match text.as_bytes().get(open + 1) {
            Some(b'{') => ("{{", "}}"),
            Some(b'%') => ("{%", "%}"),
            Some(b'#') => ("{#", "#}"),
            _ => {
                at = open + 1;
                continue;
            }
        };
        let start = open + 2;
        let end = if bracket == "{#" { text[start..].find(close) } else { end_of_code(&text[start..], close) };
        let Some(end) = end else { return Err((line_of(open), bracket)) };
        let span = &text[start..start + end];
        at = start + end + 2;
        if bracket != "{#" {
            spans.push((line_of(open), span));
        }
        if bracket == "{%" && span.trim_matches(['-', '+', ' ']) == "raw" {
            let Some(end) = text[at..].find("endraw") else { return Err((line_of(open), bracket)) };
            at += end + text[at + end..].find("%}").map_or(6, |close| close + 2);
        }
    }
    Ok(spans)
}

/// Where the closing bracket is, strings skipped.
fn end_of_code(text: &str, close: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if text[at..].starts_with(close) => return Some(at),
            Some(_) | None => {}
        }
    }
    None
}

/// The task ids that `xcom_pull` names literally in a piece of code.
fn pulled_tasks(code: &str) -> Vec<&str> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let next = |offset: usize| tokens.get(at + offset).copied();
        match *token {
            "task_ids" if next(1) == Some("=") => {
                let list = matches!(next(2), Some("[" | "("));
                let mut offset = if list { 3 } else { 2 };
                while let Some(text) = next(offset).and_then(literal) {
                    found.push(text);
                    if !list || next(offset + 1) != Some(",") {
                        break;
                    }
                    offset += 2;
                }
            }
            "xcom_pull" if next(1) == Some("(") => found.extend(next(2).and_then(literal)),
            _ => {}
        }
    }
    found
}

fn literal(token: &str) -> Option<&str> {
    let inner = token.strip_prefix(['"', '\''])?;
    inner.strip_suffix(['"', '\''])
}

/// Names, strings and single characters; white space dropped.
fn tokens(code: &str) -> Vec<&str> {
    let mut result = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let end = if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
            continue;
        } else if matches!(first, '"' | '\'') {
            rest[1..].find(first).map_or(rest.len(), |end| end + 2)
        } else if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        result.push(&rest[..end]);
        rest = &rest[end..];
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_tasks_that_xcom_pull_names() {
        assert_eq!(pulled_tasks("ti.xcom_pull(task_ids=['a', \"b\"]) | int"), ["a", "b"]);
        assert_eq!(pulled_tasks("ti.xcom_pull('x') + ti.xcom_pull(task_ids='y', key='k')"), ["x", "y"]);
        assert_eq!(pulled_tasks("ti.xcom_pull(task_ids=name)"), [""; 0]);
    }

    #[test]
    fn names_the_bracket_that_is_open() {
        assert_eq!(code("one\n{{ ds"), Err((1, "{{")));
        assert_eq!(code("{{ '}}' }}"), Ok(vec![(0, " '}}' ")]));
        assert_eq!(code("{% raw %}{{ {% endraw %}").map(|spans| spans.len()), Ok(1));
        assert_eq!(code("a { b"), Ok(Vec::new()));
    }
}
