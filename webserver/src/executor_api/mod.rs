//! `/executor/v1`: what executor nodes call. The wire types are `updraft_protocol`'s, the statements `updraft_store::nodes`'.
//!
//! Nothing of a node is kept here between requests but caches (tokens, DAG versions, log places) and held polls, so any replica
//! serves any request of any node. Where to start reading: [`ExecutorApi::router`], then `poll` and `report`.

mod attempt_token;
mod attempts;
mod auth;
mod bells;
mod bundles;
mod error;
mod logs;
mod poll;
mod register;
mod report;
mod stamper;
mod sweeper;
mod wire;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post, put},
};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use updraft_core::lease::Lease;
use updraft_protocol::{INLINE_LIMIT, REPORT_LIMIT, XCOM_LIMIT};
use updraft_store::{Store, versions::DagCache};

pub use self::stamper::spawn_stamper;
use self::{auth::TokenCache, bells::Bells, error::ApiError, logs::Places, report::Writer, sweeper::Sweeper};
use crate::logs::LogStore;

/// Facts of a poll, a registration or a reconciliation: ids and states, no values.
const SMALL_BODY: usize = 16 << 20;
/// [`REPORT_LIMIT`] events with a value and rendered fields each; nodes split what is larger.
const REPORT_BODY: usize = REPORT_LIMIT * 2 * INLINE_LIMIT;
/// Bytes of one log request.
const LOGS_BODY: usize = 16 << 20;

/// What the protocol's timing and tokens are made of; the same on every webserver of a deployment.
#[derive(Clone, Debug)]
pub struct ExecutorSettings {
    /// Derives the attempts' tokens.
    pub attempt_secret: SecretString,
    /// A node is taken for lost when no poll began for this long; the rhythm of everything else follows from it.
    pub lease: Lease,
    /// What a node has to start an attempt, from the hand-out and from each `preparing`.
    pub launch: Duration,
    /// For how long a token's validity is remembered, hence how late a revocation may be noticed.
    pub token_ttl: Duration,
    /// Logs of attempts that were handed out longer ago are deleted; `None`: they are kept.
    pub log_retention: Option<Duration>,
}

impl ExecutorSettings {
    /// The design's defaults.
    pub fn new(attempt_secret: SecretString) -> Self {
        Self {
            attempt_secret,
            lease: Lease::default(),
            launch: Duration::from_mins(1),
            token_ttl: Duration::from_secs(5),
            log_retention: None,
        }
    }
}

/// The state of these routes. Cheap to clone.
#[derive(Clone)]
pub struct ExecutorApi {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    settings: ExecutorSettings,
    logs: LogStore,
    dags: DagCache,
    tokens: TokenCache,
    bells: Arc<Bells>,
    places: Places,
    writer: Writer,
    shutdown: CancellationToken,
}

impl ExecutorApi {
    /// Starts what stands behind the routes: the report writer (ends with the last clone), the bells of held polls and the
    /// liveness stamper (end with `shutdown`, which also answers held polls at once). Call it inside a runtime, once per process.
    pub fn new(store: Store, settings: ExecutorSettings, logs: LogStore, shutdown: CancellationToken) -> Self {
        let dags = DagCache::default();
        let inner = Inner {
            tokens: TokenCache::new(settings.token_ttl),
            bells: Bells::start(&store, shutdown.clone()),
            places: Places::default(),
            writer: Writer::start(store.clone(), dags.clone(), settings.launch),
            store,
            settings,
            logs,
            dags,
            shutdown,
        };
        drop(spawn_stamper(inner.store.clone(), inner.settings.lease, inner.shutdown.clone()));
        let sweeper = Sweeper {
            store: inner.store.clone(),
            logs: inner.logs.clone(),
            log_retention: inner.settings.log_retention,
        };
        drop(sweeper.spawn(inner.shutdown.clone()));
        Self { inner: Arc::new(inner) }
    }
}

/// The routes, to be nested under `/executor/v1`.
pub fn router(state: ExecutorApi) -> Router {
    Router::new()
        .route("/about", get(register::about))
        .route("/register", post(register::register))
        .route("/reconcile", post(register::reconcile))
        .route("/poll", post(poll::poll))
        .route("/report", post(report::report).layer(DefaultBodyLimit::max(REPORT_BODY)))
        .route("/attempts/{attempt_id}/resolve", post(attempts::resolve))
        .route("/attempts/{attempt_id}/next", get(attempts::next))
        .route(
            "/attempts/{attempt_id}/xcom/{key}",
            put(attempts::put_xcom).get(attempts::get_xcom).layer(DefaultBodyLimit::max(XCOM_LIMIT)),
        )
        .route("/attempts/{attempt_id}/logs", get(logs::size))
        .route("/logs", post(logs::append).layer(DefaultBodyLimit::max(LOGS_BODY)))
        .route("/bundles/{hash}", get(bundles::get))
        .fallback(|| async { ApiError::not_found("no such path under /executor/v1") })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(DefaultBodyLimit::max(SMALL_BODY))
        .with_state(state)
}
