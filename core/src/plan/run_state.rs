//! A run as a decision sees it: its row, its DAG and its task instances.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    dag::{Dag, TaskIndex},
    ids::{AttemptId, TaskId},
    spec::{Decision, Execution, Failure, Outcome},
    state::{DagRunState, DagRunType, TaskInstanceState},
};

/// The map index of an ordinary instance, and of a mapped task's one before it is expanded.
pub const UNMAPPED: i32 = -1;

/// One task instance of the run. Ordered by task, then map index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub task: TaskIndex,
    pub map_index: i32,
}

impl Key {
    /// The instance of an ordinary task.
    pub const fn unmapped(task: TaskIndex) -> Self {
        Self { task, map_index: UNMAPPED }
    }
}

/// The row of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub id: i64,
    pub state: DagRunState,
    pub run_type: DagRunType,
    pub logical_date: Option<DateTime<Utc>>,
    pub queued_at: Option<DateTime<Utc>>,
    pub start_date: Option<DateTime<Utc>>,
    pub end_date: Option<DateTime<Utc>>,
    /// A paused DAG's running tasks end, but none begins.
    pub dag_is_paused: bool,
}

/// An earlier attempt that is being stopped; the instance starts anew only after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping {
    pub attempt: AttemptId,
    pub deadline: DateTime<Utc>,
}

/// What a branching instance decided, kept for when its downstreams are cleared later (semantics §12.3). The JSON is that of
/// Airflow's XCom `skipmixin_key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipMixin {
    Followed(Vec<TaskId>),
    Skipped(Vec<TaskId>),
}

impl SkipMixin {
    /// Whether the decision skips that task.
    pub fn skips(&self, task: &TaskId) -> bool {
        match self {
            Self::Followed(followed) => !followed.contains(task),
            Self::Skipped(skipped) => skipped.contains(task),
        }
    }
}

/// One task instance, with every column that a plan may write.
#[derive(Clone, Debug, PartialEq)]
pub struct Ti {
    pub state: TaskInstanceState,
    /// The current attempt's id while there is one; otherwise the id of the last, or of none that ever was.
    pub attempt: AttemptId,
    pub try_number: i32,
    pub max_tries: i32,
    pub scheduled_dttm: Option<DateTime<Utc>>,
    pub queued_dttm: Option<DateTime<Utc>>,
    pub start_date: Option<DateTime<Utc>>,
    pub end_date: Option<DateTime<Utc>>,
    /// When a retry or a rescheduled sensor is due.
    pub next_retry_at: Option<DateTime<Utc>>,
    pub stopping: Option<Stopping>,
    pub hostname: String,
    pub pid: Option<i32>,
    pub failure: Option<Failure>,
    pub exit_code: Option<i64>,
    /// How often the sensor was asked in this try.
    pub reschedules: i32,
    pub skipmixin: Option<SkipMixin>,
    /// The rendered `map_index_template`: a label.
    pub rendered_map_index: Option<String>,
}

impl Ti {
    /// An instance as it is created with its run: nothing decided, `max_tries` = the task's retries.
    pub fn new(attempt: AttemptId, retries: u32) -> Self {
        Self {
            state: TaskInstanceState::None,
            attempt,
            try_number: 0,
            max_tries: i32::try_from(retries).unwrap_or(i32::MAX),
            scheduled_dttm: None,
            queued_dttm: None,
            start_date: None,
            end_date: None,
            next_retry_at: None,
            stopping: None,
            hostname: String::new(),
            pid: None,
            failure: None,
            exit_code: None,
            reschedules: 0,
            skipmixin: None,
            rendered_map_index: None,
        }
    }

    /// Forgets what the last try left, for the next one.
    pub(super) fn begin_anew(&mut self) {
        self.scheduled_dttm = None;
        self.queued_dttm = None;
        self.start_date = None;
        self.end_date = None;
        self.next_retry_at = None;
        self.hostname = String::new();
        self.pid = None;
        self.failure = None;
        self.exit_code = None;
        self.reschedules = 0;
    }

