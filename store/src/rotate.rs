//! `updraft db rotate-fernet-key`: everything encrypted anew with the first key of `core.fernet_key`.

use crate::{Store, StoreError, crypto::CryptoError};

/// How many rows were encrypted anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    pub variables: u64,
    pub connections: u64,
}

/// Encrypts every variable, password and extra with the first of the store's keys, in one transaction: all or, on an error,
/// none. Writers of secrets wait meanwhile; readers do not, and need a key that fits before and after.
///
/// # Errors
/// [`StoreError::Secret`] naming the row that no key opens, or that there is no key.
pub async fn rotate(store: &Store) -> Result<Rotated, StoreError> {
    let keys = &store.sources().keys;
    let unreadable = |what: String| {
        move |error: CryptoError| {
            StoreError::Secret(format!("{what} cannot be encrypted anew: {error}; nothing was changed"))
        }
    };
    let again =
        |what: String, token: &str| keys.decrypt(token).and_then(|text| keys.encrypt(&text)).map_err(unreadable(what));
    let mut transaction = store.begin().await?;
    let variables =
        sqlx::query!("select id, key, val from variable order by id for update").fetch_all(&mut *transaction).await?;
    let (mut ids, mut values) = (Vec::with_capacity(variables.len()), Vec::with_capacity(variables.len()));
    for row in &variables {
        ids.push(row.id);
        values.push(again(format!("the variable `{}`", row.key), &row.val)?);
    }
    sqlx::query!(
        "update variable v set val = n.val from unnest($1::bigint[], $2::text[]) as n (id, val) where v.id = n.id",
        &ids,
        &values
    )
    .execute(&mut *transaction)
    .await?;
    let connections = sqlx::query!(
        "select id, conn_id, password, extra from connection
         where password is not null or extra is not null order by id for update"
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut ids = Vec::with_capacity(connections.len());
    let (mut passwords, mut extras) = (Vec::with_capacity(ids.capacity()), Vec::with_capacity(ids.capacity()));
    for row in &connections {
        let what = |part| format!("the {part} of the connection `{}`", row.conn_id);
        ids.push(row.id);
        passwords.push(row.password.as_deref().map(|token| again(what("password"), token)).transpose()?);
        extras.push(row.extra.as_deref().map(|token| again(what("extra"), token)).transpose()?);
    }
    sqlx::query!(
        "update connection c set password = n.password, extra = n.extra
         from unnest($1::bigint[], $2::text[], $3::text[]) as n (id, password, extra) where c.id = n.id",
        &ids,
        &passwords as &[Option<String>],
        &extras as &[Option<String>]
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Rotated { variables: variables.len() as u64, connections: connections.len() as u64 })
}
