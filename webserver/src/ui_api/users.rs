//! `/ui/users`: who may log in, and as what.

use axum::{Json, extract::State, http::StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use updraft_core::identity::{Role, UserName, check_password};
use updraft_store::{
    identity::users::{self, Changed, UserRow},
    query::filter::Page,
};
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    api::{
        note,
        params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams},
    },
    auth::Principal,
    error::{ApiError, FieldError},
    time::Timestamp,
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct UserPath {
    username: String,
}

pub(crate) struct UsersQuery(Page);

impl FromQuery for UsersQuery {
    fn read(query: &mut Query) -> Self {
        Self(query.page(users::ORDER_BY, &["username"]))
    }
}

/// A user to make.
#[derive(ToSchema)]
pub(crate) struct UserBody {
    #[schema(value_type = String)]
    username: Option<UserName>,
    #[schema(value_type = String)]
    password: Option<SecretString>,
    #[schema(value_type = String)]
    role: Option<Role>,
}

impl FromBody for UserBody {
    fn read(body: &mut Body) -> Self {
        for field in ["username", "password", "role"] {
            body.require(field);
        }
        Self { username: name(body), password: password(body), role: role(body) }
    }
}

/// What to change of a user; what is absent stays.
#[derive(ToSchema)]
pub(crate) struct UserChangeBody {
    #[schema(value_type = Option<String>)]
    password: Option<SecretString>,
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
}

impl FromBody for UserChangeBody {
    fn read(body: &mut Body) -> Self {
        Self { password: password(body), role: role(body) }
    }
}

fn name(body: &mut Body) -> Option<UserName> {
    let text = body.text("username")?;
    text.parse().map_err(|error| body.refuse_value("username", text.clone(), &format!("{error}"))).ok()
}

fn password(body: &mut Body) -> Option<SecretString> {
    body.conceal(&["password"]);
    let text = body.text("password")?;
    match check_password(&text) {
        Ok(()) => Some(text.into()),
        Err(error) => {
            body.refuse_value("password", text, &error.to_string());
            None
        }
    }
}

fn role(body: &mut Body) -> Option<Role> {
    body.word("role", &Role::ALL.map(Role::as_str))?.parse().ok()
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UserResponse {
    username: String,
    /// `viewer`, `user`, `op` or `admin`.
    role: String,
    created_at: Timestamp,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UserCollectionResponse {
    users: Vec<UserResponse>,
    total_entries: i64,
}

impl From<UserRow> for UserResponse {
    fn from(row: UserRow) -> Self {
        Self { username: row.username, role: row.role, created_at: row.created_at.into() }
    }
}

/// List the users.
#[utoipa::path(get, path = "/ui/users", tag = "Updraft", params(QueryParams<UsersQuery>),
    responses((status = 200, body = UserCollectionResponse)))]
pub(crate) async fn get_users(
    State(app): State<App>,
    QueryParams(UsersQuery(page)): QueryParams<UsersQuery>,
) -> Result<Json<UserCollectionResponse>, ApiError> {
    let found = users::page(&mut *app.connection().await?, &page).await?;
    let users = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(UserCollectionResponse { users, total_entries: found.total }))
}

/// Make a user.
#[utoipa::path(post, path = "/ui/users", tag = "Updraft", request_body = UserBody,
    responses((status = 201, body = UserResponse), (status = 409), (status = 422)))]
pub(crate) async fn post_user(
    State(app): State<App>,
    principal: Principal,
    JsonBody(body): JsonBody<UserBody>,
) -> Result<(StatusCode, Json<UserResponse>), ApiError> {
    let missing = |field| ApiError::Invalid(vec![FieldError::missing(field)]);
    let username = body.username.ok_or_else(|| missing("username"))?;
    let password = body.password.ok_or_else(|| missing("password"))?;
    let role = body.role.ok_or_else(|| missing("role"))?;
    let hash = app.auth.passwords.hash(password).await?;
    let mut transaction = app.store.begin().await?;
    if !users::create(&mut transaction, &username, &hash, role).await? {
        return Err(ApiError::Conflict(format!("The User with username: `{}` already exists", username.as_str())));
    }
    let extra = json!({"username": username.as_str(), "role": role.as_str(), "method": "POST"});
    note(&mut transaction, "post_user", &principal, extra).await?;
    let user = find(&mut transaction, username.as_str()).await?;
    app.commit(transaction).await?;
    Ok((StatusCode::CREATED, Json(user)))
}

/// Give a user another role or password. Another password ends the logins of the user.
#[utoipa::path(patch, path = "/ui/users/{username}", tag = "Updraft", params(UserPath), request_body = UserChangeBody,
    responses((status = 200, body = UserResponse), (status = 404), (status = 409), (status = 422)))]
pub(crate) async fn patch_user(
    State(app): State<App>,
    principal: Principal,
    PathParams(UserPath { username }): PathParams<UserPath>,
    JsonBody(body): JsonBody<UserChangeBody>,
) -> Result<Json<UserResponse>, ApiError> {
    let has_password = body.password.is_some();
    let hash = match body.password {
        Some(password) => Some(app.auth.passwords.hash(password).await?),
        None => None,
    };
    let mut transaction = app.store.begin().await?;
    done(users::change(&mut transaction, &username, body.role, hash.as_deref()).await?, &username)?;
    let role = body.role.map(Role::as_str);
    let extra = json!({"username": username, "role": role, "password": has_password, "method": "PATCH"});
    note(&mut transaction, "patch_user", &principal, extra).await?;
    let user = find(&mut transaction, &username).await?;
    app.commit(transaction).await?;
    app.auth.changed();
    Ok(Json(user))
}

/// Delete a user, and the user's API tokens.
#[utoipa::path(delete, path = "/ui/users/{username}", tag = "Updraft", params(UserPath),
    responses((status = 204), (status = 404), (status = 409)))]
pub(crate) async fn delete_user(
    State(app): State<App>,
    principal: Principal,
    PathParams(UserPath { username }): PathParams<UserPath>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    done(users::delete(&mut transaction, &username).await?, &username)?;
    note(&mut transaction, "delete_user", &principal, json!({"username": username, "method": "DELETE"})).await?;
    app.commit(transaction).await?;
    app.auth.changed();
    Ok(StatusCode::NO_CONTENT)
}

fn done(changed: Changed, username: &str) -> Result<(), ApiError> {
    match changed {
        Changed::Done => Ok(()),
        Changed::NoUser => Err(missing(username)),
        Changed::LastAdmin => {
            Err(ApiError::Conflict(format!("`{username}` is the only admin: make another one first")))
        }
    }
}

async fn find(connection: &mut PgConnection, username: &str) -> Result<UserResponse, ApiError> {
    Ok(users::get(connection, username).await?.ok_or_else(|| missing(username))?.into())
}

fn missing(username: &str) -> ApiError {
    ApiError::not_found(format!("The User with username: `{username}` was not found"))
}
