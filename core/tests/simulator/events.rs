//! What happens to the world: nodes, time, users; and how a run is brought to its end.

use chrono::TimeDelta;
use updraft_core::{
    ids::AttemptId,
    operator::{OperatorKind, Place},
    plan::{Change, Event, Finished, Key, Selection, Started, TaskRef, UNMAPPED, clear, mark_run, mark_tis},
    spec::{Decision, Failure, FailureClass, Outcome},
    state::{DagRunState, TaskInstanceState},
};

use crate::world::World;

/// Rounds in which everything that can happen does, before a run counts as stuck.
const ROUNDS: usize = 400;

impl World {
    pub(crate) fn something_happens(&mut self) {
        match self.random.below(100) {
            0..34 => self.an_attempt_goes_on(),
            34..54 => self.a_run_reads_its_inbox(),
            54..68 => self.dispatch(),
            68..78 => self.time_passes(),
            78..81 => self.a_node_dies(),
            81..84 if self.nodes.len() < 4 => self.node_joins(),
            84..86 => self.a_launch_takes_too_long(),
            86..89 => self.a_stop_is_confirmed(),
            89..92 => self.a_user_clears(),
            92..94 => self.a_user_marks_instances(),
            94 => self.a_user_marks_a_run(),
            95 => self.a_dag_is_paused_or_goes_on(),
            96 => self.a_scheduler_dies(),
            97 if self.random.chance(30) => self.lists_change(),
            _ => self.a_queued_run_starts(),
        }
    }

    /// Some attempt that a node or the triggerer has says the next thing; sometimes twice.
    pub(crate) fn an_attempt_goes_on(&mut self) {
        let able: Vec<AttemptId> = self
            .attempts
            .iter()
            .filter(|(_, row)| !row.told && (row.executor.is_some() || self.is_triggered(row.key)))
            .map(|(id, _)| *id)
            .collect();
        let Some(&id) = self.random.pick(&able) else { return };
        let row = &self.attempts[&id];
        let (run, key, handed) = (row.run, row.key, row.handed);
        let waits = self.is_triggered(key);
        let event = match self.random.below(10) {
            0 if !handed && !waits => None,
            0..3 => Some(Event::Started(self.start())),
            3..5 if self.dag.tasks[key.task].operator == OperatorKind::Hitl => Some(Event::AwaitingInput),
            3..5 if waits => Some(Event::Deferred),
            _ => Some(self.end(run, key, false)),
        };
        let row = self.attempts.get_mut(&id).expect("picked from the table");
        row.handed = true;
        row.started |= matches!(event, Some(Event::Started(_)));
        row.told |= matches!(event, Some(Event::Finished(_)));
        if let Some(event) = event {
            self.tell(run, key, id, event);
        }
    }

    fn is_triggered(&self, key: Key) -> bool {
        self.dag.tasks[key.task].operator.place() == Place::Triggerer
    }

    fn tell(&mut self, run: usize, key: Key, attempt: AttemptId, event: Event) {
        let task_id = self.dag.tasks[key.task].task_id.clone();
        let change = Change { task_id, map_index: key.map_index, attempt, event };
        if self.random.chance(10) {
            self.jobs[run].inbox.push(change.clone());
        }
        self.jobs[run].inbox.push(change);
    }

    fn start(&self) -> Started {
        Started { queued_dttm: Some(self.now), at: Some(self.now), hostname: "n".into(), pid: Some(7), execution: None }
    }

    /// A random end, mostly good; `well`: no retries are asked for, so that the world comes to rest.
    fn end(&mut self, run: usize, key: Key, well: bool) -> Event {
        if self.script.is_some() {
            return self.end_of_script(run, key);
        }
        let kind = self.dag.tasks[key.task].operator;
        let outcome = match self.random.below(if well { 90 } else { 100 }) {
            0..65 => Outcome::Success,
            65..75 => Outcome::Failed,
            75..85 => Outcome::Skipped,
            _ if kind == OperatorKind::PythonSensor => Outcome::Rescheduled,
            _ => Outcome::Failed,
        };
        let decision = (outcome == Outcome::Success).then(|| self.decision(key, kind)).flatten();
        if outcome == Outcome::Success && decision.is_none() && self.random.chance(90) {
            let length = self.random.chance(90).then(|| self.random.below(4));
            self.jobs[run].results.insert(key, length);
        }
        let no_retry = outcome == Outcome::Failed && self.random.chance(10);
        self.finished(outcome, decision, no_retry)
    }

