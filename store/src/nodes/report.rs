//! What nodes tell of their attempts, written for many nodes in one transaction.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use updraft_core::{
    dag::Dag,
    failpoint,
    plan::is_skipping,
    spec::{Decision, Execution, FailureClass, Outcome},
};
use uuid::Uuid;

use super::{TokenId, inbox, reconcile::interval};
use crate::{
    Store, StoreError, outbox,
    versions::DagCache,
    wake::Signal,
    xcom::{self, sanitised},
};

pub(super) const RETURN_VALUE: &str = "return_value";

/// One word about one attempt.
#[derive(Clone, Debug)]
pub struct Event {
    pub attempt_id: Uuid,
    /// How long ago it happened.
    pub age: Duration,
    pub body: EventBody,
}

#[derive(Clone, Debug)]
pub enum EventBody {
    /// The node works on it and has not started it: moves the launch deadline.
    Preparing,
    Started(Process),
    Finished(Box<Ended>),
    /// The cancelled attempt is gone.
    Stopped,
}

impl EventBody {
    /// Whether it would have decided something.
    const fn is_result(&self) -> bool {
        matches!(self, Self::Finished(_))
    }
}

/// Where an attempt runs.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// The node's name.
    pub hostname: String,
    pub pid: Option<i32>,
    /// How it is carried out.
    pub execution: Option<Execution>,
    /// What people see instead of the map index.
    pub rendered_map_index: Option<String>,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub outcome: Outcome,
    pub process: Process,
    pub duration: Duration,
    pub exit_code: Option<i64>,
    pub failure_class: Option<FailureClass>,
    pub failure_reason: Option<String>,
    pub no_retry: bool,
    pub retry_delay_ms: Option<u64>,
    pub decision: Option<Decision>,
    pub outlet_events: Option<Value>,
    pub return_value: Option<Value>,
    pub rendered_fields: Option<Value>,
}

/// The events of one node's request.
#[derive(Clone, Debug)]
pub struct NodeReport {
    pub token: TokenId,
    pub session: Uuid,
    pub events: Vec<Event>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Written,
    /// The attempt is not current, or not this node's.
    Stale,
}

/// A current attempt that the batch speaks of, locked.
struct Live {
    executor_id: i64,
    dag_run_id: i64,
    task_id: String,
    map_index: i32,
    dag_version_id: i64,
    is_callback: bool,
}

/// Writes the reports of any number of nodes in one transaction; durable when it returns. One answer per report: a verdict per
/// event, or `None` for an unknown session. `launch`: what a `preparing` adds to the launch deadline.
///
/// Repeating a report is harmless: plan takes the first end of an attempt and its row is gone by the second. A `stopped`, or the
/// end of an attempt that is being cancelled, confirms the cancel: its row goes and the task instance hears of it. The end of a
/// callback is its notice's: its attempt goes with it.
///
/// Called by the webserver's one report writer, as often as a commit takes. Seven round trips at most; served by `attempt_pkey`,
/// `attempt_cancel_pkey`, `executor_session_key`. Rings [`Signal::Run`] for each run after the commit.
pub async fn report(
    store: &Store,
    dags: &DagCache,
    reports: &[NodeReport],
    launch: Duration,
) -> Result<Vec<Option<Vec<Verdict>>>, StoreError> {
    let mut transaction = store.begin().await?;
    let sessions = sessions(&mut transaction, reports).await?;
    let (now, live) = lock(&mut transaction, reports).await?;
    let mut writes = Writes::default();
    let mut answers = Vec::with_capacity(reports.len());
    let mut refused = Vec::new();
    for report in reports {
        let executor_id = match sessions.get(&report.session) {
            Some((executor_id, token)) if *token == report.token => *executor_id,
            _ => {
                answers.push(None);
                continue;
            }
        };
        let mut verdicts = Vec::with_capacity(report.events.len());
        for event in &report.events {
            let attempt = live.get(&event.attempt_id).filter(|live| live.executor_id == executor_id);
            let Some(attempt) = attempt else {
                refused.extend(event.body.is_result().then_some((executor_id, event.attempt_id)));
                verdicts.push(writes.add_stale(executor_id, event));
                continue;
            };
            let outputs = outputs(&mut transaction, dags, attempt, &event.body).await?;
            writes.add(now, attempt, event, outputs)?;
            verdicts.push(Verdict::Written);
        }
        answers.push(Some(verdicts));
    }
    writes.execute(&mut transaction, launch).await?;
    failpoint!("report.before_commit");
    transaction.commit().await?;
    failpoint!("report.after_commit");
    for (executor_id, attempt_id) in refused {
        tracing::info!(executor_id, %attempt_id, "a late result is refused: the attempt is no longer current, or not this node's");
    }
    if !writes.callbacks.is_empty() {
        store.wake().ring(Signal::Outbox);
        store.wake().ring(Signal::Dispatch);
    }
    for run in writes.runs {
        store.wake().ring(Signal::Run(run));
    }
    Ok(answers)
}

