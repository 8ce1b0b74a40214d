//! `ExternalTaskSensor`: a run of another DAG, or tasks of it, waited for (Airflow 3: `sensors/external_task.py`).

use chrono::{DateTime, TimeDelta, Utc};

use super::{BadArguments, Look, WaitingFor, branch::is_in_group, sensor::Found};
use crate::{
    dag::Dag,
    operator::ExternalTaskArgs,
    state::{DagRunState, TaskInstanceState},
};

/// What a sensor waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub dag_id: String,
    /// Of the run that is meant.
    pub logical_date: DateTime<Utc>,
    pub what: What,
    allowed: Vec<String>,
    failed: Vec<String>,
    skipped: Vec<String>,
    check_existence: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Run,
    Tasks(Vec<String>),
    Group(String),
}

/// What the database says about a target.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// The other DAG's version: that of the run, or the latest where there is no run. `None`: there is no such DAG.
    pub dag: Option<&'a Dag>,
    pub run: Option<DagRunState>,
    /// Every instance of the run: task and state.
    pub tasks: &'a [(String, TaskInstanceState)],
}

/// Reads the arguments. The date is the run's own, less `execution_delta`; a run without a logical date has its `run_after`.
pub fn target(look: &Look<'_>) -> Result<Target, BadArguments> {
    let args: ExternalTaskArgs = look.arguments()?;
    let task_ids: Vec<String> = args.task_ids().map(str::to_owned).collect();
    let group = args.external_task_group_id.filter(|id| !id.is_empty());
    let what = match (group, task_ids.is_empty()) {
        (Some(_), false) => {
            let text = "only one of `external_task_id`, `external_task_ids` and `external_task_group_id` may be given";
            return Err(BadArguments(text.to_owned()));
        }
        (Some(group), true) => What::Group(group),
        (None, false) => What::Tasks(task_ids),
        (None, true) => What::Run,
    };
    for state in args.allowed_states.iter().chain(&args.failed_states).chain(&args.skipped_states) {
        let known = match what {
            What::Run => state.parse::<DagRunState>().is_ok(),
            What::Tasks(_) | What::Group(_) => state.parse::<TaskInstanceState>().is_ok(),
        };
        if !known {
            let of = if what == What::Run { "DAG run" } else { "task" };
            return Err(BadArguments(format!("`{state}` is no state of a {of}")));
        }
    }
    let delta = args.execution_delta.map(TimeDelta::from_std).transpose();
    let date = delta.ok().and_then(|delta| look.date().checked_sub_signed(delta.unwrap_or_default()));
    let logical_date = date.ok_or_else(|| BadArguments("`execution_delta` leads out of the calendar".to_owned()))?;
    Ok(Target {
        dag_id: args.external_dag_id,
        logical_date,
        what,
        allowed: args.allowed_states,
        failed: args.failed_states,
        skipped: args.skipped_states,
        check_existence: args.check_existence,
    })
}

/// What is found: a state that fails it counts before one that skips it, and either needs one task only; allowed states must be
/// those of every instance of every task.
pub fn found(target: &Target, facts: &Facts<'_>) -> Found {
    let dag_id = &target.dag_id;
    if target.check_existence
        && let Some(missing) = missing(target, facts)
    {
        return Found::Failed(missing);
    }
    let waiting_for = WaitingFor::ExternalTask {
        dag_id: dag_id.clone(),
        logical_date: target.logical_date,
        task_ids: if let What::Tasks(ids) = &target.what { ids.clone() } else { Vec::new() },
        task_group_id: if let What::Group(id) = &target.what { Some(id.clone()) } else { None },
    };
    let not_yet = Found::NotYet { waiting_for, at: None };
    let states: Vec<(Option<&str>, &str)> = match &target.what {
        What::Run => facts.run.iter().map(|state| (None, state.as_str())).collect(),
        What::Tasks(ids) => instances(facts, |id| ids.iter().any(|wanted| wanted == id)),
        What::Group(group) => instances(facts, |id| in_group(facts, id, group)),
    };
    let within = |states: &[String], state: &str| states.iter().any(|known| known == state);
    if let Some((task, state)) = states.iter().find(|(_, state)| within(&target.failed, state)) {
        return Found::Failed(match task {
            Some(task) => format!("task `{task}` of DAG `{dag_id}` is {state}"),
            None => format!("the run of DAG `{dag_id}` is {state}"),
        });
    }
    if states.iter().any(|(_, state)| within(&target.skipped, state)) {
        return Found::Skipped;
    }
    let complete = match &target.what {
        What::Tasks(ids) => ids.iter().all(|id| states.iter().any(|(task, _)| *task == Some(id))),
        What::Run | What::Group(_) => !states.is_empty(),
    };
    if complete && states.iter().all(|(_, state)| within(&target.allowed, state)) { Found::Yes } else { not_yet }
}

fn instances<'a>(facts: &Facts<'a>, wanted: impl Fn(&str) -> bool) -> Vec<(Option<&'a str>, &'a str)> {
    let of = facts.tasks.iter().filter(|(task, state)| wanted(task) && *state != TaskInstanceState::Removed);
    of.map(|(task, state)| (Some(task.as_str()), state.as_str())).collect()
}

fn in_group(facts: &Facts<'_>, task_id: &str, group: &str) -> bool {
    facts
        .dag
        .is_some_and(|dag| dag.task(task_id).is_some_and(|task| is_in_group(dag, task.task_group.as_deref(), group)))
}

