//! Assets, aliases and events as the API lists them.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use sqlx::{FromRow, PgConnection};

use super::filter::{Filter, Listing, OrderBy, Page, Pattern, Range, list};
use crate::StoreError;

/// An asset with all that refers to it.
#[derive(Clone, Debug, FromRow)]
pub struct AssetRow {
    pub id: i64,
    pub name: String,
    pub uri: String,
    pub group: String,
    pub extra: Value,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    #[sqlx(json)]
    pub scheduled_dags: Vec<Reference>,
    #[sqlx(json)]
    pub producing_tasks: Vec<Reference>,
    #[sqlx(json)]
    pub consuming_tasks: Vec<Reference>,
    #[sqlx(json)]
    pub aliases: Vec<AliasRow>,
    pub last_event_id: Option<i64>,
    pub last_event_timestamp: Option<DateTime<Utc>>,
}

/// A DAG, or one of its tasks, that names an asset.
#[derive(Clone, Debug, Deserialize)]
pub struct Reference {
    pub dag_id: String,
    #[serde(default)]
    pub task_id: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// An alias.
#[derive(Clone, Debug, FromRow, Deserialize)]
pub struct AliasRow {
    pub id: i64,
    pub name: String,
    pub group: String,
}

/// An event with the runs that took it.
#[derive(Clone, Debug, FromRow)]
pub struct AssetEventRow {
    pub id: i64,
    pub asset_id: i64,
    pub name: Option<String>,
    pub uri: Option<String>,
    pub group: Option<String>,
    pub extra: Value,
    pub source_dag_id: Option<String>,
    pub source_run_id: Option<String>,
    pub source_task_id: Option<String>,
    pub source_map_index: i32,
    pub partition_key: Option<String>,
    pub timestamp: DateTime<Utc>,
    #[sqlx(json)]
    pub created_dagruns: Vec<CreatedRun>,
}

/// A run that took an event.
#[derive(Clone, Debug, Deserialize)]
pub struct CreatedRun {
    pub run_id: String,
    pub dag_id: String,
    pub logical_date: Option<DateTime<Utc>>,
    /// When it was queued, as long as it has not started.
    pub start_date: DateTime<Utc>,
    pub end_date: Option<DateTime<Utc>>,
    pub state: String,
    pub data_interval_start: Option<DateTime<Utc>>,
    pub data_interval_end: Option<DateTime<Utc>>,
    /// Of the events it took this is the newest.
    pub triggering: bool,
}

/// Filters of `GET /assets`.
#[derive(Clone, Debug, Default)]
pub struct AssetFilter {
    pub name: Pattern,
    pub uri: Pattern,
    /// That one of these DAGs waits for or produces.
    pub dag_ids: Vec<String>,
    pub only_active: bool,
}

/// Filters of `GET /assets/events`.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub asset_id: Option<i64>,
    pub source_dag_id: Option<String>,
    pub source_task_id: Option<String>,
    pub source_run_id: Option<String>,
    pub source_map_index: Option<i32>,
    pub name: Pattern,
    pub timestamp: Range<DateTime<Utc>>,
    /// Those that this run took, by its key.
    pub taken_by: Option<i64>,
}

pub const ORDER_BY: OrderBy = &[
    ("id", "a.id", "bigint"),
    ("name", "a.name", "text"),
    ("uri", "a.uri", "text"),
    ("created_at", "a.created_at", "timestamptz"),
    ("updated_at", "a.updated_at", "timestamptz"),
];

pub const ALIAS_ORDER_BY: OrderBy = &[("id", "l.id", "bigint"), ("name", "l.name", "text")];

pub const EVENT_ORDER_BY: OrderBy = &[
    ("timestamp", "e.timestamp", "timestamptz"),
    ("source_dag_id", "e.source_dag_id", "text"),
    ("source_task_id", "e.source_task_id", "text"),
    ("source_run_id", "e.source_run_id", "text"),
    ("source_map_index", "e.source_map_index", "integer"),
];

const SELECT: &str = r#"a.id, a.name, a.uri, a."group", a.extra, a.created_at, a.updated_at,
    (select coalesce(jsonb_agg(jsonb_build_object('dag_id', d.dag_id, 'created_at', r.created_at, 'updated_at', r.updated_at)
                               order by d.dag_id), '[]')
     from dag_schedule_asset_reference r join dag d on d.id = r.dag_fk where r.asset_id = a.id) as scheduled_dags,
    (select coalesce(jsonb_agg(jsonb_build_object('dag_id', d.dag_id, 'task_id', r.task_id, 'created_at', r.created_at,
                                                  'updated_at', r.updated_at) order by d.dag_id, r.task_id), '[]')
     from task_outlet_asset_reference r join dag d on d.id = r.dag_fk where r.asset_id = a.id) as producing_tasks,
    (select coalesce(jsonb_agg(jsonb_build_object('dag_id', d.dag_id, 'task_id', r.task_id, 'created_at', r.created_at,
                                                  'updated_at', r.updated_at) order by d.dag_id, r.task_id), '[]')
     from task_inlet_asset_reference r join dag d on d.id = r.dag_fk where r.asset_id = a.id) as consuming_tasks,
    (select coalesce(jsonb_agg(jsonb_build_object('id', l.id, 'name', l.name, 'group', l."group") order by l.id), '[]')
     from asset_alias_asset s join asset_alias l on l.id = s.alias_id where s.asset_id = a.id) as aliases,
    last.id as last_event_id, last.timestamp as last_event_timestamp"#;
