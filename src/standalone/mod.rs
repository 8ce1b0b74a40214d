//! `updraft standalone`: a private Postgres and every role in one process, with nothing to configure.

pub(crate) mod data_dir;
mod owner;
mod postgres;
mod programs;
mod roles;
pub(crate) mod secrets;

use std::{fs, io, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use secrecy::{ExposeSecret, SecretString};
use tokio::{net::TcpListener, time::timeout};
use updraft_store::Store;

use self::{
    data_dir::{DataDir, Layout, keep, read_text},
    postgres::PrivatePostgres,
    roles::{EXECUTOR, Roles},
    secrets::{Secrets, first_user, prepare_fernet_key},
};
use crate::{
    cli::{App, args::StandaloneFlags, output::say},
    config::Config,
    metrics, roles as role_processes,
    shutdown::Shutdown,
    wiring,
};

/// Runs until a signal or until a role fails.
pub(crate) async fn run(app: &App, flags: &StandaloneFlags) -> Result<ExitCode> {
    let shutdown = Shutdown::on_signals()?;
    let config = &app.loaded.config;
    let data_dir = DataDir::open(&data_dir::locate(config, &app.environment)?)?;
    let listener = listen(config).await?;
    let beside = listen_beside(config).await?;
    let (mut postgres, url) = if let Some(url) = &config.database.url {
        (None, url.expose_secret().to_owned())
    } else {
        let started =
            PrivatePostgres::start(&data_dir.layout, &config.core.postgres_bin_dirs, &app.environment.path).await?;
        let url = started.url();
        (Some(started), url)
    };
    let outcome = serve(app, flags, &data_dir.layout, (listener, beside), url, &mut postgres, &shutdown).await;
    if let Some(postgres) = postgres {
        postgres.stop(!shutdown.forced.is_cancelled()).await?;
    }
    outcome
}

/// Binds the address before anything is started, so that a taken port costs nothing.
pub(crate) async fn listen(config: &Config) -> Result<TcpListener> {
    let (host, port) = (config.webserver.host.as_str(), config.webserver.port);
    TcpListener::bind((host, port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {port} on {host} is taken by another program; choose another one with --port (0 takes a free one)"
        ),
        io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!("listening on {host}:{port} is not permitted; choose a port above 1023 with --port")
        }
        _ => anyhow::Error::new(error).context(format!("listening on {host}:{port}")),
    })
}

/// The URL of the private Postgres that the standalone in this data folder runs, if one does.
pub(crate) fn running_database(data_dir: &Path) -> Result<Option<String>> {
    PrivatePostgres::running_url(&Layout(data_dir.to_owned()))
}

/// Connects, migrates, runs the roles and ends them in order: the executor first, so that its last words are heard.
async fn serve(
    app: &App,
    flags: &StandaloneFlags,
    layout: &Layout,
    (listener, beside): (TcpListener, Option<TcpListener>),
    database_url: String,
    postgres: &mut Option<PrivatePostgres>,
    shutdown: &Shutdown,
) -> Result<ExitCode> {
    let config = &app.loaded.config;
    prepare_fernet_key(config, layout)?;
    let store = role_processes::store(app, database_url, "updraft standalone").await?;
    store.migrate().await.context("migrating the database")?;
    let secrets = Secrets::prepare(config, layout)?;
    let password = first_user(&store, config, layout).await?;
    let url = reachable_url(config, &listener)?;
    let own_url = match &beside {
        Some(beside) => format!("http://{}", beside.local_addr().context("asking for the bound port")?),
        None => url.clone(),
    };
    fs::write(layout.url(), format!("{own_url}\n")).with_context(|| format!("writing {}", layout.url().display()))?;

    let metrics = metrics::start(config, &shutdown.orderly).await?;
    let settings = wiring::webserver(app, layout, &secrets, &metrics)?;
    let mut roles = start(app, flags, layout, &store, (listener, beside), (&url, own_url), settings).await?;
    if let Err(error) = greet(app, layout, &url, password.as_ref()) {
        tracing::warn!(%error, "cannot print the greeting");
    }

    let ended = tokio::select! {
        () = shutdown.orderly.cancelled() => None,
        (role, outcome) = roles.any_ended() => Some(match outcome {
            Ok(()) => anyhow::anyhow!("the {role} ended although nobody asked it to"),
            Err(error) => error.context(format!("the {role} failed")),
        }),
        error = keep_running(app, layout, postgres) => Some(error),
    };
    let stopped = tokio::select! {
        stopped = roles.stop(config.core.shutdown_grace) => stopped,
        () = shutdown.forced.cancelled() => Err(anyhow::anyhow!("stopped without waiting")),
    };
    if let Err(error) = fs::remove_file(layout.url()) {
        tracing::warn!(%error, "removing the file with the URL");
    }
    if timeout(Duration::from_secs(2), store.close()).await.is_err() {
        tracing::warn!("database connections were still in use at the end");
    }
    match (ended, stopped) {
        (Some(error), _) | (None, Err(error)) => Err(error),
        (None, Ok(())) => Ok(ExitCode::SUCCESS),
    }
}

