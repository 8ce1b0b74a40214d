//! Who a caller is: logins, API tokens, and the endpoints that give and take them.

pub(crate) mod address;
mod cookie;
pub(crate) mod login;
pub(crate) mod oidc;
mod redirect;
mod throttle;
mod token;

use std::{
    convert::Infallible,
    net::IpAddr,
    time::{Duration, Instant},
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
};
use axum_extra::extract::CookieJar;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use updraft_core::identity::{Role, UserName};
use updraft_store::{
    Store, StoreError, audit,
    identity::{api_tokens, logins, users},
};
use uuid::Uuid;

use self::{
    throttle::Throttle,
    token::{Keys, Lifetime, Login, Refused},
};
use crate::{Config, ServeError, error::ApiError, passwords::Passwords, recent::Recent};

/// For so long what a caller may do is not asked again: who is deleted, demoted or logged out elsewhere loses access then.
const RECHECK: Duration = Duration::from_secs(2);

/// Who acts where everybody is an admin (Airflow: `SimpleAuthManagerLogin._create_anonymous_admin_user`).
const ANONYMOUS: &str = "Anonymous";

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// By an API token, not by a login.
    pub(crate) is_program: bool,
}

impl Principal {
    fn person(name: String, role: Role) -> Self {
        Self { name, role, is_program: false }
    }

    fn anonymous() -> Self {
        Self::person(ANONYMOUS.to_owned(), Role::Admin)
    }
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

/// The tokens of a request. The header's wins over the cookie's.
pub(crate) struct Credentials {
    bearer: Option<String>,
    cookie: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Credentials {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let cookie = CookieJar::from_headers(&parts.headers).get(cookie::NAME).map(|cookie| cookie.value().to_owned());
        Ok(Self { bearer: bearer(&parts.headers).map(str::to_owned), cookie })
    }
}

/// The token of an `Authorization: Bearer …`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What identifies a caller whose standing was asked.
#[derive(PartialEq, Eq, Hash)]
enum Proof {
    /// A login's `jti`.
    Login(Uuid),
    /// An API token's SHA-256.
    ApiToken([u8; 32]),
}

/// Decides who calls.
pub(crate) struct Auth {
    keys: Keys,
    all_admins: bool,
    secure_cookies: bool,
    known: Recent<Proof, Principal>,
    throttle: Throttle,
    pub(crate) passwords: Passwords,
}

impl Auth {
    /// # Errors
    /// [`ServeError::Config`] for an empty secret.
    pub(crate) fn new(config: &Config) -> Result<Self, ServeError> {
        if config.jwt_secret.expose_secret().is_empty() {
            return Err(ServeError::Config("the secret that signs tokens is empty".to_owned()));
        }
        if config.all_admins {
            tracing::warn!("auth.all_admins is on: whoever reaches this server is an admin, without a login");
        }
        Ok(Self {
            keys: Keys::new(config),
            all_admins: config.all_admins,
            secure_cookies: config.secure_cookies,
            known: Recent::new(RECHECK),
            throttle: Throttle::new(),
            passwords: Passwords::new(),
        })
    }

    /// The token for a name and its password.
    ///
    /// # Errors
    /// 401 for a wrong name or password, after the same work for both; 429 after too many of them; 503 when too many log in at
    /// once.
    async fn log_in(
        &self,
        store: &Store,
        username: &str,
        password: SecretString,
        from: IpAddr,
        lifetime: Lifetime,
    ) -> Result<String, ApiError> {
        if username.is_empty() || password.expose_secret().is_empty() {
            return Err(ApiError::BadRequest("Username and password must be provided".to_owned()));
        }
        let this = self.throttle.begin(username, from, Instant::now()).map_err(|wait| {
            tracing::debug!(address = %from, "a login was refused: too many tries");
            ApiError::TooMany(wait)
        })?;
        let found = users::credentials(&mut *connection(store).await?, username).await?;
        let stored = found.as_ref().and_then(|user| user.password.clone());
        let right = self.passwords.is_right(password, stored).await;
        if !matches!(right, Ok(false)) {
            self.throttle.take_back(this);
        }
        // A name that nobody has may be a password in the wrong field: it is not written down.
        let owner = found.as_ref().map(|_| username);
        let (true, Some(user)) = (right?, found.as_ref()) else {
            tracing::info!(username = owner, address = %from, "a login was refused");
            told(&mut *connection(store).await?, "login_failed", owner, from).await?;
            return Err(ApiError::Unauthorized("Invalid credentials"));
        };
        let principal = Principal::person(username.to_owned(), user.role);
        let token = self.keys.issue(&principal, Some(user.epoch), lifetime)?;
        told(&mut *connection(store).await?, "login", owner, from).await?;
        Ok(token)
    }

