//! Clearing task instances, as a user asks for it (semantics §11.1–§11.3).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{Facts, Key, NewAttemptId, Plan, RunState, Stopping, Ti, UNMAPPED, Work};
use crate::{
    dag::{Dag, TaskIndex},
    state::{TaskInstanceState, TiEvent},
};

/// A task, or one instance of a mapped one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRef {
    pub task_id: String,
    /// `None`: all instances.
    pub map_index: Option<i32>,
}

impl From<&str> for TaskRef {
    fn from(task_id: &str) -> Self {
        Self { task_id: task_id.to_owned(), map_index: None }
    }
}

/// Which instances of a run a request means.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// `None`: all tasks.
    pub tasks: Option<Vec<TaskRef>>,
    pub include_upstream: bool,
    pub include_downstream: bool,
    /// Only failed and upstream_failed ones.
    pub only_failed: bool,
    pub only_running: bool,
}

/// What was cleared, and how to write it.
#[derive(Clone, Debug)]
pub struct Cleared {
    pub instances: Vec<Key>,
    pub plan: Plan,
}

/// The instances a selection means when it is cleared, in the DAG's order: with a task its setups and teardowns, with a setup
/// its teardowns.
pub fn select(state: &RunState, selection: &Selection) -> Vec<Key> {
    let mut chosen = chosen(state, selection, |_| true);
    let belonging: BTreeSet<TaskIndex> =
        chosen.iter().flat_map(|key| state.dag.setups_and_teardowns_of(key.task)).collect();
    for task in belonging {
        chosen.extend(state.instances(task).iter().map(|(map_index, _)| Key { task, map_index }));
    }
    chosen
        .into_iter()
        .filter(|&key| {
            state.ti(key).is_some_and(|ti| {
                (!selection.only_failed || ti.state.is_failure_like())
                    && (!selection.only_running || ti.state == TaskInstanceState::Running)
            })
        })
        .collect()
}

/// What is named, with its relatives where asked; `downstream` says which downstream tasks count.
pub(super) fn chosen(state: &RunState, selection: &Selection, downstream: impl Fn(TaskIndex) -> bool) -> BTreeSet<Key> {
    let dag: &Dag = &state.dag;
    let instances = |task: TaskIndex| state.instances(task).iter().map(move |(map_index, _)| Key { task, map_index });
    let Some(named) = &selection.tasks else {
        return (0..dag.tasks.len()).flat_map(instances).collect();
    };
    let mut found = BTreeSet::new();
    for name in named {
        let Some(task) = dag.index_of(&name.task_id) else { continue };
        match name.map_index {
            Some(map_index) => found.extend(instances(task).filter(|key| key.map_index == map_index)),
            None => found.extend(instances(task)),
        }
        let up = if selection.include_upstream { dag.all_upstream(task) } else { Vec::new() };
        let down = if selection.include_downstream { dag.all_downstream(task) } else { Vec::new() };
        for relative in up.into_iter().chain(down.into_iter().filter(|&task| downstream(task))) {
            // Inside a common mapped group, the relatives of an instance are those of its index.
            let same_index =
                name.map_index.filter(|&index| index != UNMAPPED && dag.scopes().share_mapped_group(task, relative));
            found.extend(instances(relative).filter(|key| same_index.is_none_or(|index| key.map_index == index)));
        }
    }
    found
}

/// Clears the instances: archived, a new id, tries granted anew, the run queued again if it had ended. Running ones restart
/// after their stop. Selecting nothing changes nothing.
pub fn clear(
    state: &RunState,
    selection: &Selection,
    reset_dag_run: bool,
    by: &str,
    now: DateTime<Utc>,
    ids: NewAttemptId<'_>,
) -> Cleared {
    let instances = select(state, selection);
    let facts = Facts::default();
    let mut work = Work::new(state, &facts, now, ids);
    for &key in &instances {
        work.clear_one(key, by);
    }
    if !instances.is_empty() && reset_dag_run {
        work.requeue();
    }
    let mut plan = work.finish();
    if !instances.is_empty() {
        plan.wake_at = Some(now);
    }
    Cleared { instances, plan }
}

impl Work<'_> {
    pub(super) fn clear_one(&mut self, key: Key, by: &str) {
        let Some(ti) = self.ti(key).cloned() else { return };
        let retries = i32::try_from(self.state.dag.tasks[key.task].retries).unwrap_or(i32::MAX);
        // Cleared before and not begun since: that try is archived already.
        if ti.try_number > 0 && !matches!(ti.state, TaskInstanceState::None | TaskInstanceState::Restarting) {
            self.plan.archive.push(key);
        }
        let attempt = (self.ids)();
        let edit = |ti: &mut Ti| {
            ti.begin_anew();
            ti.attempt = attempt;
            ti.max_tries = ti.try_number.saturating_add(retries);
        };
        match ti.state {
            // Placed or not, the display copy does not say; the stop of an attempt that no node has is confirmed at once.
            state if state.has_attempt() => {
                let deadline = self.cancel(key, ti.attempt, format!("cleared by {by}"), true);
                let stopping = Some(Stopping { attempt: ti.attempt, deadline });
                self.step(key, TiEvent::ClearedWhileRunning, |ti| {
                    edit(ti);
                    ti.stopping = stopping;
                });
            }
            // The stop of the attempt before is still awaited.
            TaskInstanceState::Restarting => self.step(key, TiEvent::ClearedWhileRunning, edit),
            _ => self.step(key, TiEvent::Cleared, edit),
        }
    }

    /// §11.3: `queued_at` is now; a finished run is queued again, an active one goes on.
    pub(super) fn requeue(&mut self) {
        let now = self.now;
        self.plan.cleared_runs = 1;
        let run = self.run_mut();
        run.queued_at = Some(now);
        if run.state.is_finished() {
            run.state = crate::state::DagRunState::Queued;
            run.start_date = None;
            run.end_date = None;
        }
    }
}
