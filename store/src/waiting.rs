//! What waits and why, for many at once: dispatch's own functions over the attempts that have not started and the queued runs.
//!
//! [`crate::explain`] says all about one instance and loads its run; this says the outermost reason of each and loads none.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use updraft_core::{
    dispatch::{Candidate, Capacity, Class, affinity},
    explain::{AttemptFacts, Reason, RunFacts, of_attempt, of_dag, of_queued_run},
    ids::AttemptId,
};
use uuid::Uuid;

use crate::{StoreError, dispatch};

/// Attempts, runs or instances of each kind that are looked at, at most; beyond it they are counted and not told apart.
const LOOKED_AT: i64 = 20_000;
/// Runs with a timer whose instances are looked at for retries, at most.
const TIMED_RUNS: i64 = 200;
/// Examples of one cause.
const EXAMPLES: usize = 3;

/// Something that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub dag_id: String,
    pub run_id: String,
    /// `None`: the run itself waits.
    pub task_id: Option<String>,
    pub map_index: Option<i32>,
    pub since: DateTime<Utc>,
}

/// Many that wait for the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Of the one that waits longest.
    pub reason: Reason,
    pub count: i64,
    pub since: DateTime<Utc>,
    /// The oldest first.
    pub examples: Vec<Example>,
}

/// Everything that waits, by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// More than the groups have together where more waits than is looked at.
    pub total: i64,
    /// The largest first.
    pub groups: Vec<Group>,
}

/// Alike attempts of one run, or one attempt.
struct AttemptRow {
    attempt_id: Uuid,
    dag_run_id: i64,
    dag_fk: i64,
    class_id: i64,
    priority_weight: i32,
    executor: Option<String>,
    placed_at: Option<DateTime<Utc>>,
    handed_at: Option<DateTime<Utc>>,
    is_triggerers: bool,
    waiting_for: Option<Value>,
    max_active_tasks: i32,
    is_paused: bool,
    is_stale: bool,
    dag_id: String,
    run_id: String,
    task_id: String,
    map_index: i32,
    since: DateTime<Utc>,
    count: i64,
}

impl AttemptRow {
    fn reason(&self, capacity: &Capacity, classes: &HashMap<i64, Class>) -> Result<Reason, StoreError> {
        let facts = AttemptFacts {
            candidate: Candidate {
                attempt: AttemptId(self.attempt_id),
                class_id: self.class_id,
                dag_run_id: self.dag_run_id,
                max_active_tasks: u32::try_from(self.max_active_tasks).unwrap_or(0),
                priority_weight: self.priority_weight,
                affinity: affinity(self.dag_fk, &self.task_id),
            },
            executor: self.executor.clone(),
            placed_at: self.placed_at,
            handed_at: self.handed_at,
            started: false,
            is_triggerers: self.is_triggerers,
            waiting_for: self.waiting_for.clone().map(serde_json::from_value).transpose()?,
        };
        // What is placed goes on, whatever becomes of its DAG.
        let of_dag = of_dag(self.is_stale, self.is_paused).filter(|_| self.executor.is_none() && !self.is_triggerers);
        Ok(of_dag.unwrap_or_else(|| of_attempt(&facts, capacity, classes.get(&self.class_id))))
    }

    fn example(&self) -> Example {
        Example {
            dag_id: self.dag_id.clone(),
            run_id: self.run_id.clone(),
            task_id: Some(self.task_id.clone()),
            map_index: Some(self.map_index),
            since: self.since,
        }
    }
}

/// Queued runs of one DAG, or one of them.
struct QueuedRow {
    dag_fk: i64,
    dag_id: String,
    run_id: String,
    run_after: DateTime<Utc>,
    since: DateTime<Utc>,
    is_paused: bool,
    is_stale: bool,
    max_active_runs: i32,
    running: i64,
    now: DateTime<Utc>,
    count: i64,
}

impl QueuedRow {
    fn reason(&self) -> Reason {
        let facts = RunFacts {
            run_after: Some(self.run_after),
            max_active_runs: u32::try_from(self.max_active_runs).unwrap_or(0),
            running_runs: u32::try_from(self.running).unwrap_or(u32::MAX),
            ..RunFacts::default()
        };
        of_dag(self.is_stale, self.is_paused).unwrap_or_else(|| of_queued_run(&facts, self.now))
    }

    fn example(&self) -> Example {
        let (dag_id, run_id) = (self.dag_id.clone(), self.run_id.clone());
        Example { dag_id, run_id, task_id: None, map_index: None, since: self.since }
    }
}

/// Collects what waits by cause.
#[derive(Default)]
struct Collector {
    groups: HashMap<(String, String), Group>,
}

