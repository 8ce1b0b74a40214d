//! `updraft notifications list`.

use std::process::ExitCode;

use anyhow::Result;

use super::{
    App,
    args::NotificationsCommand,
    client::Client,
    output::{instant, list, text},
};

pub(super) async fn run(app: &App, command: NotificationsCommand) -> Result<ExitCode> {
    let NotificationsCommand::List { dag_id, run_id, state, limit, output, .. } = command;
    let client = Client::connect(app).await?;
    let mut query: Vec<(&str, &str)> = state.iter().map(|state| ("state", state.as_str())).collect();
    query.extend(dag_id.iter().map(|dag_id| ("dag_id", dag_id.as_str())));
    query.extend(run_id.iter().map(|run_id| ("dag_run_id", run_id.as_str())));
    let notices = client.list(&["ui", "notifications"], "notifications", &query, limit).await?;
    list(
        &notices,
        output.output,
        &[
            ("dag_id", &|notice| text(notice, "/dag_id")),
            ("run_id", &|notice| text(notice, "/dag_run_id")),
            ("task_id", &|notice| match notice["map_index"].as_i64() {
                Some(index) if index >= 0 => format!("{}[{index}]", text(notice, "/task_id")),
                _ => text(notice, "/task_id"),
            }),
            ("event", &|notice| text(notice, "/event")),
            ("kind", &|notice| text(notice, "/kind")),
            ("to", &|notice| text(notice, "/target")),
            ("state", &|notice| text(notice, "/state")),
            ("tries", &|notice| text(notice, "/tries")),
            ("created", &|notice| instant(notice, "/created_at")),
            ("last error", &|notice| text(notice, "/last_error")),
        ],
        "No notifications.",
    )?;
    Ok(ExitCode::SUCCESS)
}
