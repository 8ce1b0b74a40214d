//! The errors of the API, as Airflow 3 writes them: `{"detail": text | list | object}`.

use std::{borrow::Cow, time::Duration};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use updraft_store::StoreError;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a text with NUL is told. Airflow answers it with a 500.
pub(crate) const UNSTORABLE: &str = "text must not have the character NUL (U+0000), which Postgres cannot store";

/// A request that is not answered as asked.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// 400: a business rule.
    BadRequest(String),
    /// 401: no token, an expired one, a wrong password.
    Unauthorized(&'static str),
    /// 403.
    Forbidden(Cow<'static, str>),
    /// 404; the words differ per entity.
    NotFound(String),
    /// 406: the `Accept` header asks for what the handler does not make.
    NotAcceptable(&'static str),
    /// 409.
    Conflict(String),
    /// 409 of a unique constraint, named so that the log tells which.
    NotUnique { constraint: String },
    /// 413.
    TooLarge,
    /// 415.
    UnsupportedMediaType(String),
    /// 422, FastAPI's list.
    Invalid(Vec<FieldError>),
    /// 422 with a text: enum-like query values.
    InvalidText(String),
    /// 429: too often; how long to wait.
    TooMany(Duration),
    /// 503: Postgres is away or busy; the same call may work soon.
    Unavailable(String),
    /// 500 that says what to set: only whoever runs the deployment can mend it, and the text holds no secret.
    Misconfigured(String),
    /// 500: the answer shows only an id to look for in the log.
    Internal(String),
}

/// One finding of FastAPI's validation (pydantic's error types and messages).
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `query`, `path` or `body`, then names and list positions.
    #[schema(value_type = Vec<Value>)]
    pub loc: Vec<Value>,
    pub msg: String,
    #[schema(value_type = Value)]
    pub input: Box<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub ctx: Option<Box<Value>>,
}

impl FieldError {
    /// A field that the body must have.
    pub(crate) fn missing(field: &str) -> Self {
        let (loc, input) = (vec!["body".into(), field.into()], Box::new(Value::Null));
        Self { kind: "missing", loc, msg: "Field required".to_owned(), input, ctx: None }
    }

    /// A number of a `path` (or another `part`) that must be above 0.
    pub(crate) fn not_positive(part: &str, name: &str, number: i32) -> Self {
        Self {
            kind: "greater_than",
            loc: vec![part.into(), name.into()],
            msg: "Input should be greater than 0".to_owned(),
            input: Box::new(number.into()),
            ctx: Some(Box::new(json!({"gt": 0}))),
        }
    }
}

impl ApiError {
    /// "The X with … was not found", Airflow's most frequent 404.
    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self::NotFound(text.into())
    }

    /// A bug or a broken store: logged with an id, shown as the id.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }

    fn parts(&self) -> (StatusCode, Value) {
        match self {
            Self::BadRequest(text) => (StatusCode::BAD_REQUEST, text.as_str().into()),
            Self::Unauthorized(text) => (StatusCode::UNAUTHORIZED, (*text).into()),
            Self::Forbidden(text) => (StatusCode::FORBIDDEN, text.as_ref().into()),
            Self::NotFound(text) => (StatusCode::NOT_FOUND, text.as_str().into()),
            Self::NotAcceptable(text) => (StatusCode::NOT_ACCEPTABLE, (*text).into()),
            Self::Conflict(text) => (StatusCode::CONFLICT, text.as_str().into()),
            Self::NotUnique { constraint } => (StatusCode::CONFLICT, not_unique(constraint)),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large".into()),
            Self::UnsupportedMediaType(text) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, text.as_str().into()),
            Self::Invalid(errors) => (StatusCode::UNPROCESSABLE_ENTITY, json!(errors)),
            Self::InvalidText(text) => (StatusCode::UNPROCESSABLE_ENTITY, text.as_str().into()),
            Self::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "Too many tries. Please try again later.".into()),
            Self::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, text.as_str().into()),
            Self::Misconfigured(text) => (StatusCode::INTERNAL_SERVER_ERROR, text.as_str().into()),
            Self::Internal(error) => (StatusCode::INTERNAL_SERVER_ERROR, internal(error).into()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, detail) = self.parts();
        let wait = match &self {
            Self::TooMany(wait) => Some(wait.as_secs() + 1),
            Self::Unavailable(_) => Some(1),
            _ => None,
        };
        let mut response = (status, Json(json!({ "detail": detail }))).into_response();
        if let Some(seconds) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Constraint { constraint, .. } if constraint.ends_with("_key") => Self::NotUnique { constraint },
            StoreError::Inconsistent(error) => {
                tracing::error!(error, "a request met a state that its lock should have kept");
                Self::Unavailable("What was asked about changed meanwhile. Please try again.".to_owned())
            }
            StoreError::Secret(error) => {
                tracing::error!(error, "a request met a secret that cannot be read or written");
                Self::Misconfigured(error)
            }
            StoreError::Unstorable(error) => {
                tracing::warn!(error, "a handler passed on text that Postgres cannot store");
                Self::InvalidText(UNSTORABLE.to_owned())
            }
            error if error.is_transient() => {
                tracing::warn!(%error, "a request could not be answered now");
                Self::Unavailable("The database is not available at the moment. Please try again.".to_owned())
            }
            error => Self::internal(error),
        }
    }
}

/// Eight characters that lead from an answer to the line of the log.
pub(crate) fn lookup_id() -> String {
    Uuid::new_v4().simple().to_string()[..8].to_owned()
}

/// What a caller sees of a bug.
pub(crate) fn internal(error: &str) -> String {
    let id = lookup_id();
    tracing::error!(lookup_id = %id, error, "a request failed");
    format!("Internal Server Error. The webserver's log tells more: look for ID {id}")
}

fn not_unique(constraint: &str) -> Value {
    let id = lookup_id();
    tracing::info!(lookup_id = %id, constraint, "a request hit a unique constraint");
    json!({
        "reason": "Unique constraint violation",
        "statement": "hidden",
        "orig_error": "hidden",
        "message": format!("Serious error when handling your request. The webserver's log tells more: look for ID {id}"),
    })
}
