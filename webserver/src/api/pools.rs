//! `/pools`: list, get, create, change, delete, many at once.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use updraft_store::{
    pools::{self, DEFAULT_POOL, INFINITE, Pool, PoolRow},
    query::filter::{Page, Pattern},
    wake::Signal,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    bulk::{self, BulkBody, BulkResponse},
    dags::UpdateMask,
    note,
    params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams, described},
    refuse_team,
};
use crate::{App, auth::Principal, error::ApiError};

/// Characters of a name, at most.
const NAME_LENGTH: usize = 256;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct PoolPath {
    /// May contain slashes.
    pool_name: String,
}

pub(crate) struct PoolsQuery {
    name: Pattern,
    page: Page,
}

impl FromQuery for PoolsQuery {
    fn read(query: &mut Query) -> Self {
        Self { page: query.page(pools::ORDER_BY, &["id"]), name: query.pattern("pool_name") }
    }
}

/// A pool as callers write it.
pub(crate) struct PoolBody {
    name: String,
    /// -1: no limit.
    slots: i32,
    description: Option<String>,
    include_deferred: bool,
}

type BulkPools = BulkBody<PoolBody>;

described!(PoolBody, PoolPatchBody, BulkPools);

impl FromBody for PoolBody {
    fn read(body: &mut Body) -> Self {
        body.require("name");
        body.require("slots");
        refuse_team(body);
        Self {
            name: body.short_text("name", NAME_LENGTH).unwrap_or_default(),
            slots: body.small_int("slots", INFINITE).unwrap_or_default(),
            description: body.text("description"),
            include_deferred: body.flag("include_deferred", false),
        }
    }
}

impl PoolBody {
    fn pool(&self) -> Pool {
        Pool {
            name: self.name.clone(),
            slots: self.slots,
            description: self.description.clone(),
            include_deferred: self.include_deferred,
        }
    }
}

impl bulk::Entity for PoolBody {
    const NOUN: &'static str = "pools with these pool names";

    fn id(&self) -> &str {
        &self.name
    }
}

/// What changes of a pool. For every pool but the default one, `pool` and `slots` must be there (the body is checked whole, as
/// Airflow does).
pub(crate) struct PoolPatchBody {
    pool: Option<String>,
    slots: Option<i32>,
    /// `None`: the body does not have it.
    #[expect(clippy::option_option, reason = "in JSON, absent and null are two things")]
    description: Option<Option<String>>,
    include_deferred: Option<bool>,
}

impl FromBody for PoolPatchBody {
    fn read(body: &mut Body) -> Self {
        refuse_team(body);
        let has_description = body.has("description");
        let description = body.text("description");
        Self {
            pool: body.short_text("pool", NAME_LENGTH),
            slots: body.small_int("slots", INFINITE),
            description: has_description.then_some(description),
            include_deferred: body.optional_flag("include_deferred"),
        }
    }
}

/// A pool and its use, in slots.
#[derive(Serialize, ToSchema)]
pub(crate) struct PoolResponse {
    name: String,
    #[schema(minimum = -1)]
    slots: i32,
    description: Option<String>,
    include_deferred: bool,
    occupied_slots: i64,
    running_slots: i64,
    queued_slots: i64,
    scheduled_slots: i64,
    /// -1: no limit.
    open_slots: i64,
    deferred_slots: i64,
    team_name: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PoolCollectionResponse {
    pools: Vec<PoolResponse>,
    total_entries: i64,
}

impl From<PoolRow> for PoolResponse {
    fn from(row: PoolRow) -> Self {
        Self {
            occupied_slots: row.occupied(),
            open_slots: row.open(),
            name: row.name,
            slots: row.slots,
            description: row.description,
            include_deferred: row.include_deferred,
            running_slots: row.running,
            queued_slots: row.queued,
            scheduled_slots: row.scheduled,
            deferred_slots: row.deferred,
            team_name: None,
        }
    }
}

/// List pools.
#[utoipa::path(get, path = "/pools", tag = "Pool", params(QueryParams<PoolsQuery>),
    responses((status = 200, body = PoolCollectionResponse)))]
pub(crate) async fn get_pools(
    State(app): State<App>,
    QueryParams(query): QueryParams<PoolsQuery>,
) -> Result<Json<PoolCollectionResponse>, ApiError> {
    let found = pools::page(&mut *app.connection().await?, &query.name, &query.page).await?;
    let pools = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(PoolCollectionResponse { pools, total_entries: found.total }))
}

/// One pool.
#[utoipa::path(get, path = "/pools/{*pool_name}", tag = "Pool", params(PoolPath),
    responses((status = 200, body = PoolResponse), (status = 404)))]
pub(crate) async fn get_pool(
    State(app): State<App>,
    PathParams(path): PathParams<PoolPath>,
) -> Result<Json<PoolResponse>, ApiError> {
    Ok(Json(find(&mut *app.connection().await?, &path.pool_name).await?.into()))
}

/// Create a pool.
#[utoipa::path(post, path = "/pools", tag = "Pool", request_body = PoolBody,
    responses((status = 201, body = PoolResponse), (status = 409)))]
pub(crate) async fn post_pool(
    State(app): State<App>,
    principal: Principal,
    JsonBody(body): JsonBody<PoolBody>,
) -> Result<(StatusCode, Json<PoolResponse>), ApiError> {
    let mut transaction = app.store.begin().await?;
    let pool = body.pool();
    if !pools::put(&mut transaction, &pool, false).await? {
        return Err(ApiError::NotUnique { constraint: "slot_pool_pool_key".to_owned() });
    }
    note(&mut transaction, "post_pool", &principal, audited(&pool, "POST")).await?;
    let row = find(&mut transaction, &pool.name).await?;
    app.commit(transaction).await?;
    // Tasks may wait for a pool of this name.
    app.store.wake().ring(Signal::Dispatch);
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// Change a pool.
#[utoipa::path(patch, path = "/pools/{*pool_name}", tag = "Pool", params(PoolPath, QueryParams<UpdateMask>),
    request_body = PoolPatchBody,
    responses((status = 200, body = PoolResponse), (status = 400), (status = 404), (status = 409)))]
