//! The task instances that runs begin with, in statements of bounded size.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use updraft_core::{
    dag::{Dag, Deadline, Schedule},
    mapping::initial_map_indexes,
    state::DagRunType,
    timetable::{Restriction, restriction},
};

use crate::{
    StoreError, deadlines,
    versions::{self, Generations},
};

/// Rows of one INSERT, at most.
const SLICE: usize = 2_000;

/// How many DAGs [`Blueprints`] holds.
const CAPACITY: usize = 20_000;

/// What making a run needs of a DAG: when it is due, and what its instances' rows hold. A fraction of the compiled DAG, so that
/// the timetable loop can keep every DAG's.
#[derive(Debug)]
pub(crate) struct Blueprint {
    pub(super) schedule: Schedule,
    pub(super) restriction: Restriction,
    tasks: Vec<TaskBlueprint>,
    deadlines: Vec<Deadline>,
}

#[derive(Debug)]
struct TaskBlueprint {
    task_id: String,
    operator: String,
    pool: String,
    pool_slots: i32,
    queue: String,
    priority_weight: i32,
    max_tries: i32,
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    map_indexes: Range<i32>,
}

impl Blueprint {
    pub(crate) fn of(dag: &Dag) -> Self {
        let tasks = dag.tasks.iter().enumerate().map(|(index, task)| TaskBlueprint {
            task_id: task.task_id.to_string(),
            operator: task.operator_class.rsplit('.').next().unwrap_or_default().to_owned(),
            pool: task.pool.clone(),
            pool_slots: i32::try_from(task.pool_slots).unwrap_or(i32::MAX),
            queue: task.queue.clone(),
            priority_weight: dag.effective_priority(index),
            max_tries: i32::try_from(task.retries).unwrap_or(i32::MAX),
            start_date: task.start_date,
            end_date: task.end_date,
            map_indexes: initial_map_indexes(dag, index),
        });
        Self {
            schedule: dag.timed_schedule().clone(),
            restriction: restriction(dag),
            tasks: tasks.collect(),
            deadlines: dag.deadlines.clone(),
        }
    }

    /// How many instances a run has from which no date excludes a task.
    pub(crate) fn instances(&self) -> usize {
        self.tasks.iter().map(|task| task.map_indexes.len()).sum()
    }
}

impl TaskBlueprint {
    /// Whether a run has this task (semantics §9.5): not outside the task's dates, unless a backfill asks for it.
    fn is_in(&self, of: &Occasion) -> bool {
        let Some(date) = of.logical_date.filter(|_| of.run_type != DagRunType::Backfill) else { return true };
        self.start_date.is_none_or(|start| start <= date) && self.end_date.is_none_or(|end| end >= date)
    }
}

/// What decides which tasks a run has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occasion {
    pub(super) dag_run_id: i64,
    pub(super) run_type: DagRunType,
    pub(super) logical_date: Option<DateTime<Utc>>,
}

/// Blueprints by DAG version id; like [`DagCache`](crate::versions::DagCache), nothing in it is ever stale. Cheap to clone.
#[derive(Clone)]
pub struct Blueprints {
    generations: Arc<Mutex<Generations<Blueprint>>>,
}

impl Default for Blueprints {
    fn default() -> Self {
        Self { generations: Arc::new(Mutex::new(Generations::new(CAPACITY))) }
    }
}

