//! `GET /ui/pools`: how full pools are, who fills them, and who waits.

use std::collections::HashMap;

use axum::{Json, extract::State};
use serde::Serialize;
use sqlx::PgConnection;
use updraft_store::{
    pools::{self, PoolRow},
    query::{
        filter::{Page, Pattern},
        pool_use::{self, PoolTask},
    },
};
use utoipa::ToSchema;

use crate::{App, error::ApiError, time::Timestamp};

/// Holders and waiting tasks of each pool, at most.
const SHOWN: i64 = 10;

/// A task that has slots, or waits for some.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PoolTaskResponse {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    map_index: i32,
    /// When it was placed, or became ready.
    since: Timestamp,
    pool_slots: i32,
    priority_weight: i32,
}

impl From<PoolTask> for PoolTaskResponse {
    fn from(task: PoolTask) -> Self {
        Self {
            dag_id: task.dag_id,
            dag_run_id: task.run_id,
            task_id: task.task_id,
            map_index: task.map_index,
            since: task.since.into(),
            pool_slots: task.pool_slots,
            priority_weight: task.priority_weight,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PoolUseResponse {
    name: String,
    /// -1: no limit.
    slots: i32,
    description: Option<String>,
    include_deferred: bool,
    /// Slots that are taken.
    occupied: i64,
    running: i64,
    /// Placed on a node and not started.
    queued: i64,
    /// Ready and waiting for a place.
    scheduled: i64,
    deferred: i64,
    /// -1: no limit.
    open: i64,
    /// Those that have slots longest, at most 10.
    holders: Vec<PoolTaskResponse>,
    /// Those that come next, at most 10.
    waiting: Vec<PoolTaskResponse>,
}

impl PoolUseResponse {
    fn new(row: PoolRow, holders: Vec<PoolTaskResponse>, waiting: Vec<PoolTaskResponse>) -> Self {
        Self {
            occupied: row.occupied(),
            open: row.open(),
            name: row.name,
            slots: row.slots,
            description: row.description,
            include_deferred: row.include_deferred,
            running: row.running,
            queued: row.queued,
            scheduled: row.scheduled,
            deferred: row.deferred,
            holders,
            waiting,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PoolUseCollectionResponse {
    /// By name.
    pools: Vec<PoolUseResponse>,
}

/// Every pool with who has its slots and who waits.
#[utoipa::path(get, path = "/ui/pools", tag = "Updraft", responses((status = 200, body = PoolUseCollectionResponse)))]
pub(crate) async fn get_pool_use(State(app): State<App>) -> Result<Json<PoolUseCollectionResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let mut rows = all(&mut connection).await?;
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    let mut holders = by_pool(pool_use::holders(&mut connection, &names, SHOWN).await?);
    let mut waiting = by_pool(pool_use::waiting(&mut connection, &names, SHOWN).await?);
    let shown = rows.into_iter().map(|row| {
        let (holders, waiting) = (holders.remove(&row.name), waiting.remove(&row.name));
        PoolUseResponse::new(row, holders.unwrap_or_default(), waiting.unwrap_or_default())
    });
    Ok(Json(PoolUseCollectionResponse { pools: shown.collect() }))
}

/// Every pool; there are few.
pub(super) async fn all(connection: &mut PgConnection) -> Result<Vec<PoolRow>, ApiError> {
    let page = Page { limit: i64::MAX, ..Page::default() };
    Ok(pools::page(connection, &Pattern::default(), &page).await?.rows)
}

/// Tasks by the pool they are in, in their order.
pub(super) fn by_pool(tasks: Vec<PoolTask>) -> HashMap<String, Vec<PoolTaskResponse>> {
    let mut found: HashMap<String, Vec<PoolTaskResponse>> = HashMap::new();
    for task in tasks {
        found.entry(task.pool.clone()).or_default().push(task.into());
    }
    found
}
