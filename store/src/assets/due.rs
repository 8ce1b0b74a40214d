//! Runs that assets ask for (semantics §15).

use std::collections::{BTreeMap, HashMap, HashSet};

use rand::distr::{Alphanumeric, SampleString};
use sqlx::PgConnection;
use updraft_core::{
    asset::{AssetRef, Due, Waiting, due},
    dag::Dag,
    failpoint,
    state::DagRunType,
    timetable::run_id_with_suffix,
};

use crate::{
    Store, StoreError,
    runs::{NewRun, insert},
    versions::DagCache,
};

/// DAGs in one transaction, at most.
const BATCH: usize = 50;

/// The random letters behind the id of a run without logical date.
const SUFFIX: usize = 8;

/// Creates a run for each DAG whose assets ask for one and that has room; returns how many. Ring
/// [`Signal::Dags`](crate::wake::Signal::Dags) if there were any, so that they start.
///
/// Called by the scheduler after events, and when a run ended. Several schedulers share the work: what may be due is read without
/// a lock, then decided again under the `dag` rows, those locked elsewhere are passed over. `asset_dag_run_queue_waiting_idx`
/// serves the first look, whose cost grows with the assets waited for and not with the events that wait.
pub async fn create_due(store: &Store, dags: &DagCache) -> Result<usize, StoreError> {
    let mut met = Vec::new();
    {
        let mut connection = store.pool().acquire().await?;
        for (dag_fk, (version, present)) in present(&mut connection).await? {
            match dags.get(&mut *connection, version).await {
                Ok(dag) if dag.asset_schedule().is_some_and(|wanted| wanted.is_met(&|asset| present.has(asset))) => {
                    met.push(dag_fk);
                }
                Ok(_) => {}
                // A version that cannot be read holds up its own runs only.
                Err(error @ (StoreError::Data(_) | StoreError::Inconsistent(_))) => {
                    tracing::warn!(%error, dag_fk, "a DAG cannot be read; its assets are not looked at");
                }
                Err(error) => return Err(error),
            }
        }
    }
    let mut made = 0;
    for batch in met.chunks(BATCH) {
        made += create(store, dags, batch).await?;
    }
    Ok(made)
}

/// The assets and aliases with a queued event, of one consumer.
#[derive(Default)]
struct Present {
    assets: HashSet<(String, String)>,
    aliases: HashSet<String>,
}

impl Present {
    fn has(&self, asset: &AssetRef) -> bool {
        match asset {
            AssetRef::Alias { name, .. } => self.aliases.contains(name),
            other => self.assets.iter().any(|(name, uri)| other.is_about(name, uri, &[])),
        }
    }
}

/// What is queued, by consumer, with the consumer's latest version; consumers that may have a run now only.
async fn present(connection: &mut PgConnection) -> Result<BTreeMap<i64, (i64, Present)>, StoreError> {
    let rows = sqlx::query!(
        r#"
        with consumer as materialized (
            select d.id, d.latest_version_id from dag d
            where not d.is_paused and not d.is_stale and d.latest_version_id is not null
              and exists (select from asset_dag_run_queue q where q.dag_fk = d.id and q.queued)
              and (select count(*) from dag_run r where r.dag_fk = d.id and r.state in ('queued', 'running')
                   and r.run_type <> 'backfill') < d.max_active_runs
        )
        select c.id as "id!", c.latest_version_id as "version!", a.name as "name!", a.uri as "uri?"
        from consumer c join dag_schedule_asset_reference r on r.dag_fk = c.id join asset a on a.id = r.asset_id
        where exists (select from asset_dag_run_queue q where q.dag_fk = c.id and q.asset_id = a.id and q.queued)
        union all
        select c.id, c.latest_version_id, a.name, a.uri
        from consumer c join dag_schedule_asset_ref_reference r on r.dag_fk = c.id
        join asset a on a.name = r.name or a.uri = r.uri
        where exists (select from asset_dag_run_queue q where q.dag_fk = c.id and q.asset_id = a.id and q.queued)
        union all
        select c.id, c.latest_version_id, al.name, null
        from consumer c join dag_schedule_asset_alias_reference r on r.dag_fk = c.id join asset_alias al on al.id = r.alias_id
        where exists (select from asset_dag_run_queue q join asset_alias_asset_event e on e.event_id = q.event_id
                      where q.dag_fk = c.id and q.queued and e.alias_id = al.id)
        "#
    )
    .fetch_all(connection)
    .await?;
    let mut found: BTreeMap<i64, (i64, Present)> = BTreeMap::new();
    for row in rows {
        let (_, present) = found.entry(row.id).or_insert_with(|| (row.version, Present::default()));
        match row.uri {
            Some(uri) => {
                present.assets.insert((row.name, uri));
            }
            None => {
                present.aliases.insert(row.name);
            }
        }
    }
    Ok(found)
}

