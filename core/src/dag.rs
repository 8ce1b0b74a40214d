//! The compiled DAG: what a file means after defaults, short forms and groups are resolved.
//!
//! A [`Dag`] is immutable, serialises canonically (its hash is the DAG version) and holds its graph as a petgraph so that
//! nothing outside this module walks edges by hand.

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

use crate::{
    ids::{DagId, TaskId},
    operator::OperatorKind,
};

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
    },
    /// `CronDataIntervalTimetable`: a run for [tick, next tick) at its end.
    CronInterval {
        expression: String,
        timezone: Tz,
    },
    /// `DeltaTriggerTimetable`: every `delta` from the start date.
    Delta {
        delta: Step,
    },
    /// `DeltaDataIntervalTimetable`.
    DeltaInterval {
        delta: Step,
    },
    /// Events at fixed instants (`EventsTimetable`).
    Events {
        dates: Vec<DateTime<Utc>>,
    },
    /// Runs on asset events (with `timetable`, also on time); loads, and is refused at run time until assets are supported.
    Assets {
        expression: Value,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        timetable: Option<Box<Schedule>>,
    },
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
    /// `expand`, `partial`, `foreach`, `matrix` as written; `None` for an ordinary task.
    pub mapped: Option<Value>,
    /// Everything the long form carries that the engine does not act on yet (email, callbacks, inlets, outlets, …): shown, never guessed.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
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
    /// What the engine does not act on yet; see [`Task::extra`].
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
    /// Relative dates as written (`start_date` → `2 days`; `default_args.start_date`, `tasks.<id>.start_date` likewise).
    /// The instants above move with the day the file is read on; [`Self::hash`] looks at these instead.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub source_dates: IndexMap<String, String>,
    #[serde(skip)]
    graph: OnceLock<Graph>,
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
            extra: Map::new(),
            source_dates: IndexMap::new(),
            graph: OnceLock::new(),
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

    /// Tasks without downstream: their states decide the run's.
    pub fn leaves(&self) -> impl Iterator<Item = TaskIndex> + '_ {
        (0..self.tasks.len()).filter(|&index| self.downstream(index).next().is_none())
    }

    /// The priority stored on a task instance (semantics §7): own weight, plus those of all transitive downstreams or upstreams.
    pub fn effective_priority(&self, index: TaskIndex) -> i32 {
        let task = &self.tasks[index];
        let related = match task.weight_rule {
            WeightRule::Absolute => Vec::new(),
            WeightRule::Downstream => self.all_downstream(index),
            WeightRule::Upstream => self.all_upstream(index),
        };
        let sum: i64 = related.into_iter().map(|other| i64::from(self.tasks[other].priority_weight)).sum::<i64>()
            + i64::from(task.priority_weight);
        i32::try_from(sum).unwrap_or(if sum < 0 { i32::MIN } else { i32::MAX })
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
            Graph { edges: graph, by_id, topological, rank }
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
