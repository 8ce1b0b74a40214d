//! What a run does next: `plan` looks at a run, what happened to it and the time, and says what to write.
//!
//! It is called under the run's lock with everything read after the lock; it decides *whether* a task may run, never *where*
//! (that is [`crate::dispatch`]). Its cost grows with what changed: with [`Scope::Changed`] only the tasks downstream of a
//! change are looked at, and a property test checks that the answer is that of looking at everything.

mod clear;
pub mod retry;
mod run_state;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod trigger_rule;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde_json::Value;

use self::trigger_rule::{Upstreams, Verdict};
pub use self::{
    clear::{Cleared, Selection, clear, mark_run, select},
    run_state::{Change, Event, Finished, Run, RunState, Started, Stopping, Ti},
};
use crate::{
    dag::TaskIndex,
    ids::AttemptId,
    operator::Place,
    spec::{Failure, FailureClass, Outcome},
    state::{DagRunState, TaskInstanceState, TiEvent},
};

/// How long a cancelled task may take between SIGTERM and SIGKILL.
pub const CANCEL_GRACE: Duration = Duration::from_secs(10);
/// How much longer than the grace a node has to confirm a stop before the task starts anew without it.
const STOP_SLACK: Duration = Duration::from_secs(5);

/// Which tasks to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The run is not known from an earlier plan: every undecided task.
    All,
    /// Everything was decided up to these changes.
    Changed,
}

/// Makes the ids of new attempts; random in production, counted in tests.
pub type NewAttemptId<'a> = &'a mut dyn FnMut() -> AttemptId;

/// An attempt to insert: the task is ready.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAttempt {
    pub task: TaskIndex,
    pub attempt: AttemptId,
    pub try_number: i32,
}

/// An attempt to end from our side: fence it first, then tell its node.
#[derive(Clone, Debug, PartialEq)]
pub struct Cancel {
    pub task: TaskIndex,
    pub attempt: AttemptId,
    pub reason: String,
    pub deadline: DateTime<Utc>,
    /// The instance waits for the stop: where nothing was handed out, a `Stopped` must be put in the inbox at once.
    pub wanted: bool,
}

/// What to write, in one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The run's new row, when it changed.
    pub run: Option<Run>,
    /// Added to the run's `clear_number`.
    pub cleared_runs: i32,
    /// Instances to archive as a try *before* `tis` is written.
    pub archive: Vec<TaskIndex>,
    /// Instances whose XComs go, because their next try begins.
    pub forget_xcoms: Vec<TaskIndex>,
    /// New rows of instances.
    pub tis: BTreeMap<TaskIndex, Ti>,
    /// Rendered fields of attempts that ended.
    pub rendered: Vec<(TaskIndex, Value)>,
    pub attempts: Vec<NewAttempt>,
    /// Attempts that are over.
    pub ended: Vec<AttemptId>,
    pub cancels: Vec<Cancel>,
    /// When to look again though nothing happens; `None`: only events matter.
    pub wake_at: Option<DateTime<Utc>>,
    /// Changes that spoke of an attempt that is not current.
    pub stale: usize,
}

impl Plan {
    /// Whether there is nothing to write but the deletion of the events and the timer.
    pub fn is_empty(&self) -> bool {
        self.run.is_none()
            && self.tis.is_empty()
            && self.attempts.is_empty()
            && self.ended.is_empty()
            && self.cancels.is_empty()
    }
}

impl RunState {
    /// The state after `plan` was committed.
    pub fn apply(&mut self, plan: &Plan) {
        if let Some(run) = &plan.run {
            self.run = run.clone();
        }
        for (&task, ti) in &plan.tis {
            self.tis[task] = Some(ti.clone());
        }
    }
}

