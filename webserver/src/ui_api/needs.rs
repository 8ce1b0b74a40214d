//! What needs somebody, for the first page: failures, broken files, questions, the newest first.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use updraft_core::{dag::Dag, diagnostic::Severity};
use updraft_store::query::{
    filter::Page,
    import_errors::{self, ImportErrorFilter, ImportErrorRow},
    needs::{self, BrokenRow, FailureRow, QuestionRow},
};
use utoipa::ToSchema;

use super::import_errors::{by_file, findings};
use crate::{App, api::words, error::ApiError, time::Timestamp};

/// Things that are shown, at most.
const SHOWN: usize = 50;

/// A task that failed in its DAG's last run with failures, which no later run has mended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NeedsFailure {
    dag_id: String,
    dag_run_id: String,
    /// May be `success`: a run is green when what comes last is.
    #[schema(value_type = words::DagRunState)]
    run_state: String,
    run_after: Timestamp,
    #[schema(value_type = words::DagRunType)]
    run_type: String,
    /// Null, like what follows: the run failed and none of its tasks did.
    task_id: Option<String>,
    task_display_name: Option<String>,
    failed_instances: i64,
    /// How many instances the task has.
    instances: i64,
    /// Of the first that failed.
    map_index: Option<i32>,
    try_number: Option<i32>,
    max_tries: Option<i32>,
    end_date: Option<Timestamp>,
    failure_class: Option<String>,
    failure_reason: Option<String>,
    /// The last line of its standard error; of Python the exception.
    last_error: Option<String>,
    hostname: Option<String>,
}

/// A file that cannot be read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NeedsFile {
    import_error_id: i64,
    filename: String,
    bundle_name: String,
    /// Of the first error, with the column and the message.
    line: Option<u32>,
    column: Option<u32>,
    message: String,
    timestamp: Timestamp,
    /// The DAGs whose last good versions go on.
    dag_ids: Vec<String>,
}

/// A question that nobody has answered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NeedsAnswer {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    map_index: i32,
    subject: String,
    since: Timestamp,
    deadline: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum NeedsItem {
    Failure(NeedsFailure),
    ImportError(NeedsFile),
    Approval(NeedsAnswer),
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NeedsResponse {
    /// Of what is beyond the items, each failed run counts once.
    total: i64,
    /// At most 50, the newest first.
    items: Vec<NeedsItem>,
}

impl NeedsFailure {
    fn new(row: FailureRow, dag: Option<&Dag>) -> Self {
        let task = row.task_id.as_deref().and_then(|id| dag?.task(id));
        Self {
            task_display_name: task.map(|task| task.task_display_name.clone()).or_else(|| row.task_id.clone()),
            dag_id: row.dag_id,
            dag_run_id: row.run_id,
            run_state: row.run_state,
            run_after: row.run_after.into(),
            run_type: row.run_type,
            task_id: row.task_id,
            failed_instances: row.failed_instances,
            instances: row.instances,
            map_index: row.map_index,
            try_number: row.try_number,
            max_tries: row.max_tries,
            end_date: row.end_date.or(row.run_end_date).map(Into::into),
            failure_class: row.failure_class,
            failure_reason: row.failure_reason,
            last_error: row.last_error,
            hostname: row.hostname.filter(|name| !name.is_empty()),
        }
    }
}

impl NeedsFile {
    fn new(row: &ImportErrorRow, dags: &[&BrokenRow]) -> Result<Self, ApiError> {
        let found = findings(row)?;
        let error = found.iter().map(|found| &found.diagnostic).find(|found| found.severity == Severity::Error);
        Ok(Self {
            import_error_id: row.id,
            filename: row.filename.clone(),
            bundle_name: row.bundle_name.clone(),
            line: error.map(|error| error.line),
            column: error.map(|error| error.column),
            message: error.map_or_else(|| row.stacktrace.clone(), |error| error.message.clone()),
            timestamp: row.timestamp.into(),
            dag_ids: dags.iter().map(|dag| dag.dag_id.clone()).collect(),
        })
    }
}

impl From<QuestionRow> for NeedsAnswer {
    fn from(row: QuestionRow) -> Self {
        Self {
            dag_id: row.dag_id,
            dag_run_id: row.run_id,
            task_id: row.task_id,
            map_index: row.map_index,
            subject: row.subject,
            since: row.since.into(),
            deadline: row.deadline.map(Into::into),
        }
    }
}

/// Reads all of it.
pub(super) async fn read(app: &App, connection: &mut PgConnection) -> Result<NeedsResponse, ApiError> {
    let failures = needs::failures(connection, SHOWN as i64).await?;
    let page = Page { limit: SHOWN as i64, totals: app.totals.clone(), ..newest_first() };
    let files = import_errors::page(connection, &ImportErrorFilter::default(), &page).await?;
    let broken = if files.rows.is_empty() { Vec::new() } else { needs::of_broken_files(connection).await? };
    let questions = needs::questions(connection, SHOWN as i64).await?;
    let versions: Vec<i64> = failures.iter().map(|row| row.dag_version_id).collect();
    let compiled: HashMap<i64, Arc<Dag>> = app.dags.get_many(&mut *connection, &versions).await?;

    let runs_shown = failures.chunk_by(|one, other| one.dag_id == other.dag_id).count() as i64;
    let more_runs = failures.first().map_or(0, |row| row.total_runs - runs_shown);
    let more_questions = questions.first().map_or(0, |row| row.total - questions.len() as i64);
    let more_files = files.total - files.rows.len() as i64;
    let mut items: Vec<(Option<DateTime<Utc>>, NeedsItem)> = Vec::new();
    for row in failures {
        let dag = compiled.get(&row.dag_version_id).map(Arc::as_ref);
        items.push((row.end_date.or(row.run_end_date), NeedsItem::Failure(NeedsFailure::new(row, dag))));
    }
    let broken = by_file(&broken);
    for row in &files.rows {
        let dags = broken.get(&(&*row.bundle_name, &*row.filename)).map_or(&[][..], Vec::as_slice);
        items.push((Some(row.timestamp), NeedsItem::ImportError(NeedsFile::new(row, dags)?)));
    }
    items.extend(questions.into_iter().map(|row| (Some(row.since), NeedsItem::Approval(row.into()))));
    let total = items.len() as i64 + more_runs + more_files + more_questions;
    items.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    Ok(NeedsResponse { total, items: items.into_iter().take(SHOWN).map(|(_, item)| item).collect() })
}

fn newest_first() -> Page {
    let &(_, expression, kind) =
        import_errors::ORDER_BY.iter().find(|(name, ..)| *name == "timestamp").expect("it is one of them");
    let order = updraft_store::query::filter::Order { expression, kind, descending: true };
    Page { order: vec![order], ..Page::default() }
}