impl Collector {
    fn add(&mut self, reason: Reason, example: Example, count: i64) {
        let since = example.since;
        let new = || Group { reason: reason.clone(), count: 0, since, examples: Vec::new() };
        let group = self.groups.entry(reason.cause()).or_insert_with(new);
        group.count += count;
        if since < group.since {
            (group.since, group.reason) = (since, reason);
        }
        let place = group.examples.partition_point(|other| other.since <= since);
        if place < EXAMPLES {
            group.examples.insert(place, example);
            group.examples.truncate(EXAMPLES);
        }
    }

    fn finish(self, beyond: i64) -> Waiting {
        let mut groups: Vec<Group> = self.groups.into_values().collect();
        groups.sort_by_key(|group| (-group.count, group.since));
        Waiting { total: groups.iter().map(|group| group.count).sum::<i64>() + beyond, groups }
    }
}

/// Everything in the deployment that waits: attempts that have not started, queued runs, retries and reschedules to come.
/// Tasks whose upstreams are not done are not among it: they wait for what is.
///
/// Asked by the dashboard's first page. Reads attempts and queued runs, which are what is at work, not what there was;
/// `dag_run_queued_idx`, `dag_run_wake_at_idx`.
///
/// # Errors
/// The database's.
pub async fn all(connection: &mut PgConnection, parallelism: u32) -> Result<Waiting, StoreError> {
    let (capacity, classes) = dispatch::capacity(&mut *connection, parallelism).await?;
    let mut collector = Collector::default();
    let mut beyond = 0;
    for row in waiting_attempts(&mut *connection).await? {
        collector.add(row.reason(&capacity, &classes)?, row.example(), row.count);
    }
    for row in queued_runs(&mut *connection).await? {
        collector.add(row.reason(), row.example(), row.count);
    }
    for (reason, example, count) in later_tries(&mut *connection).await? {
        collector.add(reason, example, count);
    }
    let looked_at: i64 = collector.groups.values().map(|group| group.count).sum();
    if looked_at >= LOOKED_AT {
        let counts = sqlx::query!(
            r#"select (select count(*) from attempt where kind = 'task' and started_at is null)
                      + (select count(*) from dag_run where state = 'queued') as "there!""#
        )
        .fetch_one(connection)
        .await?;
        beyond = (counts.there - looked_at).max(0);
    }
    Ok(collector.finish(beyond))
}

/// Attempts that have not started, those of one run, class and place together.
async fn waiting_attempts(connection: &mut PgConnection) -> Result<Vec<AttemptRow>, StoreError> {
    Ok(sqlx::query_as!(
        AttemptRow,
        r#"
        with waiting as materialized (
            select a.*, a.trigger_at is not null as is_triggerers, a.trigger_state -> 'waiting_for' as waiting_for
            from attempt a where a.kind = 'task' and a.started_at is null limit $1
        ), ordered as (
            select *, row_number() over alike as place, count(*) over (partition by dag_run_id, class_id, executor_id,
                       handed_at is null, is_triggerers, waiting_for ->> 'code') as alike_count
            from waiting
            window alike as (partition by dag_run_id, class_id, executor_id, handed_at is null, is_triggerers,
                             waiting_for ->> 'code' order by created_at, task_id, map_index)
        )
        select o.attempt_id as "attempt_id!", o.dag_run_id as "dag_run_id!", o.dag_fk as "dag_fk!", o.class_id as "class_id!",
               o.priority_weight as "priority_weight!", e.name as "executor?", o.placed_at, o.handed_at,
               o.is_triggerers as "is_triggerers!", o.waiting_for, d.max_active_tasks as "max_active_tasks!",
               d.is_paused as "is_paused!", d.is_stale as "is_stale!", d.dag_id as "dag_id!", r.run_id as "run_id!",
               o.task_id as "task_id!", o.map_index as "map_index!", o.created_at as "since!",
               case when o.place = 1 then o.alike_count - least(o.alike_count, $2) + 1 else 1 end as "count!"
        from ordered o join dag d on d.id = o.dag_fk join dag_run r on r.id = o.dag_run_id
        left join executor e on e.id = o.executor_id
        where o.place <= $2
        "#,
        LOOKED_AT,
        EXAMPLES as i64
    )
    .fetch_all(connection)
    .await?)
}

/// Queued runs, those of one DAG together as far as their time has come.
async fn queued_runs(connection: &mut PgConnection) -> Result<Vec<QueuedRow>, StoreError> {
    Ok(sqlx::query_as!(
        QueuedRow,
        r#"
        with waiting as materialized (
            select r.dag_fk, r.run_id, r.run_after, coalesce(r.queued_at, r.run_after) as since, r.run_after > now() as is_to_come
            from dag_run r where r.state = 'queued' order by r.run_after limit $1
        ), ordered as (
            select *, row_number() over (partition by dag_fk, is_to_come order by since, run_after) as place,
                   count(*) over (partition by dag_fk, is_to_come) as alike_count
            from waiting
        )
        select o.dag_fk as "dag_fk!", d.dag_id as "dag_id!", o.run_id as "run_id!", o.run_after as "run_after!", o.since as "since!",
               d.is_paused as "is_paused!", d.is_stale as "is_stale!", d.max_active_runs as "max_active_runs!",
               (select count(*) from dag_run a where a.dag_fk = d.id and a.state = 'running') as "running!", now() as "now!",
               case when o.place = 1 then o.alike_count - least(o.alike_count, $2) + 1 else 1 end as "count!"
        from ordered o join dag d on d.id = o.dag_fk where o.place <= $2
        "#,
        LOOKED_AT,
        EXAMPLES as i64
    )
    .fetch_all(connection)
    .await?)
}

