//! The long form of a file: every short form written out, every default in its place, each value with the line it came from.

use std::cell::RefCell;

use super::{
    Context, Files, Settings,
    base::is_base,
    callbacks::{callback_of, is_notification},
    choose::Chosen,
    emit::{self, Emitter},
    groups::{Declared, Dependency, Members},
    layout::Source,
    mapped::FORMS,
    node::{Mapping, Mark, Node, Style},
    task::Lookup,
};
use crate::{diagnostic::Diagnostic, operator::OperatorKind};

/// Keys of a DAG that its tasks and groups say in the long form.
const SAID_BY_TASKS: &[&str] =
    &["tasks", "task_groups", "default_args", "flow", "sequential", "include", "default", "dag_id", "vars"];

/// Keys of a task that the long form says with other words.
const SAID_ANEW: &[&str] = &["operator", "task_id", "id", "dependencies", "depends_on", "task_group_name"];

/// Keys of a group likewise.
const SAID_OF_GROUPS: &[&str] = &[
    "dependencies",
    "depends_on",
    "parent_group_name",
    "default_args",
    "tasks",
    "task_groups",
    "group_name",
    "group_id",
];

/// What is noted down while a file is loaded to be explained.
#[derive(Default)]
pub(super) struct Trace {
    /// Per task and per group of the DAG at hand: what it depends on, by the names in the file, and where that is said.
    pub(super) tasks: Vec<Vec<Dependency>>,
    pub(super) groups: Vec<Vec<Dependency>>,
    /// The long forms so far.
    documents: Vec<String>,
}

/// A file in its long form: YAML that loads as the same DAGs, with a comment on each line that says where its value stands.
/// DAGs with errors are left out; the findings say why.
pub fn explain(path: &str, bytes: &[u8], files: &dyn Files, settings: &Settings) -> (String, Vec<Diagnostic>) {
    let mut context = Context::new(path, files, settings);
    context.trace = Some(RefCell::default());
    context.load(bytes);
    let documents = context.trace.take().map(|trace| trace.into_inner().documents).unwrap_or_default();
    (documents.concat(), context.findings.into_sorted())
}