    /// It counts for the caps of its task: it has an attempt, or one is being stopped.
    pub fn is_active(&self) -> bool {
        self.state.has_attempt() || self.state == TaskInstanceState::Restarting
    }

    /// When to look at the instance though nothing happens.
    pub(super) fn timer(&self) -> Option<DateTime<Utc>> {
        match self.state {
            TaskInstanceState::UpForRetry | TaskInstanceState::UpForReschedule => self.next_retry_at,
            TaskInstanceState::Restarting => self.stopping.map(|stopping| stopping.deadline),
            _ => None,
        }
    }
}

/// The instances of one task, by map index. One for most tasks, none when its dates exclude the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instances(Vec<(i32, Ti)>);

impl Instances {
    pub fn get(&self, map_index: i32) -> Option<&Ti> {
        self.position(map_index).ok().map(|at| &self.0[at].1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (i32, &Ti)> {
        self.0.iter().map(|(map_index, ti)| (*map_index, ti))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn position(&self, map_index: i32) -> Result<usize, usize> {
        // One instance is the rule.
        self.0.binary_search_by_key(&map_index, |(index, _)| *index)
    }

    fn insert(&mut self, map_index: i32, ti: Ti) -> Option<Ti> {
        match self.position(map_index) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, ti)),
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (map_index, ti));
                None
            }
        }
    }

    fn remove(&mut self, map_index: i32) -> Option<Ti> {
        self.position(map_index).ok().map(|at| self.0.remove(at).1)
    }
}

/// A run with all it takes to decide about it.
#[derive(Clone, Debug)]
pub struct RunState {
    pub run: Run,
    pub dag: Arc<Dag>,
    /// Indexed like [`Dag::tasks`].
    tis: Vec<Instances>,
    /// Instances that are not finished.
    unfinished: usize,
    /// Those of them that have an attempt, or one that is being stopped: something will happen to them.
    moving: usize,
    timers: BTreeSet<(DateTime<Utc>, Key)>,
    count: usize,
}

impl RunState {
    /// A run with these instances; those of tasks that the DAG does not have must be left out.
    pub fn new(run: Run, dag: Arc<Dag>, tis: impl IntoIterator<Item = (Key, Ti)>) -> Self {
        let mut by_task: Vec<Vec<(i32, Ti)>> = vec![Vec::new(); dag.tasks.len()];
        for (key, ti) in tis {
            by_task[key.task].push((key.map_index, ti));
        }
        let tis = by_task.into_iter().map(|mut instances| {
            instances.sort_unstable_by_key(|(map_index, _)| *map_index);
            instances.shrink_to_fit();
            Instances(instances)
        });
        let mut state =
            Self { run, dag, tis: tis.collect(), unfinished: 0, moving: 0, timers: BTreeSet::new(), count: 0 };
        let mut all = Tally::default();
        for (key, ti) in state.iter() {
            all.add(key, ti);
        }
        (state.unfinished, state.moving, state.timers, state.count) =
            (all.unfinished, all.moving, all.timers, all.count);
        state
    }

    /// One instance.
    pub fn ti(&self, key: Key) -> Option<&Ti> {
        self.tis.get(key.task).and_then(|instances| instances.get(key.map_index))
    }

    /// The instances of one task.
    pub fn instances(&self, task: TaskIndex) -> &Instances {
        &self.tis[task]
    }

