//! `updraft executor doctor`: whether a node can work on this machine.

use std::{fs, process::ExitCode};

use anyhow::Result;
use secrecy::SecretString;
use updraft_executor::{Finding, Level};

use super::{App, args::Output, output::say};
use crate::{
    standalone::{self, data_dir::Layout},
    wiring,
};

/// Prints what was found; fails when a node cannot work.
pub(super) async fn run(app: &App, output: Output) -> Result<ExitCode> {
    let config = &app.loaded.config;
    let layout = Layout(standalone::data_dir::locate(config, &app.environment)?);
    let token_file = config.executor.token_file.clone().unwrap_or_else(|| layout.executor_token());
    let token = fs::read_to_string(&token_file);
    let server = config.executor.server.clone();
    let secret = SecretString::from(token.as_deref().unwrap_or_default().trim());
    let mut findings = updraft_executor::examine(&wiring::executor(app, server, secret, layout.0)).await;
    if let Err(error) = token {
        // What the server says to no token at all tells less.
        findings.retain(|finding| finding.check != "token");
        findings.push(Finding {
            check: "token",
            level: Level::Error,
            found: format!("{} cannot be read: {error}", token_file.display()),
            advice: Some(
                "Make a token with `updraft executor token create NAME` on the server, and name its file (--token-file).".into(),
            ),
        });
    }
    if output == Output::Json {
        say(format_args!("{}", serde_json::to_string_pretty(&findings)?))?;
    } else {
        for Finding { check, level, found, advice } in &findings {
            let word = match level {
                Level::Ok => "ok",
                Level::Warning => "warning",
                Level::Error => "error",
            };
            say(format_args!("{word:8} {check:9} {found}"))?;
            if let Some(advice) = advice {
                say(format_args!("{:18} {advice}", ""))?;
            }
        }
    }
    let healthy = findings.iter().all(|finding| finding.level != Level::Error);
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
