//! XComs as the API lists them: without their values.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use super::filter::{Filter, Listing, OrderBy, Page, Pattern, Range, list};
use crate::StoreError;

/// One XCom with the names of its run and DAG.
#[derive(Clone, Debug, FromRow)]
pub struct XComRow {
    /// The run's inside key.
    pub dag_run_id: i64,
    pub key: String,
    pub timestamp: DateTime<Utc>,
    pub logical_date: Option<DateTime<Utc>>,
    pub map_index: i32,
    pub task_id: String,
    pub dag_id: String,
    pub run_id: String,
    pub dag_display_name: String,
    pub run_after: DateTime<Utc>,
    pub dag_version_id: i64,
}

/// One XCom by its path.
#[derive(Clone, Copy, Debug)]
pub struct XComPath<'a> {
    pub dag_id: &'a str,
    pub run_id: &'a str,
    pub task_id: &'a str,
    pub key: &'a str,
    pub map_index: i32,
}

/// Filters of `GET …/xcomEntries`.
#[derive(Clone, Debug, Default)]
pub struct XComFilter {
    /// `None`: `~`, all.
    pub dag_id: Option<String>,
    pub run_id: Option<String>,
    pub task_id: Option<String>,
    pub key: Option<String>,
    pub map_index: Option<i32>,
    pub key_pattern: Pattern,
    pub dag_display_name_pattern: Pattern,
    pub run_id_pattern: Pattern,
    pub task_id_pattern: Pattern,
    pub logical_date: Range<DateTime<Utc>>,
    pub run_after: Range<DateTime<Utc>>,
}

pub const ORDER_BY: OrderBy = &[
    ("key", "x.key", "text"),
    ("dag_id", "d.dag_id", "text"),
    ("run_id", "r.run_id", "text"),
    ("task_id", "x.task_id", "text"),
    ("map_index", "x.map_index", "integer"),
    ("timestamp", "x.timestamp", "timestamptz"),
    ("run_after", "r.run_after", "timestamptz"),
];

const SELECT: &str = "x.dag_run_id, x.key, x.timestamp, r.logical_date, x.map_index, x.task_id, d.dag_id, r.run_id, \
    d.dag_display_name, r.run_after, r.dag_version_id";
const FROM: &str = "xcom x join dag_run r on r.id = x.dag_run_id join dag d on d.id = r.dag_fk";
const TIE: &[(&str, &str)] =
    &[("x.dag_run_id", "bigint"), ("x.task_id", "text"), ("x.map_index", "integer"), ("x.key", "text")];

/// One page of XComs; `dag_run_run_id_key` and `xcom_pkey` serve those of one run.
pub async fn page(
    connection: &mut PgConnection,
    filter: &XComFilter,
    page: &Page,
) -> Result<Listing<XComRow>, StoreError> {
    list(connection, (SELECT, FROM), page, TIE, |sql| {
        sql.equals("d.dag_id", filter.dag_id.clone());
        sql.equals("r.run_id", filter.run_id.clone());
        sql.equals("x.task_id", filter.task_id.clone());
        sql.equals("x.key", filter.key.clone());
        sql.equals("x.map_index", filter.map_index);
        sql.pattern("x.key", &filter.key_pattern);
        sql.pattern("d.dag_display_name", &filter.dag_display_name_pattern);
        sql.pattern("r.run_id", &filter.run_id_pattern);
        sql.pattern("x.task_id", &filter.task_id_pattern);
        sql.range("r.logical_date", &filter.logical_date);
        sql.range("r.run_after", &filter.run_after);
    })
    .await
}

/// One XCom.
pub async fn get(connection: &mut PgConnection, path: XComPath<'_>) -> Result<Option<XComRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("d.dag_id", Some(path.dag_id.to_owned()));
    sql.equals("r.run_id", Some(path.run_id.to_owned()));
    sql.equals("x.task_id", Some(path.task_id.to_owned()));
    sql.equals("x.key", Some(path.key.to_owned()));
    sql.equals("x.map_index", Some(path.map_index));
    sql.fetch_optional(connection).await
}
