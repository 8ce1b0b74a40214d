//! Values that travel beside the hand-out and the report: XComs, variables, connections, code bundles.

use serde_json::Value;
use updraft_core::template::Ref;
use uuid::Uuid;

use super::{
    ResolvedRef, TokenId,
    report::{RETURN_VALUE, pushes_each_key},
};
use crate::{
    Store, StoreError, resolve,
    versions::DagCache,
    xcom::{self, XComKey},
};

/// What became of a pushed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Written,
    /// The attempt is no longer current, or not on a node of this token.
    Stale,
}

/// Writes one XCom of a current attempt, over an earlier one of the same key; `return_value` of a task with `multiple_outputs`
/// with each of its keys. The attempt's row is held while they are written, so that a fence either comes first (stale) or waits.
/// Called for values too large for a report.
pub async fn put_xcom(
    store: &Store,
    dags: &DagCache,
    token: TokenId,
    attempt_id: Uuid,
    key: &str,
    value: Value,
) -> Result<Put, StoreError> {
    let mut connection = store.pool().acquire().await?;
    let attempt = sqlx::query!(
        "select a.dag_run_id, a.task_id, a.map_index, r.dag_version_id
         from attempt a join executor e on e.id = a.executor_id join dag_run r on r.id = a.dag_run_id
         where a.attempt_id = $1 and e.token_id = $2",
        attempt_id,
        token.0
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(attempt) = attempt else { return Ok(Put::Stale) };
    let mut values = Vec::new();
    if key == RETURN_VALUE
        && let Value::Object(fields) = &value
        && pushes_each_key(&mut connection, dags, attempt.dag_version_id, &attempt.task_id).await?
    {
        values.extend(fields.iter().map(|(key, value)| (key.replace('\0', "\u{fffd}"), value.clone())));
    }
    drop(connection);
    values.push((key.to_owned(), value));
    // Sorted, as everybody who writes several rows has it.
    values.sort_by(|one, other| one.0.cmp(&other.0));
    let mut prepared = Vec::with_capacity(values.len());
    for (key, value) in values {
        prepared.push((key, xcom::prepare(store, value).await?));
    }
    let mut transaction = store.begin().await?;
    let live = sqlx::query_scalar!(
        r#"select 1 as "one!" from attempt a join executor e on e.id = a.executor_id
           where a.attempt_id = $1 and e.token_id = $2 for key share of a"#,
        attempt_id,
        token.0
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if live.is_none() {
        return Ok(Put::Stale);
    }
    for (key, value) in prepared {
        let (task_id, map_index) = (attempt.task_id.clone(), attempt.map_index);
        let key = XComKey { dag_run_id: attempt.dag_run_id, task_id, map_index, key };
        xcom::put(&mut transaction, &key, value, true).await?;
    }
    transaction.commit().await?;
    Ok(Put::Written)
}

/// The values of references of an attempt, in the order asked; XComs are those of its own run. `None`: the attempt is no longer
/// current, or not on a node of this token.
///
/// # Errors
/// [`StoreError::Secret`] when a variable or connection exists and cannot be read; the text says what to set.
pub async fn resolve(
    store: &Store,
    token: TokenId,
    attempt_id: Uuid,
    refs: &[Ref],
) -> Result<Option<Vec<ResolvedRef>>, StoreError> {
    let mut connection = store.pool().acquire().await?;
    let run = sqlx::query_scalar!(
        "select a.dag_run_id from attempt a join executor e on e.id = a.executor_id
         where a.attempt_id = $1 and e.token_id = $2",
        attempt_id,
        token.0
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(run) = run else { return Ok(None) };
    let wanted = refs.iter().map(|reference| (run, reference.clone())).collect();
    let answers = resolve::answers(&mut connection, store.sources(), wanted, usize::MAX).await?;
    let mut values = std::collections::HashMap::with_capacity(answers.len());
    for ((_, reference), answer) in answers {
        values.insert(reference, answer.value()?);
    }
    let value = |reference: &Ref| values.get(reference).cloned().flatten();
    Ok(Some(
        refs.iter().map(|reference| ResolvedRef { reference: reference.clone(), value: value(reference) }).collect(),
    ))
}

/// The size of a code bundle in bytes; `None` when there is no such bundle.
pub async fn bundle_size(store: &Store, hash: &str) -> Result<Option<u64>, StoreError> {
    let size = sqlx::query_scalar!(r#"select octet_length(content) as "size!" from bundle where hash = $1"#, hash)
        .fetch_optional(store.pool())
        .await?;
    Ok(size.map(|size| size.unsigned_abs().into()))
}

/// Up to `length` bytes of a bundle's tar.gz from `offset`. A bundle never changes, so slices of several calls fit together.
pub async fn bundle_slice(store: &Store, hash: &str, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
    let from =
        i32::try_from(offset + 1).map_err(|_| StoreError::Data(format!("bundle {hash} is larger than 2 GiB")))?;
    let slice = sqlx::query_scalar!(
        r#"select substring(content from $2 for $3) as "slice!" from bundle where hash = $1"#,
        hash,
        from,
        i32::try_from(length).unwrap_or(i32::MAX)
    )
    .fetch_optional(store.pool())
    .await?;
    slice.ok_or_else(|| StoreError::Data(format!("bundle {hash} was deleted while it was read")))
}
