//! The dashboard's list of DAGs: each with its last runs and what is wrong with it.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use super::filter::{Filter, Listing, OrderBy, Page, Source, count, list};
use crate::StoreError;

/// A DAG as the list shows it.
#[derive(Clone, Debug, FromRow)]
pub struct OverviewRow {
    pub id: i64,
    pub dag_id: String,
    pub dag_display_name: String,
    pub description: Option<String>,
    pub is_paused: bool,
    pub bundle_name: String,
    pub relative_fileloc: String,
    pub fileloc: String,
    /// Joined by `, `.
    pub owners: String,
    pub tags: Vec<String>,
    pub timetable_summary: Option<String>,
    pub timetable_description: Option<String>,
    pub has_import_errors: bool,
    pub next_dagrun_create_after: Option<DateTime<Utc>>,
    pub latest_version_id: Option<i64>,
}

/// What a DAG is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Its latest finished run failed.
    Failed,
    /// A run of it is running.
    Running,
    /// A run of it is queued, or a task of a running run waits for something.
    Waiting,
}

/// Filters of the list.
#[derive(Clone, Debug, Default)]
pub struct OverviewFilter {
    /// A part of the id or the name, whatever its case.
    pub text: Option<String>,
    /// Any of them.
    pub tags: Vec<String>,
    /// Any of them.
    pub owners: Vec<String>,
    pub activity: Option<Activity>,
    pub paused: Option<bool>,
    /// Only the favorites of this user.
    pub favorite_of: Option<String>,
}

/// `failing` puts those first, `last_run` the latest.
pub const ORDER_BY: OrderBy = &[
    ("name", "d.dag_id", "text"),
    ("failing", NOT_FAILED, "boolean"),
    ("next_run", "d.next_dagrun_create_after", "timestamptz"),
    ("last_run", LAST_RUN, "float8"),
];

const SELECT: &str = "d.id, d.dag_id, d.dag_display_name, d.description, d.is_paused, d.bundle_name, d.relative_fileloc, \
    d.fileloc, d.owners, d.tags, d.timetable_summary, d.timetable_description, d.has_import_errors, \
    d.next_dagrun_create_after, d.latest_version_id";
const FROM: &str = "dag d";

/// One index probe per DAG (`dag_run_dag_run_after_idx`), as the next, and only when asked for.
const FAILED: &str = "(select r.state = 'failed' from dag_run r where r.dag_fk = d.id and r.state in ('success', 'failed') \
    order by r.run_after desc, r.id desc limit 1)";
const NOT_FAILED: &str = "(select r.state <> 'failed' from dag_run r where r.dag_fk = d.id and r.state in ('success', 'failed') \
    order by r.run_after desc, r.id desc limit 1)";
const LAST_RUN: &str = "-(select extract(epoch from r.run_after)::float8 from dag_run r where r.dag_fk = d.id \
    order by r.run_after desc, r.id desc limit 1)";
/// `dag_run_active_idx`.
const RUNNING: &str = "exists (select from dag_run r where r.dag_fk = d.id and r.state = 'running')";
/// The same, and `attempt_run_idx`.
const WAITING: &str = "(exists (select from dag_run r where r.dag_fk = d.id and r.state = 'queued') \
    or exists (select from dag_run r join attempt a on a.dag_run_id = r.id \
               where r.dag_fk = d.id and r.state = 'running' and a.kind = 'task' and a.started_at is null))";

/// One page. The table is small (thousands) and `dag_dag_id_key` serves the default order; an order or a filter by what runs do
/// probes an index per DAG.
pub async fn page(
    connection: &mut PgConnection,
    filter: &OverviewFilter,
    page: &Page,
) -> Result<Listing<OverviewRow>, StoreError> {
    list(connection, (SELECT, FROM), page, &[("d.dag_id", "text")], |sql| apply(filter, sql)).await
}

fn apply(filter: &OverviewFilter, sql: &mut Filter) {
    sql.and().push("not d.is_stale");
    if let Some(text) = &filter.text {
        sql.and().push("strpos(lower(concat_ws(E'\\n', d.dag_id, d.dag_display_name)), lower(");
        sql.continued().push_bind(text.clone()).push(")) > 0");
    }
    if !filter.tags.is_empty() {
        sql.and().push("d.tags && ").push_bind(filter.tags.clone());
    }
    if !filter.owners.is_empty() {
        sql.and().push("string_to_array(d.owners, ', ') && ").push_bind(filter.owners.clone());
    }
    sql.equals("d.is_paused", filter.paused);
    match filter.activity {
        Some(Activity::Failed) => drop(sql.and().push(FAILED)),
        Some(Activity::Running) => drop(sql.and().push(RUNNING)),
        Some(Activity::Waiting) => drop(sql.and().push(WAITING)),
        None => {}
    }
    if let Some(user_name) = &filter.favorite_of {
        sql.and().push("exists (select from dag_favorite f where f.dag_fk = d.id and f.user_name = ");
        sql.continued().push_bind(user_name.clone()).push(")");
    }
}

