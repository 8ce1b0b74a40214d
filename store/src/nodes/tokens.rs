//! Node tokens: made once, shown once, stored hashed, revocable.

use chrono::{DateTime, Utc};

use crate::{
    Store, StoreError,
    opaque::{self, digest},
};

/// What every node token begins with, so that people and secret scanners recognise one.
const PREFIX: &str = "updraft_node_";

/// A token's row; says which nodes a caller may speak for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenId(pub i64);

/// A token without its secret, as `updraft executor token list` shows it.
#[derive(Clone, Debug)]
pub struct TokenRow {
    pub id: TokenId,
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Makes a token and returns its text, which cannot be had again. Names need not be unique: replacing a token is making a
/// second one of the same name and revoking the first by its id.
pub async fn create_token(store: &Store, name: &str) -> Result<String, StoreError> {
    let token = opaque::make(PREFIX);
    sqlx::query!("insert into executor_token (name, hash) values ($1, $2)", name, digest(&token))
        .execute(store.pool())
        .await?;
    Ok(token)
}

/// Whose token this is; `None` for an unknown or revoked one. Called by the webserver every few seconds per token, served by
/// `executor_token_hash_key`.
pub async fn authenticate_token(store: &Store, token: &str) -> Result<Option<TokenId>, StoreError> {
    let id = sqlx::query_scalar!("select id from executor_token where hash = $1 and revoked_at is null", digest(token))
        .fetch_optional(store.pool())
        .await?;
    Ok(id.map(TokenId))
}

/// Revokes every live token of that name (or with that id, written as a number) and returns how many there were. Nodes using
/// one are refused within seconds; what they run is retried elsewhere when their lease ends.
pub async fn revoke_token(store: &Store, name_or_id: &str) -> Result<u64, StoreError> {
    let id: Option<i64> = name_or_id.parse().ok();
    let revoked = sqlx::query!(
        "update executor_token set revoked_at = now() where revoked_at is null and (name = $1 or id = $2)",
        name_or_id,
        id
    )
    .execute(store.pool())
    .await?;
    Ok(revoked.rows_affected())
}

/// All tokens, newest first.
pub async fn list_tokens(store: &Store) -> Result<Vec<TokenRow>, StoreError> {
    let rows = sqlx::query!("select id, name, created_at, revoked_at from executor_token order by id desc")
        .fetch_all(store.pool())
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| TokenRow {
            id: TokenId(row.id),
            name: row.name,
            created_at: row.created_at,
            revoked_at: row.revoked_at,
        })
        .collect())
}
