//! Who calls: the node token of every request.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use sha2::{Digest, Sha256};
use updraft_store::{
    Store,
    nodes::{self, TokenId},
};

use super::{ExecutorApi, error::ApiError};

/// More tokens than this at once are somebody guessing: the cache starts anew.
const LIMIT: usize = 10_000;

/// An authenticated caller.
#[derive(Clone, Copy)]
pub(super) struct Node(pub(super) TokenId);

impl FromRequestParts<ExecutorApi> for Node {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ExecutorApi) -> Result<Self, ApiError> {
        let token = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(ApiError::unauthorized)?;
        let id = state.inner.tokens.authenticate(&state.inner.store, token).await?;
        id.map(Self).ok_or_else(ApiError::unauthorized)
    }
}

/// Answers of the last seconds, by the token's hash, so that a poll costs no query for it.
pub(super) struct TokenCache {
    ttl: Duration,
    known: Mutex<HashMap<[u8; 32], Known>>,
}

/// Whose a token was, when that was asked; `None`: nobody's.
#[derive(Clone, Copy)]
struct Known {
    id: Option<TokenId>,
    asked: Instant,
}

impl TokenCache {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, known: Mutex::default() }
    }

    async fn authenticate(&self, store: &Store, token: &str) -> Result<Option<TokenId>, ApiError> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let cached = self.known.lock().expect("nothing panics under this lock").get(&hash).copied();
        if let Some(known) = cached
            && known.asked.elapsed() < self.ttl
        {
            return Ok(known.id);
        }
        let asked = Instant::now();
        let id = nodes::authenticate_token(store, token).await?;
        let mut known = self.known.lock().expect("nothing panics under this lock");
        if known.len() >= LIMIT {
            known.clear();
        }
        known.insert(hash, Known { id, asked });
        Ok(id)
    }
}
