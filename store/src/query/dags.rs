//! DAGs as the API lists them, and pausing one.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::filter::{Filter, Listing, OrderBy, Page, Pattern, Range, list};
use crate::StoreError;

/// A DAG and its latest version.
#[derive(Clone, Debug, FromRow)]
pub struct DagRow {
    pub id: i64,
    pub dag_id: String,
    pub dag_display_name: String,
    pub description: Option<String>,
    pub is_paused: bool,
    pub is_stale: bool,
    pub bundle_name: String,
    pub relative_fileloc: String,
    pub fileloc: String,
    /// Joined by `, `.
    pub owners: String,
    pub tags: Vec<String>,
    pub timetable_summary: Option<String>,
    pub timetable_description: Option<String>,
    pub max_active_runs: i32,
    pub max_active_tasks: i32,
    pub max_consecutive_failed_dag_runs: i32,
    pub has_import_errors: bool,
    pub last_parsed_time: DateTime<Utc>,
    pub last_parse_duration: Option<f64>,
    pub last_expired: Option<DateTime<Utc>>,
    pub next_dagrun: Option<DateTime<Utc>>,
    pub next_dagrun_data_interval_start: Option<DateTime<Utc>>,
    pub next_dagrun_data_interval_end: Option<DateTime<Utc>>,
    pub next_dagrun_create_after: Option<DateTime<Utc>>,
    pub version_uuid: Option<Uuid>,
    pub version_number: Option<i32>,
    pub version_created_at: Option<DateTime<Utc>>,
    pub version_bundle_name: Option<String>,
    pub bundle_version: Option<String>,
    /// What the timetable and the caps of the tasks are is in the compiled DAG: ask the cache of versions.
    pub latest_version_id: Option<i64>,
}

/// How `tags` combine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagsMatch {
    #[default]
    Any,
    All,
}

/// Filters of `GET /dags`.
#[derive(Clone, Debug, Default)]
pub struct DagFilter {
    pub dag_id: Pattern,
    pub dag_display_name: Pattern,
    pub tags: Vec<String>,
    pub tags_match: TagsMatch,
    pub owners: Vec<String>,
    pub exclude_stale: bool,
    pub paused: Option<bool>,
    pub has_import_errors: Option<bool>,
    pub bundle_name: Option<String>,
    pub bundle_version: Option<String>,
    pub last_dag_run_state: Option<String>,
    pub dag_run_state: Vec<String>,
    pub dag_run_start_date: Range<DateTime<Utc>>,
    pub dag_run_end_date: Range<DateTime<Utc>>,
    pub favorite: Option<Favorite>,
    /// Whether it waits for assets.
    pub has_asset_schedule: Option<bool>,
    /// A part of the name or URI of an asset that it waits for, whatever its case.
    pub asset_dependency: Option<String>,
    /// Names of timetable classes, without their modules.
    pub timetable_type: Vec<String>,
}

/// Whose favorites, or what is none of them.
#[derive(Clone, Debug)]
pub struct Favorite {
    pub user_name: String,
    pub is_favorite: bool,
}

pub const ORDER_BY: OrderBy = &[
    ("dag_id", "d.dag_id", "text"),
    ("dag_display_name", "d.dag_display_name", "text"),
    ("next_dagrun", "d.next_dagrun", "timestamptz"),
    ("state", LAST_RUN_STATE, "text"),
    ("last_run_state", LAST_RUN_STATE, "text"),
    ("start_date", LAST_RUN_START, "timestamptz"),
    ("last_run_start_date", LAST_RUN_START, "timestamptz"),
];

/// One index probe per DAG (`dag_run_by_dag_idx`), and only when asked for.
const LAST_RUN_STATE: &str = "(select r.state from dag_run r where r.dag_fk = d.id order by r.id desc limit 1)";
const LAST_RUN_START: &str = "(select r.start_date from dag_run r where r.dag_fk = d.id order by r.id desc limit 1)";

const HAS_ASSET_SCHEDULE: &str = "(exists (select from dag_schedule_asset_reference s where s.dag_fk = d.id) \
    or exists (select from dag_schedule_asset_alias_reference s where s.dag_fk = d.id) \
    or exists (select from dag_schedule_asset_ref_reference s where s.dag_fk = d.id))";
