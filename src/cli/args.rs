//! The arguments, and which configuration key each flag sets.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    approvals::ApprovalsCommand,
    backfill::BackfillCommand,
    entity_args::{ConnectionsCommand, PoolsCommand, VariablesCommand},
    executors::ExecutorsCommand,
    tokens::TokensCommand,
    users::UsersCommand,
};
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
    /// DAGs and DAG files
    #[command(subcommand)]
    Dags(DagsCommand),
    /// DAG runs and their tasks
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Runs for past dates
    #[command(subcommand)]
    Backfill(BackfillCommand),
    /// Assets and their events
    #[command(subcommand)]
    Assets(AssetsCommand),
    /// What tasks ask people, and answers
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// The nodes that run tasks
    #[command(subcommand)]
    Executors(ExecutorsCommand),
    /// Callbacks and notifications: what was told to whom, and what could not be
    #[command(subcommand)]
    Notifications(NotificationsCommand),
    /// Variables that templates and secrets name
    #[command(subcommand)]
    Variables(VariablesCommand),
    /// Connections that templates and secrets name
    #[command(subcommand)]
    Connections(ConnectionsCommand),
    /// How many tasks of a kind may run at once
    #[command(subcommand)]
    Pools(PoolsCommand),
    /// Who may log in, and as what; needs the database, not a server
    #[command(subcommand)]
    Users(UsersCommand),
    /// API tokens, by which programs act for you
    #[command(subcommand)]
    Tokens(TokensCommand),
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
    /// The node's share of work that is given out by weight, beside the other nodes' weights
    #[arg(long)]
    weight: Option<u16>,
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
    /// Looks whether a node can work here, and says what to do where it cannot
    Doctor(DoctorFlags),
}

