//! The cookie by which a browser is logged in. Scripts of the page cannot read it, other sites' forms do not carry it.

use std::time::Duration;

use axum::http::HeaderValue;

/// Airflow's name for it.
pub(super) const NAME: &str = "_token";

/// A `Set-Cookie` that lasts as long as the token in it.
pub(super) fn set(token: &str, lifetime: Duration, secure: bool) -> HeaderValue {
    line(token, lifetime.as_secs(), secure)
}

/// A `Set-Cookie` that takes it back.
pub(super) fn forget(secure: bool) -> HeaderValue {
    line("", 0, secure)
}

fn line(value: &str, seconds: u64, secure: bool) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    let line = format!("{NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(line).expect("a token is letters, digits, dots, dashes and underscores")
}
