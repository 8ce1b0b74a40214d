//! Variables: texts by key, encrypted at rest.

use sqlx::{FromRow, PgConnection};

use crate::{
    StoreError,
    crypto::{CryptoError, Keys},
    query::filter::{Filter, Listing, OrderBy, Page, Pattern, list},
};

/// One variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub key: String,
    /// Or why it cannot be decrypted: the row can still be listed, overwritten and deleted.
    pub value: Result<String, CryptoError>,
    pub description: Option<String>,
}

#[derive(FromRow)]
struct Row {
    key: String,
    val: String,
    description: Option<String>,
}

/// `_val`, `is_encrypted` and `team_name` are names that Airflow allows: nobody has use for the order of ciphertexts, the
/// other two are the same for all.
pub const ORDER_BY: OrderBy = &[
    ("id", "v.id", "bigint"),
    ("key", "v.key", "text"),
    ("_val", "v.val", "text"),
    ("description", "v.description", "text"),
    ("is_encrypted", "true", "boolean"),
    ("team_name", "null::text", "text"),
];

const SELECT: &str = "v.key, v.val, v.description";
const FROM: &str = "variable v";

/// One page of variables.
pub async fn page(
    connection: &mut PgConnection,
    keys: &Keys,
    key_pattern: &Pattern,
    page: &Page,
) -> Result<Listing<Variable>, StoreError> {
    let found: Listing<Row> =
        list(connection, (SELECT, FROM), page, &[("v.id", "bigint")], |sql| sql.pattern("v.key", key_pattern)).await?;
    let rows = found.rows.into_iter().map(|row| opened(keys, row)).collect();
    Ok(Listing { rows, total: found.total, neighbours: found.neighbours })
}

/// One variable.
pub async fn get(connection: &mut PgConnection, keys: &Keys, key: &str) -> Result<Option<Variable>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("v.key", Some(key.to_owned()));
    let row: Option<Row> = sql.fetch_optional(connection).await?;
    Ok(row.map(|row| opened(keys, row)))
}

/// The variables of these keys, as far as they exist. Called for what templates name; served by `variable_key_key`.
pub async fn get_many(
    connection: &mut PgConnection,
    keys: &Keys,
    names: &[String],
) -> Result<Vec<Variable>, StoreError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_as!(Row, "select key, val, description from variable where key = any($1)", names)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| opened(keys, row)).collect())
}

/// Writes a new variable; `false` when there is one of that key.
///
/// # Errors
/// [`StoreError::Secret`] without an encryption key.
pub async fn insert(
    connection: &mut PgConnection,
    keys: &Keys,
    key: &str,
    value: &str,
    description: Option<&str>,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query!(
        "insert into variable (key, val, description) values ($1, $2, $3) on conflict (key) do nothing",
        key,
        sealed(keys, key, value)?,
        description
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Which of these keys exist.
pub async fn existing(connection: &mut PgConnection, names: &[String]) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!("select key from variable where key = any($1)", names).fetch_all(connection).await?)
}

/// What changes of a variable; the rest stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    pub value: Option<&'a str>,
    pub description: Option<Option<&'a str>>,
}

/// Changes a variable; `false` when there is none of that key.
///
/// # Errors
/// [`StoreError::Secret`] without an encryption key.
pub async fn update(
    connection: &mut PgConnection,
    keys: &Keys,
    key: &str,
    change: Change<'_>,
) -> Result<bool, StoreError> {
    let value = change.value.map(|value| sealed(keys, key, value)).transpose()?;
    let updated = sqlx::query!(
        "update variable set val = coalesce($2, val), description = case when $3 then $4 else description end where key = $1",
        key,
        value,
        change.description.is_some(),
        change.description.flatten()
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Deletes a variable; `false` when there is none of that key.
pub async fn delete(connection: &mut PgConnection, key: &str) -> Result<bool, StoreError> {
    let deleted = sqlx::query!("delete from variable where key = $1", key).execute(connection).await?;
    Ok(deleted.rows_affected() == 1)
}

fn sealed(keys: &Keys, key: &str, value: &str) -> Result<String, StoreError> {
    keys.encrypt(value).map_err(|error| StoreError::Secret(format!("the variable `{key}` cannot be stored: {error}")))
}

fn opened(keys: &Keys, row: Row) -> Variable {
    Variable { value: keys.decrypt(&row.val), key: row.key, description: row.description }
}

/// The error of a variable whose value is needed and cannot be read.
pub fn unreadable(key: &str, error: CryptoError) -> StoreError {
    StoreError::Secret(format!("the variable `{key}` cannot be read: {error}"))
}
