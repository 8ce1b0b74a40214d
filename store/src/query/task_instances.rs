//! Task instances and their tries as the API lists them.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, types::Json};
use updraft_core::{ids::TaskId, spec::Execution, state::TaskInstanceState};
use uuid::Uuid;

use super::filter::{Filter, Listing, OrderBy, Page, Pattern, Range, Source, led_by, list};
use crate::StoreError;

/// A task instance (or one of its earlier tries) with what the API shows of its run, DAG and version.
#[derive(Clone, Debug, FromRow)]
pub struct TiRow {
    /// The run's inside key.
    pub dag_run_key: i64,
    pub attempt_id: Uuid,
    pub dag_id: String,
    pub dag_display_name: String,
    pub run_id: String,
    pub task_id: String,
    pub map_index: i32,
    pub logical_date: Option<DateTime<Utc>>,
    pub run_after: DateTime<Utc>,
    /// `none` is Airflow's null.
    pub state: String,
    pub try_number: i32,
    pub max_tries: i32,
    pub scheduled_dttm: Option<DateTime<Utc>>,
    pub queued_dttm: Option<DateTime<Utc>>,
    pub start_date: Option<DateTime<Utc>>,
    pub end_date: Option<DateTime<Utc>>,
    pub hostname: String,
    pub pid: Option<i32>,
    pub operator: String,
    pub pool: String,
    pub pool_slots: i32,
    pub queue: String,
    pub priority_weight: i32,
    pub failure_class: Option<String>,
    pub failure_reason: Option<String>,
    pub exit_code: Option<i64>,
    pub rendered_fields: Option<Value>,
    pub execution: Option<Json<Execution>>,
    pub rendered_map_index: Option<String>,
    pub note: Option<String>,
    /// Of the try, not of the run: the run may have followed its DAG to a later one.
    pub dag_version_id: i64,
    pub version_uuid: Option<Uuid>,
    pub version_number: Option<i32>,
    pub version_created_at: Option<DateTime<Utc>>,
    pub version_bundle_name: Option<String>,
    pub version_bundle_version: Option<String>,
}

/// Filters of `GET …/taskInstances`.
#[derive(Clone, Debug, Default)]
pub struct TiFilter {
    /// `None`: `~`.
    pub dag_id: Option<String>,
    /// `None`: `~`.
    pub run_id: Option<String>,
    pub task_id: Option<String>,
    /// Each list: empty for all.
    pub dag_ids: Vec<String>,
    pub run_ids: Vec<String>,
    pub task_ids: Vec<String>,
    pub dag_id_pattern: Pattern,
    pub run_id_pattern: Pattern,
    pub run_after: Range<DateTime<Utc>>,
    pub logical_date: Range<DateTime<Utc>>,
    pub start_date: Range<DateTime<Utc>>,
    pub end_date: Range<DateTime<Utc>>,
    pub updated_at: Range<DateTime<Utc>>,
    /// Seconds.
    pub duration: Range<f64>,
    /// Stored spellings, `none` included.
    pub state: Vec<String>,
    pub pool: Vec<String>,
    pub pool_name: Pattern,
    pub queue: Vec<String>,
    pub queue_name: Pattern,
    pub version_number: Vec<i32>,
    pub try_number: Vec<i32>,
    pub operator: Vec<String>,
    pub operator_name: Pattern,
    pub map_index: Vec<i32>,
    pub rendered_map_index: Pattern,
    /// Leaves out what is not mapped or not yet expanded.
    pub only_mapped: bool,
    pub task_display_name: Pattern,
    /// No instance has an executor of Airflow's: naming one finds nothing.
    pub executor: Vec<String>,
}

