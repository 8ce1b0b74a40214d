//! `POST /logs` and `GET /attempts/{attempt_id}/logs`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{Json, extract::State};
use metrics::counter;
use updraft_core::metrics::{LOG_BYTES_RECEIVED, LOG_STORE_ERRORS, LOGS_FULL};
use updraft_protocol::{LogAnswer, LogSizeResponse, LogsRequest, LogsResponse};
use updraft_store::nodes::{self, LogPlace, TokenId};
use uuid::Uuid;

use super::{
    ExecutorApi,
    auth::Node,
    error::ApiError,
    wire::{Param, Raw},
};
use crate::logs::{Append, AppendError, LogKey};

/// More places than this at once are dropped and looked up again.
const PLACE_LIMIT: usize = 10_000;

const NO_ATTEMPT: &str = "no such attempt was handed to this node (any more)";
const NO_STORE: &str = "the server's log store cannot be used, try again";

pub(super) async fn append(
    State(api): State<ExecutorApi>,
    Node(token): Node,
    Raw(body): Raw,
) -> Result<Json<LogsResponse>, ApiError> {
    let pieces = LogsRequest::split(&body).map_err(ApiError::invalid)?;
    let ids: Vec<Uuid> = pieces.iter().map(|(piece, _)| piece.attempt_id).collect();
    let places = api.inner.places.find(&api, token, &ids).await?;
    let appends = pieces.into_iter().filter_map(|(piece, bytes)| {
        let key = Arc::clone(places.get(&piece.attempt_id)?);
        Some(Append { key, offset: piece.offset, bytes: body.slice(bytes) })
    });
    let mut appended = api.inner.logs.append_all(appends.collect()).await.into_iter();
    let answers = ids.iter().map(|id| match places.get(id).and_then(|_| appended.next()) {
        Some(result) => answer(result),
        None => LogAnswer::Refused { code: "not_found".to_owned(), detail: NO_ATTEMPT.to_owned() },
    });
    let answers = answers.collect();
    counter!(LOG_BYTES_RECEIVED.name).increment(body.len() as u64);
    Ok(Json(LogsResponse { answers, gather_ms: api.inner.logs.gather().as_millis() as u64 }))
}

pub(super) async fn size(
    State(api): State<ExecutorApi>,
    Node(token): Node,
    Param(attempt_id): Param<Uuid>,
) -> Result<Json<LogSizeResponse>, ApiError> {
    let places = api.inner.places.find(&api, token, &[attempt_id]).await?;
    let key = places.get(&attempt_id).ok_or_else(|| ApiError::not_found(NO_ATTEMPT))?;
    match api.inner.logs.size(key).await {
        Ok(size) => Ok(Json(LogSizeResponse { size })),
        Err(error) => {
            tell_unusable(&error);
            Err(ApiError::unavailable(NO_STORE))
        }
    }
}

fn answer(appended: Result<u64, AppendError>) -> LogAnswer {
    match appended {
        Ok(size) | Err(AppendError::Gap { size }) => LogAnswer::Has { size },
        Err(error @ AppendError::Full { .. }) => {
            counter!(LOGS_FULL.name).increment(1);
            LogAnswer::Refused { code: "log_full".to_owned(), detail: error.to_string() }
        }
        Err(AppendError::Io(error)) => {
            tell_unusable(&error);
            LogAnswer::Later { detail: NO_STORE.to_owned() }
        }
    }
}

/// The node keeps the bytes and sends them again.
fn tell_unusable(error: &std::io::Error) {
    counter!(LOG_STORE_ERRORS.name).increment(1);
    tracing::error!(%error, "the log store cannot be used");
}

/// Where attempts' logs belong. An attempt's place never changes, but the node's token may.
#[derive(Default)]
pub(super) struct Places {
    known: Mutex<Known>,
}

type Known = HashMap<(TokenId, Uuid), Arc<LogKey>>;

impl Places {
    /// Of the attempts that were handed to a node of this token; the others are not in the answer.
    async fn find(
        &self,
        api: &ExecutorApi,
        token: TokenId,
        attempts: &[Uuid],
    ) -> Result<HashMap<Uuid, Arc<LogKey>>, ApiError> {
        let mut found = HashMap::with_capacity(attempts.len());
        {
            let known = self.lock();
            for id in attempts {
                if let Some(key) = known.get(&(token, *id)) {
                    found.insert(*id, Arc::clone(key));
                }
            }
        }
        let unknown: Vec<Uuid> = attempts.iter().filter(|id| !found.contains_key(id)).copied().collect();
        if unknown.is_empty() {
            return Ok(found);
        }
        let places = nodes::log_places(&api.inner.store, token, &unknown).await?;
        let mut known = self.lock();
        if known.len() + places.len() > PLACE_LIMIT {
            known.clear();
        }
        for place in places {
            let id = place.attempt_id;
            let key = Arc::new(key_of(place));
            known.insert((token, id), Arc::clone(&key));
            found.insert(id, key);
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics under this lock")
    }
}

fn key_of(place: LogPlace) -> LogKey {
    LogKey {
        dag_id: place.dag_id,
        run_id: place.run_id,
        task_id: place.task_id,
        map_index: place.map_index,
        try_number: place.try_number,
        attempt_id: place.attempt_id,
    }
}
