//! What a run does next: `plan` looks at a run, what happened to it and the time, and says what to write.
//!
//! It is called under the run's lock with everything read after the lock; it decides *whether* a task may run, never *where*
//! (that is [`crate::dispatch`]). Its cost grows with what changed: with [`Scope::Changed`] only the tasks downstream of a
//! change are looked at, and a property test checks that the answer is that of looking at everything.
//!
//! Where to start reading: [`plan`]; `take` (what happened), `evaluate` (what may begin), `conclude` (the run's own state);
//! `expand` (mapped tasks), `skip` (branches), `clear` and `mark` (what users do).

mod clear;
mod conclude;
mod evaluate;
mod expand;
mod facts;
mod mark;
pub mod retry;
mod run_state;
mod skip;
mod take;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transitions;
pub mod trigger_rule;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde_json::Value;

pub use self::{
    clear::{Cleared, Selection, TaskRef, clear, select},
    facts::{Facts, Need, Needs},
    mark::{Marked, mark_run, mark_tis},
    run_state::{
        Change, Event, Finished, Instances, Key, Past, PreviousRun, Run, RunState, SkipMixin, Started, Stopping, Ti,
        UNMAPPED,
    },
    skip::is_skipping,
    transitions::{Transition, Transitions, transitions},
};
use crate::{
    dag::TaskIndex,
    ids::AttemptId,
    spec::{Execution, Failure, FailureClass},
    state::{DagRunState, TaskInstanceState, TiEvent},
};

/// How long a cancelled task may take between SIGTERM and SIGKILL.
pub const CANCEL_GRACE: Duration = Duration::from_secs(10);
/// How much longer than the grace a node has to confirm a stop before the task starts anew without it.
const STOP_SLACK: Duration = Duration::from_secs(5);

/// When a stop that begins now counts as done, confirmed or not.
pub fn stop_deadline(now: DateTime<Utc>) -> DateTime<Utc> {
    now + CANCEL_GRACE + STOP_SLACK
}

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
    pub key: Key,
    pub attempt: AttemptId,
    pub try_number: i32,
}

/// An attempt to end from our side: fence it first, then tell its node.
#[derive(Clone, Debug, PartialEq)]
pub struct Cancel {
    pub key: Key,
    pub attempt: AttemptId,
    pub reason: String,
    pub deadline: DateTime<Utc>,
    /// The instance waits for the stop: where nothing was handed out, a `Stopped` must be put in the inbox at once.
    pub wanted: bool,
}

/// What to write, in one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Load these and plan again with the same changes: until then nothing may be written.
    pub needs: Needs,
    /// The run's new row, when it changed.
    pub run: Option<Run>,
    /// Added to the run's `clear_number`.
    pub cleared_runs: i32,
    /// Instances to archive as a try *before* `tis` is written.
    pub archive: Vec<Key>,
    /// Instances whose XComs go, because their next try begins.
    pub forget_xcoms: Vec<Key>,
    /// Rows to delete: a mapped task's one instance before it was expanded.
    pub unexpanded: Vec<Key>,
    /// Of `tis`: those that are not there yet.
    pub created: BTreeSet<Key>,
    /// New rows of instances.
    pub tis: BTreeMap<Key, Ti>,
    /// Rendered fields of attempts that ended.
    pub rendered: Vec<(Key, Value)>,
    /// How attempts that began or ended are carried out.
    pub executions: Vec<(Key, Execution)>,
    /// What the code of attempts that ended well said in `outlet_events`.
    pub outlet_events: Vec<(Key, Value)>,
    pub attempts: Vec<NewAttempt>,
    /// Attempts that are over.
    pub ended: Vec<AttemptId>,
    pub cancels: Vec<Cancel>,
    /// When to look again though nothing happens; `None`: only events matter.
    pub wake_at: Option<DateTime<Utc>>,
    /// Later runs of the DAG may wait for an instance that ended here (`depends_on_past`): have them look.
    pub wake_later_runs: bool,
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
        for &key in &plan.unexpanded {
            self.remove(key);
        }
        for (&key, ti) in &plan.tis {
            self.put(key, ti.clone());
        }
    }
}

/// Decides what the run does next. When the answer has [`Plan::needs`], load them into `facts` and ask again.
pub fn plan(
    state: &RunState,
    changes: &[Change],
    scope: Scope,
    facts: &Facts,
    now: DateTime<Utc>,
    ids: NewAttemptId<'_>,
) -> Plan {
    let mut work = Work::new(state, facts, now, ids);
    work.take(changes);
    work.timers();
    // It happened when the task failed, before anybody looked at the clock.
    work.fail_fast();
    if work.time_out() {
        return work.finish();
    }
    if work.goes_on() {
        // Nothing was decided yet: the run may have waited for its logical date.
        let untouched = state.moving() == 0 && state.unfinished() == state.len();
        if scope == Scope::All || untouched || changes.iter().any(|change| change.event == Event::Look) {
            work.look_at.extend(state.dag.topological().iter().enumerate().map(|(rank, &task)| (rank, task)));
        }
        work.evaluate();
        // What could not even begin failed for good just now; the teardowns that this leaves may begin.
        while work.fail_fast() {
            work.evaluate();
        }
        work.conclude();
        work.evaluated = true;
    }
    work.finish()
}

