//! The webserver: Airflow's REST API under `/api/v2` and `/auth`, our own `/ui` answers for the dashboard, the executors'
//! `/executor/v1`, and the dashboard's files.
//!
//! It keeps nothing in memory that another replica would miss (a browser that follows events and comes back to another one reads
//! anew), decides nothing about runs (that is `core`, reached through
//! `store`), and holds no SQL. Where to start reading: [`router`], which is the table of contents.

mod accept;
mod api;
mod auth;
mod config;
mod error;
mod events;
pub mod executor_api;
mod layers;
pub mod logs;
mod measure;
mod openapi;
pub mod passwords;
mod permission;
mod reach;
mod recent;
mod router;
mod sealed;
mod serve;
mod shadowed;
mod shared;
mod state;
mod time;
mod tls;
mod ui_api;
pub mod ui_assets;
mod waits;

use std::{io, time::Duration};

use axum::serve::ListenerExt;
use futures::future::OptionFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use updraft_store::Store;

use self::serve::Limits;

pub use auth::{
    address::{Network, NoNetwork},
    oidc::Oidc,
};
pub use config::{Config, LogPlace, Setting, Source};
pub use measure::router as metrics_router;
pub use router::{open_api, router, routes};
pub use state::App;
pub use tls::{Tls, TlsError};

/// How long a client may take to say what it wants, and keep a connection without asking for anything. Longer than a node is
/// ever silent, so that none sends into a connection that is just being closed.
const HEADER_TIMEOUT: Duration = Duration::from_mins(2);

/// Why a webserver ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration cannot be used (an empty secret).
    #[error("the webserver cannot start: {0}")]
    Config(String),
    /// Certificate or key cannot be used.
    #[error("the webserver cannot offer TLS: {0}")]
    Tls(#[from] TlsError),
    /// The log folder cannot be used.
    #[error("the webserver cannot start: {0}")]
    Logs(#[source] io::Error),
}

/// Answers requests on `listener` until `shutdown`; then takes no new ones and returns when the running ones ended.
///
/// With [`Config::tls`] the listener speaks TLS. `beside`: one that never does, for those in the same process or on the same machine
/// who need no certificate to trust it.
///
/// # Errors
/// [`ServeError::Config`] and [`ServeError::Tls`] before the first request.
pub async fn serve(
    listener: TcpListener,
    beside: Option<TcpListener>,
    store: Store,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let secure = config.tls.as_ref().map(|tls| tls::acceptor(tls, shutdown.clone())).transpose()?;
    let app = App::new(store, config, shutdown.clone())?;
    let router = router(&app);
    let limits = Limits { connections: app.config.max_connections, header_timeout: HEADER_TIMEOUT };
    let answer = |listener: TcpListener, secure| {
        // Answers are small and somebody waits for each; a socket that refuses is slower, not wrong.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        serve::serve(listener, secure, router.clone(), limits, shutdown.clone())
    };
    let beside = OptionFuture::from(beside.map(|listener| answer(listener, None)));
    tokio::join!(answer(listener, secure), beside);
    Ok(())
}
