//! `/backfills`: runs for past dates.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use updraft_core::backfill::{ReprocessBehavior, Request};
use updraft_store::{
    PgConnection, audit,
    backfill::{self, Backfill, Change, CreateError, NewBackfill},
    query::{dags as dag_rows, filter::Page},
    wake::Signal,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    dags::compiled,
    params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams, described},
    trigger::check_params,
    words,
};
use crate::{App, auth::Principal, error::ApiError, time::Timestamp};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct BackfillPath {
    backfill_id: u64,
}

impl BackfillPath {
    /// A number beyond the column's names no backfill either.
    fn id(&self) -> i64 {
        i64::try_from(self.backfill_id).unwrap_or(i64::MAX)
    }
}

pub(crate) struct BackfillsQuery {
    dag_id: String,
    page: Page,
}

impl FromQuery for BackfillsQuery {
    fn read(query: &mut Query) -> Self {
        Self { dag_id: query.required_text("dag_id"), page: query.page(backfill::ORDER_BY, &["id"]) }
    }
}

/// A backfill to make: the DAG's runs from `from_date` to `to_date`, both inclusive.
#[derive(Debug)]
pub(crate) struct BackfillPostBody {
    dag_id: String,
    from_date: DateTime<Utc>,
    to_date: DateTime<Utc>,
    run_backwards: bool,
    dag_run_conf: Option<Map<String, Value>>,
    /// What becomes of runs that exist: `none` leaves them, `failed` runs the failed ones again, `completed` all that ended.
    reprocess_behavior: ReprocessBehavior,
    /// Of the backfill's runs at once, whatever the DAG's own limit.
    max_active_runs: i32,
    run_on_latest_version: Option<bool>,
}

described!(BackfillPostBody);

impl FromBody for BackfillPostBody {
    fn read(body: &mut Body) -> Self {
        body.require("from_date");
        body.require("to_date");
        let behaviors = ReprocessBehavior::ALL.map(ReprocessBehavior::as_str);
        Self {
            dag_id: body.required_text("dag_id").unwrap_or_default(),
            from_date: body.time("from_date", true).unwrap_or_default(),
            to_date: body.time("to_date", true).unwrap_or_default(),
            run_backwards: body.flag("run_backwards", false),
            dag_run_conf: body.object("dag_run_conf"),
            reprocess_behavior: ReprocessBehavior::of(&body.word_or("reprocess_behavior", &behaviors, "none"))
                .unwrap_or_default(),
            max_active_runs: body.small_int_or("max_active_runs", i32::MIN, 10),
            run_on_latest_version: body.optional_flag("run_on_latest_version"),
        }
    }
}

impl BackfillPostBody {
    fn request(&self) -> Request {
        Request {
            from_date: self.from_date,
            to_date: self.to_date,
            run_backwards: self.run_backwards,
            reprocess: self.reprocess_behavior,
            max_active_runs: self.max_active_runs,
        }
    }
}

/// A backfill and how far it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct BackfillResponse {
    #[schema(minimum = 0)]
    id: i64,
    dag_id: String,
    from_date: Timestamp,
    to_date: Timestamp,
    #[schema(value_type = Option<Object>)]
    dag_run_conf: Option<Value>,
    is_paused: bool,
    #[schema(value_type = words::ReprocessBehavior)]
    reprocess_behavior: String,
    max_active_runs: i32,
    created_at: Timestamp,
    completed_at: Option<Timestamp>,
    updated_at: Timestamp,
    dag_display_name: String,
}

