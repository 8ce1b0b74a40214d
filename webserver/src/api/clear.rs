//! `POST /dags/{dag_id}/clearTaskInstances` and `POST …/dagRuns/{dag_run_id}/clear`: run again.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, Postgres, Transaction};
use updraft_core::{
    ids::TaskId,
    plan::{Selection, TaskRef},
};
use updraft_store::{
    audit,
    query::{
        dag_runs::{self, RunRow},
        dags,
        task_instances::{self, TiRow},
    },
    runs::{self, ClearRequest, Mutated, Outcome},
};
use utoipa::ToSchema;

use super::{
    change_runs::entry,
    dag_not_found,
    dag_runs::{DAGRunResponse, RunPath, run_not_found},
    dag_versions::DagPath,
    params::{Body, FromBody, JsonBody, PathParams, described},
    task_instances::{TaskInstanceCollectionResponse, TaskInstanceResponse, respond},
    trigger::NOTE_LENGTH,
};
use crate::{App, auth::Principal, error::ApiError};

/// Which task instances to clear. By default only says which those are.
#[derive(Debug)]
pub(crate) struct ClearTaskInstancesBody {
    dry_run: bool,
    /// Runs from this logical date on; not with `dag_run_id`.
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    only_failed: bool,
    only_running: bool,
    reset_dag_runs: bool,
    /// Task ids, each alone or with a map index.
    task_ids: Option<Vec<(String, Option<i32>)>>,
    dag_run_id: Option<String>,
    include_upstream: bool,
    include_downstream: bool,
    include_future: bool,
    include_past: bool,
    run_on_latest_version: Option<bool>,
    prevent_running_task: bool,
    note: Option<String>,
}

described!(ClearTaskInstancesBody, DAGRunClearBody);

impl FromBody for ClearTaskInstancesBody {
    fn read(body: &mut Body) -> Self {
        let read = Self {
            dry_run: body.flag("dry_run", true),
            start_date: body.time("start_date", false),
            end_date: body.time("end_date", false),
            only_failed: body.flag("only_failed", true),
            only_running: body.flag("only_running", false),
            reset_dag_runs: body.flag("reset_dag_runs", true),
            task_ids: body.task_ids("task_ids"),
            dag_run_id: body.text("dag_run_id"),
            include_upstream: body.flag("include_upstream", false),
            include_downstream: body.flag("include_downstream", false),
            include_future: body.flag("include_future", false),
            include_past: body.flag("include_past", false),
            run_on_latest_version: body.optional_flag("run_on_latest_version"),
            prevent_running_task: body.flag("prevent_running_task", false),
            note: body.short_text("note", NOTE_LENGTH),
        };
        if read.start_date.zip(read.end_date).is_some_and(|(start, end)| start > end) {
            body.refuse_whole("end_date is sooner than start_date");
        }
        if read.dag_run_id.is_some() && (read.start_date.is_some() || read.end_date.is_some()) {
            body.refuse_whole("Exactly one of dag_run_id or (start_date and end_date) must be provided");
        }
        if (read.include_past || read.include_future) && read.dag_run_id.is_none() {
            body.refuse_whole("dag_run_id is required when include_past or include_future is set");
        }
        read
    }
}

impl ClearTaskInstancesBody {
    fn selection(&self) -> Selection {
        Selection {
            tasks: self.task_ids.as_ref().map(|ids| {
                ids.iter().map(|(id, map_index)| TaskRef { task_id: id.clone(), map_index: *map_index }).collect()
            }),
            include_upstream: self.include_upstream,
            include_downstream: self.include_downstream,
            only_failed: self.only_failed,
            only_running: self.only_running,
        }
    }
}

/// How to clear a whole run. By default only says what that would be.
#[derive(Debug)]
pub(crate) struct DAGRunClearBody {
    pub(super) dry_run: bool,
    pub(super) only_failed: bool,
    pub(super) only_new: bool,
    pub(super) run_on_latest_version: Option<bool>,
    pub(super) note: Option<String>,
}

impl FromBody for DAGRunClearBody {
    fn read(body: &mut Body) -> Self {
        let read = Self {
            dry_run: body.flag("dry_run", true),
            only_failed: body.flag("only_failed", false),
            only_new: body.flag("only_new", false),
            run_on_latest_version: body.optional_flag("run_on_latest_version"),
            note: body.short_text("note", NOTE_LENGTH),
        };
        if read.only_failed && read.only_new {
            body.refuse_whole("only_failed and only_new are mutually exclusive");
        }
        read
    }
}