/// Instances whose next try, or next look, is to come. They have no row of their own to be found by, but their run has a timer.
async fn later_tries(connection: &mut PgConnection) -> Result<Vec<(Reason, Example, i64)>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select d.dag_id, r.run_id, t.task_id, t.map_index, t.state, t.try_number, t.max_tries, t.next_retry_at, t.reschedules,
               coalesce(t.end_date, t.updated_at) as "since!"
        from (select id, run_id, dag_fk from dag_run where wake_at is not null and state = 'running' order by wake_at limit $1) r
        join dag d on d.id = r.dag_fk
        join task_instance t on t.dag_run_id = r.id and t.state in ('up_for_retry', 'up_for_reschedule')
        limit $2
        "#,
        TIMED_RUNS,
        LOOKED_AT
    )
    .fetch_all(connection)
    .await?;
    let read = rows.into_iter().map(|row| {
        let reason = if row.state == "up_for_retry" {
            let (try_number, max_tries) = (row.try_number, row.max_tries);
            Reason::RetryDelay { until: row.next_retry_at, try_number, max_tries }
        } else {
            Reason::SensorWaits { until: row.next_retry_at, asked: row.reschedules }
        };
        let example = Example {
            dag_id: row.dag_id,
            run_id: row.run_id,
            task_id: Some(row.task_id),
            map_index: Some(row.map_index),
            since: row.since,
        };
        (reason, example, 1)
    });
    Ok(read.collect())
}

/// Of each of these DAGs what waits longest, and why: an attempt of a running run, else a queued run. `dag_run_active_idx`,
/// `attempt_run_idx`. Asked for a page of DAGs.
///
/// # Errors
/// The database's.
pub async fn of_dags(
    connection: &mut PgConnection,
    parallelism: u32,
    dags: &[i64],
) -> Result<HashMap<i64, (Reason, Example)>, StoreError> {
    let mut found = HashMap::new();
    let queued = sqlx::query_as!(
        QueuedRow,
        r#"
        select d.id as "dag_fk!", d.dag_id as "dag_id!", r.run_id as "run_id!", r.run_after as "run_after!",
               coalesce(r.queued_at, r.run_after) as "since!", d.is_paused as "is_paused!", d.is_stale as "is_stale!",
               d.max_active_runs as "max_active_runs!",
               (select count(*) from dag_run a where a.dag_fk = d.id and a.state = 'running') as "running!", now() as "now!",
               1::bigint as "count!"
        from unnest($1::bigint[]) as wanted(id) join dag d on d.id = wanted.id
        cross join lateral (select * from dag_run o where o.dag_fk = d.id and o.state = 'queued'
                            order by o.run_after, o.id limit 1) r
        "#,
        dags
    )
    .fetch_all(&mut *connection)
    .await?;
    found.extend(queued.iter().map(|row| (row.dag_fk, (row.reason(), row.example()))));
    let attempts = sqlx::query_as!(
        AttemptRow,
        r#"
        select a.attempt_id as "attempt_id!", a.dag_run_id as "dag_run_id!", a.dag_fk as "dag_fk!", a.class_id as "class_id!",
               a.priority_weight as "priority_weight!", e.name as "executor?", a.placed_at as "placed_at?", a.handed_at as "handed_at?",
               a.trigger_at is not null as "is_triggerers!", a.trigger_state -> 'waiting_for' as "waiting_for?",
               d.max_active_tasks as "max_active_tasks!", d.is_paused as "is_paused!", d.is_stale as "is_stale!",
               d.dag_id as "dag_id!", a.run_id as "run_id!", a.task_id as "task_id!", a.map_index as "map_index!",
               a.created_at as "since!", 1::bigint as "count!"
        from unnest($1::bigint[]) as wanted(id) join dag d on d.id = wanted.id
        cross join lateral (
            select o.*, r.run_id from dag_run r join attempt o on o.dag_run_id = r.id and o.kind = 'task' and o.started_at is null
            where r.dag_fk = d.id and r.state = 'running' order by o.created_at, o.task_id, o.map_index limit 1) a
        left join executor e on e.id = a.executor_id
        "#,
        dags
    )
    .fetch_all(&mut *connection)
    .await?;
    if !attempts.is_empty() {
        let (capacity, classes) = dispatch::capacity(connection, parallelism).await?;
        for row in attempts {
            found.insert(row.dag_fk, (row.reason(&capacity, &classes)?, row.example()));
        }
    }
    Ok(found)
}