impl Context<'_> {
    /// Writes the long form of a DAG whose defaults are merged, if anybody wants it. `begins`: it is the first of its document.
    pub(super) fn explain_dag(&self, source: &Source, begins: bool) {
        let Some(trace) = &self.trace else { return };
        let empty = Mapping::new();
        let entries = source.node.as_mapping().unwrap_or(&empty);
        let members = self.members(entries);
        let mut out = Emitter::default();
        if begins && !trace.borrow().documents.is_empty() {
            out.line(0, "---", None);
        }
        let indent = if source.native {
            out.entry(0, "dag_id", &Node::scalar(source.mark, source.dag_id.as_str(), Style::Quoted), source.mark);
            0
        } else {
            out.entry(0, &source.dag_id, &Node::mapping(source.mark, Mapping::new()), source.mark);
            if let Some(line) = out.lines.last_mut() {
                line.text = line.text.replace(" {}", "");
            }
            2
        };
        for (key, entry) in
            entries.iter().filter(|(key, _)| !SAID_BY_TASKS.contains(&&***key) && !key.starts_with("x-"))
        {
            out.entry(indent, key, &entry.value, entry.key);
        }
        if !members.groups.is_empty() {
            out.line(indent, "task_groups:", None);
        }
        for index in 0..members.groups.len() {
            Self::explain_group(&mut out, indent + 2, &members, index, &trace.borrow().groups[index]);
        }
        out.line(indent, if members.tasks.is_empty() { "tasks: {}" } else { "tasks:" }, None);
        let default_args = entries.get("default_args").and_then(|entry| entry.value.as_mapping());
        for (declared, dependencies) in members.tasks.iter().zip(&trace.borrow().tasks) {
            self.explain_task(&mut out, indent + 2, &members, declared, default_args, dependencies);
        }
        let text = out.into_text(|file| self.findings.other_file(file));
        trace.borrow_mut().documents.push(text);
    }

    fn explain_group(out: &mut Emitter, indent: usize, members: &Members, index: usize, dependencies: &[Dependency]) {
        let group = &members.groups[index];
        out.entry(indent, &group.name, &Node::scalar(group.mark, "", Style::Plain), group.mark);
        let indent = indent + 2;
        let start = out.lines.len();
        for (key, entry) in group.node.as_mapping().into_iter().flatten() {
            if !SAID_OF_GROUPS.contains(&&**key) && !key.starts_with("x-") {
                out.entry(indent, key, &entry.value, entry.key);
            }
        }
        if let Some(parent) = group.parent {
            let name = Node::scalar(group.mark, members.groups[parent].name.clone(), Style::Quoted);
            out.entry(indent, "parent_group_name", &name, group.mark);
        }
        depends_on(out, indent, dependencies);
        if out.lines.len() == start
            && let Some(line) = out.lines.last_mut()
        {
            line.text.push_str(" {}");
        }
    }

    fn explain_task(
        &self,
        out: &mut Emitter,
        indent: usize,
        members: &Members,
        declared: &Declared,
        default_args: Option<&Mapping>,
        dependencies: &[Dependency],
    ) {
        let empty = Mapping::new();
        let entries = declared.node.as_mapping().unwrap_or(&empty);
        let Some(chosen) = self.choose(declared, entries) else { return };
        let own = self.flatten(entries, &chosen);
        let defaults = self.defaults_of(declared, members, default_args);
        out.entry(indent, &declared.name, &Node::scalar(declared.mark, "", Style::Plain), declared.mark);
        let indent = indent + 2;
        if !chosen.decorated {
            let class = Node::scalar(chosen.mark, chosen.class.as_str(), Style::Quoted);
            out.entry(indent, "operator", &class, chosen.mark);
        }
        let partial = own.get("partial").and_then(|entry| entry.value.as_mapping());
        for (key, entry) in &own {
            let in_partial = partial.is_some_and(|partial| partial.contains_key(key));
            if !SAID_ANEW.contains(&&**key) && !in_partial && !key.starts_with("x-") {
                out.entry(indent, key, &entry.value, entry.key);
            }
        }
        let appends = chosen.short && chosen.operator.is_some_and(|operator| operator.kind == OperatorKind::Bash);
        if appends && !own.contains_key("append_env") {
            out.line(indent, "append_env: true", Some(chosen.mark));
        }
        let lookup = Lookup { own: &own, defaults };
        inherited(out, indent, &lookup, &chosen);
        if let Some(group) = declared.group {
            let name = Node::scalar(declared.mark, members.groups[group].name.clone(), Style::Quoted);
            out.entry(indent, "task_group_name", &name, declared.mark);
        }
        depends_on(out, indent, dependencies);
    }
}

/// What a task takes from `default_args` of its groups and its DAG.
fn inherited(out: &mut Emitter, indent: usize, lookup: &Lookup<'_>, chosen: &Chosen) {
    let mut seen: Vec<&str> = Vec::new();
    for (key, entry) in lookup.defaults.iter().copied().flatten() {
        let base = callback_of(key);
        // One form of a callback hides the others.
        let own = lookup.own.contains_key(key)
            || base.is_some_and(|base| lookup.own.keys().any(|key| callback_of(key) == Some(base)));
        let taken = is_base(key)
            || base.is_some()
            || is_notification(key)
            || chosen.operator.is_some_and(|operator| operator.arg(key).is_some());
        let maps =
            FORMS.iter().any(|(form, _)| lookup.own.get(*form).is_some_and(|entry| entry.value.get(key).is_some()));
        if !own && taken && !maps && !seen.contains(&&**key) {
            out.entry(indent, key, &entry.value, entry.key);
            seen.push(key);
        }
    }
}

fn depends_on(out: &mut Emitter, indent: usize, dependencies: &[Dependency]) {
    let node = |(name, mark): &(String, Mark)| Node::scalar(*mark, name.as_str(), Style::Quoted);
    match dependencies {
        [] => {}
        [one] => out.line(indent, format!("dependencies: [{}]", emit::flow(&node(one))), Some(one.1)),
        many => {
            out.line(indent, "dependencies:", None);
            for one in many {
                out.line(indent + 2, format!("- {}", emit::flow(&node(one))), Some(one.1));
            }
        }
    }
}
