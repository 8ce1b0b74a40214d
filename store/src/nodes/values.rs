//! Values that travel beside the hand-out and the report: XComs, code bundles.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{TokenId, XComRef, XComValue, report::sanitised};
use crate::{Store, StoreError, xcom};

/// A loaded reference: how many bytes its value has as text, and the value.
pub(super) struct LoadedValue {
    pub(super) bytes: usize,
    pub(super) value: Option<Value>,
}

/// Values by run and reference. A reference that was asked for and is absent here was larger than the limit.
pub(super) type Loaded = HashMap<(i64, XComRef), LoadedValue>;

/// What became of a pushed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Written,
    /// The attempt is no longer current, or not on a node of this token.
    Stale,
}

/// Writes one XCom of a current attempt, over an earlier one of the same key. The attempt's row is held while it is written, so
/// that a fence either comes first (stale) or waits. Called for values too large for a report.
pub async fn put_xcom(
    store: &Store,
    token: TokenId,
    attempt_id: Uuid,
    key: &str,
    value: Value,
) -> Result<Put, StoreError> {
    let value = sanitised(value);
    let written = sqlx::query!(
        "with live as (
             select a.dag_run_id, a.task_id, a.map_index
             from attempt a join executor e on e.id = a.executor_id
             where a.attempt_id = $1 and e.token_id = $2
             for key share of a
         )
         insert into xcom (dag_run_id, task_id, map_index, key, value, length)
         select dag_run_id, task_id, map_index, $3, $4, $5 from live
         on conflict (dag_run_id, task_id, map_index, key)
         do update set value = excluded.value, length = excluded.length, timestamp = now()",
        attempt_id,
        token.0,
        key,
        value,
        xcom::length(&value)
    )
    .execute(store.pool())
    .await?;
    Ok(if written.rows_affected() == 0 { Put::Stale } else { Put::Written })
}

/// The values of XComs of the attempt's own run, in the order asked. `None`: the attempt is no longer current, or not on a node
/// of this token.
pub async fn resolve_xcoms(
    store: &Store,
    token: TokenId,
    attempt_id: Uuid,
    refs: &[XComRef],
) -> Result<Option<Vec<XComValue>>, StoreError> {
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
    let distinct = refs.iter().map(|reference| (run, reference.clone())).collect();
    let loaded = load_xcoms(&mut connection, distinct, usize::MAX).await?;
    let values = refs
        .iter()
        .map(|reference| XComValue {
            reference: reference.clone(),
            value: loaded.get(&(run, reference.clone())).and_then(|loaded| loaded.value.clone()),
        })
        .collect();
    Ok(Some(values))
}

/// Loads values by reference; one whose text is larger than `limit` bytes is left out, unread. Served by `xcom_pkey`.
pub(super) async fn load_xcoms(
    connection: &mut PgConnection,
    refs: HashSet<(i64, XComRef)>,
    limit: usize,
) -> Result<Loaded, StoreError> {
    let mut runs = Vec::with_capacity(refs.len());
    let mut tasks = Vec::with_capacity(refs.len());
    let mut keys = Vec::with_capacity(refs.len());
    let mut indexes = Vec::with_capacity(refs.len());
    let refs: Vec<(i64, XComRef)> = refs.into_iter().collect();
    for (run, reference) in &refs {
        runs.push(*run);
        tasks.push(reference.task_id.clone());
        keys.push(reference.key.clone());
        indexes.push(reference.map_index);
    }
    let rows = sqlx::query!(
        r#"select w.n as "n!", x.map_index as "map_index!", octet_length(x.value::text) as "bytes!",
                  case when octet_length(x.value::text) <= $5 then x.value end as "value?"
           from unnest($1::bigint[], $2::text[], $3::text[], $4::integer[]) with ordinality as w (run, task_id, key, map_index, n)
           join xcom x on x.dag_run_id = w.run and x.task_id = w.task_id and x.key = w.key
                      and (w.map_index is null or x.map_index = w.map_index)
           order by w.n, x.map_index"#,
        &runs,
        &tasks,
        &keys,
        &indexes as &[Option<i32>],
        i32::try_from(limit).unwrap_or(i32::MAX)
    )
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<usize, Vec<(i32, usize, Option<Value>)>> = HashMap::new();
    for row in rows {
        let position = usize::try_from(row.n - 1).expect("ordinality counts from 1");
        let bytes = usize::try_from(row.bytes).unwrap_or_default();
        found.entry(position).or_default().push((row.map_index, bytes, row.value));
    }
    let mut loaded = Loaded::with_capacity(refs.len());
    for (position, reference) in refs.into_iter().enumerate() {
        let rows = found.remove(&position).unwrap_or_default();
        let bytes = rows.iter().map(|(_, bytes, _)| bytes + 1).sum();
        if bytes > limit {
            continue;
        }
        let is_list = reference.1.map_index.is_none() && rows.iter().any(|(map_index, ..)| *map_index >= 0);
        let mut values = rows.into_iter().filter_map(|(_, _, value)| value);
        let value = if is_list { Some(Value::Array(values.collect())) } else { values.next() };
        loaded.insert(reference, LoadedValue { bytes, value });
    }
    Ok(loaded)
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
