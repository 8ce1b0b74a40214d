//! Applying what happened: the inbox and the timers.

use super::{Change, Event, Finished, Key, NewAttempt, Started, Ti, Work, is_due, is_schedulable, retry, skip};
use crate::{
    dag::TaskIndex,
    spec::{Failure, FailureClass, Outcome},
    state::{TaskInstanceState, TiEvent},
};

impl Work<'_> {
    /// Applies what happened. A `finished` in the same batch beats a `lost`: the node spoke.
    pub(super) fn take(&mut self, changes: &[Change]) {
        let (lost, heard): (Vec<&Change>, Vec<&Change>) =
            changes.iter().partition(|change| matches!(change.event, Event::Lost { .. } | Event::LaunchTimeout));
        for change in heard.into_iter().chain(lost) {
            if change.event != Event::Look && !self.take_one(change) {
                self.plan.stale += 1;
            }
        }
    }

    /// Whether the change spoke of the current attempt (or of the stop that is waited for).
    fn take_one(&mut self, change: &Change) -> bool {
        let Some(task) = self.state.dag.index_of(change.task_id.as_str()) else { return false };
        let key = Key { task, map_index: change.map_index };
        let Some(ti) = self.ti(key) else { return false };
        let now = self.now;
        if let Event::Stopped = change.event {
            let waits = ti.stopping.is_some_and(|stopping| stopping.attempt == change.attempt);
            if waits && ti.state == TaskInstanceState::Restarting {
                self.stopped(key);
            }
            return waits;
        }
        if !ti.state.has_attempt() || ti.attempt != change.attempt {
            return false;
        }
        // Told twice, or late: a start after the attempt began to wait for a person.
        let too_late = |event| ti.state.next(event).is_err();
        let told = match &change.event {
            Event::Started(_) => too_late(TiEvent::Started),
            Event::Deferred => too_late(TiEvent::Deferred),
            Event::AwaitingInput => too_late(TiEvent::AwaitsInput),
            Event::Lost { handed: false, .. } => too_late(TiEvent::Unplaced),
            _ => false,
        };
        if told {
            return false;
        }
        match &change.event {
            Event::Started(started) => {
                self.note_execution(key, started);
                self.step(key, TiEvent::Started, |ti| note_start(ti, started));
            }
            Event::Finished(finished) => self.finished(key, finished),
            Event::Deferred => self.step(key, TiEvent::Deferred, |ti| ti.start_date = ti.start_date.or(Some(now))),
            Event::AwaitingInput => {
                self.step(key, TiEvent::AwaitsInput, |ti| ti.start_date = ti.start_date.or(Some(now)));
            }
            Event::Lost { handed: false, .. } => self.unplaced(key),
            Event::Lost { handed: true, reason } => self.failed_by_us(key, FailureClass::NodeLost, reason.clone()),
            Event::LaunchTimeout => {
                let reason = "the node took the task and did not start it in time".to_owned();
                self.failed_by_us(key, FailureClass::LaunchTimeout, reason);
            }
            Event::Stopped | Event::Look => unreachable!("handled above"),
        }
        true
    }

    fn finished(&mut self, key: Key, finished: &Finished) {
        let ti = self.ti(key).expect("the caller looked it up");
        let attempt = ti.attempt;
        // A node's ages may put the end a moment ahead of Postgres' clock; never let that delay or reorder anything.
        let end = finished.at.unwrap_or(self.now).min(self.now);
        let begun = ti.start_date.or(finished.started.at).unwrap_or(end);
        let (mut outcome, mut failure, mut no_retry) = (finished.outcome, finished.failure.clone(), finished.no_retry);
        let mut skips = skip::Skips::default();
        match (&finished.decision, outcome) {
            (Some(decision), Outcome::Success) => match skip::decide(&self.state.dag, key, decision) {
                Ok(found) => skips = found,
                Err(reason) => {
                    outcome = Outcome::Failed;
                    failure = Some(Failure { class: FailureClass::InvalidArguments, reason });
                }
            },
            (_, Outcome::Rescheduled) => {
                let sensor = self.state.dag.tasks[key.task].sensor.unwrap_or_default();
                if (end - begun).to_std().is_ok_and(|waited| waited > sensor.timeout) {
                    // Airflow's AirflowSensorTimeout: no retry.
                    no_retry = true;
                    outcome = if sensor.soft_fail { Outcome::Skipped } else { Outcome::Failed };
                    let waited = sensor.timeout.as_secs();
                    let reason = format!("the sensor's condition did not hold within its timeout of {waited} s");
                    failure = (!sensor.soft_fail).then_some(Failure { class: FailureClass::SensorTimeout, reason });
                }
            }
            _ => {}
        }
        let event = match outcome {
            Outcome::Success => TiEvent::Succeeded,
            Outcome::Skipped => TiEvent::Skip,
            Outcome::Rescheduled => TiEvent::Rescheduled,
            Outcome::Failed if !no_retry && self.is_eligible(key) => TiEvent::FailedWithRetry,
            Outcome::Failed => TiEvent::FailedFinally,
        };
        self.plan.ended.push(attempt);
        self.note_execution(key, &finished.started);
        if let Some(rendered) = &finished.rendered_fields {
            self.plan.rendered.push((key, rendered.clone()));
        }
        if let (TiEvent::Succeeded, Some(events)) = (event, &finished.outlet_events) {
            self.plan.outlet_events.push((key, events.clone()));
        }
        let next = match event {
            TiEvent::FailedWithRetry => Some(end + finished.retry_delay.unwrap_or_else(|| self.retry_delay(key))),
            TiEvent::Rescheduled => Some(end + self.poke_interval(key)),
            _ => None,
        };
        self.step(key, event, |ti| {
            note_start(ti, &finished.started);
            ti.next_retry_at = next;
            ti.failure = failure;
            ti.exit_code = finished.exit_code;
            ti.skipmixin = skips.record;
            if finished.rendered_map_index.is_some() {
                ti.rendered_map_index.clone_from(&finished.rendered_map_index);
            }
            if event == TiEvent::Rescheduled {
                ti.reschedules += 1;
            } else {
                ti.end_date = Some(ti.start_date.map_or(end, |start| end.max(start)));
            }
        });
        for task in skips.tasks {
            self.skip_downstream(task);
        }
    }

    fn note_execution(&mut self, key: Key, started: &Started) {
        let execution = started.execution.as_ref().filter(|execution| !execution.is_empty());
        self.plan.executions.extend(execution.map(|execution| (key, execution.clone())));
    }

    /// The attempt ended in a way its node did not tell.
    fn failed_by_us(&mut self, key: Key, class: FailureClass, reason: String) {
        let attempt = self.ti(key).expect("the caller looked it up").attempt;
        // The node may come back with it: fence, and tell the node should it ask.
        self.cancel(key, attempt, reason.clone(), false);
        self.fail(key, class, reason);
    }

    /// Fails an instance now, for good or until its next try.
    pub(super) fn fail(&mut self, key: Key, class: FailureClass, reason: String) {
        let now = self.now;
        let retries = self.is_eligible(key) && self.ti(key).is_some_and(|ti| ti.state.has_attempt());
        let next = retries.then(|| now + self.retry_delay(key));
        let event = if retries { TiEvent::FailedWithRetry } else { TiEvent::FailedFinally };
        self.step(key, event, |ti| {
            ti.end_date = Some(now);
            ti.next_retry_at = next;
            ti.failure = Some(Failure { class, reason });
        });
    }

    fn is_eligible(&self, key: Key) -> bool {
        self.ti(key).is_some_and(|ti| retry::is_eligible(ti.try_number, ti.max_tries))
    }

    fn retry_delay(&self, key: Key) -> std::time::Duration {
        let dag = &self.state.dag;
        let try_number = self.ti(key).map_or(1, |ti| ti.try_number);
        retry::delay(dag.dag_id.as_str(), &dag.tasks[key.task], self.state.run.logical_date, try_number)
    }

    fn poke_interval(&self, key: Key) -> std::time::Duration {
        let dag = &self.state.dag;
        let asked = self.ti(key).map_or(0, |ti| ti.reschedules) + 1;
        retry::poke_interval(dag.dag_id.as_str(), &dag.tasks[key.task], self.state.run.logical_date, asked)
    }

    /// Never handed out: a new attempt of the same try, for free.
    fn unplaced(&mut self, key: Key) {
        let old = self.ti(key).expect("the caller looked it up").attempt;
        let attempt = (self.ids)();
        self.plan.ended.push(old);
        self.step(key, TiEvent::Unplaced, |ti| ti.attempt = attempt);
        let try_number = self.ti(key).expect("just written").try_number;
        self.plan.attempts.push(NewAttempt { key, attempt, try_number });
    }

    fn stopped(&mut self, key: Key) {
        self.step(key, TiEvent::StopConfirmed, |ti| ti.stopping = None);
        self.look(key.task);
    }

    /// Retries that are due and stops that took too long.
    pub(super) fn timers(&mut self) {
        let due: Vec<Key> =
            self.state.timers().iter().take_while(|(at, _)| *at <= self.now).map(|(_, key)| *key).collect();
        for key in due {
            let Some(ti) = self.ti(key) else { continue };
            if ti.state == TaskInstanceState::Restarting {
                if ti.stopping.is_none_or(|stop| stop.deadline <= self.now) {
                    self.stopped(key);
                }
            } else if is_schedulable(ti.state) && is_due(ti, self.state.ti(key), self.now) {
                self.look(key.task);
            }
        }
    }

    /// A branch not taken: whatever does not run, and neither succeeded nor failed, is skipped (semantics §12.2). An element that is
    /// gone stays so.
    fn skip_downstream(&mut self, task: TaskIndex) {
        let is_left_alone = |state| {
            use TaskInstanceState::{Failed, Removed, Running, Skipped, Success};
            matches!(state, Running | Success | Failed | Skipped | Removed)
        };
        for key in self.keys(task, |_, ti| !is_left_alone(ti.state)) {
            self.end(key, TiEvent::Skip, "a branch did not choose it");
        }
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
