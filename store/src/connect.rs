//! Connections: how they are opened, what every session is set to, and the schema they must find.

use std::{str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgPool, Postgres, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio_util::sync::CancellationToken;

use crate::{StoreError, sources::Sources, wake::Wake};

static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// A connection idle for longer than this is pinged before it is used again; a busy one is not (a round trip per query).
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// How to reach Postgres.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `postgres://user:password@host:port/database`, or with `?host=/socket/dir`.
    pub url: String,
    /// Connections of this process, at most.
    pub pool_size: u32,
    /// Shown in `pg_stat_activity`: `updraft scheduler`, …
    pub application_name: String,
}

/// The database, as seen by one process. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
    wake: Wake,
    sources: Sources,
    background: Arc<Background>,
}

/// Ends the notifier and the listener when the last `Store` goes.
struct Background(CancellationToken);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Store {
    /// Opens the pool and starts the wake-up tasks. Fails when the server cannot be reached now; later outages are survived.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when nothing answers, [`StoreError::Database`] for a malformed URL or a refused login.
    pub async fn connect(config: StoreConfig) -> Result<Self, StoreError> {
        let options = session(PgConnectOptions::from_str(&config.url)?.application_name(&config.application_name));
        let pool = PgPoolOptions::new()
            .max_connections(config.pool_size)
            .min_connections(1)
            .acquire_timeout(Duration::from_secs(10))
            .max_lifetime(Duration::from_secs(30 * 60))
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for >= PING_AFTER_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(|connection, _| {
                Box::pin(async move {
                    let in_recovery: bool =
                        sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(connection).await?;
                    if in_recovery {
                        return Err(sqlx::Error::Protocol("the server is a standby (in recovery)".to_owned()));
                    }
                    Ok(())
                })
            })
            .connect_with(options)
            .await?;
        let stop = CancellationToken::new();
        let wake = Wake::start(pool.clone(), stop.clone());
        Ok(Self { pool, wake, sources: Sources::default(), background: Arc::new(Background(stop)) })
    }

    /// The same store, with the keys that open encrypted values and the environment that is asked before them.
    #[must_use]
    pub fn with_sources(self, sources: Sources) -> Self {
        Self { sources, ..self }
    }

    /// What variables and connections are answered from beside their tables; nothing until [`Store::with_sources`].
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The bell: ring it after a commit, subscribe before a query.
    pub fn wake(&self) -> &Wake {
        &self.wake
    }

    /// Begins a transaction (READ COMMITTED, the session's deadlines).
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        Ok(self.pool.begin().await?)
    }

    /// Brings the schema up to this binary's version; does nothing when it is there. Safe to call from several processes at once.
    ///
    /// # Errors
    /// [`StoreError::Schema`] when the database is newer than this binary, or a migration was changed after it ran.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // Migrations may take longer than a query is allowed to: a connection of its own, without the deadlines.
        let mut connection = self.pool.connect_options().as_ref().clone().connect().await?;
        sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0")
            .execute(&mut connection)
            .await?;
        let outcome = MIGRATOR.run_direct(None, &mut connection, false).await;
        connection.close().await?;
        outcome.map_err(|error| match error {
            sqlx::migrate::MigrateError::VersionMissing(version) => StoreError::Schema(format!(
                "the database has migration {version}, which this binary does not know: it was used by a newer Updraft. Run that version, or restore a backup made before the upgrade."
            )),
            sqlx::migrate::MigrateError::VersionMismatch(version) => StoreError::Schema(format!(
                "migration {version} was applied from different text than this binary carries; the database belongs to another build."
            )),
            other => StoreError::Schema(format!("the schema could not be migrated: {other}")),
        })
    }

    /// Checks that the schema is this binary's, or one newer (DESIGN §10).
    ///
    /// # Errors
    /// [`StoreError::Schema`] naming `updraft db migrate` when it is older or absent.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        let known = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default();
        let applied: Option<i64> = match sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
            .fetch_one(&self.pool)
            .await
        {
            Ok(version) => version,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => None,
            Err(error) => return Err(error.into()),
        };
        match applied {
            Some(version) if version == known || version == known + 1 => Ok(()),
            Some(version) if version > known => Err(StoreError::Schema(format!(
                "the database schema is at version {version}, this binary knows {known}: upgrade this process"
            ))),
            Some(version) => Err(StoreError::Schema(format!(
                "the database schema is at version {version}, this binary needs {known}: run `updraft db migrate`"
            ))),
            None => Err(StoreError::Schema("the database has no Updraft schema: run `updraft db migrate`".to_owned())),
        }
    }

    /// A hash of the embedded migrations.
    pub fn schema_fingerprint() -> String {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        for migration in MIGRATOR.iter() {
            hash.update(&migration.checksum);
        }
        updraft_core::dag::hex(&hash.finalize())
    }

    /// Closes the pool after running transactions ended.
    pub async fn close(&self) {
        self.background.0.cancel();
        self.pool.close().await;
    }
}

/// What every session is set to. `jit=off`: plans here are small and the compile costs more than it saves;
/// `random_page_cost`: what is asked for often is in memory or on a disk without heads, and the default of 4 makes Postgres read
/// a table of a thousand rows for a hundred of them; the timeouts free the locks of a frozen or unplugged holder within seconds.
fn session(options: PgConnectOptions) -> PgConnectOptions {
    options.options([
        ("jit", "off"),
        ("random_page_cost", "1.1"),
        ("default_transaction_isolation", "read committed"),
        ("lock_timeout", "5s"),
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "3"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "10000"),
    ])
}
