//! DAG versions, and their sources.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::filter::{Filter, Listing, OrderBy, Page, list};
use crate::StoreError;

/// One version of a DAG.
#[derive(Clone, Debug, FromRow)]
pub struct VersionRow {
    pub uuid: Uuid,
    pub version_number: i32,
    pub dag_id: String,
    pub dag_display_name: String,
    pub bundle_name: String,
    pub bundle_version: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// The file's text at a version.
#[derive(Clone, Debug, FromRow)]
pub struct SourceRow {
    pub dag_id: String,
    pub dag_display_name: String,
    pub version_number: i32,
    pub source: String,
}

/// Filters of `GET /dags/{dag_id}/dagVersions`.
#[derive(Clone, Debug, Default)]
pub struct VersionFilter {
    /// `None`: all DAGs.
    pub dag_id: Option<String>,
    pub version_number: Option<i32>,
    pub bundle_name: Option<String>,
    pub bundle_version: Option<String>,
}

pub const ORDER_BY: OrderBy = &[
    ("id", "v.id", "bigint"),
    ("version_number", "v.version_number", "integer"),
    ("bundle_name", "v.bundle_name", "text"),
    ("bundle_version", "v.bundle_version", "text"),
];

const SELECT: &str =
    "v.uuid, v.version_number, d.dag_id, d.dag_display_name, v.bundle_name, v.bundle_version, v.created_at";
const FROM: &str = "dag_version v join dag d on d.id = v.dag_fk";

/// One page of versions. By `dag_dag_id_key` and `dag_version_number_key`; called when somebody opens the versions of a DAG.
pub async fn page(
    connection: &mut PgConnection,
    filter: &VersionFilter,
    page: &Page,
) -> Result<Listing<VersionRow>, StoreError> {
    list(connection, (SELECT, FROM), page, &[("v.id", "bigint")], |sql| {
        sql.equals("d.dag_id", filter.dag_id.clone());
        sql.equals("v.version_number", filter.version_number);
        sql.equals("v.bundle_name", filter.bundle_name.clone());
        sql.equals("v.bundle_version", filter.bundle_version.clone());
    })
    .await
}

/// One version by its number.
pub async fn get(
    connection: &mut PgConnection,
    dag_id: &str,
    version_number: i32,
) -> Result<Option<VersionRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("d.dag_id", Some(dag_id.to_owned()));
    sql.equals("v.version_number", Some(version_number));
    sql.fetch_optional(connection).await
}

/// The inside key of a version by its number; `dag_version_number_key`.
pub async fn key_of(
    connection: &mut PgConnection,
    dag_id: &str,
    version_number: i32,
) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select v.id from dag_version v join dag d on d.id = v.dag_fk where d.dag_id = $1 and v.version_number = $2",
        dag_id,
        version_number
    )
    .fetch_optional(connection)
    .await?)
}

/// The source of one version, or of the latest.
pub async fn source(
    connection: &mut PgConnection,
    dag_id: &str,
    version_number: Option<i32>,
) -> Result<Option<SourceRow>, StoreError> {
    let mut sql = Filter::on(&format!("select d.dag_id, d.dag_display_name, v.version_number, v.source from {FROM}"));
    sql.equals("d.dag_id", Some(dag_id.to_owned()));
    match version_number {
        Some(_) => sql.equals("v.version_number", version_number),
        None => {
            sql.and().push("v.id = d.latest_version_id");
        }
    }
    sql.fetch_optional(connection).await
}
