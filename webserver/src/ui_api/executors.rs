//! `GET /ui/executors`: the nodes.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;
use updraft_store::query::executors::{self, ExecutorRow};
use utoipa::ToSchema;

use crate::{App, error::ApiError, time::Timestamp};

/// One node and how much of it is in use.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutorResponse {
    id: i64,
    name: String,
    hostname: String,
    /// `active`, `draining`, `lost` or `offline`.
    state: String,
    version: String,
    slots: i32,
    used: i64,
    labels: Value,
    queues: Vec<String>,
    runners: Value,
    stats: Value,
    registered_at: Timestamp,
    last_poll: Timestamp,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutorCollectionResponse {
    executors: Vec<ExecutorResponse>,
    total_entries: i64,
}

impl From<ExecutorRow> for ExecutorResponse {
    fn from(row: ExecutorRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            hostname: row.hostname,
            state: row.state,
            version: row.version,
            slots: row.slots,
            used: row.used,
            labels: row.labels,
            queues: row.queues,
            runners: row.runners,
            stats: row.stats,
            registered_at: row.registered_at.into(),
            last_poll: row.last_poll_at.into(),
        }
    }
}

/// List the executor nodes.
#[utoipa::path(get, path = "/ui/executors", tag = "Updraft",
    responses((status = 200, body = ExecutorCollectionResponse)))]
pub(crate) async fn get_executors(State(app): State<App>) -> Result<Json<ExecutorCollectionResponse>, ApiError> {
    let rows = executors::all(&mut *app.connection().await?).await?;
    let total_entries = rows.len() as i64;
    Ok(Json(ExecutorCollectionResponse { executors: rows.into_iter().map(Into::into).collect(), total_entries }))
}
