//! Arguments of `updraft variables | connections | pools`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::args::{ClientFlags, OutputFlag};

#[derive(Debug, Subcommand)]
pub(crate) enum VariablesCommand {
    /// All variables; secrets are masked
    List {
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Prints the value of one variable; a secret is masked
    Get {
        key: String,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Writes a variable, a new one or over an old one
    Set {
        key: String,
        /// The value; - reads it from standard input, which keeps it out of the list of processes
        value: String,
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Deletes a variable
    Delete {
        key: String,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Writes the variables of a JSON file: {"key": "value", "other": {"value": …, "description": "…"}}
    Import {
        /// - reads standard input
        file: PathBuf,
        /// What to do with variables that exist
        #[arg(long, value_enum, default_value = "overwrite", value_name = "ACTION")]
        action_on_existing: OnExisting,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Writes all variables into a JSON file; masked secrets stay masked and are passed over by import
    Export {
        /// - writes to standard output
        file: PathBuf,
        #[command(flatten)]
        client: ClientFlags,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionsCommand {
    /// All connections; secrets are masked
    List {
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// One connection; secrets are masked
    Get {
        conn_id: String,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Writes a new connection
    Add(Box<ConnectionFlags>),
    /// Deletes a connection
    Delete {
        conn_id: String,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Writes the connections of a JSON file: {"id": "type://login:password@host:port/schema", "other": {"conn_type": …}}
    Import {
        /// - reads standard input
        file: PathBuf,
        /// Write over connections that exist; else they are passed over
        #[arg(long)]
        overwrite: bool,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Writes all connections into a JSON file; masked secrets stay masked and are passed over by import
    Export {
        /// - writes to standard output
        file: PathBuf,
        #[command(flatten)]
        client: ClientFlags,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConnectionFlags {
    pub(crate) conn_id: String,
    /// type://login:password@host:port/schema?extra=…; - reads it from standard input
    #[arg(long, value_name = "URI", conflicts_with_all = ["conn_json", "conn_type"], required_unless_present_any = ["conn_json", "conn_type"])]
    pub(crate) conn_uri: Option<String>,
    /// A JSON object with the fields; - reads it from standard input
    #[arg(long, value_name = "JSON", conflicts_with = "conn_type")]
    pub(crate) conn_json: Option<String>,
    #[arg(long, value_name = "TYPE")]
    pub(crate) conn_type: Option<String>,
    #[arg(long, value_name = "TEXT", requires = "conn_type")]
    pub(crate) conn_description: Option<String>,
    #[arg(long, value_name = "HOST", requires = "conn_type")]
    pub(crate) conn_host: Option<String>,
    #[arg(long, value_name = "LOGIN", requires = "conn_type")]
    pub(crate) conn_login: Option<String>,
    /// - reads it from standard input, which keeps it out of the list of processes
    #[arg(long, value_name = "PASSWORD", requires = "conn_type")]
    pub(crate) conn_password: Option<String>,
    #[arg(long, value_name = "SCHEMA", requires = "conn_type")]
    pub(crate) conn_schema: Option<String>,
    #[arg(long, value_name = "PORT", requires = "conn_type")]
    pub(crate) conn_port: Option<u16>,
    /// A JSON object
    #[arg(long, value_name = "JSON", requires = "conn_type")]
    pub(crate) conn_extra: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PoolsCommand {
    /// All pools and their use
    List {
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// One pool and its use
    Get {
        name: String,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Writes a pool, a new one or over an old one
    Set {
        name: String,
        /// How many slots; -1: no limit
        #[arg(allow_negative_numbers = true)]
        slots: i32,
        #[arg(default_value = "")]
        description: String,
        /// Deferred tasks hold their slots
        #[arg(long)]
        include_deferred: bool,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Deletes a pool; tasks that name it wait
    Delete {
        name: String,
        #[command(flatten)]
        client: ClientFlags,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnExisting {
    Overwrite,
    Skip,
    Fail,
}

impl VariablesCommand {
    pub(super) fn client(&self) -> &ClientFlags {
        match self {
            Self::List { client, .. }
            | Self::Get { client, .. }
            | Self::Set { client, .. }
            | Self::Delete { client, .. }
            | Self::Import { client, .. }
            | Self::Export { client, .. } => client,
        }
    }
}

impl ConnectionsCommand {
    pub(super) fn client(&self) -> &ClientFlags {
        match self {
            Self::List { client, .. }
            | Self::Get { client, .. }
            | Self::Delete { client, .. }
            | Self::Import { client, .. }
            | Self::Export { client, .. } => client,
            Self::Add(flags) => &flags.client,
        }
    }
}

impl PoolsCommand {
    pub(super) fn client(&self) -> &ClientFlags {
        match self {
            Self::List { client, .. }
            | Self::Get { client, .. }
            | Self::Set { client, .. }
            | Self::Delete { client, .. } => client,
        }
    }
}
