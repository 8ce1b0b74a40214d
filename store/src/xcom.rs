//! XComs: what tasks leave for one another, by run, task, map index and key.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use sqlx::PgConnection;
use updraft_core::template::Part;

use crate::StoreError;

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
            Some(Part::Length) | None => None,
        });
    }
    // `listed`: the whole is the list of a mapped task's values, one a row; its parts are rows.
    let rows = sqlx::query!(
        r#"with found as (
               select w.n, w.is_length, w.item, x.map_index, x.value, w.map_index is null and x.map_index >= 0 as listed,
                      row_number() over (partition by w.n order by x.map_index) - 1 as position,
                      count(*) over (partition by w.n) as count
               from unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $6::boolean[], $7::bigint[]) with ordinality
                    as w (run, task_id, key, map_index, is_length, item, n)
               join xcom x on x.dag_run_id = w.run and x.task_id = w.task_id and x.key = w.key
                          and (w.map_index is null or x.map_index = w.map_index)
           ), wanted as (
               select n, map_index, listed and item is null and not is_length as many,
                      case
                          when item is null and not is_length then value
                          when listed and is_length then to_jsonb(count)
                          when listed then jsonb_build_array(value)
                          when is_length then to_jsonb(case jsonb_typeof(value)
                              when 'array' then jsonb_array_length(value)::bigint
                              when 'object' then (select count(*) from jsonb_object_keys(value))
                          end)
                          when jsonb_typeof(value) = 'array' and item < jsonb_array_length(value)
                              then jsonb_build_array(value -> item::integer)
                          when jsonb_typeof(value) = 'object'
                              then (select jsonb_build_object(e.key, e.value)
                                    from jsonb_each(value) with ordinality as e (key, value, n) where e.n = item + 1)
                      end as value
               from found
               where not listed or (item is null and not is_length) or (is_length and position = 0) or position = item
           )
           select n as "n!", many as "many!", coalesce(octet_length(value::text), 0) as "bytes!",
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
    let mut found: HashMap<usize, Vec<(bool, usize, Option<Value>)>> = HashMap::new();
    for row in rows {
        let position = usize::try_from(row.n - 1).expect("ordinality counts from 1");
        let bytes = usize::try_from(row.bytes).unwrap_or_default();
        found.entry(position).or_default().push((row.many, bytes, row.value));
    }
    let mut loaded = Loaded::with_capacity(refs.len());
    for (position, reference) in refs.into_iter().enumerate() {
        let rows = found.remove(&position).unwrap_or_default();
        let bytes = rows.iter().map(|(_, bytes, _)| bytes + 1).sum();
        if bytes > limit {
            continue;
        }
        let is_list = rows.iter().any(|(many, ..)| *many);
        let mut values = rows.into_iter().filter_map(|(_, _, value)| value);
        let value = if is_list { Some(Value::Array(values.collect())) } else { values.next() };
        loaded.insert(reference, LoadedValue { bytes, value });
    }
    Ok(loaded)
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
