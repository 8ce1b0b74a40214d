//! XComs: what tasks leave for one another, by run, task, map index and key.

use serde_json::Value;
use sqlx::PgConnection;

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
