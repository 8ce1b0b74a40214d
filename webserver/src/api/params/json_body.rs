//! The extractor of JSON bodies, and how they are described.

use axum::{
    body::Bytes,
    extract::{FromRequest, OptionalFromRequest, Request},
};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, extensions::ExtensionsBuilder};

use super::body::Body;
use crate::error::ApiError;

/// What a handler reads from its JSON body.
pub(crate) trait FromBody: Sized {
    /// Takes each key once; a key that is left over is refused.
    fn read(body: &mut Body) -> Self;
}

/// The extractor: `JsonBody<TriggerBody>`.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: FromBody> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = read(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// Describes bodies in the OpenAPI document by what they read: `described!(PoolBody)` makes it a `ToSchema`.
macro_rules! described {
    ($($body:ty),+) => {$(
        impl ::utoipa::PartialSchema for $body {
            fn schema() -> ::utoipa::openapi::RefOr<::utoipa::openapi::Schema> {
                $crate::api::params::schema_of::<Self>()
            }
        }

        impl ::utoipa::ToSchema for $body {
            fn name() -> ::std::borrow::Cow<'static, str> {
                $crate::api::params::schema_name::<Self>().into()
            }
        }
    )+};
}
pub(crate) use described;

/// The extension under which a body's schema travels through utoipa, whose types have no word for "anything".
pub(crate) const NOTED: &str = "x-noted";

/// What `T` reads, as a schema; [`crate::openapi::describe`] unpacks it.
pub(crate) fn schema_of<T: FromBody>() -> RefOr<Schema> {
    let noted = ExtensionsBuilder::new().add(NOTED, Body::noted(T::read)).build();
    ObjectBuilder::new().extensions(Some(noted)).build().into()
}

/// The name of `T` without its path, `BulkBody_PoolBody_` for a `BulkBody<PoolBody>`, as pydantic has it.
pub(crate) fn schema_name<T: FromBody>() -> String {
    let name = std::any::type_name::<T>();
    let names = name.split_inclusive(['<', '>']).map(|part| part.rsplit("::").next().unwrap_or(part));
    names.collect::<String>().replace(['<', '>'], "_")
}

/// `Option<JsonBody<T>>`: a request without a body is none.
impl<S: Send + Sync, T: FromBody> OptionalFromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let bytes = read(request, state).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        parse(&bytes).map(Self).map(Some)
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::TooLarge
        } else {
            ApiError::BadRequest("The request body could not be read".to_owned())
        }
    })
}

/// Reads `bytes` as a `T`.
fn parse<T: FromBody>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut body = Body::open(bytes).map_err(|error| ApiError::Invalid(vec![error]))?;
    let read = T::read(&mut body);
    body.finish()?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug)]
    struct Sample;

    impl FromBody for Sample {
        fn read(body: &mut Body) -> Self {
            body.require("logical_date");
            body.time("logical_date", false);
            body.short_text("note", 3);
            body.word("state", &["queued", "success", "failed"]);
            body.task_ids("task_ids");
            Self
        }
    }

    fn findings(text: &str) -> Value {
        match parse::<Sample>(text.as_bytes()) {
            Err(ApiError::Invalid(errors)) => json!(errors),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_findings_come_at_once() {
        insta::assert_json_snapshot!(findings(
            r#"{"note": "long", "state": "running", "task_ids": [1, ["a", "x"]], "extra": 1}"#
        ));
    }

    #[test]
    fn a_naive_time_is_refused() {
        insta::assert_json_snapshot!(findings(r#"{"logical_date": "2024-05-01T10:00:00"}"#));
    }

    #[test]
    fn a_text_with_nul_is_refused_wherever_it_stands_and_not_repeated() {
        let whole = findings(r#"{"conf": {"list": [1, "secret\u0000"]}}"#);
        assert_eq!(whole[0]["loc"], json!(["body", "conf", "list", 1]));
        assert_eq!((&whole[0]["type"], &whole[0]["input"]), (&json!("value_error"), &Value::Null));
        assert_eq!(findings(r#"{"conf": {"a\u0000": 1}}"#)[0]["loc"], json!(["body", "conf"]));
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        insta::assert_json_snapshot!([findings("[]"), findings("{"), findings("")]);
    }
}
