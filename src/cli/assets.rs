//! `updraft assets`: list, events, emit over REST.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::{
    App,
    args::AssetsCommand,
    client::Client,
    output::{Column, instant, list, one, text},
};

const ASSET_FIELDS: &[Column<'_>] = &[
    ("id", &|asset| text(asset, "/id")),
    ("name", &|asset| text(asset, "/name")),
    ("uri", &|asset| text(asset, "/uri")),
    ("produced by", &|asset| {
        join(asset, "producing_tasks", |task| format!("{}.{}", text(task, "/dag_id"), text(task, "/task_id")))
    }),
    ("runs", &|asset| join(asset, "scheduled_dags", |dag| text(dag, "/dag_id"))),
    ("last event", &|asset| instant(asset, "/last_asset_event/timestamp")),
];

const EVENT_FIELDS: &[Column<'_>] = &[
    ("id", &|event| text(event, "/id")),
    ("time", &|event| instant(event, "/timestamp")),
    ("asset", &|event| text(event, "/name")),
    ("source", &|event| match event["source_dag_id"].as_str() {
        Some(dag_id) => format!("{dag_id}.{}", text(event, "/source_task_id")),
        None => "API".to_owned(),
    }),
    ("run", &|event| text(event, "/source_run_id")),
    ("taken by", &|event| {
        join(event, "created_dagruns", |run| format!("{} {}", text(run, "/dag_id"), text(run, "/run_id")))
    }),
];

pub(super) async fn run(app: &App, command: AssetsCommand) -> Result<ExitCode> {
    let client = Client::connect(app).await?;
    match command {
        AssetsCommand::List { all, output, .. } => {
            let query = [("only_active", if all { "false" } else { "true" })];
            let assets = client.list(&["api", "v2", "assets"], "assets", &query, usize::MAX).await?;
            list(&assets, output.output, ASSET_FIELDS, "No DAG names an asset.")?;
        }
        AssetsCommand::Events { asset, limit, output, .. } => {
            let id = match &asset {
                Some(asset) => Some(find(&client, asset).await?["id"].to_string()),
                None => None,
            };
            let mut query = vec![("order_by", "-timestamp")];
            query.extend(id.iter().map(|id| ("asset_id", id.as_str())));
            let events = client.list(&["api", "v2", "assets", "events"], "asset_events", &query, limit).await?;
            list(&events, output.output, EVENT_FIELDS, "No events.")?;
        }
        AssetsCommand::Emit { asset, extra, output, .. } => {
            let extra: Map<String, Value> = match extra {
                Some(text) => serde_json::from_str(&text).context("--extra must be a JSON object")?,
                None => Map::new(),
            };
            let asset = find(&client, &asset).await?;
            let body = json!({"asset_id": asset["id"], "extra": extra});
            let event = client.post(&["api", "v2", "assets", "events"], &body).await?;
            one(&event, output.output, EVENT_FIELDS)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The active asset with this name or URI.
async fn find(client: &Client, wanted: &str) -> Result<Value> {
    for (key, pattern) in [("name", "name_pattern"), ("uri", "uri_pattern")] {
        // `|` separates alternatives of a pattern; what it finds is compared whole.
        let part = wanted.split('|').next().unwrap_or_default();
        let found = client.list(&["api", "v2", "assets"], "assets", &[(pattern, part)], usize::MAX).await?;
        if let Some(asset) = found.into_iter().find(|asset| asset[key] == wanted) {
            return Ok(asset);
        }
    }
    bail!("no DAG names an asset with the name or URI {wanted:?}; `updraft assets list` shows those there are");
}

fn join(item: &Value, key: &str, name: impl Fn(&Value) -> String) -> String {
    let names: Vec<String> = item[key].as_array().into_iter().flatten().map(name).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}
