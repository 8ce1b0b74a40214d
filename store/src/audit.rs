//! The audit trail: every mutating call writes one row in its own transaction (Airflow's table `log`).

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::StoreError;

/// What happened, to what, by whom. `event` is Airflow's handler name (`trigger_dag_run`, `patch_dag`).
#[derive(Clone, Debug, Default)]
pub struct Entry<'a> {
    pub event: &'a str,
    /// The user.
    pub owner: Option<&'a str>,
    pub dag_id: Option<&'a str>,
    pub run_id: Option<&'a str>,
    pub task_id: Option<&'a str>,
    pub map_index: Option<i32>,
    /// Of the one task instance that it is about.
    pub try_number: Option<i32>,
    pub logical_date: Option<DateTime<Utc>>,
    /// The call's parameters, secrets masked by the caller.
    pub extra: Option<Value>,
}

/// Writes the row. Call it in the transaction of the change it tells of.
pub async fn write(connection: &mut PgConnection, entry: &Entry<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into log (event, owner, dag_id, run_id, task_id, map_index, try_number, logical_date, extra)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        entry.event,
        entry.owner,
        entry.dag_id,
        entry.run_id,
        entry.task_id,
        entry.map_index,
        entry.try_number,
        entry.logical_date,
        entry.extra.as_ref().map(Value::to_string)
    )
    .execute(connection)
    .await?;
    Ok(())
}
