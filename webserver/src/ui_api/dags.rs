//! `GET /ui/dags`: the list of DAGs, each with its last runs, and why it needs a look.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use updraft_core::dag::Dag;
use updraft_store::{
    query::{
        dag_overview::{self, Activity, Counts, FirstFailure, LastRunRow, OverviewFilter, OverviewRow},
        filter::Page,
    },
    waiting,
};
use utoipa::ToSchema;

use super::{median, reason_json};
use crate::{
    App,
    api::{
        params::{FromQuery, Query, QueryParams},
        words,
    },
    auth::Principal,
    error::ApiError,
    time::Timestamp,
};

/// Runs of each DAG.
const RUNS: i64 = 14;

pub(crate) struct DagListQuery {
    filter: OverviewFilter,
    is_favorite: bool,
    page: Page,
}

impl FromQuery for DagListQuery {
    fn read(query: &mut Query) -> Self {
        Self {
            page: query.page(dag_overview::ORDER_BY, &["name"]),
            is_favorite: query.flag_or("favorite", false),
            filter: OverviewFilter {
                text: query.text("q").filter(|text| !text.trim().is_empty()),
                tags: query.texts("tag"),
                owners: query.texts("owner"),
                activity: query.choice("state", &["failed", "running", "waiting"]).as_deref().and_then(activity),
                paused: query.flag("paused"),
                favorite_of: None,
            },
        }
    }
}

fn activity(word: &str) -> Option<Activity> {
    match word {
        "failed" => Some(Activity::Failed),
        "running" => Some(Activity::Running),
        "waiting" => Some(Activity::Waiting),
        _ => None,
    }
}

/// One of the last runs of a DAG.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DagListRun {
    dag_run_id: String,
    #[schema(value_type = words::DagRunState)]
    state: String,
    #[schema(value_type = words::DagRunType)]
    run_type: String,
    run_after: Timestamp,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
    /// Seconds; null: not over, or never begun.
    duration: Option<f64>,
    /// Task instances that are failed.
    failed_tasks: i32,
}

impl From<LastRunRow> for DagListRun {
    fn from(row: LastRunRow) -> Self {
        Self {
            duration: duration(&row),
            dag_run_id: row.run_id,
            state: row.state,
            run_type: row.run_type,
            run_after: row.run_after.into(),
            start_date: row.start_date.map(Into::into),
            end_date: row.end_date.map(Into::into),
            failed_tasks: row.failed_tasks,
        }
    }
}

fn duration(row: &LastRunRow) -> Option<f64> {
    Some((row.end_date? - row.start_date?).as_seconds_f64())
}

/// Why a DAG needs a look, the gravest reason.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DagListWhy {
    /// `import_error`: its file is broken and the last good version goes on; `failure`: its latest finished run failed; `waiting`.
    #[schema(value_type = WhyKind)]
    kind: &'static str,
    /// In a sentence; null where `reason` says it all.
    text: Option<String>,
    /// Of what waits: the code with its parameters, as `/ui/why` has it.
    #[schema(value_type = Option<Object>)]
    reason: Option<Value>,
    dag_run_id: Option<String>,
    task_id: Option<String>,
}

super::listed! { WhyKind: ["import_error", "failure", "waiting"]; }

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DagListItem {
    dag_id: String,
    dag_display_name: String,
    description: Option<String>,
    is_paused: bool,
    is_favorite: bool,
    tags: Vec<String>,
    owners: Vec<String>,
    timetable_summary: Option<String>,
    timetable_description: Option<String>,
    /// Null: it never compiled.
    timezone: Option<String>,
    next_run_after: Option<Timestamp>,
    has_import_errors: bool,
    fileloc: String,
    relative_fileloc: String,
    /// The last 14, the oldest first.
    runs: Vec<DagListRun>,
    /// Of those that are over, from 0 to 1; null: none is.
    success_rate: Option<f64>,
    /// Of those that are over. Seconds.
    median_duration: Option<f64>,
    why: Option<DagListWhy>,
}

/// How many DAGs there are, whatever the filters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DagListCounts {
    all: i64,
    /// The latest finished run failed.
    failing: i64,
    running: i64,
    waiting: i64,
    paused: i64,
}

impl From<Counts> for DagListCounts {
    fn from(counts: Counts) -> Self {
        let Counts { all, failing, running, waiting, paused } = counts;
        Self { all, failing, running, waiting, paused }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DagListResponse {
    total_entries: i64,
    counts: DagListCounts,
    dags: Vec<DagListItem>,
}

/// The DAGs with their last runs.
///
/// `order_by`: `name`, `failing` (those first), `next_run`, `last_run` (the latest first); `-` before it reverses.
#[utoipa::path(get, path = "/ui/dags", tag = "Updraft", params(QueryParams<DagListQuery>),
    responses((status = 200, body = DagListResponse)))]
pub(crate) async fn get_dag_list(
    State(app): State<App>,
    principal: Principal,
    QueryParams(query): QueryParams<DagListQuery>,
) -> Result<Json<DagListResponse>, ApiError> {
    let favorite_of = query.is_favorite.then(|| principal.name.clone());
    let filter = OverviewFilter { favorite_of, ..query.filter };
    let mut connection = app.connection().await?;
    let found = dag_overview::page(&mut connection, &filter, &query.page).await?;
    let counts = dag_overview::counts(&mut connection, &query.page).await?;
    let facts = Facts::read(&app, &mut connection, &principal.name, &found.rows).await?;
    let dags = found.rows.into_iter().map(|row| facts.item(row)).collect::<Result<_, _>>()?;
    Ok(Json(DagListResponse { total_entries: found.total, counts: counts.into(), dags }))
}