impl From<Backfill> for BackfillResponse {
    fn from(row: Backfill) -> Self {
        Self {
            id: row.id,
            dag_id: row.dag_id,
            from_date: row.from_date.into(),
            to_date: row.to_date.into(),
            dag_run_conf: row.dag_run_conf,
            is_paused: row.is_paused,
            reprocess_behavior: row.reprocess_behavior,
            max_active_runs: row.max_active_runs,
            created_at: row.created_at.into(),
            completed_at: row.completed_at.map(Into::into),
            updated_at: row.updated_at.into(),
            dag_display_name: row.dag_display_name,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct BackfillCollectionResponse {
    backfills: Vec<BackfillResponse>,
    total_entries: i64,
}

/// A date that a backfill would run.
#[derive(Serialize, ToSchema)]
pub(crate) struct DryRunBackfillResponse {
    logical_date: Option<Timestamp>,
    partition_key: Option<String>,
    partition_date: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DryRunBackfillCollectionResponse {
    backfills: Vec<DryRunBackfillResponse>,
    total_entries: i64,
}

/// List a DAG's backfills.
#[utoipa::path(get, path = "/backfills", tag = "Backfill", params(QueryParams<BackfillsQuery>),
    responses((status = 200, body = BackfillCollectionResponse)))]
pub(crate) async fn list_backfills(
    State(app): State<App>,
    QueryParams(query): QueryParams<BackfillsQuery>,
) -> Result<Json<BackfillCollectionResponse>, ApiError> {
    let found = backfill::page(&mut *app.connection().await?, &query.dag_id, &query.page).await?;
    let backfills = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(BackfillCollectionResponse { backfills, total_entries: found.total }))
}

/// Create a backfill. Its runs follow within moments.
#[utoipa::path(post, path = "/backfills", tag = "Backfill", request_body = BackfillPostBody,
    responses((status = 200, body = BackfillResponse), (status = 404), (status = 409)))]
pub(crate) async fn create_backfill(
    State(app): State<App>,
    principal: Principal,
    JsonBody(body): JsonBody<BackfillPostBody>,
) -> Result<Json<BackfillResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    check(&app, &mut transaction, &body).await?;
    let conf = body.dag_run_conf.clone().map(Value::Object);
    let new = new(&body, conf.as_ref(), &principal);
    let id = backfill::create(&mut transaction, &app.dags, &new).await.map_err(refused)?;
    let extra = json!({
        "dag_id": body.dag_id, "from_date": body.from_date, "to_date": body.to_date, "run_backwards": body.run_backwards,
        // Keys only: a conf may carry secrets.
        "dag_run_conf": body.dag_run_conf.as_ref().map(|conf| conf.keys().collect::<Vec<_>>()),
        "reprocess_behavior": body.reprocess_behavior, "max_active_runs": body.max_active_runs,
    });
    audit::write(&mut transaction, &entry("create_backfill", &principal, &body.dag_id, extra)).await?;
    let made = backfill::get(&mut transaction, id).await?;
    let made = made.ok_or_else(|| ApiError::internal("a backfill is gone in the transaction that made it"))?;
    app.commit(transaction).await?;
    app.store.wake().ring(Signal::Dags);
    Ok(Json(made.into()))
}

/// Which dates a backfill would run. Nothing is written.
#[utoipa::path(post, path = "/backfills/dry_run", tag = "Backfill", request_body = BackfillPostBody,
    responses((status = 200, body = DryRunBackfillCollectionResponse), (status = 404)))]
pub(crate) async fn create_backfill_dry_run(
    State(app): State<App>,
    principal: Principal,
    JsonBody(body): JsonBody<BackfillPostBody>,
) -> Result<Json<DryRunBackfillCollectionResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    check(&app, &mut transaction, &body).await?;
    let dates = backfill::dry_run(&mut transaction, &app.dags, &new(&body, None, &principal)).await.map_err(refused)?;
    let total_entries = dates.len() as i64;
    let backfills = dates
        .into_iter()
        .map(|date| DryRunBackfillResponse {
            logical_date: Some(date.into()),
            partition_key: None,
            partition_date: None,
        })
        .collect();
    Ok(Json(DryRunBackfillCollectionResponse { backfills, total_entries }))
}

/// One backfill.
#[utoipa::path(get, path = "/backfills/{backfill_id}", tag = "Backfill", params(BackfillPath),
    responses((status = 200, body = BackfillResponse), (status = 404)))]
pub(crate) async fn get_backfill(
    State(app): State<App>,
    PathParams(path): PathParams<BackfillPath>,
) -> Result<Json<BackfillResponse>, ApiError> {
    let row = backfill::get(&mut *app.connection().await?, path.id()).await?;
    Ok(Json(row.ok_or_else(|| not_found(path.id()))?.into()))
}

/// Start none of its runs for now.
#[utoipa::path(put, path = "/backfills/{backfill_id}/pause", tag = "Backfill", params(BackfillPath),
    responses((status = 200, body = BackfillResponse), (status = 404), (status = 409)))]
