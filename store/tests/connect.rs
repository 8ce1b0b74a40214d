//! Sessions and schema checks against a real Postgres.

use updraft_store::{StoreConfig, testing::TestDb, wake::Signal};

#[tokio::test]
async fn a_session_cannot_hold_locks_for_long() {
    let db = TestDb::new().await;
    let store = db.store().await;
    for (name, value) in [("jit", "off"), ("lock_timeout", "5s"), ("idle_in_transaction_session_timeout", "5s")] {
        let shown: String =
            sqlx::query_scalar("select current_setting($1)").bind(name).fetch_one(store.pool()).await.unwrap();
        assert_eq!(shown, value, "{name}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let db = TestDb::new().await;
    let store = db.store().await;
    store.check_schema().await.unwrap();
    sqlx::query(
        "update _sqlx_migrations set version = 900 where version = (select max(version) from _sqlx_migrations)",
    )
    .execute(store.pool())
    .await
    .unwrap();
    let refusal = store.check_schema().await.unwrap_err().to_string();
    assert!(refusal.contains("upgrade this process"), "{refusal}");
    let refusal = store.migrate().await.unwrap_err().to_string();
    assert!(refusal.contains("newer Updraft"), "{refusal}");
}

#[tokio::test]
async fn signals_and_changed_runs_reach_other_processes() {
    let db = TestDb::new().await;
    let (here, there) = (db.store().await, db.store().await);
    let (mut heard, mut changes) = (there.wake().subscribe(), there.wake().changes());
    // The listener says Everything once it listens; only then is a signal sure to arrive.
    while heard.recv().await.unwrap() != Signal::Everything {}
    here.wake().ring(Signal::Run(42));
    while heard.recv().await.unwrap() != Signal::Run(42) {}
    // Alone, without a signal that takes it along.
    here.wake().changed(43);
    assert_eq!(changes.recv().await.unwrap(), 43);
    // Who works is not woken by it.
    here.wake().ring(Signal::Dags);
    assert_eq!(heard.recv().await.unwrap(), Signal::Dags);
}

#[tokio::test]
async fn an_absent_server_is_unavailable() {
    let config = StoreConfig {
        url: "postgres://nobody@localhost/none?host=/nonexistent".to_owned(),
        pool_size: 1,
        application_name: String::new(),
    };
    let error = updraft_store::Store::connect(config).await.err().expect("nothing answers there");
    assert!(error.is_transient(), "{error}");
}
