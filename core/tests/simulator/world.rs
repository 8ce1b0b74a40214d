//! A deployment in memory: runs of one DAG as the store has them, the attempt table, nodes and pools. Every change goes through
//! [`World::commit`], which is as strict as the database and asks the invariants.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use indexmap::IndexMap;
use updraft_core::{
    dag::{Dag, MapInput, TaskIndex},
    dispatch::{Candidate, Cap, Capacity, Class, Node, NodeState, Pool, Strategies, Strategy, affinity, place},
    explain::{AttemptFacts, Reason, RunFacts, explain},
    ids::AttemptId,
    invariants, mapping,
    operator::Place,
    plan::{Change, Event, Facts, Key, Need, Past, Plan, PreviousRun, Run, RunState, Scope, Ti, UNMAPPED, plan},
    state::{DagRunState, DagRunType, TaskInstanceState},
};
use uuid::Uuid;

use crate::{dags::POOLS, random::Random, scenarios::Scenario};

/// A row of the attempt table.
pub(crate) struct Attempt {
    pub(crate) run: usize,
    pub(crate) key: Key,
    /// The node it is placed on.
    pub(crate) executor: Option<i64>,
    pub(crate) handed: bool,
    pub(crate) started: bool,
    /// Its end is told: it says nothing more.
    pub(crate) told: bool,
}

/// A run with what the database has beside its rows.
pub(crate) struct Job {
    pub(crate) state: RunState,
    pub(crate) inbox: Vec<Change>,
    pub(crate) wake_at: Option<DateTime<Utc>>,
    /// Somebody else wrote: the next plan looks at everything.
    pub(crate) look_at_all: bool,
    /// The lengths of results that were pushed; `None` is a result that cannot be mapped over.
    pub(crate) results: BTreeMap<Key, Option<usize>>,
    archived: BTreeSet<(Key, i32)>,
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) now: DateTime<Utc>,
    pub(crate) dag: Arc<Dag>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) attempts: BTreeMap<AttemptId, Attempt>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) pools: HashMap<String, i64>,
    /// Stops that a node will confirm.
    pub(crate) stops: Vec<(usize, Change)>,
    pub(crate) attempts_made: usize,
    /// How tries end, where a scenario says so; else chance does.
    pub(crate) script: Option<Scenario>,
    /// Whether the runs have logical dates.
    dated: bool,
    strategy: Strategy,
    next_id: u128,
    next_node: i64,
}

const PARALLELISM: u32 = 6;

impl World {
    /// One to three runs of the DAG, a day apart, the first started.
    pub(crate) fn new(dag: Dag, mut random: Random) -> Self {
        let runs = 1 + random.below(3);
        Self::with_runs(dag, runs, random)
    }

    pub(crate) fn with_runs(dag: Dag, runs: usize, mut random: Random) -> Self {
        let dag = Arc::new(dag);
        let start: DateTime<Utc> = "2026-01-15T12:00:00Z".parse().expect("a date");
        let mut pools = HashMap::from([(POOLS[0].to_owned(), 8), (POOLS[1].to_owned(), 2)]);
        if random.chance(50) {
            pools.insert(POOLS[2].to_owned(), -1);
        }
        let dated = random.chance(85);
        let strategies = [
            Strategy::RoundRobin,
            Strategy::Random,
            Strategy::WeightedRandom,
            Strategy::LeastLoaded,
            Strategy::ConsistentHash,
        ];
        let strategy = *random.pick(&strategies).expect("there are some");
        let mut world = Self {
            random,
            now: start,
            dag,
            jobs: Vec::new(),
            attempts: BTreeMap::new(),
            nodes: Vec::new(),
            pools,
            stops: Vec::new(),
            attempts_made: 0,
            script: None,
            dated,
            strategy,
            next_id: 1,
            next_node: 1,
        };
        world.node_joins();
        for number in 0..runs {
            let job = world.create(number);
            world.jobs.push(job);
        }
        world
    }

