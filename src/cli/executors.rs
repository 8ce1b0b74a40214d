//! `updraft executors`: the nodes, over REST.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    App,
    args::{ClientFlags, OutputFlag},
    client::Client,
    output::{Column, instant, list, one, say, task_name, text},
};
use crate::cli::args::Output;

/// How often a drained node is asked what it still runs.
const ASK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(crate) enum ExecutorsCommand {
    /// All nodes that registered
    List {
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// One node, and what it runs
    Show {
        name: String,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Gives a node no new work, until it is resumed; what it has goes on
    Drain {
        name: String,
        /// Wait until it runs nothing
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Gives a drained node work again
    Resume {
        name: String,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
}

impl ExecutorsCommand {
    pub(super) fn client(&self) -> &ClientFlags {
        match self {
            Self::List { client, .. }
            | Self::Show { client, .. }
            | Self::Drain { client, .. }
            | Self::Resume { client, .. } => client,
        }
    }
}

pub(super) async fn run(app: &App, command: ExecutorsCommand) -> Result<ExitCode> {
    let client = Client::connect(app).await?;
    match command {
        ExecutorsCommand::List { output, .. } => {
            let nodes = client.list(&["ui", "executors"], "executors", &[], usize::MAX).await?;
            list(&nodes, output.output, COLUMNS, "No executor has registered.")?;
        }
        ExecutorsCommand::Show { name, output, .. } => show(&node(&client, &name).await?, output.output)?,
        ExecutorsCommand::Drain { name, wait, output, .. } => {
            let mut drained = client.post(&["ui", "executors", &name, "drain"], &json!({})).await?;
            while wait && drained["used"].as_i64().is_some_and(|used| used > 0) {
                tokio::time::sleep(ASK_EVERY).await;
                drained = node(&client, &name).await?;
            }
            show(&drained, output.output)?;
        }
        ExecutorsCommand::Resume { name, output, .. } => {
            show(&client.post(&["ui", "executors", &name, "resume"], &json!({})).await?, output.output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn node(client: &Client, name: &str) -> Result<Value> {
    client.get(&["ui", "executors", name], &[]).await
}

/// A node, and below it what it has.
fn show(node: &Value, output: Output) -> Result<()> {
    one(node, output, FIELDS)?;
    let attempts = node["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    if output == Output::Json || attempts.is_empty() {
        return Ok(());
    }
    say(format_args!(""))?;
    list(attempts, output, ATTEMPTS, "")
}

const COLUMNS: &[Column<'_>] = &[
    ("name", &|node| text(node, "/name")),
    ("state", &state),
    ("running", &|node| text(node, "/used")),
    ("slots", &|node| text(node, "/slots")),
    ("queues", &|node| joined(&node["queues"])),
    ("labels", &|node| labels(&node["labels"])),
    ("runners", &|node| runners(&node["runners"])),
    ("last poll", &|node| instant(node, "/last_poll")),
];

const FIELDS: &[Column<'_>] = &[
    ("name", &|node| text(node, "/name")),
    ("state", &state),
    ("running", &|node| text(node, "/used")),
    ("slots", &|node| text(node, "/slots")),
    ("weight", &|node| text(node, "/weight")),
    ("queues", &|node| joined(&node["queues"])),
    ("labels", &|node| labels(&node["labels"])),
    ("runners", &|node| runners(&node["runners"])),
    ("host", &|node| text(node, "/hostname")),
    ("version", &|node| text(node, "/version")),
    ("registered", &|node| instant(node, "/registered_at")),
    ("last poll", &|node| instant(node, "/last_poll")),
];

const ATTEMPTS: &[Column<'_>] = &[
    ("dag_id", &|attempt| text(attempt, "/dag_id")),
    ("run_id", &|attempt| text(attempt, "/dag_run_id")),
    ("task_id", &task_name),
    ("try", &|attempt| text(attempt, "/try_number")),
    ("kind", &|attempt| text(attempt, "/kind")),
    ("state", &|attempt| text(attempt, "/state")),
    ("since", &|attempt| instant(attempt, "/since")),
];

/// One that is away and will drain when it is back says so.
fn state(node: &Value) -> String {
    let state = text(node, "/state");
    if node["is_drained"] == true && state != "draining" { format!("{state} (drained)") } else { state }
}

fn joined(items: &Value) -> String {
    items.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn labels(labels: &Value) -> String {
    let text = |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap_or_default());
    labels.as_object().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ")
}

/// The runners' names; one that cannot work now with its reason.
fn runners(runners: &Value) -> String {
    let told = |runner: &Value| match (runner["available"] == true, runner["reason"].as_str()) {
        (true, _) => text(runner, "/name"),
        (false, Some(reason)) => format!("{} (no: {reason})", text(runner, "/name")),
        (false, None) => format!("{} (no)", text(runner, "/name")),
    };
    runners.as_array().into_iter().flatten().map(told).collect::<Vec<_>>().join(", ")
}