    pub(crate) fn finished(&self, outcome: Outcome, decision: Option<Decision>, no_retry: bool) -> Event {
        let failed = outcome == Outcome::Failed;
        Event::Finished(Box::new(Finished {
            started: self.start(),
            at: Some(self.now),
            outcome,
            exit_code: Some(i64::from(failed)),
            failure: failed.then(|| Failure { class: FailureClass::ExitCode, reason: "exit code 1".into() }),
            no_retry,
            retry_delay: None,
            decision,
            rendered_fields: None,
            rendered_map_index: None,
            outlet_events: None,
        }))
    }

    fn decision(&mut self, key: Key, kind: OperatorKind) -> Option<Decision> {
        match kind {
            OperatorKind::BranchPython | OperatorKind::Branch => {
                let downstream: Vec<String> =
                    self.dag.downstream(key.task).map(|task| self.dag.tasks[task].task_id.to_string()).collect();
                let mut chosen: Vec<String> = downstream.into_iter().filter(|_| self.random.chance(50)).collect();
                if self.random.chance(10) && self.dag.task_groups.contains_key("g") {
                    chosen.push("g".to_owned());
                }
                if self.random.chance(5) {
                    chosen.push("no such task".to_owned());
                }
                Some(Decision::Follow(chosen))
            }
            OperatorKind::ShortCircuitPython => self.random.chance(50).then_some(Decision::Stop),
            _ => None,
        }
    }

    /// It had planned a run, and either did not commit, so that the events are there still, or did, and nobody knows the run any more:
    /// the next plan is made from nothing.
    fn a_scheduler_dies(&mut self) {
        let run = self.random.below(self.jobs.len());
        let inbox = self.jobs[run].inbox.clone();
        if self.random.chance(50) {
            self.lose(run, &inbox);
        } else {
            self.jobs[run].inbox.clear();
            self.think(run, &inbox);
        }
        self.jobs[run].look_at_all = true;
    }

    /// A part of what lies in the inbox, in any order. What other runs did is always heard.
    pub(crate) fn a_run_reads_its_inbox(&mut self) {
        let run = self.random.below(self.jobs.len());
        let inbox = std::mem::take(&mut self.jobs[run].inbox);
        let (mut read, left) =
            inbox.into_iter().partition(|change| change.event == Event::Look || self.random.chance(70));
        self.jobs[run].inbox = left;
        self.random.shuffle(&mut read);
        self.think(run, &read);
    }

    /// A node's death is found with everything that it said before in one order or another.
    fn looks(&mut self, run: usize) -> Vec<Change> {
        let inbox = std::mem::take(&mut self.jobs[run].inbox);
        let (looks, left) = inbox.into_iter().partition(|change| change.event == Event::Look);
        self.jobs[run].inbox = left;
        looks
    }

    pub(crate) fn time_passes(&mut self) {
        self.now += TimeDelta::seconds(self.random.below(400) as i64);
        for run in 0..self.jobs.len() {
            if self.jobs[run].wake_at.is_some_and(|at| at <= self.now) {
                let looks = self.looks(run);
                self.think(run, &looks);
            }
        }
    }

    fn a_node_dies(&mut self) {
        if self.nodes.is_empty() {
            return;
        }
        let dead = self.nodes.swap_remove(self.random.below(self.nodes.len())).id;
        let lost: Vec<AttemptId> =
            self.attempts.iter().filter(|(_, row)| row.executor == Some(dead)).map(|(id, _)| *id).collect();
        for id in lost {
            let row = self.attempts.get_mut(&id).expect("found in the table");
            // Its place is given back by what plan does with the loss; the dead node says nothing more.
            row.told = true;
            let (run, key, handed) = (row.run, row.key, row.handed);
            self.tell(run, key, id, Event::Lost { handed, reason: "the node is gone".into() });
        }
    }

    fn a_launch_takes_too_long(&mut self) {
        let slow: Vec<AttemptId> = self
            .attempts
            .iter()
            .filter(|(_, row)| row.executor.is_some() && row.handed && !row.started && !row.told)
            .map(|(id, _)| *id)
            .collect();
        if let Some(&id) = self.random.pick(&slow) {
            let (run, key) = (self.attempts[&id].run, self.attempts[&id].key);
            self.tell(run, key, id, Event::LaunchTimeout);
        }
    }

    pub(crate) fn a_stop_is_confirmed(&mut self) {
        if !self.stops.is_empty() {
            let (run, change) = self.stops.swap_remove(self.random.below(self.stops.len()));
            self.jobs[run].inbox.push(change);
        }
    }

