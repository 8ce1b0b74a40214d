//! `PATCH …/taskInstances/{task_id}[/{map_index}][/dry_run]`: mark task instances, note something about them.

use axum::{Json, extract::State};
use serde_json::{Value, json};
use sqlx::{PgConnection, Postgres, Transaction};
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

use super::{
    change_runs,
    clear::related_runs,
    dag_runs::{RunPath, run_not_found},
    dags::UpdateMask,
    params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams, described},
    task_groups::GroupPath,
    task_instances::{
        MappedPath, TaskInstanceCollectionResponse, TaskInstanceResponse, TaskPath, respond, ti_not_found,
    },
    trigger::NOTE_LENGTH,
};
use crate::{App, auth::Principal, error::ApiError};

/// What may be changed of task instances.
#[derive(Clone, Debug, Default)]
pub(crate) struct PatchTaskInstanceBody {
    /// `success`, `failed` or `skipped`.
    pub(super) new_state: Option<TaskInstanceState>,
    /// An empty one deletes it.
    pub(super) note: Option<String>,
    include_upstream: bool,
    include_downstream: bool,
    include_future: bool,
    include_past: bool,
}

described!(PatchTaskInstanceBody);

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
    let states: Vec<&str> = TaskInstanceState::ALL.iter().filter_map(|state| state.api()).collect();
    let text = body.listed_text("new_state", &states)?;
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
pub(super) fn masked(mut body: PatchTaskInstanceBody, mask: &UpdateMask) -> Result<PatchTaskInstanceBody, ApiError> {
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
    let named = Named::task(&mut transaction, path, map_index).await?;
    let mut marks = Marks { app, principal, dry_run, outcomes: Vec::new() };
    let rows = marks.apply(&mut transaction, &named, &body).await?;
    let task_instances = respond(app, &mut transaction, rows, TaskInstanceResponse::new).await?;
    if !dry_run {
        let entry = audit::Entry {
            task_id: Some(&path.task_id),
            map_index,
            try_number: named.try_number(),
            ..named.entry("patch_task_instance", principal, body.params())
        };
        audit::write(&mut transaction, &entry).await?;
        marks.finish(transaction).await?;
    }
    Ok(Json(TaskInstanceCollectionResponse::complete(task_instances)))
}

/// The instances of one run that a request names.
pub(super) struct Named {
    run: RunRow,
    pub(super) tasks: Vec<TaskRef>,
    pub(super) rows: Vec<TiRow>,
    /// How a 409 begins: `… is already in success state`.
    whose: String,
}

impl Named {
    /// A task's, or the one of `map_index`.
    pub(super) async fn task(
        connection: &mut PgConnection,
        path: &TaskPath,
        map_index: Option<i32>,
    ) -> Result<Self, ApiError> {
        let TaskPath { dag_id, dag_run_id, task_id } = path;
        let run = Self::run(connection, dag_id, dag_run_id).await?;
        let rows = task_instances::of_task(connection, run.id, task_id, map_index).await?;
        if rows.is_empty() {
            return Err(ti_not_found(path.key(map_index.unwrap_or(-1))));
        }
        let whose = format!("Task id {task_id} of run {dag_run_id} of Dag {dag_id} is");
        Ok(Self { run, tasks: vec![TaskRef { task_id: task_id.clone(), map_index }], rows, whose })
    }

    /// Those of the tasks of a group, which `None` says the DAG does not have.
    pub(super) async fn group(
        connection: &mut PgConnection,
        path: &GroupPath,
        tasks: Option<Vec<String>>,
    ) -> Result<Self, ApiError> {
        let GroupPath { dag_id, dag_run_id, group_id } = path;
        let tasks =
            tasks.ok_or_else(|| ApiError::not_found(format!("Task group '{group_id}' not found in DAG '{dag_id}'")))?;
        let run = Self::run(connection, dag_id, dag_run_id).await?;
        let rows =
            if tasks.is_empty() { Vec::new() } else { task_instances::of_tasks(connection, run.id, &tasks).await? };
        if rows.is_empty() {
            return Err(ApiError::not_found(format!(
                "No task instances found for task group '{group_id}' in dag run '{dag_run_id}'"
            )));
        }
        let tasks = tasks.iter().map(|task_id| task_id.as_str().into()).collect();
        Ok(Self { run, tasks, rows, whose: "All task instances in the group are".to_owned() })
    }

