//! Who calls: the node token of every request.

use std::time::{Duration, Instant};

use axum::{extract::FromRequestParts, http::request::Parts};
use sha2::{Digest, Sha256};
use updraft_store::{
    Store,
    nodes::{self, TokenId},
};

use super::{ExecutorApi, error::ApiError};
use crate::{auth::bearer, recent::Recent};

/// An authenticated caller.
#[derive(Clone, Copy)]
pub(super) struct Node(pub(super) TokenId);

impl FromRequestParts<ExecutorApi> for Node {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ExecutorApi) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers).ok_or_else(ApiError::unauthorized)?;
        let id = state.inner.tokens.authenticate(&state.inner.store, token).await?;
        id.map(Self).ok_or_else(ApiError::unauthorized)
    }
}

/// Whose a token is (`None`: nobody's), by the token's hash, so that a poll costs no query for it.
pub(super) struct TokenCache(Recent<[u8; 32], Option<TokenId>>);

impl TokenCache {
    pub(super) fn new(ttl: Duration) -> Self {
        Self(Recent::new(ttl))
    }

    async fn authenticate(&self, store: &Store, token: &str) -> Result<Option<TokenId>, ApiError> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(known) = self.0.get(&hash) {
            return Ok(known);
        }
        let asked = Instant::now();
        let id = nodes::authenticate_token(store, token).await?;
        self.0.keep(hash, id, asked);
        Ok(id)
    }
}
