//! `GET /monitor/health`.

use axum::{Json, extract::State};
use serde::Serialize;
use updraft_store::query::health::{Heartbeat, heartbeats};
use utoipa::ToSchema;

use crate::{App, time::Timestamp};

/// A process that said nothing for this long is unhealthy (`[scheduler] scheduler_health_check_threshold`), seconds.
const THRESHOLD: f64 = 30.0;

#[derive(Serialize, ToSchema)]
pub(crate) struct BaseInfoResponse {
    status: Option<&'static str>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SchedulerInfoResponse {
    status: Option<&'static str>,
    latest_scheduler_heartbeat: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TriggererInfoResponse {
    status: Option<&'static str>,
    latest_triggerer_heartbeat: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DagProcessorInfoResponse {
    status: Option<&'static str>,
    latest_dag_processor_heartbeat: Option<String>,
}

/// Always 200; the parts say how they are.
#[derive(Serialize, ToSchema)]
pub(crate) struct HealthInfoResponse {
    metadatabase: BaseInfoResponse,
    scheduler: SchedulerInfoResponse,
    triggerer: TriggererInfoResponse,
    dag_processor: Option<DagProcessorInfoResponse>,
}

/// Health of the database and of the processes.
#[utoipa::path(get, path = "/monitor/health", tag = "Monitor", responses((status = 200, body = HealthInfoResponse)))]
pub(crate) async fn get_health(State(app): State<App>) -> Json<HealthInfoResponse> {
    Json(health(&app).await)
}

/// How the parts are now.
pub(crate) async fn health(app: &App) -> HealthInfoResponse {
    let known = async { heartbeats(&mut *app.store.pool().acquire().await?).await }.await;
    let (database, known) = match known {
        Ok(known) => ("healthy", known),
        Err(error) => {
            tracing::warn!(%error, "the database does not answer the health check");
            ("unhealthy", Vec::new())
        }
    };
    let scheduler = part(&known, "SchedulerJob");
    let triggerer = part(&known, "TriggererJob");
    let dag_processor = part(&known, "DagProcessorJob");
    HealthInfoResponse {
        metadatabase: BaseInfoResponse { status: Some(database) },
        scheduler: SchedulerInfoResponse {
            // Airflow: a scheduler that never was is unhealthy, the others are merely absent.
            status: Some(scheduler.as_ref().map_or("unhealthy", |(status, _)| status)),
            latest_scheduler_heartbeat: scheduler.map(|(_, heard)| heard),
        },
        triggerer: TriggererInfoResponse {
            status: triggerer.as_ref().map(|(status, _)| *status),
            latest_triggerer_heartbeat: triggerer.map(|(_, heard)| heard),
        },
        dag_processor: Some(DagProcessorInfoResponse {
            status: dag_processor.as_ref().map(|(status, _)| *status),
            latest_dag_processor_heartbeat: dag_processor.map(|(_, heard)| heard),
        }),
    }
}

fn part(known: &[Heartbeat], job_type: &str) -> Option<(&'static str, String)> {
    let beat = known.iter().find(|beat| beat.job_type == job_type)?;
    let alive = beat.state == "running" && beat.age < THRESHOLD;
    Some((if alive { "healthy" } else { "unhealthy" }, Timestamp(beat.latest_heartbeat).isoformat()))
}
