//! `GET /ui/import_errors`: broken files, what is wrong with each and where.

use std::collections::HashMap;

use axum::{Json, extract::State};
use serde::Serialize;
use updraft_core::diagnostic::{Excerpted, Severity, SourceLine};
use updraft_store::query::{
    filter::Page,
    import_errors::{self, ImportErrorFilter, ImportErrorRow},
    needs::{self, BrokenRow},
};
use utoipa::ToSchema;

use crate::{
    App,
    api::params::{FromQuery, Query, QueryParams},
    error::ApiError,
    time::Timestamp,
};

pub(crate) struct FileErrorsQuery {
    page: Page,
}

impl FromQuery for FileErrorsQuery {
    fn read(query: &mut Query) -> Self {
        Self { page: query.page(import_errors::ORDER_BY, &["-timestamp"]) }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExcerptLine {
    line: u32,
    text: String,
}

impl From<SourceLine> for ExcerptLine {
    fn from(line: SourceLine) -> Self {
        Self { line: line.line, text: line.text }
    }
}

/// One finding. Lines and columns count from 1, columns in characters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileFindingResponse {
    /// A stable word, which the documentation explains.
    code: String,
    /// `error` or `warning`.
    severity: &'static str,
    /// Another file that it is in: one that is included.
    file: Option<String>,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
    dag_id: Option<String>,
    task_id: Option<String>,
    message: String,
    help: Option<String>,
    /// The lines around it.
    excerpt: Vec<ExcerptLine>,
}

impl From<Excerpted> for FileFindingResponse {
    fn from(found: Excerpted) -> Self {
        let Excerpted { diagnostic, excerpt } = found;
        Self {
            code: diagnostic.kind,
            severity: match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            file: diagnostic.file,
            line: diagnostic.line,
            column: diagnostic.column,
            end_line: diagnostic.end_line,
            end_column: diagnostic.end_column,
            dag_id: diagnostic.dag_id,
            task_id: diagnostic.task_id,
            message: diagnostic.message,
            help: diagnostic.help,
            excerpt: excerpt.into_iter().map(Into::into).collect(),
        }
    }
}

/// A broken file.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileErrorsResponse {
    import_error_id: i64,
    filename: String,
    bundle_name: String,
    timestamp: Timestamp,
    /// Of its DAG, the version that goes on; null: none ever loaded, or it has several DAGs.
    last_good_version: Option<i32>,
    /// The DAGs of the file whose last good versions go on.
    dag_ids: Vec<String>,
    errors: Vec<FileFindingResponse>,
    /// The same in words.
    stack_trace: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileErrorsCollectionResponse {
    total_entries: i64,
    items: Vec<FileErrorsResponse>,
}

/// The broken files with their findings.
#[utoipa::path(get, path = "/ui/import_errors", tag = "Updraft", params(QueryParams<FileErrorsQuery>),
    responses((status = 200, body = FileErrorsCollectionResponse)))]
pub(crate) async fn get_file_errors(
    State(app): State<App>,
    QueryParams(query): QueryParams<FileErrorsQuery>,
) -> Result<Json<FileErrorsCollectionResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let found = import_errors::page(&mut connection, &ImportErrorFilter::default(), &query.page).await?;
    let broken = if found.rows.is_empty() { Vec::new() } else { needs::of_broken_files(&mut connection).await? };
    let broken = by_file(&broken);
    let item = |row: ImportErrorRow| {
        let dags = broken.get(&(&*row.bundle_name, &*row.filename)).map_or(&[][..], Vec::as_slice);
        Ok(FileErrorsResponse {
            errors: findings(&row)?.into_iter().map(Into::into).collect(),
            last_good_version: if let [only] = dags { only.version_number } else { None },
            dag_ids: dags.iter().map(|dag| dag.dag_id.clone()).collect(),
            import_error_id: row.id,
            filename: row.filename.clone(),
            bundle_name: row.bundle_name.clone(),
            timestamp: row.timestamp.into(),
            stack_trace: row.stacktrace.clone(),
        })
    };
    let items = found.rows.into_iter().map(item).collect::<Result<_, ApiError>>()?;
    Ok(Json(FileErrorsCollectionResponse { total_entries: found.total, items }))
}

/// What was found in the file.
pub(super) fn findings(row: &ImportErrorRow) -> Result<Vec<Excerpted>, ApiError> {
    serde_json::from_value(row.diagnostics.clone()).map_err(ApiError::internal)
}

/// The DAGs by bundle and file.
pub(super) fn by_file(rows: &[BrokenRow]) -> HashMap<(&str, &str), Vec<&BrokenRow>> {
    let mut found: HashMap<(&str, &str), Vec<&BrokenRow>> = HashMap::new();
    for row in rows {
        found.entry((&row.bundle_name, &row.relative_fileloc)).or_default().push(row);
    }
    found
}
