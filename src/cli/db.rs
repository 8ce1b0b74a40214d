//! `updraft db` and `updraft executor token`: the commands that reach Postgres without a server.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{
    App,
    args::{DbCommand, TokenCommand},
    output::say,
};
use crate::{roles, standalone::data_dir::keep};

pub(super) async fn run(app: &App, command: DbCommand) -> Result<ExitCode> {
    let store = roles::connect(app, "updraft db").await?;
    match command {
        DbCommand::Migrate(_) => {
            store.migrate().await.context("migrating the database")?;
            say(format_args!("The schema is up to date."))?;
        }
        DbCommand::Check(_) => {
            store.check_schema().await?;
            say(format_args!("The schema is this binary's."))?;
            let violations = updraft_store::check::invariants(&store).await.context("checking the invariants")?;
            for violation in &violations {
                say(format_args!("VIOLATED: {}", violation.invariant))?;
                for offender in &violation.offenders {
                    say(format_args!("  {offender}"))?;
                }
            }
            if !violations.is_empty() {
                store.close().await;
                return Ok(ExitCode::FAILURE);
            }
            say(format_args!("Every invariant holds."))?;
        }
        DbCommand::RotateFernetKey(_) => {
            store.check_schema().await?;
            let rotated = updraft_store::rotate::rotate(&store).await.context("rotating the encryption key")?;
            say(format_args!(
                "Encrypted anew with the first key: variables {}, connections {}.",
                rotated.variables, rotated.connections
            ))?;
        }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn token(app: &App, command: TokenCommand) -> Result<ExitCode> {
    let TokenCommand::Create { name, file, .. } = command;
    if let Some(file) = file.as_deref().filter(|file| file.exists()) {
        say(format_args!("{} is there already; it is left as it is.", file.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let store = roles::connect(app, "updraft executor token").await?;
    store.check_schema().await?;
    let token = updraft_store::nodes::create_token(&store, &name).await.context("making a token")?;
    store.close().await;
    if let Some(file) = file {
        keep(&file, token)?;
        return Ok(ExitCode::SUCCESS);
    }
    say(format_args!("{token}"))?;
    eprintln!(
        "The token is not stored and not shown again: keep it in a file that only the node can read (--token-file)."
    );
    Ok(ExitCode::SUCCESS)
}
