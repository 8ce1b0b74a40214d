//! Task groups and the tasks in them, flattened: every task with its group, every group with its full id.

use std::{collections::HashMap, sync::Arc};

use super::{
    Context,
    findings::related,
    keys,
    node::{Mapping, Mark, Node},
    suggest::did_you_mean,
};
use crate::dag::TaskGroup;

/// Limits of one DAG, and of all DAGs of a file.
const MAX_TASKS: usize = 10_000;
const MAX_TASKS_OF_FILE: usize = 20_000;

/// A name in a `dependencies` list, and where it stands.
pub(super) type Dependency = (String, Mark);

pub(super) struct Group {
    pub(super) name: Arc<str>,
    pub(super) mark: Mark,
    pub(super) node: Node,
    pub(super) parent: Option<usize>,
    /// Full id, the parents' names before it.
    pub(super) id: String,
    pub(super) prefixes: bool,
    pub(super) dependencies: Vec<Dependency>,
    parent_name: Option<Dependency>,
}

/// A task as declared: its name in the file, its mapping, its group.
pub(super) struct Declared {
    pub(super) name: Arc<str>,
    pub(super) mark: Mark,
    pub(super) node: Node,
    pub(super) group: Option<usize>,
    /// Full id, group names before it.
    pub(super) id: String,
}

/// All groups (outer before inner) and tasks (the DAG's own before those inside groups) of a DAG.
#[derive(Default)]
pub(super) struct Members {
    pub(super) groups: Vec<Group>,
    pub(super) tasks: Vec<Declared>,
    /// Tasks in file order per container, for `sequential`.
    pub(super) sequences: Vec<Vec<usize>>,
}

/// Keys of a group that nothing acts on.
pub(super) const WITHOUT_EFFECT: &[&str] = &["ui_color", "ui_fgcolor", "add_suffix_on_collision", "doc_md"];

