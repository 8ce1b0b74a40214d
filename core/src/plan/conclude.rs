//! The run's own state: final state, deadlock, `dagrun_timeout`, `fail_fast` (semantics §2).

use chrono::{DateTime, Utc};

use super::{Key, Ti, Work, is_delayed, is_unexpanded, trigger_rule::Verdict};
use crate::state::{DagRunState, TaskInstanceState, TiEvent};

impl Work<'_> {
    /// `dagrun_timeout`, measured from the start: the run fails, what is unfinished is skipped (semantics §2.4). Nobody looks at the
    /// runs of a paused DAG.
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
        (run.state == DagRunState::Running && !run.dag_is_paused).then_some(run.start_date? + timeout)
    }

    /// `fail_fast`: when a task fails for good, what runs fails and the rest is skipped, teardowns excepted (semantics §2.5). Whether
    /// it ended anything.
    pub(super) fn fail_fast(&mut self) -> bool {
        if !self.failed || !self.state.dag.fail_fast {
            return false;
        }
        let mut others = self.all_keys(|ti| !ti.state.is_finished() || ti.state == TaskInstanceState::UpstreamFailed);
        others.retain(|key| !self.state.dag.tasks[key.task].is_teardown);
        for &key in &others {
            let runs = self.ti(key).is_some_and(|ti| ti.state == TaskInstanceState::Running);
            let event = if runs { TiEvent::FailedFinally } else { TiEvent::Skip };
            self.end(key, event, "another task failed and the DAG has fail_fast");
        }
        !others.is_empty()
    }

    /// The run's final state (semantics §2.2): when nothing is unfinished, the leaves decide; when nothing can move, deadlock.
    pub(super) fn conclude(&mut self) {
        // What is asked for may decide more.
        if !self.plan.needs.is_empty() || self.count(Ti::is_active, self.state.moving()) > 0 {
            return;
        }
        if self.count(|ti| !ti.state.is_finished(), self.state.unfinished()) > 0 {
            let undecided = self.all_keys(|ti| !ti.state.is_finished());
            let goes_on = |key: &Key| self.may_wait_for_others(key.task) || self.waits_only_for_its_time(*key);
            if !undecided.iter().any(goes_on) {
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

    /// Whether a retry or a rescheduled sensor would begin but for its delay, which is no reason for a deadlock (semantics §2.2).
    fn waits_only_for_its_time(&self, key: Key) -> bool {
        if self.its_time_has_come(key) || !self.ti(key).is_some_and(|ti| is_delayed(ti.state)) {
            return false;
        }
        let rule =
            if is_unexpanded(self.state, key) { self.may_expand(key) } else { self.verdict(key, &self.upstreams(key)) };
        rule == Verdict::Run && self.teardown_may_begin(key)
    }

    /// How many instances a predicate holds for, from how many it held for before this plan.
    fn count(&self, wanted: impl Fn(&Ti) -> bool, before: usize) -> usize {
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
