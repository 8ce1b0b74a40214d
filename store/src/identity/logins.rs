//! Logins: whether one still counts, and ending one.
//!
//! A login itself is a signed token that its holder keeps; only what ends it early is stored.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use updraft_core::identity::Role;
use uuid::Uuid;

use super::role;
use crate::{Store, StoreError};

/// What the holder of a login may do now; `None` when it was ended, the user is gone, or the password is another since. Called
/// every few seconds per login in use, served by `ab_user_username_key` and `revoked_token_pkey`.
pub async fn standing(store: &Store, username: &str, epoch: Uuid, jti: Uuid) -> Result<Option<Role>, StoreError> {
    let found = sqlx::query_scalar!(
        "select role from ab_user
         where username = $1 and epoch = $2 and not exists (select from revoked_token where jti = $3)",
        username,
        epoch,
        jti
    )
    .fetch_optional(store.pool())
    .await?;
    found.map(|text| role(&text)).transpose()
}

/// Ends a login that would expire at `expires_at`; `false` when it had ended already. Forgets those that have expired meanwhile;
/// a day late, since the clocks that judge expiry are the webservers'.
pub async fn revoke(connection: &mut PgConnection, jti: Uuid, expires_at: DateTime<Utc>) -> Result<bool, StoreError> {
    sqlx::query!("delete from revoked_token where expires_at < now() - interval '1 day'")
        .execute(&mut *connection)
        .await?;
    let revoked = sqlx::query!(
        "insert into revoked_token (jti, expires_at) values ($1, $2) on conflict (jti) do nothing",
        jti,
        expires_at
    )
    .execute(connection)
    .await?;
    Ok(revoked.rows_affected() == 1)
}