    /// The token for somebody whom the login provider vouches for.
    ///
    /// # Errors
    /// 403 when somebody else has the name.
    async fn log_in_external(
        &self,
        store: &Store,
        external_id: &str,
        name: &UserName,
        role: Role,
        from: IpAddr,
    ) -> Result<String, ApiError> {
        let mut transaction = store.begin().await?;
        let Some(epoch) = users::enter_external(&mut transaction, external_id, name, role).await? else {
            let text = format!("Not logged in: another user is called {} here", name.as_str());
            return Err(ApiError::Forbidden(text.into()));
        };
        told(&mut transaction, "login", Some(name.as_str()), from).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        // The role may be another one.
        self.changed();
        self.keys.issue(&Principal::person(name.as_str().to_owned(), role), Some(epoch), Lifetime::Normal)
    }

    /// A token for nobody in particular, where everybody is an admin.
    ///
    /// # Errors
    /// 403 elsewhere.
    fn log_in_anonymous(&self) -> Result<String, ApiError> {
        if !self.all_admins {
            let msg = "This method is only allowed if ``[core] simple_auth_manager_all_admins`` is True";
            return Err(ApiError::Forbidden(msg.into()));
        }
        self.keys.issue(&Principal::anonymous(), None, Lifetime::Normal)
    }

    /// Ends the logins of a request; an API token is not ended by logging out.
    async fn log_out(&self, store: &Store, credentials: &Credentials) -> Result<(), ApiError> {
        for token in [&credentials.bearer, &credentials.cookie].into_iter().flatten() {
            // What is no login, or has expired, has nothing to be ended.
            let Ok(login) = self.keys.verify(token) else { continue };
            let mut transaction = store.begin().await?;
            if logins::revoke(&mut transaction, login.jti, login.expires_at).await? {
                let entry = audit::Entry { event: "logout", owner: Some(&login.name), ..audit::Entry::default() };
                audit::write(&mut transaction, &entry).await?;
            }
            transaction.commit().await.map_err(StoreError::from)?;
        }
        self.changed();
        Ok(())
    }

    /// Users or tokens changed: what this process knows of callers is asked anew, at once.
    pub(crate) fn changed(&self) {
        self.known.forget_all();
    }

    /// The caller that a request's token names, with the role of this moment, give or take [`RECHECK`].
    ///
    /// # Errors
    /// 401 without a token, with an expired or a revoked one, 403 for one that cannot be read.
    pub(crate) async fn verify(&self, store: &Store, credentials: &Credentials) -> Result<Principal, ApiError> {
        let Some(token) = credentials.bearer.as_deref().or(credentials.cookie.as_deref()) else {
            return if self.all_admins {
                Ok(Principal::anonymous())
            } else {
                Err(ApiError::Unauthorized("Not authenticated"))
            };
        };
        if api_tokens::is_one(token) {
            self.verify_api_token(store, token).await
        } else {
            let login = self.keys.verify(token).map_err(|refused| match refused {
                Refused::Expired => ApiError::Unauthorized("Token Expired"),
                Refused::Invalid => ApiError::Forbidden("Invalid JWT token".into()),
            })?;
            self.verify_login(store, login).await
        }
    }

    async fn verify_login(&self, store: &Store, login: Login) -> Result<Principal, ApiError> {
        let revoked = || ApiError::Unauthorized("Token Revoked");
        let Some(epoch) = login.epoch else {
            return if self.all_admins { Ok(Principal::anonymous()) } else { Err(revoked()) };
        };
        let proof = Proof::Login(login.jti);
        if let Some(known) = self.known.get(&proof) {
            return Ok(known);
        }
        let asked = Instant::now();
        let role = logins::standing(store, &login.name, epoch, login.jti).await?.ok_or_else(revoked)?;
        let principal = Principal::person(login.name, role);
        self.known.keep(proof, principal.clone(), asked);
        Ok(principal)
    }

    async fn verify_api_token(&self, store: &Store, token: &str) -> Result<Principal, ApiError> {
        let proof = Proof::ApiToken(Sha256::digest(token).into());
        if let Some(known) = self.known.get(&proof) {
            return Ok(known);
        }
        let asked = Instant::now();
        let found = api_tokens::authenticate(store, token).await?;
        let (name, role) = found.ok_or(ApiError::Unauthorized("Invalid API token"))?;
        let principal = Principal { name, role, is_program: true };
        self.known.keep(proof, principal.clone(), asked);
        Ok(principal)
    }

    /// A browser's cookie for a token of [`Lifetime::Normal`].
    fn cookie(&self, token: &str) -> HeaderValue {
        cookie::set(token, self.keys.lifetime(Lifetime::Normal), self.secure_cookies)
    }

    fn forget_cookie(&self) -> HeaderValue {
        cookie::forget(self.secure_cookies)
    }
}

async fn connection(store: &Store) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, ApiError> {
    Ok(store.pool().acquire().await.map_err(StoreError::from)?)
}

/// The audit row of a login.
async fn told(connection: &mut PgConnection, event: &str, owner: Option<&str>, from: IpAddr) -> Result<(), ApiError> {
    let extra = Some(json!({"address": from.to_string()}));
    Ok(audit::write(connection, &audit::Entry { event, owner, extra, ..audit::Entry::default() }).await?)
}
