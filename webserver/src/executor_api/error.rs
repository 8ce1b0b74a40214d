//! Every refusal, in the protocol's shape.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use updraft_protocol::ErrorResponse;
use updraft_store::StoreError;

/// A refusal: a status, a code for the node, a sentence for people.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    /// The node token is missing, unknown or revoked.
    pub(super) fn unauthorized() -> Self {
        let detail = "the node token is missing, unknown or revoked: make one with `updraft executor token create NAME` and give it to the node with --token-file";
        Self::new(StatusCode::UNAUTHORIZED, "token_revoked", detail)
    }

    /// The session is not the node's any more, or never was.
    pub(super) fn unknown_session() -> Self {
        Self::new(StatusCode::CONFLICT, "unknown_session", "this session is not known (any more): register")
    }

    pub(super) fn name_taken(name: &str) -> Self {
        let detail = format!(
            "another live node has the name `{name}`: choose another with --name, or wait until that one is stopped and its lease ends"
        );
        Self::new(StatusCode::CONFLICT, "name_taken", detail)
    }

    pub(super) fn protocol(min: u32, max: u32) -> Self {
        let detail = format!(
            "the node speaks protocol versions {min} to {max}, this server {}: install the same version of updraft on both",
            updraft_protocol::VERSION
        );
        Self::new(StatusCode::BAD_REQUEST, "protocol", detail)
    }

    /// The request itself is wrong; sending it again is pointless.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    /// The token of the attempt is missing or another attempt's.
    pub(super) fn attempt_token() -> Self {
        let detail =
            format!("the header {} does not carry this attempt's token", updraft_protocol::ATTEMPT_TOKEN_HEADER);
        Self::new(StatusCode::FORBIDDEN, "attempt_token", detail)
    }

    /// The attempt is over, or another node's.
    pub(super) fn stale() -> Self {
        Self::new(StatusCode::CONFLICT, "stale", "the attempt is no longer current on this node: stop working on it")
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")
    }

    /// Nothing is wrong with the request; send it again.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            tracing::debug!(%error, "a node's request must be repeated");
            return Self::unavailable("the database is not available, try again");
        }
        if let StoreError::Secret(detail) = error {
            tracing::error!(error = detail, "a node asked for a secret that cannot be read");
            return Self::new(StatusCode::UNPROCESSABLE_ENTITY, "secret", detail);
        }
        let lookup = uuid::Uuid::new_v4().simple().to_string();
        tracing::error!(%error, lookup, "a node's request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("the server failed; its log has {lookup}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(ErrorResponse { code: self.code.to_owned(), detail: self.detail });
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
