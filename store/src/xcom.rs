//! XComs: what tasks leave for one another, by run, task, map index and key.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use sqlx::PgConnection;
use updraft_core::template::{Part, Ref};

use crate::{
    Store, StoreError,
    objects::{self, Objects},
};

/// One pushed value's place and its length, for mapping over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XComLength {
    pub dag_run_id: i64,
    pub task_id: String,
    pub key: String,
    pub map_index: i32,
    /// Items of a list, entries of a mapping; `None` for anything else.
    pub length: Option<i32>,
}

/// Where one XCom is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct XComKey {
    pub dag_run_id: i64,
    pub task_id: String,
    pub map_index: i32,
    pub key: String,
}

/// A value on its way into the table: in the row, or a file whose place the row keeps.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(crate) value: Option<Value>,
    pub(crate) place: Option<String>,
    pub(crate) size: i64,
    pub(crate) length: Option<i32>,
}

impl Prepared {
    /// A value that stays in the row; what cannot be stored in jsonb is made readable.
    pub(crate) fn inline(value: Value) -> Self {
        let value = sanitised(value);
        Self { size: value.to_string().len() as i64, length: length(&value), value: Some(value), place: None }
    }
}

/// Makes a value ready to be written: a large one becomes a file. Call it before the transaction, which must not wait for a disk;
/// when that is not committed, the file goes by itself.
pub async fn prepare(store: &Store, value: Value) -> Result<Prepared, StoreError> {
    let mut prepared = Prepared::inline(value);
    let size = usize::try_from(prepared.size).unwrap_or(usize::MAX);
    if store.sources().objects.takes(size)
        && let Some(value) = prepared.value.take()
    {
        prepared.place = Some(objects::keep(store, serde_json::to_vec(&value)?).await?);
    }
    Ok(prepared)
}

/// Where one XCom's value is: in the row, or in the log folder.
#[derive(Clone, Debug)]
pub struct Stored {
    value: Option<Value>,
    place: Option<String>,
}

impl Stored {
    /// The value itself. Asks no database, so hold no connection meanwhile: a log folder may be far away.
    pub async fn load(self, objects: &Objects) -> Result<Value, StoreError> {
        match self.place {
            Some(place) => objects.get(&place).await,
            None => Ok(self.value.unwrap_or_default()),
        }
    }
}

/// Where one XCom's value is; `None`: nothing was pushed. `xcom_pkey` serves it.
pub async fn stored(connection: &mut PgConnection, key: &XComKey) -> Result<Option<Stored>, StoreError> {
    let row = sqlx::query_as!(
        Stored,
        "select value, place from xcom where dag_run_id = $1 and task_id = $2 and map_index = $3 and key = $4",
        key.dag_run_id,
        key.task_id,
        key.map_index,
        key.key
    );
    Ok(row.fetch_optional(connection).await?)
}

/// What an instance of a task returned.
#[derive(Clone, Debug, PartialEq)]
pub struct Returned {
    pub task_id: String,
    pub map_index: i32,
    pub value: Value,
}

/// The return values of tasks of a run, by task and map index; of those that returned nothing there is none. Served by
/// `xcom_pkey`. No connection is held while large values are fetched.
pub async fn returned(store: &Store, dag_run_id: i64, task_ids: &[String]) -> Result<Vec<Returned>, StoreError> {
    let rows = sqlx::query!(
        "select task_id, map_index, value, place from xcom
         where dag_run_id = $1 and task_id = any($2) and key = 'return_value' order by task_id, map_index",
        dag_run_id,
        task_ids
    )
    .fetch_all(store.pool())
    .await?;
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        let value = match row.place {
            Some(place) => store.sources().objects.get(&place).await?,
            None => row.value.unwrap_or_default(),
        };
        values.push(Returned { task_id: row.task_id, map_index: row.map_index, value });
    }
    Ok(values)
}

/// Keeps a run from being deleted until the transaction ends, without waiting for its plan; its DAG version, or `None` when it
/// is gone.
pub async fn hold_run(connection: &mut PgConnection, dag_run_id: i64) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query_scalar!("select dag_version_id from dag_run where id = $1 for key share", dag_run_id);
    Ok(row.fetch_optional(connection).await?)
}

