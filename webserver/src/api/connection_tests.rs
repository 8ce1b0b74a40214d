//! `POST /connections/test` and `/connections/enqueue-test`: testing connections is disabled, as it is by default in Airflow
//! (`[core] test_connection`): the server reaches no system on a caller's word.

use axum::{Json, extract::FromRequestParts, http::request::Parts};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    connections::ConnectionBody,
    params::{Body, FromBody, JsonBody, described},
};
use crate::{
    error::{ApiError, FieldError},
    time::Timestamp,
};

/// Names the test whose outcome is asked for.
const TOKEN: &str = "airflow-connection-test-token";

/// A connection, and how it is to be tested.
pub(crate) struct ConnectionTestRequestBody;

described!(ConnectionTestRequestBody);

impl FromBody for ConnectionTestRequestBody {
    fn read(body: &mut Body) -> Self {
        ConnectionBody::read(body);
        body.flag("commit_on_success", false);
        body.text("executor");
        body.text("queue");
        Self
    }
}

/// The header that [`TOKEN`] names; without it the request is not understood.
pub(crate) struct TestToken;

impl<S: Send + Sync> FromRequestParts<S> for TestToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        if parts.headers.contains_key(TOKEN) {
            return Ok(Self);
        }
        let loc = vec!["header".into(), TOKEN.into()];
        Err(ApiError::Invalid(vec![FieldError { loc, ..FieldError::missing(TOKEN) }]))
    }
}

/// What came of a test.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConnectionTestResponse {
    status: bool,
    message: String,
}

/// A test that waits for its turn.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConnectionTestQueuedResponse {
    token: String,
    connection_id: String,
    state: String,
}

/// How far a test is.
#[derive(Serialize, ToSchema)]
pub(crate) struct AsyncConnectionTestResponse {
    token: String,
    connection_id: String,
    state: String,
    result_message: Option<String>,
    created_at: Timestamp,
}

/// Test a connection: always refused.
#[utoipa::path(post, path = "/connections/test", tag = "Connection", request_body = ConnectionBody,
    responses((status = 200, body = ConnectionTestResponse,
        extensions(("x-without-feature" = json!("tests of connections")))), (status = 403)))]
pub(crate) async fn test_connection(
    JsonBody(_): JsonBody<ConnectionBody>,
) -> Result<Json<ConnectionTestResponse>, ApiError> {
    Err(disabled())
}

/// Test a connection on a node: always refused.
#[utoipa::path(post, path = "/connections/enqueue-test", tag = "Connection",
    request_body = ConnectionTestRequestBody,
    responses((status = 202, body = ConnectionTestQueuedResponse,
        extensions(("x-without-feature" = json!("tests of connections")))), (status = 403), (status = 409)))]
pub(crate) async fn enqueue_connection_test(
    JsonBody(ConnectionTestRequestBody): JsonBody<ConnectionTestRequestBody>,
) -> Result<Json<ConnectionTestQueuedResponse>, ApiError> {
    Err(disabled())
}

/// The outcome of a test: always refused.
#[utoipa::path(get, path = "/connections/enqueue-test", tag = "Connection",
    params(("Airflow-Connection-Test-Token" = String, Header)),
    responses((status = 200, body = AsyncConnectionTestResponse,
        extensions(("x-without-feature" = json!("tests of connections")))), (status = 403), (status = 404)))]
pub(crate) async fn get_connection_test(TestToken: TestToken) -> Result<Json<AsyncConnectionTestResponse>, ApiError> {
    Err(disabled())
}

fn disabled() -> ApiError {
    ApiError::Forbidden(
        "Testing connections is disabled in Airflow configuration. Contact your deployment admin to enable it.".into(),
    )
}