impl DAGRunClearBody {
    /// Everything of a run.
    pub(super) fn whole(dry_run: bool) -> Self {
        Self { dry_run, only_failed: false, only_new: false, run_on_latest_version: None, note: None }
    }
}

/// A task of the latest DAG version that a run does not have yet.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewTaskResponse {
    task_id: String,
    task_display_name: String,
}

/// What a dry run of a clear would touch: instances that there are, or, with `only_new`, tasks that would be added.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum WouldClear {
    Instance(Box<TaskInstanceResponse>),
    New(NewTaskResponse),
}

/// What a dry run of a run's clear would touch.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClearTaskInstanceCollectionResponse {
    task_instances: Vec<WouldClear>,
    total_entries: i64,
}

impl ClearTaskInstanceCollectionResponse {
    pub(super) fn new(task_instances: Vec<WouldClear>) -> Self {
        Self { total_entries: task_instances.len() as i64, task_instances }
    }
}

/// Clear task instances of one run or of several.
#[utoipa::path(post, path = "/dags/{dag_id}/clearTaskInstances", tag = "Task Instance", params(DagPath),
    request_body = ClearTaskInstancesBody,
    responses((status = 200, body = TaskInstanceCollectionResponse), (status = 400), (status = 404), (status = 409)))]
pub(crate) async fn post_clear_task_instances(
    State(app): State<App>,
    principal: Principal,
    PathParams(DagPath { dag_id }): PathParams<DagPath>,
    JsonBody(body): JsonBody<ClearTaskInstancesBody>,
) -> Result<Json<TaskInstanceCollectionResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    let keys = runs_of(&mut transaction, &dag_id, &body).await?;
    let mut clear = Clear {
        app: &app,
        principal: &principal,
        selection: body.selection(),
        reset_dag_run: body.reset_dag_runs,
        dry_run: body.dry_run,
        prevent_running_task: body.prevent_running_task,
        run_on_latest_version: body.run_on_latest_version,
        outcomes: Vec::new(),
    };
    let mut rows = Vec::new();
    for key in keys {
        let mut cleared = clear.run(&mut transaction, key).await?;
        if let Some(note) = body.note.as_deref().filter(|_| !body.dry_run) {
            let instances: Vec<(TaskId, i32)> =
                cleared.iter().map(|row| (row.task_id.clone().into(), row.map_index)).collect();
            task_instances::set_note(&mut transaction, key, &instances, note, &principal.name).await?;
            cleared = task_instances::again(&mut transaction, &cleared).await?;
        }
        rows.extend(cleared);
    }
    let task_instances = respond(&app, &mut transaction, rows, TaskInstanceResponse::new).await?;
    if !body.dry_run {
        let extra = json!({
            "dag_run_id": body.dag_run_id, "start_date": body.start_date, "end_date": body.end_date,
            "task_ids": body.task_ids, "only_failed": body.only_failed, "only_running": body.only_running,
            "include_upstream": body.include_upstream, "include_downstream": body.include_downstream,
            "include_past": body.include_past, "include_future": body.include_future,
            "reset_dag_runs": body.reset_dag_runs, "cleared": task_instances.len(),
        });
        let entry = audit::Entry {
            event: "post_clear_task_instances",
            owner: Some(&principal.name),
            dag_id: Some(&dag_id),
            run_id: body.dag_run_id.as_deref(),
            extra: Some(extra),
            ..audit::Entry::default()
        };
        audit::write(&mut transaction, &entry).await?;
    }
    clear.finish(transaction).await?;
    Ok(Json(TaskInstanceCollectionResponse::complete(task_instances)))
}

/// Clear a run.
#[utoipa::path(post, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/clear", tag = "DagRun", params(RunPath),
    request_body = DAGRunClearBody,
    responses((status = 200, body = ClearedRun), (status = 400), (status = 404)))]
