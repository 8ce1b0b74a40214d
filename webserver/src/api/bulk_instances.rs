//! `PATCH …/taskInstances`: many task instances marked, noted and deleted at once; `DELETE …/taskInstances/{task_id}`.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, extract::State};
use serde_json::json;
use sqlx::PgConnection;
use updraft_store::{
    audit,
    query::{dag_runs, task_instances},
    runs::{self, Mutated, Outcome},
};

use super::{
    bulk::{BulkBody, BulkResponse, Subject},
    bulk_below::{self, Below},
    clear::related_runs,
    dag_runs::RunPath,
    dags::UpdateMask,
    mark::{Marks, Named, PatchTaskInstanceBody, masked},
    params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams, described},
    task_instances::{TaskPath, ti_not_found},
    wildcard,
};
use crate::{App, auth::Principal, error::ApiError};

/// The instances of a task in a bulk request.
#[derive(Clone, Debug)]
pub(crate) struct BulkTaskInstanceBody {
    task_id: String,
    /// Absent: all of them.
    map_index: Option<i32>,
    /// When the path says `~`.
    dag_id: Option<String>,
    /// When the path says `~`.
    dag_run_id: Option<String>,
    patch: PatchTaskInstanceBody,
}

type BulkTaskInstances = BulkBody<BulkTaskInstanceBody>;

described!(BulkTaskInstances);

impl FromBody for BulkTaskInstanceBody {
    fn read(body: &mut Body) -> Self {
        Self {
            task_id: body.required_text("task_id").unwrap_or_default(),
            map_index: body.small_int("map_index", -1),
            dag_id: body.text("dag_id"),
            dag_run_id: body.text("dag_run_id"),
            patch: PatchTaskInstanceBody::read(body),
        }
    }
}

/// Mark, note and delete many task instances of a run, or of all (`~`).
#[utoipa::path(patch, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances", tag = "Task Instance",
    params(RunPath), request_body = BulkTaskInstances, responses((status = 200, body = BulkResponse)))]
pub(crate) async fn bulk_task_instances(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<RunPath>,
    JsonBody(body): JsonBody<BulkTaskInstances>,
) -> Result<Json<BulkResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    let marks = Marks { app: &app, principal: &principal, dry_run: false, outcomes: Vec::new() };
    let mut instances = Instances { connection: &mut transaction, path: &path, marks };
    let response = bulk_below::run(body, &mut instances).await?;
    let marks = instances.marks;
    let (dag_id, run_id) = (wildcard(&path.dag_id), wildcard(&path.dag_run_id));
    let entry = audit::Entry {
        event: "bulk_task_instances",
        owner: Some(&principal.name),
        dag_id: dag_id.as_deref(),
        run_id: run_id.as_deref(),
        extra: Some(response.done()),
        ..audit::Entry::default()
    };
    audit::write(&mut transaction, &entry).await?;
    marks.finish(transaction).await?;
    Ok(Json(response))
}

/// Which instance of a mapped task; -1: of one that is not.
pub(crate) struct DeleteQuery {
    map_index: i32,
}

impl FromQuery for DeleteQuery {
    fn read(query: &mut Query) -> Self {
        Self { map_index: query.small_int_or("map_index", i32::MIN, -1) }
    }
}

/// Delete a task instance, whatever its state. The run goes on without it.
#[utoipa::path(delete, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}", tag = "Task Instance",
    params(TaskPath, QueryParams<DeleteQuery>),
    responses((status = 200, body = serde_json::Value), (status = 404)))]
pub(crate) async fn delete_task_instance(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<TaskPath>,
    QueryParams(query): QueryParams<DeleteQuery>,
) -> Result<Json<()>, ApiError> {
    let mut transaction = app.store.begin().await?;
    let named = Named::task(&mut transaction, &path, Some(query.map_index)).await?;
    let outcome = delete(&mut transaction, &principal, &path, &named).await?;
    app.commit(transaction).await?;
    outcome.ring(&app.store);
    Ok(Json(()))
}

/// Deletes what is named, with an audit row for each instance: it is the only trace of them.
async fn delete(
    connection: &mut PgConnection,
    principal: &Principal,
    path: &TaskPath,
    named: &Named,
) -> Result<Outcome, ApiError> {
    let deleted = runs::delete_instances(connection, named.run_key(), &named.keys()).await?;
    let Mutated::Done(outcome) = deleted else { return Err(ti_not_found(path.key(-1))) };
    for row in &named.rows {
        let entry = audit::Entry {
            task_id: Some(&path.task_id),
            map_index: Some(row.map_index),
            try_number: Some(row.try_number),
            ..named.entry("delete_task_instance", principal, json!({"state": row.state, "method": "DELETE"}))
        };
        audit::write(connection, &entry).await?;
    }
    Ok(outcome)
}

/// One request's task instances.
struct Instances<'c, 'a> {
    connection: &'c mut PgConnection,
    path: &'a RunPath,
    marks: Marks<'a>,
}

/// Where instances are: of all map indexes, or of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    map_index: Option<i32>,
}

