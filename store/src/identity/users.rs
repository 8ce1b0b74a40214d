//! Users: who may log in, and what they may do.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use updraft_core::identity::{Role, UserName};
use uuid::Uuid;

use super::role;
use crate::{
    StoreError,
    query::filter::{Filter, Listing, OrderBy, Page, list},
};

/// A user as others see one.
#[derive(Clone, Debug, FromRow)]
pub struct UserRow {
    pub username: String,
    pub role: String,
    pub created_at: DateTime<Utc>,
}

/// What a login is checked against.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// argon2id, as a PHC string; `None`: the login provider alone says who this is.
    pub password: Option<String>,
    pub role: Role,
    /// What the new login carries; see [`super::logins::standing`].
    pub epoch: Uuid,
}

/// What came of a change to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    Done,
    NoUser,
    /// Nothing changed: without this user nobody could manage users any more.
    LastAdmin,
}

pub const ORDER_BY: OrderBy = &[
    ("id", "u.id", "bigint"),
    ("username", "u.username", "text"),
    ("role", "u.role", "text"),
    ("created_at", "u.created_at", "timestamptz"),
];

const SELECT: &str = "u.username, u.role, u.created_at";
const FROM: &str = "ab_user u";

/// One page of users.
pub async fn page(connection: &mut PgConnection, page: &Page) -> Result<Listing<UserRow>, StoreError> {
    list(connection, (SELECT, FROM), page, &[("u.id", "bigint")], |_| {}).await
}

/// All users, by name.
pub async fn all(connection: &mut PgConnection) -> Result<Vec<UserRow>, StoreError> {
    Ok(sqlx::query_as!(UserRow, "select username, role, created_at from ab_user order by username")
        .fetch_all(connection)
        .await?)
}

/// One user.
pub async fn get(connection: &mut PgConnection, username: &str) -> Result<Option<UserRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("u.username", Some(username.to_owned()));
    sql.fetch_optional(connection).await
}

/// What a login as `username` needs. Called once per login, served by `ab_user_username_key`.
pub async fn credentials(connection: &mut PgConnection, username: &str) -> Result<Option<Credentials>, StoreError> {
    let row = sqlx::query!("select password, role, epoch from ab_user where username = $1", username)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok(Credentials { password: row.password, role: role(&row.role)?, epoch: row.epoch })).transpose()
}

/// Whether there is no user yet; until the transaction ends nobody else can make one. For the first start, of several processes
/// at once too.
pub async fn lock_if_none(connection: &mut PgConnection) -> Result<bool, StoreError> {
    sqlx::query!("lock table ab_user in share row exclusive mode").execute(&mut *connection).await?;
    Ok(sqlx::query_scalar!(r#"select not exists (select from ab_user) as "none!""#).fetch_one(connection).await?)
}

/// Makes a user; `false` when there is one of that name. `password` is a PHC string.
pub async fn create(
    connection: &mut PgConnection,
    username: &UserName,
    password: &str,
    role: Role,
) -> Result<bool, StoreError> {
    let made = sqlx::query!(
        "insert into ab_user (username, password, role) values ($1, $2, $3) on conflict (username) do nothing",
        username.as_str(),
        password,
        role.as_str()
    )
    .execute(connection)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// The user whom a login provider knows by `external_id`, made or brought up to date; what the new login carries. `None`: somebody
/// else has the name.
pub async fn enter_external(
    connection: &mut PgConnection,
    external_id: &str,
    username: &UserName,
    role: Role,
) -> Result<Option<Uuid>, StoreError> {
    let entered = sqlx::query_scalar!(
        "insert into ab_user (username, role, external_id) values ($1, $2, $3)
         on conflict (external_id) do update set username = excluded.username, role = excluded.role
         returning epoch",
        username.as_str(),
        role.as_str(),
        external_id
    )
    .fetch_one(connection)
    .await
    .map_err(StoreError::from);
    match entered {
        Ok(epoch) => Ok(Some(epoch)),
        Err(StoreError::Constraint { constraint, .. }) if constraint == "ab_user_username_key" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives a user another role, another password (a PHC string), or both. Another password ends all logins of the user; API tokens
/// stay.
pub async fn change(
    connection: &mut PgConnection,
    username: &str,
    role: Option<Role>,
    password: Option<&str>,
) -> Result<Changed, StoreError> {
    if role.is_some_and(|role| role != Role::Admin) && is_last_admin(connection, username).await? {
        return Ok(Changed::LastAdmin);
    }
    let changed = sqlx::query!(
        "update ab_user
         set role = coalesce($2, role), password = coalesce($3, password),
             epoch = case when $3::text is null then epoch else gen_random_uuid() end
         where username = $1",
        username,
        role.map(Role::as_str),
        password
    )
    .execute(connection)
    .await?;
    Ok(if changed.rows_affected() == 1 { Changed::Done } else { Changed::NoUser })
}

/// Deletes a user and the API tokens of that user.
pub async fn delete(connection: &mut PgConnection, username: &str) -> Result<Changed, StoreError> {
    if is_last_admin(connection, username).await? {
        return Ok(Changed::LastAdmin);
    }
    let deleted = sqlx::query!("delete from ab_user where username = $1", username).execute(connection).await?;
    Ok(if deleted.rows_affected() == 1 { Changed::Done } else { Changed::NoUser })
}

/// Locks the admins, so that two of them cannot remove each other at once.
async fn is_last_admin(connection: &mut PgConnection, username: &str) -> Result<bool, StoreError> {
    let admins = sqlx::query_scalar!("select username from ab_user where role = 'admin' order by id for update")
        .fetch_all(connection)
        .await?;
    Ok(admins == [username])
}