impl Blueprints {
    /// Blueprints of these versions; one statement reads those that are missing here, and none is issued when none is.
    pub(super) async fn get_many(
        &self,
        executor: impl PgExecutor<'_>,
        version_ids: &[i64],
    ) -> Result<HashMap<i64, Arc<Blueprint>>, StoreError> {
        let mut found = HashMap::with_capacity(version_ids.len());
        let mut missing = Vec::new();
        self.with(|generations| {
            for &id in version_ids {
                match generations.get(id) {
                    Some(blueprint) => drop(found.insert(id, blueprint)),
                    None => missing.push(id),
                }
            }
        });
        if !missing.is_empty() {
            for (id, dag) in versions::read(executor, &missing).await? {
                let blueprint = Arc::new(Blueprint::of(&dag));
                self.with(|generations| generations.insert(id, blueprint.clone()));
                found.insert(id, blueprint);
            }
        }
        Ok(found)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Generations<Blueprint>) -> T) -> T {
        // A cache is whole at every moment.
        act(&mut self.generations.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Inserts all instances of new runs, and their deadlines.
pub(super) async fn insert(connection: &mut PgConnection, runs: &[(Occasion, &Blueprint)]) -> Result<(), StoreError> {
    let deadlines = runs.iter().map(|(run, blueprint)| (run.dag_run_id, blueprint.deadlines.as_slice()));
    deadlines::insert(&mut *connection, deadlines).await?;
    let mut rows = Rows::default();
    for (occasion, blueprint) in runs {
        for task in blueprint.tasks.iter().filter(|task| task.is_in(occasion)) {
            for map_index in task.map_indexes.clone() {
                rows.push(occasion.dag_run_id, task, map_index);
                if rows.run_ids.len() == SLICE {
                    std::mem::take(&mut rows).insert(&mut *connection).await?;
                }
            }
        }
    }
    rows.insert(connection).await
}

/// Inserts the instances of tasks of which the run has none: a DAG version brought them.
pub(super) async fn insert_missing(
    connection: &mut PgConnection,
    dag_run_id: i64,
    dag: &Dag,
    logical_date: Option<DateTime<Utc>>,
    run_type: DagRunType,
) -> Result<(), StoreError> {
    let present: HashSet<String> = sqlx::query_scalar!(
        "select distinct task_id from task_instance where dag_run_id = $1 and state <> 'removed'",
        dag_run_id
    )
    .fetch_all(&mut *connection)
    .await?
    .into_iter()
    .collect();
    let mut blueprint = Blueprint::of(dag);
    blueprint.tasks.retain(|task| !present.contains(&task.task_id));
    // Deadlines come with a run, not with a version that it adopts.
    blueprint.deadlines.clear();
    insert(connection, &[(Occasion { dag_run_id, run_type, logical_date }, &blueprint)]).await
}

/// Columns of one INSERT.
#[derive(Default)]
struct Rows<'a> {
    run_ids: Vec<i64>,
    task_ids: Vec<&'a str>,
    map_indexes: Vec<i32>,
    operators: Vec<&'a str>,
    pools: Vec<&'a str>,
    slots: Vec<i32>,
    queues: Vec<&'a str>,
    weights: Vec<i32>,
    tries: Vec<i32>,
}

impl<'a> Rows<'a> {
    fn push(&mut self, dag_run_id: i64, task: &'a TaskBlueprint, map_index: i32) {
        self.run_ids.push(dag_run_id);
        self.task_ids.push(&task.task_id);
        self.map_indexes.push(map_index);
        self.operators.push(&task.operator);
        self.pools.push(&task.pool);
        self.slots.push(task.pool_slots);
        self.queues.push(&task.queue);
        self.weights.push(task.priority_weight);
        self.tries.push(task.max_tries);
    }

    async fn insert(self, connection: &mut PgConnection) -> Result<(), StoreError> {
        if self.run_ids.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "insert into task_instance (dag_run_id, task_id, map_index, attempt_id, operator, pool, pool_slots, queue,
                                        priority_weight, max_tries)
             select n.dag_run_id, n.task_id, n.map_index, gen_random_uuid(), n.operator, n.pool, n.pool_slots, n.queue,
                    n.priority_weight, n.max_tries
             from unnest($1::bigint[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::integer[], $7::text[],
                         $8::integer[], $9::integer[])
                  as n(dag_run_id, task_id, map_index, operator, pool, pool_slots, queue, priority_weight, max_tries)",
            &self.run_ids,
            &self.task_ids as &[&str],
            &self.map_indexes,
            &self.operators as &[&str],
            &self.pools as &[&str],
            &self.slots,
            &self.queues as &[&str],
            &self.weights,
            &self.tries
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
