//! `GET /auth/oidc/login` and `/auth/oidc/callback`: to the provider, and back with a login.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};
use axum_extra::extract::CookieJar;

use super::{LOGIN_SECONDS, Logins, provider::OidcError};
use crate::{
    App,
    api::params::{FromQuery, Query, QueryParams},
    auth::{address::ClientAddress, login::Next},
    error::ApiError,
};

/// What a login needs until the browser is back. `Lax`: it comes back from another site, by a link.
const COOKIE: &str = "_oidc";

pub(crate) struct Callback {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

impl FromQuery for Callback {
    fn read(query: &mut Query) -> Self {
        Self { code: query.text("code"), state: query.text("state"), error: query.text("error") }
    }
}

/// Log in by the provider.
#[utoipa::path(get, path = "/auth/oidc/login", tag = "Updraft", params(QueryParams<Next>),
    responses((status = 303), (status = 400), (status = 404), (status = 503)))]
pub(crate) async fn oidc_login(
    State(app): State<App>,
    headers: HeaderMap,
    QueryParams(next): QueryParams<Next>,
) -> Result<Response, ApiError> {
    let next = next.safe(&headers)?.unwrap_or("/");
    let (place, carried) = logins(&app)?.begin(next).await?;
    go(&place, &[cookie(&app, &carried, LOGIN_SECONDS)])
}

/// Where the provider sends browsers back to.
#[utoipa::path(get, path = "/auth/oidc/callback", tag = "Updraft", params(QueryParams<Callback>),
    responses((status = 303), (status = 403), (status = 404), (status = 503)))]
pub(crate) async fn oidc_callback(
    State(app): State<App>,
    from: ClientAddress,
    jar: CookieJar,
    QueryParams(callback): QueryParams<Callback>,
) -> Result<Response, ApiError> {
    let logins = logins(&app)?;
    if let Some(error) = callback.error {
        return Err(OidcError::Refused(format!("the provider did not log you in: {error}")).into());
    }
    let carried = jar.get(COOKIE).map(|cookie| cookie.value().to_owned()).unwrap_or_default();
    let (code, state) = (callback.code.unwrap_or_default(), callback.state.unwrap_or_default());
    let (person, next) = logins.end(&carried, &state, &code).await?;
    let id = logins.oidc.external_id(&person.subject);
    let token = app.auth.log_in_external(&app.store, &id, &person.name, person.role, from.0).await?;
    go(&next, &[app.auth.cookie(&token), cookie(&app, "", 0)])
}

fn logins(app: &App) -> Result<&Logins, ApiError> {
    let nobody = || ApiError::not_found("No login provider is configured (auth.oidc_issuer)");
    app.oidc.as_ref().ok_or_else(nobody)
}

/// Only this page's requests carry it, and no script reads it.
fn cookie(app: &App, value: &str, seconds: i64) -> HeaderValue {
    let secure = if app.config.secure_cookies { "; Secure" } else { "" };
    let line = format!("{COOKIE}={value}; Path=/auth/oidc; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(line).expect("what is sealed is letters, digits, dots, dashes and underscores")
}

fn go(place: &str, cookies: &[HeaderValue]) -> Result<Response, ApiError> {
    let place = HeaderValue::from_str(place).map_err(ApiError::internal)?;
    let cookies = AppendHeaders(cookies.iter().map(|cookie| (header::SET_COOKIE, cookie.clone())));
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, place)], cookies).into_response())
}

impl From<OidcError> for ApiError {
    fn from(error: OidcError) -> Self {
        match error {
            OidcError::Provider(text) => {
                tracing::warn!(error = text, "nobody can log in by the provider");
                Self::Unavailable(
                    "The login provider cannot be used at the moment; the webserver's log says why".to_owned(),
                )
            }
            OidcError::Refused(text) => {
                tracing::info!(reason = text, "a login by the provider was refused");
                Self::Forbidden(format!("Not logged in: {text}").into())
            }
        }
    }
}
