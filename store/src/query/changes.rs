//! What the event stream tells: states of runs and task instances, and all of what a deployment has little of.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::{PgConnection, types::Json};

use crate::StoreError;

/// Until when a run's instances were read: two clocks, since plan writes under the run's lock and dispatch under its own. Each only
/// goes forward from commit to commit, so nothing comes later and is dated earlier. `None`: the last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Since {
    pub written: Option<DateTime<Utc>>,
    pub placed: Option<DateTime<Utc>>,
}

/// A run, and those of its task instances whose state was written since.
#[derive(Clone, Debug)]
pub struct RunRow {
    pub id: i64,
    pub dag_id: String,
    pub run_id: String,
    pub run_type: String,
    pub state: String,
    pub updated_at: DateTime<Utc>,
    /// Of the attempt that was placed last, of those that are current.
    pub placed_at: Option<DateTime<Utc>>,
    /// At most as many as were asked for.
    pub instances: Json<Vec<InstanceRow>>,
}

impl RunRow {
    /// What to ask with the next time.
    pub fn since(&self, before: Since) -> Since {
        Since { written: Some(self.updated_at), placed: self.placed_at.max(before.placed) }
    }
}

/// The state of a task instance.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct InstanceRow {
    pub task_id: String,
    pub map_index: i32,
    /// `none` for what is not decided.
    pub state: String,
    pub try_number: i32,
}

/// These runs; one that is not in the answer is gone. `instances`: how many of each run at most.
///
/// Called by each webserver that somebody watches, some times a second, with the runs that changed since; `dag_run_pkey`,
/// `task_instance_pkey` and `attempt_run_idx` serve it.
pub async fn runs(
    connection: &mut PgConnection,
    asked: &BTreeMap<i64, Since>,
    instances: i64,
) -> Result<Vec<RunRow>, StoreError> {
    let ids: Vec<i64> = asked.keys().copied().collect();
    let written: Vec<_> = asked.values().map(|since| since.written).collect();
    let placed: Vec<_> = asked.values().map(|since| since.placed).collect();
    Ok(sqlx::query_as!(
        RunRow,
        // The state is query::task_instances': dispatch writes only the attempt.
        r#"
        select r.id, d.dag_id, r.run_id, r.run_type, r.state, r.updated_at,
               (select max(a.placed_at) from attempt a where a.dag_run_id = r.id) as placed_at,
               t.instances as "instances!: Json<Vec<InstanceRow>>"
        from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) as asked(id, written, placed)
        join dag_run r on r.id = asked.id
        join dag d on d.id = r.dag_fk
        cross join lateral (
            select coalesce(json_agg(changed), '[]') as instances
            from (select i.task_id, i.map_index, i.try_number,
                         case when i.state in ('deferred', 'awaiting_input') then i.state when a.started_at is not null then 'running'
                              when a.executor_id is not null then 'queued' else i.state end as state
                  from task_instance i
                  left join attempt a on a.dag_run_id = r.id and a.attempt_id = i.attempt_id
                  where i.dag_run_id = r.id
                    and (i.updated_at > coalesce(asked.written, now() - interval '1 minute')
                         or a.placed_at > coalesce(asked.placed, now() - interval '1 minute'))
                  order by i.task_id, i.map_index limit $4) changed) t
        order by r.id
        "#,
        &ids,
        &written as &[Option<DateTime<Utc>>],
        &placed as &[Option<DateTime<Utc>>],
        instances
    )
    .fetch_all(connection)
    .await?)
}

/// What a deployment has little of, by key: it is read whole, and compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// By `dag_id`.
    pub dags: BTreeMap<String, DagState>,
    /// States of nodes, by name.
    pub executors: BTreeMap<String, String>,
    /// By id.
    pub import_errors: BTreeMap<i64, ImportErrorState>,
}

/// Of a DAG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DagState {
    pub is_paused: bool,
    pub is_stale: bool,
    pub has_import_errors: bool,
    /// A new one is a new version.
    pub latest_version_id: Option<i64>,
    pub next_dagrun_create_after: Option<DateTime<Utc>>,
}

/// Of an import error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportErrorState {
    pub bundle_name: String,
    pub filename: String,
    pub timestamp: DateTime<Utc>,
}

/// All DAGs, nodes and import errors, stale DAGs too.
///
/// Called by each webserver that somebody watches, at most once a second and only when something was rung; three small tables.
pub async fn catalog(connection: &mut PgConnection) -> Result<Catalog, StoreError> {
    let dags = sqlx::query!(
        "select dag_id, is_paused, is_stale, has_import_errors, latest_version_id, next_dagrun_create_after from dag"
    )
    .fetch_all(&mut *connection)
    .await?;
    let executors = sqlx::query!("select name, state from executor").fetch_all(&mut *connection).await?;
    let errors = sqlx::query!("select id, bundle_name, filename, timestamp from import_error")
        .fetch_all(&mut *connection)
        .await?;
    let dags = dags.into_iter().map(|row| {
        let state = DagState {
            is_paused: row.is_paused,
            is_stale: row.is_stale,
            has_import_errors: row.has_import_errors,
            latest_version_id: row.latest_version_id,
            next_dagrun_create_after: row.next_dagrun_create_after,
        };
        (row.dag_id, state)
    });
    let errors = errors.into_iter().map(|row| {
        (row.id, ImportErrorState { bundle_name: row.bundle_name, filename: row.filename, timestamp: row.timestamp })
    });
    Ok(Catalog {
        dags: dags.collect(),
        executors: executors.into_iter().map(|row| (row.name, row.state)).collect(),
        import_errors: errors.collect(),
    })
}
