//! Dynamic mapping: `expand`/`partial` as Airflow has them, `foreach` and `matrix`.

use serde_json::{Map, Value, json};

use super::{
    Context,
    groups::Dependency,
    node::{Entry, Mark, Node},
    operators::{Kind, Operator},
    suggest::did_you_mean,
    task::Lookup,
};
use crate::dag::Task;

/// Airflow's `max_map_length`.
const MAX_MAP_LENGTH: usize = 1024;

/// A task's result, or one key of it.
pub(super) struct Reference {
    pub(super) task: String,
    key: String,
}

impl Reference {
    /// As the long form keeps it.
    pub(super) fn json(&self) -> Value {
        json!({ "xcom": self.task, "key": self.key })
    }
}

/// `+task` or `+task['key']`.
pub(super) fn plus_reference(text: &str) -> Option<Reference> {
    let rest = text.trim().strip_prefix('+')?;
    let (task, key) = match rest.split_once('[') {
        Some((task, key)) => (task, key.strip_suffix(']')?.trim_matches(['\'', '"'])),
        None => (rest, "return_value"),
    };
    is_name(task).then(|| Reference { task: task.to_owned(), key: key.to_owned() })
}

/// `task.output`, `XcomArg(task)`, `+task`.
fn any_reference(text: &str) -> Option<Reference> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let task = if let Some(task) = text.strip_suffix(".output") {
        task
    } else if lower.starts_with("xcomarg(") && text.ends_with(')') {
        text[8..text.len() - 1].trim().trim_matches(['\'', '"'])
    } else {
        return plus_reference(text);
    };
    is_name(task).then(|| Reference { task: task.to_owned(), key: "return_value".to_owned() })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

