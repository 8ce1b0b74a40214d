//! The compiled DAG: what a file means after defaults, short forms and groups are resolved.
//!
//! A [`Dag`] is immutable, serialises canonically (its hash is the DAG version) and holds its graph as a petgraph so that
//! nothing outside this module walks edges by hand.

mod priority;
mod refusal;
mod resources;
mod retry_policy;

use std::{sync::OnceLock, time::Duration};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use indexmap::IndexMap;
use petgraph::{
    Direction,
    graph::{DiGraph, NodeIndex},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub use self::{
    refusal::RunRefusal,
    resources::{Resources, Ulimit, parse_bytes},
    retry_policy::{RetryAction, RetryPolicy, RetryRule},
};
pub use crate::asset::{AssetExpression, AssetRef};
use crate::{
    ids::{DagId, TaskId},
    operator::OperatorKind,
    scopes::Scopes,
    state::DagRunType,
};

/// Airflow's default of `[core] max_map_length`.
pub const MAX_MAP_LENGTH: u32 = 1024;

const fn max_map_length() -> u32 {
    MAX_MAP_LENGTH
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
const fn is_max_map_length(length: &u32) -> bool {
    *length == MAX_MAP_LENGTH
}

/// When runs are made. The long form; presets are already their cron expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Schedule {
    /// Only by hand, API or another DAG.
    None,
    Once,
    Continuous,
    /// `CronTriggerTimetable`: a run at each tick, logical date = tick; with `interval`, data interval = [tick − interval, tick].
    Cron {
        /// One or more expressions (`MultipleCronTriggerTimetable`), each checked by `timetable::cron`.
        expressions: Vec<String>,
        timezone: Tz,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        interval: Option<Step>,
        #[serde(skip_serializing_if = "RunImmediately::is_default", default)]
        run_immediately: RunImmediately,
    },
    /// `CronDataIntervalTimetable`: a run for [tick, next tick) at its end.
    CronInterval {
        expression: String,
        timezone: Tz,
    },
    /// `DeltaTriggerTimetable`: every `delta` from the start date; with `interval`, data interval = [tick − interval, tick].
    Delta {
        delta: Step,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        interval: Option<Step>,
    },
    /// `DeltaDataIntervalTimetable`.
    DeltaInterval {
        delta: Step,
    },
    /// Events at fixed instants (`EventsTimetable`).
    Events {
        dates: Vec<DateTime<Utc>>,
    },
    /// Runs on asset events (with `timetable`, also on time).
    Assets {
        expression: AssetExpression,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        timetable: Option<Box<Schedule>>,
    },
    /// Runs that have a partition key (semantics §15): loaded and shown, and no run is made until partitions are run.
    Partitioned {
        /// The class of the timetable, without its module.
        timetable: String,
        /// Of `CronPartitionTimetable`, checked by `timetable::cron`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        expression: Option<String>,
    },
}

impl Schedule {
    /// A run at each tick of one expression.
    pub fn cron(expression: impl Into<String>, timezone: Tz) -> Self {
        Self::Cron {
            expressions: vec![expression.into()],
            timezone,
            interval: None,
            run_immediately: RunImmediately::default(),
        }
    }
}

/// Which tick is the first of a DAG without start date: `run_immediately` of Airflow's cron trigger timetables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunImmediately {
    /// The one just missed if that is not long ago (a tenth of the period, at least 5 minutes), else the next. Airflow's `False`.
    #[default]
    IfRecent,
    /// The one just missed. Airflow's `True`.
    Always,
    /// The one just missed if it is at most this long ago, else the next. A `timedelta` in Airflow.
    Within(#[serde(with = "seconds")] Duration),
}

impl RunImmediately {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A calendar step: months are added on the calendar (clamped to the month's end), the rest is elapsed time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub months: i32,
    #[serde(with = "seconds")]
    pub duration: Duration,
}

/// The condition on a task's direct upstreams; see `plan::trigger_rule` for the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerRule {
    #[default]
    AllSuccess,
    AllFailed,
    AllDone,
    AllDoneMinOneSuccess,
    AllDoneSetupSuccess,
    OneSuccess,
    OneFailed,
    OneDone,
    NoneFailed,
    NoneFailedMinOneSuccess,
    NoneSkipped,
    AllSkipped,
    Always,
}

/// How a task's stored priority is made from the graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightRule {
    #[default]
    Downstream,
    Upstream,
    Absolute,
}

