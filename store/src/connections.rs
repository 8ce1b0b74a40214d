//! Connections by id; passwords and extras are encrypted at rest.

use sqlx::{FromRow, PgConnection};
use updraft_core::connection::Connection;

use crate::{
    StoreError,
    crypto::{CryptoError, Keys},
    query::filter::{Filter, Listing, OrderBy, Page, Pattern, list},
};

/// One stored connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub conn_id: String,
    /// Without what cannot be decrypted.
    pub connection: Connection,
    /// Why password or extra cannot be decrypted: the row can still be listed, overwritten and deleted.
    pub unreadable: Option<CryptoError>,
}

impl Stored {
    /// The connection whole.
    ///
    /// # Errors
    /// [`StoreError::Secret`] when a part of it cannot be decrypted.
    pub fn whole(self) -> Result<Connection, StoreError> {
        match self.unreadable {
            None => Ok(self.connection),
            Some(error) => {
                Err(StoreError::Secret(format!("the connection `{}` cannot be read: {error}", self.conn_id)))
            }
        }
    }
}

#[derive(FromRow)]
struct Row {
    conn_id: String,
    conn_type: String,
    description: Option<String>,
    host: Option<String>,
    schema: Option<String>,
    login: Option<String>,
    password: Option<String>,
    port: Option<i32>,
    extra: Option<String>,
}

pub const ORDER_BY: OrderBy = &[
    ("id", "c.id", "bigint"),
    ("conn_id", "c.conn_id", "text"),
    ("connection_id", "c.conn_id", "text"),
    ("conn_type", "c.conn_type", "text"),
    ("description", "c.description", "text"),
    ("host", "c.host", "text"),
    ("port", "c.port", "integer"),
    ("team_name", "null::text", "text"),
];

const SELECT: &str = "c.conn_id, c.conn_type, c.description, c.host, c.schema, c.login, c.password, c.port, c.extra";
const FROM: &str = "connection c";

/// One page of connections.
pub async fn page(
    connection: &mut PgConnection,
    keys: &Keys,
    id_pattern: &Pattern,
    page: &Page,
) -> Result<Listing<Stored>, StoreError> {
    let found: Listing<Row> =
        list(connection, (SELECT, FROM), page, &[("c.id", "bigint")], |sql| sql.pattern("c.conn_id", id_pattern))
            .await?;
    let rows = found.rows.into_iter().map(|row| opened(keys, row)).collect();
    Ok(Listing { rows, total: found.total, neighbours: found.neighbours })
}

/// One connection.
pub async fn get(connection: &mut PgConnection, keys: &Keys, conn_id: &str) -> Result<Option<Stored>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("c.conn_id", Some(conn_id.to_owned()));
    let row: Option<Row> = sql.fetch_optional(connection).await?;
    Ok(row.map(|row| opened(keys, row)))
}

/// The connections of these ids, as far as they exist. Called for what templates name; served by `connection_conn_id_key`.
pub async fn get_many(connection: &mut PgConnection, keys: &Keys, ids: &[String]) -> Result<Vec<Stored>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_as!(
        Row,
        "select conn_id, conn_type, description, host, schema, login, password, port, extra
         from connection where conn_id = any($1)",
        ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| opened(keys, row)).collect())
}

/// Which of these ids exist.
pub async fn existing(connection: &mut PgConnection, ids: &[String]) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!("select conn_id from connection where conn_id = any($1)", ids).fetch_all(connection).await?)
}

/// Writes a connection, a new one or (with `overwrite`) over that of the same id; `false` when there is one and it stays.
///
/// # Errors
/// [`StoreError::Secret`] when there is something to encrypt and no key.
pub async fn put(
    connection: &mut PgConnection,
    keys: &Keys,
    conn_id: &str,
    fields: &Connection,
    overwrite: bool,
) -> Result<bool, StoreError> {
    let written = sqlx::query!(
        "insert into connection as c (conn_id, conn_type, description, host, schema, login, password, port, extra)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (conn_id) do update
         set conn_type = excluded.conn_type, description = excluded.description, host = excluded.host,
             schema = excluded.schema, login = excluded.login, password = excluded.password, port = excluded.port,
             extra = excluded.extra
         where $10",
        conn_id,
        fields.conn_type,
        fields.description,
        fields.host,
        fields.schema,
        fields.login,
        sealed(keys, conn_id, fields.password.as_deref())?,
        fields.port,
        sealed(keys, conn_id, fields.extra.as_deref())?,
        overwrite
    )
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Deletes a connection; `false` when there is none of that id.
pub async fn delete(connection: &mut PgConnection, conn_id: &str) -> Result<bool, StoreError> {
    let deleted = sqlx::query!("delete from connection where conn_id = $1", conn_id).execute(connection).await?;
    Ok(deleted.rows_affected() == 1)
}

fn sealed(keys: &Keys, conn_id: &str, text: Option<&str>) -> Result<Option<String>, StoreError> {
    let sealed = text.map(|text| keys.encrypt(text)).transpose();
    sealed.map_err(|error| StoreError::Secret(format!("the connection `{conn_id}` cannot be stored: {error}")))
}

fn opened(keys: &Keys, row: Row) -> Stored {
    let mut unreadable = None;
    let mut open = |token: Option<String>| match keys.decrypt(&token?) {
        Ok(text) => Some(text),
        Err(error) => {
            unreadable = Some(error);
            None
        }
    };
    let connection = Connection {
        conn_type: row.conn_type,
        description: row.description,
        host: row.host,
        schema: row.schema,
        login: row.login,
        password: open(row.password),
        port: row.port,
        extra: open(row.extra),
    };
    Stored { conn_id: row.conn_id, connection, unreadable }
}