pub(crate) async fn clear_dag_run(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<RunPath>,
    JsonBody(body): JsonBody<DAGRunClearBody>,
) -> Result<Response, ApiError> {
    let mut transaction = app.store.begin().await?;
    let run = dag_runs::get(&mut transaction, &path.dag_id, &path.dag_run_id).await?;
    let run = run.ok_or_else(|| run_not_found(&path))?;
    let mut clear = Clear::of_runs(&app, &principal, &body);
    let cleared = clear.whole(&mut transaction, &run, &body).await?;
    if body.dry_run {
        let would = cleared.respond(&app, &mut transaction).await?;
        return Ok(Json(ClearTaskInstanceCollectionResponse::new(would)).into_response());
    }
    audit::write(&mut transaction, &entry("clear_dag_run", &principal, &run, cleared.told(&body))).await?;
    let run = dag_runs::get_by_key(&mut transaction, run.id).await?.ok_or_else(|| run_not_found(&path))?;
    clear.finish(transaction).await?;
    Ok(Json(DAGRunResponse::from(run)).into_response())
}

/// What a clear of whole runs touched, or would.
pub(super) enum Cleared {
    Instances(Vec<TiRow>),
    /// `only_new`: tasks that a run lacked.
    New {
        dag_id: String,
        tasks: Vec<TaskId>,
    },
}

impl Cleared {
    /// For the audit trail.
    pub(super) fn told(&self, body: &DAGRunClearBody) -> Value {
        match self {
            Self::Instances(rows) => json!({"only_failed": body.only_failed, "note": body.note, "cleared": rows.len()}),
            Self::New { tasks, .. } => {
                let added: Vec<&str> = tasks.iter().map(TaskId::as_str).collect();
                json!({"only_new": true, "added": added, "note": body.note})
            }
        }
    }

    /// The answer to a dry run.
    pub(super) async fn respond(self, app: &App, connection: &mut PgConnection) -> Result<Vec<WouldClear>, ApiError> {
        let (dag_id, tasks) = match self {
            Self::Instances(rows) => {
                let rows = respond(app, connection, rows, TaskInstanceResponse::new).await?;
                return Ok(rows.into_iter().map(|row| WouldClear::Instance(Box::new(row))).collect());
            }
            Self::New { dag_id, tasks } => (dag_id, tasks),
        };
        let dag = dags::get(connection, &dag_id).await?;
        let dag = match dag.and_then(|dag| dag.latest_version_id) {
            Some(version) => Some(app.dags.get(connection, version).await?),
            None => None,
        };
        let named = tasks.into_iter().map(|task_id| {
            let task = dag.as_ref().and_then(|dag| dag.task(task_id.as_str()));
            WouldClear::New(NewTaskResponse {
                task_display_name: task.map_or_else(|| task_id.to_string(), |task| task.task_display_name.clone()),
                task_id: task_id.to_string(),
            })
        });
        Ok(named.collect())
    }
}

/// The keys of the runs that a body means, in the order of their locks.
async fn runs_of(
    transaction: &mut Transaction<'static, Postgres>,
    dag_id: &str,
    body: &ClearTaskInstancesBody,
) -> Result<Vec<i64>, ApiError> {
    if !dags::exists(transaction, dag_id).await? {
        return Err(dag_not_found(dag_id));
    }
    let Some(run_id) = &body.dag_run_id else {
        return Ok(dag_runs::keys_between(transaction, dag_id, body.start_date, body.end_date, None).await?);
    };
    let path = RunPath { dag_id: dag_id.to_owned(), dag_run_id: run_id.clone() };
    let run: RunRow = dag_runs::get(transaction, dag_id, run_id).await?.ok_or_else(|| run_not_found(&path))?;
    related_runs(transaction, dag_id, &run, body.include_past, body.include_future).await
}

/// The run, with `past` also those before it and with `future` those after, in the order of their locks.
pub(super) async fn related_runs(
    connection: &mut PgConnection,
    dag_id: &str,
    run: &RunRow,
    past: bool,
    future: bool,
) -> Result<Vec<i64>, ApiError> {
    if !past && !future {
        return Ok(vec![run.id]);
    }
    let date = run.logical_date.ok_or_else(|| {
        let text = "Cannot use include_past or include_future with a DAG run that has no logical_date";
        ApiError::BadRequest(text.to_owned())
    })?;
    let start = (!past).then_some(date);
    let end = (!future).then_some(date);
    Ok(dag_runs::keys_between(connection, dag_id, start, end, Some(run.id)).await?)
}

