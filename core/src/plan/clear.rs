//! Clearing task instances and marking a run, as a user asks for it (semantics §11).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{NewAttemptId, Plan, RunState, Stopping, Work};
use crate::{
    dag::{Dag, TaskIndex},
    state::{DagRunState, TaskInstanceState, TiEvent},
};

/// Which instances of a run a request means.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// `None`: all tasks.
    pub task_ids: Option<Vec<String>>,
    pub include_upstream: bool,
    pub include_downstream: bool,
    /// Only failed and upstream_failed ones.
    pub only_failed: bool,
    pub only_running: bool,
}

/// What was cleared, and how to write it.
#[derive(Clone, Debug)]
pub struct Cleared {
    pub tasks: Vec<TaskIndex>,
    pub plan: Plan,
}

/// The instances a selection means, in the DAG's order.
pub fn select(state: &RunState, selection: &Selection) -> Vec<TaskIndex> {
    let dag: &Dag = &state.dag;
    let mut chosen: BTreeSet<TaskIndex> = match &selection.task_ids {
        None => (0..dag.tasks.len()).collect(),
        Some(ids) => ids.iter().filter_map(|id| dag.index_of(id)).collect(),
    };
    for task in chosen.clone() {
        if selection.include_upstream {
            chosen.extend(dag.all_upstream(task));
        }
        if selection.include_downstream {
            chosen.extend(dag.all_downstream(task));
        }
    }
    chosen
        .into_iter()
        .filter(|&task| {
            state.ti(task).is_some_and(|ti| {
                (!selection.only_failed || ti.state.is_failure_like())
                    && (!selection.only_running || ti.state == TaskInstanceState::Running)
            })
        })
        .collect()
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
    let tasks = select(state, selection);
    let mut work = Work::new(state, now, ids);
    for &task in &tasks {
        work.clear_one(task, by);
    }
    if !tasks.is_empty() && reset_dag_run {
        work.requeue();
    }
    let mut plan = work.finish();
    if !tasks.is_empty() {
        plan.wake_at = Some(now);
    }
    Cleared { tasks, plan }
}

/// Marks a run (semantics §11.5): `success` and `failed` end what is running with that state and skip the rest; `queued` re-queues.
/// A run already in that state is left alone.
pub fn mark_run(state: &RunState, to: DagRunState, by: &str, now: DateTime<Utc>, ids: NewAttemptId<'_>) -> Plan {
    let mut work = Work::new(state, now, ids);
    match to {
        DagRunState::Queued => work.requeue(),
        // The API does not offer it; nothing to do.
        DagRunState::Running => {}
        DagRunState::Success | DagRunState::Failed => {
            let running = if to == DagRunState::Success { TiEvent::Succeeded } else { TiEvent::FailedFinally };
            for task in 0..state.tis.len() {
                let event = match state.ti(task).map(|ti| ti.state) {
                    Some(
                        TaskInstanceState::Running
                        | TaskInstanceState::Deferred
                        | TaskInstanceState::UpForReschedule
                        | TaskInstanceState::AwaitingInput,
                    ) => running,
                    _ => TiEvent::Skip,
                };
                work.end_unfinished(task, event, &format!("the run was marked {to} by {by}"));
            }
            if state.run.state != to {
                work.end_run(to);
            }
        }
    }
    let mut plan = work.finish();
    if to == DagRunState::Queued {
        plan.wake_at = Some(now);
    }
    plan
}

impl Work<'_> {
    fn clear_one(&mut self, task: TaskIndex, by: &str) {
        let Some(ti) = self.ti(task).cloned() else { return };
        let retries = i32::try_from(self.state.dag.tasks[task].retries).unwrap_or(i32::MAX);
        // Cleared before and not begun since: that try is archived already.
        if ti.try_number > 0 && !matches!(ti.state, TaskInstanceState::None | TaskInstanceState::Restarting) {
            self.plan.archive.push(task);
        }
        let attempt = (self.ids)();
        let edit = |ti: &mut super::Ti| {
            ti.begin_anew();
            ti.attempt = attempt;
            ti.max_tries = ti.try_number.saturating_add(retries);
        };
        match ti.state {
            // Placed or not, the display copy does not say; the stop of an attempt that no node has is confirmed at once.
            state if state.has_attempt() => {
                let deadline = self.cancel(task, ti.attempt, format!("cleared by {by}"), true);
                let stopping = Some(Stopping { attempt: ti.attempt, deadline });
                self.step(task, TiEvent::ClearedWhileRunning, |ti| {
                    edit(ti);
                    ti.stopping = stopping;
                });
            }
            // The stop of the attempt before is still awaited.
            TaskInstanceState::Restarting => self.step(task, TiEvent::ClearedWhileRunning, edit),
            _ => self.step(task, TiEvent::Cleared, edit),
        }
    }

    /// §11.3: `queued_at` is now; a finished run is queued again, an active one goes on.
    fn requeue(&mut self) {
        let now = self.now;
        self.plan.cleared_runs = 1;
        let run = self.run_mut();
        run.queued_at = Some(now);
        if run.state.is_finished() {
            run.state = DagRunState::Queued;
            run.start_date = None;
            run.end_date = None;
        }
    }
}