/// `id` is the order of the key: Airflow's ids grow with time, ours change at every launch, and a page that is sorted by what
/// changes meanwhile skips rows. `id` and `map_index` are served by indexes, whatever is of the run by the run's.
pub const ORDER_BY: OrderBy = &[
    ("id", "t.dag_run_id", "bigint"),
    ("state", STATE, "text"),
    ("duration", DURATION, "float8"),
    ("start_date", START, "timestamptz"),
    ("end_date", "t.end_date", "timestamptz"),
    ("map_index", "t.map_index", "integer"),
    ("try_number", "t.try_number", "integer"),
    ("logical_date", "r.logical_date", "timestamptz"),
    ("run_after", "r.run_after", "timestamptz"),
    ("data_interval_start", "r.data_interval_start", "timestamptz"),
    ("data_interval_end", "r.data_interval_end", "timestamptz"),
    ("rendered_map_index", "t.map_index", "integer"),
    ("operator", "t.operator", "text"),
];

/// `task_instance.state` is a display copy while an attempt lives, and lags: dispatch writes only the attempt. So say what the
/// attempt row says.
const STATE: &str = "case when t.state in ('deferred', 'awaiting_input') then t.state when a.started_at is not null then 'running' \
     when a.executor_id is not null then 'queued' else t.state end";
const START: &str = "coalesce(t.start_date, a.started_at)";
const DURATION: &str = "extract(epoch from t.end_date - t.start_date)::float8";
const SELECT: &str = "t.dag_run_id as dag_run_key, t.attempt_id, d.dag_id, d.dag_display_name, r.run_id, t.task_id, \
    t.map_index, r.logical_date, r.run_after, \
    case when t.state in ('deferred', 'awaiting_input') then t.state when a.started_at is not null then 'running' \
    when a.executor_id is not null then 'queued' else t.state end as state, \
    t.try_number, t.max_tries, t.scheduled_dttm, coalesce(t.queued_dttm, a.placed_at) as queued_dttm, \
    coalesce(t.start_date, a.started_at) as start_date, t.end_date, \
    case when t.hostname = '' then coalesce(e.name, '') else t.hostname end as hostname, t.pid, t.operator, t.pool, \
    t.pool_slots, t.queue, t.priority_weight, \
    t.failure_class, t.failure_reason, t.exit_code, t.rendered_fields, t.execution, t.rendered_map_index, n.content as note, \
    coalesce(t.dag_version_id, r.dag_version_id) as dag_version_id, v.uuid as version_uuid, \
    v.version_number, v.created_at as version_created_at, v.bundle_name as version_bundle_name, \
    v.bundle_version as version_bundle_version";
const SELECT_HISTORY: &str = "t.dag_run_id as dag_run_key, t.attempt_id, d.dag_id, d.dag_display_name, r.run_id, t.task_id, \
    t.map_index, r.logical_date, r.run_after, t.state, t.try_number, t.max_tries, t.scheduled_dttm, t.queued_dttm, \
    t.start_date, t.end_date, t.hostname, t.pid, t.operator, t.pool, t.pool_slots, t.queue, t.priority_weight, \
    t.failure_class, t.failure_reason, t.exit_code, t.rendered_fields, t.execution, t.rendered_map_index, n.content as note, \
    coalesce(t.dag_version_id, r.dag_version_id) as dag_version_id, v.uuid as version_uuid, \
    v.version_number, v.created_at as version_created_at, v.bundle_name as version_bundle_name, \
    v.bundle_version as version_bundle_version";
const FROM: &str = "task_instance t join dag_run r on r.id = t.dag_run_id join dag d on d.id = r.dag_fk \
    left join dag_version v on v.id = coalesce(t.dag_version_id, r.dag_version_id) left join attempt a on a.attempt_id = t.attempt_id \
    left join executor e on e.id = a.executor_id \
    left join task_instance_note n on n.dag_run_id = t.dag_run_id and n.task_id = t.task_id and n.map_index = t.map_index";
/// What conditions and sort keys name. The attempt by the instance's key too: so few attempts lead to their instances.
const CHOOSE: &str = " left join dag_run r on r.id = t.dag_run_id left join dag d on d.id = r.dag_fk \
    left join dag_version v on v.id = coalesce(t.dag_version_id, r.dag_version_id) left join attempt a \
    on a.attempt_id = t.attempt_id and a.dag_run_id = t.dag_run_id and a.task_id = t.task_id and a.map_index = t.map_index";
