//! `PUT` and `GET /attempts/{attempt_id}/logs`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use metrics::counter;
use serde::Deserialize;
use updraft_core::metrics::{LOG_BYTES_RECEIVED, LOG_STORE_ERRORS, LOGS_FULL};
use updraft_protocol::LogsResponse;
use updraft_store::nodes::{self, TokenId};
use uuid::Uuid;

use super::{
    ExecutorApi,
    auth::Node,
    error::ApiError,
    wire::{Asked, Param, Raw},
};
use crate::logs::{AppendError, LogKey};

/// More places than this at once are dropped and looked up again.
const PLACE_LIMIT: usize = 10_000;

/// Where the body belongs in the attempt's log.
#[derive(Deserialize)]
pub(super) struct Offset {
    #[serde(default)]
    offset: u64,
}

pub(super) async fn put(
    State(api): State<ExecutorApi>,
    Node(token): Node,
    Param(attempt_id): Param<Uuid>,
    Asked(Offset { offset }): Asked<Offset>,
    Raw(bytes): Raw,
) -> Result<Response, ApiError> {
    let key = api.inner.places.find(&api, token, attempt_id).await?;
    let count = bytes.len() as u64;
    match api.inner.logs.append(&key, offset, bytes).await {
        Ok(size) => {
            counter!(LOG_BYTES_RECEIVED.name).increment(count);
            Ok(Json(answer(&api, size)).into_response())
        }
        Err(AppendError::Gap { size }) => Ok((StatusCode::CONFLICT, Json(answer(&api, size))).into_response()),
        Err(error @ AppendError::Full { .. }) => {
            counter!(LOGS_FULL.name).increment(1);
            Err(ApiError::log_full(error.to_string()))
        }
        Err(AppendError::Io(error)) => Err(unwritable(&error)),
    }
}

pub(super) async fn size(
    State(api): State<ExecutorApi>,
    Node(token): Node,
    Param(attempt_id): Param<Uuid>,
) -> Result<Json<LogsResponse>, ApiError> {
    let key = api.inner.places.find(&api, token, attempt_id).await?;
    let size = api.inner.logs.size(&key).await.map_err(|error| unwritable(&error))?;
    Ok(Json(answer(&api, size)))
}

fn answer(api: &ExecutorApi, size: u64) -> LogsResponse {
    LogsResponse { size, gather_ms: api.inner.logs.gather().as_millis() as u64 }
}

/// The node keeps the bytes and sends them again.
fn unwritable(error: &std::io::Error) -> ApiError {
    counter!(LOG_STORE_ERRORS.name).increment(1);
    tracing::error!(%error, "the log store cannot be used");
    ApiError::unavailable("the server's log store cannot be used, try again")
}

/// Where attempts' logs belong. An attempt's place never changes, but the node's token may.
#[derive(Default)]
pub(super) struct Places {
    known: Mutex<HashMap<(TokenId, Uuid), Arc<LogKey>>>,
}

impl Places {
    async fn find(&self, api: &ExecutorApi, token: TokenId, attempt_id: Uuid) -> Result<Arc<LogKey>, ApiError> {
        let known = self.known.lock().expect("nothing panics under this lock").get(&(token, attempt_id)).cloned();
        if let Some(key) = known {
            return Ok(key);
        }
        let place = nodes::log_place(&api.inner.store, token, attempt_id)
            .await?
            .ok_or_else(|| ApiError::not_found("no such attempt was handed to this node (any more)"))?;
        let key = Arc::new(LogKey {
            dag_id: place.dag_id,
            run_id: place.run_id,
            task_id: place.task_id,
            map_index: place.map_index,
            try_number: place.try_number,
            attempt_id,
        });
        let mut known = self.known.lock().expect("nothing panics under this lock");
        if known.len() >= PLACE_LIMIT {
            known.clear();
        }
        known.insert((token, attempt_id), key.clone());
        Ok(key)
    }
}
