//! Marking a run or task instances, as a user asks for it (semantics §11.4, §11.5).

use chrono::{DateTime, Utc};

use super::{Facts, Key, NewAttemptId, Plan, RunState, Selection, Work, clear::chosen, decide};
use crate::state::{DagRunState, TaskInstanceState, TiEvent};

/// What was marked, and how to write it.
#[derive(Clone, Debug)]
pub struct Marked {
    /// Empty: all of them were in that state already.
    pub instances: Vec<Key>,
    pub plan: Plan,
}

/// Marks instances `success`, `failed` or `skipped`. Downstream instances that failed because of them are cleared, which queues
/// a finished run again. Of downstream relatives, teardowns are left out.
///
/// # Panics
/// When `to` is none of the three; the API offers no other.
pub fn mark_tis(
    state: &RunState,
    selection: &Selection,
    to: TaskInstanceState,
    by: &str,
    now: DateTime<Utc>,
    ids: NewAttemptId<'_>,
) -> Marked {
    let event = match to {
        TaskInstanceState::Success => TiEvent::Succeeded,
        TaskInstanceState::Failed => TiEvent::FailedFinally,
        TaskInstanceState::Skipped => TiEvent::Skip,
        other => unreachable!("a task instance cannot be marked {other}"),
    };
    let instances: Vec<Key> = chosen(state, selection, |task| !state.dag.tasks[task].is_teardown)
        .into_iter()
        .filter(|&key| state.ti(key).is_some_and(|ti| ti.state != to))
        .collect();
    let facts = Facts::default();
    let mut work = Work::new(state, &facts, now, ids);
    for &key in &instances {
        work.mark(key, event, &format!("marked {to} by {by}"));
    }
    let mut cleared = false;
    for &key in &instances {
        for task in state.dag.all_downstream(key.task) {
            for failed in work.keys(task, |_, ti| ti.state.is_failure_like()) {
                if !instances.contains(&failed) {
                    work.clear_one(failed, by);
                    cleared = true;
                }
            }
        }
    }
    if cleared {
        work.requeue();
    }
    let mut plan = work.finish();
    if !instances.is_empty() {
        plan.wake_at = Some(now);
    }
    Marked { instances, plan }
}

/// Marks a run: `success` and `failed` end what is running with that state and skip the rest, but leave teardowns alone, and
/// while one of those is unfinished the run goes on; `queued` re-queues. A run already in that state is left alone.
pub fn mark_run(state: &RunState, to: DagRunState, by: &str, now: DateTime<Utc>, ids: NewAttemptId<'_>) -> Plan {
    let facts = Facts::default();
    let mut work = Work::new(state, &facts, now, ids);
    let mut look_again = false;
    match to {
        DagRunState::Queued => {
            work.requeue();
            look_again = true;
        }
        // The API does not offer it; nothing to do.
        DagRunState::Running => {}
        DagRunState::Success | DagRunState::Failed => {
            let running = if to == DagRunState::Success { TiEvent::Succeeded } else { TiEvent::FailedFinally };
            let unfinished = work.all_keys(|ti| !ti.state.is_finished());
            for key in unfinished {
                if state.dag.tasks[key.task].is_teardown {
                    look_again = true;
                    continue;
                }
                let event = match state.ti(key).map(|ti| ti.state) {
                    Some(
                        TaskInstanceState::Running
                        | TaskInstanceState::Deferred
                        | TaskInstanceState::UpForReschedule
                        | TaskInstanceState::AwaitingInput,
                    ) => running,
                    _ => TiEvent::Skip,
                };
                work.end_unfinished(key, event, &format!("the run was marked {to} by {by}"));
            }
            if state.run.state != to && !look_again {
                work.end_run(to);
            }
        }
    }
    let mut plan = work.finish();
    if look_again {
        plan.wake_at = Some(now);
    }
    plan
}

impl Work<'_> {
    /// To that state, whatever it is in now.
    fn mark(&mut self, key: Key, event: TiEvent, reason: &str) {
        let Some(ti) = self.ti(key) else { return };
        if !ti.state.is_finished() {
            return self.end_unfinished(key, event, reason);
        }
        let now = self.now;
        self.step(key, event, |ti| {
            ti.failure = None;
            let end = ti.end_date;
            decide(ti, now);
            ti.end_date = end.or(Some(now));
        });
    }
}
