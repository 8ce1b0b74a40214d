//! Dynamic mapping: `expand`/`partial` and `expand_kwargs` as Airflow has them, `foreach` and `matrix`; of tasks and of groups.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::{
    Context,
    groups::Dependency,
    node::{Entry, Mark, Node},
    operators::{Kind, Operator},
    suggest::did_you_mean,
    task::Shared,
};
use crate::{
    dag::{MapInput, Mapping, MappingKind},
    operator::XComArg,
};

/// The keys that map, one of which a task or group may have.
pub(super) const FORMS: &[(&str, MappingKind)] = &[
    ("expand", MappingKind::Expand),
    ("expand_kwargs", MappingKind::ExpandKwargs),
    ("foreach", MappingKind::Foreach),
    ("matrix", MappingKind::Matrix),
];

/// What is mapped.
#[derive(Clone, Copy)]
pub(super) enum Mapped {
    /// A task; the arguments to expand are those of its operator, or of its function.
    Task { operator: Option<&'static Operator>, decorated: bool },
    /// A group: what is expanded are names in the templates of its members.
    Group,
}

impl Mapped {
    /// The argument's type, for arguments that are checked.
    fn argument(self, name: &str) -> Option<Kind> {
        match self {
            Self::Task { operator: Some(operator), .. } => operator.arg(name).map(|arg| arg.kind),
            Self::Task { operator: None, .. } | Self::Group => None,
        }
    }

    /// The operator whose arguments are the only ones to expand.
    fn closed(self) -> Option<&'static Operator> {
        match self {
            Self::Task { operator, decorated: false } => operator,
            Self::Task { decorated: true, .. } | Self::Group => None,
        }
    }
}

/// A task's result, or one key of it; the task by its name in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference<'t> {
    task: &'t str,
    key: &'t str,
}

/// `+task` or `+task['key']`.
pub(super) fn plus_reference(text: &str) -> Option<Reference<'_>> {
    keyed(text.trim().strip_prefix('+')?)
}

/// `task.output`, `task.output['key']`, `XcomArg(task)`, `+task`, `+task['key']`.
fn any_reference(text: &str) -> Option<Reference<'_>> {
    let text = text.trim();
    if let Some((task, rest)) = text.split_once(".output") {
        let key = if rest.is_empty() { "return_value" } else { bracketed(rest)? };
        return is_name(task).then_some(Reference { task, key });
    }
    if text.get(..8).is_some_and(|word| word.eq_ignore_ascii_case("xcomarg(")) {
        let task = text[8..].strip_suffix(')')?.trim().trim_matches(['\'', '"']);
        return is_name(task).then_some(Reference { task, key: "return_value" });
    }
    plus_reference(text)
}

fn keyed(text: &str) -> Option<Reference<'_>> {
    let (task, key) = match text.find('[') {
        Some(at) => (&text[..at], bracketed(&text[at..])?),
        None => (text, "return_value"),
    };
    is_name(task).then_some(Reference { task, key })
}

