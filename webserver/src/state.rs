//! What every handler can reach.

use std::sync::Arc;

use sqlx::{Postgres, Transaction, pool::PoolConnection};
use tokio_util::sync::CancellationToken;
use updraft_store::{Store, StoreError, dispatch::Classes, query::totals::Totals, versions::DagCache};

use crate::{
    Config, LogPlace, ServeError,
    auth::{Auth, oidc::Logins},
    error::ApiError,
    events::Feed,
    executor_api::ExecutorApi,
    logs::LogStore,
    shared::Reads,
    waits::Waits,
};

/// One webserver. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// The fields of [`App`].
pub struct Inner {
    pub store: Store,
    pub config: Config,
    /// Cancelled when the process stops: long polls and followed logs end.
    pub shutdown: CancellationToken,
    pub(crate) auth: Auth,
    /// Logins by a provider, if there is one.
    pub(crate) oidc: Option<Logins>,
    /// Where the logs of attempts are.
    pub logs: LogStore,
    /// `/executor/v1`; its tasks end with `shutdown`.
    pub(crate) executors: ExecutorApi,
    /// The runs that somebody waits for; its task ends with `shutdown`.
    pub(crate) waits: Arc<Waits>,
    /// What changes, for those who follow it; its task ends with `shutdown`.
    pub(crate) events: Feed,
    /// Compiled DAGs by version.
    pub(crate) dags: DagCache,
    /// Dispatch classes met so far.
    pub(crate) classes: Classes,
    /// What the lists have counted lately.
    pub(crate) totals: Totals,
    /// The reads that are being answered.
    pub(crate) reads: Reads,
}

impl App {
    /// Takes the keys, opens the log folder and starts what stands behind the executors' routes.
    ///
    /// # Errors
    /// [`ServeError::Config`] for a secret that is empty, [`ServeError::Logs`] for a folder that cannot be used.
    pub fn new(store: Store, config: Config, shutdown: CancellationToken) -> Result<Self, ServeError> {
        let auth = Auth::new(&config)?;
        let oidc = config.oidc.clone().map(|oidc| Logins::new(oidc, config.jwt_secret.clone())).transpose();
        let oidc = oidc.map_err(|error| ServeError::Config(error.to_string()))?;
        let logs = match &config.logs {
            LogPlace::Folder(folder) => LogStore::open(folder, config.log_limit).map_err(ServeError::Logs)?,
            LogPlace::Bucket(bucket) => LogStore::in_bucket(bucket.clone(), config.log_limit),
        };
        let settings = config.executors.clone();
        let executors = ExecutorApi::new(store.clone(), settings, logs.clone(), shutdown.clone());
        let waits = Waits::start(&store, shutdown.clone());
        let events = Feed::start(&store, shutdown.clone());
        Ok(Self(Arc::new(Inner {
            waits,
            store,
            config,
            shutdown,
            auth,
            oidc,
            logs,
            executors,
            events,
            dags: DagCache::default(),
            classes: Classes::default(),
            totals: Totals::kept(),
            reads: Reads::default(),
        })))
    }

    /// A connection for reads.
    pub(crate) async fn connection(&self) -> Result<PoolConnection<Postgres>, ApiError> {
        Ok(self.store.pool().acquire().await.map_err(StoreError::from)?)
    }

    /// Ends a transaction; a commit whose outcome is unknown is a 503, never a success.
    pub(crate) async fn commit(&self, transaction: Transaction<'static, Postgres>) -> Result<(), ApiError> {
        Ok(transaction.commit().await.map_err(StoreError::from)?)
    }
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