pub(crate) async fn patch_pool(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<PoolPath>,
    QueryParams(mask): QueryParams<UpdateMask>,
    JsonBody(body): JsonBody<PoolPatchBody>,
) -> Result<Json<PoolResponse>, ApiError> {
    let name = path.pool_name.as_str();
    let mut transaction = app.store.begin().await?;
    let row = find(&mut transaction, name).await?;
    if name == DEFAULT_POOL {
        let only = |mask: &[String]| mask.iter().all(|field| field == "slots" || field == "include_deferred");
        if !mask.fields().is_some_and(only) {
            let text = "Only slots and included_deferred can be modified on Default Pool";
            return Err(ApiError::BadRequest(text.to_owned()));
        }
    } else {
        body.complete()?;
    }
    let mut pool =
        Pool { name: row.name, slots: row.slots, description: row.description, include_deferred: row.include_deferred };
    if let Some(new) = body.pool.filter(|_| mask.allows("pool") || mask.allows("name")) {
        pool.name = new;
    }
    pool.slots = body.slots.filter(|_| mask.allows("slots")).unwrap_or(pool.slots);
    pool.include_deferred =
        body.include_deferred.filter(|_| mask.allows("include_deferred")).unwrap_or(pool.include_deferred);
    pool.description = body.description.filter(|_| mask.allows("description")).unwrap_or(pool.description);
    pools::replace(&mut transaction, name, &pool).await?;
    note(&mut transaction, "patch_pool", &principal, audited(&pool, "PATCH")).await?;
    let row = find(&mut transaction, &pool.name).await?;
    app.commit(transaction).await?;
    app.store.wake().ring(Signal::Dispatch);
    Ok(Json(row.into()))
}

impl PoolPatchBody {
    /// The findings that a partial body is answered with.
    fn complete(&self) -> Result<(), ApiError> {
        let missing = [("name", self.pool.is_none()), ("slots", self.slots.is_none())];
        let findings: Vec<_> = missing
            .into_iter()
            .filter(|(_, is_missing)| *is_missing)
            .map(|(field, _)| crate::error::FieldError::missing(field))
            .collect();
        if findings.is_empty() { Ok(()) } else { Err(ApiError::Invalid(findings)) }
    }
}

/// Delete a pool.
#[utoipa::path(delete, path = "/pools/{*pool_name}", tag = "Pool", params(PoolPath),
    responses((status = 204), (status = 400), (status = 404)))]
pub(crate) async fn delete_pool(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<PoolPath>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    remove(&mut transaction, &path.pool_name).await?;
    let extra = json!({"pool_name": path.pool_name, "method": "DELETE"});
    note(&mut transaction, "delete_pool", &principal, extra).await?;
    app.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Create, change and delete many pools.
#[utoipa::path(patch, path = "/pools", tag = "Pool", request_body = BulkPools,
    responses((status = 200, body = BulkResponse)))]
pub(crate) async fn bulk_pools(
    State(app): State<App>,
    principal: Principal,
    JsonBody(body): JsonBody<BulkPools>,
) -> Result<Json<BulkResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    let response = bulk::run(body, &mut Target(&mut transaction)).await?;
    note(&mut transaction, "bulk_pools", &principal, response.done()).await?;
    app.commit(transaction).await?;
    app.store.wake().ring(Signal::Dispatch);
    Ok(Json(response))
}

struct Target<'a>(&'a mut PgConnection);

impl bulk::Target<PoolBody> for Target<'_> {
    async fn existing(&mut self, ids: &[String]) -> Result<Vec<String>, ApiError> {
        Ok(pools::existing(self.0, ids).await?)
    }

    async fn create(&mut self, body: &PoolBody) -> Result<(), ApiError> {
        pools::put(self.0, &body.pool(), true).await?;
        Ok(())
    }

    async fn update(&mut self, body: &PoolBody, mask: Option<&[String]>) -> Result<(), ApiError> {
        let row = find(self.0, &body.name).await?;
        let allows = |field: &str| mask.is_none_or(|mask| mask.iter().any(|name| name == field));
        let new = body.pool();
        let pool = Pool {
            name: row.name,
            slots: if allows("slots") { new.slots } else { row.slots },
            description: if allows("description") { new.description } else { row.description },
            include_deferred: if allows("include_deferred") { new.include_deferred } else { row.include_deferred },
        };
        pools::replace(self.0, &body.name, &pool).await?;
        Ok(())
    }

    async fn delete(&mut self, id: &str) -> Result<(), ApiError> {
        remove(self.0, id).await
    }
}

async fn remove(connection: &mut PgConnection, name: &str) -> Result<(), ApiError> {
    if name == DEFAULT_POOL {
        return Err(ApiError::BadRequest("Default Pool can't be deleted".to_owned()));
    }
    if pools::delete(connection, name).await? { Ok(()) } else { Err(missing(name)) }
}

async fn find(connection: &mut PgConnection, name: &str) -> Result<PoolRow, ApiError> {
    pools::get(connection, name).await?.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> ApiError {
    ApiError::not_found(format!("The Pool with name: `{name}` was not found"))
}

fn audited(pool: &Pool, method: &str) -> Value {
    json!({
        "pool": pool.name, "slots": pool.slots, "description": pool.description,
        "include_deferred": pool.include_deferred, "method": method,
    })
}
