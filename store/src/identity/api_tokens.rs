//! API tokens: a program acts for a user until the token is revoked or expires, or the user is deleted.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use updraft_core::identity::Role;

use super::role;
use crate::{
    Store, StoreError,
    opaque::{self, digest},
    query::filter::{Filter, Listing, OrderBy, Page, list},
};

/// What every API token begins with; no JWT does.
const PREFIX: &str = "updraft_api_";

/// A token without its secret.
#[derive(Clone, Debug, FromRow)]
pub struct ApiTokenRow {
    pub id: i64,
    pub name: String,
    pub username: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    /// To the hour.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A new token, whose text cannot be had again.
pub struct NewToken {
    pub id: i64,
    pub text: String,
}

pub const ORDER_BY: OrderBy = &[
    ("id", "t.id", "bigint"),
    ("name", "t.name", "text"),
    ("username", "u.username", "text"),
    ("created_at", "t.created_at", "timestamptz"),
    ("expires_at", "t.expires_at", "timestamptz"),
    ("last_used_at", "t.last_used_at", "timestamptz"),
];

const SELECT: &str = "t.id, t.name, u.username, t.created_at, t.expires_at, t.last_used_at";
const FROM: &str = "api_token t join ab_user u on u.id = t.user_id";

/// Whether a text is meant as an API token.
pub fn is_one(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Makes a token that acts for `username`, for ever or for some days; `None` when there is no such user.
pub async fn create(
    connection: &mut PgConnection,
    username: &str,
    name: &str,
    days: Option<i32>,
) -> Result<Option<NewToken>, StoreError> {
    let text = opaque::make(PREFIX);
    let id = sqlx::query_scalar!(
        "insert into api_token (user_id, name, hash, expires_at)
         select id, $2, $3, now() + make_interval(days => $4) from ab_user where username = $1
         returning id",
        username,
        name,
        digest(&text),
        days
    )
    .fetch_optional(connection)
    .await?;
    Ok(id.map(|id| NewToken { id, text }))
}

/// For whom a token acts, and what that user may do; `None` for one that is unknown, revoked or expired. Called every few seconds
/// per token in use, served by `api_token_hash_key`; writes at most once an hour.
pub async fn authenticate(store: &Store, token: &str) -> Result<Option<(String, Role)>, StoreError> {
    let row = sqlx::query!(
        r#"with found as (
               select t.id, u.username, u.role,
                      coalesce(t.last_used_at < now() - interval '1 hour', true) as is_stale
               from api_token t join ab_user u on u.id = t.user_id
               where t.hash = $1 and coalesce(t.expires_at > now(), true)
           ), touched as (
               update api_token t set last_used_at = now() from found where t.id = found.id and found.is_stale
           )
           select username as "username!", role as "role!" from found"#,
        digest(token)
    )
    .fetch_optional(store.pool())
    .await?;
    row.map(|row| Ok((row.username, role(&row.role)?))).transpose()
}

/// One page of tokens, of one user or of all.
pub async fn page(
    connection: &mut PgConnection,
    username: Option<&str>,
    page: &Page,
) -> Result<Listing<ApiTokenRow>, StoreError> {
    list(connection, (SELECT, FROM), page, &[("t.id", "bigint")], |sql| {
        sql.equals("u.username", username.map(str::to_owned));
    })
    .await
}

/// One token.
pub async fn get(connection: &mut PgConnection, id: i64) -> Result<Option<ApiTokenRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("t.id", Some(id));
    sql.fetch_optional(connection).await
}

/// Revokes a token, of one user or whoever's it is: it is gone. The row it was; `None` when there is none.
pub async fn revoke(
    connection: &mut PgConnection,
    id: i64,
    username: Option<&str>,
) -> Result<Option<ApiTokenRow>, StoreError> {
    Ok(sqlx::query_as!(
        ApiTokenRow,
        "delete from api_token t using ab_user u
         where u.id = t.user_id and t.id = $1 and ($2::text is null or u.username = $2)
         returning t.id, t.name, u.username, t.created_at, t.expires_at, t.last_used_at",
        id,
        username
    )
    .fetch_optional(connection)
    .await?)
}
