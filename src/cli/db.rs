//! `updraft db` and `updraft executor token`: the commands that reach Postgres without a server.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{
    App,
    args::{DbCommand, TokenCommand},
};
use crate::roles;

pub(super) async fn run(app: &App, command: DbCommand) -> Result<ExitCode> {
    let store = roles::connect(app, "updraft db").await?;
    match command {
        DbCommand::Migrate(_) => {
            store.migrate().await.context("migrating the database")?;
            println!("The schema is up to date.");
        }
        DbCommand::Check(_) => {
            store.check_schema().await?;
            println!("The schema is this binary's.");
        }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn token(app: &App, command: TokenCommand) -> Result<ExitCode> {
    let TokenCommand::Create { name, .. } = command;
    let store = roles::connect(app, "updraft executor token").await?;
    store.check_schema().await?;
    anyhow::bail!("tokens are not available yet ({name})")
}