impl Key {
    fn path(&self) -> TaskPath {
        let Self { dag_id, dag_run_id, task_id, .. } = self.clone();
        TaskPath { dag_id, dag_run_id, task_id }
    }
}

impl Below<BulkTaskInstanceBody> for Instances<'_, '_> {
    type Key = Key;

    const NOT_CREATED: &'static str = "Task instances bulk create is not supported";

    fn key(&self, entity: &Subject<BulkTaskInstanceBody>) -> Result<Key, ApiError> {
        let (dag_id, dag_run_id, task_id, map_index, place) = match entity {
            Subject::Id(id) => (None, None, id, None, "BulkTaskInstanceBody object, not as string"),
            Subject::Whole(body) => {
                (body.dag_id.clone(), body.dag_run_id.clone(), &body.task_id, body.map_index, "request body")
            }
        };
        let or = |own: Option<String>, path: &str| own.filter(|id| !id.is_empty()).unwrap_or_else(|| path.to_owned());
        let (dag_id, dag_run_id) = (or(dag_id, &self.path.dag_id), or(dag_run_id, &self.path.dag_run_id));
        if dag_id == "~" || dag_run_id == "~" {
            return Err(ApiError::BadRequest(format!(
                "When using wildcard in path, dag_id and dag_run_id must be specified in {place} for task_id: {task_id}"
            )));
        }
        Ok(Key { dag_id, dag_run_id, task_id: task_id.clone(), map_index })
    }

    async fn hold(&mut self, wanted: &BTreeMap<Key, Subject<BulkTaskInstanceBody>>) -> Result<BTreeSet<Key>, ApiError> {
        let ids: Vec<(&str, &str)> = wanted.keys().map(|key| (key.dag_id.as_str(), key.dag_run_id.as_str())).collect();
        let keys = dag_runs::keys_of(self.connection, &ids).await?;
        let mut runs: BTreeSet<i64> = keys.values().copied().collect();
        for (key, entity) in wanted {
            runs.extend(self.other_runs(key, entity).await?);
        }
        runs::hold_all(self.connection, &runs.into_iter().collect::<Vec<_>>()).await?;
        let run = |key: &Key| keys.get(&(key.dag_id.clone(), key.dag_run_id.clone())).copied();
        let (found, places): (Vec<&Key>, Vec<_>) =
            wanted.keys().filter_map(|key| Some((key, (run(key)?, key.task_id.as_str(), key.map_index)))).unzip();
        let existing = task_instances::existing(self.connection, &places).await?;
        Ok(found.into_iter().zip(existing).filter(|(_, exists)| *exists).map(|(key, _)| key.clone()).collect())
    }

    fn missing(keys: &[&Key]) -> ApiError {
        let name = |key: &&Key| {
            let Key { dag_id, dag_run_id, task_id, map_index } = key;
            let map_index = map_index.map_or_else(|| "None".to_owned(), |index| index.to_string());
            format!(
                "{{'dag_id': '{dag_id}', 'dag_run_id': '{dag_run_id}', 'task_id': '{task_id}', \
                 'map_index': {map_index}}}"
            )
        };
        let names: Vec<String> = keys.iter().map(name).collect();
        ApiError::not_found(format!("The task instances with these identifiers: [{}] were not found", names.join(", ")))
    }

    async fn update(
        &mut self,
        key: &Key,
        entity: &BulkTaskInstanceBody,
        mask: Option<&[String]>,
    ) -> Result<Vec<String>, ApiError> {
        let body = masked(entity.patch.clone(), &UpdateMask::of(mask))?;
        let named = Named::task(self.connection, &key.path(), key.map_index).await?;
        self.marks.apply(self.connection, &named, &body).await?;
        Ok(names(key, &named))
    }

    async fn delete(&mut self, key: &Key) -> Result<Vec<String>, ApiError> {
        let path = key.path();
        let named = Named::task(self.connection, &path, key.map_index).await?;
        let outcome = delete(self.connection, self.marks.principal, &path, &named).await?;
        self.marks.outcomes.push(outcome);
        Ok(names(key, &named))
    }
}

impl Instances<'_, '_> {
    /// The runs that a mark concerns beside its own. What cannot be has its error when it is marked.
    async fn other_runs(&mut self, key: &Key, entity: &Subject<BulkTaskInstanceBody>) -> Result<Vec<i64>, ApiError> {
        let Subject::Whole(body) = entity else { return Ok(Vec::new()) };
        let (past, future) = body.patch.other_runs();
        if !past && !future {
            return Ok(Vec::new());
        }
        let Some(run) = dag_runs::get(self.connection, &key.dag_id, &key.dag_run_id).await? else {
            return Ok(Vec::new());
        };
        match related_runs(self.connection, &key.dag_id, &run, past, future).await {
            Err(ApiError::BadRequest(_)) => Ok(Vec::new()),
            runs => runs,
        }
    }
}

fn names(key: &Key, named: &Named) -> Vec<String> {
    let Key { dag_id, dag_run_id, task_id, .. } = key;
    named.rows.iter().map(|row| format!("{dag_id}.{dag_run_id}.{task_id}[{}]", row.map_index)).collect()
}
