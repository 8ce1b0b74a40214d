//! Python callables: checked as text, never imported while a file is read.

use serde_json::Value;

use super::{Context, node::Mark, task::Lookup};
use crate::dag::Task;

impl Context<'_> {
    /// Warns where a function named by file, or in a module below the DAG folder, is not there; makes file paths relative to
    /// the DAG root, since the file travels to the nodes with the bundle.
    pub(super) fn callable(&self, task: &mut Task, lookup: &Lookup<'_>, operator: Mark) {
        let text = |name: &str| task.args.get(name).and_then(Value::as_str).map(str::to_owned);
        let mark = |name: &str| lookup.get(name).map_or(operator, |entry| entry.value.mark);
        if let (Some(file), Some(name)) = (text("python_callable_file"), text("python_callable_name")) {
            let path = self.python_file(&file, mark("python_callable_file"), &name, mark("python_callable_name"));
            task.args.insert("python_callable_file".to_owned(), Value::String(path));
            return;
        }
        let Some(callable) = text("python_callable") else { return };
        if callable.contains(['\n', '{']) {
            return;
        }
        let Some((module, name)) = callable.rsplit_once('.') else { return };
        let path = format!("{}.py", module.replace('.', "/"));
        for folder in ["", self.folder()] {
            let Some(path) = self.resolve(folder, &path) else { continue };
            // A module that is not here may be installed where the task runs.
            if let Some(source) = self.read(&path) {
                if !defines(&source, name) {
                    self.findings.warning_help(
                        "python_not_found",
                        mark("python_callable"),
                        format!("`{path}` has no top-level function `{name}`"),
                        Some("the task fails when it runs, unless the name is made in another way".to_owned()),
                    );
                }
                return;
            }
        }
    }

    /// The path of a Python file relative to the DAG root (one outside of it as it is written), after warning of a function
    /// that is not there.
    pub(super) fn python_file(&self, file: &str, at: Mark, function: &str, function_at: Mark) -> String {
        let Some(path) = self.resolve(self.folder(), file) else { return file.to_owned() };
        match self.read(&path) {
            Some(source) if defines(&source, function) => {}
            Some(_) => self.findings.warning_help(
                "python_not_found",
                function_at,
                format!("`{path}` has no top-level function `{function}`"),
                Some("calling it fails, unless the name is made in another way".to_owned()),
            ),
            None => self.findings.warning_help(
                "python_not_found",
                at,
                format!("there is no file `{path}`"),
                Some("paths are relative to this file, or absolute".to_owned()),
            ),
        }
        path
    }
}

/// Whether Python source has a top-level `def`, `async def`, class, assignment or import of the name.
fn defines(source: &[u8], name: &str) -> bool {
    String::from_utf8_lossy(source).lines().filter(|line| !line.starts_with([' ', '\t', '#'])).any(|line| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let rest = line.strip_prefix("def ").or_else(|| line.strip_prefix("class ")).unwrap_or(line).trim_start();
        let imported = line.starts_with("from ") || line.starts_with("import ");
        let word = |text: &str| !text.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        rest.strip_prefix(name).is_some_and(word)
            || (imported && line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|part| part == name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_top_level_names_only() {
        let source =
            b"import os\nfrom a import b as c\nasync def d(x): pass\n\nclass E:\n    def f(self): pass\ng = 1\n";
        for name in ["os", "b", "c", "d", "E", "g"] {
            assert!(defines(source, name), "{name}");
        }
        assert!(!defines(source, "f"));
        assert!(!defines(source, "dd"));
    }
}