/// Which node each session is, and by which token.
async fn sessions(
    connection: &mut PgConnection,
    reports: &[NodeReport],
) -> Result<HashMap<Uuid, (i64, TokenId)>, StoreError> {
    let ids: Vec<Uuid> = reports.iter().map(|report| report.session).collect();
    let rows = sqlx::query!("select id, session, token_id from executor where session = any($1)", &ids)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.session, (row.id, TokenId(row.token_id)))).collect())
}

/// Locks the attempts that are current, in the order everybody locks them; a fence waits until the reports are written.
async fn lock(
    connection: &mut PgConnection,
    reports: &[NodeReport],
) -> Result<(DateTime<Utc>, HashMap<Uuid, Live>), StoreError> {
    let ids: BTreeSet<Uuid> =
        reports.iter().flat_map(|report| report.events.iter().map(|event| event.attempt_id)).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let rows = sqlx::query!(
        r#"select clock_timestamp() as "now!", a.attempt_id as "attempt_id!", a.executor_id as "executor_id!",
                  a.dag_run_id as "dag_run_id!", a.task_id as "task_id!", a.map_index as "map_index!",
                  r.dag_version_id as "dag_version_id!", a.kind = 'callback' as "is_callback!"
           from attempt a join dag_run r on r.id = a.dag_run_id
           where a.attempt_id = any($1) and a.executor_id is not null
           order by a.attempt_id for no key update of a"#,
        &ids
    )
    .fetch_all(connection)
    .await?;
    // With no row there is nothing to date.
    let now = rows.first().map(|row| row.now).unwrap_or_default();
    let live = rows
        .into_iter()
        .map(|row| {
            let live = Live {
                executor_id: row.executor_id,
                dag_run_id: row.dag_run_id,
                task_id: row.task_id,
                map_index: row.map_index,
                dag_version_id: row.dag_version_id,
                is_callback: row.is_callback,
            };
            (row.attempt_id, live)
        })
        .collect();
    Ok((now, live))
}