    fn selection(&mut self, run: usize) -> Selection {
        let keys: Vec<Key> = self.jobs[run].state.iter().map(|(key, _)| key).collect();
        let tasks = (0..=self.random.below(2))
            .filter_map(|_| {
                let key = *self.random.pick(&keys)?;
                let one = key.map_index != UNMAPPED && self.random.chance(50);
                let task_id = self.dag.tasks[key.task].task_id.to_string();
                Some(TaskRef { task_id, map_index: one.then_some(key.map_index) })
            })
            .collect();
        Selection {
            tasks: self.random.chance(80).then_some(tasks),
            include_upstream: self.random.chance(30),
            include_downstream: self.random.chance(60),
            only_failed: self.random.chance(20),
            only_running: self.random.chance(5),
        }
    }

    fn a_user_clears(&mut self) {
        let run = self.random.below(self.jobs.len());
        let selection = self.selection(run);
        let cleared = clear(&self.jobs[run].state, &selection, true, "a user", self.now, &mut self.ids());
        self.overrule(run, &cleared.plan);
    }

    fn a_user_marks_instances(&mut self) {
        let run = self.random.below(self.jobs.len());
        let selection = self.selection(run);
        let states = [TaskInstanceState::Success, TaskInstanceState::Failed, TaskInstanceState::Skipped];
        let to = *self.random.pick(&states).expect("there are three");
        let marked = mark_tis(&self.jobs[run].state, &selection, to, "a user", self.now, &mut self.ids());
        self.overrule(run, &marked.plan);
    }

    fn a_user_marks_a_run(&mut self) {
        let run = self.random.below(self.jobs.len());
        let states = [DagRunState::Success, DagRunState::Failed, DagRunState::Queued];
        let to = *self.random.pick(&states).expect("there are three");
        let plan = mark_run(&self.jobs[run].state, to, "a user", self.now, &mut self.ids());
        self.overrule(run, &plan);
    }

    /// What a user wants is written beside the scheduler, which then loads the run anew.
    pub(crate) fn overrule(&mut self, run: usize, plan: &updraft_core::plan::Plan) {
        self.commit(run, plan);
        self.jobs[run].look_at_all = true;
    }

    pub(crate) fn a_dag_is_paused_or_goes_on(&mut self) {
        let paused = !self.jobs[0].state.run.dag_is_paused && self.random.chance(50);
        self.set_paused(paused);
    }

    fn set_paused(&mut self, paused: bool) {
        for job in &mut self.jobs {
            job.state.run.dag_is_paused = paused;
            job.look_at_all = true;
            job.wake_at = Some(self.now);
        }
    }

    pub(crate) fn a_queued_run_starts(&mut self) {
        let queued = self.jobs.iter().position(|job| job.state.run.state == DagRunState::Queued);
        if let Some(run) = queued {
            let job = &mut self.jobs[run];
            job.state.run.state = DagRunState::Running;
            job.state.run.start_date = Some(self.now);
            job.look_at_all = true;
            let looks = self.looks(run);
            self.think(run, &looks);
        }
    }

    /// No more accidents: whatever can go on does, until every run has ended. How many did; the others wait for another run, which
    /// Airflow never calls a deadlock.
    pub(crate) fn drain(&mut self) -> usize {
        self.set_paused(false);
        for name in crate::dags::POOLS {
            self.pools.entry(name.to_owned()).or_insert(4);
        }
        for _ in 0..4 {
            self.node_joins();
        }
        for _ in 0..ROUNDS {
            let made = self.attempts_made;
            let mut moved = false;
            self.a_queued_run_starts();
            self.dispatch();
            let ids: Vec<AttemptId> = self.attempts.keys().copied().collect();
            for id in ids {
                let row = &self.attempts[&id];
                let (run, key) = (row.run, row.key);
                if !row.told && (row.executor.is_some() || self.is_triggered(key)) {
                    moved = true;
                    let end = self.end(run, key, true);
                    self.attempts.get_mut(&id).expect("looked up above").told = true;
                    self.tell(run, key, id, end);
                }
            }
            while !self.stops.is_empty() {
                self.a_stop_is_confirmed();
            }
            for run in 0..self.jobs.len() {
                let inbox = std::mem::take(&mut self.jobs[run].inbox);
                moved |= !inbox.is_empty();
                self.think(run, &inbox);
            }
            if self.jobs.iter().all(|job| job.state.run.state.is_finished()) {
                break;
            }
            let next = self.jobs.iter().filter_map(|job| job.wake_at).min();
            match next {
                Some(at) => self.now = self.now.max(at),
                None if moved || made != self.attempts_made => {}
                None if self.jobs.iter().any(|job| job.state.run.state == DagRunState::Queued) => {}
                None => break,
            }
        }
        let mut ended = 0;
        for run in 0..self.jobs.len() {
            let over = self.jobs[run].state.run.state.is_finished();
            assert!(over || self.may_wait_for_ever(run), "{}", self.stuck(run));
            ended += usize::from(over);
        }
        ended
    }
}