const FROM_HISTORY: &str = "task_instance_history t join dag_run r on r.id = t.dag_run_id \
    join dag d on d.id = r.dag_fk left join dag_version v on v.id = coalesce(t.dag_version_id, r.dag_version_id) \
    left join task_instance_note n on n.dag_run_id = t.dag_run_id and n.task_id = t.task_id and n.map_index = t.map_index";

/// The primary key, the tie-breaker of every order.
const KEY: &[(&str, &str)] = &[("t.dag_run_id", "bigint"), ("t.task_id", "text"), ("t.map_index", "integer")];
/// The same behind a sort key of the run: `dag_run_run_after_idx` has both.
const KEY_BY_RUN: &[(&str, &str)] = &[("r.id", "bigint"), ("t.task_id", "text"), ("t.map_index", "integer")];

/// The states in which an instance has an attempt (`TaskInstanceState::has_attempt`), `none` of the stored spellings never.
fn has_attempt(state: &str) -> bool {
    state.parse::<TaskInstanceState>().is_ok_and(TaskInstanceState::has_attempt)
}

/// One page of task instances. `task_instance_page_idx` serves the default order of all runs, `task_instance_pkey` after
/// `dag_run_run_id_key` those of one run, `dag_run_run_after_idx` an order by `run_after`, the `attempt` rows those that are
/// ready, queued or running.
pub async fn page(connection: &mut PgConnection, filter: &TiFilter, page: &Page) -> Result<Listing<TiRow>, StoreError> {
    let by_run = page.order.first().is_some_and(|order| order.expression.starts_with("r."));
    let (choose, key) = if by_run { (led_by(CHOOSE), KEY_BY_RUN) } else { (CHOOSE, KEY) };
    let source = Source { select: SELECT, table: "task_instance t", from: FROM, choose: Some(choose) };
    list(connection, source, page, key, |sql| {
        if !filter.state.is_empty() && filter.state.iter().all(|state| has_attempt(state)) {
            sql.and().push("a.attempt_id is not null");
        }
        sql.equals("d.dag_id", filter.dag_id.clone());
        sql.equals("r.run_id", filter.run_id.clone());
        sql.equals("t.task_id", filter.task_id.clone());
        sql.any_of("d.dag_id", &filter.dag_ids);
        sql.any_of("r.run_id", &filter.run_ids);
        sql.any_of("t.task_id", &filter.task_ids);
        sql.pattern("d.dag_id", &filter.dag_id_pattern);
        sql.pattern("r.run_id", &filter.run_id_pattern);
        sql.range("r.run_after", &filter.run_after);
        sql.range("r.logical_date", &filter.logical_date);
        sql.range(START, &filter.start_date);
        sql.range("t.end_date", &filter.end_date);
        sql.range("t.updated_at", &filter.updated_at);
        sql.range(DURATION, &filter.duration);
        sql.any_of(STATE, &filter.state);
        sql.any_of("t.pool", &filter.pool);
        sql.pattern("t.pool", &filter.pool_name);
        sql.any_of("t.queue", &filter.queue);
        sql.pattern("t.queue", &filter.queue_name);
        sql.any_of("v.version_number", &filter.version_number);
        sql.any_of("t.try_number", &filter.try_number);
        sql.any_of("t.operator", &filter.operator);
        sql.pattern("t.operator", &filter.operator_name);
        sql.any_of("t.map_index", &filter.map_index);
        sql.pattern("t.rendered_map_index", &filter.rendered_map_index);
        if filter.only_mapped {
            sql.and().push("t.map_index >= 0");
        }
        sql.any_of("null::text", &filter.executor);
        if !filter.task_display_name.is_empty() {
            // The names are in the compiled DAGs: read once, of the DAG that the path names or of all.
            sql.and().push(
                "(coalesce(t.dag_version_id, r.dag_version_id), t.task_id) in \
                 (select named.id, named.task_id from (select v.id, d.dag_id, task ->> 'task_id' as task_id, \
                      task ->> 'task_display_name' as task_display_name \
                  from dag_version v join dag d on d.id = v.dag_fk, json_array_elements(v.data -> 'tasks') task) named",
            );
            sql.within(|inner| {
                inner.equals("named.dag_id", filter.dag_id.clone());
                inner.pattern("named.task_display_name", &filter.task_display_name);
            });
            sql.continued().push(")");
        }
    })
    .await
}

