//! `…/hitlDetails`: questions to people, and their answers.

use std::collections::HashMap;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use updraft_core::{
    param,
    state::TaskInstanceState,
    triggerer::hitl::{self as rules, Answer, BadAnswer, Question, User},
};
use updraft_store::{
    audit, hitl as questions,
    query::{
        filter::Page,
        hitl::{self, HitlFilter, HitlRow},
        task_instances::{self, TiPath, TiRow},
    },
    wake::Signal,
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    dag_runs::RunPath,
    params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams, described},
    task_instances::{MappedPath, TaskInstanceResponse, respond},
    tries::TaskInstanceHistoryResponse,
    wildcard,
};
use crate::{App, auth::Principal, error::ApiError, time::Timestamp};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct HitlTryPath {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    map_index: i32,
    try_number: i32,
}

pub(crate) struct HitlQuery {
    filter: HitlFilter,
    page: Page,
}

impl FromQuery for HitlQuery {
    fn read(query: &mut Query) -> Self {
        let states: Vec<&str> = TaskInstanceState::ALL.iter().filter_map(|state| state.api()).collect();
        Self {
            page: query.page(hitl::ORDER_BY, &["ti_id"]),
            filter: HitlFilter {
                dag_id: None,
                run_id: None,
                dag_id_pattern: query.pattern("dag_id"),
                task_id: query.text("task_id"),
                task_id_pattern: query.pattern("task_id"),
                map_index: query.small_int("map_index"),
                state: query.words("state", &states, &["none", "no_status"]),
                response_received: query.flag("response_received"),
                responded_by_user_id: query.texts("responded_by_user_id"),
                responded_by_user_name: query.texts("responded_by_user_name"),
                subject: query.search("subject_search"),
                body: query.search("body_search"),
                created_at: query.times("created_at"),
            },
        }
    }
}

/// The answer to a question.
pub(crate) struct UpdateHITLDetailPayload {
    chosen_options: Vec<String>,
    params_input: Map<String, Value>,
}

described!(UpdateHITLDetailPayload);

impl FromBody for UpdateHITLDetailPayload {
    fn read(body: &mut Body) -> Self {
        body.ignore_others();
        Self { chosen_options: body.some_texts("chosen_options"), params_input: body.object_or_empty("params_input") }
    }
}

/// A person.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct HITLUser {
    id: String,
    name: String,
}

impl From<User> for HITLUser {
    fn from(user: User) -> Self {
        Self { id: user.id, name: user.name }
    }
}

/// A question, whose task, and the answer where there is one.
#[derive(Serialize, ToSchema)]
pub(crate) struct HITLDetail {
    #[serde(flatten)]
    question: Shown,
    task_instance: TaskInstanceResponse,
}

/// A question of an earlier try.
#[derive(Serialize, ToSchema)]
pub(crate) struct HITLDetailHistory {
    #[serde(flatten)]
    question: Shown,
    task_instance: TaskInstanceHistoryResponse,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Shown {
    #[schema(min_items = 1)]
    options: Vec<String>,
    subject: String,
    body: Option<String>,
    defaults: Option<Vec<String>>,
    multiple: bool,
    #[schema(value_type = Object)]
    params: Value,
    assigned_users: Vec<HITLUser>,
    created_at: Timestamp,
    responded_by_user: Option<HITLUser>,
    responded_at: Option<Timestamp>,
    chosen_options: Option<Vec<String>>,
    #[schema(value_type = Object)]
    params_input: Value,
    response_received: bool,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct HITLDetailCollection {
    hitl_details: Vec<HITLDetail>,
    total_entries: i64,
}

/// An answer, as it was taken.
#[derive(Serialize, ToSchema)]
pub(crate) struct HITLDetailResponse {
    responded_by: HITLUser,
    responded_at: Timestamp,
    #[schema(min_items = 1)]
    chosen_options: Vec<String>,
    #[schema(value_type = Object)]
    params_input: Map<String, Value>,
}

impl Shown {
    fn new(row: HitlRow) -> Result<Self, ApiError> {
        Ok(Self {
            options: row.options,
            subject: row.subject,
            body: row.body,
            defaults: row.defaults,
            multiple: row.multiple,
            params: row.params,
            assigned_users: serde_json::from_value(row.assigned_users).map_err(ApiError::internal)?,
            created_at: row.created_at.into(),
            responded_by_user: row.responded_by.map(serde_json::from_value).transpose().map_err(ApiError::internal)?,
            response_received: row.responded_at.is_some(),
            responded_at: row.responded_at.map(Into::into),
            chosen_options: row.chosen_options,
            params_input: row.params_input.unwrap_or_else(|| json!({})),
        })
    }
}

/// List questions; `~` stands for all DAGs and for all runs.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/hitlDetails", tag = "Task Instance",
    params(RunPath, QueryParams<HitlQuery>), responses((status = 200, body = HITLDetailCollection), (status = 400)))]