    /// All instances, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Ti)> {
        self.tis
            .iter()
            .enumerate()
            .flat_map(|(task, instances)| instances.iter().map(move |(map_index, ti)| (Key { task, map_index }, ti)))
    }

    /// How many instances the run has.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    pub(super) fn moving(&self) -> usize {
        self.moving
    }

    /// Timers, the earliest first.
    pub(super) fn timers(&self) -> &BTreeSet<(DateTime<Utc>, Key)> {
        &self.timers
    }

    /// Sets an instance, or adds it.
    pub fn put(&mut self, key: Key, ti: Ti) {
        let after = Tally::of(key, &ti);
        let before = self.tis[key.task].insert(key.map_index, ti).map(|ti| Tally::of(key, &ti));
        self.count_change(before, Some(after));
    }

    /// Takes an instance away.
    pub fn remove(&mut self, key: Key) {
        let before = self.tis[key.task].remove(key.map_index).map(|ti| Tally::of(key, &ti));
        self.count_change(before, None);
    }

    fn count_change(&mut self, before: Option<Tally>, after: Option<Tally>) {
        if let Some(before) = before {
            self.unfinished -= before.unfinished;
            self.moving -= before.moving;
            self.count -= before.count;
            for timer in &before.timers {
                self.timers.remove(timer);
            }
        }
        if let Some(after) = after {
            self.unfinished += after.unfinished;
            self.moving += after.moving;
            self.count += after.count;
            self.timers.extend(after.timers);
        }
    }
}

/// What is counted of instances, so that a plan need not look at each.
#[derive(Default)]
struct Tally {
    unfinished: usize,
    moving: usize,
    count: usize,
    timers: BTreeSet<(DateTime<Utc>, Key)>,
}

impl Tally {
    fn of(key: Key, ti: &Ti) -> Self {
        let mut tally = Self::default();
        tally.add(key, ti);
        tally
    }

    fn add(&mut self, key: Key, ti: &Ti) {
        self.count += 1;
        self.unfinished += usize::from(!ti.state.is_finished());
        self.moving += usize::from(ti.is_active());
        self.timers.extend(ti.timer().map(|at| (at, key)));
    }
}

/// Where a task event happened, as the inbox has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub task_id: TaskId,
    pub map_index: i32,
    /// The attempt it speaks of; not the instance's current one: stale.
    pub attempt: AttemptId,
    pub event: Event,
}

/// What happened to an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Started(Started),
    Finished(Box<Finished>),
    /// It waits for something without holding a slot; the attempt stays current.
    Deferred,
    /// It waits for a person.
    AwaitingInput,
    /// Its node died, left, or does not know it.
    Lost {
        /// Whether it was handed to the node: then it may have run and costs a try; else it is placed anew for free.
        handed: bool,
        reason: String,
    },
    /// The node took it and never started it.
    LaunchTimeout,
    /// The stop of an earlier attempt is confirmed, or there was nothing to stop.
    Stopped,
    /// Something outside the run changed (an earlier run moved on): look at everything. Speaks of no attempt.
    Look,
}

/// The start, as the node told it, in Postgres' time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Started {
    pub queued_dttm: Option<DateTime<Utc>>,
    pub at: Option<DateTime<Utc>>,
    pub hostname: String,
    pub pid: Option<i32>,
    /// How it is carried out, for people.
    pub execution: Option<Execution>,
}

/// The end, complete in itself: a short task reports nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub started: Started,
    pub at: Option<DateTime<Utc>>,
    pub outcome: Outcome,
    pub exit_code: Option<i64>,
    pub failure: Option<Failure>,
    /// The task said that another try is pointless (`AirflowFailException`).
    pub no_retry: bool,
    /// A retry policy's delay for this once, instead of the formula (semantics §4).
    pub retry_delay: Option<Duration>,
    pub decision: Option<Decision>,
    pub rendered_fields: Option<Value>,
    pub rendered_map_index: Option<String>,
    /// What the task's code said in `outlet_events`; see [`crate::asset::emitted`].
    pub outlet_events: Option<Value>,
}

/// The run of the DAG before this one, as `depends_on_past` sees it (semantics §5).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// The run belongs to a backfill and is its first.
    pub is_first_of_backfill: bool,
    /// Airflow's "previous run"; `None`: there is none, or this run has no logical date.
    pub previous: Option<PreviousRun>,
    /// Tasks that have an instance in any earlier run.
    pub seen: BTreeSet<TaskId>,
}

/// A run before.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviousRun {
    pub logical_date: Option<DateTime<Utc>>,
    /// The states of its instances, by task.
    pub states: BTreeMap<TaskId, Vec<TaskInstanceState>>,
}