/// Decides what the run does next.
pub fn plan(state: &RunState, changes: &[Change], scope: Scope, now: DateTime<Utc>, ids: NewAttemptId<'_>) -> Plan {
    let mut work = Work::new(state, now, ids);
    work.take(changes);
    work.timers();
    if work.time_out() {
        return work.finish();
    }
    if state.run.state == DagRunState::Running && !state.run.dag_is_paused {
        if scope == Scope::All {
            work.look_at.extend(state.dag.topological().iter().enumerate().map(|(rank, &task)| (rank, task)));
        }
        work.evaluate();
        work.conclude();
    }
    work.finish()
}

/// A plan in the making.
pub(crate) struct Work<'a> {
    state: &'a RunState,
    now: DateTime<Utc>,
    ids: NewAttemptId<'a>,
    plan: Plan,
    /// Tasks to evaluate, in topological order.
    look_at: BTreeSet<(usize, TaskIndex)>,
}

impl<'a> Work<'a> {
    pub(crate) fn new(state: &'a RunState, now: DateTime<Utc>, ids: NewAttemptId<'a>) -> Self {
        Self { state, now, ids, plan: Plan::default(), look_at: BTreeSet::new() }
    }

    fn ti(&self, task: TaskIndex) -> Option<&Ti> {
        self.plan.tis.get(&task).or_else(|| self.state.ti(task))
    }

    fn ti_state(&self, task: TaskIndex) -> Option<TaskInstanceState> {
        self.ti(task).map(|ti| ti.state)
    }

    fn run(&self) -> &Run {
        self.plan.run.as_ref().unwrap_or(&self.state.run)
    }

    fn run_mut(&mut self) -> &mut Run {
        self.plan.run.get_or_insert_with(|| self.state.run.clone())
    }

    /// Moves an instance along the transition table and marks what depends on it.
    fn step(&mut self, task: TaskIndex, event: TiEvent, edit: impl FnOnce(&mut Ti)) {
        let Some(mut ti) = self.ti(task).cloned() else { return };
        // The callers below check the state first; the table is the proof, and a violation must not be written.
        let to = match ti.state.next(event) {
            Ok(to) => to,
            Err(illegal) => unreachable!("{illegal}"),
        };
        ti.state = to;
        edit(&mut ti);
        self.plan.tis.insert(task, ti);
        if to.is_finished() {
            self.look_downstream(task);
        }
    }

    fn look_downstream(&mut self, task: TaskIndex) {
        let dag = &self.state.dag;
        self.look_at.extend(dag.downstream(task).map(|next| (dag.rank(next), next)));
    }

    /// Applies what happened. A `finished` in the same batch beats a `lost`: the node spoke.
    fn take(&mut self, changes: &[Change]) {
        let (lost, heard): (Vec<&Change>, Vec<&Change>) =
            changes.iter().partition(|change| matches!(change.event, Event::Lost { .. } | Event::LaunchTimeout));
        for change in heard.into_iter().chain(lost) {
            if !self.take_one(change) {
                self.plan.stale += 1;
            }
        }
    }

    /// Whether the change spoke of the current attempt (or of the stop that is waited for).
    fn take_one(&mut self, change: &Change) -> bool {
        let Some(task) = self.state.dag.index_of(change.task_id.as_str()) else { return false };
        let Some(ti) = self.ti(task) else { return false };
        let now = self.now;
        if let Event::Stopped = change.event {
            let waits = ti.stopping.is_some_and(|stopping| stopping.attempt == change.attempt);
            if waits && ti.state == TaskInstanceState::Restarting {
                self.stopped(task);
            }
            return waits;
        }
        if !ti.state.has_attempt() || ti.attempt != change.attempt {
            return false;
        }
        match &change.event {
            Event::Started(started) => {
                self.step(task, TiEvent::Started, |ti| note_start(ti, started));
            }
            Event::Finished(finished) => self.finished(task, finished),
            Event::Deferred => self.step(task, TiEvent::Deferred, |ti| ti.start_date = ti.start_date.or(Some(now))),
            Event::AwaitingInput => {
                self.step(task, TiEvent::AwaitsInput, |ti| ti.start_date = ti.start_date.or(Some(now)));
            }
            Event::Lost { handed: false, .. } => self.unplaced(task),
            Event::Lost { handed: true, reason } => {
                self.failed_by_us(task, FailureClass::NodeLost, reason.clone());
            }
            Event::LaunchTimeout => {
                let reason = "the node took the task and did not start it in time".to_owned();
                self.failed_by_us(task, FailureClass::LaunchTimeout, reason);
            }
            Event::Stopped => unreachable!("handled above"),
        }
        true
    }