/// Airflow's class of `updraft_core::dag::Schedule`, read from the compiled DAG only when it is asked for.
const TIMETABLE: &str = "(select case s ->> 'kind' when 'none' then 'NullTimetable' when 'once' then 'OnceTimetable' \
    when 'continuous' then 'ContinuousTimetable' \
    when 'cron' then case when json_array_length(s -> 'expressions') > 1 then 'MultipleCronTriggerTimetable' \
                          else 'CronTriggerTimetable' end \
    when 'cron_interval' then 'CronDataIntervalTimetable' when 'delta' then 'DeltaTriggerTimetable' \
    when 'delta_interval' then 'DeltaDataIntervalTimetable' when 'events' then 'EventsTimetable' \
    when 'assets' then case when s -> 'timetable' is null then 'AssetTriggeredTimetable' else 'AssetOrTimeSchedule' end \
    when 'partitioned' then s ->> 'timetable' end from (select v.data -> 'schedule' as s) schedule)";

const SELECT: &str = "d.id, d.dag_id, d.dag_display_name, d.description, d.is_paused, d.is_stale, d.bundle_name, \
    d.relative_fileloc, d.fileloc, d.owners, d.tags, d.timetable_summary, d.timetable_description, d.max_active_runs, \
    d.max_active_tasks, d.max_consecutive_failed_dag_runs, d.has_import_errors, d.last_parsed_time, \
    d.last_parse_duration, d.last_expired, d.next_dagrun, d.next_dagrun_data_interval_start, \
    d.next_dagrun_data_interval_end, d.next_dagrun_create_after, v.uuid as version_uuid, v.version_number, \
    v.created_at as version_created_at, v.bundle_name as version_bundle_name, v.bundle_version, \
    d.latest_version_id";
const FROM: &str = "dag d left join dag_version v on v.id = d.latest_version_id";

/// One page of DAGs. The table is small (thousands); `dag_dag_id_key` serves the default order.
pub async fn page(
    connection: &mut PgConnection,
    filter: &DagFilter,
    page: &Page,
) -> Result<Listing<DagRow>, StoreError> {
    list(connection, (SELECT, FROM), page, &[("d.dag_id", "text")], |sql| apply(filter, sql)).await
}

fn apply(filter: &DagFilter, sql: &mut Filter) {
    sql.pattern("d.dag_id", &filter.dag_id);
    sql.pattern("d.dag_display_name", &filter.dag_display_name);
    if !filter.tags.is_empty() {
        let operator = match filter.tags_match {
            TagsMatch::Any => " && ",
            TagsMatch::All => " @> ",
        };
        sql.and().push("d.tags").push(operator).push_bind(filter.tags.clone());
    }
    if !filter.owners.is_empty() {
        sql.and().push("string_to_array(d.owners, ', ') && ").push_bind(filter.owners.clone());
    }
    if filter.exclude_stale {
        sql.and().push("not d.is_stale");
    }
    sql.equals("d.is_paused", filter.paused);
    sql.equals("d.has_import_errors", filter.has_import_errors);
    sql.equals("d.bundle_name", filter.bundle_name.clone());
    sql.equals("v.bundle_version", filter.bundle_version.clone());
    sql.equals(LAST_RUN_STATE, filter.last_dag_run_state.clone());
    if let Some(favorite) = &filter.favorite {
        let not = if favorite.is_favorite { "" } else { "not " };
        sql.and().push(not).push("exists (select from dag_favorite f where f.dag_fk = d.id and f.user_name = ");
        sql.continued().push_bind(favorite.user_name.clone()).push(")");
    }
    sql.equals(HAS_ASSET_SCHEDULE, filter.has_asset_schedule);
    sql.any_of(TIMETABLE, &filter.timetable_type);
    if let Some(part) = &filter.asset_dependency {
        sql.and()
            .push(
                "exists (select from dag_schedule_asset_reference s join asset a on a.id = s.asset_id \
                 where s.dag_fk = d.id and (a.name ilike ",
            )
            .push_bind(format!("%{part}%"))
            .push(" or a.uri ilike ")
            .push_bind(format!("%{part}%"))
            .push("))");
    }
    let dates = [("r.start_date", &filter.dag_run_start_date), ("r.end_date", &filter.dag_run_end_date)];
    if !filter.dag_run_state.is_empty() {
        sql.and().push("exists (select from dag_run r where r.dag_fk = d.id and r.state = any(");
        sql.continued().push_bind(filter.dag_run_state.clone()).push("))");
    }
    for (column, range) in dates {
        let bounds = [(" >= ", range.gte), (" > ", range.gt), (" <= ", range.lte), (" < ", range.lt)];
        if bounds.iter().any(|(_, bound)| bound.is_some()) {
            sql.and().push("exists (select from dag_run r where r.dag_fk = d.id");
            for (operator, bound) in bounds {
                if let Some(bound) = bound {
                    sql.continued().push(" and ").push(column).push(operator).push_bind(bound);
                }
            }
            sql.continued().push(")");
        }
    }
}

