//! What a running attempt asks for and leaves behind: references of its templates, XComs.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use serde_json::Value;
use updraft_protocol::{Ref, ResolveRequest, ResolveResponse, ResolvedRef};
use updraft_store::nodes::{self, Put, TokenId, XComRef};
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

/// Values of XComs of the attempt's run; variables and connections are not stored yet, so none exists.
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
    let xcoms: Vec<XComRef> = request.refs.iter().filter_map(xcom).collect();
    let mut values = load(&api, token, attempt_id, &xcoms).await?.into_iter();
    let refs = request.refs.into_iter().map(|reference| match reference {
        Ref::XCom { .. } => values.next().map_or(ResolvedRef { reference, value: None }, poll::resolved),
        Ref::Variable { .. } | Ref::Connection { .. } => ResolvedRef { reference, value: None },
    });
    Ok(Json(ResolveResponse { refs: refs.collect() }))
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
    match nodes::put_xcom(&api.inner.store, token, attempt_id, &key, value).await? {
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
    let reference = XComRef { task_id: query.task_id, key, map_index: query.map_index };
    let values = load(&api, token, attempt_id, std::slice::from_ref(&reference)).await?;
    let value = values.into_iter().next().and_then(|resolved| resolved.value);
    value.map(Json).ok_or_else(|| {
        ApiError::not_found(format!("task `{}` pushed no XCom `{}` in this run", reference.task_id, reference.key))
    })
}

fn xcom(reference: &Ref) -> Option<XComRef> {
    match reference {
        Ref::XCom { task_id, key, map_index } => {
            Some(XComRef { task_id: task_id.clone(), key: key.clone(), map_index: *map_index })
        }
        Ref::Variable { .. } | Ref::Connection { .. } => None,
    }
}

async fn load(
    api: &ExecutorApi,
    token: TokenId,
    attempt_id: Uuid,
    refs: &[XComRef],
) -> Result<Vec<nodes::XComValue>, ApiError> {
    let values = nodes::resolve_xcoms(&api.inner.store, token, attempt_id, refs).await?;
    values.ok_or_else(ApiError::stale)
}