    fn create(&mut self, number: usize) -> Job {
        let run = Run {
            id: number as i64,
            state: DagRunState::Queued,
            run_type: DagRunType::Scheduled,
            // Asset-triggered runs have none, and no past.
            logical_date: self.dated.then(|| self.now - TimeDelta::days(10 - number as i64)),
            queued_at: Some(self.now),
            start_date: None,
            end_date: None,
            dag_is_paused: false,
        };
        let dag = &self.dag;
        let tis: Vec<(Key, Ti)> = (0..dag.tasks.len())
            .flat_map(|task| mapping::initial_map_indexes(dag, task).map(move |map_index| Key { task, map_index }))
            .map(|key| (key, Ti::new(AttemptId(Uuid::nil()), dag.tasks[key.task].retries)))
            .collect();
        Job {
            state: RunState::new(run, dag.clone(), tis),
            inbox: Vec::new(),
            wake_at: None,
            look_at_all: true,
            results: BTreeMap::new(),
            archived: BTreeSet::new(),
        }
    }

    pub(crate) fn node_joins(&mut self) {
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.push(Node {
            id,
            name: format!("n{id}"),
            state: NodeState::Active,
            weight: 1 + self.random.below(3) as u32,
            slots: 1 + self.random.below(4) as u32,
            used: 0,
            labels: BTreeMap::new(),
            queues: vec!["default".into()],
            runners: vec!["process".into()],
            last_assigned: 0,
        });
    }

    /// Ids counted from the world's next one; the same again until [`Self::commit`].
    pub(crate) fn ids(&self) -> impl FnMut() -> AttemptId + use<> {
        let mut next = self.next_id;
        move || {
            next += 1;
            AttemptId(Uuid::from_u128(next))
        }
    }

    /// Plans a run and commits; planning from nothing must say the same.
    pub(crate) fn think(&mut self, run: usize, changes: &[Change]) {
        let scope = if std::mem::take(&mut self.jobs[run].look_at_all) { Scope::All } else { Scope::Changed };
        let (decided, facts) = self.decide(run, changes, scope);
        let (from_nothing, _) = self.decide(run, changes, Scope::All);
        assert_eq!(decided, from_nothing, "an incremental plan must equal one from nothing\n{}", self.picture(run));
        let before = self.jobs[run].state.clone();
        self.commit(run, &decided);
        let after = &self.jobs[run].state;
        let broken = invariants::of_plan(&before, &decided, after, &facts, self.now);
        assert!(broken.is_empty(), "{broken:#?}\nafter {changes:#?}\nplanned {decided:#?}\n{}", self.picture(run));
    }

    /// Plans a run and forgets the plan.
    pub(crate) fn lose(&mut self, run: usize, changes: &[Change]) {
        let scope = if self.jobs[run].look_at_all { Scope::All } else { Scope::Changed };
        let before = self.jobs[run].state.clone();
        let (lost, _) = self.decide(run, changes, scope);
        let (again, _) = self.decide(run, changes, Scope::All);
        assert_eq!(lost, again, "a plan that was lost is made again");
        assert!(before.iter().eq(self.jobs[run].state.iter()), "a plan writes nothing by itself");
    }

    /// Plans until nothing is asked for.
    fn decide(&self, run: usize, changes: &[Change], scope: Scope) -> (Plan, Facts) {
        let job = &self.jobs[run];
        let mut facts = Facts::default();
        loop {
            let decided = plan(&job.state, changes, scope, &facts, self.now, &mut self.ids());
            if decided.needs.is_empty() {
                return (decided, facts);
            }
            for need in &decided.needs {
                match need {
                    Need::Past => {
                        assert!(facts.past.is_none(), "the past is there and asked for again");
                        facts.past = Some(self.past(run));
                    }
                    Need::Length { task_id, key } => {
                        let task = self.dag.index_of(task_id.as_str()).expect("the DAG maps over its own tasks");
                        let length = self.length(run, task);
                        let known = facts.lengths.insert((task_id.clone(), key.clone()), length);
                        assert!(known.is_none(), "the length of {task_id} is there and asked for again");
                    }
                    Need::Context => facts.context = Some(Arc::new(self.context(run))),
                    Need::Value(reference) => facts.values.insert(reference.clone(), self.value(run, reference)),
                }
            }
        }
    }