/// The XComs an event pushes: `return_value`, and each key of it for a task with `multiple_outputs`.
async fn outputs(
    connection: &mut PgConnection,
    dags: &DagCache,
    attempt: &Live,
    body: &EventBody,
) -> Result<Vec<(String, Value)>, StoreError> {
    let EventBody::Finished(ended) = body else { return Ok(Vec::new()) };
    if attempt.is_callback {
        return Ok(Vec::new());
    }
    let Some(value) = ended.return_value.clone().map(sanitised) else { return Ok(Vec::new()) };
    if let Some(decision) = &ended.decision
        && skips(connection, dags, attempt, decision).await?
    {
        return Ok(Vec::new());
    }
    let mut outputs = Vec::new();
    if let Value::Object(map) = &value
        && pushes_each_key(connection, dags, attempt.dag_version_id, &attempt.task_id).await?
    {
        outputs.extend(map.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    outputs.push((RETURN_VALUE.to_owned(), value));
    Ok(outputs)
}

/// Whether a branch skips something: then it leaves no result.
async fn skips(
    connection: &mut PgConnection,
    dags: &DagCache,
    attempt: &Live,
    decision: &Decision,
) -> Result<bool, StoreError> {
    let Some(dag) = readable(connection, dags, attempt.dag_version_id, &attempt.task_id).await? else {
        return Ok(false);
    };
    Ok(dag.index_of(&attempt.task_id).is_some_and(|task| is_skipping(&dag, task, decision)))
}

/// Whether the task has `multiple_outputs`.
pub(super) async fn pushes_each_key(
    connection: &mut PgConnection,
    dags: &DagCache,
    dag_version_id: i64,
    task_id: &str,
) -> Result<bool, StoreError> {
    let dag = readable(connection, dags, dag_version_id, task_id).await?;
    Ok(dag.is_some_and(|dag| dag.task(task_id).is_some_and(|task| task.multiple_outputs)))
}

/// The attempt's DAG version. One that cannot be read is no reason to lose the result.
async fn readable(
    connection: &mut PgConnection,
    dags: &DagCache,
    dag_version_id: i64,
    task_id: &str,
) -> Result<Option<Arc<Dag>>, StoreError> {
    match dags.get(connection, dag_version_id).await {
        Ok(dag) => Ok(Some(dag)),
        Err(error @ (StoreError::Data(_) | StoreError::Inconsistent(_))) => {
            tracing::warn!(%error, task_id, "of a result, only return_value is kept");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What a batch changes of one attempt.
#[derive(Clone, Copy, Default)]
struct Touch {
    started_at: Option<DateTime<Utc>>,
    /// The launch deadline moves.
    is_preparing: bool,
    given_up: bool,
}

/// What a batch writes, by table, sorted by key.
#[derive(Default)]
struct Writes {
    attempts: BTreeMap<Uuid, Touch>,
    events: Vec<(i64, String, i32, Uuid, &'static str, Value)>,
    xcoms: BTreeMap<(i64, String, i32, String), Value>,
    /// Attempts that are not current and have ended on the node, with the node that says so.
    confirmed: BTreeMap<Uuid, i64>,
    /// What callbacks came to; their runs hear nothing of it.
    callbacks: BTreeMap<Uuid, outbox::Word>,
    runs: BTreeSet<i64>,
}

impl Writes {
    fn add(
        &mut self,
        now: DateTime<Utc>,
        attempt: &Live,
        event: &Event,
        outputs: Vec<(String, Value)>,
    ) -> Result<(), StoreError> {
        let at = before(now, event.age);
        let touch = self.attempts.entry(event.attempt_id).or_default();
        if attempt.is_callback {
            match &event.body {
                EventBody::Preparing => touch.is_preparing = true,
                EventBody::Started(_) => touch.started_at = touch.started_at.or(Some(at)),
                EventBody::Finished(ended) => {
                    let word = outbox::Word::of(ended.outcome, ended.failure_class, ended.failure_reason.as_deref());
                    self.callbacks.entry(event.attempt_id).or_insert(word);
                }
                EventBody::Stopped => {
                    let word = outbox::Word::Again("the node stopped the callback".to_owned());
                    self.callbacks.entry(event.attempt_id).or_insert(word);
                }
            }
            return Ok(());
        }
        let (kind, body) = match &event.body {
            EventBody::Preparing => {
                touch.is_preparing = true;
                return Ok(());
            }
            EventBody::Started(process) => {
                touch.started_at = touch.started_at.or(Some(at));
                let body = inbox::Started {
                    hostname: process.hostname.clone(),
                    pid: process.pid,
                    started_at: at,
                    execution: process.execution.clone(),
                    rendered_map_index: process.rendered_map_index.clone(),
                };
                (inbox::STARTED, serde_json::to_value(body)?)
            }
            EventBody::Finished(ended) => {
                let started_at = before(at, ended.duration);
                touch.started_at = touch.started_at.or(Some(started_at));
                (inbox::FINISHED, finished_body(ended, started_at, at)?)
            }
            // Nobody cancelled it (the attempt is current), yet it is gone from the node.
            EventBody::Stopped => {
                touch.given_up = true;
                let reason = "the node stopped the attempt, though nobody asked it to".to_owned();
                (inbox::LOST, serde_json::to_value(inbox::Lost { handed: true, reason })?)
            }
        };
        for (key, value) in outputs {
            self.xcoms.insert((attempt.dag_run_id, attempt.task_id.clone(), attempt.map_index, key), value);
        }
        self.runs.insert(attempt.dag_run_id);
        let task_id = attempt.task_id.clone();
        self.events.push((attempt.dag_run_id, task_id, attempt.map_index, event.attempt_id, kind, sanitised(body)));
        Ok(())
    }

    /// An event of an attempt that is not current: at most it confirms a cancel.
    fn add_stale(&mut self, executor_id: i64, event: &Event) -> Verdict {
        match event.body {
            EventBody::Preparing | EventBody::Started(_) => Verdict::Stale,
            EventBody::Finished(_) => {
                self.confirmed.insert(event.attempt_id, executor_id);
                Verdict::Stale
            }
            EventBody::Stopped => {
                self.confirmed.insert(event.attempt_id, executor_id);
                Verdict::Written
            }
        }
    }

    async fn execute(&mut self, connection: &mut PgConnection, launch: Duration) -> Result<(), StoreError> {
        if !self.attempts.is_empty() {
            self.write_live(&mut *connection, launch).await?;
        }
        if !self.confirmed.is_empty() {
            self.confirm_cancels(&mut *connection).await?;
        }
        if !self.callbacks.is_empty() {
            outbox::settle(connection, &self.callbacks).await?;
        }
        Ok(())
    }

    /// Attempts, inbox and XComs in one statement.
    async fn write_live(&self, connection: &mut PgConnection, launch: Duration) -> Result<(), StoreError> {
        let attempts: Vec<Uuid> = self.attempts.keys().copied().collect();
        let starts: Vec<Option<DateTime<Utc>>> = self.attempts.values().map(|touch| touch.started_at).collect();
        let preparing: Vec<bool> = self.attempts.values().map(|touch| touch.is_preparing).collect();
        let given_up: Vec<bool> = self.attempts.values().map(|touch| touch.given_up).collect();
        let count = self.events.len();
        let (mut runs, mut tasks, mut indexes) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut ids, mut kinds, mut bodies) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        for (run, task_id, map_index, attempt_id, kind, body) in &self.events {
            runs.push(*run);
            tasks.push(task_id.clone());
            indexes.push(*map_index);
            ids.push(*attempt_id);
            kinds.push((*kind).to_owned());
            bodies.push(body.clone());
        }
        let (mut x_runs, mut x_tasks, mut x_indexes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut x_keys, mut x_values) = (Vec::new(), Vec::new());
        let (mut x_lengths, mut x_sizes) = (Vec::new(), Vec::new());
        for ((run, task_id, map_index, key), value) in &self.xcoms {
            x_runs.push(*run);
            x_tasks.push(task_id.clone());
            x_indexes.push(*map_index);
            x_keys.push(key.clone());
            x_values.push(value.clone());
            x_lengths.push(xcom::length(value));
            x_sizes.push(value.to_string().len() as i64);
        }
        sqlx::query!(
            "with touched as (
                 update attempt a
                 set handed_at = coalesce(a.handed_at, now()), started_at = coalesce(a.started_at, t.started_at),
                     given_up = a.given_up or t.given_up,
                     launch_deadline = case when t.is_preparing then greatest(a.launch_deadline, now() + $4::interval)
                                            else a.launch_deadline end
                 from unnest($1::uuid[], $2::timestamptz[], $3::boolean[], $16::boolean[])
                      as t (attempt_id, started_at, is_preparing, given_up)
                 where a.attempt_id = t.attempt_id
             ), told as (
                 insert into task_event (dag_run_id, task_id, map_index, attempt_id, kind, body)
                 select run, task_id, map_index, attempt_id, kind, body
                 from unnest($5::bigint[], $6::text[], $7::integer[], $8::uuid[], $9::text[], $10::jsonb[]) with ordinality
                      as e (run, task_id, map_index, attempt_id, kind, body, n)
                 order by n
             )
             insert into xcom (dag_run_id, task_id, map_index, key, value, length, size)
             select * from unnest($11::bigint[], $12::text[], $13::integer[], $14::text[], $15::jsonb[], $17::integer[],
                                  $18::bigint[])
             on conflict (dag_run_id, task_id, map_index, key) do update
             set value = excluded.value, place = null, length = excluded.length, size = excluded.size, timestamp = now()",
            &attempts,
            &starts as &[Option<DateTime<Utc>>],
            &preparing,
            interval(launch),
            &runs,
            &tasks,
            &indexes,
            &ids,
            &kinds,
            &bodies,
            &x_runs,
            &x_tasks,
            &x_indexes,
            &x_keys,
            &x_values,
            &given_up,
            &x_lengths as &[Option<i32>],
            &x_sizes
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Cancels whose attempt is gone from its node: the row goes, its task instance hears `stopped`.
    async fn confirm_cancels(&mut self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let attempts: Vec<Uuid> = self.confirmed.keys().copied().collect();
        let executors: Vec<i64> = self.confirmed.values().copied().collect();
        let runs = sqlx::query_scalar!(
            "with gone as (
                 delete from attempt_cancel c
                 using unnest($1::uuid[], $2::bigint[]) as s (attempt_id, executor_id)
                 where c.attempt_id = s.attempt_id and c.executor_id = s.executor_id
                 returning c.dag_run_id, c.task_id, c.map_index, c.attempt_id
             )
             insert into task_event (dag_run_id, task_id, map_index, attempt_id, kind, body)
             select dag_run_id, task_id, map_index, attempt_id, $3, '{}'::jsonb from gone
             -- A run that was deleted hears nothing.
             where exists (select from dag_run r where r.id = gone.dag_run_id)
             returning dag_run_id",
            &attempts,
            &executors,
            inbox::STOPPED
        )
        .fetch_all(connection)
        .await?;
        self.runs.extend(runs);
        Ok(())
    }
}

fn finished_body(ended: &Ended, started_at: DateTime<Utc>, ended_at: DateTime<Utc>) -> Result<Value, StoreError> {
    let body = inbox::Finished {
        outcome: ended.outcome,
        hostname: ended.process.hostname.clone(),
        pid: ended.process.pid,
        started_at,
        execution: ended.process.execution.clone(),
        ended_at,
        exit_code: ended.exit_code,
        failure_class: ended.failure_class,
        failure_reason: ended.failure_reason.clone(),
        no_retry: ended.no_retry,
        retry_delay_ms: ended.retry_delay_ms,
        decision: ended.decision.clone(),
        outlet_events: ended.outlet_events.clone(),
        rendered_fields: ended.rendered_fields.clone(),
        rendered_map_index: ended.process.rendered_map_index.clone(),
    };
    Ok(serde_json::to_value(body)?)
}

/// `instant` minus `age`; an age no calendar can hold is taken for none.
fn before(instant: DateTime<Utc>, age: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(age).ok().and_then(|age| instant.checked_sub_signed(age)).unwrap_or(instant)
}
