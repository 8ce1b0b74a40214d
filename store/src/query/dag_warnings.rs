//! What is odd about DAGs, found out when it is asked for: nothing is stored that could become untrue.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use super::filter::{Listing, OrderBy, Page, list};
use crate::StoreError;

/// One warning.
#[derive(Clone, Debug, FromRow)]
pub struct DagWarningRow {
    pub dag_id: String,
    pub dag_display_name: String,
    pub warning_type: String,
    pub message: String,
    /// When the DAG's file was read last.
    pub timestamp: DateTime<Utc>,
}

/// Filters of `GET /dagWarnings`.
#[derive(Clone, Debug, Default)]
pub struct DagWarningFilter {
    pub dag_id: Option<String>,
    pub warning_type: Option<String>,
}

pub const ORDER_BY: OrderBy = &[
    ("dag_id", "w.dag_id", "text"),
    ("warning_type", "w.warning_type", "text"),
    ("message", "w.message", "text"),
    ("timestamp", "w.timestamp", "timestamptz"),
];

const SELECT: &str = "w.dag_id, w.dag_display_name, w.warning_type, w.message, w.timestamp";
/// Tasks that name a pool which does not exist wait for ever, in Airflow's words. (Of its other two, `asset conflict` is an import
/// error here, and `runtime varying value` is of Python files.)
const FROM: &str = "(select d.dag_id, d.dag_display_name, 'non-existent pool'::text as warning_type, \
    format('Dag ''%s'' references non-existent pools: [%s]', d.dag_id, \
           string_agg(quote_literal(p.pool), ', ' order by p.pool)) as message, d.last_parsed_time as timestamp \
    from dag d join dag_version v on v.id = d.latest_version_id \
    cross join lateral (select distinct t ->> 'pool' as pool from json_array_elements(v.data -> 'tasks') t) p \
    where not d.is_stale and not exists (select from slot_pool s where s.pool = p.pool) group by d.id) w";

/// One page of warnings. Reads the compiled form of every DAG that is not stale, or of the one named (`dag_dag_id_key`): asked
/// for by people.
pub async fn page(
    connection: &mut PgConnection,
    filter: &DagWarningFilter,
    page: &Page,
) -> Result<Listing<DagWarningRow>, StoreError> {
    list(connection, (SELECT, FROM), page, &[("w.dag_id", "text"), ("w.warning_type", "text")], |sql| {
        sql.equals("w.dag_id", filter.dag_id.clone());
        sql.equals("w.warning_type", filter.warning_type.clone());
    })
    .await
}
