//! DAG runs as the API lists them, and their notes.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use updraft_core::state::{DagRunState, UnknownState};
use uuid::Uuid;

use super::filter::{Filter, Listing, OrderBy, Page, Pattern, Range, Source, led_by, list};
use crate::StoreError;

/// A run with its DAG's names, its conf, its note and its version.
#[derive(Clone, Debug, FromRow)]
pub struct RunRow {
    /// The inside key.
    pub id: i64,
    pub dag_id: String,
    pub dag_display_name: String,
    pub run_id: String,
    pub state: String,
    pub run_type: String,
    pub logical_date: Option<DateTime<Utc>>,
    pub data_interval_start: Option<DateTime<Utc>>,
    pub data_interval_end: Option<DateTime<Utc>>,
    pub run_after: DateTime<Utc>,
    pub queued_at: Option<DateTime<Utc>>,
    pub start_date: Option<DateTime<Utc>>,
    pub end_date: Option<DateTime<Utc>>,
    pub last_scheduling_decision: Option<DateTime<Utc>>,
    pub triggered_by: Option<String>,
    pub triggering_user_name: Option<String>,
    pub bundle_version: Option<String>,
    pub conf: Option<Value>,
    pub note: Option<String>,
    pub version_uuid: Option<Uuid>,
    pub version_number: Option<i32>,
    pub version_created_at: Option<DateTime<Utc>>,
    pub version_bundle_name: Option<String>,
    pub version_bundle_version: Option<String>,
    /// Of a run that followed its DAG or was cleared: the other versions that its task instances ran in.
    #[sqlx(skip)]
    pub other_versions: Vec<VersionOfRun>,
}

/// A version that task instances of a run ran in.
#[derive(Clone, Debug)]
pub struct VersionOfRun {
    pub uuid: Uuid,
    pub version_number: i32,
    pub created_at: DateTime<Utc>,
    pub bundle_name: String,
    pub bundle_version: Option<String>,
}

/// Filters of `GET /dags/{dag_id}/dagRuns`.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// `None`: `~`, all DAGs.
    pub dag_id: Option<String>,
    /// Empty: all.
    pub dag_ids: Vec<String>,
    pub dag_id_pattern: Pattern,
    pub run_id: Pattern,
    pub triggering_user_name: Pattern,
    pub run_after: Range<DateTime<Utc>>,
    pub logical_date: Range<DateTime<Utc>>,
    pub start_date: Range<DateTime<Utc>>,
    pub end_date: Range<DateTime<Utc>>,
    pub updated_at: Range<DateTime<Utc>>,
    /// Seconds.
    pub duration: Range<f64>,
    pub run_type: Vec<String>,
    pub state: Vec<String>,
    pub dag_version: Vec<i32>,
    pub bundle_version: Option<String>,
    /// A substring of the conf's JSON text.
    pub conf_contains: Option<String>,
    /// No run has a partition yet: naming one finds nothing.
    pub partition_key: Pattern,
    /// The same.
    pub partition_date: Range<NaiveDate>,
    /// A part of the name or URI of an asset whose event it took, whatever its case.
    pub consuming_asset: Option<String>,
}

pub const ORDER_BY: OrderBy = &[
    ("id", "r.id", "bigint"),
    ("state", "r.state", "text"),
    ("dag_id", "d.dag_id", "text"),
    ("run_id", "r.run_id", "text"),
    ("dag_run_id", "r.run_id", "text"),
    ("logical_date", "r.logical_date", "timestamptz"),
    ("partition_date", "null::timestamptz", "timestamptz"),
    ("run_after", "r.run_after", "timestamptz"),
    ("start_date", "r.start_date", "timestamptz"),
    ("end_date", "r.end_date", "timestamptz"),
    ("updated_at", "r.updated_at", "timestamptz"),
    ("conf", "c.conf", "jsonb"),
    ("duration", DURATION, "float8"),
];

const DURATION: &str = "extract(epoch from r.end_date - r.start_date)::float8";
const SELECT: &str = "r.id, d.dag_id, d.dag_display_name, r.run_id, r.state, r.run_type, r.logical_date, \
    r.data_interval_start, r.data_interval_end, r.run_after, r.queued_at, r.start_date, r.end_date, \
    r.last_scheduling_decision, r.triggered_by, r.triggering_user_name, r.bundle_version, c.conf, n.content as note, \
    v.uuid as version_uuid, v.version_number, v.created_at as version_created_at, \
    v.bundle_name as version_bundle_name, v.bundle_version as version_bundle_version";
