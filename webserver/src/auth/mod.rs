//! Who a caller is: passwords, tokens, and the login endpoints.

pub(crate) mod login;
mod token;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use axum_extra::extract::CookieJar;
use secrecy::{ExposeSecret, SecretString};
use std::convert::Infallible;

use crate::{
    Config, ServeError,
    auth::token::{Keys, Refused},
    error::ApiError,
    permission::Role,
};

/// The cookie a browser may carry instead of the header.
pub(crate) const COOKIE: &str = "_token";

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// Handlers behind a permission can ask who calls.
impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts
            .extensions
            .get()
            .cloned()
            .ok_or_else(|| ApiError::internal("a handler without a permission asks who calls"))
    }
}

/// The token of a request, if it carries one; the header wins over the cookie.
pub(crate) struct Credentials(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Credentials {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let cookie = || CookieJar::from_headers(&parts.headers).get(COOKIE).map(|cookie| cookie.value().to_owned());
        Ok(Self(bearer(&parts.headers).or_else(cookie)))
    }
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// The configured user and the keys of tokens.
pub(crate) struct Auth {
    keys: Keys,
    admin_user: String,
    password_hash: String,
}

impl Auth {
    /// Hashes the password off the runtime's threads (argon2 takes tens of milliseconds).
    pub(crate) async fn new(config: &Config) -> Result<Self, ServeError> {
        if config.jwt_secret.expose_secret().is_empty() {
            return Err(ServeError::Config("the secret that signs tokens is empty".to_owned()));
        }
        if config.admin_password.expose_secret().is_empty() {
            return Err(ServeError::Config("the admin's password is empty".to_owned()));
        }
        let password = config.admin_password.clone();
        let password_hash = tokio::task::spawn_blocking(move || {
            Argon2::default()
                .hash_password(password.expose_secret().as_bytes())
                .map(|hash: PasswordHash| hash.to_string())
        })
        .await
        .map_err(|error| ServeError::Config(format!("hashing the admin's password was interrupted: {error}")))?
        .map_err(|error| ServeError::Config(format!("the admin's password cannot be hashed: {error}")))?;
        Ok(Self { keys: Keys::new(config), admin_user: config.admin_user.clone(), password_hash })
    }

    /// The caller that a password names.
    ///
    /// # Errors
    /// 401 for a wrong name or password, after the same work for both.
    async fn log_in(&self, username: &str, password: SecretString) -> Result<Principal, ApiError> {
        let hash = self.password_hash.clone();
        let right = tokio::task::spawn_blocking(move || {
            let hash = PasswordHash::new(&hash).expect("the hash was made by argon2 at the start");
            Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).is_ok()
        })
        .await
        .map_err(ApiError::internal)?;
        if right && username == self.admin_user {
            Ok(Principal { name: username.to_owned(), role: Role::Admin })
        } else {
            tracing::info!(username, "a login was refused");
            Err(ApiError::Unauthorized("Invalid credentials"))
        }
    }

    /// The caller that a request's token names.
    ///
    /// # Errors
    /// 401 without a token or with an expired one, 403 for one that cannot be read.
    pub(crate) fn verify(&self, credentials: &Credentials) -> Result<Principal, ApiError> {
        let token = credentials.0.as_deref().ok_or(ApiError::Unauthorized("Not authenticated"))?;
        self.keys.verify(token).map_err(|refused| match refused {
            Refused::Expired => ApiError::Unauthorized("Token Expired"),
            Refused::Invalid => ApiError::Forbidden("Invalid JWT token".into()),
        })
    }
}
