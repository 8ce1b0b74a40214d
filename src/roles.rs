//! Each role as a process of its own.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use secrecy::ExposeSecret;
use updraft_store::{Store, StoreConfig};

use crate::{cli::App, standalone};

/// Connects to `database.url`; without one, to the private Postgres of the standalone in the data folder, if it runs.
pub(crate) async fn connect(app: &App, application_name: &str) -> Result<Store> {
    let config = &app.loaded.config;
    let url = match &config.database.url {
        Some(url) => url.expose_secret().to_owned(),
        None => match standalone::running_database(&standalone::data_dir::locate(config, &app.environment)?)? {
            Some(url) => url,
            None => bail!(
                "no database: set database.url (--database-url, UPDRAFT__DATABASE__URL or the configuration file), or start \
                 `updraft standalone`, which has one of its own"
            ),
        },
    };
    store(app, url, application_name).await
}

/// Connects to `url` with the configured pool.
pub(crate) async fn store(app: &App, url: String, application_name: &str) -> Result<Store> {
    let pool_size = u32::from(app.loaded.config.database.pool_size.get());
    Store::connect(StoreConfig { url, pool_size, application_name: application_name.to_owned() })
        .await
        .context("connecting to the database")
}

pub(crate) async fn scheduler(app: &App) -> Result<ExitCode> {
    let store = connect(app, "updraft scheduler").await?;
    store.check_schema().await?;
    bail!("not available yet")
}

pub(crate) async fn webserver(app: &App) -> Result<ExitCode> {
    let store = connect(app, "updraft webserver").await?;
    store.check_schema().await?;
    bail!("not available yet")
}

pub(crate) async fn executor(_app: &App) -> Result<ExitCode> {
    bail!("not available yet")
}