/// One task of a compiled DAG. Field defaults are Airflow's (`BaseOperator`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub task_id: TaskId,
    /// The current class path of the operator, whatever alias or old path the file used.
    pub operator_class: String,
    pub operator: OperatorKind,
    /// The operator's arguments in long form, templates unrendered.
    pub args: Map<String, Value>,
    /// Direct upstream task ids, in file order, groups resolved.
    pub upstream: Vec<TaskId>,
    /// The innermost group's full id.
    pub task_group: Option<String>,
    pub owner: String,
    pub trigger_rule: TriggerRule,
    pub retries: u32,
    #[serde(with = "seconds")]
    pub retry_delay: Duration,
    /// The multiplier; 0 and 1 mean constant delay, `true` in a file is 2.
    pub retry_exponential_backoff: f64,
    #[serde(with = "seconds::option")]
    pub max_retry_delay: Option<Duration>,
    /// Of Python tasks: which exceptions are worth another try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    #[serde(with = "seconds::option")]
    pub execution_timeout: Option<Duration>,
    pub depends_on_past: bool,
    pub wait_for_downstream: bool,
    pub ignore_first_depends_on_past: bool,
    pub pool: String,
    pub pool_slots: u32,
    pub queue: String,
    pub priority_weight: i32,
    pub weight_rule: WeightRule,
    pub max_active_tis_per_dag: Option<u32>,
    pub max_active_tis_per_dagrun: Option<u32>,
    pub do_xcom_push: bool,
    pub multiple_outputs: bool,
    pub start_date: Option<DateTime<Utc>>,
    pub end_date: Option<DateTime<Utc>>,
    /// Labels a node must have; a list means any of.
    pub worker_selector: IndexMap<String, Vec<String>>,
    /// Environment of the process or container, templates unrendered (the DAG's `env` merged in).
    pub env: IndexMap<String, String>,
    pub params: Map<String, Value>,
    pub task_display_name: String,
    pub doc: Option<String>,
    pub doc_md: Option<String>,
    /// One instance per element; `None` for an ordinary task. A member of a mapped group has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Mapping>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_index_template: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_setup: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_teardown: bool,
    /// Whether a failed teardown fails the run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub on_failure_fail_dagrun: bool,
    /// Native: a template; false, empty, `0`, `no` or `none` skips the task before it would be scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Native: what becomes of a command's standard output.
    #[serde(default, skip_serializing_if = "Output::is_text")]
    pub output: Output,
    /// Native: environment variables that the node fills in and masks, by checked source (`variable:key`,
    /// `connection:id.password`, `env:NAME`, `file:/path`).
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub secrets: IndexMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_user: Option<String>,
    /// What its processes may use of the node.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inlets: Vec<AssetRef>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outlets: Vec<AssetRef>,
    /// What happens beside the task when its state changes, in file order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<Callback>,
    /// How a waiting task waits; `None` for tasks that do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor: Option<Sensor>,
    /// Everything the long form carries that the engine does not act on: shown, never guessed.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

