//! The tasks of a DAG together: what they share, their dependencies, the graph.

use std::cell::RefCell;

use chrono_tz::Tz;
use serde_json::{Value, json};

use super::{
    Context,
    base::{base_names, is_base},
    callbacks::{OF_RUNS, callback_of, is_notification},
    graph::Said,
    groups::{Dependency, Members},
    keys,
    mapped::{FORMS, Mapped},
    node::Mapping,
    suggest::did_you_mean,
    task::Shared,
    values::Zone,
};
use crate::dag::Dag;

impl Context<'_> {
    /// Reads every declared task into the DAG and connects them.
    pub(super) fn tasks(
        &self,
        dag: &mut Dag,
        entries: &Mapping,
        members: &Members,
        zone: Zone,
        default_args: Option<&Mapping>,
    ) {
        let own = |name: &str| entries.get(name);
        let secrets = own("secrets").map(|entry| self.secrets(&entry.value)).unwrap_or_default();
        let env: Vec<(String, String)> = own("env").map(|entry| self.environment(&entry.value)).unwrap_or_default();
        if !env.is_empty() {
            dag.extra.insert(
                "env".to_owned(),
                Value::Object(env.iter().map(|(name, text)| (name.clone(), json!(text))).collect()),
            );
        }
        let shared = Shared {
            zone: default_args
                .and_then(|args| args.get("timezone"))
                .and_then(|entry| self.timezone("timezone", &entry.value))
                .map_or(zone, |own: Tz| Zone { zone: own, ..zone }),
            default_args,
            start_date: dag.start_date,
            end_date: dag.end_date,
            env: env.into_iter().collect(),
            secrets,
            worker_selector: own("worker_selector")
                .map(|entry| self.selector(&entry.value))
                .unwrap_or_default()
                .into_iter()
                .collect(),
            members,
            searchpath: dag.template_searchpath.clone(),
            task_ids: members.tasks.iter().map(|task| task.id.as_str()).collect(),
            ids: members.tasks.iter().map(|task| (&*task.name, task.id.as_str())).collect(),
            group_names: members.groups.iter().map(|group| &*group.name).collect(),
            relative_dates: RefCell::default(),
            used_defaults: RefCell::default(),
        };
        if let Some(entry) = own("env") {
            self.template_node(&entry.value, &shared);
        }
        dag.callbacks = self.callbacks(OF_RUNS, &own);
        for name in ["on_success", "on_failure", "deadline"] {
            if let Some(entry) = own(name) {
                self.template_node(&entry.value, &shared);
            }
        }
        let group_dependencies = self.mapped_groups(dag, &shared);
        let mut dependencies = Vec::with_capacity(members.tasks.len());
        let mut setups = Vec::with_capacity(members.tasks.len());
        let mut whole = true;
        for declared in &members.tasks {
            let built = self.findings.in_task(&declared.id, || {
                let mut names = self.dependencies(&declared.node);
                let built = self.task(declared, &shared);
                for implied in built.iter().flat_map(|built| &built.implied) {
                    if !names.iter().any(|(name, _)| *name == implied.0) {
                        names.push(implied.clone());
                    }
                }
                dependencies.push(names);
                built
            });
            match built {
                Some(built) => {
                    dag.tasks.push(built.task);
                    setups.push(built.setups);
                }
                None => whole = false,
            }
        }
        dag.source_dates.extend(shared.relative_dates.take());
        let flow = own("flow").map(|entry| self.flow(&entry.value)).unwrap_or_default();
        let sequential = own("sequential").and_then(|entry| self.boolean("sequential", &entry.value)).unwrap_or(false);
        let said = Said { tasks: dependencies, groups: group_dependencies, flow, sequential };
        if whole {
            self.mark_setups(dag, members, &setups);
        }
        let edges = self.edges(members, said, if whole { &dag.tasks } else { &[] });
        edges.describe_groups(members, dag);
        self.unused_defaults(default_args, &shared, members);
        // A task without an operator is said already; the graph of the others would only repeat it.
        if whole {
            for index in 0..dag.tasks.len() {
                dag.tasks[index].upstream = edges.upstream_ids(index, &dag.tasks);
            }
            self.check_cycle(dag, members, &edges);
            let fail_fast = own("fail_fast").filter(|_| dag.fail_fast).map(|entry| entry.key);
            self.check_rules(dag, members, fail_fast);
        }
    }

    /// Reads the mappings of groups, and checks that nothing in a mapped group is mapped again. Gives the dependencies of every
    /// group, those that its mapping implies among them.
    fn mapped_groups(&self, dag: &mut Dag, shared: &Shared<'_>) -> Vec<Vec<Dependency>> {
        let members = shared.members;
        let form = |node: &super::node::Node| {
            let entries = node.as_mapping()?;
            FORMS.iter().find_map(|(key, _)| entries.get(*key).map(|entry| entry.key))
        };
        let mut dependencies = Vec::with_capacity(members.groups.len());
        for group in &members.groups {
            let mut names = group.dependencies.clone();
            if let Some(entries) = group.node.as_mapping()
                && form(&group.node).is_some()
            {
                let mut implied = Vec::new();
                let mapping = self.mapping_of(entries, Mapped::Group, shared, &mut implied);
                for found in implied {
                    if !names.iter().any(|(name, _)| *name == found.0) {
                        names.push(found);
                    }
                }
                for (key, _) in FORMS {
                    if let Some(entry) = entries.get(*key) {
                        self.template_node(&entry.value, shared);
                    }
                }
                if let Some(found) = dag.task_groups.get_mut(&group.id) {
                    found.mapping = mapping;
                }
            }
            dependencies.push(names);
        }
        let around = |parent: Option<usize>| {
            let mut at = parent;
            while let Some(index) = at {
                if form(&members.groups[index].node).is_some() {
                    return Some(&members.groups[index].name);
                }
                at = members.groups[index].parent;
            }
            None
        };
        let groups = members.groups.iter().map(|group| (&group.node, group.parent, "group", &group.name));
        let tasks = members.tasks.iter().map(|task| (&task.node, task.group, "task", &task.name));
        for (node, parent, what, name) in groups.chain(tasks) {
            if let (Some(key), Some(outer)) = (form(node), around(parent)) {
                let message = format!("the {what} `{name}` is in the group `{outer}`, which is mapped already");
                let help = "map one of the two; a task can go through a list by itself".to_owned();
                self.findings.error_help("invalid_expand", key, message, Some(help));
            }
        }
        dependencies
    }

    fn unused_defaults(&self, default_args: Option<&Mapping>, shared: &Shared<'_>, members: &Members) {
        if members.tasks.is_empty() {
            return;
        }
        let used = shared.used_defaults.borrow();
        for (key, entry) in default_args.into_iter().flatten() {
            let known = is_base(key)
                || callback_of(key).is_some()
                || is_notification(key)
                || key.starts_with("x-")
                || &**key == "timezone";
            if !known && !used.contains(&**key) {
                let help = if keys::has(keys::DAG, key) {
                    Some(format!("`{key}` is a key of the DAG; write it beside `default_args`"))
                } else {
                    did_you_mean(key, base_names())
                };
                self.findings.warning_help("unknown_key", entry.key, format!("no task of the DAG takes `{key}`"), help);
            }
        }
    }
}