    fn finished(&mut self, task: TaskIndex, finished: &Finished) {
        let ti = self.ti(task).expect("the caller looked it up");
        let attempt = ti.attempt;
        let event = match finished.outcome {
            Outcome::Success => TiEvent::Succeeded,
            Outcome::Skipped => TiEvent::Skip,
            Outcome::Rescheduled => TiEvent::Rescheduled,
            Outcome::Failed if !finished.no_retry && retry::is_eligible(ti.try_number, ti.max_tries) => {
                TiEvent::FailedWithRetry
            }
            Outcome::Failed => TiEvent::FailedFinally,
        };
        // A node's ages may put the end a moment ahead of Postgres' clock; never let that delay or reorder anything.
        let end = finished.at.unwrap_or(self.now).min(self.now);
        self.plan.ended.push(attempt);
        if let Some(rendered) = &finished.rendered_fields {
            self.plan.rendered.push((task, rendered.clone()));
        }
        let next_retry_at = self.next_retry_at(task, event, end);
        self.step(task, event, |ti| {
            note_start(ti, &finished.started);
            ti.end_date = Some(ti.start_date.map_or(end, |start| end.max(start)));
            ti.next_retry_at = next_retry_at;
            ti.failure.clone_from(&finished.failure);
            ti.exit_code = finished.exit_code;
        });
    }

    /// The attempt ended in a way its node did not tell.
    fn failed_by_us(&mut self, task: TaskIndex, class: FailureClass, reason: String) {
        let ti = self.ti(task).expect("the caller looked it up");
        let (attempt, try_number, max_tries) = (ti.attempt, ti.try_number, ti.max_tries);
        let event =
            if retry::is_eligible(try_number, max_tries) { TiEvent::FailedWithRetry } else { TiEvent::FailedFinally };
        let now = self.now;
        let next_retry_at = self.next_retry_at(task, event, now);
        // The node may come back with it: fence, and tell the node should it ask.
        self.cancel(task, attempt, reason.clone(), false);
        self.step(task, event, |ti| {
            ti.end_date = Some(now);
            ti.next_retry_at = next_retry_at;
            ti.failure = Some(Failure { class, reason });
        });
    }

    fn next_retry_at(&self, task: TaskIndex, event: TiEvent, end: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let ti = self.ti(task)?;
        let dag = &self.state.dag;
        (event == TiEvent::FailedWithRetry).then(|| {
            end + retry::delay(dag.dag_id.as_str(), &dag.tasks[task], self.state.run.logical_date, ti.try_number)
        })
    }

    /// Never handed out: a new attempt of the same try, for free.
    fn unplaced(&mut self, task: TaskIndex) {
        let old = self.ti(task).expect("the caller looked it up").attempt;
        let attempt = (self.ids)();
        self.plan.ended.push(old);
        self.step(task, TiEvent::Unplaced, |ti| ti.attempt = attempt);
        let try_number = self.ti(task).expect("just written").try_number;
        self.plan.attempts.push(NewAttempt { task, attempt, try_number });
    }

    fn stopped(&mut self, task: TaskIndex) {
        self.step(task, TiEvent::StopConfirmed, |ti| ti.stopping = None);
        self.look_at.insert((self.state.dag.rank(task), task));
    }