/// One DAG, stale or not.
pub async fn get(connection: &mut PgConnection, dag_id: &str) -> Result<Option<DagRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("d.dag_id", Some(dag_id.to_owned()));
    sql.fetch_optional(connection).await
}

/// The inside key and staleness of a DAG; what "is there such a DAG" costs.
pub async fn exists(connection: &mut PgConnection, dag_id: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(r#"select exists (select from dag where dag_id = $1) as "exists!""#, dag_id)
        .fetch_one(connection)
        .await?)
}

/// Runs of the DAG that are not over (`dag_run_active_idx`).
pub async fn active_runs_count(connection: &mut PgConnection, dag_id: &str) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from dag_run r join dag d on d.id = r.dag_fk
           where d.dag_id = $1 and r.state in ('queued', 'running')"#,
        dag_id
    )
    .fetch_one(connection)
    .await?)
}

/// Pauses or unpauses; `false` when there is no such DAG. Ring [`crate::wake::Signal::Dags`] after the commit.
pub async fn set_paused(connection: &mut PgConnection, dag_id: &str, paused: bool) -> Result<bool, StoreError> {
    let id =
        sqlx::query_scalar!("select id from dag where dag_id = $1", dag_id).fetch_optional(&mut *connection).await?;
    Ok(pause(connection, id.as_slice(), paused).await? == 1)
}

/// The inside keys of all DAGs that a filter leaves. The table is small.
pub async fn ids(connection: &mut PgConnection, filter: &DagFilter) -> Result<Vec<i64>, StoreError> {
    let mut sql = Filter::on(&format!("select d.id from {FROM}"));
    apply(filter, &mut sql);
    sql.fetch_scalars(connection).await
}

/// Pauses or unpauses DAGs and says how many of them there are. Their running runs are looked at anew: a pause held their tasks
/// back. DAGs and runs are locked in the order of their ids. Ring [`crate::wake::Signal::Dags`] after the commit.
pub async fn pause(connection: &mut PgConnection, ids: &[i64], paused: bool) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "with held as materialized (select id from dag where id = any($1) order by id for no key update)
         update dag d set is_paused = $2 from held where d.id = held.id",
        ids,
        paused
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "with held as materialized (
             select id from dag_run where dag_fk = any($1) and state = 'running' order by id for no key update)
         update dag_run r set wake_at = now() from held where r.id = held.id",
        ids
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Runs per state of each DAG; DAGs that are unknown are left out, states without runs too.
#[derive(Clone, Debug, FromRow)]
pub struct StatsRow {
    pub dag_id: String,
    pub dag_display_name: String,
    pub state: Option<String>,
    pub count: i64,
}

/// For `GET /dagStats`. An empty list means every DAG that is not stale.
pub async fn stats(connection: &mut PgConnection, dag_ids: &[String]) -> Result<Vec<StatsRow>, StoreError> {
    Ok(sqlx::query_as!(
        StatsRow,
        r#"select d.dag_id, d.dag_display_name, r.state as "state?", count(r.id) as "count!"
           from dag d left join dag_run r on r.dag_fk = d.id
           where case when cardinality($1::text[]) = 0 then not d.is_stale else d.dag_id = any($1) end
           group by d.dag_id, d.dag_display_name, r.state
           order by d.dag_id"#,
        dag_ids
    )
    .fetch_all(connection)
    .await?)
}

pub const TAGS_ORDER_BY: OrderBy = &[("name", "t.name", "text")];

/// One page of the tags in use; reads the small table whole.
pub async fn tags(connection: &mut PgConnection, name: &Pattern, page: &Page) -> Result<Listing<String>, StoreError> {
    let from = "(select distinct unnest(tags) as name from dag where not is_stale) t";
    let found: Listing<(String,)> =
        list(connection, ("t.name", from), page, &[("t.name", "text")], |sql| sql.pattern("t.name", name)).await?;
    let rows = found.rows.into_iter().map(|(name,)| name).collect();
    Ok(Listing { rows, total: found.total, neighbours: found.neighbours })
}
