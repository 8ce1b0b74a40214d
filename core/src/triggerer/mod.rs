//! What the triggerer decides: operators that need the database and nothing else, and wait without holding a slot.
//!
//! An attempt is looked at when it begins, when its next look is due, and when something wakes it. Each look renders the
//! arguments, reads the facts the operator asks for, and decides here: it has ended, it waits for something, or it asks a
//! person. What is remembered between looks is a [`Memory`], stored with the attempt, so any scheduler may take the next look.
//!
//! One module per family: [`branch`] (decisions about what is downstream), [`time`] (timers), [`external`] (other runs and tasks),
//! [`trigger`] (making a run of another DAG), [`hitl`] (people).

pub mod branch;
pub mod external;
pub mod hitl;
pub mod sensor;
pub mod time;
pub mod trigger;

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    dag::{Dag, Task},
    operator::OperatorKind,
    spec::{Decision, Failure, FailureClass, Outcome, TaskSpec},
};

/// Nothing is looked at more often than this.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// What an attempt carries from look to look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The first look, the start of the try: timeouts count from it.
    pub started_at: DateTime<Utc>,
    /// Which look this is, from 1.
    pub looks: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
    /// The key of the run that it made and waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dag_run: Option<i64>,
}

impl Memory {
    /// The memory of an attempt that begins now.
    pub const fn new(now: DateTime<Utc>) -> Self {
        Self { started_at: now, looks: 0, waiting_for: None, dag_run: None }
    }
}

/// What an attempt waits for, for people; `updraft runs why` says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum WaitingFor {
    /// An instant.
    #[serde(rename = "waiting_until")]
    Until { until: DateTime<Utc> },
    /// The end of a run that it triggered.
    #[serde(rename = "waiting_for_dag_run")]
    DagRun { dag_id: String, run_id: String },
    /// A run or tasks of another DAG.
    #[serde(rename = "waiting_for_external_task")]
    ExternalTask {
        dag_id: String,
        logical_date: DateTime<Utc>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        task_ids: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task_group_id: Option<String>,
    },
    /// An answer.
    #[serde(rename = "waiting_for_person")]
    Person {
        subject: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<DateTime<Utc>>,
    },
}

/// One look at an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    pub dag: &'a Dag,
    pub task: &'a Task,
    /// With its arguments rendered.
    pub spec: &'a TaskSpec,
    pub memory: &'a Memory,
    pub now: DateTime<Utc>,
}

/// Arguments that do not fit the operator: what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadArguments(pub String);

impl From<BadArguments> for End {
    fn from(bad: BadArguments) -> Self {
        Self::failed(FailureClass::InvalidArguments, bad.0)
    }
}

impl Look<'_> {
    /// The rendered arguments as the operator reads them.
    fn arguments<T: DeserializeOwned>(&self) -> Result<T, BadArguments> {
        T::deserialize(Value::Object(self.spec.args.clone()))
            .map_err(|error| BadArguments(format!("the arguments of `{}`: {error}", self.task.operator_class)))
    }

    /// The run's logical date, or where it has none its `run_after`, as Airflow's operators have it.
    fn date(&self) -> DateTime<Utc> {
        self.spec.run.logical_date.unwrap_or(self.spec.run.run_after)
    }

    /// Today, on the DAG's clock.
    fn local_day(&self) -> NaiveDate {
        self.now.with_timezone(&self.dag.timezone).date_naive()
    }

    /// When `execution_timeout` ends the try.
    pub fn times_out_at(&self) -> Option<DateTime<Utc>> {
        self.task.execution_timeout.map(|timeout| after(self.memory.started_at, timeout))
    }

    /// The end of a try that took longer than its `execution_timeout`.
    fn timed_out(&self) -> Option<End> {
        self.times_out_at().filter(|at| *at <= self.now).map(|_| {
            let seconds = self.task.execution_timeout.unwrap_or_default().as_secs_f64();
            End::failed(FailureClass::ExecutionTimeout, format!("execution_timeout of {seconds} s passed"))
        })
    }
}

/// The decision of an operator that needs its look and nothing else; `None`: it asks for facts, in a way of its own.
pub fn decide(look: &Look<'_>) -> Option<Result<Next, BadArguments>> {
    Some(match look.task.operator {
        OperatorKind::Branch
        | OperatorKind::ShortCircuit
        | OperatorKind::LatestOnly
        | OperatorKind::BranchDayOfWeek
        | OperatorKind::BranchDateTime => branch::decide(look).map(Next::End),
        OperatorKind::TimeSensor
        | OperatorKind::TimeDeltaSensor
        | OperatorKind::DateTimeSensor
        | OperatorKind::DayOfWeekSensor => time::found(look).map(|found| sensor::next(look, found)),
        _ => return None,
    })
}

