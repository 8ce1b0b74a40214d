//! `PATCH | DELETE /dags/{dag_id}/dagRuns/{dag_run_id}`: mark a run, note something, delete it.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::json;
use updraft_core::state::DagRunState;
use updraft_store::{
    audit,
    query::dag_runs::{self, RunRow},
    runs::{self, Mutated},
};

use super::{
    dag_runs::{DAGRunResponse, RunPath, run_not_found},
    dags::UpdateMask,
    params::{Body, FromBody, JsonBody, PathParams, QueryParams, described},
    trigger::NOTE_LENGTH,
};
use crate::{App, auth::Principal, error::ApiError};

/// The states that a user may give a run, and in which it may be deleted.
pub(super) const MUTABLE_STATES: &[&str] = &["queued", "success", "failed"];

/// What may be changed of a run: marked `queued`, `success` or `failed`; an empty note deletes it.
pub(crate) struct DAGRunPatchBody {
    state: Option<String>,
    note: Option<String>,
}

described!(DAGRunPatchBody);

impl FromBody for DAGRunPatchBody {
    fn read(body: &mut Body) -> Self {
        Self { state: body.word("state", MUTABLE_STATES), note: body.short_text("note", NOTE_LENGTH) }
    }
}

/// Mark a run, or note something.
#[utoipa::path(patch, path = "/dags/{dag_id}/dagRuns/{dag_run_id}", tag = "DagRun",
    params(RunPath, QueryParams<UpdateMask>), request_body = DAGRunPatchBody,
    responses((status = 200, body = DAGRunResponse), (status = 400), (status = 404)))]
pub(crate) async fn patch_dag_run(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<RunPath>,
    QueryParams(mask): QueryParams<UpdateMask>,
    JsonBody(body): JsonBody<DAGRunPatchBody>,
) -> Result<Json<DAGRunResponse>, ApiError> {
    if mask.fields().is_some_and(|fields| fields.iter().any(|field| field != "state" && field != "note")) {
        return Err(ApiError::BadRequest("Only `state` and `note` fields can be updated".to_owned()));
    }
    let state = body.state.as_deref().filter(|_| mask.allows("state"));
    let note = body.note.as_deref().filter(|_| mask.allows("note"));
    let mut transaction = app.store.begin().await?;
    let run = dag_runs::get(&mut transaction, &path.dag_id, &path.dag_run_id).await?;
    let run = run.ok_or_else(|| run_not_found(&path))?;
    let mut outcome = None;
    if let Some(state) = state {
        let to: DagRunState = state.parse().map_err(ApiError::internal)?;
        match runs::mark(&mut transaction, &app.classes, &app.dags, run.id, to, &principal.name).await? {
            Mutated::Done(done) => outcome = Some(done),
            Mutated::NoRun => return Err(run_not_found(&path)),
        }
    }
    if let Some(note) = note {
        dag_runs::set_note(&mut transaction, run.id, note, &principal.name).await?;
    }
    let extra = json!({"state": state, "note": note, "method": "PATCH"});
    audit::write(&mut transaction, &entry("patch_dag_run", &principal, &run, extra)).await?;
    let run = dag_runs::get_by_key(&mut transaction, run.id).await?.ok_or_else(|| run_not_found(&path))?;
    app.commit(transaction).await?;
    if let Some(outcome) = outcome {
        outcome.ring(&app.store);
    }
    Ok(Json(run.into()))
}

/// Delete a run that is not running, with all it left.
#[utoipa::path(delete, path = "/dags/{dag_id}/dagRuns/{dag_run_id}", tag = "DagRun", params(RunPath),
    responses((status = 204), (status = 404), (status = 409)))]
pub(crate) async fn delete_dag_run(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<RunPath>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    let run = dag_runs::get(&mut transaction, &path.dag_id, &path.dag_run_id).await?;
    let run = run.ok_or_else(|| run_not_found(&path))?;
    let deleted = match runs::delete(&mut transaction, run.id).await? {
        Mutated::Done(Some(deleted)) => deleted,
        Mutated::Done(None) => return Err(running_conflict(&path)),
        Mutated::NoRun => return Err(run_not_found(&path)),
    };
    audit::write(&mut transaction, &entry("delete_dag_run", &principal, &run, json!({"method": "DELETE"}))).await?;
    app.commit(transaction).await?;
    deleted.ring(&app.store);
    Ok(StatusCode::NO_CONTENT)
}

/// The 409 of a run that is running and was to be deleted.
pub(super) fn running_conflict(RunPath { dag_id, dag_run_id }: &RunPath) -> ApiError {
    ApiError::Conflict(format!(
        "The DagRun with dag_id: `{dag_id}` and run_id: `{dag_run_id}` cannot be deleted in running state"
    ))
}

/// The audit row of a change to one run.
pub(super) fn entry<'a>(
    event: &'a str,
    principal: &'a Principal,
    run: &'a RunRow,
    extra: serde_json::Value,
) -> audit::Entry<'a> {
    audit::Entry {
        event,
        owner: Some(&principal.name),
        dag_id: Some(&run.dag_id),
        run_id: Some(&run.run_id),
        logical_date: run.logical_date,
        extra: Some(extra),
        ..audit::Entry::default()
    }
}
