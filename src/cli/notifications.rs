//! `updraft notifications`: what was told to whom, over REST.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::{
    App,
    args::NotificationsCommand,
    client::Client,
    output::{Column, instant, list, one, task_name, text},
};

pub(super) async fn run(app: &App, command: NotificationsCommand) -> Result<ExitCode> {
    let client = Client::connect(app).await?;
    let (dag_id, run_id, state, limit, output) = match command {
        NotificationsCommand::List { dag_id, run_id, state, limit, output, .. } => {
            (dag_id, run_id, state, limit, output)
        }
        NotificationsCommand::Retry { key, output, .. } => {
            let notice = client.post(&["ui", "notifications", &key, "retry"], &json!({})).await?;
            one(&notice, output.output, FIELDS)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let mut query: Vec<(&str, &str)> = state.iter().map(|state| ("state", state.as_str())).collect();
    query.extend(dag_id.iter().map(|dag_id| ("dag_id", dag_id.as_str())));
    query.extend(run_id.iter().map(|run_id| ("dag_run_id", run_id.as_str())));
    let notices = client.list(&["ui", "notifications"], "notifications", &query, limit).await?;
    list(&notices, output.output, FIELDS, "No notifications.")?;
    Ok(ExitCode::SUCCESS)
}

const FIELDS: &[Column<'_>] = &[
    ("key", &|notice| text(notice, "/key")),
    ("dag_id", &|notice| text(notice, "/dag_id")),
    ("run_id", &|notice| text(notice, "/dag_run_id")),
    ("task_id", &task_name),
    ("event", &|notice| text(notice, "/event")),
    ("kind", &|notice| text(notice, "/kind")),
    ("to", &|notice| text(notice, "/target")),
    ("state", &|notice| text(notice, "/state")),
    ("tries", &|notice| text(notice, "/tries")),
    ("created", &|notice| instant(notice, "/created_at")),
    ("last error", &|notice| text(notice, "/last_error")),
];
