//! The run in memory: what the scheduler and the database are to a real one.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde_json::Value;
use updraft_core::{
    dag::Dag,
    ids::{AttemptId, MapIndex},
    operator::Place,
    plan::{
        Change, Event, Facts, Finished, Key, Need, Past, Plan, Run, RunState, Scope, Started, Ti, UNMAPPED,
        is_skipping, plan,
    },
    spec::{CodeRef, Decision, Failure, FailureClass, Launch, Outcome, RunContext, TaskSpec},
    state::{DagRunState, DagRunType, TaskInstanceState},
    template,
    triggerer::hitl::{Answer, Question},
};
use updraft_protocol::{CancelAttempt, FinishedReport, ReportBody, ReportEvent, ReportResult, StartedReport};
use updraft_store::sources::Environment;
use uuid::Uuid;

use super::triggerer::{Looked, Triggerer};

/// One run and everything that is known of it.
pub(super) struct Engine {
    state: RunState,
    context: Arc<RunContext>,
    code: CodeRef,
    /// Ready, not yet handed to the node.
    waiting: VecDeque<Key>,
    /// Those that need no node.
    triggerer: Triggerer,
    /// Attempts that are current, with their tasks; and those that were, for the prefix of late log lines.
    tasks: HashMap<Uuid, Key>,
    cancels: Vec<CancelAttempt>,
    xcoms: BTreeMap<(String, String, i32), Value>,
    /// Where variables and connections are: there is no table of them.
    environment: Environment,
    wake_at: Option<DateTime<Utc>>,
}

impl Engine {
    /// `unattended`: nobody is there to answer questions.
    pub(super) fn new(
        dag: Arc<Dag>,
        conf: Value,
        bundle_hash: String,
        relative_fileloc: String,
        environment: Environment,
        unattended: bool,
    ) -> Self {
        let now = now();
        let run = Run {
            id: 1,
            state: DagRunState::Running,
            run_type: DagRunType::Manual,
            logical_date: Some(now),
            queued_at: Some(now),
            start_date: Some(now),
            end_date: None,
            dag_is_paused: false,
        };
        let run_id = format!("manual__{}", now.to_rfc3339()).into();
        let context = RunContext {
            logical_date: Some(now),
            data_interval_start: Some(now),
            data_interval_end: Some(now),
            start_date: Some(now),
            ..RunContext::of_dag(&dag, run_id, DagRunType::Manual, now, conf)
        };
        let tis: Vec<(Key, Ti)> = dag
            .tasks
            .iter()
            .enumerate()
            .map(|(index, task)| (Key::unmapped(index), Ti::new(new_attempt(), task.retries)))
            .collect();
        let mut engine = Self {
            state: RunState::new(run, dag, tis),
            context: Arc::new(context),
            code: CodeRef { bundle_hash: Some(bundle_hash), relative_fileloc },
            waiting: VecDeque::new(),
            triggerer: Triggerer::new(unattended),
            tasks: HashMap::new(),
            cancels: Vec::new(),
            xcoms: BTreeMap::new(),
            environment,
            wake_at: None,
        };
        engine.step(&[]);
        engine
    }

    /// Goes on as far as it gets without the node: after each plan the tasks that need none are looked at.
    pub(super) fn step(&mut self, changes: &[Change]) {
        self.advance(changes);
        while let Some((place, attempt, key)) = self.triggerer.due(now()) {
            if let Some(change) = self.look(place, attempt, key) {
                self.advance(&[change]);
            }
        }
    }

    /// One look at a task that needs no node; what it tells plan.
    fn look(&mut self, place: u64, attempt: Uuid, key: Key) -> Option<Change> {
        let mut triggerer = std::mem::take(&mut self.triggerer);
        let looked = self
            .spec(key)
            .and_then(|spec| triggerer.look(place, &self.state.dag, spec, |reference| self.value(reference), now()));
        self.triggerer = triggerer;
        let Looked { event, xcoms, waits } = looked?;
        for (name, value) in xcoms {
            self.put_xcom(attempt, &name, value);
        }
        if let Some(waits) = waits {
            eprintln!("{}: waits {waits}", self.name(key));
        }
        let task_id = self.state.dag.tasks[key.task].task_id.clone();
        Some(Change { task_id, map_index: key.map_index, attempt: AttemptId(attempt), event })
    }

