//! `/auth/*`: a name and a password against a token.

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{COOKIE, token::Lifetime};
use crate::{
    App,
    api::params::{Body, FromBody, JsonBody},
    error::ApiError,
};

/// A name and its password.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "documents the body; the handlers take it apart themselves")]
pub(crate) struct LoginBody {
    username: String,
    password: String,
}

/// The same, as the JSON-only endpoint reads it.
pub(crate) struct Login {
    username: String,
    password: SecretString,
}

impl FromBody for Login {
    fn read(body: &mut Body) -> Self {
        let username = body.required_text("username").unwrap_or_default();
        let password = body.required_text("password").unwrap_or_default().into();
        Self { username, password }
    }
}

/// A bearer token.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoginResponse {
    access_token: String,
}

/// Make a token from a name and a password.
#[utoipa::path(post, path = "/auth/token", tag = "SimpleAuthManagerLogin", request_body = LoginBody,
    responses((status = 201, body = LoginResponse), (status = 400), (status = 401), (status = 415), (status = 422)))]
pub(crate) async fn create_token(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<LoginResponse>), ApiError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let fields = match media_type {
        "application/json" => from_json(&body)?,
        "application/x-www-form-urlencoded" => from_form(&body),
        other => return Err(ApiError::UnsupportedMediaType(format!("Unsupported Media Type: {other}"))),
    };
    let field = |name: &str| {
        let found = fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        found.ok_or_else(|| ApiError::InvalidText(format!("Field required: {name}")))
    };
    let login = Login { username: field("username")?, password: field("password")?.into() };
    token(&app, login, Lifetime::Normal).await
}

/// Make a short-lived token for the command line.
#[utoipa::path(post, path = "/auth/token/cli", tag = "SimpleAuthManagerLogin", request_body = LoginBody,
    responses((status = 201, body = LoginResponse), (status = 400), (status = 401), (status = 422)))]
pub(crate) async fn create_token_cli(
    State(app): State<App>,
    JsonBody(login): JsonBody<Login>,
) -> Result<(StatusCode, Json<LoginResponse>), ApiError> {
    token(&app, login, Lifetime::Cli).await
}

/// A token without a password: only where everybody is admin, which is never here.
#[utoipa::path(get, path = "/auth/token", tag = "SimpleAuthManagerLogin", responses((status = 403)))]
pub(crate) async fn create_token_all_admins() -> ApiError {
    ApiError::Forbidden("This method is only allowed if ``[core] simple_auth_manager_all_admins`` is True".into())
}

/// Where to log in.
#[utoipa::path(get, path = "/api/v2/auth/login", tag = "Login", responses((status = 307)))]
pub(crate) async fn login() -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, HeaderValue::from_static("/login"))]).into_response()
}

/// Forget the browser's cookie.
#[utoipa::path(get, path = "/api/v2/auth/logout", tag = "Login", responses((status = 307)))]
pub(crate) async fn logout() -> Response {
    let forget = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    let headers = [(header::LOCATION, "/login"), (header::SET_COOKIE, forget.as_str())];
    (StatusCode::TEMPORARY_REDIRECT, headers).into_response()
}

async fn token(app: &App, login: Login, lifetime: Lifetime) -> Result<(StatusCode, Json<LoginResponse>), ApiError> {
    use secrecy::ExposeSecret;
    if login.username.is_empty() || login.password.expose_secret().is_empty() {
        return Err(ApiError::BadRequest("Username and password must be provided".to_owned()));
    }
    let principal = app.auth.log_in(&login.username, login.password).await?;
    let access_token = app.auth.keys.issue(&principal, lifetime)?;
    Ok((StatusCode::CREATED, Json(LoginResponse { access_token })))
}

fn from_json(body: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| ApiError::InvalidText(format!("JSON decode error: {error}")))?;
    let Value::Object(object) = value else {
        return Err(ApiError::InvalidText("Input should be a valid dictionary".to_owned()));
    };
    let text = |(key, value): (String, Value)| match value {
        Value::String(text) => Ok((key, text)),
        _ => Err(ApiError::InvalidText(format!("Input should be a valid string: {key}"))),
    };
    object.into_iter().map(text).collect()
}

fn from_form(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body).map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
}