/// `key` of `['key']`.
fn bracketed(text: &str) -> Option<&str> {
    Some(text.strip_prefix('[')?.strip_suffix(']')?.trim().trim_matches(['\'', '"']))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

impl Context<'_> {
    /// Reads the mapping of a task or group, if it has one. Tasks whose results it goes through come into `implied`.
    pub(super) fn mapping_of(
        &self,
        own: &super::node::Mapping,
        what: Mapped,
        shared: &Shared<'_>,
        implied: &mut Vec<Dependency>,
    ) -> Option<Mapping> {
        let mut forms: Vec<(&str, MappingKind, &Entry)> =
            FORMS.iter().filter_map(|(key, kind)| Some((*key, *kind, own.get(*key)?))).collect();
        forms.sort_by_key(|(.., entry)| (entry.key.line, entry.key.column));
        match forms[..] {
            [] => {
                if let Some(partial) = own.get("partial") {
                    let help = "add `expand`, or write the arguments beside the others".to_owned();
                    self.findings.error_help(
                        "invalid_expand",
                        partial.key,
                        "`partial` needs `expand` beside it",
                        Some(help),
                    );
                }
                None
            }
            [(_, kind, entry)] => {
                let inputs = match kind {
                    MappingKind::Expand => self.expand(entry, what, shared, implied),
                    MappingKind::ExpandKwargs => self.expand_kwargs(entry, what, shared, implied),
                    MappingKind::Foreach => self.foreach(entry, shared, implied),
                    MappingKind::Matrix => self.matrix(entry),
                };
                inputs.map(|inputs| Mapping { kind, inputs })
            }
            [(first, ..), (second, _, entry), ..] => {
                self.findings.error_help(
                    "conflicting_keys",
                    entry.key,
                    format!("`{first}` and `{second}` both map, and only one of them can"),
                    Some("keep one of the two".to_owned()),
                );
                None
            }
        }
    }

    fn expand(
        &self,
        Entry { key, value: node }: &Entry,
        what: Mapped,
        shared: &Shared<'_>,
        implied: &mut Vec<Dependency>,
    ) -> Option<IndexMap<String, MapInput>> {
        let mut inputs = IndexMap::new();
        let (mut size, mut too_big) = (1usize, false);
        for (name, entry) in self.mapping("expand", node)? {
            if what.closed().is_some_and(|operator| operator.arg(name).is_none()) {
                self.no_such_argument(name, entry.key, what);
                continue;
            }
            if let Some(input) = self.input_text(&entry.value, shared, implied) {
                inputs.insert(name.to_string(), input);
                continue;
            }
            let Some(length) = self.length(&entry.value) else {
                self.findings.error_help(
                    "invalid_expand",
                    entry.value.mark,
                    format!("`{name}` must be expanded over a list, a mapping or a task's result"),
                    Some("write `[a, b]`, or `task.output`".to_owned()),
                );
                continue;
            };
            size = size.saturating_mul(length);
            too_big |= size > self.max_map_length();
            let value = match (what.argument(name), self.items(&entry.value)) {
                (Some(kind @ (Kind::Text | Kind::TextOrList)), Some(items)) => {
                    Some(Value::Array(items.iter().filter_map(|item| self.argument(name, kind, item)).collect()))
                }
                _ => self.json(&entry.value),
            };
            inputs.extend(value.map(|value| (name.to_string(), MapInput::Literal(value))));
        }
        if too_big {
            self.too_many(*key, size);
        }
        if node.as_mapping().is_some_and(super::node::Mapping::is_empty) {
            self.nothing_to_map(*key, "expand");
        }
        Some(inputs)
    }

    /// A list of mappings, each a set of arguments.
    fn expand_kwargs(
        &self,
        Entry { key, value: node }: &Entry,
        what: Mapped,
        shared: &Shared<'_>,
        implied: &mut Vec<Dependency>,
    ) -> Option<IndexMap<String, MapInput>> {
        let one = |input| Some(IndexMap::from_iter([("kwargs".to_owned(), input)]));
        if let Some(input) = self.input_text(node, shared, implied) {
            return one(input);
        }
        let Some(items) = self.items(node) else {
            let help = "write `[{argument: value}, …]`, `task.output` or a template".to_owned();
            let message = "`expand_kwargs` goes through a list of mappings, or a task's result";
            self.findings.error_help("invalid_expand", node.mark, message, Some(help));
            return None;
        };
        if items.len() > self.max_map_length() {
            self.too_many(*key, items.len());
            return None;
        }
        for item in items {
            let Some(arguments) = item.as_mapping() else {
                self.findings.error("invalid_expand", item.mark, "every element of `expand_kwargs` is a mapping");
                return None;
            };
            for (name, entry) in arguments {
                if what.closed().is_some_and(|operator| operator.arg(name).is_none()) {
                    self.no_such_argument(name, entry.key, what);
                }
            }
        }
        one(MapInput::Literal(self.json(node)?))
    }

    fn foreach(
        &self,
        Entry { key, value: node }: &Entry,
        shared: &Shared<'_>,
        implied: &mut Vec<Dependency>,
    ) -> Option<IndexMap<String, MapInput>> {
        let input = match (self.input_text(node, shared, implied), node.as_text()) {
            (Some(input), _) => input,
            (None, Some(task)) => self.result_of(&Reference { task, key: "return_value" }, node.mark, shared, implied),
            (None, None) => match self.length(node) {
                None => {
                    let help = "write a list, a mapping, a template, or the name of a task".to_owned();
                    self.findings.error_help(
                        "invalid_expand",
                        node.mark,
                        "`foreach` needs something to go through",
                        Some(help),
                    );
                    return None;
                }
                Some(length) if length > self.max_map_length() => {
                    self.too_many(*key, length);
                    return None;
                }
                Some(_) => MapInput::Literal(self.json(node)?),
            },
        };
        Some(IndexMap::from_iter([("item".to_owned(), input)]))
    }

    fn matrix(&self, Entry { key, value: node }: &Entry) -> Option<IndexMap<String, MapInput>> {
        let (mut inputs, mut size) = (IndexMap::new(), 1usize);
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
            inputs.insert(name.to_string(), MapInput::Literal(self.json(&entry.value)?));
        }
        if size > self.max_map_length() {
            self.too_many(*key, size);
        }
        if inputs.is_empty() {
            self.nothing_to_map(*key, "matrix");
            return None;
        }
        Some(inputs)
    }

    /// A reference to a task's result, or a template; `None` for anything else.
    fn input_text(&self, node: &Node, shared: &Shared<'_>, implied: &mut Vec<Dependency>) -> Option<MapInput> {
        let text = node.as_text()?;
        if is_template(text) {
            return Some(MapInput::Template(text.to_owned()));
        }
        any_reference(text).map(|reference| self.result_of(&reference, node.mark, shared, implied))
    }

    fn result_of(
        &self,
        reference: &Reference<'_>,
        mark: Mark,
        shared: &Shared<'_>,
        implied: &mut Vec<Dependency>,
    ) -> MapInput {
        let XComArg { task_id, key } = self.xcom_arg(reference, mark, shared, implied);
        MapInput::XCom { task_id, key }
    }

    /// The result that a reference names, by the task's full id; the task comes into `implied`, where an unknown one is found.
    pub(super) fn xcom_arg(
        &self,
        reference: &Reference<'_>,
        mark: Mark,
        shared: &Shared<'_>,
        implied: &mut Vec<Dependency>,
    ) -> XComArg {
        if shared.group_names.contains(reference.task) {
            let message = format!("`{}` is a group, and only a task has a result", reference.task);
            self.findings.error_help("invalid_expand", mark, message, Some("name a task of the group".to_owned()));
        } else {
            implied.push((reference.task.to_owned(), mark));
        }
        let id = shared.ids.get(reference.task).copied().unwrap_or(reference.task);
        XComArg { task_id: id.into(), key: reference.key.to_owned() }
    }

    fn length(&self, node: &Node) -> Option<usize> {
        self.items(node).map(<[Node]>::len).or_else(|| node.as_mapping().map(super::node::Mapping::len))
    }

    fn no_such_argument(&self, name: &str, key: Mark, what: Mapped) {
        let known = what.closed().into_iter().flat_map(Operator::args).map(|arg| arg.name);
        let help = did_you_mean(name, known);
        self.findings.error_help("unknown_argument", key, format!("there is no argument `{name}` to expand"), help);
    }

    fn nothing_to_map(&self, key: Mark, form: &str) {
        let help = format!("write `{form}: {{name: [a, b]}}`");
        self.findings.error_help("invalid_expand", key, format!("`{form}` names nothing to go through"), Some(help));
    }

    fn max_map_length(&self) -> usize {
        self.settings.max_map_length as usize
    }

    fn too_many(&self, key: Mark, size: usize) {
        self.findings.error_help(
            "invalid_expand",
            key,
            format!("{size} instances; the limit is {}", self.max_map_length()),
            Some("split the work into several tasks, or let each instance do more".to_owned()),
        );
    }
}

