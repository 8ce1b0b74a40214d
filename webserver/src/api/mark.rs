//! `PATCH …/taskInstances/{task_id}[/{map_index}][/dry_run]`: mark task instances, note something about them.

use axum::{Json, extract::State};
use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};
use updraft_core::{
    ids::TaskId,
    plan::{Selection, TaskRef},
    state::TaskInstanceState,
};
use updraft_store::{
    audit,
    query::{
        dag_runs::{self, RunRow},
        task_instances::{self, TiRow},
    },
    runs::{self, MarkRequest, Mutated, Outcome},
};
use utoipa::ToSchema;

use super::{
    clear::related_runs,
    dag_runs::{RunPath, run_not_found},
    dags::UpdateMask,
    params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams},
    task_instances::{
        MappedPath, TaskInstanceCollectionResponse, TaskInstanceResponse, TaskPath, respond, ti_not_found,
    },
    trigger::NOTE_LENGTH,
};
use crate::{App, auth::Principal, error::ApiError};

/// What may be changed of task instances.
#[derive(Clone, Debug, Default, ToSchema)]
pub(crate) struct PatchTaskInstanceBody {
    /// `success`, `failed` or `skipped`.
    #[schema(value_type = Option<String>)]
    pub(super) new_state: Option<TaskInstanceState>,
    /// An empty one deletes it.
    pub(super) note: Option<String>,
    include_upstream: bool,
    include_downstream: bool,
    include_future: bool,
    include_past: bool,
}

impl FromBody for PatchTaskInstanceBody {
    fn read(body: &mut Body) -> Self {
        Self {
            new_state: read_state(body),
            note: body.short_text("note", NOTE_LENGTH),
            include_upstream: body.flag("include_upstream", false),
            include_downstream: body.flag("include_downstream", false),
            include_future: body.flag("include_future", false),
            include_past: body.flag("include_past", false),
        }
    }
}

/// One of the three states that a user may give, in any case.
fn read_state(body: &mut Body) -> Option<TaskInstanceState> {
    use TaskInstanceState::{Failed, Skipped, Success};
    let text = body.text("new_state")?;
    let state = [Success, Failed, Skipped].into_iter().find(|state| state.as_str().eq_ignore_ascii_case(&text));
    if state.is_none() {
        let msg = format!("Value error, '{text}' is not one of ['failed', 'skipped', 'success']");
        body.refuse("new_state", text.into(), "value_error", &msg);
    }
    state
}

/// `map_index` and `update_mask`.
pub(crate) struct PatchQuery {
    map_index: Option<i32>,
    mask: UpdateMask,
}

impl FromQuery for PatchQuery {
    fn read(query: &mut Query) -> Self {
        Self { map_index: query.small_int("map_index"), mask: UpdateMask::read(query) }
    }
}

/// Mark a task's instances (of a mapped one all, or that of `map_index`), or note something about them.
#[utoipa::path(patch, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}", tag = "Task Instance",
    params(TaskPath, QueryParams<PatchQuery>), request_body = PatchTaskInstanceBody,
    responses((status = 200, body = TaskInstanceCollectionResponse), (status = 400), (status = 404), (status = 409)))]
pub(crate) async fn patch_task_instance(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<TaskPath>,
    QueryParams(query): QueryParams<PatchQuery>,
    JsonBody(body): JsonBody<PatchTaskInstanceBody>,
) -> Result<Json<TaskInstanceCollectionResponse>, ApiError> {
    patch(&app, &principal, &path, query.map_index, masked(body, &query.mask)?, false).await
}

/// Mark one mapped instance, or note something about it.
#[utoipa::path(patch, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}",
    tag = "Task Instance", params(MappedPath, QueryParams<UpdateMask>), request_body = PatchTaskInstanceBody,
    responses((status = 200, body = TaskInstanceCollectionResponse), (status = 400), (status = 404), (status = 409)))]