    /// When to step though nothing happens.
    pub(super) fn wakes_at(&self) -> Option<DateTime<Utc>> {
        self.wake_at.into_iter().chain(self.triggerer.next_look()).min()
    }

    /// The question to answer first: of which attempt, the task's name, what is asked.
    pub(super) fn question(&self) -> Option<(Uuid, String, Question)> {
        self.triggerer.question().map(|(attempt, key, question)| (attempt, self.name(key), question.clone()))
    }

    pub(super) fn answer(&mut self, attempt: Uuid, answer: Answer) {
        self.triggerer.answer(attempt, answer);
        self.step(&[]);
    }

    /// Nobody is there any more to answer.
    pub(super) fn leave(&mut self) {
        self.triggerer.leave(now());
        self.step(&[]);
    }

    /// Decides what comes next and does it; prints every change of a state.
    fn advance(&mut self, changes: &[Change]) {
        let plan = self.decide(changes);
        for (&key, ti) in &plan.tis {
            let before = self.state.ti(key).map(|ti| (ti.state, ti.try_number));
            if before != Some((ti.state, ti.try_number)) {
                self.announce(key, ti);
            }
        }
        for &key in &plan.forget_xcoms {
            let task_id = self.state.dag.tasks[key.task].task_id.to_string();
            self.xcoms.retain(|(owner, _, map_index), _| *owner != task_id || *map_index != key.map_index);
        }
        for attempt in &plan.attempts {
            match self.state.dag.tasks[attempt.key.task].operator.place() {
                Place::Triggerer => self.triggerer.add(attempt.attempt.0, attempt.key, now()),
                Place::Plan | Place::Node | Place::Nowhere => self.waiting.push_back(attempt.key),
            }
            self.tasks.insert(attempt.attempt.0, attempt.key);
        }
        for cancel in &plan.cancels {
            let grace_ms = u64::try_from((cancel.deadline - now()).num_milliseconds()).unwrap_or_default();
            self.cancels.push(CancelAttempt { attempt_id: cancel.attempt.0, grace_ms, reason: cancel.reason.clone() });
        }
        self.wake_at = plan.wake_at;
        self.state.apply(&plan);
        self.waiting.retain(|key| self.state.ti(*key).is_some_and(|ti| ti.state.has_attempt()));
        let current = |key, id| self.state.ti(key).is_some_and(|ti| ti.attempt.0 == id && ti.state.has_attempt());
        self.triggerer.retain(current);
    }

    /// Plans; what the plan asks for is here.
    fn decide(&self, changes: &[Change]) -> Plan {
        let mut facts = Facts::default();
        loop {
            let plan = plan(&self.state, changes, Scope::All, &facts, now(), &mut new_attempt);
            if plan.needs.is_empty() {
                return plan;
            }
            for need in &plan.needs {
                match need {
                    // A run on its own is the first of its DAG.
                    Need::Past => facts.past = Some(Past::default()),
                    Need::Context => facts.context = Some(self.context.clone()),
                    Need::Length { task_id, key } => {
                        let length = self.length(task_id.as_str(), key);
                        facts.lengths.insert((task_id.clone(), key.clone()), length);
                    }
                    Need::Value(reference) => {
                        facts.values.insert(reference.clone(), self.value(reference));
                    }
                }
            }
        }
    }

    /// What a template names: results of this run, and of variables and connections those that the environment has
    /// (`AIRFLOW_VAR_…`, `AIRFLOW_CONN_…`). There is no other run.
    pub(super) fn value(&self, reference: &template::Ref) -> Option<Value> {
        match reference {
            template::Ref::XCom { task_id, key, map_index, part } => self.xcom(task_id, key, *map_index, *part),
            template::Ref::XComOf { .. } => None,
            template::Ref::Variable { key } => self.environment.variable(key).map(Value::from),
            template::Ref::Connection { conn_id } => {
                let fields = self.environment.connection(conn_id).ok().flatten()?;
                serde_json::to_value(fields).ok()
            }
        }
    }