/// What a look decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    End(End),
    /// It waits without a slot; the next look is at `until`, or when something wakes it.
    Defer {
        waiting_for: WaitingFor,
        until: DateTime<Utc>,
    },
    /// It waits for a person; `until` is the deadline, if there is one.
    AwaitInput {
        waiting_for: WaitingFor,
        until: Option<DateTime<Utc>>,
    },
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    pub outcome: Outcome,
    pub failure: Option<Failure>,
    /// Another try is pointless: a sensor's timeout.
    pub no_retry: bool,
    pub decision: Option<Decision>,
    /// Key and value.
    pub xcoms: Vec<(String, Value)>,
}

/// The key of a task's result.
pub const RETURN_VALUE: &str = "return_value";

impl End {
    pub const fn success() -> Self {
        Self { outcome: Outcome::Success, failure: None, no_retry: false, decision: None, xcoms: Vec::new() }
    }

    pub const fn skipped() -> Self {
        Self { outcome: Outcome::Skipped, failure: None, no_retry: false, decision: None, xcoms: Vec::new() }
    }

    /// Failed; another try may follow.
    pub fn failed(class: FailureClass, reason: impl Into<String>) -> Self {
        let failure = Some(Failure { class, reason: reason.into() });
        Self { outcome: Outcome::Failed, failure, no_retry: false, decision: None, xcoms: Vec::new() }
    }

    #[must_use]
    pub const fn without_retry(mut self) -> Self {
        self.no_retry = true;
        self
    }

    #[must_use]
    pub fn deciding(mut self, decision: Decision) -> Self {
        self.decision = Some(decision);
        self
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.xcoms.push((key.to_owned(), value));
        self
    }
}

/// `at` + `duration`, as far as the calendar goes.
fn after(at: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|delta| at.checked_add_signed(delta))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::Arc;

    use chrono::{DateTime, Utc};
    use serde_json::{Map, Value};

    use super::{Look, Memory};
    use crate::{
        dag::{Dag, Task},
        ids::{AttemptId, MapIndex},
        operator::OperatorKind,
        spec::{CodeRef, Launch, RunContext, TaskSpec},
        state::DagRunType,
    };

    /// What a look needs, to be changed field by field.
    pub(crate) struct Scene {
        pub(crate) dag: Dag,
        pub(crate) task: Task,
        pub(crate) run: RunContext,
        pub(crate) memory: Memory,
        pub(crate) now: DateTime<Utc>,
    }

    pub(crate) fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    impl Scene {
        /// A scheduled daily run of 1 January 2026, looked at on the 2nd at noon.
        pub(crate) fn new(operator: OperatorKind) -> Self {
            let now = at("2026-01-02T12:00:00Z");
            Self {
                dag: Dag::new("d"),
                task: Task::new("t", operator, "x.Operator"),
                run: RunContext {
                    logical_date: Some(at("2026-01-01T00:00:00Z")),
                    data_interval_start: Some(at("2026-01-01T00:00:00Z")),
                    data_interval_end: Some(at("2026-01-02T00:00:00Z")),
                    ..RunContext::of_dag(
                        &Dag::new("d"),
                        "r".into(),
                        DagRunType::Scheduled,
                        at("2026-01-02T00:00:00Z"),
                        Value::Object(Map::new()),
                    )
                },
                memory: Memory { looks: 1, ..Memory::new(now) },
                now,
            }
        }

        pub(crate) fn look<T>(&self, decide: impl FnOnce(&Look<'_>) -> T) -> T {
            self.look_with(Value::Object(Map::new()), decide)
        }

        /// A look with these arguments, rendered.
        pub(crate) fn look_with<T>(&self, args: Value, decide: impl FnOnce(&Look<'_>) -> T) -> T {
            let launch = Launch {
                attempt_id: AttemptId(uuid::Uuid::nil()),
                map_index: MapIndex::UNMAPPED,
                try_number: 1,
                max_tries: 0,
            };
            let mut spec =
                TaskSpec::new(launch, &self.dag, &self.task, &Arc::new(self.run.clone()), CodeRef::default());
            spec.args = args.as_object().cloned().unwrap_or_default();
            decide(&Look { dag: &self.dag, task: &self.task, spec: &spec, memory: &self.memory, now: self.now })
        }
    }
}
