//! `GET /jobs`: schedulers, triggerers and DAG processors, those that ended too.

use axum::{Json, extract::State};
use serde::Serialize;
use updraft_store::query::{
    filter::Page,
    jobs::{self, JobFilter, JobRow},
};
use utoipa::ToSchema;

use super::params::{FromQuery, Query, QueryParams};
use crate::{App, error::ApiError, time::Timestamp};

pub(crate) struct JobsQuery {
    filter: JobFilter,
    page: Page,
}

impl FromQuery for JobsQuery {
    fn read(query: &mut Query) -> Self {
        Self {
            page: query.page(jobs::ORDER_BY, &["id"]),
            filter: JobFilter {
                is_alive: query.flag("is_alive"),
                start_date: query.times("start_date"),
                end_date: query.times("end_date"),
                job_state: query.text("job_state"),
                job_type: query.text("job_type"),
                hostname: query.text("hostname"),
                executor_class: query.text("executor_class"),
            },
        }
    }
}

/// A process, or a loop of one that answers for itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobResponse {
    id: i64,
    dag_id: Option<String>,
    state: Option<String>,
    job_type: Option<String>,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
    latest_heartbeat: Option<Timestamp>,
    executor_class: Option<String>,
    hostname: Option<String>,
    unixname: Option<String>,
    dag_display_name: Option<String>,
}

impl From<JobRow> for JobResponse {
    fn from(row: JobRow) -> Self {
        Self {
            id: row.id,
            dag_id: None,
            state: Some(row.state),
            job_type: Some(row.job_type),
            start_date: Some(row.start_date.into()),
            end_date: row.end_date.map(Into::into),
            latest_heartbeat: Some(row.latest_heartbeat.into()),
            executor_class: None,
            hostname: Some(row.hostname),
            unixname: None,
            dag_display_name: None,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct JobCollectionResponse {
    jobs: Vec<JobResponse>,
    total_entries: i64,
}

/// List jobs.
#[utoipa::path(get, path = "/jobs", tag = "Job", params(QueryParams<JobsQuery>),
    responses((status = 200, body = JobCollectionResponse), (status = 400)))]
pub(crate) async fn get_jobs(
    State(app): State<App>,
    QueryParams(query): QueryParams<JobsQuery>,
) -> Result<Json<JobCollectionResponse>, ApiError> {
    let found = jobs::page(&mut *app.connection().await?, &query.filter, &query.page).await?;
    let jobs = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(JobCollectionResponse { jobs, total_entries: found.total }))
}