/// A plan in the making.
pub(crate) struct Work<'a> {
    state: &'a RunState,
    facts: &'a Facts,
    now: DateTime<Utc>,
    ids: NewAttemptId<'a>,
    plan: Plan,
    /// Tasks to evaluate, in topological order.
    look_at: BTreeSet<(usize, TaskIndex)>,
    /// Mapped tasks whose length was compared with their instances in this plan.
    revised: BTreeSet<TaskIndex>,
    /// An instance failed for good in this plan.
    failed: bool,
    /// Everything that may have become ready was looked at.
    evaluated: bool,
}

impl<'a> Work<'a> {
    pub(crate) fn new(state: &'a RunState, facts: &'a Facts, now: DateTime<Utc>, ids: NewAttemptId<'a>) -> Self {
        Self {
            state,
            facts,
            now,
            ids,
            plan: Plan::default(),
            look_at: BTreeSet::new(),
            revised: BTreeSet::new(),
            failed: false,
            evaluated: false,
        }
    }

    fn ti(&self, key: Key) -> Option<&Ti> {
        if self.plan.unexpanded.contains(&key) {
            return None;
        }
        self.plan.tis.get(&key).or_else(|| self.state.ti(key))
    }

    /// Goes through the instances of a task, as they are in this plan.
    fn each(&self, task: TaskIndex, mut look: impl FnMut(i32, &Ti)) {
        let of_task = Key { task, map_index: i32::MIN }..=Key { task, map_index: i32::MAX };
        let mut changed = self.plan.tis.range(of_task).peekable();
        if changed.peek().is_none() {
            self.state.instances(task).iter().for_each(|(map_index, ti)| look(map_index, ti));
            return;
        }
        for (map_index, ti) in self.state.instances(task).iter() {
            while let Some((key, new)) = changed.next_if(|(key, _)| key.map_index < map_index) {
                look(key.map_index, new);
            }
            match changed.next_if(|(key, _)| key.map_index == map_index) {
                Some((key, new)) if !self.plan.unexpanded.contains(key) => look(map_index, new),
                Some(_) => {}
                None if self.plan.unexpanded.contains(&Key { task, map_index }) => {}
                None => look(map_index, ti),
            }
        }
        changed.for_each(|(key, new)| look(key.map_index, new));
    }

    fn keys(&self, task: TaskIndex, wanted: impl Fn(i32, &Ti) -> bool) -> Vec<Key> {
        let mut keys = Vec::new();
        self.each(task, |map_index, ti| {
            if wanted(map_index, ti) {
                keys.push(Key { task, map_index });
            }
        });
        keys
    }

    /// Every instance of the run that a predicate wants.
    fn all_keys(&self, wanted: impl Fn(&Ti) -> bool) -> Vec<Key> {
        (0..self.state.dag.tasks.len()).flat_map(|task| self.keys(task, |_, ti| wanted(ti))).collect()
    }

    fn run(&self) -> &Run {
        self.plan.run.as_ref().unwrap_or(&self.state.run)
    }

    /// Whether instances may begin now: else the run waits for its DAG to be unpaused, for its logical date or for its turn, each of
    /// which wakes it.
    fn goes_on(&self) -> bool {
        let run = self.run();
        run.state == DagRunState::Running && !run.dag_is_paused && run.logical_date.is_none_or(|date| date <= self.now)
    }

    fn run_mut(&mut self) -> &mut Run {
        self.plan.run.get_or_insert_with(|| self.state.run.clone())
    }

    /// Moves an instance along the transition table and marks what depends on it.
    fn step(&mut self, key: Key, event: TiEvent, edit: impl FnOnce(&mut Ti)) {
        let Some(mut ti) = self.ti(key).cloned() else { return };
        // The callers below check the state first; the table is the proof, and a violation must not be written.
        let to = match ti.state.next(event) {
            Ok(to) => to,
            Err(illegal) => unreachable!("{illegal}"),
        };
        let was_active = ti.is_active();
        ti.state = to;
        edit(&mut ti);
        let frees = was_active && !ti.is_active();
        self.plan.tis.insert(key, ti);
        if frees && self.state.dag.tasks[key.task].max_active_tis_per_dagrun.is_some() {
            self.look(key.task);
        }
        self.failed |= event == TiEvent::FailedFinally;
        if is_delayed(to) {
            // Its upstreams may have changed while it ran, and decide it before its time.
            self.look(key.task);
        }
        if to.is_finished() {
            self.plan.wake_later_runs |= self.state.dag.scopes().depends_on_past();
            self.look_downstream(key.task);
        }
    }

