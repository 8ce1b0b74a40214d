//! `updraft runs`: list, show, retry, mark, why, logs over REST.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{
    App,
    args::{Output, RunsCommand},
    client::Client,
    output::{Column, duration, instant, list, one, say, text},
};

/// What is shown of a run.
pub(super) const RUN_FIELDS: &[Column<'_>] = &[
    ("dag_id", &|run| text(run, "/dag_id")),
    ("run_id", &|run| text(run, "/dag_run_id")),
    ("state", &|run| text(run, "/state")),
    ("type", &|run| text(run, "/run_type")),
    ("logical date", &|run| instant(run, "/logical_date")),
    ("start", &|run| instant(run, "/start_date")),
    ("duration", &|run| duration(run, "/duration")),
];

const TASK_FIELDS: &[Column<'_>] = &[
    ("task_id", &|task| match task["map_index"].as_i64() {
        Some(index) if index >= 0 => format!("{}[{index}]", text(task, "/task_id")),
        _ => text(task, "/task_id"),
    }),
    ("state", &|task| text(task, "/state")),
    ("try", &|task| text(task, "/try_number")),
    ("host", &|task| text(task, "/hostname")),
    ("start", &|task| instant(task, "/start_date")),
    ("duration", &|task| duration(task, "/duration")),
];

/// How often a waiting command asks. People wait here, not tasks.
const ASK_EVERY: Duration = Duration::from_millis(300);