pub(crate) async fn get_hitl_details(
    State(app): State<App>,
    PathParams(path): PathParams<RunPath>,
    QueryParams(query): QueryParams<HitlQuery>,
) -> Result<Json<HITLDetailCollection>, ApiError> {
    let mut connection = app.connection().await?;
    let filter = HitlFilter { dag_id: wildcard(&path.dag_id), run_id: wildcard(&path.dag_run_id), ..query.filter };
    let found = hitl::page(&mut connection, &filter, &query.page).await?;
    let (runs, ids): (Vec<i64>, Vec<Uuid>) = found.rows.iter().map(|row| (row.dag_run_id, row.attempt_id)).unzip();
    let instances = task_instances::of_attempts(&mut connection, &runs, &ids).await?;
    let shown =
        respond(&app, &mut connection, instances, |row, dag| (row.attempt_id, TaskInstanceResponse::new(row, dag)))
            .await?;
    let mut instances: HashMap<_, _> = shown.into_iter().collect();
    let mut hitl_details = Vec::with_capacity(found.rows.len());
    for row in found.rows {
        // Cleared between the two reads: it is listed no more.
        let Some(task_instance) = instances.remove(&row.attempt_id) else { continue };
        hitl_details.push(HITLDetail { question: Shown::new(row)?, task_instance });
    }
    Ok(Json(HITLDetailCollection { hitl_details, total_entries: found.total }))
}

/// What a task instance asks.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails",
    tag = "Task Instance", params(MappedPath), responses((status = 200, body = HITLDetail), (status = 404)))]
pub(crate) async fn get_hitl_detail(
    State(app): State<App>,
    PathParams(path): PathParams<MappedPath>,
) -> Result<Json<HITLDetail>, ApiError> {
    let mut connection = app.connection().await?;
    let instance = task_instances::get(&mut connection, path.key()).await?.ok_or_else(|| not_found(path.key()))?;
    let row = hitl::get(&mut connection, instance.dag_run_key, instance.attempt_id).await?;
    let question = Shown::new(row.ok_or_else(|| asks_nothing(&instance))?)?;
    let mut shown = respond(&app, &mut connection, vec![instance], TaskInstanceResponse::new).await?;
    Ok(Json(HITLDetail { question, task_instance: shown.remove(0) }))
}

/// What a try of a task instance asked.
#[utoipa::path(get,
    path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails/tries/{try_number}",
    tag = "Task Instance", params(HitlTryPath), responses((status = 200, body = HITLDetailHistory), (status = 404)))]
pub(crate) async fn get_hitl_detail_try_detail(
    State(app): State<App>,
    PathParams(path): PathParams<HitlTryPath>,
) -> Result<Json<HITLDetailHistory>, ApiError> {
    let HitlTryPath { dag_id, dag_run_id, task_id, map_index, try_number } = &path;
    let key = TiPath { dag_id, run_id: dag_run_id, task_id, map_index: *map_index };
    let mut connection = app.connection().await?;
    let tries = task_instances::tries(&mut connection, key).await?;
    let instance = tries.into_iter().rev().find(|row| row.try_number == *try_number).ok_or_else(|| not_found(key))?;
    let row = hitl::get(&mut connection, instance.dag_run_key, instance.attempt_id).await?;
    let question = Shown::new(row.ok_or_else(|| asks_nothing(&instance))?)?;
    let mut shown = respond(&app, &mut connection, vec![instance], TaskInstanceHistoryResponse::new).await?;
    Ok(Json(HITLDetailHistory { question, task_instance: shown.remove(0) }))
}