impl Task {
    /// A task with Airflow's defaults.
    pub fn new(task_id: impl Into<TaskId>, operator: OperatorKind, operator_class: impl Into<String>) -> Self {
        let task_id = task_id.into();
        Self {
            task_display_name: task_id.to_string(),
            task_id,
            operator_class: operator_class.into(),
            operator,
            args: Map::new(),
            upstream: Vec::new(),
            task_group: None,
            owner: "airflow".to_owned(),
            trigger_rule: TriggerRule::AllSuccess,
            retries: 0,
            retry_delay: Duration::from_mins(5),
            retry_exponential_backoff: 0.0,
            max_retry_delay: None,
            retry_policy: None,
            execution_timeout: None,
            depends_on_past: false,
            wait_for_downstream: false,
            ignore_first_depends_on_past: false,
            pool: "default_pool".to_owned(),
            pool_slots: 1,
            queue: "default".to_owned(),
            priority_weight: 1,
            weight_rule: WeightRule::Downstream,
            max_active_tis_per_dag: None,
            max_active_tis_per_dagrun: None,
            do_xcom_push: true,
            multiple_outputs: false,
            start_date: None,
            end_date: None,
            worker_selector: IndexMap::new(),
            env: IndexMap::new(),
            params: Map::new(),
            doc: None,
            doc_md: None,
            mapping: None,
            map_index_template: None,
            is_setup: false,
            is_teardown: false,
            on_failure_fail_dagrun: false,
            when: None,
            output: Output::Text,
            secrets: IndexMap::new(),
            run_as_user: None,
            resources: Resources::default(),
            inlets: Vec::new(),
            outlets: Vec::new(),
            callbacks: Vec::new(),
            sensor: None,
            extra: Map::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// How the instances of a mapped task or task group come about (semantics §13).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    pub kind: MappingKind,
    /// In file order. [`MappingKind::ExpandKwargs`] has one, `kwargs`; [`MappingKind::Foreach`] has one, `item`.
    pub inputs: IndexMap<String, MapInput>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MappingKind {
    /// The cross product of the inputs, the last fastest; each is an argument of the operator (of a group: a name for templates).
    Expand,
    /// A list of mappings, each a set of arguments.
    ExpandKwargs,
    /// One instance per element, `{{ item }}` in its templates; of a mapping `{key, value}`.
    Foreach,
    /// The cross product, `{{ matrix.name }}` in its templates.
    Matrix,
}

/// What a mapping goes through: a list, or a mapping whose elements are its entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapInput {
    /// Known when the run is created.
    Literal(Value),
    /// The result of a task; known when it succeeded.
    XCom { task_id: TaskId, key: String },
    /// A template that renders to a list or mapping; evaluated by the scheduler when the task's upstreams are done.
    Template(String),
}

/// What becomes of a command's standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Its last line is the result, as Airflow has it.
    #[default]
    Text,
    /// The whole of it is JSON and the result.
    Json,
    /// There is no result.
    None,
}

impl Output {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_text(&self) -> bool {
        *self == Self::Text
    }
}

/// Something to do when a task instance or a run changes its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Callback {
    pub on: CallbackEvent,
    #[serde(flatten)]
    pub action: CallbackAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackEvent {
    Execute,
    Success,
    Failure,
    Retry,
    Skipped,
}

impl CallbackEvent {
    /// The stored spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Retry => "retry",
            Self::Skipped => "skipped",
        }
    }
}

/// The texts are templates, rendered with the context of the task instance (of a run: its last one).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum CallbackAction {
    Email {
        to: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// HTML.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// `None`: the server's SMTP settings.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conn_id: Option<String>,
    },
    Http {
        url: String,
        method: String,
        #[serde(default, skip_serializing_if = "Value::is_null")]
        json: Value,
        #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
        headers: IndexMap<String, String>,
    },
    Slack {
        /// A connection with a webhook URL as host, or a token as password.
        conn_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
        text: String,
    },
    /// A function of the DAG's code, called on a node with the context.
    Python {
        callable: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        kwargs: Map<String, Value>,
    },
}

/// How a sensor waits (Airflow's `BaseSensorOperator`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensor {
    #[serde(with = "seconds")]
    pub poke_interval: Duration,
    /// From the first start of the try. A sensor that waited longer fails without a retry, or is skipped with `soft_fail`.
    #[serde(with = "seconds")]
    pub timeout: Duration,
    pub soft_fail: bool,
    pub exponential_backoff: bool,
    #[serde(with = "seconds::option")]
    pub max_wait: Option<Duration>,
    /// A mistake while looking (not the time-out) is logged, and the sensor goes on waiting.
    #[serde(default, skip_serializing_if = "is_false")]
    pub silent_fail: bool,
    /// Any failure, the time-out too, skips the task instead.
    #[serde(default, skip_serializing_if = "is_false")]
    pub never_fail: bool,
}

impl Default for Sensor {
    fn default() -> Self {
        Self {
            poke_interval: Duration::from_secs(60),
            timeout: Duration::from_secs(7 * 24 * 3600),
            soft_fail: false,
            exponential_backoff: false,
            max_wait: None,
            silent_fail: false,
            never_fail: false,
        }
    }
}

/// A deadline of each run (semantics §16): `reference` + `interval`, then the callback if the run has not ended well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deadline {
    pub reference: DeadlineReference,
    #[serde(with = "seconds")]
    pub interval: Duration,
    pub action: CallbackAction,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadlineReference {
    LogicalDate,
    QueuedAt,
    Fixed(DateTime<Utc>),
    /// The mean duration of the last `max_runs` successful runs, from `queued_at`.
    AverageRuntime {
        max_runs: u32,
    },
}

