//! A fresh, migrated database per test, cloned from a template: advisory locks and NOTIFY are per database.

use std::str::FromStr;

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

use crate::{Store, StoreConfig};

/// Where tests find their cluster; `make test` starts one and sets it.
pub const CLUSTER_VARIABLE: &str = "UPDRAFT_TEST_DATABASE_URL";

/// A database of its own for one test; dropped with the value (as far as the runtime still lives), else with the cluster.
pub struct TestDb {
    /// A URL of the database, for processes the test starts.
    pub url: String,
    name: String,
    admin: PgConnectOptions,
}

impl TestDb {
    /// Creates the database.
    ///
    /// # Panics
    /// When the cluster variable is not set or the cluster does not answer: run tests by `make test`.
    pub async fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "tests find their cluster by the environment")]
        let cluster = std::env::var(CLUSTER_VARIABLE).unwrap_or_else(|_| {
            panic!("{CLUSTER_VARIABLE} is not set: run `make test`, or point it at a throw-away Postgres")
        });
        let admin = PgConnectOptions::from_str(&cluster).expect("the cluster variable is a Postgres URL");
        let mut connection = admin.connect().await.expect("the test cluster answers");
        let template = template(&mut connection, &cluster, &admin).await;
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        execute(&mut connection, format!("create database {name} template {template} strategy file_copy")).await;
        connection.close().await.expect("a connection closes");
        Self { url: with_database(&cluster, &name), name, admin }
    }

    /// A store on it.
    pub async fn store(&self) -> Store {
        let config = StoreConfig { url: self.url.clone(), pool_size: 8, application_name: "updraft test".to_owned() };
        Store::connect(config).await.expect("the test database answers")
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.name.clone());
        // A thread with a runtime of its own: the test's may be current-thread and blocked right here.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = admin.connect().await.map_err(std::io::Error::other)?;
                execute(&mut connection, format!("drop database if exists {name} with (force)")).await;
                Ok::<_, std::io::Error>(())
            })
        });
        // A database left over goes with the throw-away cluster.
        let _ = dropped.join();
    }
}

/// The migrated template, made once per cluster and set of migrations.
async fn template(connection: &mut PgConnection, cluster: &str, admin: &PgConnectOptions) -> String {
    let name = format!("updraft_template_{}", &Store::schema_fingerprint()[..16]);
    // Session-level: held until unlocked, across the CREATE DATABASE that cannot run in a transaction.
    sqlx::query("select pg_advisory_lock(7311)").execute(&mut *connection).await.expect("the lock is granted");
    let exists: bool = sqlx::query_scalar("select exists (select 1 from pg_database where datname = $1)")
        .bind(&name)
        .fetch_one(&mut *connection)
        .await
        .expect("pg_database can be read");
    if !exists {
        let making = format!("{name}_making");
        execute(connection, format!("drop database if exists {making} with (force)")).await;
        execute(connection, format!("create database {making}")).await;
        let url = with_database(cluster, &making);
        let config = StoreConfig { url, pool_size: 1, application_name: "updraft test template".to_owned() };
        let store = Store::connect(config).await.expect("the new database answers");
        store.migrate().await.expect("the migrations apply");
        store.close().await;
        let mut other = admin.connect().await.expect("the test cluster answers");
        sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
            .bind(&making)
            .execute(&mut other)
            .await
            .expect("sessions can be ended");
        execute(&mut other, format!("alter database {making} rename to {name}")).await;
    }
    sqlx::query("select pg_advisory_unlock(7311)").execute(connection).await.expect("the lock is ours");
    name
}

/// The same server, another database.
fn with_database(cluster: &str, name: &str) -> String {
    let (base, query) = cluster.split_once('?').map_or((cluster, ""), |(base, query)| (base, query));
    let server = base.rfind('/').filter(|at| *at > "postgres://".len()).map_or(base, |at| &base[..at]);
    if query.is_empty() { format!("{server}/{name}") } else { format!("{server}/{name}?{query}") }
}

/// Runs a statement whose text holds a database name made here.
async fn execute(connection: &mut PgConnection, sql: String) {
    sqlx::query(AssertSqlSafe(sql.clone()))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("`{sql}` failed: {error}"));
}
