//! `/auth/*`: a name and a password against a token; where browsers log in and out.

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};
use form_urlencoded::byte_serialize;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Credentials, address::ClientAddress, redirect, token::Lifetime};
use crate::{
    App,
    api::params::{Body, FromBody, FromQuery, JsonBody, Query, QueryParams},
    error::ApiError,
};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A name and its password.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "documents the body; the handlers take it apart themselves")]
pub(crate) struct LoginBody {
    username: String,
    password: String,
}

/// The same, as the JSON-only endpoints read it.
pub(crate) struct Login {
    username: String,
    password: SecretString,
}

impl FromBody for Login {
    fn read(body: &mut Body) -> Self {
        body.conceal(&["password"]);
        let username = body.required_text("username").unwrap_or_default();
        let password = body.required_text("password").unwrap_or_default().into();
        Self { username, password }
    }
}

/// Where to go after the login.
pub(crate) struct Next(Option<String>);

impl FromQuery for Next {
    fn read(query: &mut Query) -> Self {
        Self(query.text("next"))
    }
}

impl Next {
    /// # Errors
    /// 400 when it is not a place of this server.
    pub(super) fn safe(&self, headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
        let unsafe_ = || ApiError::BadRequest("Invalid or unsafe next URL".to_owned());
        let given = self.0.as_deref().filter(|next| !next.is_empty());
        given.map(|next| redirect::safe(next, headers).ok_or_else(unsafe_)).transpose()
    }
}

/// A bearer token.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoginResponse {
    access_token: String,
}

/// Make a token from a name and a password.
#[utoipa::path(post, path = "/auth/token", tag = "SimpleAuthManagerLogin", request_body = LoginBody,
    responses((status = 201, body = LoginResponse), (status = 400), (status = 401), (status = 415), (status = 422),
        (status = 429)))]
pub(crate) async fn create_token(
    State(app): State<App>,
    from: ClientAddress,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<LoginResponse>), ApiError> {
    let mut fields = match media_type(&headers) {
        JSON => from_json(&body)?,
        FORM => from_form(&body),
        other => return Err(ApiError::UnsupportedMediaType(format!("Unsupported Media Type: {other}"))),
    };
    if let Some((other, _)) = fields.iter().find(|(key, _)| !["username", "password"].contains(&key.as_str())) {
        return Err(ApiError::InvalidText(format!("Extra inputs are not permitted: {other}")));
    }
    let mut field = |name: &str| {
        let found = fields.iter().position(|(key, _)| key == name).map(|index| fields.swap_remove(index).1);
        found.ok_or_else(|| ApiError::InvalidText(format!("Field required: {name}")))
    };
    let login = Login { username: field("username")?, password: field("password")?.into() };
    if let Some((extra, _)) = fields.first() {
        return Err(ApiError::InvalidText(format!("Extra inputs are not permitted: {extra}")));
    }
    token(&app, login, from, Lifetime::Normal).await
}

/// Make a short-lived token for the command line.
#[utoipa::path(post, path = "/auth/token/cli", tag = "SimpleAuthManagerLogin", request_body = LoginBody,
    responses((status = 201, body = LoginResponse), (status = 400), (status = 401), (status = 422), (status = 429)))]
pub(crate) async fn create_token_cli(
    State(app): State<App>,
    from: ClientAddress,
    JsonBody(login): JsonBody<Login>,
) -> Result<(StatusCode, Json<LoginResponse>), ApiError> {
    token(&app, login, from, Lifetime::Cli).await
}

/// A token without a password, where everybody is an admin.
#[utoipa::path(get, path = "/auth/token", tag = "SimpleAuthManagerLogin",
    responses((status = 201, body = LoginResponse), (status = 403)))]
pub(crate) async fn create_token_all_admins(
    State(app): State<App>,
) -> Result<(StatusCode, Json<LoginResponse>), ApiError> {
    Ok((StatusCode::CREATED, Json(LoginResponse { access_token: app.auth.log_in_anonymous()? })))
}

