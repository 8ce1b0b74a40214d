//! `POST /connections/test` and `/connections/enqueue-test`. Unless the deployment allows it (`webserver.test_connection`; Airflow:
//! `[core] test_connection`, disabled by default, too), the server reaches no system on a caller's word. Tests on nodes there are none.

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::request::Parts,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    connections::{ConnectionBody, audited},
    note,
    params::{Body, FromBody, JsonBody, described},
};
use crate::{
    App,
    auth::Principal,
    error::{ApiError, FieldError},
    reach::reach,
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

/// Test a connection: whether what it names answers the webserver.
#[utoipa::path(post, path = "/connections/test", tag = "Connection", request_body = ConnectionBody,
    responses((status = 200, body = ConnectionTestResponse), (status = 403)))]
pub(crate) async fn test_connection(
    State(app): State<App>,
    principal: Principal,
    JsonBody(body): JsonBody<ConnectionBody>,
) -> Result<Json<ConnectionTestResponse>, ApiError> {
    let limit = app.config.test_connection.ok_or_else(disabled)?;
    let mut transaction = app.store.begin().await?;
    // What the body leaves out or masks is that of the connection known by its id.
    let connection = body.meant(&mut transaction, app.store.sources()).await?;
    note(&mut transaction, "test_connection", &principal, audited(&body, "POST")).await?;
    // Before the other system is asked: it may take its time.
    app.commit(transaction).await?;
    let outcome = reach(&connection, limit).await;
    let status = outcome.is_ok();
    Ok(Json(ConnectionTestResponse { status, message: outcome.unwrap_or_else(|why| why) }))
}

/// Test a connection on a node: always refused.
#[utoipa::path(post, path = "/connections/enqueue-test", tag = "Connection",
    request_body = ConnectionTestRequestBody,
    responses((status = 202, body = ConnectionTestQueuedResponse,
        extensions(("x-without-feature" = json!("tests of connections on nodes")))), (status = 403), (status = 409)))]
pub(crate) async fn enqueue_connection_test(
    State(app): State<App>,
    JsonBody(ConnectionTestRequestBody): JsonBody<ConnectionTestRequestBody>,
) -> Result<Json<ConnectionTestQueuedResponse>, ApiError> {
    Err(not_on_nodes(&app))
}

/// The outcome of a test: always refused.
#[utoipa::path(get, path = "/connections/enqueue-test", tag = "Connection",
    params(("Airflow-Connection-Test-Token" = String, Header)),
    responses((status = 200, body = AsyncConnectionTestResponse,
        extensions(("x-without-feature" = json!("tests of connections on nodes")))), (status = 403), (status = 404)))]
pub(crate) async fn get_connection_test(
    State(app): State<App>,
    TestToken: TestToken,
) -> Result<Json<AsyncConnectionTestResponse>, ApiError> {
    Err(not_on_nodes(&app))
}

fn not_on_nodes(app: &App) -> ApiError {
    if app.config.test_connection.is_none() {
        return disabled();
    }
    ApiError::Forbidden(
        "Connections are not tested on nodes. POST /connections/test tests them on the webserver.".into(),
    )
}

fn disabled() -> ApiError {
    ApiError::Forbidden(
        "Testing connections is disabled in Airflow configuration. Contact your deployment admin to enable it.".into(),
    )
}