/// One task group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskGroup {
    pub group_id: String,
    pub parent: Option<String>,
    pub tooltip: String,
    pub prefix_group_id: bool,
    pub display_name: Option<String>,
    /// What the file says about the group as a whole (the tasks' own edges are in [`Task::upstream`]), for display.
    #[serde(default)]
    pub upstream_tasks: Vec<TaskId>,
    /// Its members have one instance per element, and depend on each other index by index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Mapping>,
    #[serde(default)]
    pub downstream_tasks: Vec<TaskId>,
    #[serde(default)]
    pub upstream_groups: Vec<String>,
    #[serde(default)]
    pub downstream_groups: Vec<String>,
}

/// A compiled DAG.
#[derive(Debug, Serialize, Deserialize)]
pub struct Dag {
    pub dag_id: DagId,
    pub dag_display_name: String,
    pub description: Option<String>,
    pub doc_md: Option<String>,
    pub tags: Vec<String>,
    pub schedule: Schedule,
    pub timezone: Tz,
    /// Resolved instants. A relative date of the file is resolved at each load but recorded symbolically in `source_dates`.
    pub start_date: Option<DateTime<Utc>>,
    pub end_date: Option<DateTime<Utc>>,
    pub catchup: bool,
    pub max_active_runs: u32,
    pub max_active_tasks: u32,
    /// The most instances of a mapped task: the server's setting when the file was compiled.
    #[serde(default = "max_map_length", skip_serializing_if = "is_max_map_length")]
    pub max_map_length: u32,
    /// The types of run that may be made; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_run_types: Option<Vec<DagRunType>>,
    #[serde(with = "seconds::option")]
    pub dagrun_timeout: Option<Duration>,
    pub max_consecutive_failed_dag_runs: u32,
    pub fail_fast: bool,
    pub is_paused_upon_creation: Option<bool>,
    pub render_template_as_native_obj: bool,
    /// Parameter → default value.
    pub params: IndexMap<String, Value>,
    /// Parameter → JSON Schema, where the file gives one.
    pub param_schemas: IndexMap<String, Value>,
    pub default_args: Map<String, Value>,
    pub task_groups: IndexMap<String, TaskGroup>,
    /// In file order.
    pub tasks: Vec<Task>,
    /// When a run ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<Callback>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deadlines: Vec<Deadline>,
    /// Whether a cleared or backfilled run of a pinned version follows the latest one; `None`: the server's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_with_latest_version: Option<bool>,
    /// Folders of `{% include %}` and of files that arguments name, relative to the DAG folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub template_searchpath: Vec<String>,
    /// Extra names in templates, with their values.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub user_defined_macros: Map<String, Value>,
    /// What the engine does not act on; see [`Task::extra`].
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
    /// Relative dates as written (`start_date` → `2 days`; `default_args.start_date`, `tasks.<id>.start_date` likewise).
    /// The instants above move with the day the file is read on; [`Self::hash`] looks at these instead.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub source_dates: IndexMap<String, String>,
    #[serde(skip)]
    graph: OnceLock<Graph>,
    #[serde(skip)]
    scopes: OnceLock<Scopes>,
}

/// A task's position in [`Dag::tasks`] and in everything indexed like it.
pub type TaskIndex = usize;

#[derive(Debug)]
struct Graph {
    edges: DiGraph<(), (), u32>,
    by_id: IndexMap<TaskId, TaskIndex>,
    topological: Vec<TaskIndex>,
    /// Task → its place in `topological`.
    rank: Vec<usize>,
    /// Only who makes runs asks for them.
    priorities: OnceLock<Vec<i32>>,
}

/// The tasks of a DAG form a cycle; the path is closed (first = last).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tasks form a cycle: {}", path.iter().map(TaskId::as_str).collect::<Vec<_>>().join(" → "))]
pub struct Cycle {
    pub path: Vec<TaskId>,
}

