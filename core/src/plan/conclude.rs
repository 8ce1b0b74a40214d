//! The run's own state: final state, deadlock, `dagrun_timeout`, `fail_fast` (semantics §2).

use chrono::{DateTime, Utc};

use super::{Work, run_state::is_moving};
use crate::state::{DagRunState, TaskInstanceState, TiEvent};

impl Work<'_> {
    /// `dagrun_timeout`, measured from the start: the run fails, what is unfinished is skipped (semantics §2.4).
    pub(super) fn time_out(&mut self) -> bool {
        let Some(at) = self.times_out_at() else { return false };
        if at > self.now {
            return false;
        }
        for key in self.all_keys(|ti| !ti.state.is_finished()) {
            self.end_unfinished(key, TiEvent::Skip, "the run exceeded its dagrun_timeout");
        }
        self.end_run(DagRunState::Failed);
        true
    }

    pub(super) fn times_out_at(&self) -> Option<DateTime<Utc>> {
        let run = self.run();
        let timeout = self.state.dag.dagrun_timeout?;
        (run.state == DagRunState::Running).then_some(run.start_date? + timeout)
    }

    /// `fail_fast`: when a task fails for good, what runs fails and the rest is skipped, teardowns excepted (semantics §2.5).
    pub(super) fn fail_fast(&mut self) {
        if !self.failed || !self.state.dag.fail_fast {
            return;
        }
        for key in self.all_keys(|ti| !ti.state.is_finished()) {
            if self.state.dag.tasks[key.task].is_teardown {
                continue;
            }
            let runs = self.ti(key).is_some_and(|ti| ti.state == TaskInstanceState::Running);
            let event = if runs { TiEvent::FailedFinally } else { TiEvent::Skip };
            self.end_unfinished(key, event, "another task failed and the DAG has fail_fast");
        }
    }

    /// The run's final state (semantics §2.2): when nothing is unfinished, the leaves decide; when nothing can move, deadlock.
    pub(super) fn conclude(&mut self) {
        // What is asked for may decide more.
        if !self.plan.needs.is_empty() || self.count(|ti| is_moving(ti.state), self.state.moving()) > 0 {
            return;
        }
        if self.count(|ti| !ti.state.is_finished(), self.state.unfinished()) > 0 {
            let undecided = self.all_keys(|ti| !ti.state.is_finished());
            if !undecided.iter().any(|key| self.may_wait_for_others(key.task)) {
                // Every unfinished instance waits for a rule that nothing running can still meet.
                self.end_run(DagRunState::Failed);
            }
            return;
        }
        let dag = self.state.dag.clone();
        let mut failed = false;
        for &leaf in dag.scopes().leaves() {
            self.each(leaf, |_, ti| failed |= ti.state.is_failure_like());
        }
        self.end_run(if failed { DagRunState::Failed } else { DagRunState::Success });
    }

    /// How many instances a predicate holds for, from how many it held for before this plan.
    fn count(&self, wanted: impl Fn(&super::Ti) -> bool, before: usize) -> usize {
        let mut count = before;
        let held = |key| usize::from(self.state.ti(key).is_some_and(&wanted));
        for (&key, ti) in &self.plan.tis {
            count = count + usize::from(wanted(ti)) - held(key);
        }
        for &key in &self.plan.unexpanded {
            count -= held(key);
        }
        count
    }
}
