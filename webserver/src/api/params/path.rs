//! Path parameters.

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, Path, path::ErrorKind, rejection::PathRejection},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use super::findings::Place;
use crate::error::ApiError;

/// The path's parameters as a struct with named fields; a number that is none is a 422.
pub(crate) struct PathParams<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequestParts<S> for PathParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match parts.extract::<Path<T>>().await {
            Ok(Path(params)) => Ok(Self(params)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => match error.into_kind() {
                ErrorKind::ParseErrorAtKey { key, value, .. } => {
                    let msg = "Input should be a valid integer, unable to parse string as an integer";
                    Err(ApiError::Invalid(vec![Place::new("path", &key, value).error("int_parsing", msg)]))
                }
                // Bytes that are no UTF-8 name nothing that exists.
                ErrorKind::InvalidUtf8InPathParam { .. } => Err(ApiError::not_found("Not Found")),
                kind => Err(ApiError::internal(kind)),
            },
            Err(error) => Err(ApiError::internal(error)),
        }
    }
}