    /// As the store answers: of a mapped task the number of instances that pushed something.
    fn length(&self, run: usize, task: TaskIndex) -> Option<usize> {
        let results = &self.jobs[run].results;
        if self.dag.mapping(task).is_some() {
            return Some(results.keys().filter(|key| key.task == task).count());
        }
        results.get(&Key::unmapped(task)).copied().flatten()
    }

    fn past(&self, run: usize) -> Past {
        let previous = run.checked_sub(1).map(|before| {
            let state = &self.jobs[before].state;
            let mut states: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for (key, ti) in state.iter() {
                states.entry(self.dag.tasks[key.task].task_id.clone()).or_default().push(ti.state);
            }
            PreviousRun { logical_date: state.run.logical_date, states }
        });
        Past { is_first_of_backfill: false, previous, seen: BTreeSet::new() }
    }

    /// Writes a plan as the store does, and refuses what Postgres would refuse.
    pub(crate) fn commit(&mut self, run: usize, plan: &Plan) {
        let job = &mut self.jobs[run];
        for key in &plan.archive {
            let ti = job.state.ti(*key).expect("an archived instance exists");
            assert!(ti.try_number > 0, "{key:?} is archived before its first try");
            // A try that was cleared and decided again without running is asked for twice; the table keeps the first.
            let first = job.archived.insert((*key, ti.try_number));
            assert!(first || !ti.state.has_attempt(), "{key:?} try {} ran twice", ti.try_number);
        }
        for key in &plan.unexpanded {
            assert!(job.state.ti(*key).is_some(), "{key:?} is deleted and does not exist");
        }
        for key in plan.tis.keys() {
            let exists = job.state.ti(*key).is_some() && !plan.unexpanded.contains(key);
            assert_eq!(exists, !plan.created.contains(key), "{key:?} is written as if it were (not) there");
        }
        for key in &plan.forget_xcoms {
            job.results.remove(key);
        }
        for attempt in &plan.ended {
            assert!(self.attempts.remove(attempt).is_some(), "attempt {attempt:?} ends and is not there");
        }
        for cancel in &plan.cancels {
            let row = self.attempts.remove(&cancel.attempt).expect("a cancelled attempt is there");
            assert_eq!(row.key, cancel.key);
            if cancel.wanted {
                let task_id = self.dag.tasks[cancel.key.task].task_id.clone();
                let stopped =
                    Change { task_id, map_index: cancel.key.map_index, attempt: cancel.attempt, event: Event::Stopped };
                if row.executor.is_some() { self.stops.push((run, stopped)) } else { job.inbox.push(stopped) }
            }
        }
        for new in &plan.attempts {
            self.attempts_made += 1;
            let row = Attempt { run, key: new.key, executor: None, handed: false, started: false, told: false };
            assert!(self.attempts.insert(new.attempt, row).is_none(), "attempt {:?} exists", new.attempt);
        }
        job.state.apply(plan);
        job.wake_at = plan.wake_at;
        if plan.wake_later_runs {
            let look = || Change {
                task_id: "".into(),
                map_index: UNMAPPED,
                attempt: AttemptId(Uuid::nil()),
                event: Event::Look,
            };
            self.jobs[run + 1..].iter_mut().for_each(|later| later.inbox.push(look()));
        }
        self.next_id += 1_000_000;
        self.check(run);
    }

    /// What holds at any moment; and nothing waits without a reason.
    fn check(&self, run: usize) {
        let state = &self.jobs[run].state;
        let live: Vec<_> =
            self.attempts.iter().filter(|(_, row)| row.run == run).map(|(id, row)| (row.key, *id)).collect();
        let broken = invariants::of_run(state, &live);
        assert!(broken.is_empty(), "{broken:#?}\n{}", self.picture(run));
        let facts = RunFacts { max_active_runs: 16, ..RunFacts::default() };
        let (capacity, classes) = self.capacity();
        for (key, ti) in state.iter().filter(|(_, ti)| !ti.state.is_finished()) {
            let row = ti.state.has_attempt().then(|| &self.attempts[&ti.attempt]);
            let attempt = row.map(|row| AttemptFacts {
                candidate: self.candidate(ti.attempt, row),
                executor: row.executor.map(|id| format!("n{id}")),
                placed_at: None,
                handed_at: row.handed.then_some(self.now),
                started: row.started,
                is_triggerers: self.dag.tasks[key.task].operator.place() == Place::Triggerer,
                waiting_for: None,
            });
            let class = classes.get(&(key.task as i64));
            let reasons = explain(state, &facts, key, attempt.as_ref(), &capacity, class, self.now);
            assert!(!reasons.is_empty(), "{key:?} is {} for no reason\n{}", ti.state, self.picture(run));
        }
    }

