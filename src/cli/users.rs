//! `updraft users`: who may log in. Reaches Postgres without a server, so that a deployment to which nobody can log in any more can
//! be helped.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use updraft_core::identity::{Role, UserName, check_password};
use updraft_store::{
    PgConnection, Store, audit,
    identity::users::{self, Changed},
};
use updraft_webserver::passwords;

use super::{
    App,
    args::{DatabaseFlags, OutputFlag},
    entities::standard_input,
    output::{Column, instant, list, say, text},
};
use crate::{
    roles,
    standalone::data_dir::{self, Layout, keep, random_text, read_text},
};

#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// Makes a user. Without --password-stdin a password is made and printed, once
    Create {
        name: UserName,
        /// viewer reads, user acts on DAGs, op manages what DAGs share, admin manages users
        #[arg(long)]
        role: Role,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// All users
    List {
        #[command(flatten)]
        output: OutputFlag,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Gives a user another role; it counts within seconds
    Role {
        name: String,
        /// viewer, user, op or admin
        role: Role,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Deletes a user and the user's API tokens; who is logged in is out within seconds
    Delete {
        name: String,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Gives a user another password and ends the user's logins; API tokens stay. Without --password-stdin one is made and printed,
    /// once
    Passwd {
        name: String,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        database: DatabaseFlags,
    },
}

impl UsersCommand {
    pub(super) fn database(&self) -> &DatabaseFlags {
        match self {
            Self::Create { database, .. }
            | Self::List { database, .. }
            | Self::Role { database, .. }
            | Self::Delete { database, .. }
            | Self::Passwd { database, .. } => database,
        }
    }
}

pub(super) async fn run(app: &App, command: UsersCommand) -> Result<ExitCode> {
    let store = roles::connect(app, "updraft users").await?;
    store.check_schema().await?;
    let outcome = act(app, &store, command).await;
    store.close().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn act(app: &App, store: &Store, command: UsersCommand) -> Result<()> {
    match command {
        UsersCommand::Create { name, role, password_stdin, .. } => {
            let password = Password::get(password_stdin)?;
            let hash = passwords::hash(&password.text)?;
            let mut transaction = store.begin().await?;
            if !users::create(&mut transaction, &name, &hash, role).await? {
                bail!("there is a user `{}` already", name.as_str());
            }
            note(&mut transaction, "post_user", json!({"username": name.as_str(), "role": role.as_str()})).await?;
            transaction.commit().await?;
            say(format_args!("User {} may log in as {role}.", name.as_str()))?;
            password.tell()
        }
        UsersCommand::List { output, .. } => {
            let users = users::all(&mut *store.pool().acquire().await?).await?;
            let users: Vec<Value> = users
                .into_iter()
                .map(|user| json!({"username": user.username, "role": user.role, "created_at": user.created_at}))
                .collect();
            list(&users, output.output, COLUMNS, "There is no user; the first start of a server makes one.")
        }
        UsersCommand::Role { name, role, .. } => {
            let mut transaction = store.begin().await?;
            done(users::change(&mut transaction, &name, Some(role), None).await?, &name)?;
            note(&mut transaction, "patch_user", json!({"username": name, "role": role.as_str()})).await?;
            transaction.commit().await?;
            Ok(say(format_args!("User {name} is {role} now."))?)
        }
        UsersCommand::Delete { name, .. } => {
            let mut transaction = store.begin().await?;
            done(users::delete(&mut transaction, &name).await?, &name)?;
            note(&mut transaction, "delete_user", json!({"username": name})).await?;
            transaction.commit().await?;
            Ok(say(format_args!("User {name} is deleted."))?)
        }
        UsersCommand::Passwd { name, password_stdin, .. } => {
            let password = Password::get(password_stdin)?;
            let hash = passwords::hash(&password.text)?;
            let mut transaction = store.begin().await?;
            let remembered = remembered(app, &mut transaction, &name).await?;
            done(users::change(&mut transaction, &name, None, Some(&hash)).await?, &name)?;
            note(&mut transaction, "patch_user", json!({"username": name, "password": true})).await?;
            transaction.commit().await?;
            if let Some(file) = remembered {
                keep(&file, password.text.expose_secret().to_owned())?;
            }
            say(format_args!("User {name} has another password."))?;
            password.tell()
        }
    }
}

const COLUMNS: &[Column<'_>] = &[
    ("username", &|user| text(user, "/username")),
    ("role", &|user| text(user, "/role")),
    ("since", &|user| instant(user, "/created_at")),
];

/// A password that was given, or made because none was.
struct Password {
    text: SecretString,
    is_made: bool,
}

impl Password {
    fn get(from_stdin: bool) -> Result<Self> {
        if !from_stdin {
            return Ok(Self { text: random_text(20).into(), is_made: true });
        }
        let text = standard_input()?;
        check_password(&text)?;
        Ok(Self { text: text.into(), is_made: false })
    }

    fn tell(&self) -> Result<()> {
        if self.is_made {
            say(format_args!("Its password, which is not shown again: {}", self.text.expose_secret()))?;
        }
        Ok(())
    }
}

/// The file of the data folder from which the command line logs in as this user, if it has the user's password: then the new
/// one must go there too.
async fn remembered(app: &App, connection: &mut PgConnection, name: &str) -> Result<Option<PathBuf>> {
    let config = &app.loaded.config;
    let file = Layout(data_dir::locate(config, &app.environment)?).admin_password();
    let (Some(kept), Some(user)) = (read_text(&file)?, users::credentials(connection, name).await?) else {
        return Ok(None);
    };
    // Whom the login provider alone knows has none.
    let Some(stored) = user.password else { return Ok(None) };
    let is_it = name == config.auth.admin_user && passwords::is_right(&kept.into(), &stored)?;
    Ok(is_it.then_some(file))
}

fn done(changed: Changed, name: &str) -> Result<()> {
    match changed {
        Changed::Done => Ok(()),
        Changed::NoUser => bail!("there is no user `{name}`"),
        Changed::LastAdmin => bail!("`{name}` is the only admin; make another one first"),
    }
}

/// The audit row; nobody is logged in here.
async fn note(connection: &mut PgConnection, event: &str, mut extra: Value) -> Result<()> {
    extra["by"] = "command line".into();
    let entry = audit::Entry { event, extra: Some(extra), ..audit::Entry::default() };
    audit::write(connection, &entry).await.context("writing the audit trail")
}