/// Pushes an XCom in a task's name; `false` when there is one of that key.
pub async fn insert(connection: &mut PgConnection, key: &XComKey, value: Prepared) -> Result<bool, StoreError> {
    put(connection, key, value, false).await
}

/// Pushes an XCom, a new one or (with `overwrite`) over that of the same key; `false` when there is one and it stays.
pub(crate) async fn put(
    connection: &mut PgConnection,
    key: &XComKey,
    value: Prepared,
    overwrite: bool,
) -> Result<bool, StoreError> {
    let written = sqlx::query!(
        "with claimed as (delete from object_garbage where place = $6)
         insert into xcom (dag_run_id, task_id, map_index, key, value, place, size, length)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (dag_run_id, task_id, map_index, key) do update
         set value = excluded.value, place = excluded.place, size = excluded.size, length = excluded.length, timestamp = now()
         where $9",
        key.dag_run_id,
        key.task_id,
        key.map_index,
        key.key,
        value.value,
        value.place,
        value.size,
        value.length,
        overwrite
    )
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Changes an XCom; `false` when there is none.
pub async fn update(connection: &mut PgConnection, key: &XComKey, value: Prepared) -> Result<bool, StoreError> {
    let updated = sqlx::query!(
        "with claimed as (delete from object_garbage where place = $6)
         update xcom set value = $5, place = $6, size = $7, length = $8, timestamp = now()
         where dag_run_id = $1 and task_id = $2 and map_index = $3 and key = $4",
        key.dag_run_id,
        key.task_id,
        key.map_index,
        key.key,
        value.value,
        value.place,
        value.size,
        value.length
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Deletes an XCom; `false` when there is none.
pub async fn delete(connection: &mut PgConnection, key: &XComKey) -> Result<bool, StoreError> {
    let deleted = sqlx::query!(
        "delete from xcom where dag_run_id = $1 and task_id = $2 and map_index = $3 and key = $4",
        key.dag_run_id,
        key.task_id,
        key.map_index,
        key.key
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Postgres' jsonb holds no NUL character; a task's output may.
pub(crate) fn sanitised(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(items) => Value::Array(items.into_iter().map(sanitised).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter().map(|(key, value)| (key.replace('\0', "\u{fffd}"), sanitised(value))).collect(),
        ),
        other => other,
    }
}

/// What Airflow maps over: the items of a list, the entries of a mapping; nothing else has a length.
pub(crate) fn length(value: &Value) -> Option<i32> {
    let length = match value {
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    };
    Some(i32::try_from(length).unwrap_or(i32::MAX))
}

/// The lengths of the XComs named by (`dag_run_id`, `task_id`, `key`), of every map index, sorted by run, task, key and map
/// index; what was not pushed is absent. Called by the scheduler when an upstream of a mapped task succeeded; served by
/// `xcom_pkey` (run and task are its prefix).
pub async fn xcom_lengths(
    connection: &mut PgConnection,
    refs: &[(i64, String, String)],
) -> Result<Vec<XComLength>, StoreError> {
    if refs.is_empty() {
        return Ok(Vec::new());
    }
    let runs: Vec<i64> = refs.iter().map(|(run, ..)| *run).collect();
    let tasks: Vec<String> = refs.iter().map(|(_, task_id, _)| task_id.clone()).collect();
    let keys: Vec<String> = refs.iter().map(|(.., key)| key.clone()).collect();
    let rows = sqlx::query_as!(
        XComLength,
        r#"select distinct x.dag_run_id as "dag_run_id!", x.task_id as "task_id!", x.key as "key!", x.map_index as "map_index!",
                  x.length as "length?"
           from unnest($1::bigint[], $2::text[], $3::text[]) as w (run, task_id, key)
           join xcom x on x.dag_run_id = w.run and x.task_id = w.task_id and x.key = w.key
           order by 1, 2, 3, 4"#,
        &runs,
        &tasks,
        &keys
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// One task's XCom, named within a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct XComRef {
    pub(crate) task_id: String,
    pub(crate) key: String,
    /// Absent: the value of an unmapped task, or the list of a mapped task's values.
    pub(crate) map_index: Option<i32>,
    /// Not the whole value.
    pub(crate) part: Option<Part>,
}

/// A value as loaded: how many bytes it has as text, and the value.
pub(crate) struct LoadedValue {
    pub(crate) bytes: usize,
    pub(crate) value: Option<Value>,
}

/// Values by run and reference. A reference that was asked for and is absent here was larger than the limit.
pub(crate) type Loaded = HashMap<(i64, XComRef), LoadedValue>;

/// Loads values by reference, or the parts of them that are asked for; one whose text is larger than `limit` bytes is left out,
/// unread. A mapping's entries are taken in the order jsonb keeps them in. Served by `xcom_pkey`.
pub(crate) async fn load(
    connection: &mut PgConnection,
    objects: &Objects,
    refs: HashSet<(i64, XComRef)>,
    limit: usize,
) -> Result<Loaded, StoreError> {
    let mut runs = Vec::with_capacity(refs.len());
    let mut tasks = Vec::with_capacity(refs.len());
    let mut keys = Vec::with_capacity(refs.len());
    let mut indexes = Vec::with_capacity(refs.len());
    let mut lengths = Vec::with_capacity(refs.len());
    let mut items = Vec::with_capacity(refs.len());
    let refs: Vec<(i64, XComRef)> = refs.into_iter().collect();
    for (run, reference) in &refs {
        runs.push(*run);
        tasks.push(reference.task_id.clone());
        keys.push(reference.key.clone());
        indexes.push(reference.map_index);
        lengths.push(reference.part == Some(Part::Length));
        items.push(match reference.part {
            Some(Part::Item(position)) => Some(i64::from(position)),
            Some(Part::Length | Part::All) | None => None,
        });
    }
    // `listed`: the whole is the list of a mapped task's values, one a row; its parts are rows.
    let rows = sqlx::query!(
        r#"with found as (
               select w.n, w.is_length, w.item, x.map_index, x.value, x.place, x.size, x.length,
                      w.map_index is null and x.map_index >= 0 as listed,
                      row_number() over (partition by w.n order by x.map_index) - 1 as position,
                      count(*) over (partition by w.n) as count
               from unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $6::boolean[], $7::bigint[]) with ordinality
                    as w (run, task_id, key, map_index, is_length, item, n)
               join xcom x on x.dag_run_id = w.run and x.task_id = w.task_id and x.key = w.key
                          and (w.map_index is null or x.map_index = w.map_index)
           ), wanted as (
               select n, map_index, listed, listed and item is null and not is_length as many, size,
                      case when not is_length then place end as place,
                      case
                          when item is null and not is_length then value
                          when listed and is_length then to_jsonb(count)
                          when listed then jsonb_build_array(value)
                          when is_length then to_jsonb(length)
                          when jsonb_typeof(value) = 'array' and item < jsonb_array_length(value)
                              then jsonb_build_array(value -> item::integer)
                          when jsonb_typeof(value) = 'object'
                              then (select jsonb_build_object(e.key, e.value)
                                    from jsonb_each(value) with ordinality as e (key, value, n) where e.n = item + 1)
                      end as value
               from found
               where not listed or (item is null and not is_length) or (is_length and position = 0) or position = item
           )
           select n as "n!", many as "many!", listed as "listed!", place as "place?",
                  case when place is not null then size else coalesce(octet_length(value::text), 0) end as "bytes!",
                  case when octet_length(value::text) <= $5 then value end as "value?"
           from wanted order by n, map_index"#,
        &runs,
        &tasks,
        &keys,
        &indexes as &[Option<i32>],
        i32::try_from(limit).unwrap_or(i32::MAX),
        &lengths,
        &items as &[Option<i64>]
    )
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<usize, Vec<Row>> = HashMap::new();
    for row in rows {
        let position = usize::try_from(row.n - 1).expect("ordinality counts from 1");
        let bytes = usize::try_from(row.bytes).unwrap_or_default();
        let row = Row { many: row.many, listed: row.listed, bytes, value: row.value, place: row.place };
        found.entry(position).or_default().push(row);
    }
    let mut loaded = Loaded::with_capacity(refs.len());
    for (position, reference) in refs.into_iter().enumerate() {
        let rows = found.remove(&position).unwrap_or_default();
        let bytes = rows.iter().fold(0_usize, |sum, row| sum.saturating_add(row.bytes + 1));
        if bytes > limit {
            continue;
        }
        // A list of all that there are, even if that is the one value of a task that is not mapped.
        let is_list = rows.iter().any(|row| row.many || reference.1.part == Some(Part::All));
        let mut values = Vec::with_capacity(rows.len());
        for row in rows {
            values.extend(match &row.place {
                Some(place) => row.part_of(objects.get(place).await?, reference.1.part),
                None => row.value,
            });
        }
        let value = if is_list { Some(Value::Array(values)) } else { values.into_iter().next() };
        loaded.insert(reference, LoadedValue { bytes, value });
    }
    Ok(loaded)
}

/// What a task of another run pushed, in the order of the map indexes: of the run named, or with `include_prior_dates` of the
/// latest that pushed it up to that one's logical date (Airflow: `XCom.get_many`). `None`: nothing, or `reference` is none such.
/// Asked for by templates and tasks that name another run, one statement each; served by `dag_run_logical_date_key` or
/// `dag_run_run_id_key`, then by `xcom_pkey`.
pub(crate) async fn load_elsewhere(
    connection: &mut PgConnection,
    objects: &Objects,
    run: i64,
    reference: &Ref,
) -> Result<Option<Value>, StoreError> {
    let Ref::XComOf { dag_id, run_id, include_prior_dates, task_id, key, map_index } = reference else {
        return Ok(None);
    };
    let rows = sqlx::query!(
        r#"with here as (
               select coalesce(d.id, h.dag_fk) as dag_fk, coalesce($3, h.run_id) as run_id, h.logical_date
               from dag_run h left join dag d on d.dag_id = $2
               where h.id = $1 and ($2::text is null or d.id is not null)
           ), named as (
               select r.id, r.logical_date from dag_run r join here h on r.dag_fk = h.dag_fk and r.run_id = h.run_id
           ), there as (
               select r.id
               from here h join dag_run r on r.dag_fk = h.dag_fk
               where (r.id in (select id from named)
                      or ($4 and r.logical_date <= coalesce((select logical_date from named), h.logical_date)))
                     and exists (select from xcom x where x.dag_run_id = r.id and x.task_id = $5 and x.key = $6
                                                          and ($7::integer is null or x.map_index = $7))
               order by r.logical_date desc nulls last limit 1
           )
           select x.value as "value?", x.place as "place?"
           from there join xcom x on x.dag_run_id = there.id and x.task_id = $5 and x.key = $6
                                     and ($7::integer is null or x.map_index = $7)
           order by x.map_index"#,
        run,
        dag_id.as_deref(),
        run_id.as_deref(),
        include_prior_dates,
        task_id,
        key,
        *map_index
    )
    .fetch_all(connection)
    .await?;
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        values.push(match &row.place {
            Some(place) => objects.get(place).await?,
            None => row.value.unwrap_or_default(),
        });
    }
    Ok((!values.is_empty()).then_some(Value::Array(values)))
}

/// One value of a reference, or the part of it that is asked for.
struct Row {
    /// One of the values that are the whole.
    many: bool,
    /// Of a mapped task's list, asked for as such.
    listed: bool,
    bytes: usize,
    value: Option<Value>,
    /// Where the whole value is, of which the part is to be taken.
    place: Option<String>,
}

impl Row {
    /// What is asked for of a value that was read from a file.
    fn part_of(&self, value: Value, part: Option<Part>) -> Option<Value> {
        match part {
            None | Some(Part::All) => Some(value),
            Some(_) if self.listed => Some(Value::Array(vec![value])),
            Some(part) => part.of(&value),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_and_mappings_have_a_length_and_nothing_else_has() {
        let cases = [
            (json!([1, [2, 3], null]), Some(3)),
            (json!([]), Some(0)),
            (json!({"a": 1, "b": 2}), Some(2)),
            (json!("text"), None),
            (json!(7), None),
            (json!(null), None),
        ];
        for (value, expected) in cases {
            assert_eq!(length(&value), expected, "{value}");
        }
    }
}