impl Context<'_> {
    /// Reads `tasks` and `task_groups` of a DAG's mapping.
    pub(super) fn members(&self, dag: &Mapping) -> Members {
        let mut members = Members::default();
        if let Some(tasks) = dag.get("tasks") {
            self.collect_tasks(&tasks.value, None, &mut members);
        }
        let has_groups = dag.contains_key("task_groups");
        if let Some(groups) = dag.get("task_groups") {
            self.collect_groups(&groups.value, None, &mut members);
        }
        self.adopt(&mut members, has_groups);
        self.name_groups(&mut members);
        self.name_tasks(&mut members);
        members
    }

    fn collect_tasks(&self, node: &Node, group: Option<usize>, members: &mut Members) {
        let mut sequence = Vec::new();
        for (name, entry) in self.mapping("tasks", node).into_iter().flatten() {
            sequence.push(members.tasks.len());
            members.tasks.push(Declared {
                name: name.clone(),
                mark: entry.key,
                node: entry.value.clone(),
                group,
                id: String::new(),
            });
        }
        members.sequences.push(sequence);
    }

    fn collect_groups(&self, node: &Node, parent: Option<usize>, members: &mut Members) {
        for (name, entry) in self.mapping("task_groups", node).into_iter().flatten() {
            let node = entry.value.clone();
            if node.as_mapping().is_none() && !node.is_null() {
                self.wrong_type(name, &node, "a group (a mapping)");
                continue;
            }
            for (key, entry) in node.as_mapping().into_iter().flatten() {
                if !keys::has(keys::GROUP, key) && !key.starts_with("x-") {
                    let help = did_you_mean(key, keys::names(keys::GROUP));
                    self.findings.error_help("unknown_argument", entry.key, format!("a group takes no `{key}`"), help);
                }
                if WITHOUT_EFFECT.contains(&&**key) {
                    self.without_effect(entry.key, &format!("`{key}` of a group"));
                }
            }
            let index = members.groups.len();
            let prefixes =
                node.get("prefix_group_id").and_then(|node| self.boolean("prefix_group_id", node)).unwrap_or(true);
            let parent_name =
                node.get("parent_group_name").and_then(|node| Some((node.as_text()?.to_owned(), node.mark)));
            let dependencies = self.dependencies(&node);
            members.groups.push(Group {
                name: name.clone(),
                mark: entry.key,
                parent,
                id: String::new(),
                prefixes,
                dependencies,
                parent_name,
                node: node.clone(),
            });
            if let Some(tasks) = node.get("tasks") {
                self.collect_tasks(tasks, Some(index), members);
            }
            if let Some(groups) = node.get("task_groups") {
                self.collect_groups(groups, Some(index), members);
            }
        }
    }

    /// `dependencies` and `depends_on`, united; a word is a list of one.
    pub(super) fn dependencies(&self, node: &Node) -> Vec<Dependency> {
        let mut result: Vec<Dependency> = Vec::new();
        for key in ["dependencies", "depends_on"] {
            let Some(value) = node.get(key) else { continue };
            let items = match self.items(value) {
                Some(items) => items,
                None if value.as_scalar().is_some() => std::slice::from_ref(value),
                None => {
                    self.wrong_type(key, value, "a task, or a list of tasks");
                    &[]
                }
            };
            for item in items {
                let Some(name) = self.text(key, item) else { continue };
                if !result.iter().any(|(known, _)| *known == name) {
                    result.push((name, item.mark));
                }
            }
        }
        result
    }

    /// Puts tasks and groups that name a group (`task_group_name`, `parent_group_name`) into it.
    fn adopt(&self, members: &mut Members, has_groups: bool) {
        let by_name: HashMap<Arc<str>, usize> =
            members.groups.iter().enumerate().map(|(index, group)| (group.name.clone(), index)).collect();
        let names = || by_name.keys().map(|name| &**name);
        for task in &mut members.tasks {
            let Some(node) = task.node.get("task_group_name") else { continue };
            let Some(name) = node.as_text() else { continue };
            match by_name.get(name) {
                Some(index) => task.group = Some(*index),
                None if has_groups => {
                    let message = format!("there is no group `{name}`");
                    self.findings.error_help("unknown_group", node.mark, message, did_you_mean(name, names()));
                }
                None => self.findings.warning_help(
                    "unknown_group",
                    node.mark,
                    format!("the DAG has no task groups, so `task_group_name: {name}` has no effect"),
                    Some("declare the group in `task_groups`".to_owned()),
                ),
            }
        }
        for index in 0..members.groups.len() {
            let Some((name, mark)) = members.groups[index].parent_name.clone() else { continue };
            if let Some(parent) = by_name.get(name.as_str()) {
                members.groups[index].parent = Some(*parent);
            } else {
                let message = format!("there is no group `{name}`");
                self.findings.error_help("unknown_group", mark, message, did_you_mean(&name, names()));
            }
        }
    }

    fn name_groups(&self, members: &mut Members) {
        for index in 0..members.groups.len() {
            let mut chain = vec![index];
            let mut at = index;
            while let Some(parent) = members.groups[at].parent {
                if chain.contains(&parent) {
                    let mut path: Vec<&str> = chain.iter().map(|&group| &*members.groups[group].name).collect();
                    path.push(&members.groups[parent].name);
                    let mark = members.groups[index]
                        .parent_name
                        .as_ref()
                        .map_or(members.groups[index].mark, |(_, mark)| *mark);
                    self.findings.error_help(
                        "group_cycle",
                        mark,
                        format!("the groups contain one another: {}", path.join(" → ")),
                        Some("a group has one parent, and the outermost has none".to_owned()),
                    );
                    for group in chain {
                        members.groups[group].parent = None;
                    }
                    break;
                }
                chain.push(parent);
                at = parent;
            }
        }
        let mut seen: HashMap<String, Mark> = HashMap::new();
        for index in 0..members.groups.len() {
            let id = full_id(members, members.groups[index].parent, &members.groups[index].name);
            let group = &mut members.groups[index];
            group.id = id;
            if let Some(bad) = bad_character(&group.name, false) {
                let message = format!("the group name `{}` has a {bad} in it", group.name);
                let help = "group names have letters, digits, `_` and `-`".to_owned();
                self.findings.error_help("invalid_task_id", group.mark, message, Some(help));
            }
            if let Some(first) = seen.insert(group.name.to_string(), group.mark) {
                self.duplicate(group.mark, first, format!("there are two groups `{}`", group.name));
            }
        }
    }

    fn name_tasks(&self, members: &mut Members) {
        // A file of many DAGs that inherit many tasks would multiply them.
        self.tasks.set(self.tasks.get() + members.tasks.len());
        if self.tasks.get() > MAX_TASKS_OF_FILE {
            let mark = members.tasks.first().map_or(Mark::start(0), |task| task.mark);
            let message = format!("the DAGs of the file have more than {MAX_TASKS_OF_FILE} tasks");
            self.findings.error("file_too_large", mark, message);
            members.tasks.clear();
            return;
        }
        let groups: HashMap<Arc<str>, Mark> =
            members.groups.iter().map(|group| (group.name.clone(), group.mark)).collect();
        let mut seen: HashMap<Arc<str>, Mark> = HashMap::new();
        for index in 0..members.tasks.len() {
            let (name, mark) = (members.tasks[index].name.clone(), members.tasks[index].mark);
            members.tasks[index].id = full_id(members, members.tasks[index].group, &name);
            let id = &members.tasks[index].id;
            if let Some(bad) = bad_character(&name, true) {
                let message = format!("the task id `{name}` has a {bad} in it");
                let help = "task ids have letters, digits, `_`, `-` and `.`".to_owned();
                self.findings.error_help("invalid_task_id", mark, message, Some(help));
            } else if id.chars().count() > 250 || name.is_empty() {
                self.findings.error("invalid_task_id", mark, "a task id has 1 to 250 characters, group names included");
            }
            if let Some(group) = groups.get(&name) {
                let (second, first) =
                    if (group.line, group.column) > (mark.line, mark.column) { (*group, mark) } else { (mark, *group) };
                self.duplicate(second, first, format!("`{name}` is a task and a group"));
            }
            if let Some(first) = seen.insert(name.clone(), mark) {
                self.duplicate(mark, first, format!("there are two tasks `{name}`; dependencies could name either"));
            }
        }
        if members.tasks.len() > MAX_TASKS {
            let mark = members.tasks[MAX_TASKS].mark;
            self.findings.error("invalid_value", mark, format!("a DAG has at most {MAX_TASKS} tasks"));
            members.tasks.truncate(MAX_TASKS);
        }
    }

    fn duplicate(&self, second: Mark, first: Mark, message: String) {
        let help = Some("names are unique in a DAG, whatever group they are in".to_owned());
        self.findings.error_related("duplicate_task_id", second, message, help, vec![related(first, "the first")]);
    }

    /// The group as the DAG keeps it.
    pub(super) fn task_group(&self, members: &Members, index: usize) -> TaskGroup {
        let group = &members.groups[index];
        let text = |key: &str| group.node.get(key).and_then(|node| self.text(key, node));
        TaskGroup {
            group_id: group.id.clone(),
            parent: group.parent.map(|parent| members.groups[parent].id.clone()),
            tooltip: text("tooltip").unwrap_or_default(),
            prefix_group_id: group.prefixes,
            display_name: text("group_display_name"),
            mapping: None,
            upstream_tasks: Vec::new(),
            downstream_tasks: Vec::new(),
            upstream_groups: Vec::new(),
            downstream_groups: Vec::new(),
        }
    }
}

/// The first character that may not stand in an id, in words.
pub(super) fn bad_character(id: &str, dots: bool) -> Option<String> {
    let bad = id.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-') || (dots && *c == '.')))?;
    Some(if bad == ' ' { "space".to_owned() } else { format!("`{bad}`") })
}

/// A name with its groups' names before it.
fn full_id(members: &Members, parent: Option<usize>, name: &str) -> String {
    let mut id = name.to_owned();
    let mut at = parent;
    // Airflow's `child_id`: a group that does not prefix gives its members its own name's prefix neither.
    while let Some(index) = at {
        let group = &members.groups[index];
        if !group.prefixes {
            break;
        }
        id = format!("{}.{id}", group.name);
        at = group.parent;
    }
    id
}