/// A DAG with nothing but an id and the defaults of Airflow 3; the loader and the tests fill in the rest.
impl Dag {
    pub fn new(dag_id: impl Into<DagId>) -> Self {
        let dag_id = dag_id.into();
        Self {
            dag_display_name: dag_id.to_string(),
            dag_id,
            description: None,
            doc_md: None,
            tags: Vec::new(),
            schedule: Schedule::None,
            timezone: Tz::UTC,
            start_date: None,
            end_date: None,
            catchup: false,
            max_active_runs: 16,
            max_active_tasks: 16,
            max_map_length: MAX_MAP_LENGTH,
            allowed_run_types: None,
            dagrun_timeout: None,
            max_consecutive_failed_dag_runs: 0,
            fail_fast: false,
            is_paused_upon_creation: None,
            render_template_as_native_obj: false,
            params: IndexMap::new(),
            param_schemas: IndexMap::new(),
            default_args: Map::new(),
            task_groups: IndexMap::new(),
            tasks: Vec::new(),
            callbacks: Vec::new(),
            deadlines: Vec::new(),
            rerun_with_latest_version: None,
            template_searchpath: Vec::new(),
            user_defined_macros: Map::new(),
            extra: Map::new(),
            source_dates: IndexMap::new(),
            graph: OnceLock::new(),
            scopes: OnceLock::new(),
        }
    }

    /// The position of a task, if the DAG has it.
    pub fn index_of(&self, task_id: &str) -> Option<TaskIndex> {
        self.graph().by_id.get(task_id).copied()
    }

    /// The task with this id, if the DAG has it.
    pub fn task(&self, task_id: &str) -> Option<&Task> {
        self.index_of(task_id).map(|index| &self.tasks[index])
    }

    /// Direct upstream tasks.
    pub fn upstream(&self, index: TaskIndex) -> impl Iterator<Item = TaskIndex> + '_ {
        self.neighbours(index, Direction::Incoming)
    }

    /// Direct downstream tasks.
    pub fn downstream(&self, index: TaskIndex) -> impl Iterator<Item = TaskIndex> + '_ {
        self.neighbours(index, Direction::Outgoing)
    }

    /// All tasks reachable downstream, the task itself not among them, in topological order.
    pub fn all_downstream(&self, index: TaskIndex) -> Vec<TaskIndex> {
        self.reachable(index, Direction::Outgoing)
    }

    /// All tasks reachable upstream, the task itself not among them, in topological order.
    pub fn all_upstream(&self, index: TaskIndex) -> Vec<TaskIndex> {
        self.reachable(index, Direction::Incoming)
    }

    /// Tasks in an order in which every upstream comes before its downstreams.
    pub fn topological(&self) -> &[TaskIndex] {
        &self.graph().topological
    }

    /// A task's place in [`Self::topological`].
    pub fn rank(&self, index: TaskIndex) -> usize {
        self.graph().rank[index]
    }

    /// Tasks without downstream.
    pub fn leaves(&self) -> impl Iterator<Item = TaskIndex> + '_ {
        (0..self.tasks.len()).filter(|&index| self.downstream(index).next().is_none())
    }

    /// Setups, teardowns and mapped groups.
    pub fn scopes(&self) -> &Scopes {
        self.scopes.get_or_init(|| Scopes::new(self))
    }

    /// The priority stored on a task instance (semantics §7): own weight, plus those of all transitive downstreams or upstreams.
    /// The first call works out every task's.
    pub fn effective_priority(&self, index: TaskIndex) -> i32 {
        self.graph().priorities.get_or_init(|| priority::priorities(self))[index]
    }

    /// Checks the edges: `Err` names one cycle by its path. Everything else in this type assumes this returned `Ok`.
    pub fn check_acyclic(&self) -> Result<(), Cycle> {
        let graph = self.graph();
        if graph.topological.len() == self.tasks.len() {
            return Ok(());
        }
        // Tasks of a cycle, or behind one, never reach in-degree 0; following upstreams among them must close a circle.
        let mut sorted = vec![false; self.tasks.len()];
        for &index in &graph.topological {
            sorted[index] = true;
        }
        let mut at = sorted.iter().position(|done| !done).expect("fewer sorted than tasks");
        let mut seen = IndexMap::new();
        while seen.insert(at, ()).is_none() {
            at = self.upstream(at).find(|&up| !sorted[up]).expect("an unsorted task has an unsorted upstream");
        }
        let start = seen.get_index_of(&at).expect("the loop ended at a task seen before");
        let mut path: Vec<TaskId> = seen.keys().skip(start).map(|&index| self.tasks[index].task_id.clone()).collect();
        path.reverse();
        path.insert(0, path.last().expect("a cycle has a task").clone());
        Err(Cycle { path })
    }

    /// The DAG version: the SHA-256 of the canonical form, in hex. Relative dates count as written, not as resolved today.
    pub fn hash(&self) -> String {
        let mut value = serde_json::to_value(self).expect("a DAG has string keys and finite numbers");
        for name in self.source_dates.keys() {
            let key = name.rsplit('.').next().unwrap_or(name);
            // Every resolved copy goes, the tasks' inherited ones too: the text in `source_dates` stands for them.
            value[key] = Value::Null;
            value["default_args"][key] = Value::Null;
            for task in value["tasks"].as_array_mut().into_iter().flatten() {
                task[key] = Value::Null;
            }
        }
        let bytes = serde_json::to_vec(&value).expect("a value serialises");
        hex(&Sha256::digest(bytes))
    }

    fn neighbours(&self, index: TaskIndex, direction: Direction) -> impl Iterator<Item = TaskIndex> + '_ {
        // petgraph yields the newest edge first; file order is what people expect to read.
        let mut found: Vec<TaskIndex> =
            self.graph().edges.neighbors_directed(NodeIndex::new(index), direction).map(NodeIndex::index).collect();
        found.sort_unstable();
        found.into_iter()
    }

    fn reachable(&self, index: TaskIndex, direction: Direction) -> Vec<TaskIndex> {
        let mut seen = vec![false; self.tasks.len()];
        let mut stack = vec![index];
        while let Some(at) = stack.pop() {
            for next in self.graph().edges.neighbors_directed(NodeIndex::new(at), direction) {
                if !std::mem::replace(&mut seen[next.index()], true) {
                    stack.push(next.index());
                }
            }
        }
        self.topological().iter().copied().filter(|&at| seen[at]).collect()
    }

    fn graph(&self) -> &Graph {
        self.graph.get_or_init(|| {
            let by_id: IndexMap<TaskId, TaskIndex> =
                self.tasks.iter().enumerate().map(|(index, task)| (task.task_id.clone(), index)).collect();
            let mut graph = DiGraph::with_capacity(self.tasks.len(), self.tasks.len());
            for _ in &self.tasks {
                graph.add_node(());
            }
            for (index, task) in self.tasks.iter().enumerate() {
                for upstream in task.upstream.iter().filter_map(|id| by_id.get(id.as_str())) {
                    graph.update_edge(NodeIndex::new(*upstream), NodeIndex::new(index), ());
                }
            }
            let topological = sort(&graph);
            let mut rank = vec![usize::MAX; self.tasks.len()];
            for (place, &task) in topological.iter().enumerate() {
                rank[task] = place;
            }
            Graph { edges: graph, by_id, topological, rank, priorities: OnceLock::new() }
        })
    }
}

