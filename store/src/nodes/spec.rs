//! From attempts handed out to what the node needs to run them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value};
use sqlx::PgConnection;
use updraft_core::{
    ahead,
    dag::{Dag, Task},
    ids::{AttemptId, MapIndex},
    spec::{CodeRef, FailureClass, Launch, Outcome, PreviousRun, RunContext, TaskSpec},
    state::DagRunType,
    template::{self, Ref},
};
use uuid::Uuid;

use super::{Handed, TokenId, inbox};
use crate::{
    Store, StoreError, assets, outbox,
    resolve::{self, Answer},
    versions::DagCache,
    wake::Signal,
};

/// One attempt, ready to travel.
#[derive(Clone, Debug)]
pub struct Start {
    pub spec: TaskSpec,
    /// What its templates and secrets name literally, as far as it fits.
    pub refs: Vec<ResolvedRef>,
}

/// A reference and its value; `None` when there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedRef {
    pub reference: Ref,
    pub value: Option<Value>,
}

/// A run's facts, and what its tasks are read from.
pub(crate) struct Run {
    pub(crate) context: Arc<RunContext>,
    /// Or why there is none.
    pub(crate) dag: Result<Arc<Dag>, String>,
    bundle_hash: Option<String>,
    relative_fileloc: String,
}

impl Run {
    /// The attempt's task in the DAG that the run follows, or why there is none.
    fn task(&self, attempt: &Handed) -> Result<(&Arc<Dag>, &Task), String> {
        let dag = self.dag.as_ref().map_err(Clone::clone)?;
        dag.task(&attempt.task_id).map(|task| (dag, task)).ok_or_else(|| {
            format!(
                "the DAG version of this run has no task `{}`: clear the run to follow the latest version",
                attempt.task_id
            )
        })
    }
}

/// The DAG that an attempt's run follows, and the attempt as its node would get it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub dag: Arc<Dag>,
    pub spec: TaskSpec,
}

/// Attempts that are worked on here, in their order: `Err` is why nobody can; `None`: the run is gone.
pub(crate) async fn specs(
    connection: &mut PgConnection,
    dags: &DagCache,
    attempts: &[Handed],
) -> Result<Vec<Option<Result<Loaded, String>>>, StoreError> {
    let ids = attempts.iter().map(|attempt| attempt.dag_run_id).collect();
    let runs = run_facts(&mut *connection, dags, &ids).await?;
    let loaded = |attempt: &Handed| {
        let run = runs.get(&attempt.dag_run_id)?;
        let found = run.task(attempt);
        Some(found.map(|(dag, task)| Loaded { dag: dag.clone(), spec: task_spec(attempt, run, dag, task) }))
    };
    let mut loaded: Vec<Option<Result<Loaded, String>>> = attempts.iter().map(loaded).collect();
    let found = attempts.iter().zip(&mut loaded).filter_map(|(attempt, loaded)| {
        let loaded = loaded.as_mut()?.as_mut().ok()?;
        Some((attempt.dag_run_id, &mut loaded.spec))
    });
    let mut found: Vec<(i64, &mut TaskSpec)> = found.collect();
    add_previous_runs(&mut *connection, &mut found).await?;
    add_reschedule_counts(connection, &mut found).await?;
    Ok(loaded)
}