/// Starts the private Postgres again whenever it ends (the kernel needed memory, somebody restarted it), or takes over the one
/// that took its place; the roles reconnect meanwhile. Resolves only when it cannot be kept up.
async fn keep_running(app: &App, layout: &Layout, postgres: &mut Option<PrivatePostgres>) -> anyhow::Error {
    let Some(running) = postgres else { return std::future::pending().await };
    let bin_dirs = &app.loaded.config.core.postgres_bin_dirs;
    loop {
        let how = running.ended().await;
        tracing::warn!(how, "the private Postgres ended; starting it again");
        let mut tries = 0;
        *running = loop {
            match PrivatePostgres::start(layout, bin_dirs, &app.environment.path).await {
                Ok(started) => break started,
                Err(error) if tries == RESTARTS => {
                    let log = layout.0.join("postgres.log");
                    return error.context(format!(
                        "the private Postgres ended ({how}) and does not start again; see {}",
                        log.display()
                    ));
                }
                // Another postmaster may be starting or stopping in the same folder.
                Err(error) => tracing::warn!(%error, "the private Postgres does not start, trying again"),
            }
            tries += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
    }
}

/// How often a start of the private Postgres is tried again before standalone gives up.
const RESTARTS: usize = 10;

/// The address a client on this machine uses: the bound port, and loopback for "all addresses".
pub(crate) fn reachable_url(config: &Config, listener: &TcpListener) -> Result<String> {
    let port = listener.local_addr().context("asking for the bound port")?.port();
    let scheme = if config.webserver.ssl_cert.is_some() { "https" } else { "http" };
    Ok(match config.webserver.host.as_str() {
        "0.0.0.0" | "::" | "" => format!("{scheme}://127.0.0.1:{port}"),
        host if host.contains(':') => format!("{scheme}://[{host}]:{port}"),
        host => format!("{scheme}://{host}:{port}"),
    })
}

/// Where standalone's own node and the commands beside it go when the port speaks TLS: a plain port of loopback, so that they do
/// not depend on a certificate's name, authority or date.
async fn listen_beside(config: &Config) -> Result<Option<TcpListener>> {
    match wiring::tls(config)? {
        Some(_) => Ok(Some(TcpListener::bind(("127.0.0.1", 0)).await.context("listening on a port of loopback")?)),
        None => Ok(None),
    }
}

fn greet(app: &App, layout: &Layout, url: &str, password: Option<&SecretString>) -> io::Result<()> {
    let config = &app.loaded.config;
    say(format_args!("Updraft is up: {url}"))?;
    // Somebody who gave the admin another password knows how to log in.
    if let Some(password) = password {
        let (password, file) = (password.expose_secret(), layout.admin_password());
        say(format_args!("  user:         {}", config.auth.admin_user))?;
        say(format_args!("  password:     {password}  (kept in {})", file.display()))?;
    }
    say(format_args!("  DAGs:         {}", config.core.dags_folder.display()))?;
    say(format_args!("  data folder:  {}", layout.0.display()))?;
    say(format_args!("Ctrl-C stops it; unfinished runs go on at the next start."))?;
    if !config.core.dags_folder.is_dir() {
        tracing::warn!(
            folder = %config.core.dags_folder.display(),
            "there is no such DAG folder; make it, or name another one with --dags-folder"
        );
    }
    Ok(())
}

/// Starts every role. `url` is for people, `own_url` for the node.
async fn start(
    app: &App,
    flags: &StandaloneFlags,
    layout: &Layout,
    store: &Store,
    (listener, beside): (TcpListener, Option<TcpListener>),
    (url, own_url): (&str, String),
    webserver: updraft_webserver::Config,
) -> Result<Roles> {
    let config = &app.loaded.config;
    let mut roles = Roles::new();
    let (scheduler_store, settings) = (store.clone(), wiring::scheduler(config, Some(url)));
    roles.spawn("scheduler", |shutdown| async {
        Ok(updraft_scheduler::run(scheduler_store, settings, shutdown).await?)
    });
    let (processor_store, files) = (store.clone(), wiring::dag_processor(app)?);
    roles.spawn("DAG processor", |shutdown| async {
        updraft_scheduler::dag_processor::run(processor_store, files, shutdown).await;
        Ok(())
    });
    let webserver_store = store.clone();
    roles.spawn("webserver", |shutdown| async {
        Ok(updraft_webserver::serve(listener, beside, webserver_store, webserver, shutdown).await?)
    });
    let token = executor_token(layout, store).await?;
    if !flags.no_executor {
        let name = config.executor.name.clone().unwrap_or_else(wiring::hostname);
        let folder = layout.executor(&name)?;
        let node = wiring::executor(app, own_url, SecretString::from(token), folder);
        roles.spawn(EXECUTOR, |shutdown| async { Ok(updraft_executor::run(node, shutdown).await?) });
    }
    Ok(roles)
}

/// The token of this machine's nodes, made once per database: another `--database-url` does not know the kept one.
async fn executor_token(layout: &Layout, store: &Store) -> Result<String> {
    if let Some(kept) = read_text(&layout.executor_token())?
        && updraft_store::nodes::authenticate_token(store, &kept).await?.is_some()
    {
        return Ok(kept);
    }
    let token = updraft_store::nodes::create_token(store, "standalone").await.context("making the executor's token")?;
    keep(&layout.executor_token(), token)
}
