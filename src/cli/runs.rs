//! `updraft runs`: list, show, retry, mark, why, logs over REST.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{
    App,
    args::{Output, RunsCommand},
    client::Client,
    output::{Column, duration, instant, list, one, say, task_name, text},
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
    ("task_id", &task_name),
    ("state", &|task| text(task, "/state")),
    ("try", &|task| text(task, "/try_number")),
    ("host", &|task| text(task, "/hostname")),
    ("start", &|task| instant(task, "/start_date")),
    ("duration", &|task| duration(task, "/duration")),
];

/// What is shown of a task that a run does not have yet.
const NEW_TASK_FIELDS: &[Column<'_>] = &[("task_id", &|task| text(task, "/task_id"))];

/// Of so many failed tasks `show` says why; each is a question of its own.
const REASONS: usize = 20;

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
                let failed: Vec<&Value> = tasks.iter().filter(|task| task["state"] == "failed").collect();
                if !failed.is_empty() {
                    say(format_args!(""))?;
                }
                for task in failed.iter().take(REASONS) {
                    let answer = ask(&client, "why", &dag_id, &run_id, task).await?;
                    let reasons = answer["reasons"].as_array().cloned().unwrap_or_default();
                    let reason =
                        reasons.iter().find_map(|reason| reason["message"].as_str()).unwrap_or("no reason is known");
                    say(format_args!("{}: {reason}", task_name(task)))?;
                    facts(&tries(&client, &dag_id, &run_id, task).await?)?;
                }
                if let Some(more) = failed.len().checked_sub(REASONS).filter(|more| *more > 0) {
                    say(format_args!("{more} more failed: updraft runs why {dag_id} {run_id}"))?;
                }
            }
        }
        RunsCommand::Retry {
            dag_id,
            run_id,
            tasks,
            map_indexes,
            upstream,
            past,
            future,
            all,
            only_new,
            latest_version,
            dry_run,
            wait,
            output,
            ..
        } => {
            let answer = if only_new {
                let body = json!({"only_new": true, "dry_run": dry_run});
                client.post(&["api", "v2", "dags", &dag_id, "dagRuns", &run_id, "clear"], &body).await?
            } else {
                let mut body = json!({
                    "dag_run_id": run_id, "dry_run": dry_run, "only_failed": !all && tasks.is_empty(),
                    "include_upstream": upstream, "include_downstream": !tasks.is_empty(),
                    "include_past": past, "include_future": future, "run_on_latest_version": latest_version,
                });
                if !tasks.is_empty() {
                    body["task_ids"] = chosen(&tasks, &map_indexes)?;
                }
                client.post(&["api", "v2", "dags", &dag_id, "clearTaskInstances"], &body).await?
            };
            if only_new && !dry_run {
                if wait {
                    return self::wait(&client, &dag_id, &run_id, output.output).await;
                }
                one(&answer, output.output, RUN_FIELDS)?;
                return Ok(ExitCode::SUCCESS);
            }
            let cleared = answer["task_instances"].as_array().cloned().unwrap_or_default();
            if wait && !cleared.is_empty() {
                return self::wait(&client, &dag_id, &run_id, output.output).await;
            }
            list(
                &cleared,
                output.output,
                if only_new { NEW_TASK_FIELDS } else { TASK_FIELDS },
                if only_new {
                    "The run has every task of the DAG's latest version."
                } else {
                    "Nothing to retry: no task of the run failed (--all retries every task)."
                },
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
        RunsCommand::Why { dag_id, run_id, task_id, map_index, output, .. } => {
            let asked = asked(&client, &dag_id, &run_id, task_id, map_index).await?;
            let mut answers = Vec::with_capacity(asked.len());
            for task in &asked {
                let mut answer = ask(&client, "why", &dag_id, &run_id, task).await?;
                answer["map_index"] = task["map_index"].clone();
                let mut reasons = answer["reasons"].as_array().into_iter().flatten();
                if reasons.any(|reason| reason["code"] == "finished") {
                    answer["tries"] = tries(&client, &dag_id, &run_id, task).await?;
                }
                answers.push(answer);
            }
            why(&answers, output.output)?;
        }
        RunsCommand::Logs { dag_id, run_id, task_id, try_number, map_index, .. } => {
            logs(&client, &dag_id, &run_id, &task_id, try_number, map_index).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The tasks to run again, as the API takes them: ids, or pairs of an id and an index.
fn chosen(tasks: &[String], map_indexes: &[u32]) -> Result<Value> {
    match (tasks, map_indexes) {
        (tasks, []) => Ok(json!(tasks)),
        ([task], indexes) => Ok(indexes.iter().map(|index| json!([task, index])).collect()),
        _ => bail!("--map-index needs exactly one --task, whose instances are meant"),
    }
}

/// The instances that `why` is asked about: the named one (or each of a mapped task), else what has not ended well.
async fn asked(
    client: &Client,
    dag_id: &str,
    run_id: &str,
    task_id: Option<String>,
    map_index: Option<i32>,
) -> Result<Vec<Value>> {
    let all = tasks(client, dag_id, run_id).await?;
    let Some(task_id) = task_id else {
        let is_fine = |task: &Value| matches!(task["state"].as_str(), Some("success" | "skipped" | "removed"));
        return Ok(all.into_iter().filter(|task| !is_fine(task)).collect());
    };
    if let Some(index) = map_index {
        return Ok(vec![json!({"task_id": task_id, "map_index": index})]);
    }
    let found: Vec<Value> = all.into_iter().filter(|task| task["task_id"] == task_id.as_str()).collect();
    // One that the run has no instance of: the server says so.
    Ok(if found.is_empty() { vec![json!({"task_id": task_id, "map_index": -1})] } else { found })
}

/// What the server knows of a task: `why` it does not run, its `tries`.
async fn ask(client: &Client, what: &str, dag_id: &str, run_id: &str, task: &Value) -> Result<Value> {
    let index = task["map_index"].as_i64().unwrap_or(-1).to_string();
    client.get(&["ui", what, dag_id, run_id, &text(task, "/task_id")], &[("map_index", index.as_str())]).await
}

/// How each try of a task was carried out.
async fn tries(client: &Client, dag_id: &str, run_id: &str, task: &Value) -> Result<Value> {
    Ok(ask(client, "tries", dag_id, run_id, task).await?["tries"].take())
}

/// What is known of the last of a task's tries, indented; nothing of one that no node had.
fn facts(tries: &Value) -> Result<()> {
    let Some(last) = tries.as_array().and_then(|tries| tries.last()) else { return Ok(()) };
    let mib = last["peak_memory"].as_f64().map(|bytes| format!("{:.1} MiB", bytes / f64::from(1 << 20)));
    let words = last["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let command: Vec<String> = words.map(quoted).collect();
    let image = last["image_digest"].as_str().or(last["image"].as_str());
    for (name, value) in [
        ("class", last["failure_class"].as_str().map(str::to_owned)),
        ("exit code", last["exit_code"].as_i64().map(|code| code.to_string())),
        ("node", last["hostname"].as_str().filter(|name| !name.is_empty()).map(str::to_owned)),
        ("image", image.map(str::to_owned)),
        ("command", (!command.is_empty()).then(|| command.join(" "))),
        ("peak memory", mib),
    ] {
        if let Some(value) = value {
            say(format_args!("  {name}: {value}"))?;
        }
    }
    Ok(())
}

/// A word of a command as one would type it.
fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=@,+%".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
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
        say(format_args!("Every task of the run has ended well."))?;
    }
    for answer in answers {
        say(format_args!("{} ({})", task_name(answer), text(answer, "/state")))?;
        for reason in answer["reasons"].as_array().into_iter().flatten() {
            match reason["message"].as_str() {
                Some(message) => say(format_args!("  {}: {message}", text(reason, "/code")))?,
                None => say(format_args!("  {}{}", text(reason, "/code"), parameters(reason)))?,
            }
        }
        facts(&answer["tries"])?;
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
    let mut query = vec![("wait", FOLLOW.to_owned())];
    query.extend(map_index.map(|index| ("map_index", index)));
    let path = ["api", "v2", "dags", dag_id, "dagRuns", run_id, "taskInstances", task_id, "logs", &try_number];
    loop {
        let asked: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = client.stream(&path, &asked, "application/x-ndjson").await?;
        let token = answer.headers().get(CONTINUATION).and_then(|token| token.to_str().ok()).map(str::to_owned);
        print_lines(answer).await?;
        // Without one the try is over and all was printed.
        let Some(token) = token else { return Ok(()) };
        query.retain(|(name, _)| *name != "token");
        query.push(("token", token));
    }
}

/// Seconds for which the server may hold a question for what is new.
const FOLLOW: &str = "10";
/// Where the server says how to go on.
const CONTINUATION: &str = "airflow-continuation-token";

async fn print_lines(answer: reqwest::Response) -> Result<()> {
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
