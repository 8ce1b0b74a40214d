//! Path parameters.

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, Path, RawPathParams, path::ErrorKind, rejection::PathRejection},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use super::findings::{Place, exceeds, parse_int};
use crate::error::{ApiError, FieldError};

/// The path's parameters as a struct with named fields; a number that is none is a 422. An unsigned field is one with the
/// minimum 0, in the document too.
pub(crate) struct PathParams<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequestParts<S> for PathParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // What is no UTF-8 is told apart below.
        if let Ok(raw) = parts.extract::<RawPathParams>().await {
            let check = |(key, text): (&str, &str)| Place::new("path", key, text).storable(text).err();
            let found: Vec<FieldError> = raw.iter().filter_map(check).collect();
            if !found.is_empty() {
                return Err(ApiError::Invalid(found));
            }
        }
        match parts.extract::<Path<T>>().await {
            Ok(Path(params)) => Ok(Self(params)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => match error.into_kind() {
                ErrorKind::ParseErrorAtKey { key, value, expected_type } => {
                    let place = Place::new("path", &key, value.as_str());
                    Err(ApiError::Invalid(vec![unfit(&value, expected_type, place)]))
                }
                // Bytes that are no UTF-8 name nothing that exists.
                ErrorKind::InvalidUtf8InPathParam { .. } => Err(ApiError::not_found("Not Found")),
                kind => Err(ApiError::internal(kind)),
            },
            Err(error) => Err(ApiError::internal(error)),
        }
    }
}

/// Why a text is not the integer that a field of this type wants: no integer at all, below its minimum, or wider than it.
fn unfit(text: &str, expected_type: &str, place: Place) -> FieldError {
    match parse_int(text, place.clone()) {
        Err(error) => error,
        Ok(number) if number < 0 && expected_type.starts_with('u') => place.too_small(0),
        Ok(_) => exceeds(place),
    }
}