const FROM: &str = "dag_run r join dag d on d.id = r.dag_fk \
    left join dag_run_conf c on c.dag_run_id = r.id left join dag_run_note n on n.dag_run_id = r.id \
    left join dag_version v on v.id = r.dag_version_id";
/// What conditions and sort keys name.
const CHOOSE: &str = " left join dag d on d.id = r.dag_fk left join dag_run_conf c on c.dag_run_id = r.id \
    left join dag_version v on v.id = r.dag_version_id";

/// One page of runs. Of one DAG `dag_run_by_dag_idx` serves the default order and `dag_run_dag_run_after_idx` that of
/// `run_after`; of all, `dag_run_pkey` and `dag_run_run_after_idx`.
pub async fn page(
    connection: &mut PgConnection,
    filter: &RunFilter,
    page: &Page,
) -> Result<Listing<RunRow>, StoreError> {
    let by_dag = page.order.first().is_some_and(|order| order.expression.starts_with("d."));
    let choose = if by_dag { led_by(CHOOSE) } else { CHOOSE };
    let source = Source { select: SELECT, table: "dag_run r", from: FROM, choose: Some(choose) };
    let mut found = list(&mut *connection, source, page, &[("r.id", "bigint")], |sql| {
        if let Some(dag_id) = &filter.dag_id {
            // A value, not a join: rows that are equal in it are in the index's order.
            sql.and().push("r.dag_fk = (select id from dag where dag_id = ").push_bind(dag_id.clone()).push(")");
        }
        sql.any_of("d.dag_id", &filter.dag_ids);
        sql.pattern("d.dag_id", &filter.dag_id_pattern);
        sql.pattern("r.run_id", &filter.run_id);
        sql.pattern("r.triggering_user_name", &filter.triggering_user_name);
        sql.range("r.run_after", &filter.run_after);
        sql.range("r.logical_date", &filter.logical_date);
        sql.range("r.start_date", &filter.start_date);
        sql.range("r.end_date", &filter.end_date);
        sql.range("r.updated_at", &filter.updated_at);
        sql.range(DURATION, &filter.duration);
        sql.any_of("r.run_type", &filter.run_type);
        sql.any_of("r.state", &filter.state);
        sql.any_of("v.version_number", &filter.dag_version);
        sql.equals("r.bundle_version", filter.bundle_version.clone());
        if let Some(text) = &filter.conf_contains {
            sql.and().push("strpos(c.conf::text, ").push_bind(text.clone()).push(") > 0");
        }
        sql.pattern("null::text", &filter.partition_key);
        sql.range("null::date", &filter.partition_date);
        if let Some(part) = &filter.consuming_asset {
            // `dag_run_asset_event_pkey` serves it, run by run.
            sql.and()
                .push(
                    "exists (select from dag_run_asset_event t join asset_event e on e.id = t.event_id \
                     join asset a on a.id = e.asset_id \
                     where t.dag_run_id = r.id and strpos(lower(concat_ws(E'\\n', a.name, a.uri)), lower(",
                )
                .push_bind(part.clone())
                .push(")) > 0)");
        }
    })
    .await?;
    complete(connection, &mut found.rows).await?;
    Ok(found)
}

/// One run by Airflow's keys (`dag_run_run_id_key`).
pub async fn get(connection: &mut PgConnection, dag_id: &str, run_id: &str) -> Result<Option<RunRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("d.dag_id", Some(dag_id.to_owned()));
    sql.equals("r.run_id", Some(run_id.to_owned()));
    one(connection, sql).await
}

async fn one(connection: &mut PgConnection, sql: Filter) -> Result<Option<RunRow>, StoreError> {
    let mut row = sql.fetch_optional(connection).await?;
    complete(connection, row.as_mut_slice()).await?;
    Ok(row)
}