    /// How many elements a mapping over a result has.
    fn length(&self, task_id: &str, key: &str) -> Option<usize> {
        let is_mapped = self.state.dag.index_of(task_id).is_some_and(|task| self.state.dag.mapping(task).is_some());
        match self.whole_xcom(task_id, key, (!is_mapped).then_some(UNMAPPED))? {
            Value::Array(items) => Some(items.len()),
            Value::Object(entries) => Some(entries.len()),
            _ => None,
        }
    }

    /// How the run ended, once it has.
    pub(super) fn ended(&self) -> Option<bool> {
        self.state.run.state.is_finished().then(|| self.state.run.state == DagRunState::Success)
    }

    pub(super) fn dag_id(&self) -> &str {
        self.state.dag.dag_id.as_str()
    }

    /// Up to `free` attempts to start.
    pub(super) fn hand_out(&mut self, free: u32) -> Vec<TaskSpec> {
        let count = self.waiting.len().min(free as usize);
        let keys: Vec<Key> = self.waiting.drain(..count).collect();
        keys.into_iter().filter_map(|key| self.spec(key)).collect()
    }

    fn spec(&self, key: Key) -> Option<TaskSpec> {
        let (task, ti) = (&self.state.dag.tasks[key.task], self.state.ti(key)?);
        let launch = Launch {
            attempt_id: ti.attempt,
            map_index: MapIndex(key.map_index),
            try_number: ti.try_number,
            max_tries: ti.max_tries,
        };
        Some(TaskSpec::new(launch, &self.state.dag, task, &self.context, self.code.clone()))
    }

    pub(super) fn take_cancels(&mut self) -> Vec<CancelAttempt> {
        std::mem::take(&mut self.cancels)
    }

    /// Whether the run goes on with this attempt.
    pub(super) fn is_current(&self, attempt: Uuid) -> bool {
        let ti = self.tasks.get(&attempt).and_then(|key| self.state.ti(*key));
        ti.is_some_and(|ti| ti.attempt.0 == attempt && ti.state.has_attempt())
    }

    /// The task and try whose log lines carry this attempt.
    pub(super) fn label(&self, attempt: Uuid) -> String {
        self.tasks.get(&attempt).map_or_else(|| attempt.to_string(), |key| self.name(*key))
    }

    /// One value; without an index that of an unmapped task, or the list of a mapped task's values.
    pub(super) fn xcom(
        &self,
        task_id: &str,
        key: &str,
        map_index: Option<i32>,
        part: Option<template::Part>,
    ) -> Option<Value> {
        let whole = self.whole_xcom(task_id, key, map_index)?;
        let is_list = map_index.is_none() && !self.xcoms.contains_key(&(task_id.to_owned(), key.to_owned(), UNMAPPED));
        let part = part.filter(|part| !is_list || *part != template::Part::All);
        part.map_or(Some(whole.clone()), |part| part.of(&whole))
    }

    fn whole_xcom(&self, task_id: &str, key: &str, map_index: Option<i32>) -> Option<Value> {
        let at = |map_index| (task_id.to_owned(), key.to_owned(), map_index);
        if let Some(map_index) = map_index {
            return self.xcoms.get(&at(map_index)).cloned();
        }
        if let Some(value) = self.xcoms.get(&at(UNMAPPED)) {
            return Some(value.clone());
        }
        let values: Vec<Value> = self.xcoms.range(at(0)..=at(i32::MAX)).map(|(_, value)| value.clone()).collect();
        (!values.is_empty()).then_some(Value::Array(values))
    }

    fn name(&self, key: Key) -> String {
        let task_id = &self.state.dag.tasks[key.task].task_id;
        if key.map_index == UNMAPPED { task_id.to_string() } else { format!("{task_id}[{}]", key.map_index) }
    }

    pub(super) fn put_xcom(&mut self, attempt: Uuid, key: &str, value: Value) {
        if let Some(of) = self.tasks.get(&attempt) {
            let task_id = self.state.dag.tasks[of.task].task_id.to_string();
            self.xcoms.insert((task_id, key.to_owned(), of.map_index), value);
        }
    }

    /// Applies what the node reports.
    pub(super) fn report(&mut self, events: Vec<ReportEvent>) -> Vec<ReportResult> {
        let mut changes = Vec::new();
        let results = events.into_iter().map(|event| self.take(event, &mut changes)).collect();
        self.step(&changes);
        results
    }

