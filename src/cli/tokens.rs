//! `updraft tokens`: API tokens, over REST.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::{
    App,
    args::{ClientFlags, Output, OutputFlag},
    client::Client,
    output::{Column, instant, list, one, say, text},
};

#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Makes a token that acts for you, and prints it, once
    Create {
        /// What the token is for
        name: String,
        /// For how long; for ever when not given
        #[arg(long, value_name = "DAYS")]
        expires_in_days: Option<u32>,
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Your tokens, without their secrets; admins see everybody's
    List {
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Revokes a token; programs that use it are refused within seconds
    Revoke {
        /// The token's id, as `list` shows it
        id: i64,
        #[command(flatten)]
        client: ClientFlags,
    },
}

impl TokensCommand {
    pub(super) fn client(&self) -> &ClientFlags {
        match self {
            Self::Create { client, .. } | Self::List { client, .. } | Self::Revoke { client, .. } => client,
        }
    }
}

pub(super) async fn run(app: &App, command: TokensCommand) -> Result<ExitCode> {
    let client = Client::connect(app).await?;
    match command {
        TokensCommand::Create { name, expires_in_days, output, .. } => {
            let body = json!({"name": name, "expires_in_days": expires_in_days});
            let made = client.post(&["ui", "tokens"], &body).await?;
            if output.output == Output::Json {
                one(&made, output.output, &[])?;
            } else {
                say(format_args!("{}", text(&made, "/token")))?;
                eprintln!("The token is not stored and not shown again. It is id {}.", text(&made, "/id"));
            }
        }
        TokensCommand::List { output, .. } => {
            let tokens = client.list(&["ui", "tokens"], "tokens", &[], usize::MAX).await?;
            list(&tokens, output.output, COLUMNS, "There is no API token.")?;
        }
        TokensCommand::Revoke { id, .. } => {
            client.delete(&["ui", "tokens", &id.to_string()]).await?;
            say(format_args!("Token {id} is revoked."))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

const COLUMNS: &[Column<'_>] = &[
    ("id", &|token| text(token, "/id")),
    ("name", &|token| text(token, "/name")),
    ("user", &|token| text(token, "/username")),
    ("made", &|token| instant(token, "/created_at")),
    ("expires", &|token| instant(token, "/expires_at")),
    ("last used", &|token| instant(token, "/last_used_at")),
];