/// A mapping as the file says it, by the word it is said with.
pub(super) fn describe(mapping: &Mapping) -> (&'static str, Value) {
    let word = FORMS.iter().find(|(_, kind)| *kind == mapping.kind).map_or("expand", |(word, _)| *word);
    let named = |input: &MapInput| match input {
        MapInput::Literal(value) => value.clone(),
        MapInput::XCom { task_id, key } => serde_json::json!({ "xcom": task_id, "key": key }),
        MapInput::Template(text) => Value::String(text.clone()),
    };
    let value = match (mapping.kind, mapping.inputs.first()) {
        (MappingKind::Foreach, Some((_, MapInput::XCom { task_id, key }))) if key == "return_value" => {
            Value::String(task_id.to_string())
        }
        (MappingKind::Foreach | MappingKind::ExpandKwargs, Some((_, input))) => named(input),
        _ => Value::Object(
            mapping.inputs.iter().map(|(name, input)| (name.clone(), named(input))).collect::<Map<_, _>>(),
        ),
    };
    (word, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_references_to_results() {
        for text in ["source.output", "XcomArg(source)", "XComArg('source')", "+source"] {
            assert_eq!(any_reference(text), Some(Reference { task: "source", key: "return_value" }), "{text}");
        }
        for text in ["+split['low']", "split.output[\"low\"]"] {
            assert_eq!(any_reference(text), Some(Reference { task: "split", key: "low" }), "{text}");
        }
        for text in ["just text", "a.outputs", "+", "+a[b", "XcomArg(a"] {
            assert_eq!(any_reference(text), None, "{text}");
        }
    }
}