/// Airflow's key of a task instance.
#[derive(Clone, Copy, Debug)]
pub struct TiPath<'a> {
    pub dag_id: &'a str,
    pub run_id: &'a str,
    pub task_id: &'a str,
    pub map_index: i32,
}

impl TiPath<'_> {
    fn on(&self, select: &str, from: &str) -> Filter {
        let mut sql = Filter::on(&format!("select {select} from {from}"));
        sql.equals("d.dag_id", Some(self.dag_id.to_owned()));
        sql.equals("r.run_id", Some(self.run_id.to_owned()));
        sql.equals("t.task_id", Some(self.task_id.to_owned()));
        sql.equals("t.map_index", Some(self.map_index));
        sql
    }
}

/// One task instance.
pub async fn get(connection: &mut PgConnection, path: TiPath<'_>) -> Result<Option<TiRow>, StoreError> {
    path.on(SELECT, FROM).fetch_optional(connection).await
}

/// Whether the task of a run is mapped: it has instances, none of them unmapped.
pub async fn is_mapped(
    connection: &mut PgConnection,
    dag_id: &str,
    run_id: &str,
    task_id: &str,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from task_instance t join dag_run r on r.id = t.dag_run_id join dag d on d.id = r.dag_fk
           where d.dag_id = $1 and r.run_id = $2 and t.task_id = $3 and t.map_index >= 0) as "exists!""#,
        dag_id,
        run_id,
        task_id
    )
    .fetch_one(connection)
    .await?)
}

/// Every try in order: the archived ones, then the instance itself unless its try is archived already.
pub async fn tries(connection: &mut PgConnection, path: TiPath<'_>) -> Result<Vec<TiRow>, StoreError> {
    let order = &[("t.try_number", "integer"), ("t.end_date", "timestamptz")];
    let mut rows: Vec<TiRow> = path.on(SELECT_HISTORY, FROM_HISTORY).fetch_page(connection, &Page::ALL, order).await?;
    if let Some(current) = get(connection, path).await?
        && rows.iter().all(|row| row.try_number != current.try_number)
    {
        rows.push(current);
    }
    Ok(rows)
}

/// Some instances of one run, in the order of their ids.
pub async fn of_instances(
    connection: &mut PgConnection,
    dag_run_key: i64,
    instances: &[(TaskId, i32)],
) -> Result<Vec<TiRow>, StoreError> {
    if instances.is_empty() {
        return Ok(Vec::new());
    }
    let task_ids: BTreeSet<String> = instances.iter().map(|(task_id, _)| task_id.to_string()).collect();
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("t.dag_run_id", Some(dag_run_key));
    sql.any_of("t.task_id", &task_ids.into_iter().collect::<Vec<_>>());
    let mut rows: Vec<TiRow> = sql.fetch_page(connection, &Page::ALL, KEY).await?;
    let wanted: HashSet<(&str, i32)> =
        instances.iter().map(|(task_id, map_index)| (task_id.as_str(), *map_index)).collect();
    rows.retain(|row| wanted.contains(&(row.task_id.as_str(), row.map_index)));
    Ok(rows)
}

/// The instances of these runs whose current try one of these attempts is; `task_instance_pkey` serves the runs.
pub async fn of_attempts(
    connection: &mut PgConnection,
    runs: &[i64],
    attempts: &[Uuid],
) -> Result<Vec<TiRow>, StoreError> {
    if attempts.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.any_of("t.dag_run_id", runs);
    sql.any_of("t.attempt_id", attempts);
    sql.fetch_page(connection, &Page::ALL, KEY).await
}

