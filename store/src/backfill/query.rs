//! Backfills as the API shows them.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};

use crate::{
    StoreError,
    query::filter::{Filter, Listing, OrderBy, Page, list},
};

/// A backfill with its DAG's names.
#[derive(Clone, Debug, FromRow)]
pub struct Backfill {
    pub id: i64,
    pub dag_id: String,
    pub dag_display_name: String,
    pub from_date: DateTime<Utc>,
    pub to_date: DateTime<Utc>,
    pub dag_run_conf: Option<Value>,
    pub is_paused: bool,
    pub reprocess_behavior: String,
    pub max_active_runs: i32,
    pub created_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
    pub updated_at: DateTime<Utc>,
}

pub const ORDER_BY: OrderBy = &[("id", "b.id", "bigint")];

const SELECT: &str = "b.id, d.dag_id, d.dag_display_name, b.from_date, b.to_date, b.dag_run_conf, b.is_paused, \
    b.reprocess_behavior, b.max_active_runs, b.created_at, b.completed_at, b.updated_at";
const FROM: &str = "backfill b join dag d on d.id = b.dag_fk";

/// One backfill. `backfill_pkey` serves it.
pub async fn get(connection: &mut PgConnection, id: i64) -> Result<Option<Backfill>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("b.id", Some(id));
    sql.fetch_optional(connection).await
}

/// A page of a DAG's backfills; `backfill_by_dag_idx` serves it.
pub async fn page(connection: &mut PgConnection, dag_id: &str, page: &Page) -> Result<Listing<Backfill>, StoreError> {
    list(connection, (SELECT, FROM), page, &[("b.id", "bigint")], |sql| {
        sql.equals("d.dag_id", Some(dag_id.to_owned()));
    })
    .await
}