/// How many DAGs there are, and how many of each kind; whatever a page shows of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub all: i64,
    pub failing: i64,
    pub running: i64,
    pub waiting: i64,
    pub paused: i64,
}

/// Counts the DAGs; what took long to count is kept a while in `page.totals`.
pub async fn counts(connection: &mut PgConnection, page: &Page) -> Result<Counts, StoreError> {
    let of = |activity, paused| OverviewFilter { activity, paused, ..OverviewFilter::default() };
    let mut found = [0; 5];
    let kinds = [
        of(None, None),
        of(Some(Activity::Failed), None),
        of(Some(Activity::Running), None),
        of(Some(Activity::Waiting), None),
        of(None, Some(true)),
    ];
    for (number, filter) in found.iter_mut().zip(kinds) {
        *number = count(&mut *connection, &Source::from((SELECT, FROM)), page, None, |sql| apply(&filter, sql)).await?;
    }
    let [all, failing, running, waiting, paused] = found;
    Ok(Counts { all, failing, running, waiting, paused })
}

/// One of a DAG's last runs.
#[derive(Clone, Debug)]
pub struct LastRunRow {
    pub dag_fk: i64,
    pub id: i64,
    pub run_id: String,
    pub state: String,
    pub run_type: String,
    pub run_after: DateTime<Utc>,
    pub start_date: Option<DateTime<Utc>>,
    pub end_date: Option<DateTime<Utc>>,
    pub failed_tasks: i32,
}

/// The last `limit` runs of each DAG, the latest first; `dag_run_dag_run_after_idx`.
pub async fn last_runs(connection: &mut PgConnection, dags: &[i64], limit: i64) -> Result<Vec<LastRunRow>, StoreError> {
    Ok(sqlx::query_as!(
        LastRunRow,
        r#"select d.id as "dag_fk!", r.id as "id!", r.run_id as "run_id!", r.state as "state!", r.run_type as "run_type!",
                  r.run_after as "run_after!", r.start_date as "start_date?", r.end_date as "end_date?",
                  r.failed_tasks as "failed_tasks!"
           from unnest($1::bigint[]) as d(id)
           cross join lateral (select * from dag_run o where o.dag_fk = d.id order by o.run_after desc, o.id desc limit $2) r
           order by d.id, r.run_after desc, r.id desc"#,
        dags,
        limit
    )
    .fetch_all(connection)
    .await?)
}

/// Which of these DAGs are favorites of a user; `dag_favorite_pkey`.
pub async fn favorites(connection: &mut PgConnection, dags: &[i64], user_name: &str) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select dag_fk from dag_favorite where user_name = $2 and dag_fk = any($1)",
        dags,
        user_name
    )
    .fetch_all(connection)
    .await?)
}

/// The first failure of a run.
#[derive(Clone, Debug)]
pub struct FirstFailure {
    pub dag_run_id: i64,
    pub task_id: String,
    pub failure_class: Option<String>,
    pub failure_reason: Option<String>,
    pub last_error: Option<String>,
}

/// What failed first in each of these runs, where something did. Reads the instances of the runs (`task_instance_pkey`): asked
/// for the failed runs of a page.
pub async fn first_failures(connection: &mut PgConnection, runs: &[i64]) -> Result<Vec<FirstFailure>, StoreError> {
    Ok(sqlx::query_as!(
        FirstFailure,
        r#"select t.dag_run_id as "dag_run_id!", t.task_id as "task_id!", t.failure_class, t.failure_reason,
                  t.execution ->> 'last_error' as last_error
           from unnest($1::bigint[]) as r(id)
           cross join lateral (select * from task_instance o where o.dag_run_id = r.id and o.state = 'failed'
                               order by o.end_date, o.task_id, o.map_index limit 1) t"#,
        runs
    )
    .fetch_all(connection)
    .await?)
}

/// What a broken file of a DAG says first.
#[derive(Clone, Debug)]
pub struct FileFinding {
    pub bundle_name: String,
    pub filename: String,
    pub message: Option<String>,
}

/// The first finding of each of these files; `import_error_file_key`.
pub async fn file_findings(
    connection: &mut PgConnection,
    files: &[(&str, &str)],
) -> Result<Vec<FileFinding>, StoreError> {
    let (bundles, names): (Vec<&str>, Vec<&str>) = files.iter().copied().unzip();
    Ok(sqlx::query_as!(
        FileFinding,
        r#"select e.bundle_name, e.filename, coalesce(e.diagnostics -> 0 ->> 'message', split_part(e.stacktrace, E'\n', 1)) as message
           from import_error e join unnest($1::text[], $2::text[]) as f(bundle_name, filename)
             on e.bundle_name = f.bundle_name and e.filename = f.filename"#,
        &bundles as &[&str],
        &names as &[&str]
    )
    .fetch_all(connection)
    .await?)
}