/// A task's instances in one run, or the one of `map_index`.
pub async fn of_task(
    connection: &mut PgConnection,
    dag_run_key: i64,
    task_id: &str,
    map_index: Option<i32>,
) -> Result<Vec<TiRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("t.dag_run_id", Some(dag_run_key));
    sql.equals("t.task_id", Some(task_id.to_owned()));
    sql.equals("t.map_index", map_index);
    sql.fetch_page(connection, &Page::ALL, KEY).await
}

/// The instances of some tasks in one run.
pub async fn of_tasks(
    connection: &mut PgConnection,
    dag_run_key: i64,
    task_ids: &[String],
) -> Result<Vec<TiRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("t.dag_run_id", Some(dag_run_key));
    sql.any_of("t.task_id", task_ids);
    sql.fetch_page(connection, &Page::ALL, KEY).await
}

/// Of each place (run, task, map index or all of them) whether there is an instance; `task_instance_pkey` serves it.
pub async fn existing(
    connection: &mut PgConnection,
    places: &[(i64, &str, Option<i32>)],
) -> Result<Vec<bool>, StoreError> {
    let (mut runs, mut tasks, mut indexes) = (Vec::new(), Vec::new(), Vec::new());
    for &(run, task_id, map_index) in places {
        runs.push(run);
        tasks.push(task_id);
        indexes.push(map_index);
    }
    Ok(sqlx::query_scalar!(
        r#"select exists (select from task_instance t
                          where t.dag_run_id = k.dag_run_id and t.task_id = k.task_id
                            and (k.map_index is null or t.map_index = k.map_index)) as "exists!"
           from unnest($1::bigint[], $2::text[], $3::integer[]) with ordinality as k(dag_run_id, task_id, map_index, n)
           order by k.n"#,
        &runs,
        &tasks as &[&str],
        &indexes as &[Option<i32>]
    )
    .fetch_all(connection)
    .await?)
}

/// The same rows as they are now.
pub async fn again(connection: &mut PgConnection, rows: &[TiRow]) -> Result<Vec<TiRow>, StoreError> {
    let mut runs: Vec<i64> = rows.iter().map(|row| row.dag_run_key).collect();
    runs.dedup();
    let mut found = Vec::with_capacity(rows.len());
    for run in runs {
        let of_run = rows.iter().filter(|row| row.dag_run_key == run);
        let keys: Vec<(TaskId, i32)> = of_run.map(|row| (row.task_id.clone().into(), row.map_index)).collect();
        found.extend(of_instances(&mut *connection, run, &keys).await?);
    }
    Ok(found)
}

