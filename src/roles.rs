//! Each role as a process of its own.

use std::{fs, future::Future, process::ExitCode};

use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};
use updraft_store::{Store, StoreConfig};

use crate::{
    cli::App,
    metrics,
    shutdown::Shutdown,
    standalone::{
        self,
        data_dir::Layout,
        secrets::{Secrets, first_user, prepare_fernet_key},
    },
    wiring,
};

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

/// Connects to `url` with the configured pool and encryption keys.
pub(crate) async fn store(app: &App, url: String, application_name: &str) -> Result<Store> {
    let pool_size = u32::from(app.loaded.config.database.pool_size.get());
    let layout = Layout(standalone::data_dir::locate(&app.loaded.config, &app.environment)?);
    let sources = wiring::sources(app, &layout)?;
    let config = StoreConfig { url, pool_size, application_name: application_name.to_owned() };
    Ok(Store::connect(config).await.context("connecting to the database")?.with_sources(sources))
}

/// A scheduler: plans runs, places tasks, reads the DAG folder.
pub(crate) async fn scheduler(app: &App) -> Result<ExitCode> {
    let store = connect(app, "updraft scheduler").await?;
    store.check_schema().await?;
    let files = wiring::dag_processor(app)?;
    let settings = wiring::scheduler(&app.loaded.config, None);
    let shutdown = Shutdown::on_signals()?;
    let _metrics = metrics::start(&app.loaded.config, &shutdown.orderly).await?;
    ready();
    let both = async {
        let processor = updraft_scheduler::dag_processor::run(store.clone(), files, shutdown.orderly.clone());
        let scheduler = async {
            let outcome = updraft_scheduler::run(store.clone(), settings, shutdown.orderly.clone()).await;
            // Its end by a bug must not leave half a scheduler running.
            shutdown.orderly.cancel();
            outcome
        };
        tokio::join!(processor, scheduler).1
    };
    Box::pin(until_forced(&shutdown, app, both)).await?;
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Tells systemd (`Type=notify`) that what a role needs at its start is there: the configuration, the database or the address it
/// listens on. Elsewhere nothing happens.
fn ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "systemd cannot be told that the start is over");
    }
}

/// Runs a role until it ended by itself or in answer to the first signal, at the latest when the grace time is over or a
/// second signal came.
async fn until_forced<E>(shutdown: &Shutdown, app: &App, role: impl Future<Output = Result<(), E>>) -> Result<()>
where
    anyhow::Error: From<E>,
{
    let grace = app.loaded.config.core.shutdown_grace;
    tokio::select! {
        outcome = role => Ok(outcome?),
        () = shutdown.forced.cancelled() => bail!("stopped without waiting"),
        () = async {
            shutdown.orderly.cancelled().await;
            tokio::time::sleep(grace).await;
        } => bail!("not everything ended within {grace:?} (core.shutdown_grace)"),
    }
}

/// A webserver. Without a configured secret it keeps one of its own in its data folder, which is right for a single one.
pub(crate) async fn webserver(app: &App) -> Result<ExitCode> {
    let config = &app.loaded.config;
    let listener = standalone::listen(config).await?;
    let layout = Layout(standalone::data_dir::locate(config, &app.environment)?);
    fs::create_dir_all(&layout.0).with_context(|| format!("making the data folder {}", layout.0.display()))?;
    prepare_fernet_key(config, &layout)?;
    let store = connect(app, "updraft webserver").await?;
    store.check_schema().await?;
    let secrets = Secrets::prepare(config, &layout)?;
    first_user(&store, config, &layout).await?;
    let shutdown = Shutdown::on_signals()?;
    let metrics = metrics::start(config, &shutdown.orderly).await?;
    let settings = wiring::webserver(app, &layout, &secrets, &metrics)?;
    let url = standalone::reachable_url(config, &listener)?;
    tracing::info!(url, "webserver starting");
    ready();
    let server = updraft_webserver::serve(listener, None, store.clone(), settings, shutdown.orderly.clone());
    until_forced(&shutdown, app, server).await?;
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

/// A node; it needs a server and a token, and no database.
pub(crate) async fn executor(app: &App) -> Result<ExitCode> {
    let config = &app.loaded.config;
    let data_dir = standalone::data_dir::locate(config, &app.environment)?;
    let layout = Layout(data_dir);
    let token_file = config.executor.token_file.clone().unwrap_or_else(|| layout.executor_token());
    let token = fs::read_to_string(&token_file).with_context(|| {
        format!(
            "reading the node's token from {}; make one with `updraft executor token create NAME` and name its file with \
             --token-file",
            token_file.display()
        )
    })?;
    let name = config.executor.name.clone().unwrap_or_else(wiring::hostname);
    let folder = layout.executor(&name)?;
    let node = wiring::executor(app, config.executor.server.clone(), SecretString::from(token.trim()), folder);
    let shutdown = Shutdown::on_signals()?;
    let _metrics = metrics::start(config, &shutdown.orderly).await?;
    tracing::info!(name, server = node.server, slots = node.slots, "executor starting");
    ready();
    until_forced(&shutdown, app, updraft_executor::run(node, shutdown.orderly.clone())).await?;
    Ok(ExitCode::SUCCESS)
}
