//! Tasks that need no node: looks at them, as the scheduler's triggerer takes them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use updraft_core::{
    dag::Dag,
    operator::OperatorKind,
    plan::{Event, Finished, Key, Started},
    spec::{Failure, FailureClass, TaskSpec},
    template::{self, Ref, RenderError, Resolved},
    triggerer::{
        BadArguments, End, Look, Memory, Next, RETURN_VALUE, WaitingFor, decide,
        hitl::{self, Answer, Question},
    },
};
use uuid::Uuid;

/// A template may name values that only its earlier values lead to; more rounds than this are a mistake.
const ROUNDS: usize = 20;

/// Attempts that are looked at here, in the order in which they became ready.
#[derive(Default)]
pub(super) struct Triggerer {
    attempts: BTreeMap<u64, Attempt>,
    made: u64,
    /// Nobody is there to answer a question: the defaults count at once.
    unattended: bool,
}

struct Attempt {
    id: Uuid,
    key: Key,
    memory: Option<Memory>,
    /// When it is looked at; `None`: when it is answered.
    due: Option<DateTime<Utc>>,
    question: Option<Question>,
    answer: Option<Answer>,
}

/// What a look leads to.
pub(super) struct Looked {
    pub(super) event: Event,
    pub(super) xcoms: Vec<(String, Value)>,
    /// What it waits for, in words.
    pub(super) waits: Option<String>,
}

impl Triggerer {
    pub(super) fn new(unattended: bool) -> Self {
        Self { unattended, ..Self::default() }
    }

    pub(super) fn add(&mut self, id: Uuid, key: Key, now: DateTime<Utc>) {
        let attempt = Attempt { id, key, memory: None, due: Some(now), question: None, answer: None };
        self.attempts.insert(self.made, attempt);
        self.made += 1;
    }

    /// Forgets attempts that are over.
    pub(super) fn retain(&mut self, is_current: impl Fn(Key, Uuid) -> bool) {
        self.attempts.retain(|_, attempt| is_current(attempt.key, attempt.id));
    }

    /// An attempt to look at now: its place in the order, its task.
    pub(super) fn due(&self, now: DateTime<Utc>) -> Option<(u64, Uuid, Key)> {
        let is_due = |attempt: &Attempt| attempt.due.is_some_and(|due| due <= now);
        let found = self.attempts.iter().find(|(_, attempt)| is_due(attempt));
        found.map(|(place, attempt)| (*place, attempt.id, attempt.key))
    }

    pub(super) fn next_look(&self) -> Option<DateTime<Utc>> {
        self.attempts.values().filter_map(|attempt| attempt.due).min()
    }

    /// The question that has waited longest for its answer.
    pub(super) fn question(&self) -> Option<(Uuid, Key, &Question)> {
        let mut open = self.attempts.values().filter(|attempt| attempt.answer.is_none());
        open.find_map(|attempt| Some((attempt.id, attempt.key, attempt.question.as_ref()?)))
    }

    /// Answers an attempt's question, if it still waits; its look is due then.
    pub(super) fn answer(&mut self, id: Uuid, answer: Answer) {
        let asked = self.attempts.values_mut().find(|attempt| attempt.id == id && attempt.question.is_some());
        if let Some(attempt) = asked {
            attempt.due = Some(answer.at);
            attempt.answer = Some(answer);
        }
    }

    /// From now on nobody answers: every question that waits, and every later one, has its defaults.
    pub(super) fn leave(&mut self, now: DateTime<Utc>) {
        self.unattended = true;
        for attempt in self.attempts.values_mut().filter(|attempt| attempt.question.is_some()) {
            attempt.due = Some(now);
        }
    }

    /// Takes the look at the attempt of this place. `None`: it waits on, and that is known.
    pub(super) fn look(
        &mut self,
        place: u64,
        dag: &Dag,
        mut spec: TaskSpec,
        value: impl Fn(&Ref) -> Option<Value>,
        now: DateTime<Utc>,
    ) -> Option<Looked> {
        let attempt = self.attempts.get_mut(&place)?;
        let task = dag.task(spec.task_id.as_str())?;
        let is_first = attempt.memory.is_none();
        let mut memory = attempt.memory.take().unwrap_or_else(|| Memory::new(now));
        memory.looks = memory.looks.saturating_add(1);
        let rendered = render(&mut spec, value);
        let look = Look { dag, task, spec: &spec, memory: &memory, now };
        let next = if let Err(failure) = rendered {
            Next::End(End::failed(failure.class, failure.reason))
        } else {
            let decided = match task.operator {
                OperatorKind::Hitl => attempt.ask(&look, self.unattended),
                OperatorKind::TriggerDagRun | OperatorKind::ExternalTaskSensor => Ok(Next::End(foreign(&look))),
                _ => decide(&look).unwrap_or_else(|| {
                    Err(BadArguments(format!("operator {:?} is none of the triggerer's", task.operator)))
                }),
            };
            decided.unwrap_or_else(|bad| Next::End(bad.into()))
        };
        let (event, waiting_for, due) = match next {
            Next::End(end) => {
                let xcoms = pushed(&end, task.do_xcom_push, task.multiple_outputs);
                let event = Event::Finished(Box::new(finished(end, memory.started_at, now)));
                self.attempts.remove(&place);
                return Some(Looked { event, xcoms, waits: None });
            }
            Next::Defer { waiting_for, until } => (Event::Deferred, waiting_for, Some(until)),
            Next::AwaitInput { waiting_for, until } => (Event::AwaitingInput, waiting_for, until),
        };
        (attempt.memory, attempt.due) = (Some(memory), due);
        is_first.then(|| Looked { event, xcoms: Vec::new(), waits: words(&waiting_for) })
    }
}

