//! `GET /ui/schedule/{dag_id}`: when a DAG's next runs are due.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use updraft_core::{
    dag::Dag,
    timetable::{self, DagRunInfo, DataInterval, Upcoming, description, summary, zone_of},
};
use updraft_store::{dags as clock, query::dags::DagRow};
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        dag_versions::DagPath,
        dags,
        params::{FromQuery, PathParams, Query, QueryParams},
    },
    error::ApiError,
    time::Timestamp,
};

/// Runs, unless the query says how many.
const COUNT: i32 = 10;
/// Runs at most.
const MOST: i32 = 100;

pub(crate) struct ScheduleQuery {
    count: usize,
}

impl FromQuery for ScheduleQuery {
    fn read(query: &mut Query) -> Self {
        Self { count: usize::try_from(query.small_int_or("count", 1, COUNT).min(MOST)).unwrap_or_default() }
    }
}

/// A run to come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpcomingRun {
    run_after: Timestamp,
    data_interval_start: Option<Timestamp>,
    data_interval_end: Option<Timestamp>,
    /// Of `run_after` on the schedule's clock. East of UTC.
    utc_offset_seconds: i32,
    /// The clock was changed since the run before it (of the first: since now).
    dst_change: bool,
}

impl From<Upcoming> for UpcomingRun {
    fn from(next: Upcoming) -> Self {
        Self {
            run_after: next.run.run_after.into(),
            data_interval_start: next.run.data_interval.map(|interval| interval.start.into()),
            data_interval_end: next.run.data_interval.map(|interval| interval.end.into()),
            utc_offset_seconds: next.utc_offset,
            dst_change: next.is_after_change,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduleResponse {
    timezone: String,
    summary: Option<String>,
    description: String,
    is_paused: bool,
    /// Empty: nothing comes by itself at a time that is known.
    next: Vec<UpcomingRun>,
}

/// A DAG's schedule in words, and its next runs; while it is paused, those it would make.
#[utoipa::path(get, path = "/ui/schedule/{dag_id}", tag = "Updraft", params(DagPath, QueryParams<ScheduleQuery>),
    responses((status = 200, body = ScheduleResponse), (status = 404)))]
pub(crate) async fn get_schedule(
    State(app): State<App>,
    PathParams(path): PathParams<DagPath>,
    QueryParams(query): QueryParams<ScheduleQuery>,
) -> Result<Json<ScheduleResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let row = dags::find(&mut connection, &path.dag_id).await?;
    let dag = dags::compiled(&app, &mut connection, &row).await?.ok_or_else(|| dags::missing(&path.dag_id))?;
    let now = clock::now(&mut connection).await?;
    Ok(Json(ScheduleResponse {
        timezone: zone_of(&dag.schedule, dag.timezone).name().to_owned(),
        summary: summary(&dag.schedule),
        description: description(&dag.schedule),
        is_paused: row.is_paused,
        next: upcoming(&dag, &row, now).take(query.count).map(Into::into).collect(),
    }))
}

/// The runs to come of a DAG as it is stored.
pub(super) fn upcoming(dag: &Dag, row: &DagRow, now: DateTime<Utc>) -> impl Iterator<Item = Upcoming> {
    let interval = row.next_dagrun_data_interval_start.zip(row.next_dagrun_data_interval_end);
    let stored = row.next_dagrun_create_after.map(|run_after| DagRunInfo {
        run_after,
        logical_date: row.next_dagrun,
        data_interval: interval.map(|(start, end)| DataInterval { start, end }),
    });
    timetable::upcoming(dag, stored, timetable::restriction(dag), now)
}
