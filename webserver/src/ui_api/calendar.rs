//! `GET /ui/calendar/{dag_id}`: a DAG's runs by day or hour.

use axum::{Json, extract::State};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use updraft_core::timetable::{is_zone, zone_of};
use updraft_store::{
    dags as clock,
    query::calendar::{self, CalendarCell, Granularity},
};
use utoipa::ToSchema;

use super::schedule::upcoming;
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

/// Without `from`, this many days up to `to`.
const DAYS: i64 = 366;
/// Runs to come that are foreseen, at most.
const PLANNED: usize = 2_000;

pub(crate) struct CalendarQuery {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    granularity: Granularity,
    timezone: Option<String>,
}

impl FromQuery for CalendarQuery {
    fn read(query: &mut Query) -> Self {
        let timezone = query.text("timezone");
        if let Some(name) = timezone.as_ref().filter(|name| !is_zone(name)) {
            query.refuse(ApiError::InvalidText(format!("Invalid value for timezone. There is no zone `{name}`")));
        }
        Self {
            from: query.time("from"),
            to: query.time("to"),
            granularity: match query.choice("granularity", &["day", "hour"]).as_deref() {
                Some("hour") => Granularity::Hour,
                _ => Granularity::Day,
            },
            timezone,
        }
    }
}

/// A day or an hour with runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CalendarCellResponse {
    start: Timestamp,
    success: i64,
    failed: i64,
    running: i64,
    queued: i64,
    /// Runs to come.
    planned: i64,
}

impl From<CalendarCell> for CalendarCellResponse {
    fn from(cell: CalendarCell) -> Self {
        let CalendarCell { start, success, failed, running, queued, planned } = cell;
        Self { start: start.into(), success, failed, running, queued, planned }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CalendarResponse {
    /// On whose clock days begin.
    timezone: String,
    /// Those that are not empty, in order.
    cells: Vec<CalendarCellResponse>,
}

/// A DAG's runs by day or hour, by when they were due, and those to come (at most 2,000).
///
/// Without `from` and `to` the 366 days up to a month ahead; without `timezone` on the schedule's clock.
#[utoipa::path(get, path = "/ui/calendar/{dag_id}", tag = "Updraft", params(DagPath, QueryParams<CalendarQuery>),
    responses((status = 200, body = CalendarResponse), (status = 404)))]
pub(crate) async fn get_calendar(
    State(app): State<App>,
    PathParams(path): PathParams<DagPath>,
    QueryParams(query): QueryParams<CalendarQuery>,
) -> Result<Json<CalendarResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let row = dags::find(&mut connection, &path.dag_id).await?;
    let dag = dags::compiled(&app, &mut connection, &row).await?.ok_or_else(|| dags::missing(&path.dag_id))?;
    let now = clock::now(&mut connection).await?;
    let to = query.to.unwrap_or(now + TimeDelta::days(31));
    let from = query.from.unwrap_or(to - TimeDelta::days(DAYS));
    let planned: Vec<DateTime<Utc>> = if row.is_paused {
        Vec::new()
    } else {
        let instants = upcoming(&dag, &row, now).map(|next| next.run.run_after);
        instants.take(PLANNED).take_while(|at| *at < to).filter(|at| *at >= from).collect()
    };
    let timezone = query.timezone.unwrap_or_else(|| zone_of(&dag.schedule, dag.timezone).name().to_owned());
    let cells =
        calendar::cells(&mut connection, &path.dag_id, (from, to), query.granularity, &timezone, &planned).await?;
    Ok(Json(CalendarResponse { timezone, cells: cells.into_iter().map(Into::into).collect() }))
}