impl Attempt {
    /// Asks at the first look; at a later one there is an answer, or its time is over.
    fn ask(&mut self, look: &Look<'_>, unattended: bool) -> Result<Next, BadArguments> {
        let question = match &self.question {
            Some(question) => question,
            None => self.question.insert(hitl::question(look)?),
        };
        if self.answer.is_none() && unattended {
            let Some(chosen_options) = question.defaults.clone() else {
                let reason = "nobody can be asked: the standard input is no terminal, and the question has no defaults";
                return Ok(Next::End(End::failed(FailureClass::ResponseTimeout, reason).without_retry()));
            };
            let params_input = hitl::inputs(question, &serde_json::Map::new());
            self.answer = Some(Answer { chosen_options, params_input, by: None, at: look.now });
        }
        if self.answer.is_none() {
            self.answer = hitl::default_answer(question, look.now);
        }
        hitl::next(look, question, self.answer.as_ref())
    }
}

/// The end of a task that needs runs of other DAGs.
fn foreign(look: &Look<'_>) -> End {
    let name = |key: &str| look.spec.args.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
    let reason = if look.task.operator == OperatorKind::TriggerDagRun {
        let dag_id = name("trigger_dag_id");
        format!("not in `dags test`: the task triggers a run of DAG `{dag_id}`, and here is one run of one DAG")
    } else {
        let dag_id = name("external_dag_id");
        format!("not in `dags test`: the task waits for DAG `{dag_id}`, and here is one run of one DAG")
    };
    End::failed(FailureClass::TriggerFailed, reason).without_retry()
}

fn words(waiting_for: &WaitingFor) -> Option<String> {
    match waiting_for {
        // A timer that never rings waits for the sensor's timeout.
        WaitingFor::Until { until } if *until == DateTime::<Utc>::MAX_UTC => None,
        WaitingFor::Until { until } => Some(format!("until {}", until.format("%F %T UTC"))),
        WaitingFor::Person { subject, .. } => Some(format!("for an answer: {subject}")),
        WaitingFor::DagRun { .. } | WaitingFor::ExternalTask { .. } => None,
    }
}

/// Renders the arguments in place.
fn render(spec: &mut TaskSpec, value: impl Fn(&Ref) -> Option<Value>) -> Result<(), Failure> {
    let failure = |reason: String| Failure { class: FailureClass::TemplateError, reason };
    let mut known = template::refs(spec);
    for _ in 0..ROUNDS {
        let resolved: Resolved = known.iter().map(|reference| (reference.clone(), value(reference))).collect();
        match template::render_fields(spec, &resolved) {
            Ok(args) => {
                spec.args = args;
                return Ok(());
            }
            Err(RenderError::Missing(missing)) => known.extend(missing),
            Err(RenderError::Failed(wrong)) => return Err(failure(wrong.to_string())),
        }
    }
    Err(failure(format!("The task's templates still ask for values after {ROUNDS} rounds of fetching them.")))
}

/// What an end leaves for other tasks.
fn pushed(end: &End, push_result: bool, multiple_outputs: bool) -> Vec<(String, Value)> {
    let mut xcoms = Vec::new();
    for (key, value) in end.xcoms.iter().filter(|(key, _)| push_result || key != RETURN_VALUE) {
        if let Value::Object(fields) = value
            && multiple_outputs
            && key == RETURN_VALUE
        {
            xcoms.extend(fields.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        xcoms.push((key.clone(), value.clone()));
    }
    xcoms
}

fn finished(end: End, started_at: DateTime<Utc>, now: DateTime<Utc>) -> Finished {
    Finished {
        started: Started {
            queued_dttm: None,
            at: Some(started_at),
            hostname: String::new(),
            pid: None,
            execution: None,
        },
        at: Some(now),
        outcome: end.outcome,
        exit_code: None,
        failure: end.failure,
        no_retry: end.no_retry,
        retry_delay: None,
        decision: end.decision,
        rendered_fields: None,
        rendered_map_index: None,
        outlet_events: None,
    }
}
