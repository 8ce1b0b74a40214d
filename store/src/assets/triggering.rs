//! What `triggering_asset_events` is in templates.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use sqlx::PgConnection;

use crate::StoreError;

/// The events that these runs took, by run: asset URI → its events in order, each as Airflow's `AssetEventDagRunReference`.
///
/// Called when attempts of asset-triggered runs are handed out; `dag_run_asset_event_pkey` serves it.
pub async fn triggering(connection: &mut PgConnection, runs: &[i64]) -> Result<HashMap<i64, Value>, StoreError> {
    if runs.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"select t.dag_run_id, a.name, a.uri, a."group", a.extra as asset_extra, e.extra, e.source_dag_id, e.source_run_id,
                  e.source_task_id, e.source_map_index, e.timestamp, e.partition_key,
                  array(select l.name from asset_alias_asset_event v join asset_alias l on l.id = v.alias_id
                        where v.event_id = e.id order by l.name) as "aliases!"
           from dag_run_asset_event t join asset_event e on e.id = t.event_id join asset a on a.id = e.asset_id
           where t.dag_run_id = any($1) order by t.dag_run_id, e.id"#,
        runs
    )
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<i64, Map<String, Value>> = HashMap::new();
    for row in rows {
        let aliases: Vec<Value> = row.aliases.into_iter().map(|name| json!({ "name": name })).collect();
        let event = json!({
            "asset": {"name": row.name, "uri": row.uri, "group": row.group, "extra": row.asset_extra},
            "extra": row.extra,
            "source_dag_id": row.source_dag_id,
            "source_run_id": row.source_run_id,
            "source_task_id": row.source_task_id,
            "source_map_index": row.source_map_index,
            "source_aliases": aliases,
            "timestamp": row.timestamp,
            "partition_key": row.partition_key,
        });
        let events = found.entry(row.dag_run_id).or_default().entry(row.uri).or_insert_with(|| json!([]));
        if let Value::Array(events) = events {
            events.push(event);
        }
    }
    Ok(found.into_iter().map(|(run, events)| (run, Value::Object(events))).collect())
}