/// What a page shows beside its rows, read for all of them together.
struct Facts {
    compiled: HashMap<i64, Arc<Dag>>,
    favorites: HashSet<i64>,
    /// The latest first.
    runs: HashMap<i64, Vec<LastRunRow>>,
    /// By run.
    failures: HashMap<i64, FirstFailure>,
    /// By bundle and file.
    findings: HashMap<(String, String), String>,
    waiting: HashMap<i64, (updraft_core::explain::Reason, waiting::Example)>,
}

impl Facts {
    async fn read(
        app: &App,
        connection: &mut PgConnection,
        user_name: &str,
        rows: &[OverviewRow],
    ) -> Result<Self, ApiError> {
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let versions: Vec<i64> = rows.iter().filter_map(|row| row.latest_version_id).collect();
        let compiled = app.dags.get_many(&mut *connection, &versions).await?;
        let favorites = dag_overview::favorites(connection, &ids, user_name).await?.into_iter().collect();
        let mut runs: HashMap<i64, Vec<LastRunRow>> = HashMap::new();
        for run in dag_overview::last_runs(connection, &ids, RUNS).await? {
            runs.entry(run.dag_fk).or_default().push(run);
        }
        let failed: Vec<i64> = runs.values().filter_map(|runs| failed(runs)).map(|run| run.id).collect();
        let failures = dag_overview::first_failures(connection, &failed).await?;
        let failures = failures.into_iter().map(|failure| (failure.dag_run_id, failure)).collect();
        let broken = rows.iter().filter(|row| row.has_import_errors);
        let files: Vec<(&str, &str)> = broken.map(|row| (&*row.bundle_name, &*row.relative_fileloc)).collect();
        let findings = dag_overview::file_findings(connection, &files).await?.into_iter();
        let findings = findings.filter_map(|found| Some(((found.bundle_name, found.filename), found.message?)));
        let waiting = waiting::of_dags(connection, app.config.parallelism, &ids).await?;
        Ok(Self { compiled, favorites, runs, failures, findings: findings.collect(), waiting })
    }

    fn item(&self, row: OverviewRow) -> Result<DagListItem, ApiError> {
        let runs = self.runs.get(&row.id).map_or(&[][..], Vec::as_slice);
        let over: Vec<&LastRunRow> = runs.iter().filter(|run| is_over(run)).collect();
        let succeeded = over.iter().filter(|run| run.state == "success").count();
        let success_rate = (!over.is_empty()).then(|| succeeded as f64 / over.len() as f64);
        Ok(DagListItem {
            why: self.why(&row, runs)?,
            is_favorite: self.favorites.contains(&row.id),
            timezone: row
                .latest_version_id
                .and_then(|id| self.compiled.get(&id))
                .map(|dag| dag.timezone.name().to_owned()),
            success_rate,
            median_duration: median(over.iter().filter_map(|run| duration(run)).collect()),
            runs: runs.iter().rev().cloned().map(Into::into).collect(),
            owners: row.owners.split(", ").filter(|owner| !owner.is_empty()).map(str::to_owned).collect(),
            dag_id: row.dag_id,
            dag_display_name: row.dag_display_name,
            description: row.description,
            is_paused: row.is_paused,
            tags: row.tags,
            timetable_summary: row.timetable_summary,
            timetable_description: row.timetable_description,
            next_run_after: row.next_dagrun_create_after.map(Into::into),
            has_import_errors: row.has_import_errors,
            fileloc: row.fileloc,
            relative_fileloc: row.relative_fileloc,
        })
    }

    fn why(&self, row: &OverviewRow, runs: &[LastRunRow]) -> Result<Option<DagListWhy>, ApiError> {
        let why = DagListWhy { kind: "import_error", text: None, reason: None, dag_run_id: None, task_id: None };
        if row.has_import_errors {
            let text = self.findings.get(&(row.bundle_name.clone(), row.relative_fileloc.clone())).cloned();
            return Ok(Some(DagListWhy { text, ..why }));
        }
        if let Some(run) = failed(runs) {
            let failure = self.failures.get(&run.id);
            return Ok(Some(DagListWhy {
                kind: "failure",
                text: failure.and_then(|failure| failure.last_error.clone().or_else(|| failure.failure_reason.clone())),
                dag_run_id: Some(run.run_id.clone()),
                task_id: failure.map(|failure| failure.task_id.clone()),
                ..why
            }));
        }
        let Some((reason, example)) = self.waiting.get(&row.id) else { return Ok(None) };
        Ok(Some(DagListWhy {
            kind: "waiting",
            text: reason.told(),
            reason: Some(reason_json(reason)?),
            dag_run_id: Some(example.run_id.clone()),
            task_id: example.task_id.clone(),
        }))
    }
}

fn is_over(run: &LastRunRow) -> bool {
    matches!(&*run.state, "success" | "failed")
}

/// The latest finished run, if it failed.
fn failed(runs: &[LastRunRow]) -> Option<&LastRunRow> {
    runs.iter().find(|run| is_over(run)).filter(|run| run.state == "failed")
}