/// What `check_existence` does not find, in a sentence.
fn missing(target: &Target, facts: &Facts<'_>) -> Option<String> {
    let dag_id = &target.dag_id;
    let Some(dag) = facts.dag else { return Some(format!("there is no DAG `{dag_id}`")) };
    match &target.what {
        What::Run => None,
        What::Tasks(ids) => {
            ids.iter().find(|id| dag.index_of(id).is_none()).map(|id| format!("DAG `{dag_id}` has no task `{id}`"))
        }
        What::Group(group) => {
            (!dag.task_groups.contains_key(group)).then(|| format!("DAG `{dag_id}` has no task group `{group}`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use TaskInstanceState as S;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        dag::{Task, TaskGroup},
        operator::OperatorKind,
        triggerer::testing::{Scene, at},
    };

    fn target_of(args: Value) -> Result<Target, BadArguments> {
        let mut all = json!({"external_dag_id": "other"});
        all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        Scene::new(OperatorKind::ExternalTaskSensor).look_with(all, target)
    }

    fn other() -> Dag {
        let mut dag = Dag::new("other");
        let group = |parent: Option<&str>| TaskGroup {
            group_id: String::new(),
            parent: parent.map(str::to_owned),
            tooltip: String::new(),
            prefix_group_id: true,
            display_name: None,
            upstream_tasks: vec![],
            mapping: None,
            downstream_tasks: vec![],
            upstream_groups: vec![],
            downstream_groups: vec![],
        };
        dag.task_groups.insert("g".into(), group(None));
        dag.task_groups.insert("g.inner".into(), group(Some("g")));
        for (id, group) in [("a", None), ("b", None), ("g.inner.c", Some("g.inner"))] {
            let mut task = Task::new(id, OperatorKind::Bash, "x.BashOperator");
            task.task_group = group.map(str::to_owned);
            dag.tasks.push(task);
        }
        dag
    }

    fn kind(found: &Found) -> &'static str {
        match found {
            Found::Yes => "yes",
            Found::NotYet { .. } => "not yet",
            Found::Failed(_) => "failed",
            Found::Skipped => "skipped",
        }
    }

    #[test]
    fn the_date_is_the_runs_own_less_the_delta() {
        assert_eq!(target_of(json!({})).unwrap().logical_date, at("2026-01-01T00:00:00Z"));
        let earlier = target_of(json!({"execution_delta": 3600})).unwrap();
        assert_eq!(earlier.logical_date, at("2025-12-31T23:00:00Z"));
    }

    #[test]
    fn arguments_that_contradict_each_other_are_refused() {
        assert!(target_of(json!({"external_task_id": "a", "external_task_group_id": "g"})).is_err());
        assert!(target_of(json!({"allowed_states": ["skipped"]})).is_err(), "no state of a run");
        assert!(target_of(json!({"external_task_id": "a", "allowed_states": ["skipped"]})).is_ok());
    }

    #[test]
    fn failing_states_count_before_skipping_ones_and_allowed_ones_must_be_everybodys() {
        let tasks =
            json!({"external_task_ids": ["a", "b"], "failed_states": ["failed"], "skipped_states": ["skipped"]});
        let group = json!({"external_task_group_id": "g"});
        type Row<'a> = (&'a Value, &'a [(&'a str, S)], &'a str);
        let table: [Row<'_>; 9] = [
            (&tasks, &[], "not yet"),
            (&tasks, &[("a", S::Success)], "not yet"),
            (&tasks, &[("a", S::Success), ("b", S::Running)], "not yet"),
            (&tasks, &[("a", S::Success), ("b", S::Success)], "yes"),
            (&tasks, &[("a", S::Success), ("b", S::Success), ("b", S::Queued)], "not yet"),
            (&tasks, &[("a", S::Skipped), ("b", S::Failed)], "failed"),
            (&tasks, &[("a", S::Skipped), ("b", S::Running)], "skipped"),
            (&group, &[("a", S::Failed), ("g.inner.c", S::Success)], "yes"),
            (&group, &[("a", S::Success)], "not yet"),
        ];
        let dag = other();
        for (args, tasks, expected) in table {
            let tasks: Vec<_> = tasks.iter().map(|(id, state)| ((*id).to_owned(), *state)).collect();
            let facts = Facts { dag: Some(&dag), run: Some(DagRunState::Running), tasks: &tasks };
            assert_eq!(kind(&found(&target_of(args.clone()).unwrap(), &facts)), expected, "{tasks:?}");
        }
    }

    #[test]
    fn without_tasks_the_whole_run_is_waited_for() {
        let target = target_of(json!({"failed_states": ["failed"]})).unwrap();
        let with = |run| kind(&found(&target, &Facts { run, ..Facts::default() }));
        assert_eq!(with(None), "not yet");
        assert_eq!(with(Some(DagRunState::Running)), "not yet");
        assert_eq!(with(Some(DagRunState::Success)), "yes");
        assert_eq!(with(Some(DagRunState::Failed)), "failed");
    }

    #[test]
    fn existence_is_checked_when_asked() {
        let dag = other();
        let says =
            |args: Value, dag: Option<&Dag>| match found(&target_of(args).unwrap(), &Facts { dag, ..Facts::default() })
            {
                Found::Failed(reason) => reason,
                other => kind(&other).to_owned(),
            };
        assert_eq!(says(json!({}), None), "not yet");
        assert_eq!(says(json!({"check_existence": true}), None), "there is no DAG `other`");
        let task = json!({"check_existence": true, "external_task_id": "z"});
        assert_eq!(says(task, Some(&dag)), "DAG `other` has no task `z`");
        let group = json!({"check_existence": true, "external_task_group_id": "z"});
        assert_eq!(says(group, Some(&dag)), "DAG `other` has no task group `z`");
    }
}
