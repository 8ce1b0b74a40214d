//! What may begin: the dependencies of an instance, in Airflow's order (semantics §3, §5, §12.3, §13).

use super::{
    Key, Need, NewAttempt, PreviousRun, Work, decide, is_due, is_schedulable, is_unexpanded,
    trigger_rule::{self, Upstreams, Verdict},
};
use crate::{
    dag::{TaskIndex, TriggerRule},
    operator::Place,
    spec::{Failure, FailureClass},
    state::{TaskInstanceState, TiEvent},
};

impl Work<'_> {
    /// Evaluates what may have become ready, upstream first, until nothing changes.
    pub(super) fn evaluate(&mut self) {
        while let Some((_, task)) = self.look_at.pop_first() {
            let candidates = self.keys(task, |_, ti| is_schedulable(ti.state));
            // The same for all instances, unless some upstream is counted index by index.
            let mut shared: Option<Upstreams> = None;
            let by_index = self.state.dag.upstream(task).any(|up| self.state.dag.scopes().share_mapped_group(task, up));
            for key in candidates {
                // Another instance may have decided about this one (a shorter list of elements).
                if !self.ti(key).is_some_and(|ti| is_schedulable(ti.state)) {
                    continue;
                }
                if is_unexpanded(self.state, key) {
                    self.evaluate_unexpanded(key);
                    continue;
                }
                let upstreams = match shared {
                    Some(counted) if !by_index => counted,
                    _ => self.upstreams(key),
                };
                shared = Some(upstreams);
                self.evaluate_one(key, &upstreams);
            }
        }
    }

    fn evaluate_one(&mut self, key: Key, upstreams: &Upstreams) {
        let verdict = self.decided(key, self.verdict(key, upstreams));
        if verdict != Verdict::Run {
            self.write_verdict(key, verdict);
            return;
        }
        if !self.its_time_has_come(key) || !self.teardown_may_begin(key) || !self.past_allows(key) {
            return;
        }
        if !self.is_within_run_cap(key) || !self.revise(key) {
            return;
        }
        if self.ti(key).is_none_or(|ti| ti.state == TaskInstanceState::UpForReschedule) {
            return self.ready(key);
        }
        match self.when(key) {
            Some(Ok(true)) => self.ready(key),
            Some(Ok(false)) => self.write_verdict(key, Verdict::Skip),
            Some(Err(reason)) => self.fail_undecided(key, FailureClass::TemplateError, reason),
            // Its values are asked for.
            None => {}
        }
    }

    /// Whether a schedulable instance waits for no time to pass.
    pub(super) fn its_time_has_come(&self, key: Key) -> bool {
        self.ti(key).is_some_and(|ti| is_due(ti, self.state.ti(key), self.now))
    }

    /// What a branch decided stands whatever the rule says of the other upstreams, which it does not wait for (semantics §3.5: every
    /// dependency is asked); only an element that is gone is gone.
    pub(super) fn decided(&self, key: Key, verdict: Verdict) -> Verdict {
        if verdict != Verdict::Remove && self.was_skipped_by_upstream(key) { Verdict::Skip } else { verdict }
    }

    /// Setup constraint and trigger rule. A setup that is waited for keeps the instance from beginning, not from being decided;
    /// `always` asks for neither.
    pub(super) fn verdict(&self, key: Key, upstreams: &Upstreams) -> Verdict {
        let rule = self.state.dag.tasks[key.task].trigger_rule;
        if rule == TriggerRule::Always {
            return Verdict::Run;
        }
        let setups = self.setup_constraint(key);
        if !matches!(setups, Verdict::Run | Verdict::Wait) {
            return setups;
        }
        match trigger_rule::evaluate(rule, upstreams, key.map_index) {
            Verdict::Run => setups,
            decided => decided,
        }
    }

    pub(super) fn write_verdict(&mut self, key: Key, verdict: Verdict) {
        let now = self.now;
        let event = match verdict {
            Verdict::Run | Verdict::Wait => return,
            Verdict::Skip => TiEvent::Skip,
            Verdict::UpstreamFailed => TiEvent::UpstreamFailed,
            Verdict::Remove => TiEvent::TaskRemoved,
        };
        self.step(key, event, |ti| decide(ti, now));
    }

    /// The states of an instance's direct upstreams: of a task in the same mapped group the same index, else all of its
    /// instances. A task that the run has no instance of does not count (Airflow counts instances).
    pub(super) fn upstreams(&self, key: Key) -> Upstreams {
        let mut up = Upstreams::default();
        for task in self.state.dag.upstream(key.task) {
            let is_setup = self.state.dag.tasks[task].is_setup;
            self.each_relevant(key, task, |state| up.count(state, is_setup));
        }
        up
    }

    /// The states of the instances of `upstream` that an instance depends on.
    fn each_relevant(&self, key: Key, upstream: TaskIndex, mut see: impl FnMut(TaskInstanceState)) {
        if key.map_index >= 0 && self.state.dag.scopes().share_mapped_group(key.task, upstream) {
            let same = Key { task: upstream, map_index: key.map_index };
            if let Some(ti) = self.ti(same).or_else(|| self.ti(Key::unmapped(upstream))) {
                see(ti.state);
            }
            return;
        }
        self.each(upstream, |_, ti| see(ti.state));
    }

    /// Every indirect setup must be successful (semantics §3.4). The first that ended badly decides, without waiting for the others.
    fn setup_constraint(&self, key: Key) -> Verdict {
        let setups = self.state.dag.scopes().indirect_setups(key.task);
        if setups.is_empty() {
            return Verdict::Run;
        }
        let mut up = Upstreams::default();
        for &setup in setups {
            self.each_relevant(key, setup, |state| up.count(state, true));
        }
        if up.failed + up.upstream_failed > 0 {
            Verdict::UpstreamFailed
        } else if up.skipped > 0 {
            Verdict::Skip
        } else if up.removed > 0 && key.map_index >= 0 && key.map_index as usize >= up.success {
            Verdict::Remove
        } else {
            let fine = if key.map_index >= 0 { up.success + up.removed } else { up.success };
            if fine < up.total { Verdict::Wait } else { Verdict::Run }
        }
    }

    /// A teardown waits until everything between its setups and itself is over.
    pub(super) fn teardown_may_begin(&self, key: Key) -> bool {
        self.state.dag.scopes().teardown_scope(key.task).iter().all(|&task| {
            let mut done = true;
            self.each_relevant(key, task, |state| done &= state.is_finished());
            done
        })
    }

    /// `depends_on_past` and `wait_for_downstream`, case by case as in semantics §5. Asks for the past when it is not there.
    fn past_allows(&mut self, key: Key) -> bool {
        let task = &self.state.dag.tasks[key.task];
        if !task.depends_on_past {
            return true;
        }
        // Case 2: a run without a logical date has no past.
        let Some(_) = self.state.run.logical_date else { return true };
        let Some(past) = &self.facts.past else {
            self.plan.needs.insert(Need::Past);
            return false;
        };
        if past.is_first_of_backfill {
            return true;
        }
        let Some(previous) = &past.previous else { return true };
        if self.state.dag.catchup
            && let (Some(date), Some(start)) = (previous.logical_date, task.start_date)
            && date < start
        {
            return true;
        }
        let done = |previous: &PreviousRun, id| {
            let states = previous.states.get(id).map(Vec::as_slice).unwrap_or_default();
            states.iter().all(|state| state.is_success_like())
        };
        if !previous.states.contains_key(&task.task_id) {
            return task.ignore_first_depends_on_past && !past.seen.contains(&task.task_id);
        }
        let downstream = || self.state.dag.downstream(key.task).map(|down| &self.state.dag.tasks[down].task_id);
        done(previous, &task.task_id) && (!task.wait_for_downstream || downstream().all(|id| done(previous, id)))
    }

    /// `max_active_tis_per_dagrun` counts within the run, which plan knows whole; the others wait undecided.
    fn is_within_run_cap(&self, key: Key) -> bool {
        let Some(cap) = self.state.dag.tasks[key.task].max_active_tis_per_dagrun else { return true };
        let mut active = 0;
        self.each(key.task, |_, ti| {
            active += u32::from(ti.is_active());
        });
        active < cap
    }

    fn ready(&mut self, key: Key) {
        let dag = &self.state.dag;
        let spec = &dag.tasks[key.task];
        let now = self.now;
        let Some(ti) = self.ti(key) else { return };
        let attempt_of_same_try = ti.state == TaskInstanceState::UpForReschedule;
        if ti.try_number > 0 && !attempt_of_same_try {
            if ti.end_date.is_some() {
                // A cleared instance was archived when it was cleared and has no end; a failed one is archived here.
                self.plan.archive.push(key);
            }
            self.plan.forget_xcoms.push(key);
        }
        match spec.operator.place() {
            // Decided here, as Airflow's scheduler does: tried, never queued, no duration.
            Place::Plan => self.step(key, TiEvent::Succeeded, |ti| {
                ti.begin_anew();
                ti.try_number += 1;
                decide(ti, now);
            }),
            Place::Nowhere => {
                let reason = format!(
                    "operator `{}` cannot run on this deployment: no node has a runner for it",
                    spec.operator_class
                );
                self.fail_undecided(key, FailureClass::UnsupportedOperator, reason);
            }
            Place::Node | Place::Triggerer => {
                let attempt = (self.ids)();
                self.step(key, TiEvent::Ready, |ti| {
                    if attempt_of_same_try {
                        ti.next_retry_at = None;
                    } else {
                        ti.begin_anew();
                        ti.try_number += 1;
                    }
                    ti.attempt = attempt;
                    ti.skipmixin = None;
                    ti.scheduled_dttm = Some(now);
                });
                let try_number = self.ti(key).expect("just written").try_number;
                self.plan.attempts.push(NewAttempt { key, attempt, try_number });
            }
        }
    }

    /// Fails an instance that never began, for good.
    pub(super) fn fail_undecided(&mut self, key: Key, class: FailureClass, reason: String) {
        let now = self.now;
        self.step(key, TiEvent::FailedFinally, |ti| {
            ti.begin_anew();
            ti.try_number += 1;
            decide(ti, now);
            ti.failure = Some(Failure { class, reason });
        });
    }

    /// The trigger rule of a task, for a mapped one that is not expanded: whether it may be. A member of a mapped group expands with its
    /// group, whatever its upstreams in the group do.
    pub(super) fn may_expand(&self, key: Key) -> Verdict {
        let dag = &self.state.dag;
        if dag.tasks[key.task].mapping.is_none() {
            if !dag.scopes().is_mapped_by_template(key.task) {
                return Verdict::Run;
            }
            // What a template reads is there when the first members may begin; the others follow those.
            let of_group = || dag.upstream(key.task).filter(|&up| dag.scopes().share_mapped_group(key.task, up));
            if of_group().filter_map(|up| self.ti(Key::unmapped(up))).any(|ti| !ti.state.is_finished()) {
                return Verdict::Wait;
            }
            if of_group().any(|up| self.ti(Key::unmapped(up)).is_none()) {
                return Verdict::Run;
            }
        }
        self.verdict(key, &self.upstreams(key))
    }

    /// Whether a task may wait for what is not its run's (semantics §2.2): then nothing is a deadlock.
    pub(super) fn may_wait_for_others(&self, task: TaskIndex) -> bool {
        let task = &self.state.dag.tasks[task];
        task.depends_on_past || task.max_active_tis_per_dag.is_some() || task.max_active_tis_per_dagrun.is_some()
    }
}