    fn look(&mut self, task: TaskIndex) {
        self.look_at.insert((self.state.dag.rank(task), task));
    }

    /// After an instance of a task moved: whoever may depend on it.
    fn look_downstream(&mut self, task: TaskIndex) {
        let dag = &self.state.dag;
        let watchers = dag.scopes().watchers(task).iter().copied();
        self.look_at.extend(dag.downstream(task).chain(watchers).map(|next| (dag.rank(next), next)));
    }

    /// Fences an attempt and has its node told.
    pub(crate) fn cancel(&mut self, key: Key, attempt: AttemptId, reason: String, wanted: bool) -> DateTime<Utc> {
        let deadline = stop_deadline(self.now);
        // An attempt of this very plan is not written yet: nobody has it.
        let made = self.plan.attempts.len();
        self.plan.attempts.retain(|new| new.attempt != attempt);
        if self.plan.attempts.len() < made {
            return deadline;
        }
        self.plan.cancels.push(Cancel { key, attempt, reason, deadline, wanted });
        deadline
    }

    /// Ends an unfinished instance from our side, fencing its attempt.
    pub(crate) fn end_unfinished(&mut self, key: Key, event: TiEvent, reason: &str) {
        if self.ti(key).is_some_and(|ti| !ti.state.is_finished()) {
            self.end(key, event, reason);
        }
    }

    /// The same of an instance that may be over already.
    fn end(&mut self, key: Key, event: TiEvent, reason: &str) {
        let Some(ti) = self.ti(key) else { return };
        let now = self.now;
        let attempt = ti.state.has_attempt().then_some(ti.attempt);
        if let Some(attempt) = attempt {
            self.cancel(key, attempt, reason.to_owned(), false);
        }
        self.step(key, event, |ti| {
            ti.stopping = None;
            if attempt.is_some() && event == TiEvent::FailedFinally {
                ti.failure = Some(Failure { class: FailureClass::Cancelled, reason: reason.to_owned() });
            }
            decide(ti, now);
        });
    }

    pub(crate) fn end_run(&mut self, state: DagRunState) {
        let now = self.now;
        let run = self.run_mut();
        run.state = state;
        run.end_date = Some(now);
    }

    pub(crate) fn finish(mut self) -> Plan {
        if !self.run().state.is_finished() {
            let known = self.state.timers().iter().find(|(at, key)| self.still_counts(*at, *key));
            let new = self.plan.tis.values().filter_map(Ti::timer);
            let future = self.state.run.logical_date.filter(|date| *date > self.now);
            self.plan.wake_at =
                known.map(|(at, _)| *at).into_iter().chain(new).chain(self.times_out_at()).chain(future).min();
        }
        self.plan
    }

    /// Whether a timer from before this plan is one still. A try that was due, was looked at and may not begin waits for what
    /// holds it, and that wakes the run: its time has passed, and to keep it would have the run planned over and over.
    fn still_counts(&self, at: DateTime<Utc>, key: Key) -> bool {
        if self.plan.tis.contains_key(&key) || self.plan.unexpanded.contains(&key) {
            return false;
        }
        let is_held = self.evaluated || !self.goes_on();
        at > self.now || !(is_held && self.state.ti(key).is_some_and(|ti| is_delayed(ti.state)))
    }
}

/// Decided without running: begins and ends now.
fn decide(ti: &mut Ti, now: DateTime<Utc>) {
    ti.start_date = ti.start_date.or(Some(now));
    ti.end_date = Some(now);
    ti.next_retry_at = None;
}

/// Whether a mapped task's instance stands for all until the length is known.
fn is_unexpanded(state: &RunState, key: Key) -> bool {
    key.map_index == UNMAPPED && state.dag.mapping(key.task).is_some()
}

/// It waits for the time of its next try, or of its next look.
const fn is_delayed(state: TaskInstanceState) -> bool {
    matches!(state, TaskInstanceState::UpForRetry | TaskInstanceState::UpForReschedule)
}

/// Airflow's schedulable states: the rules decide about the instance, also before its time.
const fn is_schedulable(state: TaskInstanceState) -> bool {
    matches!(state, TaskInstanceState::None) || is_delayed(state)
}

/// Whether the time of a schedulable instance has come.
fn is_due(ti: &Ti, was: Option<&Ti>, now: DateTime<Utc>) -> bool {
    // A try that failed in this very plan is written first, so that the archive has its end; without delay, the next plan
    // follows at once.
    !is_delayed(ti.state) || was.is_some_and(|was| was.state == ti.state) && ti.next_retry_at.is_none_or(|at| at <= now)
}
