//! Airflow's tables as data (semantics, by section): each row can be laid beside the page. What has a file of its own beside this
//! folder is not repeated: §3.3 (`trigger_rule`), §5 (`past`), §12.3 (`branch`), §13 (`mapping`).

mod clear_and_mark;
mod rules;
mod run_level;
mod skips;
mod states;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{super::*, Sim, start, task};
use crate::{
    dag::{Dag, Task, TriggerRule},
    spec::Outcome,
    state::TaskInstanceState as S,
};

/// Tasks in one line: `a; b:all_done < a; s!setup; t!teardown < s b; u!teardown!fails`.
fn tasks(text: &str) -> Vec<Task> {
    text.split(';').map(str::trim).map(one_task).collect()
}

fn one_task(text: &str) -> Task {
    let (head, upstream) = text.split_once('<').unwrap_or((text, ""));
    let mut flags = head.trim().split('!');
    let name = flags.next().expect("a task has a name");
    let (id, rule) = name.split_once(':').unwrap_or((name, ""));
    let mut one = task(id, &upstream.split_whitespace().collect::<Vec<_>>());
    if !rule.is_empty() {
        one.trigger_rule = rule_named(rule);
    }
    for flag in flags {
        match flag {
            "setup" => one.is_setup = true,
            "teardown" => {
                one.is_teardown = true;
                one.trigger_rule = TriggerRule::AllDoneSetupSuccess;
            }
            "fails" => one.on_failure_fail_dagrun = true,
            other => panic!("no flag `{other}`"),
        }
    }
    one
}

fn rule_named(name: &str) -> TriggerRule {
    serde_json::from_value(json!(name)).expect("a trigger rule")
}

/// A run that has begun.
fn sim(text: &str, edit: impl FnOnce(&mut Dag)) -> Sim {
    let mut sim = Sim::with(|dag| {
        dag.tasks = tasks(text);
        edit(dag);
    });
    sim.begin();
    sim
}

/// Ends attempts in order: `a=F b=S c=K`.
fn end(sim: &mut Sim, ends: &str) {
    for (id, outcome) in ends.split_whitespace().map(|end| end.split_once('=').expect("task=letter")) {
        let outcome = match outcome {
            "S" => Outcome::Success,
            "F" => Outcome::Failed,
            "K" => Outcome::Skipped,
            other => panic!("no outcome `{other}`"),
        };
        sim.end(id, outcome);
    }
}

/// Puts the instance into a state, with all that belongs to it.
fn put(sim: &mut Sim, id: &str, state: S) {
    let key = Key::unmapped(sim.state.dag.index_of(id).expect("the DAG has the task"));
    let attempt = AttemptId(Uuid::from_u128(1000 + key.task as u128));
    sim.live.retain(|(of, _)| *of != key);
    if state.has_attempt() {
        sim.live.push((key, attempt));
    }
    let later = start() + chrono::TimeDelta::hours(1);
    let waits = matches!(state, S::UpForRetry | S::UpForReschedule);
    let ti = Ti {
        state,
        attempt,
        try_number: i32::from(state != S::None),
        start_date: (state != S::None).then(start),
        end_date: (state.is_finished() || state == S::UpForRetry).then(start),
        next_retry_at: waits.then_some(later),
        stopping: (state == S::Restarting).then_some(Stopping { attempt, deadline: later }),
        ..sim.ti(id).clone()
    };
    sim.state.put(key, ti);
}

/// `a success, b none`, of all instances without an index.
fn picture(sim: &Sim) -> String {
    let one = |task: &Task| format!("{} {}", task.task_id, sim.state_of(task.task_id.as_str()));
    sim.state.dag.tasks.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn named(ids: &[&str]) -> Selection {
    Selection { tasks: Some(ids.iter().map(|&id| id.into()).collect()), ..Selection::default() }
}

/// A table of words: a header of columns, then rows that begin with their name.
fn cells(table: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    table.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let mut words = line.split_whitespace();
        (words.next().expect("the line is not empty"), words.collect())
    })
}

/// A value that is not looked at.
const NOTHING: Value = Value::Null;
