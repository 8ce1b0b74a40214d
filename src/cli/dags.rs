//! `updraft dags`: list, show, trigger, pause, unpause over REST.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{
    App,
    args::{DagsCommand, TriggerFlags},
    client::Client,
    output::{instant, list, one, say, text},
    runs,
};

pub(super) async fn run(app: &App, command: DagsCommand) -> Result<ExitCode> {
    match command {
        DagsCommand::Validate(flags) => return super::validate::run(app, &flags),
        DagsCommand::Explain(flags) => return super::explain::run(app, &flags),
        DagsCommand::Convert(flags) => return super::convert::run(app, &flags),
        DagsCommand::Schema => say(format_args!("{}", serde_json::to_string_pretty(&updraft_core::yaml::schema())?))?,
        DagsCommand::Test(flags) => return super::test::run(app, flags).await,
        DagsCommand::List { output, .. } => {
            let client = Client::connect(app).await?;
            let dags = client.list(&["api", "v2", "dags"], "dags", &[("order_by", "dag_id")], usize::MAX).await?;
            list(
                &dags,
                output.output,
                &[
                    ("dag_id", &|dag| text(dag, "/dag_id")),
                    ("paused", &|dag| if dag["is_paused"] == true { "yes".into() } else { "no".into() }),
                    ("schedule", &|dag| text(dag, "/timetable_summary")),
                    ("next run", &|dag| instant(dag, "/next_dagrun_run_after")),
                    ("file", &|dag| text(dag, "/relative_fileloc")),
                ],
                "No DAGs.",
            )?;
            broken_files(&client).await?;
        }
        DagsCommand::Show { dag_id, output, .. } => {
            let client = Client::connect(app).await?;
            let dag = client.get(&["api", "v2", "dags", &dag_id], &[]).await?;
            one(
                &dag,
                output.output,
                &[
                    ("dag_id", &|dag| text(dag, "/dag_id")),
                    ("description", &|dag| text(dag, "/description")),
                    ("paused", &|dag| if dag["is_paused"] == true { "yes".into() } else { "no".into() }),
                    ("schedule", &|dag| text(dag, "/timetable_summary")),
                    ("next run", &|dag| instant(dag, "/next_dagrun_run_after")),
                    ("owners", &|dag| words(&dag["owners"], "")),
                    ("tags", &|dag| words(&dag["tags"], "name")),
                    ("file", &|dag| text(dag, "/fileloc")),
                    ("max active runs", &|dag| text(dag, "/max_active_runs")),
                    ("import errors", &|dag| if dag["has_import_errors"] == true { "yes".into() } else { "no".into() }),
                ],
            )?;
        }
        DagsCommand::Trigger(flags) => return trigger(app, flags).await,
        DagsCommand::Pause { dag_id, output, .. } => pause(app, &dag_id, true, output.output).await?,
        DagsCommand::Unpause { dag_id, output, .. } => pause(app, &dag_id, false, output.output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn pause(app: &App, dag_id: &str, paused: bool, output: super::args::Output) -> Result<()> {
    let client = Client::connect(app).await?;
    let dag = client.patch(&["api", "v2", "dags", dag_id], &json!({"is_paused": paused})).await?;
    one(
        &dag,
        output,
        &[
            ("dag_id", &|dag| text(dag, "/dag_id")),
            ("paused", &|dag| if dag["is_paused"] == true { "yes".into() } else { "no".into() }),
        ],
    )
}

async fn trigger(app: &App, flags: TriggerFlags) -> Result<ExitCode> {
    let conf: Value = match &flags.conf {
        Some(text) => serde_json::from_str(text).context("--conf is no JSON object")?,
        None => json!({}),
    };
    anyhow::ensure!(conf.is_object(), "--conf is no JSON object: {conf}");
    let logical_date = match flags.logical_date.as_deref() {
        Some("none") => None,
        Some(date) => {
            DateTime::parse_from_rfc3339(date).with_context(|| {
                format!("--logical-date {date:?}: write an instant with a zone, such as 2026-01-31T00:00:00Z, or none")
            })?;
            Some(date.to_owned())
        }
        None => Some(now()),
    };
    let client = Client::connect(app).await?;
    let dag = client.get(&["api", "v2", "dags", &flags.dag_id], &[]).await?;
    let paused = dag["is_paused"] == true;
    if paused && flags.wait {
        bail!("the DAG `{0}` is paused, so its run would wait: first `updraft dags unpause {0}`", flags.dag_id);
    }
    let mut body = json!({"logical_date": logical_date, "conf": conf});
    if let Some(run_id) = &flags.run_id {
        body["dag_run_id"] = json!(run_id);
    }
    let run = client.post(&["api", "v2", "dags", &flags.dag_id, "dagRuns"], &body).await?;
    if !flags.wait {
        one(&run, flags.output.output, runs::RUN_FIELDS)?;
    }
    if paused {
        eprintln!("note: the DAG is paused; the run waits until `updraft dags unpause {}`", flags.dag_id);
    }
    if flags.wait {
        return runs::wait(&client, &flags.dag_id, &text(&run, "/dag_run_id"), flags.output.output).await;
    }
    Ok(ExitCode::SUCCESS)
}

/// What Airflow's trigger form fills in, so that templates with the date work.
#[expect(clippy::disallowed_methods, reason = "the moment at which the user asked")]
fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Files that did not load are easily missed in a list of those that did.
async fn broken_files(client: &Client) -> Result<()> {
    let errors = client.list(&["api", "v2", "importErrors"], "import_errors", &[], 100).await?;
    for error in &errors {
        let report = text(error, "/stack_trace");
        eprintln!("import error in {}: {}", text(error, "/filename"), report.lines().next().unwrap_or_default());
    }
    if !errors.is_empty() {
        eprintln!("note: `updraft dags validate PATH` shows every error of a file");
    }
    Ok(())
}

/// A list of texts, or of objects with a text, in one line.
fn words(list: &Value, field: &str) -> String {
    let words: Vec<&str> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_str().or_else(|| item[field].as_str()))
        .collect();
    if words.is_empty() { "-".into() } else { words.join(", ") }
}
