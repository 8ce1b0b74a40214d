//! What plan asks for beyond the run's rows: read in the same transaction, never kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sqlx::PgConnection;
use updraft_core::{
    dag::Dag,
    ids::TaskId,
    plan::{Facts, Need, Needs, Past, PreviousRun},
    template,
};

use super::{RunRow, read::parse};
use crate::{
    StoreError,
    nodes::{previous_runs, run_facts},
    resolve::resolve_for_server,
    sources::Sources,
    versions::DagCache,
    xcom::xcom_lengths,
};

/// Adds what `needs` names to `facts`. Called by the reactor only when a plan says so: mapped tasks about to expand, `when` and
/// `foreach` templates, `depends_on_past`.
pub async fn load_facts(
    connection: &mut PgConnection,
    dags: &DagCache,
    sources: &Sources,
    row: &RunRow,
    dag: &Dag,
    needs: &Needs,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let run = &row.run;
    let mut lengths = Vec::new();
    let mut refs = Vec::new();
    for need in needs {
        match need {
            Need::Past => facts.past = Some(past(&mut *connection, row, dag).await?),
            Need::Context => {
                let runs = BTreeSet::from([run.id]);
                let mut found = run_facts(&mut *connection, dags, &runs).await?;
                facts.context = found.remove(&run.id).map(|found| found.context);
                if let Some(context) = &mut facts.context
                    && run.logical_date.is_some()
                    && template::dag_names_previous_run(dag)
                {
                    let mut previous = previous_runs(&mut *connection, &runs).await?;
                    Arc::make_mut(context).previous_success = previous.remove(&run.id);
                }
            }
            Need::Length { task_id, key } => lengths.push((task_id.clone(), key.clone())),
            Need::Value(reference) => refs.push(reference.clone()),
        }
    }
    if !lengths.is_empty() {
        facts.lengths.extend(mapped_lengths(&mut *connection, run.id, dag, lengths).await?);
    }
    if !refs.is_empty() {
        facts.values.extend(resolve_for_server(connection, sources, run.id, &refs).await?);
    }
    Ok(())
}

/// How many elements the results are: of an ordinary task what it pushed, of a mapped one as many as its instances pushed.
async fn mapped_lengths(
    connection: &mut PgConnection,
    run: i64,
    dag: &Dag,
    wanted: Vec<(TaskId, String)>,
) -> Result<BTreeMap<(TaskId, String), Option<usize>>, StoreError> {
    let refs: Vec<(i64, String, String)> =
        wanted.iter().map(|(task_id, key)| (run, task_id.to_string(), key.clone())).collect();
    let found = xcom_lengths(connection, &refs).await?;
    let lengths = wanted.into_iter().map(|(task_id, key)| {
        let mut of = found.iter().filter(|row| row.task_id == task_id.as_str() && row.key == key);
        let is_mapped = dag.index_of(task_id.as_str()).is_some_and(|task| dag.mapping(task).is_some());
        let length = if is_mapped {
            Some(of.count())
        } else {
            of.next().and_then(|row| row.length).and_then(|length| usize::try_from(length).ok())
        };
        ((task_id, key), length)
    });
    Ok(lengths.collect())
}

/// The run before, as Airflow finds it (semantics §5, case 2). `dag_run_logical_date_key` and `task_instance_pkey` serve it.
async fn past(connection: &mut PgConnection, row: &RunRow, dag: &Dag) -> Result<Past, StoreError> {
    let dag_fk = row.dag_fk;
    let Some(date) = row.run.logical_date else { return Ok(Past::default()) };
    let previous = sqlx::query!(
        "select id, logical_date from dag_run
         where dag_fk = $1 and logical_date < $2 and (not $3 or run_type <> 'manual')
         order by logical_date desc limit 1",
        dag_fk,
        date,
        dag.catchup
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(previous) = previous else { return Ok(Past::default()) };
    let rows = sqlx::query!("select task_id, state from task_instance where dag_run_id = $1", previous.id)
        .fetch_all(&mut *connection)
        .await?;
    let mut states: BTreeMap<TaskId, Vec<_>> = BTreeMap::new();
    for row in rows {
        states.entry(row.task_id.into()).or_default().push(parse(&row.state)?);
    }
    let first: Vec<String> = dag
        .tasks
        .iter()
        .filter(|task| task.ignore_first_depends_on_past && !states.contains_key(&task.task_id))
        .map(|task| task.task_id.to_string())
        .collect();
    let seen = if first.is_empty() {
        BTreeSet::new()
    } else {
        let rows = sqlx::query_scalar!(
            "select distinct t.task_id from dag_run r join task_instance t on t.dag_run_id = r.id
             where r.dag_fk = $1 and r.logical_date < $2 and t.task_id = any($3)",
            dag_fk,
            date,
            &first
        )
        .fetch_all(&mut *connection)
        .await?;
        rows.into_iter().map(TaskId::from).collect()
    };
    let previous = PreviousRun { logical_date: previous.logical_date, states };
    Ok(Past { is_first_of_backfill: row.is_first_of_backfill, previous: Some(previous), seen })
}