/// Locks these DAGs, decides again, and makes their runs.
async fn create(store: &Store, dags: &DagCache, dag_fks: &[i64]) -> Result<usize, StoreError> {
    let mut transaction = store.begin().await?;
    let locked = sqlx::query_scalar!(
        "select id from dag where id = any($1) and not is_paused and not is_stale order by id for no key update skip locked",
        dag_fks
    )
    .fetch_all(&mut *transaction)
    .await?;
    let rows = sqlx::query!(
        r#"select d.id, d.latest_version_id as "version!",
                  d.max_active_runs > (select count(*) from dag_run r where r.dag_fk = d.id
                                       and r.state in ('queued', 'running') and r.run_type <> 'backfill') as "has_room!"
           from dag d where d.id = any($1) and d.latest_version_id is not null order by d.id"#,
        &locked
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut waiting = waiting(&mut transaction, &locked).await?;
    let mut made = Vec::new();
    for row in rows.iter().filter(|row| row.has_room) {
        let dag = dags.get(&mut *transaction, row.version).await?;
        let Some(expression) = dag.asset_schedule() else { continue };
        let Some(due) = due(expression, &waiting.remove(&row.id).unwrap_or_default()) else { continue };
        made.push(create_one(&mut transaction, row.id, &dag, row.version, &due).await?);
    }
    failpoint!("create_due_by_assets.before_commit");
    transaction.commit().await?;
    failpoint!("create_due_by_assets.after_commit");
    for run in &made {
        store.wake().changed(*run);
    }
    Ok(made.len())
}

/// What waits for these DAGs.
async fn waiting(connection: &mut PgConnection, dag_fks: &[i64]) -> Result<HashMap<i64, Vec<Waiting>>, StoreError> {
    let rows = sqlx::query!(
        r#"select q.dag_fk, q.event_id, q.queued, q.created_at, a.name, a.uri,
                  array(select al.name from asset_alias_asset_event e join asset_alias al on al.id = e.alias_id
                        where e.event_id = q.event_id) as "aliases!"
           from asset_dag_run_queue q join asset a on a.id = q.asset_id where q.dag_fk = any($1)"#,
        dag_fks
    )
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<i64, Vec<Waiting>> = HashMap::new();
    for row in rows {
        found.entry(row.dag_fk).or_default().push(Waiting {
            event_id: row.event_id,
            name: row.name,
            uri: row.uri,
            aliases: row.aliases,
            queued: row.queued,
            at: row.created_at,
        });
    }
    Ok(found)
}

async fn create_one(
    connection: &mut PgConnection,
    dag_fk: i64,
    dag: &Dag,
    dag_version_id: i64,
    due: &Due,
) -> Result<i64, StoreError> {
    let is_first = dag.catchup && !has_run(connection, dag_fk).await?;
    let letters: String = Alphanumeric.sample_string(&mut rand::rng(), SUFFIX);
    let new = NewRun {
        dag_fk,
        dag,
        dag_version_id,
        run_type: DagRunType::AssetTriggered,
        run_id: run_id_with_suffix(DagRunType::AssetTriggered, due.run_after, &letters),
        logical_date: None,
        data_interval: None,
        run_after: due.run_after,
        conf: None,
        note: None,
        triggered_by: "asset",
        user: None,
    };
    let run = insert(connection, &new).await?;
    sqlx::query!(
        "with taken as (delete from asset_dag_run_queue where dag_fk = $1 and event_id = any($3) returning event_id)
         insert into dag_run_asset_event (dag_run_id, event_id) select $2, event_id from taken",
        dag_fk,
        run,
        &due.events
    )
    .execute(&mut *connection)
    .await?;
    if is_first {
        take_history(connection, dag_fk, run).await?;
    }
    Ok(run)
}

/// Whether assets ever made a run of this DAG. Asked for DAGs with catchup only; `dag_run_by_dag_idx` serves it.
async fn has_run(connection: &mut PgConnection, dag_fk: i64) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from dag_run where dag_fk = $1 and run_type = 'asset_triggered') as "has!""#,
        dag_fk
    )
    .fetch_one(connection)
    .await?)
}

/// The first run of a DAG with catchup takes also what happened before the DAG waited for it.
async fn take_history(connection: &mut PgConnection, dag_fk: i64, run: i64) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into dag_run_asset_event (dag_run_id, event_id)
         select $2, e.id from asset_event e join asset a on a.id = e.asset_id
         where e.timestamp <= (select run_after from dag_run where id = $2) and e.partition_key is null
           and not exists (select from asset_dag_run_queue q where q.dag_fk = $1 and q.event_id = e.id)
           and (exists (select from dag_schedule_asset_reference r where r.dag_fk = $1 and r.asset_id = a.id)
                or exists (select from dag_schedule_asset_ref_reference r
                           where r.dag_fk = $1 and (r.name = a.name or r.uri = a.uri))
                or exists (select from dag_schedule_asset_alias_reference r join asset_alias_asset_event v using (alias_id)
                           where r.dag_fk = $1 and v.event_id = e.id))
         on conflict do nothing",
        dag_fk,
        run
    )
    .execute(connection)
    .await?;
    Ok(())
}