pub(crate) async fn patch_task_instance_by_map_index(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<MappedPath>,
    QueryParams(mask): QueryParams<UpdateMask>,
    JsonBody(body): JsonBody<PatchTaskInstanceBody>,
) -> Result<Json<TaskInstanceCollectionResponse>, ApiError> {
    let (path, map_index) = path.split();
    patch(&app, &principal, &path, Some(map_index), masked(body, &mask)?, false).await
}

/// Which instances a mark would change.
#[utoipa::path(patch, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/dry_run",
    tag = "Task Instance", params(TaskPath, QueryParams<PatchQuery>), request_body = PatchTaskInstanceBody,
    responses((status = 200, body = TaskInstanceCollectionResponse), (status = 400), (status = 404)))]
pub(crate) async fn patch_task_instance_dry_run(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<TaskPath>,
    QueryParams(query): QueryParams<PatchQuery>,
    JsonBody(body): JsonBody<PatchTaskInstanceBody>,
) -> Result<Json<TaskInstanceCollectionResponse>, ApiError> {
    patch(&app, &principal, &path, query.map_index, masked(body, &query.mask)?, true).await
}

/// Which instances a mark of one mapped instance would change.
#[utoipa::path(patch, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/dry_run",
    tag = "Task Instance", params(MappedPath, QueryParams<UpdateMask>), request_body = PatchTaskInstanceBody,
    responses((status = 200, body = TaskInstanceCollectionResponse), (status = 400), (status = 404)))]
pub(crate) async fn patch_task_instance_dry_run_by_map_index(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<MappedPath>,
    QueryParams(mask): QueryParams<UpdateMask>,
    JsonBody(body): JsonBody<PatchTaskInstanceBody>,
) -> Result<Json<TaskInstanceCollectionResponse>, ApiError> {
    let (path, map_index) = path.split();
    patch(&app, &principal, &path, Some(map_index), masked(body, &mask)?, true).await
}

/// Leaves what the mask names.
fn masked(mut body: PatchTaskInstanceBody, mask: &UpdateMask) -> Result<PatchTaskInstanceBody, ApiError> {
    const FIELDS: [&str; 6] =
        ["new_state", "note", "include_upstream", "include_downstream", "include_future", "include_past"];
    if mask.fields().is_some_and(|fields| fields.iter().any(|field| !FIELDS.contains(&field.as_str()))) {
        return Err(ApiError::BadRequest(format!("update_mask may name {}", FIELDS.join(", "))));
    }
    if !mask.allows("new_state") {
        body.new_state = None;
    }
    if !mask.allows("note") {
        body.note = None;
    }
    Ok(body)
}

async fn patch(
    app: &App,
    principal: &Principal,
    path: &TaskPath,
    map_index: Option<i32>,
    body: PatchTaskInstanceBody,
    dry_run: bool,
) -> Result<Json<TaskInstanceCollectionResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    let mut marks = Marks { app, principal, dry_run, outcomes: Vec::new() };
    let rows = marks.apply(&mut transaction, path, map_index, &body).await?;
    let task_instances = respond(app, &mut transaction, rows, TaskInstanceResponse::new).await?;
    if !dry_run {
        marks.finish(transaction).await?;
    }
    Ok(Json(TaskInstanceCollectionResponse::complete(task_instances)))
}

/// One request's marks; [`Self::finish`] commits and wakes.
pub(super) struct Marks<'a> {
    pub(super) app: &'a App,
    pub(super) principal: &'a Principal,
    pub(super) dry_run: bool,
    pub(super) outcomes: Vec<Outcome>,
}

