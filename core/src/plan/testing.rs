//! Small DAGs for tests.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Change, Event, Facts, Finished, Key, Plan, Run, RunState, Scope, Started, Ti, UNMAPPED, plan};
use crate::{
    dag::{Dag, Task},
    ids::AttemptId,
    operator::OperatorKind,
    spec::{Failure, FailureClass, Outcome},
    state::{DagRunState, DagRunType, TaskInstanceState},
};

/// A bash task with Airflow's defaults.
pub(crate) fn task(id: &str, upstream: &[&str]) -> Task {
    Task {
        upstream: upstream.iter().map(|&id| id.into()).collect(),
        ..Task::new(id, OperatorKind::Bash, "airflow.providers.standard.operators.bash.BashOperator")
    }
}

pub(crate) fn start() -> DateTime<Utc> {
    "2026-01-15T12:00:00Z".parse().expect("a date")
}

/// A run that lives in memory: every step plans, checks, and applies.
pub(crate) struct Sim {
    pub state: RunState,
    pub now: DateTime<Utc>,
    next_id: u128,
    /// Live attempts, as the database would have them.
    pub live: Vec<(Key, AttemptId)>,
    pub last: Plan,
    pub facts: Facts,
}

impl Sim {
    pub(crate) fn new(tasks: Vec<Task>) -> Self {
        Self::with(|dag| dag.tasks = tasks)
    }

    pub(crate) fn with(edit: impl FnOnce(&mut Dag)) -> Self {
        let mut dag = Dag::new("d");
        edit(&mut dag);
        let tis: Vec<(Key, Ti)> = dag
            .tasks
            .iter()
            .enumerate()
            .map(|(index, task)| (Key::unmapped(index), Ti::new(AttemptId(Uuid::nil()), task.retries)))
            .collect();
        let run = Run {
            id: 1,
            state: DagRunState::Running,
            run_type: DagRunType::Manual,
            logical_date: None,
            queued_at: Some(start()),
            start_date: Some(start()),
            end_date: None,
            dag_is_paused: false,
        };
        let state = RunState::new(run, Arc::new(dag), tis);
        Self { state, now: start(), next_id: 1, live: Vec::new(), last: Plan::default(), facts: Facts::default() }
    }

    pub(crate) fn ids(&mut self) -> impl FnMut() -> AttemptId + use<> {
        let mut next = self.next_id;
        self.next_id += 1_000_000;
        move || {
            next += 1;
            AttemptId(Uuid::from_u128(next))
        }
    }

    /// Plans, and checks that planning from nothing would have said the same.
    pub(crate) fn step(&mut self, scope: Scope, changes: &[Change]) -> &Plan {
        let before = self.next_id;
        let mut ids = self.ids();
        let decided = plan(&self.state, changes, scope, &self.facts, self.now, &mut ids);
        self.next_id = before;
        let mut ids = self.ids();
        let from_nothing = plan(&self.state, changes, Scope::All, &self.facts, self.now, &mut ids);
        assert_eq!(decided, from_nothing, "an incremental plan must equal one from nothing");
        self.commit(decided)
    }

    pub(crate) fn commit(&mut self, plan: Plan) -> &Plan {
        let over = |attempt: &AttemptId| {
            plan.ended.contains(attempt) || plan.cancels.iter().any(|cancel| cancel.attempt == *attempt)
        };
        self.live.retain(|(_, attempt)| !over(attempt));
        self.live.extend(plan.attempts.iter().map(|new| (new.key, new.attempt)));
        self.state.apply(&plan);
        self.last = plan;
        self.check();
        &self.last
    }

    /// The attempt row exists ⇔ the attempt is current.
    fn check(&self) {
        for (key, ti) in self.state.iter() {
            let live: Vec<_> = self.live.iter().filter(|(of, _)| *of == key).map(|(_, id)| *id).collect();
            let expected: Vec<_> = ti.state.has_attempt().then_some(ti.attempt).into_iter().collect();
            assert_eq!(live, expected, "{key:?} is {}", ti.state);
        }
    }

    pub(crate) fn begin(&mut self) -> &Plan {
        self.step(Scope::All, &[])
    }

    pub(crate) fn attempt(&self, id: &str) -> AttemptId {
        self.ti(id).attempt
    }

    pub(crate) fn change(&self, id: &str, event: Event) -> Change {
        Change { task_id: id.into(), map_index: UNMAPPED, attempt: self.attempt(id), event }
    }

    pub(crate) fn end(&mut self, id: &str, outcome: Outcome) -> &Plan {
        let change = self.change(id, finished(outcome, self.now));
        self.step(Scope::Changed, &[change])
    }

    pub(crate) fn succeed(&mut self, id: &str) -> &Plan {
        self.end(id, Outcome::Success)
    }

    pub(crate) fn fail(&mut self, id: &str) -> &Plan {
        self.end(id, Outcome::Failed)
    }

    pub(crate) fn wait(&mut self, seconds: i64) -> &Plan {
        self.now += TimeDelta::seconds(seconds);
        self.step(Scope::Changed, &[])
    }

    pub(crate) fn ti(&self, id: &str) -> &Ti {
        let index = self.state.dag.index_of(id).expect("the DAG has the task");
        self.state.ti(Key::unmapped(index)).expect("the run has the instance")
    }

    /// The instance of a mapped task.
    pub(crate) fn mapped(&self, id: &str, map_index: i32) -> &Ti {
        let task = self.state.dag.index_of(id).expect("the DAG has the task");
        self.state.ti(Key { task, map_index }).expect("the run has the instance")
    }

    pub(crate) fn end_mapped(&mut self, id: &str, map_index: i32, outcome: Outcome) -> &Plan {
        let attempt = self.mapped(id, map_index).attempt;
        let change = Change { task_id: id.into(), map_index, attempt, event: finished(outcome, self.now) };
        self.step(Scope::Changed, &[change])
    }

    /// The states of a task's instances, by map index.
    pub(crate) fn states(&self, id: &str) -> Vec<(i32, TaskInstanceState)> {
        let task = self.state.dag.index_of(id).expect("the DAG has the task");
        self.state.instances(task).iter().map(|(map_index, ti)| (map_index, ti.state)).collect()
    }

    pub(crate) fn state_of(&self, id: &str) -> TaskInstanceState {
        self.ti(id).state
    }

    pub(crate) fn run_state(&self) -> DagRunState {
        self.state.run.state
    }
}

pub(crate) fn finished(outcome: Outcome, at: DateTime<Utc>) -> Event {
    Event::Finished(Box::new(Finished {
        started: Started { queued_dttm: Some(at), at: Some(at), hostname: "n1".into(), pid: Some(7), execution: None },
        at: Some(at),
        outcome,
        exit_code: Some(i64::from(outcome == Outcome::Failed)),
        failure: (outcome == Outcome::Failed)
            .then(|| Failure { class: FailureClass::ExitCode, reason: "exit code 1".into() }),
        no_retry: false,
        retry_delay: None,
        decision: None,
        rendered_fields: None,
        rendered_map_index: None,
        outlet_events: None,
    }))
}