/// The tasks after an attempt's whose containers its node may create while it runs, as their next try would be handed out but for
/// the attempt's id, which nobody knows yet. Only those that have not begun and whose templates name nothing to be fetched.
/// `None`: the attempt is no longer current, or not on a node of this token. `limit`: at most so many.
///
/// Called for attempts of nodes that create containers ahead; served by `attempt_pkey` and `task_instance_pkey`.
pub async fn next(
    store: &Store,
    dags: &DagCache,
    token: TokenId,
    attempt_id: Uuid,
    limit: usize,
) -> Result<Option<Vec<TaskSpec>>, StoreError> {
    let mut connection = store.pool().acquire().await?;
    let attempt = sqlx::query!(
        "select a.dag_run_id, a.task_id from attempt a join executor e on e.id = a.executor_id
         where a.attempt_id = $1 and e.token_id = $2",
        attempt_id,
        token.0
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(attempt) = attempt else { return Ok(None) };
    let runs = run_facts(&mut connection, dags, &BTreeSet::from([attempt.dag_run_id])).await?;
    let Some(run) = runs.get(&attempt.dag_run_id) else { return Ok(None) };
    // A version that cannot be read, or has no such task, has nothing to foresee: its attempts end with the reason.
    let Ok(dag) = &run.dag else { return Ok(Some(Vec::new())) };
    let Some(task) = dag.task(&attempt.task_id) else { return Ok(Some(Vec::new())) };
    let after: Vec<&Task> = ahead::next(dag, task).take(limit).collect();
    let ids: Vec<String> = after.iter().map(|task| task.task_id.to_string()).collect();
    let waiting = sqlx::query!(
        "select task_id, try_number, max_tries from task_instance
         where dag_run_id = $1 and task_id = any($2) and map_index = -1 and state = 'none'",
        attempt.dag_run_id,
        &ids
    )
    .fetch_all(&mut *connection)
    .await?;
    let specs = waiting.iter().filter_map(|row| {
        let launch = Launch {
            attempt_id: AttemptId(Uuid::nil()),
            map_index: MapIndex::UNMAPPED,
            try_number: row.try_number + 1,
            max_tries: row.max_tries,
        };
        Some(TaskSpec::new(launch, dag, dag.task(&row.task_id)?, &run.context, run.code()))
    });
    Ok(Some(specs.filter(is_known_ahead).collect()))
}

/// Whether what its templates make of it is the same now as when its turn comes, as far as that can be told.
fn is_known_ahead(spec: &TaskSpec) -> bool {
    template::refs(spec).is_empty() && !template::names_previous_run(spec)
}

/// Completes what [`super::hand_out`] returned. `inline_limit`: the bytes of values that may travel with one attempt; what does
/// not fit is fetched by the node.
///
/// An attempt whose task the run's DAG version does not have cannot be started by anybody: it is left out and ended as failed
/// through the inbox, with the reason; so is a callback that cannot be read, in its notice.
pub async fn starts(
    store: &Store,
    dags: &DagCache,
    handed: &[Handed],
    inline_limit: usize,
) -> Result<Vec<Start>, StoreError> {
    if handed.is_empty() {
        return Ok(Vec::new());
    }
    let mut connection = store.pool().acquire().await?;
    let ids = handed.iter().map(|attempt| attempt.dag_run_id).collect();
    let runs = run_facts(&mut connection, dags, &ids).await?;
    let mut starts = Vec::with_capacity(handed.len());
    let mut wanted = Vec::new();
    let mut impossible = Vec::new();
    let callbacks: Vec<Uuid> =
        handed.iter().filter(|attempt| attempt.is_callback).map(|attempt| attempt.attempt_id).collect();
    let mut notices = match &callbacks[..] {
        [] => BTreeMap::new(),
        callbacks => outbox::notices(&mut connection, callbacks).await?,
    };
    let mut uncallable = BTreeMap::new();
    for attempt in handed {
        let Some(run) = runs.get(&attempt.dag_run_id) else {
            // The run was deleted since; its attempts are gone with it and the node hears of it as `stop`.
            continue;
        };
        if attempt.is_callback {
            // Without a notice it was settled since.
            match notices.remove(&attempt.attempt_id).map(|notice| outbox::spec(attempt.attempt_id, run, notice)) {
                Some(Ok(spec)) => {
                    wanted.push((attempt.dag_run_id, Vec::new()));
                    starts.push(Start { spec, refs: Vec::new() });
                }
                Some(Err(reason)) => {
                    uncallable.insert(attempt.attempt_id, outbox::Word::Failed(reason));
                }
                None => {}
            }
            continue;
        }
        let (dag, task) = match run.task(attempt) {
            Ok(found) => found,
            Err(reason) => {
                impossible.push((attempt, reason));
                continue;
            }
        };
        let spec = task_spec(attempt, run, dag, task);
        wanted.push((attempt.dag_run_id, template::refs(&spec)));
        starts.push(Start { spec, refs: Vec::new() });
    }
    if !impossible.is_empty() {
        end_impossible(&mut connection, &impossible).await?;
        let ended: BTreeSet<i64> = impossible.iter().map(|(attempt, _)| attempt.dag_run_id).collect();
        for run in ended {
            store.wake().ring(Signal::Run(run));
        }
    }
    if !uncallable.is_empty() {
        outbox::settle(&mut connection, &uncallable).await?;
        store.wake().ring(Signal::Dispatch);
    }
    let mut specs: Vec<(i64, &mut TaskSpec)> =
        wanted.iter().zip(&mut starts).map(|((run, _), start)| (*run, &mut start.spec)).collect();
    add_previous_runs(&mut connection, &mut specs).await?;
    add_reschedule_counts(&mut connection, &mut specs).await?;
    if wanted.iter().any(|(_, refs)| !refs.is_empty()) {
        let distinct: HashSet<(i64, Ref)> =
            wanted.iter().flat_map(|(run, refs)| refs.iter().map(|reference| (*run, reference.clone()))).collect();
        let answers = resolve::answers(&mut connection, store.sources(), distinct, inline_limit).await?;
        for (start, (run, refs)) in starts.iter_mut().zip(wanted) {
            start.refs = fitting(run, refs, &answers, inline_limit);
        }
    }
    Ok(starts)
}

/// Fills in how often sensors were asked, of those whose templates ask for it. Served by `task_instance_pkey`.
async fn add_reschedule_counts(
    connection: &mut PgConnection,
    specs: &mut [(i64, &mut TaskSpec)],
) -> Result<(), StoreError> {
    for (run, spec) in specs.iter_mut().filter(|(_, spec)| template::names_reschedule_count(spec)) {
        let count = sqlx::query_scalar!(
            "select reschedules from task_instance where dag_run_id = $1 and task_id = $2 and map_index = $3",
            *run,
            spec.task_id.as_str(),
            spec.map_index.0
        );
        let count = count.fetch_optional(&mut *connection).await?.unwrap_or(0);
        spec.reschedule_count = u32::try_from(count).unwrap_or(0);
    }
    Ok(())
}

/// Fills in the previous successful run of those whose templates ask for it; the others cost nothing.
async fn add_previous_runs(
    connection: &mut PgConnection,
    specs: &mut [(i64, &mut TaskSpec)],
) -> Result<(), StoreError> {
    let asks = |spec: &TaskSpec| spec.run.logical_date.is_some() && template::names_previous_run(spec);
    let asking: BTreeSet<i64> = specs.iter().filter(|(_, spec)| asks(spec)).map(|(run, _)| *run).collect();
    let found = previous_runs(connection, &asking).await?;
    for (run, spec) in specs.iter_mut().filter(|(_, spec)| asks(spec)) {
        if let Some(previous) = found.get(run) {
            Arc::make_mut(&mut spec.run).previous_success = Some(previous.clone());
        }
    }
    Ok(())
}

/// The latest successful run before each of these, for templates that name it. Served by `dag_run_logical_date_key`, backwards.
pub(crate) async fn previous_runs(
    connection: &mut PgConnection,
    runs: &BTreeSet<i64>,
) -> Result<HashMap<i64, PreviousRun>, StoreError> {
    if runs.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<i64> = runs.iter().copied().collect();
    let rows = sqlx::query!(
        r#"select r.id as "id!", p.data_interval_start as "data_interval_start?",
                  p.data_interval_end as "data_interval_end?", p.start_date as "start_date?", p.end_date as "end_date?"
           from dag_run r
           cross join lateral (
               select e.data_interval_start, e.data_interval_end, e.start_date, e.end_date
               from dag_run e
               where e.dag_fk = r.dag_fk and e.logical_date < r.logical_date and e.state = 'success'
               order by e.logical_date desc limit 1
           ) p
           where r.id = any($1)"#,
        &ids
    )
    .fetch_all(connection)
    .await?;
    let previous = rows.into_iter().map(|row| {
        let previous = PreviousRun {
            data_interval_start: row.data_interval_start,
            data_interval_end: row.data_interval_end,
            start_date: row.start_date,
            end_date: row.end_date,
        };
        (row.id, previous)
    });
    Ok(previous.collect())
}

/// As many references as fit, in the order the templates name them. What cannot be read is left out too: the node asks for it
/// and the error becomes that attempt's, not every node's.
fn fitting(run: i64, refs: Vec<Ref>, answers: &HashMap<(i64, Ref), Answer>, limit: usize) -> Vec<ResolvedRef> {
    let mut left = limit;
    let mut fit = Vec::new();
    for reference in refs {
        let key = (run, reference);
        let Some(Answer::Known { bytes, value }) = answers.get(&key) else { continue };
        if let Some(rest) = left.checked_sub(*bytes) {
            left = rest;
            fit.push(ResolvedRef { reference: key.1, value: value.clone() });
        }
    }
    fit
}

fn task_spec(attempt: &Handed, run: &Run, dag: &Dag, task: &Task) -> TaskSpec {
    let launch = Launch {
        attempt_id: AttemptId(attempt.attempt_id),
        map_index: MapIndex(attempt.map_index),
        try_number: attempt.try_number,
        max_tries: attempt.max_tries,
    };
    TaskSpec::new(launch, dag, task, &run.context, run.code())
}

impl Run {
    /// Where the files of its tasks come from.
    pub(crate) fn code(&self) -> CodeRef {
        CodeRef { bundle_hash: self.bundle_hash.clone(), relative_fileloc: self.relative_fileloc.clone() }
    }
}

/// What templates and tasks need to know of runs; those that are gone are left out.
pub(crate) async fn run_facts(
    connection: &mut PgConnection,
    dags: &DagCache,
    ids: &BTreeSet<i64>,
) -> Result<HashMap<i64, Run>, StoreError> {
    let ids: Vec<i64> = ids.iter().copied().collect();
    let rows = sqlx::query!(
        r#"select r.id as "id!", d.dag_id as "dag_id!", r.run_id as "run_id!", r.run_type as "run_type!",
                  r.logical_date as "logical_date?", r.data_interval_start as "data_interval_start?",
                  r.data_interval_end as "data_interval_end?", r.run_after as "run_after!", r.start_date as "start_date?",
                  r.dag_version_id as "dag_version_id!", c.conf as "conf?", coalesce(r.bundle_hash, v.bundle_hash) as "bundle_hash?",
                  d.relative_fileloc as "relative_fileloc!", now() as "now!", r.queued_at as "queued_at?",
                  r.triggering_user_name as "triggering_user_name?", r.clear_number as "clear_number!", n.content as "note?"
           from dag_run r
           join dag d on d.id = r.dag_fk
           left join dag_run_note n on n.dag_run_id = r.id
           left join dag_run_conf c on c.dag_run_id = r.id
           left join dag_version v on v.id = r.dag_version_id
           where r.id = any($1)"#,
        &ids
    )
    .fetch_all(&mut *connection)
    .await?;
    let by_assets = rows.iter().filter(|row| row.run_type == DagRunType::AssetTriggered.as_str());
    let by_assets: Vec<i64> = by_assets.map(|row| row.id).collect();
    let mut triggering = assets::triggering(&mut *connection, &by_assets).await?;
    let mut runs = HashMap::with_capacity(rows.len());
    for row in rows {
        // A version that cannot be read ends its own attempts; it must not keep the node from everybody else's.
        let dag = match dags.get(&mut *connection, row.dag_version_id).await {
            Ok(dag) => Ok(dag),
            Err(error @ (StoreError::Data(_) | StoreError::Inconsistent(_))) => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        let run_type: DagRunType =
            row.run_type.parse().map_err(|error| StoreError::Data(format!("run type: {error}")))?;
        let conf = row.conf.unwrap_or_else(|| Value::Object(Map::new()));
        let context = match &dag {
            Ok(dag) => RunContext::of_dag(dag, row.run_id.into(), run_type, row.run_after, conf),
            Err(_) => RunContext::of_dag(&Dag::new(row.dag_id), row.run_id.into(), run_type, row.run_after, conf),
        };
        let context = RunContext {
            logical_date: row.logical_date,
            data_interval_start: row.data_interval_start,
            data_interval_end: row.data_interval_end,
            start_date: row.start_date,
            triggering_asset_events: triggering.remove(&row.id).unwrap_or_default(),
            now: Some(row.now),
            queued_at: row.queued_at,
            triggering_user_name: row.triggering_user_name,
            note: row.note,
            clear_number: row.clear_number,
            ..context
        };
        let run = Run {
            context: Arc::new(context),
            dag,
            bundle_hash: row.bundle_hash,
            relative_fileloc: row.relative_fileloc,
        };
        runs.insert(row.id, run);
    }
    Ok(runs)
}

/// Ends attempts that no node can start. `started_at` is set so that they are not handed out again meanwhile.
async fn end_impossible(connection: &mut PgConnection, attempts: &[(&Handed, String)]) -> Result<(), StoreError> {
    let now = sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(&mut *connection).await?;
    let mut sorted: Vec<&(&Handed, String)> = attempts.iter().collect();
    sorted.sort_unstable_by_key(|(attempt, _)| attempt.attempt_id);
    let ids: Vec<Uuid> = sorted.iter().map(|(attempt, _)| attempt.attempt_id).collect();
    let bodies: Vec<Value> = sorted
        .iter()
        .map(|(_, reason)| {
            serde_json::to_value(inbox::Finished {
                outcome: Outcome::Failed,
                hostname: String::new(),
                pid: None,
                execution: None,
                started_at: now,
                ended_at: now,
                exit_code: None,
                failure_class: Some(FailureClass::InvalidArguments),
                failure_reason: Some(reason.clone()),
                no_retry: true,
                retry_delay_ms: None,
                decision: None,
                outlet_events: None,
                rendered_fields: None,
                rendered_map_index: None,
            })
        })
        .collect::<Result<_, _>>()?;
    sqlx::query!(
        "with ended as (
             update attempt a set started_at = coalesce(a.started_at, now())
             from unnest($1::uuid[], $2::jsonb[]) as e (attempt_id, body)
             where a.attempt_id = e.attempt_id
             returning a.dag_run_id, a.task_id, a.map_index, a.attempt_id, e.body
         )
         insert into task_event (dag_run_id, task_id, map_index, attempt_id, kind, body)
         select dag_run_id, task_id, map_index, attempt_id, $3, body from ended",
        &ids,
        &bodies,
        inbox::FINISHED
    )
    .execute(connection)
    .await?;
    Ok(())
}
