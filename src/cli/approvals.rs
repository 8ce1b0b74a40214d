//! `updraft approvals`: what tasks ask people, and answers, over REST.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    App,
    args::{ClientFlags, OutputFlag},
    client::Client,
    output::{Column, instant, list, one, task_name, text},
};

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// Questions that wait for an answer, of one DAG or of all
    List {
        dag_id: Option<String>,
        /// Those that were answered too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Answers a question; without --option by `Approve`
    Approve {
        #[command(flatten)]
        task: TaskArguments,
        /// An option to choose; may be repeated where several may be chosen
        #[arg(long = "option", value_name = "OPTION", default_value = "Approve")]
        options: Vec<String>,
        /// What to put into a field, name=value; a value that is JSON is taken as JSON; may be repeated
        #[arg(long = "param", value_name = "NAME=VALUE")]
        params: Vec<String>,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Answers a question by `Reject`
    Reject {
        #[command(flatten)]
        task: TaskArguments,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// Whose question.
#[derive(Debug, Args)]
pub(crate) struct TaskArguments {
    dag_id: String,
    run_id: String,
    task_id: String,
    /// Which instance of a mapped task
    #[arg(long, value_name = "N", default_value_t = -1)]
    map_index: i32,
}

impl ApprovalsCommand {
    pub(super) fn client(&self) -> &ClientFlags {
        match self {
            Self::List { client, .. } | Self::Approve { client, .. } | Self::Reject { client, .. } => client,
        }
    }
}

const FIELDS: &[Column<'_>] = &[
    ("dag_id", &|asked| text(asked, "/task_instance/dag_id")),
    ("run_id", &|asked| text(asked, "/task_instance/dag_run_id")),
    ("task_id", &|asked| task_name(&asked["task_instance"])),
    ("subject", &|asked| text(asked, "/subject")),
    ("options", &|asked| words(&asked["options"])),
    ("asked", &|asked| instant(asked, "/created_at")),
    ("answer", &|asked| words(&asked["chosen_options"])),
];

const ANSWER_FIELDS: &[Column<'_>] = &[
    ("answer", &|answer| words(&answer["chosen_options"])),
    ("by", &|answer| text(answer, "/responded_by/name")),
    ("at", &|answer| instant(answer, "/responded_at")),
];

pub(super) async fn run(app: &App, command: ApprovalsCommand) -> Result<ExitCode> {
    let client = Client::connect(app).await?;
    match command {
        ApprovalsCommand::List { dag_id, all, output, .. } => {
            let dag_id = dag_id.unwrap_or_else(|| "~".into());
            let mut query = vec![("order_by", "created_at")];
            if !all {
                query.extend([("response_received", "false"), ("state", "awaiting_input")]);
            }
            let path = ["api", "v2", "dags", &dag_id, "dagRuns", "~", "hitlDetails"];
            let asked = client.list(&path, "hitl_details", &query, usize::MAX).await?;
            list(&asked, output.output, FIELDS, "Nothing waits for an answer.")?;
        }
        ApprovalsCommand::Approve { task, options, params, output, .. } => {
            let answer = answer(&client, &task, &options, fields(&params)?).await?;
            one(&answer, output.output, ANSWER_FIELDS)?;
        }
        ApprovalsCommand::Reject { task, output, .. } => {
            let answer = answer(&client, &task, &["Reject".to_owned()], Map::new()).await?;
            one(&answer, output.output, ANSWER_FIELDS)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn answer(
    client: &Client,
    task: &TaskArguments,
    options: &[String],
    params: Map<String, Value>,
) -> Result<Value> {
    let TaskArguments { dag_id, run_id, task_id, map_index } = task;
    let index = map_index.to_string();
    let path = ["api", "v2", "dags", dag_id, "dagRuns", run_id, "taskInstances", task_id, &index, "hitlDetails"];
    client.patch(&path, &json!({"chosen_options": options, "params_input": params})).await
}

/// `name=value` pairs; a value that is JSON is taken as that, any other as text.
fn fields(pairs: &[String]) -> Result<Map<String, Value>> {
    let mut fields = Map::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=') else {
            bail!("--param takes name=value; `{pair}` has no `=`");
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        fields.insert(name.to_owned(), value);
    }
    Ok(fields)
}

fn words(list: &Value) -> String {
    let words: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fields_value_is_json_or_text() {
        let read = fields(&["n=3".into(), "name=Ann Lee".into(), "query=a=b".into()]).unwrap();
        assert_eq!(Value::Object(read), json!({"n": 3, "name": "Ann Lee", "query": "a=b"}));
        assert!(fields(&["n".into()]).is_err());
    }
}
