//! Questions to people as the API lists them.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::filter::{Filter, Listing, OrderBy, Page, Pattern, Range, list};
use crate::StoreError;

/// A question; its task instance is found by `attempt_id`.
#[derive(Clone, Debug, FromRow)]
pub struct HitlRow {
    /// The run's inside key.
    pub dag_run_id: i64,
    pub attempt_id: Uuid,
    pub subject: String,
    pub body: Option<String>,
    pub options: Vec<String>,
    pub defaults: Option<Vec<String>>,
    pub multiple: bool,
    pub params: Value,
    pub assigned_users: Value,
    pub created_at: DateTime<Utc>,
    pub responded_by: Option<Value>,
    pub responded_at: Option<DateTime<Utc>>,
    pub chosen_options: Option<Vec<String>>,
    pub params_input: Option<Value>,
}

/// Filters of `GET …/hitlDetails`.
#[derive(Clone, Debug, Default)]
pub struct HitlFilter {
    /// `None`: `~`.
    pub dag_id: Option<String>,
    /// `None`: `~`.
    pub run_id: Option<String>,
    pub dag_id_pattern: Pattern,
    pub task_id: Option<String>,
    pub task_id_pattern: Pattern,
    pub map_index: Option<i32>,
    /// Of the task instance, stored spellings.
    pub state: Vec<String>,
    pub response_received: Option<bool>,
    pub responded_by_user_id: Vec<String>,
    pub responded_by_user_name: Vec<String>,
    pub subject: Pattern,
    pub body: Pattern,
    pub created_at: Range<DateTime<Utc>>,
}

pub const ORDER_BY: OrderBy = &[
    ("ti_id", "h.attempt_id", "uuid"),
    ("subject", "h.subject", "text"),
    ("responded_at", "h.responded_at", "timestamptz"),
    ("created_at", "h.created_at", "timestamptz"),
    ("responded_by_user_id", "(h.responded_by ->> 'id')", "text"),
    ("responded_by_user_name", "(h.responded_by ->> 'name')", "text"),
    ("dag_id", "d.dag_id", "text"),
    ("run_id", "r.run_id", "text"),
    ("task_display_name", "t.task_id", "text"),
    ("run_after", "r.run_after", "timestamptz"),
    ("rendered_map_index", "t.map_index", "integer"),
    ("task_instance_operator", "t.operator", "text"),
    ("task_instance_state", "t.state", "text"),
];

const SELECT: &str = "h.dag_run_id, h.attempt_id, h.subject, h.body, h.options, h.defaults, h.multiple, h.params, h.assigned_users, \
    h.created_at, h.responded_by, h.responded_at, h.chosen_options, h.params_input";
/// The questions of current tries only, as in Airflow: those of earlier ones are asked for by their number.
const FROM: &str = "hitl_detail h join task_instance t on t.dag_run_id = h.dag_run_id and t.task_id = h.task_id \
    and t.map_index = h.map_index and t.attempt_id = h.attempt_id join dag_run r on r.id = h.dag_run_id \
    join dag d on d.id = r.dag_fk";

/// One page of questions; `hitl_detail_open_idx` serves the open ones in the order they were asked.
pub async fn page(
    connection: &mut PgConnection,
    filter: &HitlFilter,
    page: &Page,
) -> Result<Listing<HitlRow>, StoreError> {
    list(connection, (SELECT, FROM), page, &[("h.attempt_id", "uuid")], |sql| {
        sql.equals("d.dag_id", filter.dag_id.clone());
        sql.equals("r.run_id", filter.run_id.clone());
        sql.pattern("d.dag_id", &filter.dag_id_pattern);
        sql.equals("h.task_id", filter.task_id.clone());
        sql.pattern("h.task_id", &filter.task_id_pattern);
        sql.equals("h.map_index", filter.map_index);
        sql.any_of("t.state", &filter.state);
        match filter.response_received {
            Some(true) => drop(sql.and().push("h.responded_at is not null")),
            Some(false) => drop(sql.and().push("h.responded_at is null")),
            None => {}
        }
        sql.any_of("(h.responded_by ->> 'id')", &filter.responded_by_user_id);
        sql.any_of("(h.responded_by ->> 'name')", &filter.responded_by_user_name);
        sql.pattern("h.subject", &filter.subject);
        sql.pattern("h.body", &filter.body);
        sql.range("h.created_at", &filter.created_at);
    })
    .await
}

/// The question of one try; `hitl_detail_pkey` serves it.
pub async fn get(
    connection: &mut PgConnection,
    dag_run_key: i64,
    attempt_id: Uuid,
) -> Result<Option<HitlRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from hitl_detail h"));
    sql.equals("h.dag_run_id", Some(dag_run_key));
    sql.equals("h.attempt_id", Some(attempt_id));
    sql.fetch_optional(connection).await
}
