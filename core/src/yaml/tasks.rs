//! The tasks of a DAG together: what they share, their dependencies, the graph.

use std::cell::RefCell;

use chrono_tz::Tz;
use serde_json::{Value, json};

use super::{
    Context,
    base::{BASE, callback_of},
    dag::KEYS,
    groups::Members,
    node::{Entry, Mapping},
    suggest::did_you_mean,
    task::{Built, Shared},
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
        if let Some(entry) = own("secrets")
            && !secrets.is_empty()
        {
            self.not_supported(entry.key, "`secrets`");
        }
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
            searchpath: own("template_searchpath").map(|entry| self.searchpath(entry)).unwrap_or_default(),
            task_ids: members.tasks.iter().map(|task| task.id.as_str()).collect(),
            relative_dates: RefCell::default(),
            used_defaults: RefCell::default(),
        };
        if let Some(entry) = own("env") {
            self.template_node(&entry.value, &shared);
        }
        let mut dependencies = Vec::with_capacity(members.tasks.len());
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
                Some(Built { task, .. }) => dag.tasks.push(task),
                None => whole = false,
            }
        }
        dag.source_dates.extend(shared.relative_dates.take());
        let flow = own("flow").map(|entry| self.flow(&entry.value)).unwrap_or_default();
        let sequential = own("sequential").and_then(|entry| self.boolean("sequential", &entry.value)).unwrap_or(false);
        let edges = self.edges(members, dependencies, flow, sequential);
        edges.describe_groups(members, dag);
        self.unused_defaults(default_args, &shared, members);
        // A task without an operator is said already; the graph of the others would only repeat it.
        if whole {
            for index in 0..dag.tasks.len() {
                dag.tasks[index].upstream = edges.upstream_ids(index, &dag.tasks);
            }
            self.check_cycle(dag, members, &edges);
        }
    }

    fn unused_defaults(&self, default_args: Option<&Mapping>, shared: &Shared<'_>, members: &Members) {
        if members.tasks.is_empty() {
            return;
        }
        let used = shared.used_defaults.borrow();
        for (key, entry) in default_args.into_iter().flatten() {
            let known =
                BASE.contains(&&**key) || callback_of(key).is_some() || key.starts_with("x-") || &**key == "timezone";
            if !known && !used.contains(&**key) {
                let help = if KEYS.contains(&&**key) {
                    Some(format!("`{key}` is a key of the DAG; write it beside `default_args`"))
                } else {
                    did_you_mean(key, BASE.iter().copied())
                };
                self.findings.warning_help("unknown_key", entry.key, format!("no task of the DAG takes `{key}`"), help);
            }
        }
    }

    fn searchpath(&self, entry: &Entry) -> Vec<String> {
        let texts = match entry.value.as_text() {
            Some(text) => vec![text.to_owned()],
            None => self.texts("template_searchpath", &entry.value).unwrap_or_default(),
        };
        texts.iter().filter_map(|path| self.resolve(self.folder(), path)).collect()
    }
}
