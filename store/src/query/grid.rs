//! The dashboard's grid: a window of a DAG's runs, and of each run one cell per task.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use super::filter::Filter;
use crate::StoreError;

/// Which runs.
#[derive(Clone, Debug, Default)]
pub struct Window {
    pub dag_id: String,
    /// Only runs before this `run_after`.
    pub before: Option<DateTime<Utc>>,
    /// Empty: all.
    pub run_type: Vec<String>,
    /// Empty: all.
    pub state: Vec<String>,
    /// Runs at most.
    pub limit: i64,
}

/// A run, a column of the grid.
#[derive(Clone, Debug, FromRow)]
pub struct GridRun {
    pub id: i64,
    pub run_id: String,
    pub run_type: String,
    pub state: String,
    pub run_after: DateTime<Utc>,
    pub logical_date: Option<DateTime<Utc>>,
    pub queued_at: Option<DateTime<Utc>>,
    pub start_date: Option<DateTime<Utc>>,
    pub end_date: Option<DateTime<Utc>>,
    pub version_number: Option<i32>,
    pub has_note: bool,
    pub failed_tasks: i32,
}

/// The latest runs of a window, the latest first; `dag_run_dag_run_after_idx`.
pub async fn runs(connection: &mut PgConnection, window: &Window) -> Result<Vec<GridRun>, StoreError> {
    let mut sql = Filter::on(
        "select r.id, r.run_id, r.run_type, r.state, r.run_after, r.logical_date, r.queued_at, r.start_date, r.end_date, \
         v.version_number, exists (select from dag_run_note n where n.dag_run_id = r.id) as has_note, r.failed_tasks \
         from dag_run r left join dag_version v on v.id = r.dag_version_id",
    );
    // A value, not a join: rows that are equal in it are in the index's order.
    sql.and().push("r.dag_fk = (select id from dag where dag_id = ").push_bind(window.dag_id.clone()).push(")");
    if let Some(before) = window.before {
        sql.and().push("r.run_after < ").push_bind(before);
    }
    sql.any_of("r.run_type", &window.run_type);
    sql.any_of("r.state", &window.state);
    sql.continued().push(" order by r.run_after desc, r.id desc limit ").push(window.limit);
    sql.fetch_all(connection).await
}

/// The unmapped instances of one run, column by column: the same place is the same instance.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    pub dag_run_id: i64,
    pub task_ids: Vec<String>,
    /// As the API spells them; `none` for null.
    pub states: Vec<String>,
    pub try_numbers: Vec<i32>,
    /// `None`: not begun.
    pub starts: Vec<Option<DateTime<Utc>>>,
    pub ends: Vec<Option<DateTime<Utc>>>,
}

/// How many instances of a mapped task are in one state.
#[derive(Clone, Debug)]
pub struct MappedCount {
    pub dag_run_id: i64,
    pub task_id: String,
    pub state: String,
    pub count: i64,
    /// The first start and the last end among them.
    pub start: Option<DateTime<Utc>>,
    pub end: Option<DateTime<Utc>>,
}

/// The instances of these runs: `task_instance_pkey`, once for those that are not mapped and once for those that are, and
/// `attempt_run_idx` for what the attempts know better (see [`super::task_instances`]).
///
/// An array per run, since a row per instance would cost more than reading it.
pub async fn cells(connection: &mut PgConnection, runs: &[i64]) -> Result<(Vec<Cells>, Vec<MappedCount>), StoreError> {
    let cells = sqlx::query_as!(
        Cells,
        r#"with live as materialized (
               select attempt_id, executor_id is not null as is_placed, started_at from attempt
               where dag_run_id = any($1) and kind = 'task'
           )
           select t.dag_run_id as "dag_run_id!", array_agg(t.task_id) as "task_ids!",
                  array_agg(case when t.state in ('deferred', 'awaiting_input') then t.state
                                 when a.started_at is not null then 'running' when a.is_placed then 'queued' else t.state end) as "states!",
                  array_agg(t.try_number) as "try_numbers!",
                  array_agg(coalesce(t.start_date, a.started_at)) as "starts!: Vec<Option<DateTime<Utc>>>",
                  array_agg(t.end_date) as "ends!: Vec<Option<DateTime<Utc>>>"
           from task_instance t left join live a on a.attempt_id = t.attempt_id
           where t.dag_run_id = any($1) and t.map_index = -1
           group by t.dag_run_id"#,
        runs
    )
    .fetch_all(&mut *connection)
    .await?;
    let mapped = sqlx::query_as!(
        MappedCount,
        r#"with live as materialized (
               select attempt_id, executor_id is not null as is_placed, started_at from attempt
               where dag_run_id = any($1) and kind = 'task' and map_index >= 0
           )
           select t.dag_run_id, t.task_id,
                  case when t.state in ('deferred', 'awaiting_input') then t.state
                       when a.started_at is not null then 'running' when a.is_placed then 'queued' else t.state end as "state!",
                  count(*) as "count!",
                  min(coalesce(t.start_date, a.started_at)) as start,
                  max(t.end_date) as "end"
           from task_instance t left join live a on a.attempt_id = t.attempt_id
           where t.dag_run_id = any($1) and t.map_index >= 0
           group by 1, 2, 3"#,
        runs
    )
    .fetch_all(connection)
    .await?;
    Ok((cells, mapped))
}