/// Answer a question; the first answer counts.
#[utoipa::path(patch, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails",
    tag = "Task Instance", params(MappedPath), request_body = UpdateHITLDetailPayload,
    responses((status = 200, body = HITLDetailResponse), (status = 400), (status = 403), (status = 404), (status = 409)))]
pub(crate) async fn update_hitl_detail(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<MappedPath>,
    JsonBody(body): JsonBody<UpdateHITLDetailPayload>,
) -> Result<Json<HITLDetailResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    let instance = task_instances::get(&mut transaction, path.key()).await?.ok_or_else(|| not_found(path.key()))?;
    // The attempt's lock before the question is read: of two answers the second reads the first.
    let woken = questions::wake(&mut transaction, instance.attempt_id).await?;
    let asked = questions::find(&mut transaction, instance.dag_run_key, instance.attempt_id).await?;
    let asked = asked.ok_or_else(|| asks_nothing(&instance))?;
    let id = instance.attempt_id;
    if asked.answer.is_some() {
        return Err(ApiError::Conflict(format!(
            "Human-in-the-loop detail has already been updated for Task Instance with id {id} and is not allowed to \
             write again."
        )));
    }
    let Some(now) = woken else {
        return Err(ApiError::Conflict(format!("The Task Instance with id {id} no longer waits for an answer.")));
    };
    let user = User { id: principal.name.clone(), name: principal.name.clone() };
    rules::check(&asked.question, &body.chosen_options, &body.params_input, &user).map_err(|bad| match bad {
        BadAnswer::NotAssigned { .. } => ApiError::Forbidden(bad.to_string().into()),
        BadAnswer::Invalid(text) => ApiError::BadRequest(text),
    })?;
    let params_input = rules::inputs(&asked.question, &body.params_input);
    check_inputs(&asked.question, &params_input)?;
    let answer = Answer { chosen_options: body.chosen_options, params_input, by: Some(user.clone()), at: now };
    if !questions::answer(&mut transaction, instance.dag_run_key, id, &answer).await? {
        return Err(ApiError::internal("an open question was answered under its lock"));
    }
    let entry = audit::Entry {
        event: "update_hitl_detail",
        owner: Some(&principal.name),
        dag_id: Some(&instance.dag_id),
        run_id: Some(&instance.run_id),
        task_id: Some(&instance.task_id),
        map_index: Some(instance.map_index),
        try_number: Some(instance.try_number),
        logical_date: instance.logical_date,
        // Which fields, not what is in them: they may hold secrets.
        extra: Some(json!({
            "chosen_options": answer.chosen_options,
            "params_input": answer.params_input.keys().collect::<Vec<_>>(),
            "method": "PATCH",
        })),
    };
    audit::write(&mut transaction, &entry).await?;
    app.commit(transaction).await?;
    app.store.wake().ring(Signal::Trigger);
    Ok(Json(HITLDetailResponse {
        responded_by: user.into(),
        responded_at: answer.at.into(),
        chosen_options: answer.chosen_options,
        params_input: answer.params_input,
    }))
}

/// Every field must fit its schema.
fn check_inputs(question: &Question, inputs: &Map<String, Value>) -> Result<(), ApiError> {
    for (name, param) in &question.params {
        let schema = match &param["schema"] {
            Value::Null => continue,
            schema => schema,
        };
        let validator = param::validator(schema)
            .map_err(|error| ApiError::BadRequest(format!("The schema of the field {name} is not valid: {error}")))?;
        validator
            .validate(inputs.get(name).unwrap_or(&Value::Null))
            .map_err(|error| ApiError::BadRequest(format!("Invalid input for field {name}: {error}")))?;
    }
    Ok(())
}

fn not_found(key: TiPath<'_>) -> ApiError {
    let TiPath { dag_id, run_id, task_id, map_index } = key;
    ApiError::not_found(format!(
        "The Task Instance with dag_id: `{dag_id}`, run_id: `{run_id}`, task_id: `{task_id}` and map_index: \
         `{map_index}` was not found"
    ))
}

fn asks_nothing(instance: &TiRow) -> ApiError {
    let id = instance.attempt_id;
    ApiError::not_found(format!("Human-in-the-loop detail does not exist for Task Instance with id {id}"))
}
