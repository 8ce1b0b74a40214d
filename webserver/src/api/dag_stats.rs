//! `GET /dagStats`: runs per state of each DAG.

use axum::{Json, extract::State};
use serde::Serialize;
use updraft_store::query::dags;
use utoipa::ToSchema;

use super::{
    dags::run_states,
    params::{FromQuery, Query, QueryParams},
    words,
};
use crate::{App, error::ApiError};

pub(crate) struct StatsQuery {
    dag_ids: Vec<String>,
}

impl FromQuery for StatsQuery {
    fn read(query: &mut Query) -> Self {
        Self { dag_ids: query.texts("dag_ids") }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DagStatsStateResponse {
    #[schema(value_type = words::DagRunState)]
    state: &'static str,
    count: i64,
}

/// Always the four run states, also those without a run.
#[derive(Serialize, ToSchema)]
pub(crate) struct DagStatsResponse {
    dag_id: String,
    dag_display_name: String,
    stats: Vec<DagStatsStateResponse>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DagStatsCollectionResponse {
    dags: Vec<DagStatsResponse>,
    total_entries: i64,
}

/// Count runs by state.
#[utoipa::path(get, path = "/dagStats", tag = "DagStats", params(QueryParams<StatsQuery>),
    responses((status = 200, body = DagStatsCollectionResponse)))]
pub(crate) async fn get_dag_stats(
    State(app): State<App>,
    QueryParams(query): QueryParams<StatsQuery>,
) -> Result<Json<DagStatsCollectionResponse>, ApiError> {
    let mut stats: Vec<DagStatsResponse> = Vec::new();
    for row in dags::stats(&mut *app.connection().await?, &query.dag_ids).await? {
        // Rows come ordered by DAG.
        if stats.last().is_none_or(|last| last.dag_id != row.dag_id) {
            let zero = run_states().into_iter().map(|state| DagStatsStateResponse { state, count: 0 }).collect();
            stats.push(DagStatsResponse { dag_id: row.dag_id, dag_display_name: row.dag_display_name, stats: zero });
        }
        let entry = stats
            .last_mut()
            .and_then(|dag| dag.stats.iter_mut().find(|entry| row.state.as_deref() == Some(entry.state)));
        if let Some(entry) = entry {
            entry.count = row.count;
        }
    }
    let total_entries = stats.len() as i64;
    Ok(Json(DagStatsCollectionResponse { dags: stats, total_entries }))
}
