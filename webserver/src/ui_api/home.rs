//! `GET /ui/home`: the first page, everything that somebody who was woken wants to know first.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use tokio::time::Instant;
use updraft_store::{
    dags as clock,
    query::{
        home::{self, HourRow, NextRow, NodeState, RunningRow},
        pool_use,
    },
    waiting::{self, Example, Group},
};
use utoipa::ToSchema;

use super::{
    needs::{self, NeedsResponse},
    pools::{self, PoolTaskResponse},
    reason_json,
};
use crate::{
    App,
    api::monitor::{HealthInfoResponse, health},
    error::ApiError,
    time::Timestamp,
};

/// Running tasks and runs to come that are shown, at most.
const SHOWN: i64 = 20;
/// Holders of a pool that are shown, at most.
const HOLDERS: i64 = 3;
/// A pool with this share of its slots taken is under pressure.
const PRESSURE: f64 = 0.8;

/// One that waits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaitingExample {
    dag_id: String,
    dag_run_id: String,
    /// Null: the run itself waits.
    task_id: Option<String>,
    map_index: Option<i32>,
    since: Timestamp,
}

impl From<Example> for WaitingExample {
    fn from(example: Example) -> Self {
        Self {
            dag_id: example.dag_id,
            dag_run_id: example.run_id,
            task_id: example.task_id,
            map_index: example.map_index,
            since: example.since.into(),
        }
    }
}

/// Many that wait for the same.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaitingGroup {
    /// A `code` with its parameters, as `/ui/why` has it, of the one that waits longest.
    #[schema(value_type = Object)]
    reason: Value,
    count: i64,
    since: Timestamp,
    /// At most 3, the oldest first.
    examples: Vec<WaitingExample>,
}

impl WaitingGroup {
    fn new(group: Group) -> Result<Self, ApiError> {
        Ok(Self {
            reason: reason_json(&group.reason)?,
            count: group.count,
            since: group.since.into(),
            examples: group.examples.into_iter().map(Into::into).collect(),
        })
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaitingResponse {
    /// Tasks that are ready or wait for something, and queued runs.
    total: i64,
    /// The largest first.
    groups: Vec<WaitingGroup>,
}

/// A task that runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunningTask {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    map_index: i32,
    try_number: i32,
    hostname: String,
    start_date: Timestamp,
    /// The median of what it took in earlier runs. Seconds; null: it never succeeded in one of them.
    usual_duration: Option<f64>,
}

impl From<RunningRow> for RunningTask {
    fn from(row: RunningRow) -> Self {
        Self {
            dag_id: row.dag_id,
            dag_run_id: row.run_id,
            task_id: row.task_id,
            map_index: row.map_index,
            try_number: row.try_number,
            hostname: row.hostname,
            start_date: row.start_date.into(),
            usual_duration: row.usual_duration,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunningResponse {
    total: i64,
    /// At most 20, those that run longest over what is usual first.
    items: Vec<RunningTask>,
}

/// The runs that were due in one hour, by state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HourResponse {
    start: Timestamp,
    success: i64,
    failed: i64,
    running: i64,
    queued: i64,
}

impl From<HourRow> for HourResponse {
    fn from(row: HourRow) -> Self {
        let HourRow { start, success, failed, running, queued } = row;
        Self { start: start.into(), success, failed, running, queued }
    }
}

/// A pool that is nearly full, or that somebody waits for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BusyPool {
    name: String,
    /// -1: no limit.
    slots: i32,
    occupied: i64,
    running: i64,
    /// Placed on a node and not started.
    queued: i64,
    /// Ready and waiting for a place.
    scheduled: i64,
    /// At most 3, those that have slots longest.
    holders: Vec<PoolTaskResponse>,
}

/// Nodes by state.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct NodesResponse {
    active: usize,
    draining: usize,
    lost: usize,
    offline: usize,
    /// The names of those that are lost or offline.
    away: Vec<String>,
}

impl NodesResponse {
    fn new(nodes: Vec<NodeState>) -> Self {
        let of = |state: &str| nodes.iter().filter(|node| node.state == state).count();
        let (active, draining, lost, offline) = (of("active"), of("draining"), of("lost"), of("offline"));
        let away = nodes.into_iter().filter(|node| matches!(&*node.state, "lost" | "offline"));
        Self { active, draining, lost, offline, away: away.map(|node| node.name).collect() }
    }
}

/// A run to come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NextRun {
    dag_id: String,
    run_after: Timestamp,
}

impl From<NextRow> for NextRun {
    fn from(row: NextRow) -> Self {
        Self { dag_id: row.dag_id, run_after: row.run_after.into() }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct HomeResponse {
    needs_you: NeedsResponse,
    waiting: WaitingResponse,
    running: RunningResponse,
    /// 24, the oldest first.
    hours: Vec<HourResponse>,
    pools: Vec<BusyPool>,
    nodes: NodesResponse,
    health: HealthInfoResponse,
    /// How long the database took for the shortest question.
    database_ms: f64,
    /// In the next two hours, at most 20.
    next: Vec<NextRun>,
    dags_total: i64,
    /// Runs that were due in the hours above.
    runs_24h: i64,
}

/// What needs somebody, what waits and why, what runs, ran and comes, and how the parts are.
#[utoipa::path(get, path = "/ui/home", tag = "Updraft", responses((status = 200, body = HomeResponse)))]
pub(crate) async fn get_home(State(app): State<App>) -> Result<Json<HomeResponse>, ApiError> {
    let health = health(&app).await;
    let mut connection = app.connection().await?;
    let asked = Instant::now();
    clock::now(&mut connection).await?;
    let database_ms = asked.elapsed().as_secs_f64() * 1000.0;
    let needs_you = needs::read(&app, &mut connection).await?;
    let waiting = waiting::all(&mut connection, app.config.parallelism).await?;
    let groups = waiting.groups.into_iter().map(WaitingGroup::new).collect::<Result<_, _>>()?;
    let (running, running_total) = home::running(&mut connection, SHOWN).await?;
    let hours: Vec<HourResponse> = home::hours(&mut connection).await?.into_iter().map(Into::into).collect();
    Ok(Json(HomeResponse {
        needs_you,
        waiting: WaitingResponse { total: waiting.total, groups },
        running: RunningResponse { total: running_total, items: running.into_iter().map(Into::into).collect() },
        runs_24h: hours.iter().map(|hour| hour.success + hour.failed + hour.running + hour.queued).sum(),
        hours,
        pools: busy_pools(&mut connection).await?,
        nodes: NodesResponse::new(home::nodes(&mut connection).await?),
        health,
        database_ms,
        next: home::next(&mut connection, SHOWN).await?.into_iter().map(Into::into).collect(),
        dags_total: home::dags_total(&mut connection).await?,
    }))
}

async fn busy_pools(connection: &mut PgConnection) -> Result<Vec<BusyPool>, ApiError> {
    let mut rows = pools::all(connection).await?;
    rows.retain(|row| row.scheduled > 0 || (row.slots > 0 && row.occupied() as f64 >= f64::from(row.slots) * PRESSURE));
    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    let mut holders = pools::by_pool(pool_use::holders(connection, &names, HOLDERS).await?);
    let shown = rows.into_iter().map(|row| BusyPool {
        occupied: row.occupied(),
        holders: holders.remove(&row.name).unwrap_or_default(),
        name: row.name,
        slots: row.slots,
        running: row.running,
        queued: row.queued,
        scheduled: row.scheduled,
    });
    Ok(shown.collect())
}