    fn candidate(&self, attempt: AttemptId, row: &Attempt) -> Candidate {
        Candidate {
            attempt,
            class_id: row.key.task as i64,
            dag_run_id: row.run as i64,
            max_active_tasks: self.dag.max_active_tasks,
            priority_weight: self.dag.effective_priority(row.key.task),
            affinity: affinity(1, self.dag.tasks[row.key.task].task_id.as_str()),
        }
    }

    /// What limits now, counted from the rows.
    fn capacity(&self) -> (Capacity, HashMap<i64, Class>) {
        let mut classes: HashMap<i64, Class> = HashMap::new();
        for (task, spec) in self.dag.tasks.iter().enumerate() {
            let class = Class {
                id: task as i64,
                pool: spec.pool.clone(),
                pool_slots: spec.pool_slots,
                queue: "default".to_owned(),
                selector: IndexMap::new(),
                runner: "process".to_owned(),
                cap: spec.max_active_tis_per_dag.map(|limit| Cap { of: spec.task_id.to_string(), limit }),
            };
            classes.insert(class.id, class);
        }
        let pools = self.pools.iter().map(|(name, &slots)| (name.clone(), Pool { slots, used: 0 })).collect();
        let nodes = self.nodes.iter().map(|node| Node { used: 0, ..node.clone() }).collect();
        let mut capacity = Capacity { parallelism: PARALLELISM, nodes, pools, ..Capacity::default() };
        for row in self.attempts.values() {
            let Some(executor) = row.executor else { continue };
            let class = &classes[&(row.key.task as i64)];
            capacity.placed += 1;
            if let Some(cap) = &class.cap {
                *capacity.caps.entry(cap.of.clone()).or_default() += 1;
            }
            *capacity.runs.entry(row.run as i64).or_default() += 1;
            let pool = capacity.pools.get_mut(&class.pool).expect("nothing is placed from a missing pool");
            pool.used += i64::from(class.pool_slots);
            capacity.nodes.iter_mut().filter(|node| node.id == executor).for_each(|node| node.used += 1);
        }
        (capacity, classes)
    }

