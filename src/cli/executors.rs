//! `updraft executors list`.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use super::{
    App,
    args::ExecutorsCommand,
    client::Client,
    output::{instant, list, text},
};

pub(super) async fn run(app: &App, command: ExecutorsCommand) -> Result<ExitCode> {
    let ExecutorsCommand::List { output, .. } = command;
    let client = Client::connect(app).await?;
    let nodes = client.list(&["ui", "executors"], "executors", &[], usize::MAX).await?;
    list(
        &nodes,
        output.output,
        &[
            ("name", &|node| text(node, "/name")),
            ("state", &|node| text(node, "/state")),
            ("running", &|node| text(node, "/used")),
            ("slots", &|node| text(node, "/slots")),
            ("queues", &|node| node["queues"].as_array().map(|queues| join(queues)).unwrap_or_default()),
            ("runners", &|node| node["runners"].as_array().map(|runners| runners_text(runners)).unwrap_or_default()),
            ("last poll", &|node| instant(node, "/last_poll")),
        ],
        "No executor has registered.",
    )?;
    Ok(ExitCode::SUCCESS)
}

fn join(items: &[Value]) -> String {
    items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// The runners' names; one that cannot work now with its reason.
fn runners_text(runners: &[Value]) -> String {
    let texts = runners.iter().map(|runner| match (runner["available"] == true, runner["reason"].as_str()) {
        (true, _) => text(runner, "/name"),
        (false, Some(reason)) => format!("{} (no: {reason})", text(runner, "/name")),
        (false, None) => format!("{} (no)", text(runner, "/name")),
    });
    texts.collect::<Vec<_>>().join(", ")
}