/// The same for a browser: the token is a cookie, and the answer leads on.
#[utoipa::path(get, path = "/auth/token/login", tag = "SimpleAuthManagerLogin", params(QueryParams<Next>),
    responses((status = 307), (status = 400), (status = 403)))]
pub(crate) async fn login_all_admins(
    State(app): State<App>,
    headers: HeaderMap,
    QueryParams(next): QueryParams<Next>,
) -> Result<Response, ApiError> {
    let token = app.auth.log_in_anonymous()?;
    let next = next.safe(&headers)?.unwrap_or("/");
    Ok(to(next, Some(app.auth.cookie(&token))))
}

/// How people log in here.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoginWays {
    /// By a provider, at `/auth/oidc/login`, beside a name and a password.
    oidc: bool,
}

/// How people log in here, for the page that asks them to.
#[utoipa::path(get, path = "/ui/login", tag = "Updraft", responses((status = 200, body = LoginWays)))]
pub(crate) async fn get_login_ways(State(app): State<App>) -> Json<LoginWays> {
    Json(LoginWays { oidc: app.oidc.is_some() })
}

/// Log a browser in: the token is a cookie that its scripts cannot read.
#[utoipa::path(post, path = "/ui/login", tag = "Updraft", request_body = LoginBody,
    responses((status = 204), (status = 400), (status = 401), (status = 415), (status = 422), (status = 429)))]
pub(crate) async fn log_in(
    State(app): State<App>,
    from: ClientAddress,
    headers: HeaderMap,
    JsonBody(login): JsonBody<Login>,
) -> Result<Response, ApiError> {
    // A form of another site can send anything but this, so it cannot log its visitors in as somebody else.
    if media_type(&headers) != JSON {
        return Err(ApiError::UnsupportedMediaType(format!("Unsupported Media Type: send {JSON}")));
    }
    let token = enter(&app, login, from, Lifetime::Normal).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, app.auth.cookie(&token))]).into_response())
}

/// Where to log in.
#[utoipa::path(get, path = "/api/v2/auth/login", tag = "Login", params(QueryParams<Next>),
    responses((status = 307), (status = 400)))]
pub(crate) async fn login(
    State(app): State<App>,
    headers: HeaderMap,
    QueryParams(next): QueryParams<Next>,
) -> Result<Response, ApiError> {
    let page = if app.config.all_admins { "/auth/token/login" } else { "/login" };
    Ok(match next.safe(&headers)? {
        Some(next) => to(&format!("{page}?next={}", byte_serialize(next.as_bytes()).collect::<String>()), None),
        None => to(page, None),
    })
}

/// Log out: the token of the request ends, in the header or the cookie, and the browser forgets it.
#[utoipa::path(get, path = "/api/v2/auth/logout", tag = "Login", responses((status = 307)))]
pub(crate) async fn logout(State(app): State<App>, credentials: Credentials) -> Response {
    // The browser is logged out whatever happens here.
    if let Err(error) = app.auth.log_out(&app.store, &credentials).await {
        tracing::error!(?error, "a login could not be ended; it counts until it expires");
    }
    to("/login", Some(app.auth.forget_cookie()))
}

fn to(place: &str, cookie: Option<HeaderValue>) -> Response {
    let place = HeaderValue::from_str(place).expect("a safe place has no control characters");
    let cookie = cookie.map(|cookie| (header::SET_COOKIE, cookie));
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, place)], AppendHeaders(cookie)).into_response()
}

async fn enter(app: &App, login: Login, from: ClientAddress, lifetime: Lifetime) -> Result<String, ApiError> {
    app.auth.log_in(&app.store, &login.username, login.password, from.0, lifetime).await
}

async fn token(
    app: &App,
    login: Login,
    from: ClientAddress,
    lifetime: Lifetime,
) -> Result<(StatusCode, Json<LoginResponse>), ApiError> {
    let access_token = enter(app, login, from, lifetime).await?;
    Ok((StatusCode::CREATED, Json(LoginResponse { access_token })))
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
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
