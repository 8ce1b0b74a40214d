//! Import errors as the API lists them.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};

use super::filter::{Filter, Listing, OrderBy, Page, Pattern, list};
use crate::StoreError;

/// What is wrong with one file.
#[derive(Clone, Debug, FromRow)]
pub struct ImportErrorRow {
    pub id: i64,
    pub timestamp: DateTime<Utc>,
    pub filename: String,
    pub bundle_name: String,
    pub stacktrace: String,
    /// A list of `updraft_core::diagnostic::Diagnostic`.
    pub diagnostics: Value,
}

/// Filters of `GET /importErrors`.
#[derive(Clone, Debug, Default)]
pub struct ImportErrorFilter {
    pub filename_pattern: Pattern,
    pub filename: Option<String>,
    pub bundle_name: Option<String>,
}

pub const ORDER_BY: OrderBy = &[
    ("id", "e.id", "bigint"),
    ("import_error_id", "e.id", "bigint"),
    ("timestamp", "e.timestamp", "timestamptz"),
    ("filename", "e.filename", "text"),
    ("bundle_name", "e.bundle_name", "text"),
    ("stacktrace", "e.stacktrace", "text"),
];

const SELECT: &str = "e.id, e.timestamp, e.filename, e.bundle_name, e.stacktrace, e.diagnostics";
const FROM: &str = "import_error e";

/// One page of import errors; the table has a row per broken file.
pub async fn page(
    connection: &mut PgConnection,
    filter: &ImportErrorFilter,
    page: &Page,
) -> Result<Listing<ImportErrorRow>, StoreError> {
    list(connection, (SELECT, FROM), page, &[("e.id", "bigint")], |sql| {
        sql.pattern("e.filename", &filter.filename_pattern);
        sql.equals("e.filename", filter.filename.clone());
        sql.equals("e.bundle_name", filter.bundle_name.clone());
    })
    .await
}

/// One import error.
pub async fn get(connection: &mut PgConnection, id: i64) -> Result<Option<ImportErrorRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("e.id", Some(id));
    sql.fetch_optional(connection).await
}