    async fn run(connection: &mut PgConnection, dag_id: &str, dag_run_id: &str) -> Result<RunRow, ApiError> {
        let path = || RunPath { dag_id: dag_id.to_owned(), dag_run_id: dag_run_id.to_owned() };
        dag_runs::get(connection, dag_id, dag_run_id).await?.ok_or_else(|| run_not_found(&path()))
    }

    /// Task and map index of each.
    pub(super) fn keys(&self) -> Vec<(TaskId, i32)> {
        self.rows.iter().map(|row| (row.task_id.clone().into(), row.map_index)).collect()
    }

    /// The inside key of the run.
    pub(super) fn run_key(&self) -> i64 {
        self.run.id
    }

    /// When one instance is named, its try.
    pub(super) fn try_number(&self) -> Option<i32> {
        match self.rows.as_slice() {
            [one] => Some(one.try_number),
            _ => None,
        }
    }

    /// The audit row of a change to them.
    pub(super) fn entry<'a>(&'a self, event: &'a str, principal: &'a Principal, extra: Value) -> audit::Entry<'a> {
        change_runs::entry(event, principal, &self.run, extra)
    }
}

impl PatchTaskInstanceBody {
    /// For the audit trail.
    pub(super) fn params(&self) -> Value {
        json!({
            "new_state": self.new_state.map(TaskInstanceState::as_str), "note": self.note,
            "include_upstream": self.include_upstream, "include_downstream": self.include_downstream,
            "include_future": self.include_future, "include_past": self.include_past,
        })
    }

    /// Whether other runs are concerned too: those before, those after.
    pub(super) fn other_runs(&self) -> (bool, bool) {
        (self.include_past, self.include_future)
    }
}

/// One request's marks; [`Self::finish`] commits and wakes.
pub(super) struct Marks<'a> {
    pub(super) app: &'a App,
    pub(super) principal: &'a Principal,
    pub(super) dry_run: bool,
    pub(super) outcomes: Vec<Outcome>,
}

impl Marks<'_> {
    /// Marks and notes what is named; returns what was changed, as it is now.
    pub(super) async fn apply(
        &mut self,
        connection: &mut PgConnection,
        named: &Named,
        body: &PatchTaskInstanceBody,
    ) -> Result<Vec<TiRow>, ApiError> {
        let mut rows = Vec::new();
        if let Some(to) = body.new_state {
            rows = self.mark(connection, named, body, to).await?;
        }
        if self.dry_run {
            // A dry run of a note alone shows what would be noted, one of a state only what would be marked.
            return Ok(if body.new_state.is_some() { rows } else { named.rows.clone() });
        }
        if let Some(note) = &body.note {
            task_instances::set_note(connection, named.run.id, &named.keys(), note, &self.principal.name).await?;
        }
        let changed = if rows.is_empty() { &named.rows } else { &rows };
        Ok(task_instances::again(connection, changed).await?)
    }

    async fn mark(
        &mut self,
        connection: &mut PgConnection,
        named: &Named,
        body: &PatchTaskInstanceBody,
        to: TaskInstanceState,
    ) -> Result<Vec<TiRow>, ApiError> {
        let mut rows = Vec::new();
        let (dag_id, run) = (&named.run.dag_id, &named.run);
        for key in related_runs(connection, dag_id, run, body.include_past, body.include_future).await? {
            let request = MarkRequest {
                dag_run_id: key,
                selection: Selection {
                    tasks: Some(named.tasks.clone()),
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
                runs::mark_instances(connection, &self.app.classes, &self.app.dags, &request).await?
            {
                rows.extend(task_instances::of_instances(connection, key, &outcome.instances).await?);
                self.outcomes.push(outcome);
            }
        }
        if rows.is_empty() && !self.dry_run {
            return Err(ApiError::Conflict(format!("{} already in {to} state", named.whose)));
        }
        Ok(rows)
    }

    pub(super) async fn finish(self, transaction: Transaction<'static, Postgres>) -> Result<(), ApiError> {
        self.app.commit(transaction).await?;
        for outcome in &self.outcomes {
            outcome.ring(&self.app.store);
        }
        Ok(())
    }
}
