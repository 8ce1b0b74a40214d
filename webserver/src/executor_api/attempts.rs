//! What a running attempt asks for and leaves behind: references of its templates, XComs, the tasks that come after it.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use serde_json::Value;
use updraft_core::template;
use updraft_protocol::{NEXT_LIMIT, NextResponse, ResolveRequest, ResolveResponse};
use updraft_store::{
    StoreError,
    nodes::{self, Put, TokenId},
};
use uuid::Uuid;

use super::{
    ExecutorApi, attempt_token,
    auth::Node,
    error::ApiError,
    poll,
    wire::{Asked, Param, Wire},
};

/// References of one request, at most.
const REF_LIMIT: usize = 1_000;
/// Characters of an XCom's key, at most (Airflow's column).
const KEY_LIMIT: usize = 512;

/// Values of what the attempt's templates name: XComs of its run, variables, connections.
pub(super) async fn resolve(
    State(api): State<ExecutorApi>,
    Node(token): Node,
    Param(attempt_id): Param<Uuid>,
    headers: HeaderMap,
    Wire(request): Wire<ResolveRequest>,
) -> Result<Json<ResolveResponse>, ApiError> {
    attempt_token::check(&api.inner.settings.attempt_secret, attempt_id, &headers)?;
    if request.refs.len() > REF_LIMIT {
        return Err(ApiError::invalid(format!("at most {REF_LIMIT} references in one request")));
    }
    let refs: Vec<template::Ref> = request.refs.into_iter().map(poll::to_core).collect();
    let values = load(&api, token, attempt_id, &refs).await?;
    Ok(Json(ResolveResponse { refs: values.into_iter().map(poll::resolved).collect() }))
}

/// Stores the JSON body as the attempt's XCom of that key.
pub(super) async fn put_xcom(
    State(api): State<ExecutorApi>,
    Node(token): Node,
    Param((attempt_id, key)): Param<(Uuid, String)>,
    headers: HeaderMap,
    Wire(value): Wire<Value>,
) -> Result<StatusCode, ApiError> {
    attempt_token::check(&api.inner.settings.attempt_secret, attempt_id, &headers)?;
    if key.is_empty() || key.chars().count() > KEY_LIMIT || key.contains('\0') {
        return Err(ApiError::invalid(format!("an XCom's key has 1 to {KEY_LIMIT} characters")));
    }
    match nodes::put_xcom(&api.inner.store, &api.inner.dags, token, attempt_id, &key, value).await? {
        Put::Written => Ok(StatusCode::NO_CONTENT),
        Put::Stale => Err(ApiError::stale()),
    }
}

/// Whose XCom is read.
#[derive(Deserialize)]
pub(super) struct XComQuery {
    task_id: String,
    map_index: Option<i32>,
}

/// One XCom of the attempt's run (`?task_id=…&map_index=…`): its JSON, 404 when nothing was pushed.
pub(super) async fn get_xcom(
    State(api): State<ExecutorApi>,
    Node(token): Node,
    Param((attempt_id, key)): Param<(Uuid, String)>,
    Asked(query): Asked<XComQuery>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    attempt_token::check(&api.inner.settings.attempt_secret, attempt_id, &headers)?;
    let missing = format!("task `{}` pushed no XCom `{key}` in this run", query.task_id);
    let reference = template::Ref::XCom { task_id: query.task_id, key, map_index: query.map_index, part: None };
    let values = load(&api, token, attempt_id, &[reference]).await?;
    let value = values.into_iter().next().and_then(|resolved| resolved.value);
    value.map(Json).ok_or_else(|| ApiError::not_found(missing))
}

/// The tasks after the attempt's whose containers may be created while it runs.
pub(super) async fn next(
    State(api): State<ExecutorApi>,
    Node(token): Node,
    Param(attempt_id): Param<Uuid>,
    headers: HeaderMap,
) -> Result<Json<NextResponse>, ApiError> {
    attempt_token::check(&api.inner.settings.attempt_secret, attempt_id, &headers)?;
    let specs = nodes::next(&api.inner.store, &api.inner.dags, token, attempt_id, NEXT_LIMIT).await?;
    let specs = specs.ok_or_else(ApiError::stale)?;
    let specs = specs.iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(StoreError::from)?;
    Ok(Json(NextResponse { specs }))
}

async fn load(
    api: &ExecutorApi,
    token: TokenId,
    attempt_id: Uuid,
    refs: &[template::Ref],
) -> Result<Vec<nodes::ResolvedRef>, ApiError> {
    let values = nodes::resolve(&api.inner.store, token, attempt_id, refs).await?;
    values.ok_or_else(ApiError::stale)
}
