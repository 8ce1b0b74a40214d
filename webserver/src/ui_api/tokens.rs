//! `/ui/tokens`: API tokens, by which programs act for a user.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use serde_json::json;
use updraft_core::identity::Role;
use updraft_store::{
    identity::api_tokens::{self, ApiTokenRow},
    query::filter::Page,
};
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        note,
        params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams},
    },
    auth::Principal,
    error::ApiError,
    time::Timestamp,
};

/// Characters of a token's name, at most.
const NAME_LENGTH: usize = 250;
/// Ten years; who wants more wants for ever.
const MOST_DAYS: i32 = 3653;

pub(crate) struct TokensQuery(Page);

impl FromQuery for TokensQuery {
    fn read(query: &mut Query) -> Self {
        Self(query.page(api_tokens::ORDER_BY, &["-id"]))
    }
}

/// A token to make.
#[derive(ToSchema)]
pub(crate) struct TokenBody {
    /// What it is for; need not be unique.
    name: String,
    /// Absent: it does not expire.
    #[schema(minimum = 1)]
    expires_in_days: Option<i32>,
}

impl FromBody for TokenBody {
    fn read(body: &mut Body) -> Self {
        body.require("name");
        let name = body.short_text("name", NAME_LENGTH).unwrap_or_default();
        if name.trim().is_empty() {
            body.refuse_value("name", name.as_str(), "a token says what it is for");
        }
        let expires_in_days = body.small_int("expires_in_days", 1);
        if let Some(days) = expires_in_days.filter(|days| *days > MOST_DAYS) {
            body.refuse_value("expires_in_days", days, &format!("a token lasts {MOST_DAYS} days at most, or for ever"));
        }
        Self { name, expires_in_days }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TokenResponse {
    id: i64,
    name: String,
    /// For whom it acts.
    username: String,
    created_at: Timestamp,
    /// Null: never.
    expires_at: Option<Timestamp>,
    /// To the hour; null: never.
    last_used_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TokenCollectionResponse {
    tokens: Vec<TokenResponse>,
    total_entries: i64,
}

/// A token and its text, which is told only here.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewTokenResponse {
    #[serde(flatten)]
    about: TokenResponse,
    token: String,
}

impl From<ApiTokenRow> for TokenResponse {
    fn from(row: ApiTokenRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            username: row.username,
            created_at: row.created_at.into(),
            expires_at: row.expires_at.map(Into::into),
            last_used_at: row.last_used_at.map(Into::into),
        }
    }
}

/// List one's API tokens; admins see everybody's.
#[utoipa::path(get, path = "/ui/tokens", tag = "Updraft", params(QueryParams<TokensQuery>),
    responses((status = 200, body = TokenCollectionResponse)))]
pub(crate) async fn get_tokens(
    State(app): State<App>,
    principal: Principal,
    QueryParams(TokensQuery(page)): QueryParams<TokensQuery>,
) -> Result<Json<TokenCollectionResponse>, ApiError> {
    let found = api_tokens::page(&mut *app.connection().await?, whose(&principal), &page).await?;
    let tokens = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(TokenCollectionResponse { tokens, total_entries: found.total }))
}

/// Make an API token that acts for oneself.
#[utoipa::path(post, path = "/ui/tokens", tag = "Updraft", request_body = TokenBody,
    responses((status = 201, body = NewTokenResponse), (status = 403), (status = 422)))]
pub(crate) async fn post_token(
    State(app): State<App>,
    principal: Principal,
    JsonBody(body): JsonBody<TokenBody>,
) -> Result<(StatusCode, Json<NewTokenResponse>), ApiError> {
    if principal.is_program {
        // Otherwise revoking one that leaked would not end it.
        return Err(ApiError::Forbidden("An API token cannot make API tokens: log in with a password".into()));
    }
    let mut transaction = app.store.begin().await?;
    let made = api_tokens::create(&mut transaction, &principal.name, &body.name, body.expires_in_days).await?;
    let made = made.ok_or(ApiError::Forbidden("API tokens belong to users: log in as one".into()))?;
    let extra = json!({"id": made.id, "name": body.name, "expires_in_days": body.expires_in_days, "method": "POST"});
    note(&mut transaction, "post_token", &principal, extra).await?;
    let row = api_tokens::get(&mut transaction, made.id).await?;
    let row = row.ok_or_else(|| ApiError::internal("a token that was just made is not there"))?;
    app.commit(transaction).await?;
    Ok((StatusCode::CREATED, Json(NewTokenResponse { about: row.into(), token: made.text })))
}

/// Revoke an API token: one's own, or as an admin anybody's.
#[utoipa::path(delete, path = "/ui/tokens/{token_id}", tag = "Updraft", params(("token_id" = i64, Path)),
    responses((status = 204), (status = 404)))]
pub(crate) async fn delete_token(
    State(app): State<App>,
    principal: Principal,
    PathParams(id): PathParams<i64>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    let revoked = api_tokens::revoke(&mut transaction, id, whose(&principal)).await?;
    let revoked = revoked.ok_or_else(|| ApiError::not_found(format!("There is no API token with the id {id}")))?;
    let extra = json!({"id": id, "name": revoked.name, "username": revoked.username, "method": "DELETE"});
    note(&mut transaction, "delete_token", &principal, extra).await?;
    app.commit(transaction).await?;
    app.auth.changed();
    Ok(StatusCode::NO_CONTENT)
}

/// Whose tokens a caller sees: everybody's (`None`), or one's own.
fn whose(principal: &Principal) -> Option<&str> {
    (principal.role < Role::Admin).then_some(principal.name.as_str())
}