#[derive(Debug, Args)]
pub(crate) struct DoctorFlags {
    /// A webserver's URL
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// A file that holds the node's token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where the node's journal and cache are kept
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputFlag,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token and prints it, once, or writes it to a file
    Create {
        /// What the token is for, for people
        name: String,
        /// postgres://user:password@host/database; not needed beside a running standalone
        #[arg(long, value_name = "URL")]
        database_url: Option<String>,
        /// Write the token there instead, readable by its owner; a file that is there already is left as it is
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Brings the schema up to this binary's version
    Migrate(DatabaseFlags),
    /// Checks the schema and the invariants of what is stored
    Check(DatabaseFlags),
    /// Encrypts variables and connections anew with the first key of core.fernet_key
    RotateFernetKey(DatabaseFlags),
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

impl DatabaseFlags {
    fn set(&self, flags: &mut Flags) {
        flags.set("database.url", self.database_url.clone());
        flags.set("core.data_dir", self.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned()));
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum DagsCommand {
    /// Checks DAG files; needs no server. Exit code 1 on errors
    Validate(ValidateFlags),
    /// Prints a DAG file in its long form, with the line each value comes from; needs no server. Exit code 1 on errors
    Explain(ExplainFlags),
    /// Prints a DAG file in another tool's format; needs no server. Exit code 1 when something has no word there
    Convert(ConvertFlags),
    /// Prints the JSON Schema of DAG files, for editors; needs no server
    Schema,
    /// One run in the foreground, without server and database; logs as they come. Exit code 1 when it fails
    Test(TestFlags),
    /// All DAGs
    List {
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// One DAG
    Show {
        dag_id: String,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Starts a run
    Trigger(TriggerFlags),
    /// Stops new tasks of a DAG from starting
    Pause {
        dag_id: String,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Lets a DAG's tasks start
    Unpause {
        dag_id: String,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ValidateFlags {
    /// Files, or folders that are searched for .yaml and .yml files
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Warnings are errors: unknown keys, old names, operators that nothing here runs
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) output: OutputFlag,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainFlags {
    /// The DAG file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ConvertFlags {
    /// The format
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) to: Format,
    /// The DAG file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// What a DAG file can become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// dag-factory 1.x, for Airflow 3
    DagFactory,
}

#[derive(Debug, Args)]
pub(crate) struct TestFlags {
    /// The DAG file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Which of its DAGs, when there are several
    pub(crate) dag_id: Option<String>,
    /// The run's configuration, a JSON object
    #[arg(long, value_name = "JSON")]
    pub(crate) conf: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TriggerFlags {
    pub(crate) dag_id: String,
    /// The run's configuration, a JSON object
    #[arg(long, value_name = "JSON")]
    pub(crate) conf: Option<String>,
    /// The run's id; made of the time when not given
    #[arg(long)]
    pub(crate) run_id: Option<String>,
    /// An instant with a zone, such as 2026-01-31T00:00:00Z, or none; now when not given
    #[arg(long, value_name = "INSTANT")]
    pub(crate) logical_date: Option<String>,
    /// Wait for the end of the run; exit code 1 when it failed
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) output: OutputFlag,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NotificationsCommand {
    /// The newest, of one DAG or of all
    List {
        dag_id: Option<String>,
        /// Of one run
        #[arg(long, requires = "dag_id")]
        run_id: Option<String>,
        /// pending, running, delivered or failed; may be repeated
        #[arg(long)]
        state: Vec<String>,
        /// At most this many
        #[arg(long, default_value_t = 25)]
        limit: usize,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Sends one again that failed
    Retry {
        /// As `list` shows it
        key: String,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// The newest runs, of one DAG or of all
    List {
        dag_id: Option<String>,
        /// queued, running, success or failed; may be repeated
        #[arg(long)]
        state: Vec<String>,
        /// At most this many
        #[arg(long, default_value_t = 25)]
        limit: usize,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// One run and its tasks
    Show {
        dag_id: String,
        run_id: String,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Runs the failed tasks (or the named ones, or all) of a run again, and what depends on them
    Retry {
        dag_id: String,
        run_id: String,
        /// A task to run again whatever its state; may be repeated
        #[arg(long = "task", value_name = "TASK_ID")]
        tasks: Vec<String>,
        /// Of the named task, which is mapped, only this instance; may be repeated
        #[arg(long = "map-index", value_name = "N", requires = "tasks")]
        map_indexes: Vec<u32>,
        /// Also what the named tasks depend on
        #[arg(long, requires = "tasks")]
        upstream: bool,
        /// Also in earlier runs
        #[arg(long)]
        past: bool,
        /// Also in later runs
        #[arg(long)]
        future: bool,
        /// Every task
        #[arg(long, conflicts_with = "tasks")]
        all: bool,
        /// Nothing again: only the tasks that the latest version of the DAG has and the run lacks
        #[arg(long, conflicts_with_all = ["tasks", "all", "past", "future", "latest_version"])]
        only_new: bool,
        /// With the latest version of the DAG (or, =false, with the run's own), whatever the DAG says
        #[arg(long = "run-on-latest-version", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
              require_equals = true)]
        latest_version: Option<bool>,
        /// Only say which tasks would run again
        #[arg(long, conflicts_with = "wait")]
        dry_run: bool,
        /// Wait for the end of the run; exit code 1 when it failed
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Marks a run, or one of its tasks, as if it had ended so; what waits goes on accordingly
    Mark {
        dag_id: String,
        run_id: String,
        /// success or failed; of a run also queued, of a task also skipped
        #[arg(value_parser = ["success", "failed", "skipped", "queued"])]
        state: String,
        /// The task to mark instead of the run
        #[arg(long, value_name = "TASK_ID")]
        task: Option<String>,
        /// Of a mapped task only this instance
        #[arg(long, value_name = "N", requires = "task")]
        map_index: Option<i32>,
        /// Also everything before the task
        #[arg(long, requires = "task")]
        upstream: bool,
        /// Also everything behind the task
        #[arg(long, requires = "task")]
        downstream: bool,
        /// Also in earlier runs
        #[arg(long, requires = "task")]
        past: bool,
        /// Also in later runs
        #[arg(long, requires = "task")]
        future: bool,
        /// Only say which tasks would be marked
        #[arg(long, requires = "task")]
        dry_run: bool,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Why a task (or each task that has not ended well) of a run does not run, or ended so
    Why {
        dag_id: String,
        run_id: String,
        task_id: Option<String>,
        /// Of a mapped task only this instance
        #[arg(long, value_name = "N", requires = "task_id")]
        map_index: Option<i32>,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// The log of a task's latest (or named) try, followed while it runs
    Logs {
        dag_id: String,
        run_id: String,
        task_id: String,
        #[arg(long = "try", value_name = "N")]
        try_number: Option<u32>,
        #[arg(long, value_name = "N")]
        map_index: Option<i32>,
        #[command(flatten)]
        client: ClientFlags,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AssetsCommand {
    /// The assets that DAGs produce and wait for
    List {
        /// Also those that no DAG names any more
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// The newest events, of one asset or of all, and the runs that took them
    Events {
        /// An asset's name or URI
        asset: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 25)]
        limit: usize,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Tells of an event that no task emitted; the DAGs that wait for the asset run
    Emit {
        /// An asset's name or URI
        asset: String,
        /// What the runs see of it: a JSON object
        #[arg(long, value_name = "JSON")]
        extra: Option<String>,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// Which server, and who asks. Nothing is needed beside a running standalone.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClientFlags {
    /// The server's URL
    #[arg(long, value_name = "URL", help_heading = "Server")]
    server: Option<String>,
    /// The user
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    username: Option<String>,
    /// The user's password; better in UPDRAFT__CLIENT__PASSWORD, which other users cannot see
    #[arg(long, help_heading = "Server")]
    password: Option<String>,
    /// A token instead of a name and a password
    #[arg(long, help_heading = "Server")]
    token: Option<String>,
    /// The data folder of the standalone meant
    #[arg(long, value_name = "FOLDER", help_heading = "Server")]
    data_dir: Option<PathBuf>,
}

impl ClientFlags {
    fn set(&self, flags: &mut Flags) {
        flags.set("client.server", self.server.clone());
        flags.set("client.username", self.username.clone());
        flags.set("client.password", self.password.clone());
        flags.set("client.token", self.token.clone());
        flags.set("core.data_dir", self.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned()));
    }
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
                let (mut server, mut token_file, mut data_dir) = (&given.server, &given.token_file, &given.data_dir);
                if let Some(ExecutorCommand::Doctor(doctor)) = &given.command {
                    (server, token_file, data_dir) = (&doctor.server, &doctor.token_file, &doctor.data_dir);
                }
                flags.set("executor.name", given.name.clone());
                flags.set("executor.server", server.clone());
                flags.set("executor.token_file", path(token_file));
                flags.set("executor.slots", given.slots);
                flags.set("executor.weight", given.weight);
                flags.set("executor.labels", Some(given.labels.clone()).filter(|labels| !labels.is_empty()));
                flags.set("executor.queues", Some(given.queues.clone()).filter(|queues| !queues.is_empty()));
                flags.set("core.data_dir", path(data_dir));
            }
            Command::Db(DbCommand::Migrate(given) | DbCommand::Check(given) | DbCommand::RotateFernetKey(given)) => {
                given.set(&mut flags);
            }
            Command::Users(command) => command.database().set(&mut flags),
            Command::Tokens(command) => command.client().set(&mut flags),
            Command::Dags(
                DagsCommand::List { client, .. }
                | DagsCommand::Show { client, .. }
                | DagsCommand::Trigger(TriggerFlags { client, .. })
                | DagsCommand::Pause { client, .. }
                | DagsCommand::Unpause { client, .. },
            )
            | Command::Runs(
                RunsCommand::List { client, .. }
                | RunsCommand::Show { client, .. }
                | RunsCommand::Retry { client, .. }
                | RunsCommand::Mark { client, .. }
                | RunsCommand::Why { client, .. }
                | RunsCommand::Logs { client, .. },
            )
            | Command::Assets(
                AssetsCommand::List { client, .. }
                | AssetsCommand::Events { client, .. }
                | AssetsCommand::Emit { client, .. },
            )
            | Command::Notifications(
                NotificationsCommand::List { client, .. } | NotificationsCommand::Retry { client, .. },
            ) => client.set(&mut flags),
            Command::Executors(command) => command.client().set(&mut flags),
            Command::Backfill(command) => command.client().set(&mut flags),
            Command::Approvals(command) => command.client().set(&mut flags),
            Command::Variables(command) => command.client().set(&mut flags),
            Command::Connections(command) => command.client().set(&mut flags),
            Command::Pools(command) => command.client().set(&mut flags),
            Command::Dags(
                DagsCommand::Validate(_)
                | DagsCommand::Explain(_)
                | DagsCommand::Convert(_)
                | DagsCommand::Schema
                | DagsCommand::Test(_),
            )
            | Command::Config(_)
            | Command::Version => {}
        }
        flags
    }
}