    /// Fences an attempt and has its node told.
    pub(crate) fn cancel(
        &mut self,
        task: TaskIndex,
        attempt: AttemptId,
        reason: String,
        wanted: bool,
    ) -> DateTime<Utc> {
        let deadline = self.now + CANCEL_GRACE + STOP_SLACK;
        self.plan.cancels.push(Cancel { task, attempt, reason, deadline, wanted });
        deadline
    }

    /// Retries that are due and stops that took too long.
    fn timers(&mut self) {
        for task in 0..self.state.tis.len() {
            let Some(ti) = self.ti(task) else { continue };
            match ti.state {
                TaskInstanceState::UpForRetry if self.retry_is_due(task) => {
                    self.look_at.insert((self.state.dag.rank(task), task));
                }
                TaskInstanceState::Restarting if ti.stopping.is_none_or(|stop| stop.deadline <= self.now) => {
                    self.stopped(task);
                }
                _ => {}
            }
        }
    }

    /// A try that failed in this very plan is written first, so that the archive has its end; without delay, the next plan
    /// follows at once.
    fn retry_is_due(&self, task: TaskIndex) -> bool {
        self.state.ti(task).is_some_and(|ti| {
            ti.state == TaskInstanceState::UpForRetry && ti.next_retry_at.is_none_or(|at| at <= self.now)
        })
    }

    /// Evaluates what may have become ready, upstream first, until nothing changes.
    fn evaluate(&mut self) {
        while let Some((_, task)) = self.look_at.pop_first() {
            let Some(ti) = self.ti(task) else { continue };
            let due = match ti.state {
                TaskInstanceState::None => true,
                TaskInstanceState::UpForRetry => self.retry_is_due(task),
                _ => false,
            };
            if !due {
                continue;
            }
            let now = self.now;
            match trigger_rule::evaluate(self.state.dag.tasks[task].trigger_rule, &self.upstreams(task)) {
                Verdict::Wait => {}
                Verdict::Run => self.ready(task),
                Verdict::Skip => self.step(task, TiEvent::Skip, |ti| decide(ti, now)),
                Verdict::UpstreamFailed => self.step(task, TiEvent::UpstreamFailed, |ti| decide(ti, now)),
            }
        }
    }

    /// The states of a task's direct upstreams. A task that the run has no instance of does not count (Airflow counts instances).
    fn upstreams(&self, task: TaskIndex) -> Upstreams {
        let mut up = Upstreams::default();
        for state in self.state.dag.upstream(task).filter_map(|upstream| self.ti_state(upstream)) {
            up.count(state);
        }
        up
    }

    fn ready(&mut self, task: TaskIndex) {
        let dag = &self.state.dag;
        let spec = &dag.tasks[task];
        let now = self.now;
        if self.ti(task).is_some_and(|ti| ti.try_number > 0 && ti.end_date.is_some()) {
            // A cleared instance was archived when it was cleared and has no end; a failed one is archived here.
            self.plan.archive.push(task);
        }
        if self.ti(task).is_some_and(|ti| ti.try_number > 0) {
            self.plan.forget_xcoms.push(task);
        }
        match spec.operator.place() {
            // Decided here, as Airflow's scheduler does: tried, never queued, no duration.
            Place::Plan => self.step(task, TiEvent::Succeeded, |ti| {
                ti.begin_anew();
                ti.try_number += 1;
                decide(ti, now);
            }),
            Place::Nowhere => {
                let reason = format!(
                    "operator `{}` cannot run on this deployment: no node has a runner for it",
                    spec.operator_class
                );
                self.step(task, TiEvent::FailedFinally, |ti| {
                    ti.begin_anew();
                    ti.try_number += 1;
                    decide(ti, now);
                    ti.failure = Some(Failure { class: FailureClass::UnsupportedOperator, reason });
                });
            }
            Place::Node | Place::Triggerer => {
                let attempt = (self.ids)();
                self.step(task, TiEvent::Ready, |ti| {
                    ti.begin_anew();
                    ti.try_number += 1;
                    ti.attempt = attempt;
                    ti.scheduled_dttm = Some(now);
                });
                let try_number = self.ti(task).expect("just written").try_number;
                self.plan.attempts.push(NewAttempt { task, attempt, try_number });
            }
        }
    }