pub(super) async fn run(app: &App, command: RunsCommand) -> Result<ExitCode> {
    let client = Client::connect(app).await?;
    match command {
        RunsCommand::List { dag_id, state, limit, output, .. } => {
            let dag_id = dag_id.unwrap_or_else(|| "~".into());
            let mut query = vec![("order_by", "-run_after")];
            query.extend(state.iter().map(|state| ("state", state.as_str())));
            let runs = client.list(&["api", "v2", "dags", &dag_id, "dagRuns"], "dag_runs", &query, limit).await?;
            list(&runs, output.output, RUN_FIELDS, "No runs.")?;
        }
        RunsCommand::Show { dag_id, run_id, output, .. } => {
            let mut run = client.get(&["api", "v2", "dags", &dag_id, "dagRuns", &run_id], &[]).await?;
            let tasks = tasks(&client, &dag_id, &run_id).await?;
            if output.output == Output::Json {
                run["task_instances"] = Value::Array(tasks);
                say(format_args!("{}", serde_json::to_string_pretty(&run)?))?;
            } else {
                one(&run, output.output, RUN_FIELDS)?;
                say(format_args!(""))?;
                list(&tasks, output.output, TASK_FIELDS, "No tasks.")?;
            }
        }
        RunsCommand::Retry { dag_id, run_id, tasks, all, wait, output, .. } => {
            let mut body = json!({"dag_run_id": run_id, "dry_run": false, "only_failed": !all && tasks.is_empty()});
            if !tasks.is_empty() {
                body["task_ids"] = json!(tasks);
                body["include_downstream"] = json!(true);
            }
            let answer = client.post(&["api", "v2", "dags", &dag_id, "clearTaskInstances"], &body).await?;
            let cleared = answer["task_instances"].as_array().cloned().unwrap_or_default();
            if wait && !cleared.is_empty() {
                return self::wait(&client, &dag_id, &run_id, output.output).await;
            }
            list(
                &cleared,
                output.output,
                TASK_FIELDS,
                "Nothing to retry: no task of the run failed (--all retries every task).",
            )?;
        }
        RunsCommand::Mark {
            dag_id,
            run_id,
            state,
            task,
            map_index,
            upstream,
            downstream,
            past,
            future,
            dry_run,
            output,
            ..
        } => {
            let mut path = vec!["api", "v2", "dags", &dag_id, "dagRuns", &run_id];
            if let Some(task) = &task {
                let index = map_index.map(|index| index.to_string());
                path.extend(["taskInstances", task]);
                path.extend(index.as_deref());
                path.extend(dry_run.then_some("dry_run"));
                let body = json!({
                    "new_state": state, "include_upstream": upstream, "include_downstream": downstream,
                    "include_past": past, "include_future": future,
                });
                let marked = client.patch(&path, &body).await?;
                let marked = marked["task_instances"].as_array().cloned().unwrap_or_default();
                list(&marked, output.output, TASK_FIELDS, "Every task is in that state already.")?;
            } else {
                let run = client.patch(&path, &json!({"state": state})).await?;
                one(&run, output.output, RUN_FIELDS)?;
            }
        }
        RunsCommand::Why { dag_id, run_id, task_id, output, .. } => {
            let open: Vec<String> = match task_id {
                Some(task_id) => vec![task_id],
                None => tasks(&client, &dag_id, &run_id)
                    .await?
                    .iter()
                    .filter(|task| {
                        !matches!(task["state"].as_str(), Some("success" | "skipped" | "failed" | "removed"))
                    })
                    .map(|task| text(task, "/task_id"))
                    .collect(),
            };
            let mut answers = Vec::with_capacity(open.len());
            for task_id in open {
                answers.push(client.get(&["ui", "why", &dag_id, &run_id, &task_id], &[]).await?);
            }
            why(&answers, output.output)?;
        }
        RunsCommand::Logs { dag_id, run_id, task_id, try_number, map_index, .. } => {
            logs(&client, &dag_id, &run_id, &task_id, try_number, map_index).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn tasks(client: &Client, dag_id: &str, run_id: &str) -> Result<Vec<Value>> {
    let path = ["api", "v2", "dags", dag_id, "dagRuns", run_id, "taskInstances"];
    client.list(&path, "task_instances", &[], usize::MAX).await
}

/// Follows a run to its end; the exit code says how it ended. Progress is drawn on a terminal only.
pub(super) async fn wait(client: &Client, dag_id: &str, run_id: &str, output: Output) -> Result<ExitCode> {
    let bar = if io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{spinner} {prefix} {wide_bar} {pos}/{len} {msg}")
            .context("the progress template")?;
        ProgressBar::no_length().with_style(style).with_prefix(run_id.to_owned())
    } else {
        ProgressBar::hidden()
    };
    let run = loop {
        let run = client.get(&["api", "v2", "dags", dag_id, "dagRuns", run_id], &[]).await?;
        let tasks = tasks(client, dag_id, run_id).await?;
        let ended = tasks.iter().filter(|task| !task["end_date"].is_null()).count();
        bar.set_length(tasks.len() as u64);
        bar.set_position(ended as u64);
        bar.set_message(text(&run, "/state"));
        if matches!(run["state"].as_str(), Some("success" | "failed")) {
            break run;
        }
        bar.tick();
        tokio::time::sleep(ASK_EVERY).await;
    };
    bar.finish_and_clear();
    one(&run, output, RUN_FIELDS)?;
    Ok(if run["state"] == "success" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line per reason: the code and its parameters.
fn why(answers: &[Value], output: Output) -> Result<()> {
    if output == Output::Json {
        say(format_args!("{}", serde_json::to_string_pretty(answers)?))?;
        return Ok(());
    }
    if answers.is_empty() {
        say(format_args!("Every task of the run is finished."))?;
    }
    for answer in answers {
        say(format_args!("{} ({})", text(answer, "/task_id"), text(answer, "/state")))?;
        for reason in answer["reasons"].as_array().into_iter().flatten() {
            match reason["message"].as_str() {
                Some(message) => say(format_args!("  {}: {message}", text(reason, "/code")))?,
                None => say(format_args!("  {}{}", text(reason, "/code"), parameters(reason)))?,
            }
        }
    }
    Ok(())
}

fn parameters(reason: &Value) -> String {
    let fields = reason.as_object().into_iter().flatten().filter(|(name, _)| *name != "code");
    let text: Vec<String> = fields
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name} {text}"),
            other => format!("{name} {other}"),
        })
        .collect();
    if text.is_empty() { String::new() } else { format!(" ({})", text.join(", ")) }
}

/// Prints a task's log as it comes, until the try is over.
async fn logs(
    client: &Client,
    dag_id: &str,
    run_id: &str,
    task_id: &str,
    try_number: Option<u32>,
    map_index: Option<i32>,
) -> Result<()> {
    let try_number = if let Some(number) = try_number {
        number.to_string()
    } else {
        let path = ["api", "v2", "dags", dag_id, "dagRuns", run_id, "taskInstances", task_id];
        let task = client.get(&path, &[]).await?;
        task["try_number"].as_u64().unwrap_or(1).max(1).to_string()
    };
    let map_index = map_index.map(|index| index.to_string());
    let mut query = vec![("full_content", "false")];
    query.extend(map_index.as_deref().map(|index| ("map_index", index)));
    let path = ["api", "v2", "dags", dag_id, "dagRuns", run_id, "taskInstances", task_id, "logs", &try_number];
    let answer = client.stream(&path, &query, "application/x-ndjson").await?;
    let mut chunks = answer.bytes_stream();
    let mut rest = Vec::new();
    while let Some(chunk) = chunks.next().await {
        rest.extend_from_slice(&chunk.context("reading the log")?);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            print_line(&String::from_utf8_lossy(&line))?;
        }
    }
    print_line(&String::from_utf8_lossy(&rest))?;
    Ok(())
}

fn print_line(line: &str) -> io::Result<()> {
    let line = line.trim_end();
    match serde_json::from_str::<Value>(line) {
        Ok(entry) if entry["event"].is_string() => {
            let time = text(&entry, "/timestamp");
            say(format_args!("{time} {} {}", entry["level"].as_str().unwrap_or("info"), text(&entry, "/event")))?;
        }
        _ if line.is_empty() => {}
        _ => say(format_args!("{line}"))?,
    }
    Ok(())
}