const FROM: &str = "asset a left join lateral \
    (select e.id, e.timestamp from asset_event e where e.asset_id = a.id order by e.id desc limit 1) last on true";

const EVENT_SELECT: &str = r#"e.id, e.asset_id, a.name, a.uri, a."group", e.extra, e.source_dag_id, e.source_run_id,
    e.source_task_id, e.source_map_index, e.partition_key, e.timestamp,
    (select coalesce(jsonb_agg(jsonb_build_object(
         'run_id', r.run_id, 'dag_id', d.dag_id, 'logical_date', r.logical_date,
         'start_date', coalesce(r.start_date, r.queued_at, r.run_after), 'end_date', r.end_date, 'state', r.state,
         'data_interval_start', r.data_interval_start, 'data_interval_end', r.data_interval_end,
         'triggering', e.id = (select max(o.event_id) from dag_run_asset_event o where o.dag_run_id = r.id))
         order by r.id), '[]')
     from dag_run_asset_event t join dag_run r on r.id = t.dag_run_id join dag d on d.id = r.dag_fk
     where t.event_id = e.id) as created_dagruns"#;
const EVENT_FROM: &str = "asset_event e left join asset a on a.id = e.asset_id";

/// One page of assets; `asset_pkey` serves the default order, the primary keys of the reference tables the rest.
pub async fn page(
    connection: &mut PgConnection,
    filter: &AssetFilter,
    page: &Page,
) -> Result<Listing<AssetRow>, StoreError> {
    list(connection, (SELECT, FROM), page, &[("a.id", "bigint")], |sql| {
        sql.pattern("a.name", &filter.name);
        sql.pattern("a.uri", &filter.uri);
        if filter.only_active {
            sql.and().push("a.is_active");
        }
        if !filter.dag_ids.is_empty() {
            sql.and()
                .push("a.id in (select r.asset_id from dag_schedule_asset_reference r join dag d on d.id = r.dag_fk where d.dag_id = any(")
                .push_bind(filter.dag_ids.clone())
                .push(") union select r.asset_id from task_outlet_asset_reference r join dag d on d.id = r.dag_fk where d.dag_id = any(")
                .push_bind(filter.dag_ids.clone())
                .push("))");
        }
    })
    .await
}

/// One asset.
pub async fn get(connection: &mut PgConnection, id: i64) -> Result<Option<AssetRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("a.id", Some(id));
    sql.fetch_optional(connection).await
}

/// One page of aliases; a table of names.
pub async fn aliases(
    connection: &mut PgConnection,
    name: &Pattern,
    page: &Page,
) -> Result<Listing<AliasRow>, StoreError> {
    list(connection, (r#"l.id, l.name, l."group""#, "asset_alias l"), page, &[("l.id", "bigint")], |sql| {
        sql.pattern("l.name", name);
    })
    .await
}

/// One alias.
pub async fn alias(connection: &mut PgConnection, id: i64) -> Result<Option<AliasRow>, StoreError> {
    let mut sql = Filter::on(r#"select l.id, l.name, l."group" from asset_alias l"#);
    sql.equals("l.id", Some(id));
    sql.fetch_optional(connection).await
}

/// One page of events; `asset_event_timestamp_idx` serves the default order, `asset_event_asset_idx` one asset,
/// `dag_run_asset_event_pkey` one run.
pub async fn events(
    connection: &mut PgConnection,
    filter: &EventFilter,
    page: &Page,
) -> Result<Listing<AssetEventRow>, StoreError> {
    list(connection, (EVENT_SELECT, EVENT_FROM), page, &[("e.id", "bigint")], |sql| {
        sql.equals("e.asset_id", filter.asset_id);
        sql.equals("e.source_dag_id", filter.source_dag_id.clone());
        sql.equals("e.source_task_id", filter.source_task_id.clone());
        sql.equals("e.source_run_id", filter.source_run_id.clone());
        sql.equals("e.source_map_index", filter.source_map_index);
        sql.pattern("a.name", &filter.name);
        sql.range("e.timestamp", &filter.timestamp);
        if let Some(run) = filter.taken_by {
            sql.and()
                .push("e.id in (select event_id from dag_run_asset_event where dag_run_id = ")
                .push_bind(run)
                .push(")");
        }
    })
    .await
}

/// One event.
pub async fn event(connection: &mut PgConnection, id: i64) -> Result<Option<AssetEventRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {EVENT_SELECT} from {EVENT_FROM}"));
    sql.equals("e.id", Some(id));
    sql.fetch_optional(connection).await
}