impl Context<'_> {
    /// Reads the mapping of a task, if it has one, into `task.mapped`.
    pub(super) fn mapped(
        &self,
        task: &mut Task,
        lookup: &Lookup<'_>,
        operator: Option<&'static Operator>,
        decorated: bool,
        implied: &mut Vec<Dependency>,
    ) {
        let own = lookup.own;
        let forms: Vec<&str> =
            ["expand", "foreach", "matrix"].into_iter().filter(|key| own.contains_key(*key)).collect();
        if let [first, second, ..] = forms[..] {
            let mut marks = [own[first].key, own[second].key];
            marks.sort_by_key(|mark| (mark.line, mark.column));
            self.findings.error_help(
                "conflicting_keys",
                marks[1],
                format!(
                    "a task has one of `expand`, `foreach` and `matrix`, and this one has `{first}` and `{second}`"
                ),
                Some("keep one of the two".to_owned()),
            );
            return;
        }
        let mut mapped = Map::new();
        match forms.first() {
            Some(&"expand") => {
                let expand = self.expand(&own["expand"], operator, decorated, implied);
                mapped.insert("expand".to_owned(), Value::Object(expand.unwrap_or_default()));
                if let Some(partial) = own.get("partial").and_then(|entry| self.json(&entry.value)) {
                    mapped.insert("partial".to_owned(), partial);
                }
            }
            Some(&"foreach") => {
                let value = self.foreach(&own["foreach"], implied).unwrap_or(Value::Null);
                mapped.insert("foreach".to_owned(), value);
            }
            Some(&"matrix") => {
                let value = self.matrix(&own["matrix"]).unwrap_or(Value::Null);
                mapped.insert("matrix".to_owned(), value);
            }
            _ => {
                if let Some(partial) = own.get("partial") {
                    let help = "add `expand`, or write the arguments beside the others".to_owned();
                    self.findings.error_help(
                        "invalid_expand",
                        partial.key,
                        "`partial` needs `expand` beside it",
                        Some(help),
                    );
                }
                return;
            }
        }
        let word = forms[0];
        self.not_supported(own[word].key, &format!("`{word}`"));
        task.mapped = Some(Value::Object(mapped));
    }

    fn expand(
        &self,
        Entry { key, value: node }: &Entry,
        operator: Option<&'static Operator>,
        decorated: bool,
        implied: &mut Vec<Dependency>,
    ) -> Option<Map<String, Value>> {
        let mut result = Map::new();
        let (mut size, mut too_big) = (1usize, false);
        for (name, entry) in self.mapping("expand", node)? {
            if !decorated
                && let Some(operator) = operator
                && operator.arg(name).is_none()
            {
                let help = did_you_mean(name, operator.args().map(|arg| arg.name));
                self.findings.error_help(
                    "unknown_argument",
                    entry.key,
                    format!("there is no argument `{name}` to expand"),
                    help,
                );
                continue;
            }
            if let Some(reference) = entry.value.as_text().and_then(any_reference) {
                implied.push((reference.task.clone(), entry.value.mark));
                result.insert(name.to_string(), reference.json());
                continue;
            }
            let length = match (self.items(&entry.value), entry.value.as_mapping()) {
                (Some(items), _) => items.len(),
                (None, Some(entries)) => entries.len(),
                _ => {
                    self.findings.error_help(
                        "invalid_expand",
                        entry.value.mark,
                        format!("`{name}` must be expanded over a list, a mapping or a task's result"),
                        Some("write `[a, b]`, or `task.output`".to_owned()),
                    );
                    continue;
                }
            };
            size = size.saturating_mul(length);
            too_big |= size > MAX_MAP_LENGTH;
            let kind = operator.and_then(|operator| operator.arg(name)).map_or(Kind::Any, |arg| arg.kind);
            let value = match (kind, self.items(&entry.value)) {
                (Kind::Text, Some(items)) => {
                    Some(Value::Array(items.iter().filter_map(|item| self.argument(name, Kind::Text, item)).collect()))
                }
                _ => self.json(&entry.value),
            };
            result.extend(value.map(|value| (name.to_string(), value)));
        }
        if too_big {
            self.too_many(*key, size);
        }
        Some(result)
    }

    fn foreach(&self, Entry { key, value: node }: &Entry, implied: &mut Vec<Dependency>) -> Option<Value> {
        if let Some(text) = node.as_text() {
            if !text.contains("{{") && !text.contains("{%") {
                let name = any_reference(text).map_or_else(|| text.to_owned(), |reference| reference.task);
                implied.push((name.clone(), node.mark));
                return Some(Value::String(name));
            }
            return Some(Value::String(text.to_owned()));
        }
        let length = self.items(node).map(<[Node]>::len).or_else(|| node.as_mapping().map(super::node::Mapping::len));
        match length {
            None => {
                let help = "write a list, a mapping, a template, or the name of a task".to_owned();
                self.findings.error_help(
                    "invalid_expand",
                    node.mark,
                    "`foreach` needs something to go through",
                    Some(help),
                );
                None
            }
            Some(length) if length > MAX_MAP_LENGTH => {
                self.too_many(*key, length);
                None
            }
            Some(_) => self.json(node),
        }
    }

    fn matrix(&self, Entry { key, value: node }: &Entry) -> Option<Value> {
        let mut size = 1usize;
        for (name, entry) in self.mapping("matrix", node)? {
            let Some(items) = self.items(&entry.value) else {
                let help = format!("write `{name}: [a, b]`");
                self.findings.error_help(
                    "invalid_expand",
                    entry.value.mark,
                    format!("`{name}` must be a list"),
                    Some(help),
                );
                return None;
            };
            size = size.saturating_mul(items.len());
        }
        if size > MAX_MAP_LENGTH {
            self.too_many(*key, size);
        }
        self.json(node)
    }

    fn too_many(&self, key: Mark, size: usize) {
        self.findings.error_help(
            "invalid_expand",
            key,
            format!("{size} instances; the limit is {MAX_MAP_LENGTH}"),
            Some("split the work into several tasks, or let each instance do more".to_owned()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_references_to_results() {
        for text in ["source.output", "XcomArg(source)", "+source"] {
            assert_eq!(
                any_reference(text).map(|found| found.json()),
                Some(json!({"xcom": "source", "key": "return_value"})),
                "{text}"
            );
        }
        assert_eq!(
            plus_reference("+split['low']").map(|found| found.json()),
            Some(json!({"xcom": "split", "key": "low"}))
        );
        assert!(any_reference("just text").is_none());
    }
}
