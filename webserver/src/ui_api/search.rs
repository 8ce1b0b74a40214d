//! `GET /ui/search`: what the command palette finds.

use axum::{Json, extract::State};
use serde::Serialize;
use updraft_store::query::search::{self as found, AssetHit, DagHit, RunHit, TaskHit};
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        params::{FromQuery, Query, QueryParams},
        words,
    },
    error::ApiError,
    time::Timestamp,
};

/// Hits of each kind, unless the query says how many.
const HITS: i32 = 8;
/// Hits of each kind at most.
const MOST_HITS: i32 = 50;

pub(crate) struct SearchQuery {
    text: String,
    limit: i64,
}

impl FromQuery for SearchQuery {
    fn read(query: &mut Query) -> Self {
        Self { text: query.required_text("q"), limit: query.small_int_or("limit", 1, HITS).min(MOST_HITS).into() }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundDag {
    dag_id: String,
    dag_display_name: String,
    is_paused: bool,
}

impl From<DagHit> for FoundDag {
    fn from(hit: DagHit) -> Self {
        Self { dag_id: hit.dag_id, dag_display_name: hit.dag_display_name, is_paused: hit.is_paused }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundTask {
    dag_id: String,
    task_id: String,
}

impl From<TaskHit> for FoundTask {
    fn from(hit: TaskHit) -> Self {
        Self { dag_id: hit.dag_id, task_id: hit.task_id }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundRun {
    dag_id: String,
    dag_run_id: String,
    #[schema(value_type = words::DagRunState)]
    state: String,
    run_after: Timestamp,
}

impl From<RunHit> for FoundRun {
    fn from(hit: RunHit) -> Self {
        Self { dag_id: hit.dag_id, dag_run_id: hit.run_id, state: hit.state, run_after: hit.run_after.into() }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundAsset {
    id: i64,
    name: String,
    uri: String,
}

impl From<AssetHit> for FoundAsset {
    fn from(hit: AssetHit) -> Self {
        Self { id: hit.id, name: hit.name, uri: hit.uri }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchResponse {
    dags: Vec<FoundDag>,
    /// Of the latest version of each DAG.
    tasks: Vec<FoundTask>,
    /// Of the latest 2,000.
    runs: Vec<FoundRun>,
    assets: Vec<FoundAsset>,
}

/// DAGs, tasks, runs and assets with a text in their names, whatever its case.
#[utoipa::path(get, path = "/ui/search", tag = "Updraft", params(QueryParams<SearchQuery>),
    responses((status = 200, body = SearchResponse)))]
pub(crate) async fn search(
    State(app): State<App>,
    QueryParams(query): QueryParams<SearchQuery>,
) -> Result<Json<SearchResponse>, ApiError> {
    let text = query.text.trim();
    let hits = if text.is_empty() {
        found::Hits::default()
    } else {
        found::search(&mut *app.connection().await?, text, query.limit).await?
    };
    Ok(Json(SearchResponse {
        dags: hits.dags.into_iter().map(Into::into).collect(),
        tasks: hits.tasks.into_iter().map(Into::into).collect(),
        runs: hits.runs.into_iter().map(Into::into).collect(),
        assets: hits.assets.into_iter().map(Into::into).collect(),
    }))
}
