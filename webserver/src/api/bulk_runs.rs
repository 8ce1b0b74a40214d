//! `PATCH /dags/{dag_id}/dagRuns`: many runs marked, noted and deleted at once.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, extract::State};
use sqlx::PgConnection;
use updraft_core::state::DagRunState;
use updraft_store::{
    audit,
    query::dag_runs,
    runs::{self, Deleted, Mutated, Outcome},
};

use super::{
    bulk::{BulkBody, BulkResponse, Subject},
    bulk_below::{self, Below},
    change_runs::{MUTABLE_STATES, running_conflict},
    dag_runs::{RunPath, run_not_found},
    dag_versions::DagPath,
    params::{Body, FromBody, JsonBody, PathParams, described},
    trigger::NOTE_LENGTH,
    wildcard,
};
use crate::{App, auth::Principal, error::ApiError};

/// One run of a bulk request.
#[derive(Clone, Debug)]
pub(crate) struct BulkDAGRunBody {
    pub(super) dag_run_id: String,
    /// When the path says `~`.
    pub(super) dag_id: Option<String>,
    state: Option<String>,
    note: Option<String>,
}

type BulkDagRuns = BulkBody<BulkDAGRunBody>;

described!(BulkDagRuns);

impl FromBody for BulkDAGRunBody {
    fn read(body: &mut Body) -> Self {
        Self {
            dag_run_id: body.required_text("dag_run_id").unwrap_or_default(),
            dag_id: body.text("dag_id"),
            state: body.word("state", MUTABLE_STATES),
            note: body.short_text("note", NOTE_LENGTH),
        }
    }
}

impl BulkDAGRunBody {
    /// Where the run is, of a request to that path.
    pub(super) fn path(&self, dag_id: &str) -> Result<RunPath, ApiError> {
        let dag_id = self.dag_id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| dag_id.to_owned());
        if dag_id == "~" || self.dag_run_id == "~" {
            return Err(ApiError::BadRequest(format!(
                "When using wildcard in path, dag_id must be specified in request body for dag_run_id: {}",
                self.dag_run_id
            )));
        }
        Ok(RunPath { dag_id, dag_run_id: self.dag_run_id.clone() })
    }
}

/// Mark, note and delete many runs of a DAG, or of all (`~`).
#[utoipa::path(patch, path = "/dags/{dag_id}/dagRuns", tag = "DagRun", params(DagPath), request_body = BulkDagRuns,
    responses((status = 200, body = BulkResponse)))]
pub(crate) async fn bulk_dag_runs(
    State(app): State<App>,
    principal: Principal,
    PathParams(DagPath { dag_id }): PathParams<DagPath>,
    JsonBody(body): JsonBody<BulkDagRuns>,
) -> Result<Json<BulkResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    let mut runs = Runs {
        app: &app,
        principal: &principal,
        connection: &mut transaction,
        dag_id: &dag_id,
        keys: BTreeMap::new(),
        marked: Vec::new(),
        deleted: Vec::new(),
    };
    let response = bulk_below::run(body, &mut runs).await?;
    let Runs { marked, deleted, .. } = runs;
    let dag_id = wildcard(&dag_id);
    let entry = audit::Entry {
        event: "bulk_dag_runs",
        owner: Some(&principal.name),
        dag_id: dag_id.as_deref(),
        extra: Some(response.done()),
        ..audit::Entry::default()
    };
    audit::write(&mut transaction, &entry).await?;
    app.commit(transaction).await?;
    for outcome in &marked {
        outcome.ring(&app.store);
    }
    for gone in &deleted {
        gone.ring(&app.store);
    }
    Ok(Json(response))
}

/// One request's runs.
struct Runs<'a> {
    app: &'a App,
    principal: &'a Principal,
    connection: &'a mut PgConnection,
    /// Of the path; `~`: each entity says its own.
    dag_id: &'a str,
    /// The inside keys of the runs that are held.
    keys: BTreeMap<(String, String), i64>,
    marked: Vec<Outcome>,
    deleted: Vec<Deleted>,
}

/// DAG id and run id.
type Key = (String, String);

impl Below<BulkDAGRunBody> for Runs<'_> {
    type Key = Key;

    const NOT_CREATED: &'static str =
        "Dag Runs bulk create is not supported. Use the trigger Dag Run endpoint instead.";

    fn key(&self, entity: &Subject<BulkDAGRunBody>) -> Result<Key, ApiError> {
        match entity {
            Subject::Whole(run) => run.path(self.dag_id).map(|path| (path.dag_id, path.dag_run_id)),
            Subject::Id(id) if self.dag_id == "~" || id == "~" => Err(ApiError::BadRequest(format!(
                "When using wildcard in path, dag_id must be specified in BulkDAGRunBody object, not as string for \
                 dag_run_id: {id}"
            ))),
            Subject::Id(id) => Ok((self.dag_id.to_owned(), id.clone())),
        }
    }

    async fn hold(&mut self, wanted: &BTreeMap<Key, Subject<BulkDAGRunBody>>) -> Result<BTreeSet<Key>, ApiError> {
        let ids: Vec<(&str, &str)> = wanted.keys().map(|(dag_id, run_id)| (dag_id.as_str(), run_id.as_str())).collect();
        let found = dag_runs::keys_of(self.connection, &ids).await?;
        let keys: Vec<i64> = found.values().copied().collect();
        runs::hold_all(self.connection, &keys).await?;
        let existing = found.keys().cloned().collect();
        self.keys.extend(found);
        Ok(existing)
    }

    fn missing(keys: &[&Key]) -> ApiError {
        let keys: Vec<String> = keys.iter().map(|(dag_id, run_id)| format!("('{dag_id}', '{run_id}')")).collect();
        ApiError::not_found(format!("The DagRuns with these identifiers: [{}] were not found", keys.join(", ")))
    }

    async fn update(
        &mut self,
        key: &Key,
        run: &BulkDAGRunBody,
        mask: Option<&[String]>,
    ) -> Result<Vec<String>, ApiError> {
        let allows = |field: &str| mask.is_none_or(|mask| mask.iter().any(|name| name == field));
        let id = self.keys[key];
        let by = &self.principal.name;
        if let Some(state) = run.state.as_deref().filter(|_| allows("state")) {
            let to: DagRunState = state.parse().map_err(ApiError::internal)?;
            match runs::mark(self.connection, &self.app.classes, &self.app.dags, id, to, by).await? {
                Mutated::Done(outcome) => self.marked.push(outcome),
                Mutated::NoRun => return Err(gone(key)),
            }
        }
        if let Some(note) = run.note.as_deref().filter(|_| allows("note")) {
            dag_runs::set_note(self.connection, id, note, by).await?;
        }
        Ok(vec![name(key)])
    }

    async fn delete(&mut self, key: &Key) -> Result<Vec<String>, ApiError> {
        match runs::delete(self.connection, self.keys[key]).await? {
            Mutated::Done(Some(deleted)) => self.deleted.push(deleted),
            Mutated::Done(None) => return Err(running_conflict(&path(key))),
            Mutated::NoRun => return Err(gone(key)),
        }
        Ok(vec![name(key)])
    }
}

fn path((dag_id, dag_run_id): &Key) -> RunPath {
    RunPath { dag_id: dag_id.clone(), dag_run_id: dag_run_id.clone() }
}

/// The run was there when its lock was asked for.
fn gone(key: &Key) -> ApiError {
    run_not_found(&path(key))
}

fn name((dag_id, run_id): &Key) -> String {
    format!("{dag_id}.{run_id}")
}
