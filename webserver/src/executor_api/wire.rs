//! Bodies, with refusals in the protocol's shape.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::BytesRejection},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use super::{ExecutorApi, error::ApiError};

/// A JSON body.
pub(super) struct Wire<T>(pub(super) T);

/// A body as it came.
pub(super) struct Raw(pub(super) Bytes);

/// The parts of the path; a malformed id is no such thing.
pub(super) struct Param<T>(pub(super) T);

/// The query.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<ExecutorApi> for Param<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ExecutorApi) -> Result<Self, ApiError> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value)).map_err(|rejection| ApiError::not_found(rejection.body_text()))
    }
}

impl<T: DeserializeOwned> FromRequestParts<ExecutorApi> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ExecutorApi) -> Result<Self, ApiError> {
        let query = Query::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|rejection| ApiError::invalid(rejection.body_text()))
    }
}

impl<T: DeserializeOwned> FromRequest<ExecutorApi> for Wire<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ExecutorApi) -> Result<Self, ApiError> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        parse(&bytes).map(Self)
    }
}

impl FromRequest<ExecutorApi> for Raw {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ExecutorApi) -> Result<Self, ApiError> {
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection: BytesRejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ApiError::too_large("the body is larger than this path takes: send less at once")
            } else {
                ApiError::invalid(format!("the body could not be read: {rejection}"))
            }
        })
    }
}

/// Reads JSON; the refusal says where it is wrong.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::invalid(format!("the body is not what this path takes: {error}")))
}
