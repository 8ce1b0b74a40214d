//! `setup` and `teardown`: tasks that make and clean up what others work with.

use std::collections::HashMap;

use super::{
    Context,
    findings::related,
    groups::{Declared, Dependency, Members},
    node::{Content, Mapping, Mark},
    task::Lookup,
};
use crate::{
    dag::{Dag, MapInput, Task, TriggerRule},
    mapping,
};

impl Context<'_> {
    /// Reads `setup`, `teardown` and `on_failure_fail_dagrun` of a task. `teardown: [names]` names its setups: they come into
    /// `implied`, and into what this returns, to be marked as setups.
    pub(super) fn setup_and_teardown(
        &self,
        task: &mut Task,
        lookup: &Lookup<'_>,
        implied: &mut Vec<Dependency>,
    ) -> Vec<Dependency> {
        let own = lookup.own;
        task.is_setup = own.get("setup").and_then(|entry| self.boolean("setup", &entry.value)).unwrap_or(false);
        let setups = self.teardown(task, own);
        implied.extend(setups.iter().cloned());
        if let Some(entry) = own.get("on_failure_fail_dagrun") {
            task.on_failure_fail_dagrun = self.boolean("on_failure_fail_dagrun", &entry.value).unwrap_or(false);
            if task.on_failure_fail_dagrun && !task.is_teardown {
                let help = "add `teardown: true`, or remove it: the failure of any other task fails the run by itself";
                self.findings.error_help(
                    "invalid_value",
                    entry.key,
                    format!("`on_failure_fail_dagrun` is for teardowns, and `{}` is none", task.task_id),
                    Some(help.to_owned()),
                );
            }
        }
        if !task.is_teardown {
            return setups;
        }
        if task.is_setup {
            let (setup, teardown) = (own["setup"].key, own["teardown"].key);
            let message = format!("`{}` cannot be both a setup and a teardown", task.task_id);
            let help = "make two tasks of it".to_owned();
            self.findings.error_related(
                "conflicting_keys",
                teardown,
                message,
                Some(help),
                vec![related(setup, "the setup")],
            );
        }
        if let Some(entry) = own.get("trigger_rule")
            && task.trigger_rule != TriggerRule::AllDoneSetupSuccess
        {
            self.findings.error_help(
                "invalid_trigger_rule",
                entry.value.mark,
                "the trigger rule of a teardown is `all_done_setup_success` and cannot be another",
                Some("remove `trigger_rule`".to_owned()),
            );
        }
        task.trigger_rule = TriggerRule::AllDoneSetupSuccess;
        setups
    }

    /// `teardown: true`, or the name of its setup, or a list of names.
    fn teardown(&self, task: &mut Task, own: &Mapping) -> Vec<Dependency> {
        let Some(entry) = own.get("teardown") else { return Vec::new() };
        if let Content::Scalar(scalar) = &entry.value.content
            && let Some(flag) = super::scalar::as_bool(&scalar.text)
        {
            task.is_teardown = flag;
            return Vec::new();
        }
        if entry.value.is_null() {
            return Vec::new();
        }
        task.is_teardown = true;
        let items = match self.items(&entry.value) {
            Some(items) => items,
            None if entry.value.as_scalar().is_some() => std::slice::from_ref(&entry.value),
            None => {
                self.wrong_type("teardown", &entry.value, "true, a setup's name, or a list of names");
                &[]
            }
        };
        items.iter().filter_map(|item| Some((self.text("teardown", item)?, item.mark))).collect()
    }

    /// Marks the tasks that teardowns name as their setups. `setups` is per task.
    pub(super) fn mark_setups(&self, dag: &mut Dag, members: &Members, setups: &[Vec<Dependency>]) {
        let by_name: HashMap<&str, usize> =
            members.tasks.iter().enumerate().map(|(index, declared)| (&*declared.name, index)).collect();
        for (name, mark) in setups.iter().flatten() {
            let Some(&index) = by_name.get(name.as_str()) else {
                if members.groups.iter().any(|group| *group.name == **name) {
                    let message = format!("`{name}` is a group, and only a task can be a setup");
                    self.findings.error("invalid_value", *mark, message);
                }
                continue;
            };
            if dag.tasks[index].is_teardown {
                let message = format!("`{name}` is a teardown, and cannot be the setup of another");
                self.findings.error("conflicting_keys", *mark, message);
            } else {
                dag.tasks[index].is_setup = true;
            }
        }
    }

    /// The rules that hold for the whole DAG: what follows a setup has the rule `all_success`, and so has everything under
    /// `fail_fast`; teardowns excepted. What is mapped over a result cannot run `always` (Airflow refuses it, too).
    pub(super) fn check_rules(&self, dag: &Dag, members: &Members, fail_fast: Option<Mark>) {
        for (index, declared) in members.tasks.iter().enumerate() {
            let task = &dag.tasks[index];
            if task.is_teardown || task.trigger_rule == TriggerRule::AllSuccess {
                continue;
            }
            if task.trigger_rule == TriggerRule::Always && waits_for_its_mapping(dag, task) {
                let message = format!(
                    "`{}` has as many instances as a result says, and so cannot start `always`, before the result is there",
                    task.task_id
                );
                self.rule(declared, message, "write `all_done`, or map over a list");
                continue;
            }
            let setup = dag.upstream(index).find(|&upstream| dag.tasks[upstream].is_setup);
            if let Some(setup) = setup {
                let setup = &dag.tasks[setup].task_id;
                let message =
                    format!("`{}` follows the setup `{setup}`, so its trigger rule is `all_success`", task.task_id);
                self.rule(declared, message, "remove `trigger_rule`, or make the task a teardown");
            } else if fail_fast.is_some() {
                let message = format!(
                    "under `fail_fast` every trigger rule is `all_success`, and that of `{}` is not",
                    task.task_id
                );
                self.rule(declared, message, "remove the trigger rule, or `fail_fast`");
            }
        }
    }

    fn rule(&self, declared: &Declared, message: String, help: &str) {
        let mark = declared.node.get("trigger_rule").map_or(declared.mark, |node| node.mark);
        self.findings.in_task(&declared.id, || {
            self.findings.error_help("invalid_trigger_rule", mark, message, Some(help.to_owned()));
        });
    }
}

/// Whether the number of a task's instances is known only when upstreams ended.
fn waits_for_its_mapping(dag: &Dag, task: &Task) -> bool {
    mapping::of_task(dag, task)
        .is_some_and(|(mapping, _)| mapping.inputs.values().any(|input| !matches!(input, MapInput::Literal(_))))
}