pub(crate) async fn pause_backfill(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<BackfillPath>,
) -> Result<Json<BackfillResponse>, ApiError> {
    change(&app, &principal, path.id(), Verb::Pause).await
}

/// Go on starting its runs.
#[utoipa::path(put, path = "/backfills/{backfill_id}/unpause", tag = "Backfill", params(BackfillPath),
    responses((status = 200, body = BackfillResponse), (status = 404), (status = 409)))]
pub(crate) async fn unpause_backfill(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<BackfillPath>,
) -> Result<Json<BackfillResponse>, ApiError> {
    change(&app, &principal, path.id(), Verb::Unpause).await
}

/// End it: its queued runs fail, those that run go on.
#[utoipa::path(put, path = "/backfills/{backfill_id}/cancel", tag = "Backfill", params(BackfillPath),
    responses((status = 200, body = BackfillResponse), (status = 404), (status = 409)))]
pub(crate) async fn cancel_backfill(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<BackfillPath>,
) -> Result<Json<BackfillResponse>, ApiError> {
    change(&app, &principal, path.id(), Verb::Cancel).await
}

#[derive(Clone, Copy)]
enum Verb {
    Pause,
    Unpause,
    Cancel,
}

async fn change(app: &App, principal: &Principal, id: i64, verb: Verb) -> Result<Json<BackfillResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    let (event, changed) = match verb {
        Verb::Pause => ("pause_backfill", backfill::pause(&mut transaction, id).await?),
        Verb::Unpause => ("unpause_backfill", backfill::unpause(&mut transaction, id).await?),
        Verb::Cancel => ("cancel_backfill", backfill::cancel(&mut transaction, id).await?),
    };
    match changed {
        Change::Done => {}
        Change::NotFound => return Err(not_found(id)),
        Change::Completed => return Err(ApiError::Conflict("Backfill is already completed.".to_owned())),
    }
    let row = backfill::get(&mut transaction, id).await?.ok_or_else(|| not_found(id))?;
    audit::write(&mut transaction, &entry(event, principal, &row.dag_id, json!({"backfill_id": id}))).await?;
    app.commit(transaction).await?;
    app.store.wake().ring(Signal::Dags);
    Ok(Json(row.into()))
}

/// The DAG can be run, and the conf fits its params (here 422, as Airflow has it).
async fn check(app: &App, connection: &mut PgConnection, body: &BackfillPostBody) -> Result<(), ApiError> {
    let not_found = || ApiError::not_found(format!("Could not find dag {}", body.dag_id));
    let row = dag_rows::get(connection, &body.dag_id).await?.filter(|row| !row.is_stale).ok_or_else(not_found)?;
    let dag = compiled(app, connection, &row).await?.ok_or_else(not_found)?;
    check_params(&dag, body.dag_run_conf.as_ref().unwrap_or(&Map::new())).map_err(|error| match error {
        ApiError::BadRequest(text) => ApiError::InvalidText(text),
        error => error,
    })
}

fn new<'a>(body: &'a BackfillPostBody, conf: Option<&'a Value>, principal: &'a Principal) -> NewBackfill<'a> {
    NewBackfill {
        dag_id: &body.dag_id,
        request: body.request(),
        conf,
        run_on_latest_version: body.run_on_latest_version,
        user: Some(&principal.name),
    }
}

fn refused(error: CreateError) -> ApiError {
    match error {
        CreateError::DagNotFound(dag_id) => ApiError::not_found(format!("Could not find dag {dag_id}")),
        CreateError::Refused(refusal) => ApiError::InvalidText(refusal.to_string()),
        error @ CreateError::AlreadyRunning(_) => ApiError::Conflict(error.to_string()),
        CreateError::Store(error) => error.into(),
    }
}

fn not_found(id: i64) -> ApiError {
    ApiError::not_found(format!("Backfill with id {id} not found"))
}

fn entry<'a>(event: &'a str, principal: &'a Principal, dag_id: &'a str, extra: Value) -> audit::Entry<'a> {
    audit::Entry {
        event,
        owner: Some(&principal.name),
        dag_id: Some(dag_id),
        extra: Some(extra),
        ..audit::Entry::default()
    }
}