/// Adds the other versions of runs that may have some. None has that began in its DAG's first version, that is pinned to a commit
/// (Airflow: `DagRun.dag_versions`), or that was queued after its version was made and never cleared: so for most pages nothing is
/// read. `dag_run_pkey`, then the primary keys of the instances and their history.
async fn complete(connection: &mut PgConnection, rows: &mut [RunRow]) -> Result<(), StoreError> {
    let may_have = |row: &&RunRow| row.bundle_version.is_none() && row.version_number > Some(1);
    let ids: Vec<i64> = rows.iter().filter(may_have).map(|row| row.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let found = sqlx::query!(
        r#"select r.id as "run!", v.uuid, v.version_number, v.created_at, v.bundle_name, v.bundle_version
           from dag_run r join dag_version own on own.id = r.dag_version_id
           cross join lateral (select t.dag_version_id from task_instance t where t.dag_run_id = r.id
                               union select h.dag_version_id from task_instance_history h where h.dag_run_id = r.id) ran
           join dag_version v on v.id = ran.dag_version_id
           where r.id = any($1) and v.id <> r.dag_version_id
             and (r.clear_number > 0 or own.created_at > coalesce(r.queued_at, r.run_after))"#,
        &ids
    )
    .fetch_all(connection)
    .await?;
    for version in found {
        if let Some(row) = rows.iter_mut().find(|row| row.id == version.run) {
            row.other_versions.push(VersionOfRun {
                uuid: version.uuid,
                version_number: version.version_number,
                created_at: version.created_at,
                bundle_name: version.bundle_name,
                bundle_version: version.bundle_version,
            });
        }
    }
    Ok(())
}

/// One run by its inside key.
pub async fn get_by_key(connection: &mut PgConnection, id: i64) -> Result<Option<RunRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("r.id", Some(id));
    one(connection, sql).await
}

/// The states of runs by their inside keys, of those that there are. Asked for those that somebody waits for; `dag_run_pkey`.
pub async fn states(connection: &mut PgConnection, ids: &[i64]) -> Result<HashMap<i64, DagRunState>, StoreError> {
    let rows = sqlx::query!("select id, state from dag_run where id = any($1)", ids).fetch_all(connection).await?;
    let state = |text: &str| text.parse().map_err(|error: UnknownState| StoreError::Data(error.to_string()));
    rows.into_iter().map(|row| Ok((row.id, state(&row.state)?))).collect()
}

/// Runs by their inside keys, in the order of those.
pub async fn by_keys(connection: &mut PgConnection, ids: &[i64]) -> Result<Vec<RunRow>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.any_of("r.id", ids);
    let mut rows: Vec<RunRow> = sql.fetch_page(&mut *connection, &Page::ALL, &[("r.id", "bigint")]).await?;
    complete(connection, &mut rows).await?;
    Ok(rows)
}

/// Writes a run's note; an empty one deletes it.
pub async fn set_note(
    connection: &mut PgConnection,
    id: i64,
    content: &str,
    user_name: &str,
) -> Result<(), StoreError> {
    if content.is_empty() {
        sqlx::query!("delete from dag_run_note where dag_run_id = $1", id).execute(connection).await?;
    } else {
        sqlx::query!(
            "insert into dag_run_note (dag_run_id, content, user_name) values ($1, $2, $3)
             on conflict (dag_run_id)
             do update set content = excluded.content, user_name = excluded.user_name, updated_at = now()",
            id,
            content,
            user_name
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// The inside keys of runs, by DAG id and run id; those that do not exist are left out. `dag_run_run_id_key` serves it.
pub async fn keys_of(
    connection: &mut PgConnection,
    runs: &[(&str, &str)],
) -> Result<HashMap<(String, String), i64>, StoreError> {
    let (dag_ids, run_ids): (Vec<&str>, Vec<&str>) = runs.iter().copied().unzip();
    let rows = sqlx::query!(
        "select d.dag_id, r.run_id, r.id
         from (select distinct * from unnest($1::text[], $2::text[])) as k(dag_id, run_id)
         join dag d on d.dag_id = k.dag_id join dag_run r on r.dag_fk = d.id and r.run_id = k.run_id",
        &dag_ids as &[&str],
        &run_ids as &[&str]
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| ((row.dag_id, row.run_id), row.id)).collect())
}

/// The inside keys of a DAG's runs whose logical date lies in a range, in the order of their locks.
///
/// With `also`: that run too, whatever its date. `dag_run_logical_date_key` serves it; called by a clear of several runs.
pub async fn keys_between(
    connection: &mut PgConnection,
    dag_id: &str,
    start: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    also: Option<i64>,
) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select r.id from dag_run r join dag d on d.id = r.dag_fk
         where d.dag_id = $1
           and (r.id = $4 or (($2::timestamptz is null or r.logical_date >= $2)
                              and ($3::timestamptz is null or r.logical_date <= $3)))
         order by r.id",
        dag_id,
        start,
        end,
        also
    )
    .fetch_all(connection)
    .await?)
}