/// Notes something about instances of one run, in place of what was noted before; an empty note deletes it.
pub async fn set_note(
    connection: &mut PgConnection,
    dag_run_key: i64,
    instances: &[(TaskId, i32)],
    content: &str,
    user_name: &str,
) -> Result<(), StoreError> {
    let (task_ids, map_indexes): (Vec<String>, Vec<i32>) =
        instances.iter().map(|(task_id, map_index)| (task_id.to_string(), *map_index)).unzip();
    if content.is_empty() {
        sqlx::query!(
            "delete from task_instance_note n using unnest($2::text[], $3::integer[]) as k(task_id, map_index)
             where n.dag_run_id = $1 and n.task_id = k.task_id and n.map_index = k.map_index",
            dag_run_key,
            &task_ids,
            &map_indexes
        )
        .execute(connection)
        .await?;
    } else {
        sqlx::query!(
            "insert into task_instance_note (dag_run_id, task_id, map_index, content, user_name)
             select $1, k.task_id, k.map_index, $4, $5 from unnest($2::text[], $3::integer[]) as k(task_id, map_index)
             on conflict (dag_run_id, task_id, map_index)
             do update set content = excluded.content, user_name = excluded.user_name, updated_at = now()",
            dag_run_key,
            &task_ids,
            &map_indexes,
            content,
            user_name
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// What the log of a try consists of.
#[derive(Clone, Debug)]
pub struct TryLog {
    /// The attempts that sent something under this try's number, in the order in which nodes got them: re-dispatched and fenced
    /// ones, the looks of a sensor, and the try's own, which may not have been handed out; once that is over, those of its
    /// callbacks.
    pub attempts: Vec<LoggedAttempt>,
    /// Nothing is added any more: the try ended some seconds ago (reports travel before logs), or no node ever had it; and no
    /// callback is to be called.
    pub ended: bool,
    /// It is the latest try, not one of the history.
    pub is_latest: bool,
    pub state: String,
    pub end_date: Option<DateTime<Utc>>,
    pub failure_reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedAttempt {
    pub attempt_id: Uuid,
    /// Grows from attempt to attempt; that of one that was not handed out is that of the one before it.
    pub seq: i64,
}

/// Where the log of a try is (of one that never began, its first), by `task_instance_history_pkey` and `attempt_log_pkey`; called at every look of a follower.
pub async fn try_log(
    connection: &mut PgConnection,
    path: TiPath<'_>,
    try_number: i32,
) -> Result<Option<TryLog>, StoreError> {
    let row = sqlx::query!(
        r#"
        with tries as (
            select t.dag_run_id, t.attempt_id, t.state, t.end_date, t.failure_reason, t.state = 'none' as undecided,
                   true as is_latest
            from task_instance t join dag_run r on r.id = t.dag_run_id join dag d on d.id = r.dag_fk
            where d.dag_id = $1 and r.run_id = $2 and t.task_id = $3 and t.map_index = $4
              and (t.try_number = $5 or (t.try_number = 0 and $5 = 1))
            union all
            select t.dag_run_id, t.attempt_id, t.state, t.end_date, t.failure_reason, false, false
            from task_instance_history t join dag_run r on r.id = t.dag_run_id join dag d on d.id = r.dag_fk
            where d.dag_id = $1 and r.run_id = $2 and t.task_id = $3 and t.map_index = $4 and t.try_number = $5
        ), this as (
            select * from tries order by undecided, end_date desc nulls first limit 1
        ), logged as (
            select l.attempt_id, l.seq, l.kind from attempt_log l join this on l.dag_run_id = this.dag_run_id
            where l.task_id = $3 and l.map_index = $4 and l.try_number = $5
        )
        select this.attempt_id as "attempt_id!", this.state as "state!", this.end_date, this.failure_reason,
               this.is_latest as "is_latest!",
               this.end_date is not null
                   and this.state not in ('scheduled', 'queued', 'running', 'restarting') as "is_over!",
               coalesce(this.end_date < clock_timestamp() - interval '3 seconds', false) as "is_old!",
               array(select l.attempt_id from logged l where l.kind = 'task' order by l.seq) as "logged!",
               array(select l.seq from logged l where l.kind = 'task' order by l.seq) as "seqs!",
               array(select l.attempt_id from logged l where l.kind = 'callback' order by l.seq) as "callbacks!",
               array(select l.seq from logged l where l.kind = 'callback' order by l.seq) as "callback_seqs!",
               exists (select from attempt a
                       where a.dag_run_id = this.dag_run_id and a.kind = 'callback' and a.task_id = $3 and a.map_index = $4
                         and a.try_number = $5) as "is_calling!"
        from this
        "#,
        path.dag_id,
        path.run_id,
        path.task_id,
        path.map_index,
        try_number
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let zipped = |attempts: Vec<Uuid>, seqs: Vec<i64>| {
            attempts.into_iter().zip(seqs).map(|(attempt_id, seq)| LoggedAttempt { attempt_id, seq })
        };
        let mut attempts: Vec<_> = zipped(row.logged, row.seqs).collect();
        let was_handed_out = !attempts.is_empty();
        if attempts.iter().all(|logged| logged.attempt_id != row.attempt_id) {
            let seq = attempts.last().map_or(0, |last| last.seq);
            attempts.push(LoggedAttempt { attempt_id: row.attempt_id, seq });
        }
        let is_over = row.is_over && (row.is_old || !was_handed_out);
        if is_over {
            attempts.extend(zipped(row.callbacks, row.callback_seqs));
        }
        TryLog {
            attempts,
            ended: is_over && !row.is_calling,
            is_latest: row.is_latest,
            state: row.state,
            end_date: row.end_date,
            failure_reason: row.failure_reason,
        }
    }))
}