impl Marks<'_> {
    /// Marks and notes the instances of a task; returns those that were changed, as they are now.
    pub(super) async fn apply(
        &mut self,
        transaction: &mut Transaction<'static, Postgres>,
        path: &TaskPath,
        map_index: Option<i32>,
        body: &PatchTaskInstanceBody,
    ) -> Result<Vec<TiRow>, ApiError> {
        let not_found = || run_not_found(&RunPath { dag_id: path.dag_id.clone(), dag_run_id: path.dag_run_id.clone() });
        let run = dag_runs::get(transaction, &path.dag_id, &path.dag_run_id).await?.ok_or_else(not_found)?;
        let named = task_instances::of_task(transaction, run.id, &path.task_id, map_index).await?;
        if named.is_empty() {
            return Err(ti_not_found(path.key(map_index.unwrap_or(-1))));
        }
        let mut rows = Vec::new();
        if let Some(to) = body.new_state {
            rows = self.mark(transaction, &run, path, map_index, body, to).await?;
        }
        if let Some(note) = body.note.as_deref().filter(|_| !self.dry_run) {
            let keys: Vec<(TaskId, i32)> =
                named.iter().map(|row| (row.task_id.clone().into(), row.map_index)).collect();
            task_instances::set_note(transaction, run.id, &keys, note, &self.principal.name).await?;
        }
        if rows.is_empty() {
            rows = named;
        }
        if !self.dry_run {
            self.audit(transaction, &run, path, map_index, body).await?;
            rows = task_instances::again(transaction, &rows).await?;
        }
        Ok(rows)
    }

    async fn mark(
        &mut self,
        transaction: &mut Transaction<'static, Postgres>,
        run: &RunRow,
        path: &TaskPath,
        map_index: Option<i32>,
        body: &PatchTaskInstanceBody,
        to: TaskInstanceState,
    ) -> Result<Vec<TiRow>, ApiError> {
        let mut rows = Vec::new();
        for key in related_runs(transaction, &path.dag_id, run, body.include_past, body.include_future).await? {
            let request = MarkRequest {
                dag_run_id: key,
                selection: Selection {
                    tasks: Some(vec![TaskRef { task_id: path.task_id.clone(), map_index }]),
                    include_upstream: body.include_upstream,
                    include_downstream: body.include_downstream,
                    ..Selection::default()
                },
                to,
                dry_run: self.dry_run,
                by: &self.principal.name,
            };
            // A run that was deleted since it was looked up has nothing to mark.
            if let Mutated::Done(outcome) =
                runs::mark_instances(transaction, &self.app.classes, &self.app.dags, &request).await?
            {
                rows.extend(task_instances::of_instances(transaction, key, &outcome.instances).await?);
                self.outcomes.push(outcome);
            }
        }
        if rows.is_empty() && !self.dry_run {
            let TaskPath { dag_id, dag_run_id, task_id } = path;
            let text = format!("Task id {task_id} of run {dag_run_id} of Dag {dag_id} is already in {to} state");
            return Err(ApiError::Conflict(text));
        }
        Ok(rows)
    }

    async fn audit(
        &self,
        transaction: &mut Transaction<'static, Postgres>,
        run: &RunRow,
        path: &TaskPath,
        map_index: Option<i32>,
        body: &PatchTaskInstanceBody,
    ) -> Result<(), ApiError> {
        let extra: Value = json!({
            "new_state": body.new_state.map(TaskInstanceState::as_str), "note": body.note,
            "include_upstream": body.include_upstream, "include_downstream": body.include_downstream,
            "include_future": body.include_future, "include_past": body.include_past,
        });
        let entry = audit::Entry {
            event: "patch_task_instance",
            owner: Some(&self.principal.name),
            dag_id: Some(&path.dag_id),
            run_id: Some(&path.dag_run_id),
            task_id: Some(&path.task_id),
            map_index,
            try_number: None,
            logical_date: run.logical_date,
            extra: Some(extra),
        };
        Ok(audit::write(transaction, &entry).await?)
    }

    pub(super) async fn finish(self, transaction: Transaction<'static, Postgres>) -> Result<(), ApiError> {
        self.app.commit(transaction).await?;
        for outcome in &self.outcomes {
            outcome.ring(&self.app.store);
        }
        Ok(())
    }
}
