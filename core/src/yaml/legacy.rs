//! What dag-factory wrote before 1.0, and list forms, rewritten into today's mappings with their marks kept.

use std::sync::Arc;

use super::{
    Context,
    node::{Content, Entry, Mapping, Mark, Node, Style},
};

/// Old DAG key → new one.
pub(super) const DAG_KEYS: &[(&str, &str)] = &[
    ("schedule_interval", "schedule"),
    ("timetable", "schedule"),
    ("concurrency", "max_active_tasks"),
    ("dagrun_timeout_sec", "dagrun_timeout"),
    ("dagrun_timeout_secs", "dagrun_timeout"),
];

/// Old key of tasks and `default_args` → new one.
pub(super) const TASK_KEYS: &[(&str, &str)] = &[
    ("retry_delay_sec", "retry_delay"),
    ("retry_delay_secs", "retry_delay"),
    ("max_retry_delay_sec", "max_retry_delay"),
    ("max_retry_delay_secs", "max_retry_delay"),
    ("execution_timeout_sec", "execution_timeout"),
    ("execution_timeout_secs", "execution_timeout"),
    ("execution_delta_sec", "execution_delta"),
    ("execution_delta_secs", "execution_delta"),
    ("task_concurrency", "max_active_tis_per_dag"),
];

impl Context<'_> {
    /// A DAG's mapping, or a `default` block's or `defaults.yml`'s, in today's form.
    pub(super) fn modernise(&self, node: &Node) -> Node {
        let Some(entries) = node.as_mapping() else { return node.clone() };
        let mut entries = self.rename(entries, DAG_KEYS);
        if let Some(args) = entries.get_mut("default_args") {
            args.value = self.modern_args(&args.value);
        }
        if let Some(tasks) = entries.get_mut("tasks") {
            tasks.value = self.modern_tasks(&tasks.value);
        }
        if let Some(groups) = entries.get_mut("task_groups") {
            groups.value = self.modern_groups(&groups.value);
        }
        Node::mapping(node.mark, entries)
    }

    fn modern_args(&self, node: &Node) -> Node {
        node.as_mapping()
            .map_or_else(|| node.clone(), |entries| Node::mapping(node.mark, self.rename(entries, TASK_KEYS)))
    }

    /// Tasks as a mapping by id, whatever form they had.
    fn modern_tasks(&self, node: &Node) -> Node {
        let mut result = Mapping::new();
        match &node.content {
            Content::Mapping(entries) => {
                for (id, entry) in entries.iter() {
                    result.insert(id.clone(), Entry { key: entry.key, value: self.modern_args(&entry.value) });
                }
            }
            Content::Sequence(items) => {
                for item in items.iter() {
                    let Some(id) = self.member_id(item, &["task_id", "id"], "task") else { continue };
                    self.insert_member(&mut result, id, self.modern_args(item), "duplicate_task_id", "task");
                }
            }
            Content::Scalar(_) => return node.clone(),
        }
        Node::mapping(node.mark, result)
    }

    fn modern_groups(&self, node: &Node) -> Node {
        let mut result = Mapping::new();
        match &node.content {
            Content::Mapping(entries) => {
                for (id, entry) in entries.iter() {
                    result.insert(id.clone(), Entry { key: entry.key, value: self.modern_group(&entry.value) });
                }
            }
            Content::Sequence(items) => {
                for item in items.iter() {
                    let Some(id) = self.member_id(item, &["group_name", "group_id"], "group") else { continue };
                    self.insert_member(&mut result, id, self.modern_group(item), "duplicate_task_id", "group");
                }
            }
            Content::Scalar(_) => return node.clone(),
        }
        Node::mapping(node.mark, result)
    }

    /// Recursion is bounded by the depth of the tree.
    fn modern_group(&self, node: &Node) -> Node {
        let Some(entries) = node.as_mapping() else { return node.clone() };
        let mut entries = entries.clone();
        if let Some(args) = entries.get_mut("default_args") {
            args.value = self.modern_args(&args.value);
        }
        if let Some(tasks) = entries.get_mut("tasks") {
            tasks.value = self.modern_tasks(&tasks.value);
        }
        if let Some(groups) = entries.get_mut("task_groups") {
            groups.value = self.modern_groups(&groups.value);
        }
        Node::mapping(node.mark, entries)
    }

    /// The id of a member of a list, and where it stands.
    fn member_id(&self, item: &Node, keys: &[&str], what: &str) -> Option<(Arc<str>, Mark)> {
        if item.as_mapping().is_none() {
            self.wrong_type(what, item, "a mapping");
            return None;
        }
        let found = keys.iter().find_map(|key| item.get(key)).and_then(|id| Some((Arc::from(id.as_text()?), id.mark)));
        if found.is_none() {
            self.findings.error_help(
                "missing_task_id",
                item.mark,
                format!("a {what} of a list needs a `{}`", keys[0]),
                Some(format!("add `{}: name`", keys[0])),
            );
        }
        found
    }

    fn insert_member(
        &self,
        into: &mut Mapping,
        (id, mark): (Arc<str>, Mark),
        value: Node,
        kind: &'static str,
        what: &str,
    ) {
        if let Some(first) = into.get(&id) {
            self.findings.error_related(
                kind,
                mark,
                format!("there are two {what}s `{id}`; the first is in line {}", first.key.line),
                Some("give one of them another name".to_owned()),
                vec![super::findings::related(first.key, "the first")],
            );
        } else {
            into.insert(id, Entry { key: mark, value });
        }
    }

    fn rename(&self, entries: &Mapping, table: &[(&str, &str)]) -> Mapping {
        let mut result = Mapping::with_capacity(entries.len());
        for (key, entry) in entries {
            let new = table.iter().find(|(old, _)| *old == &**key).map(|(_, new)| *new);
            let name = new.map_or_else(|| key.clone(), Arc::from);
            // A template of files writes both, one of them empty.
            if new.is_some_and(|new| entry.value.is_null() && entries.contains_key(new)) {
                continue;
            }
            if let Some(first) = result.get(&name) {
                let first: &Entry = first;
                self.findings.error_related(
                    "conflicting_keys",
                    entry.key,
                    format!("`{key}` says again what line {} says", first.key.line),
                    Some(format!("keep only `{name}`")),
                    vec![super::findings::related(first.key, "the first")],
                );
                continue;
            }
            if let Some(new) = new {
                self.findings.warning_help(
                    "deprecated_key",
                    entry.key,
                    format!("`{key}` is the old name of `{new}`"),
                    Some(format!("write `{new}`")),
                );
            }
            let mut entry = entry.clone();
            // dag-factory made a timedelta of the old keys' seconds.
            if new.is_some() && key.contains("_sec") && entry.value.as_text().is_some() {
                entry.value = timedelta(&entry.value);
            }
            result.insert(name, entry);
        }
        result
    }
}

/// `{__type__: datetime.timedelta, seconds: …}` in place of a number.
fn timedelta(seconds: &Node) -> Node {
    let mark = seconds.mark;
    let path = Node::scalar(mark, "datetime.timedelta", Style::Quoted);
    let entries = [("__type__", path), ("seconds", seconds.clone())];
    Node::mapping(mark, entries.into_iter().map(|(key, value)| (Arc::from(key), Entry { key: mark, value })).collect())
}
