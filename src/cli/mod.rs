//! What each command does. Roles and `db` reach into the crates; everything else speaks REST.

mod approvals;
pub(crate) mod args;
mod assets;
mod backfill;
mod client;
mod config;
mod convert;
mod dags;
mod db;
mod doctor;
mod entities;
mod entity_args;
mod executors;
mod explain;
mod notifications;
pub(crate) mod output;
mod runs;
mod test;
mod tokens;
mod users;
mod validate;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{
    cli::args::{Arguments, Command, ExecutorCommand},
    config::{Environment, Loaded, load},
    logging, roles, standalone,
};

/// The environment and the configuration, as every command gets them.
pub(crate) struct App {
    pub(crate) environment: Environment,
    pub(crate) loaded: Loaded,
}

/// Runs one command to its end.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let environment = Environment::read();
    let flags = arguments.flags();
    let loaded = load(&environment, arguments.config, flags)
        .map_err(anyhow::Error::new)
        .context("the configuration is not usable")?;
    logging::install(&loaded.config.logging)?;
    #[cfg(feature = "failpoints")]
    if let Some(text) = &environment.failpoints {
        crate::failpoints::arm(text)?;
    }
    let app = App { environment, loaded };
    match arguments.command {
        Command::Standalone(flags) => standalone::run(&app, &flags).await,
        Command::Scheduler(_) => Box::pin(roles::scheduler(&app)).await,
        Command::Webserver(_) => roles::webserver(&app).await,
        Command::Executor(executor) => match executor.command {
            None => roles::executor(&app).await,
            Some(ExecutorCommand::Token(token)) => db::token(&app, token).await,
            Some(ExecutorCommand::Doctor(flags)) => doctor::run(&app, flags.output.output).await,
        },
        Command::Dags(dags) => dags::run(&app, dags).await,
        Command::Runs(runs) => runs::run(&app, runs).await,
        Command::Backfill(backfill) => backfill::run(&app, backfill).await,
        Command::Assets(assets) => assets::run(&app, assets).await,
        Command::Approvals(approvals) => approvals::run(&app, approvals).await,
        Command::Executors(executors) => executors::run(&app, executors).await,
        Command::Notifications(command) => notifications::run(&app, command).await,
        Command::Variables(variables) => entities::variables(&app, variables).await,
        Command::Connections(connections) => entities::connections(&app, connections).await,
        Command::Pools(pools) => entities::pools(&app, pools).await,
        Command::Users(users) => users::run(&app, users).await,
        Command::Tokens(tokens) => tokens::run(&app, tokens).await,
        Command::Db(db) => db::run(&app, db).await,
        Command::Config(config) => config::run(&app, &config),
        Command::Version => {
            output::say(format_args!("updraft {}", env!("CARGO_PKG_VERSION")))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