    /// A cycle of dispatch: candidates per class, at most as many as there is room, runs at their cap left out and asked again.
    pub(crate) fn dispatch(&mut self) {
        let (mut capacity, classes) = self.capacity();
        let mut capped: BTreeSet<i64> = BTreeSet::new();
        loop {
            let mut candidates = Vec::new();
            for class in classes.values() {
                let mut of_class: Vec<Candidate> = self
                    .waiting()
                    .filter(|(_, row)| row.key.task as i64 == class.id && !capped.contains(&(row.run as i64)))
                    .map(|(&id, row)| self.candidate(id, row))
                    .collect();
                of_class.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority_weight));
                of_class.truncate(capacity.room(class) as usize);
                candidates.extend(of_class);
            }
            let strategies = Strategies { default: self.strategy, ..Strategies::default() };
            let decided = place(&mut capacity, &classes, &candidates, &strategies, &mut || self.random.next());
            for placement in &decided.placements {
                let row = self.attempts.get_mut(&placement.attempt).expect("a candidate is an attempt");
                row.executor = Some(placement.executor_id);
                // The display copy catches up now, or never.
                let state = &mut self.jobs[row.run].state;
                let mut ti = state.ti(row.key).expect("an attempt has an instance").clone();
                if ti.state == TaskInstanceState::Scheduled && self.random.chance(50) {
                    ti.state = TaskInstanceState::Queued;
                    state.put(row.key, ti);
                }
            }
            for (id, turn) in &decided.turns {
                self.nodes.iter_mut().filter(|node| node.id == *id).for_each(|node| node.last_assigned = *turn);
            }
            let known = capped.len();
            capped.extend(&decided.capped_runs);
            if decided.placements.is_empty() && capped.len() == known {
                break;
            }
        }
        let broken = invariants::of_capacity(&capacity, &classes, |_| self.dag.max_active_tasks);
        assert!(broken.is_empty(), "{broken:#?}");
        let (capacity, classes) = self.capacity();
        for (&id, row) in self.waiting() {
            let blocked = capacity.blocked(&self.candidate(id, row), &classes[&(row.key.task as i64)]);
            assert!(blocked.is_some(), "{:?} waits for no reason after a whole cycle of dispatch", row.key);
        }
    }

    fn waiting(&self) -> impl Iterator<Item = (&AttemptId, &Attempt)> {
        let on_a_node = |row: &Attempt| self.dag.tasks[row.key.task].operator.place() == Place::Node;
        self.attempts.iter().filter(move |(_, row)| row.executor.is_none() && on_a_node(row))
    }

    /// The run in words, for a failure.
    fn picture(&self, run: usize) -> String {
        let state = &self.jobs[run].state;
        let mut text = format!("run {run} is {}, now {}\n", state.run.state, self.now);
        for (key, ti) in state.iter() {
            let task = &self.dag.tasks[key.task];
            let upstream: Vec<&str> = task.upstream.iter().map(updraft_core::ids::TaskId::as_str).collect();
            text += &format!(
                "  {}[{}] {} try {}/{} {:?} {:?} after {upstream:?} cap {:?} past {}\n",
                task.task_id,
                key.map_index,
                ti.state,
                ti.try_number,
                ti.max_tries,
                task.operator,
                task.trigger_rule,
                task.max_active_tis_per_dagrun,
                task.depends_on_past,
            );
        }
        text
    }

    /// Whether the run may wait for ever by Airflow's rules: a deadlock is not declared where something waits for other runs. What has
    /// an attempt, or a time to come, is not what waits.
    pub(crate) fn may_wait_for_ever(&self, run: usize) -> bool {
        let job = &self.jobs[run];
        let unfinished = || job.state.iter().filter(|(_, ti)| !ti.state.is_finished());
        let is_no_deadlock = |task: TaskIndex| {
            let task = &self.dag.tasks[task];
            task.depends_on_past || task.max_active_tis_per_dag.is_some() || task.max_active_tis_per_dagrun.is_some()
        };
        job.wake_at.is_none_or(|at| at > self.now)
            && unfinished().all(|(_, ti)| !ti.is_active())
            && unfinished().any(|(key, _)| is_no_deadlock(key.task))
    }

    /// The file is changed: its lists have other lengths, and the runs follow it.
    pub(crate) fn lists_change(&mut self) {
        let text = serde_json::to_value(&*self.dag).expect("a DAG is plain data");
        let mut dag: Dag = serde_json::from_value(text).expect("what was written reads");
        let groups = dag.task_groups.values_mut().filter_map(|group| group.mapping.as_mut());
        for mapping in dag.tasks.iter_mut().filter_map(|task| task.mapping.as_mut()).chain(groups) {
            for input in mapping.inputs.values_mut() {
                if let MapInput::Literal(serde_json::Value::Array(items)) = input {
                    items.resize(self.random.below(4), serde_json::json!(1));
                }
            }
        }
        self.dag = Arc::new(dag);
        for job in &mut self.jobs {
            job.state.dag = self.dag.clone();
            job.look_at_all = true;
        }
    }

    /// The reasons of the unfinished instances, for a run that does not end.
    pub(crate) fn stuck(&self, run: usize) -> String {
        let reasons: Vec<Vec<Reason>> = self.jobs[run]
            .state
            .iter()
            .filter(|(_, ti)| !ti.state.is_finished())
            .map(|(key, _)| {
                explain(&self.jobs[run].state, &RunFacts::default(), key, None, &Capacity::default(), None, self.now)
            })
            .collect();
        format!("the run does not end: {reasons:?}\n{}", self.picture(run))
    }
}