    /// `dagrun_timeout`, measured from the start: the run fails, what is unfinished is skipped (semantics §2.4).
    fn time_out(&mut self) -> bool {
        let Some(at) = self.times_out_at() else { return false };
        if at > self.now {
            return false;
        }
        for task in 0..self.state.tis.len() {
            self.end_unfinished(task, TiEvent::Skip, "the run exceeded its dagrun_timeout");
        }
        self.end_run(DagRunState::Failed);
        true
    }

    fn times_out_at(&self) -> Option<DateTime<Utc>> {
        let run = self.run();
        let timeout = self.state.dag.dagrun_timeout?;
        (run.state == DagRunState::Running).then_some(run.start_date? + timeout)
    }

    /// Ends an unfinished instance from our side, fencing its attempt.
    pub(crate) fn end_unfinished(&mut self, task: TaskIndex, event: TiEvent, reason: &str) {
        let Some(ti) = self.ti(task) else { return };
        if ti.state.is_finished() {
            return;
        }
        let now = self.now;
        if ti.state.has_attempt() {
            self.cancel(task, ti.attempt, reason.to_owned(), false);
        }
        self.step(task, event, |ti| {
            ti.stopping = None;
            decide(ti, now);
        });
    }

    pub(crate) fn end_run(&mut self, state: DagRunState) {
        let now = self.now;
        let run = self.run_mut();
        run.state = state;
        run.end_date = Some(now);
    }

    /// The run's final state (semantics §2.2): when nothing is unfinished, the leaves decide; when nothing can move, deadlock.
    fn conclude(&mut self) {
        let mut unfinished = false;
        let mut moving = false;
        for task in 0..self.state.tis.len() {
            if let Some(state) = self.ti_state(task).filter(|state| !state.is_finished()) {
                unfinished = true;
                moving |= state != TaskInstanceState::None;
            }
            if moving {
                return;
            }
        }
        if unfinished {
            // Every unfinished instance waits for a rule that nothing running can still meet.
            self.end_run(DagRunState::Failed);
            return;
        }
        let failed =
            self.state.dag.leaves().filter_map(|leaf| self.ti_state(leaf)).any(TaskInstanceState::is_failure_like);
        self.end_run(if failed { DagRunState::Failed } else { DagRunState::Success });
    }

    pub(crate) fn finish(mut self) -> Plan {
        if !self.run().state.is_finished() {
            let tasks = (0..self.state.tis.len()).filter_map(|task| self.ti(task)).filter_map(|ti| match ti.state {
                TaskInstanceState::UpForRetry => ti.next_retry_at,
                TaskInstanceState::Restarting => ti.stopping.map(|stopping| stopping.deadline),
                _ => None,
            });
            let wake_at = tasks.chain(self.times_out_at()).min();
            // A paused DAG's due retry waits for the unpause, which wakes the run: no busy loop until then.
            self.plan.wake_at = wake_at.filter(|at| !self.run().dag_is_paused || *at > self.now);
        }
        self.plan
    }
}

fn note_start(ti: &mut Ti, started: &Started) {
    ti.queued_dttm = started.queued_dttm.or(ti.queued_dttm);
    ti.start_date = ti.start_date.or(started.at);
    if !started.hostname.is_empty() {
        ti.hostname.clone_from(&started.hostname);
    }
    ti.pid = started.pid.or(ti.pid);
}

/// Decided without running: begins and ends now.
fn decide(ti: &mut Ti, now: DateTime<Utc>) {
    ti.start_date = ti.start_date.or(Some(now));
    ti.end_date = Some(now);
    ti.next_retry_at = None;
}