    fn take(&mut self, event: ReportEvent, changes: &mut Vec<Change>) -> ReportResult {
        let Some(&key) = self.tasks.get(&event.attempt_id) else { return ReportResult::Stale };
        let current = self.is_current(event.attempt_id);
        let at = now() - Duration::from_millis(event.age_ms);
        let happened = match event.body {
            ReportBody::Preparing { what } => {
                eprintln!("{}: {what}", self.label(event.attempt_id));
                return if current { ReportResult::Ok } else { ReportResult::Stale };
            }
            ReportBody::Started(report) => Event::Started(started(report, at)),
            ReportBody::Finished(report) => {
                let value = report.return_value.clone().filter(|_| current);
                let finished = finished(*report, at);
                let skips = |decision: &Decision| is_skipping(&self.state.dag, key.task, decision);
                if let Some(value) = value
                    && !finished.decision.as_ref().is_some_and(skips)
                {
                    self.push_return_value(key, event.attempt_id, &value);
                }
                Event::Finished(Box::new(finished))
            }
            ReportBody::Stopped => Event::Stopped,
        };
        let is_stop = matches!(happened, Event::Stopped);
        let task_id = self.state.dag.tasks[key.task].task_id.clone();
        changes.push(Change {
            task_id,
            map_index: key.map_index,
            attempt: AttemptId(event.attempt_id),
            event: happened,
        });
        if current || is_stop { ReportResult::Ok } else { ReportResult::Stale }
    }

    fn push_return_value(&mut self, key: Key, attempt: Uuid, value: &Value) {
        if self.state.dag.tasks[key.task].multiple_outputs
            && let Value::Object(fields) = value
        {
            for (name, value) in fields {
                self.put_xcom(attempt, name, value.clone());
            }
        }
        self.put_xcom(attempt, "return_value", value.clone());
    }

    fn announce(&self, key: Key, ti: &Ti) {
        let task_id = self.name(key);
        let tries =
            if ti.max_tries > 0 { format!(" (try {} of {})", ti.try_number, ti.max_tries + 1) } else { String::new() };
        let reason = ti.failure.as_ref().map(|failure| format!(": {}", failure.reason)).unwrap_or_default();
        match ti.state {
            // Between two tries, and waiting for a slot: nothing a reader waits for.
            TaskInstanceState::None | TaskInstanceState::Scheduled | TaskInstanceState::Queued => {}
            state => eprintln!("{task_id}: {state}{tries}{reason}"),
        }
    }
}

fn started(report: StartedReport, at: DateTime<Utc>) -> Started {
    Started { queued_dttm: None, at: Some(at), hostname: report.hostname, pid: report.pid, execution: None }
}

fn finished(report: FinishedReport, at: DateTime<Utc>) -> Finished {
    let class = report.failure_class.as_deref();
    let class = FailureClass::ALL.iter().copied().find(|known| Some(known.as_str()) == class);
    let outcome = match report.outcome.as_str() {
        "success" => Outcome::Success,
        "skipped" => Outcome::Skipped,
        "rescheduled" => Outcome::Rescheduled,
        _ => Outcome::Failed,
    };
    let failure = (outcome == Outcome::Failed).then(|| Failure {
        class: class.unwrap_or(FailureClass::NodeError),
        reason: report.failure_reason.unwrap_or_else(|| "the node gave no reason".into()),
    });
    let rendered_map_index = report.started.rendered_map_index.clone();
    Finished {
        started: started(report.started, at - Duration::from_millis(report.duration_ms)),
        at: Some(at),
        outcome,
        exit_code: report.exit_code,
        failure,
        no_retry: report.no_retry,
        retry_delay: report.retry_delay_ms.map(Duration::from_millis),
        decision: report.decision.and_then(|decision| serde_json::from_value(decision).ok()),
        rendered_fields: report.rendered_fields,
        rendered_map_index,
        outlet_events: report.outlet_events,
    }
}

/// There is no database whose clock could be asked.
#[expect(clippy::disallowed_methods, reason = "a run without a database has this machine's clock")]
pub(super) fn now() -> DateTime<Utc> {
    Utc::now()
}

fn new_attempt() -> AttemptId {
    AttemptId(Uuid::new_v4())
}
