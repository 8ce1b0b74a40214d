//! The dashboard's first page: what runs, what ran, what comes.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::StoreError;

/// Attempts that are compared with what is usual, at most: those that run longest.
const COMPARED: i64 = 100;
/// Earlier runs that say what is usual.
const USUAL_RUNS: i64 = 15;

/// A task that runs.
#[derive(Clone, Debug)]
pub struct RunningRow {
    pub dag_id: String,
    pub run_id: String,
    pub task_id: String,
    pub map_index: i32,
    pub try_number: i32,
    pub hostname: String,
    pub start_date: DateTime<Utc>,
    /// The median of what it took in earlier runs. Seconds; `None`: it never succeeded in one of them.
    pub usual_duration: Option<f64>,
}

/// The tasks that run longest over what is usual for them, then those of which nothing is known; and how many run in all.
///
/// `attempt_placed_idx` (as many as there are slots), then for a hundred of them `dag_run_dag_run_after_idx` and
/// `task_instance_pkey`, fifteen runs each.
pub async fn running(connection: &mut PgConnection, limit: i64) -> Result<(Vec<RunningRow>, i64), StoreError> {
    let rows = sqlx::query_as!(
        RunningRow,
        r#"
        with running as materialized (
            select a.* from attempt a where a.executor_id is not null and a.started_at is not null and a.kind = 'task'
            order by a.started_at limit $1
        )
        select d.dag_id, r.run_id, a.task_id, a.map_index, a.try_number, e.name as hostname, a.started_at as "start_date!",
               u.usual as "usual_duration?"
        from running a join dag_run r on r.id = a.dag_run_id join dag d on d.id = a.dag_fk join executor e on e.id = a.executor_id
        left join lateral (
            select percentile_cont(0.5) within group (order by extract(epoch from t.end_date - t.start_date)::float8) as usual
            from (select o.id from dag_run o where o.dag_fk = a.dag_fk and o.id <> a.dag_run_id
                  order by o.run_after desc, o.id desc limit $2) earlier
            join task_instance t on t.dag_run_id = earlier.id and t.task_id = a.task_id and t.map_index = a.map_index
                                and t.state = 'success' and t.start_date is not null) u on true
        order by extract(epoch from now() - a.started_at) - u.usual desc nulls last, a.started_at, a.attempt_id limit $3
        "#,
        COMPARED,
        USUAL_RUNS,
        limit
    )
    .fetch_all(&mut *connection)
    .await?;
    let total = sqlx::query_scalar!(
        r#"select count(*) as "count!" from attempt
           where executor_id is not null and started_at is not null and kind = 'task'"#
    )
    .fetch_one(connection)
    .await?;
    Ok((rows, total))
}

/// The runs of one hour by state.
#[derive(Clone, Debug)]
pub struct HourRow {
    pub start: DateTime<Utc>,
    pub success: i64,
    pub failed: i64,
    pub running: i64,
    pub queued: i64,
}

/// The last 24 hours, the oldest first, by when the runs were due; hours without runs too. `dag_run_run_after_idx`: reads the
/// runs of a day.
pub async fn hours(connection: &mut PgConnection) -> Result<Vec<HourRow>, StoreError> {
    Ok(sqlx::query_as!(
        HourRow,
        r#"
        select h.start as "start!", coalesce(c.success, 0) as "success!", coalesce(c.failed, 0) as "failed!",
               coalesce(c.running, 0) as "running!", coalesce(c.queued, 0) as "queued!"
        from generate_series(date_trunc('hour', now()) - interval '23 hours', date_trunc('hour', now()), interval '1 hour') as h(start)
        left join (
            select date_trunc('hour', r.run_after) as start, count(*) filter (where r.state = 'success') as success,
                   count(*) filter (where r.state = 'failed') as failed, count(*) filter (where r.state = 'running') as running,
                   count(*) filter (where r.state = 'queued') as queued
            from dag_run r
            where r.run_after >= date_trunc('hour', now()) - interval '23 hours' and r.run_after < now()
            group by 1) c on c.start = h.start
        order by h.start
        "#
    )
    .fetch_all(connection)
    .await?)
}

/// A run to come.
#[derive(Clone, Debug)]
pub struct NextRow {
    pub dag_id: String,
    pub run_after: DateTime<Utc>,
}

/// The runs of the next two hours, each DAG's next only; `dag_next_dagrun_create_after_idx`.
pub async fn next(connection: &mut PgConnection, limit: i64) -> Result<Vec<NextRow>, StoreError> {
    Ok(sqlx::query_as!(
        NextRow,
        r#"select d.dag_id, d.next_dagrun_create_after as "run_after!" from dag d
           where not d.is_paused and not d.is_stale and d.next_dagrun_create_after <= now() + interval '2 hours'
           order by d.next_dagrun_create_after, d.dag_id limit $1"#,
        limit
    )
    .fetch_all(connection)
    .await?)
}

/// How many DAGs there are that are not stale. The table is small.
pub async fn dags_total(connection: &mut PgConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(r#"select count(*) as "count!" from dag where not is_stale"#).fetch_one(connection).await?)
}

/// A node and how it is.
#[derive(Clone, Debug)]
pub struct NodeState {
    pub name: String,
    pub state: String,
}

/// The nodes by name.
pub async fn nodes(connection: &mut PgConnection) -> Result<Vec<NodeState>, StoreError> {
    Ok(sqlx::query_as!(NodeState, "select name, state from executor order by name").fetch_all(connection).await?)
}
