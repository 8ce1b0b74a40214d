//! `updraft backfill`: runs for past dates, over REST.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    App,
    args::{ClientFlags, OutputFlag},
    client::Client,
    output::{Column, instant, list, one, text},
};

#[derive(Debug, Subcommand)]
pub(crate) enum BackfillCommand {
    /// Makes the runs of a DAG's past dates
    Create {
        dag_id: String,
        /// The first date, such as 2026-01-31 or 2026-01-31T06:00:00Z
        #[arg(long, value_name = "DATE")]
        from: String,
        /// The last date, inclusive
        #[arg(long, value_name = "DATE")]
        to: String,
        /// Which existing runs to run again: none, failed, or completed (all that ended)
        #[arg(long, value_name = "BEHAVIOR", default_value = "none", value_parser = ["none", "failed", "completed"])]
        reprocess: String,
        /// Of its runs at once, whatever the DAG's own limit
        #[arg(long, value_name = "N", default_value_t = 10)]
        max_active_runs: u32,
        /// The youngest date first
        #[arg(long)]
        backwards: bool,
        /// The runs' configuration, a JSON object
        #[arg(long, value_name = "JSON")]
        conf: Option<String>,
        /// With the latest version of the DAG (or, =false, existing runs with their own), whatever the DAG says
        #[arg(long = "run-on-latest-version", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
              require_equals = true)]
        latest_version: Option<bool>,
        /// Only say which dates would run
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// A DAG's backfills, the youngest first
    List {
        dag_id: String,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// One backfill
    Show {
        id: u64,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Starts none of its runs until it is unpaused
    Pause {
        id: u64,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Goes on starting its runs
    Unpause {
        id: u64,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Ends it: its queued runs fail, those that run go on
    Cancel {
        id: u64,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
}

impl BackfillCommand {
    pub(super) fn client(&self) -> &ClientFlags {
        match self {
            Self::Create { client, .. }
            | Self::List { client, .. }
            | Self::Show { client, .. }
            | Self::Pause { client, .. }
            | Self::Unpause { client, .. }
            | Self::Cancel { client, .. } => client,
        }
    }
}

const FIELDS: &[Column<'_>] = &[
    ("id", &|backfill| text(backfill, "/id")),
    ("dag_id", &|backfill| text(backfill, "/dag_id")),
    ("state", &|backfill| {
        let state = match (backfill["completed_at"].is_null(), backfill["is_paused"].as_bool()) {
            (true, Some(true)) => "paused",
            (true, _) => "active",
            // Cancelling pauses.
            (false, Some(true)) => "cancelled",
            (false, _) => "completed",
        };
        state.to_owned()
    }),
    ("from", &|backfill| instant(backfill, "/from_date")),
    ("to", &|backfill| instant(backfill, "/to_date")),
    ("reprocess", &|backfill| text(backfill, "/reprocess_behavior")),
    ("runs at once", &|backfill| text(backfill, "/max_active_runs")),
    ("completed", &|backfill| instant(backfill, "/completed_at")),
];

const DATE_FIELDS: &[Column<'_>] = &[("logical date", &|date| instant(date, "/logical_date"))];

pub(super) async fn run(app: &App, command: BackfillCommand) -> Result<ExitCode> {
    let client = Client::connect(app).await?;
    match command {
        BackfillCommand::Create {
            dag_id,
            from,
            to,
            reprocess,
            max_active_runs,
            backwards,
            conf,
            latest_version,
            dry_run,
            output,
            ..
        } => {
            let conf: Option<Value> =
                conf.map(|conf| serde_json::from_str(&conf).context("--conf is not JSON")).transpose()?;
            let body = json!({
                "dag_id": dag_id, "from_date": date(&from), "to_date": date(&to), "reprocess_behavior": reprocess,
                "max_active_runs": max_active_runs, "run_backwards": backwards, "dag_run_conf": conf,
                "run_on_latest_version": latest_version,
            });
            if dry_run {
                let dates = client.post(&["api", "v2", "backfills", "dry_run"], &body).await?;
                let dates = dates["backfills"].as_array().cloned().unwrap_or_default();
                list(&dates, output.output, DATE_FIELDS, "There is nothing to run between these dates.")?;
            } else {
                let made = client.post(&["api", "v2", "backfills"], &body).await?;
                one(&made, output.output, FIELDS)?;
            }
        }
        BackfillCommand::List { dag_id, output, .. } => {
            let query = [("dag_id", dag_id.as_str()), ("order_by", "-id")];
            let backfills = client.list(&["api", "v2", "backfills"], "backfills", &query, usize::MAX).await?;
            list(&backfills, output.output, FIELDS, "No backfills.")?;
        }
        BackfillCommand::Show { id, output, .. } => {
            let backfill = client.get(&["api", "v2", "backfills", &id.to_string()], &[]).await?;
            one(&backfill, output.output, FIELDS)?;
        }
        BackfillCommand::Pause { id, output, .. } => change(&client, id, "pause", &output).await?,
        BackfillCommand::Unpause { id, output, .. } => change(&client, id, "unpause", &output).await?,
        BackfillCommand::Cancel { id, output, .. } => change(&client, id, "cancel", &output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn change(client: &Client, id: u64, verb: &str, output: &OutputFlag) -> Result<()> {
    let path = ["api", "v2", "backfills", &id.to_string(), verb];
    let backfill = client.send_empty(Method::PUT, &path).await?;
    one(&backfill, output.output, FIELDS)
}

/// A day alone is its midnight in UTC.
fn date(text: &str) -> String {
    if text.len() == "2026-01-31".len() { format!("{text}T00:00:00Z") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_alone_is_its_midnight() {
        assert_eq!(date("2026-01-31"), "2026-01-31T00:00:00Z");
        assert_eq!(date("2026-01-31T06:00:00+02:00"), "2026-01-31T06:00:00+02:00");
    }

    #[test]
    fn a_backfills_state_is_one_word() {
        let state = FIELDS[2].1;
        for (paused, completed, expected) in [
            (false, json!(null), "active"),
            (true, json!(null), "paused"),
            (false, json!("2026-01-31T00:00:00Z"), "completed"),
            (true, json!("2026-01-31T00:00:00Z"), "cancelled"),
        ] {
            assert_eq!(state(&json!({"is_paused": paused, "completed_at": completed})), expected);
        }
    }
}
