//! The arguments, and which configuration key each flag sets.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Flags;

/// An Airflow-compatible DAG scheduler.
#[derive(Debug, Parser)]
#[command(name = "updraft", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Arguments {
    /// A configuration file; without it $XDG_CONFIG_HOME/updraft/updraft.toml, if there is one
    #[arg(long, global = true, env = "UPDRAFT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// error, warn, info, debug, trace, or a filter such as info,updraft_scheduler=debug
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Log lines as text or as JSON
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one process, with a private Postgres: the way to begin
    Standalone(StandaloneFlags),
    /// Plans runs and places tasks; any number on one database
    Scheduler(SchedulerFlags),
    /// Serves the REST API, the page and the executor nodes; any number on one database
    Webserver(WebserverFlags),
    /// Runs tasks on this machine; any number, each with a name of its own
    Executor(ExecutorFlags),
    /// The database's schema and invariants
    #[command(subcommand)]
    Db(DbCommand),
    /// The configuration in effect
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints the version
    Version,
}

#[derive(Debug, Args)]
pub(crate) struct StandaloneFlags {
    /// Where Postgres, logs and passwords are kept
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The folder with the DAG files
    #[arg(long, value_name = "FOLDER")]
    dags_folder: Option<PathBuf>,
    /// The address to listen on
    #[arg(long)]
    host: Option<String>,
    /// The port to listen on; 0 chooses a free one
    #[arg(long)]
    port: Option<u16>,
    /// Use this Postgres instead of a private one
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// How many tasks at once
    #[arg(long)]
    slots: Option<u32>,
    /// Do not run tasks here: executors of their own will
    #[arg(long)]
    pub(crate) no_executor: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SchedulerFlags {
    /// postgres://user:password@host/database
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The folder with the DAG files
    #[arg(long, value_name = "FOLDER")]
    dags_folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WebserverFlags {
    /// postgres://user:password@host/database
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The address to listen on
    #[arg(long)]
    host: Option<String>,
    /// The port to listen on; 0 chooses a free one
    #[arg(long)]
    port: Option<u16>,
    /// Where task logs are kept
    #[arg(long, value_name = "FOLDER")]
    log_folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ExecutorFlags {
    #[command(subcommand)]
    pub(crate) command: Option<ExecutorCommand>,
    /// The node's name, shown as the hostname of its tasks
    #[arg(long)]
    name: Option<String>,
    /// A webserver's URL
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// A file that holds the node's token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How many tasks at once
    #[arg(long)]
    slots: Option<u32>,
    /// A fact about the node, key=value; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// A queue to serve; may be repeated
    #[arg(long = "queue", value_name = "QUEUE")]
    queues: Vec<String>,
    /// Where the node's journal and cache are kept
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExecutorCommand {
    /// Tokens by which nodes are let in
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token and prints it, once
    Create {
        /// What the token is for, for people
        name: String,
        /// postgres://user:password@host/database; not needed beside a running standalone
        #[arg(long, value_name = "URL")]
        database_url: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Brings the schema up to this binary's version
    Migrate(DatabaseFlags),
    /// Checks the schema and the invariants of what is stored
    Check(DatabaseFlags),
}

#[derive(Debug, Args)]
pub(crate) struct DatabaseFlags {
    /// postgres://user:password@host/database; not needed beside a running standalone
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The data folder of the standalone meant
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Every value in effect and where it came from; secrets are masked
    Show {
        #[command(flatten)]
        output: OutputFlag,
    },
    /// The documented default configuration file
    Default,
    /// docs/configuration.md
    #[command(hide = true)]
    Reference,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct OutputFlag {
    /// For people or for programs
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

impl Arguments {
    /// The configuration layer of the flags.
    pub(crate) fn flags(&self) -> Flags {
        let mut flags = Flags::default();
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        flags.set("logging.level", self.log_level.clone());
        flags.set("logging.format", self.log_format.clone());
        match &self.command {
            Command::Standalone(given) => {
                flags.set("core.data_dir", path(&given.data_dir));
                flags.set("core.dags_folder", path(&given.dags_folder));
                flags.set("webserver.host", given.host.clone());
                flags.set("webserver.port", given.port);
                flags.set("database.url", given.database_url.clone());
                flags.set("executor.slots", given.slots);
            }
            Command::Scheduler(given) => {
                flags.set("database.url", given.database_url.clone());
                flags.set("core.dags_folder", path(&given.dags_folder));
            }
            Command::Webserver(given) => {
                flags.set("database.url", given.database_url.clone());
                flags.set("webserver.host", given.host.clone());
                flags.set("webserver.port", given.port);
                flags.set("webserver.log_folder", path(&given.log_folder));
            }
            Command::Executor(given) => {
                if let Some(ExecutorCommand::Token(TokenCommand::Create { database_url, .. })) = &given.command {
                    flags.set("database.url", database_url.clone());
                }
                flags.set("executor.name", given.name.clone());
                flags.set("executor.server", given.server.clone());
                flags.set("executor.token_file", path(&given.token_file));
                flags.set("executor.slots", given.slots);
                flags.set("executor.labels", Some(given.labels.clone()).filter(|labels| !labels.is_empty()));
                flags.set("executor.queues", Some(given.queues.clone()).filter(|queues| !queues.is_empty()));
                flags.set("core.data_dir", path(&given.data_dir));
            }
            Command::Db(DbCommand::Migrate(given) | DbCommand::Check(given)) => {
                flags.set("database.url", given.database_url.clone());
                flags.set("core.data_dir", path(&given.data_dir));
            }
            Command::Config(_) | Command::Version => {}
        }
        flags
    }
}