impl Clone for Dag {
    fn clone(&self) -> Self {
        let value = serde_json::to_value(self).expect("a DAG has string keys and finite numbers");
        serde_json::from_value(value).expect("a DAG reads what it wrote")
    }
}

/// Kahn's algorithm, stable in file order; leaves out what is in or behind a cycle (petgraph's `toposort` names one node only).
fn sort(graph: &DiGraph<(), (), u32>) -> Vec<TaskIndex> {
    let mut waiting: Vec<usize> =
        graph.node_indices().map(|node| graph.neighbors_directed(node, Direction::Incoming).count()).collect();
    let mut ready: std::collections::BTreeSet<usize> =
        waiting.iter().enumerate().filter(|(_, count)| **count == 0).map(|(index, _)| index).collect();
    let mut sorted = Vec::with_capacity(waiting.len());
    while let Some(index) = ready.pop_first() {
        sorted.push(index);
        for next in graph.neighbors_directed(NodeIndex::new(index), Direction::Outgoing) {
            waiting[next.index()] -= 1;
            if waiting[next.index()] == 0 {
                ready.insert(next.index());
            }
        }
    }
    sorted
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Durations travel as seconds, a JSON number.
pub mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    /// The same for a duration that may be absent.
    pub mod option {
        use std::time::Duration;

        use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

        pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
            duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
            Option::<f64>::deserialize(deserializer)?
                .map(|seconds| Duration::try_from_secs_f64(seconds).map_err(D::Error::custom))
                .transpose()
        }
    }
}