/// One request's clear over its runs.
pub(super) struct Clear<'a> {
    app: &'a App,
    principal: &'a Principal,
    selection: Selection,
    reset_dag_run: bool,
    dry_run: bool,
    prevent_running_task: bool,
    run_on_latest_version: Option<bool>,
    outcomes: Vec<Outcome>,
}

impl<'a> Clear<'a> {
    /// A clear of whole runs.
    pub(super) fn of_runs(app: &'a App, principal: &'a Principal, body: &DAGRunClearBody) -> Self {
        Self {
            app,
            principal,
            selection: Selection { only_failed: body.only_failed, ..Selection::default() },
            reset_dag_run: true,
            dry_run: body.dry_run,
            prevent_running_task: false,
            run_on_latest_version: body.run_on_latest_version,
            outcomes: Vec::new(),
        }
    }

    /// Clears a whole run and notes what the body says; with `only_new` nothing is cleared, the tasks that the run lacks are
    /// added and it is queued for them.
    pub(super) async fn whole(
        &mut self,
        connection: &mut PgConnection,
        run: &RunRow,
        body: &DAGRunClearBody,
    ) -> Result<Cleared, ApiError> {
        let cleared = if body.only_new {
            let Self { app, principal, dry_run, .. } = *self;
            let by = &principal.name;
            let added = runs::add_new_tasks(connection, &app.classes, &app.dags, run.id, dry_run, by).await?;
            let path = || RunPath { dag_id: run.dag_id.clone(), dag_run_id: run.run_id.clone() };
            let Mutated::Done(outcome) = added else { return Err(run_not_found(&path())) };
            let tasks = outcome.instances.iter().map(|(task_id, _)| task_id.clone()).collect();
            self.outcomes.push(outcome);
            Cleared::New { dag_id: run.dag_id.clone(), tasks }
        } else {
            Cleared::Instances(self.run(connection, run.id).await?)
        };
        if let Some(note) = body.note.as_deref().filter(|_| !body.dry_run) {
            dag_runs::set_note(connection, run.id, note, &self.principal.name).await?;
        }
        Ok(cleared)
    }

    /// Clears one run and returns its instances as they are now; in a dry run, those that would be cleared.
    pub(super) async fn run(&mut self, connection: &mut PgConnection, key: i64) -> Result<Vec<TiRow>, ApiError> {
        if self.prevent_running_task {
            let rows = self.clear(connection, key, true).await?;
            if let Some(running) = rows.iter().find(|row| row.state == "running") {
                let TiRow { dag_id, run_id, task_id, .. } = running;
                return Err(ApiError::Conflict(format!(
                    "Task instance {dag_id}.{task_id} of run {run_id} is running; it was not cleared"
                )));
            }
        }
        self.clear(connection, key, self.dry_run).await
    }

    async fn clear(&mut self, connection: &mut PgConnection, key: i64, dry_run: bool) -> Result<Vec<TiRow>, ApiError> {
        let request = ClearRequest {
            dag_run_id: key,
            selection: self.selection.clone(),
            reset_dag_run: self.reset_dag_run,
            dry_run,
            run_on_latest_version: self.run_on_latest_version,
            by: &self.principal.name,
        };
        match runs::clear(connection, &self.app.classes, &self.app.dags, &request).await? {
            // Deleted since it was looked up: nothing to clear.
            Mutated::NoRun => Ok(Vec::new()),
            Mutated::Done(outcome) => {
                let rows = task_instances::of_instances(connection, key, &outcome.instances).await?;
                self.outcomes.push(outcome);
                Ok(rows)
            }
        }
    }

    pub(super) async fn finish(self, transaction: Transaction<'static, Postgres>) -> Result<(), ApiError> {
        if self.dry_run {
            // Only locks were taken; dropping the transaction gives them back.
            return Ok(());
        }
        self.app.commit(transaction).await?;
        for outcome in &self.outcomes {
            outcome.ring(&self.app.store);
        }
        Ok(())
    }
}

/// What the clear of a run answers: a dry one what it would touch, a real one the run.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the two answers, each of which is made where it is known")]
pub(crate) enum ClearedRun {
    DryRun(ClearTaskInstanceCollectionResponse),
    Done(Box<DAGRunResponse>),
}
