//! Variables and connections against a real Postgres: encrypted at rest, rotated, resolved.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, in its helpers too")]

use serde_json::{Value, json};
use updraft_core::{
    connection::Connection,
    template::{Ref, Resolved},
};
use updraft_store::{
    Store, StoreError, connections,
    crypto::{CryptoError, Keys},
    query::filter::{Page, Pattern},
    resolve::resolve_for_server,
    rotate::{Rotated, rotate},
    sources::{Environment, Sources},
    testing::TestDb,
    variables,
};

struct Fixture {
    store: Store,
    key: String,
    _db: TestDb,
}

impl Fixture {
    async fn new() -> Self {
        let db = TestDb::new().await;
        let key = Keys::generate();
        let store = db.store().await.with_sources(sources(&key));
        Self { store, key, _db: db }
    }

    /// The same database, seen by a process with these keys.
    fn seen_with(&self, keys: &str) -> Store {
        self.store.clone().with_sources(sources(keys))
    }

    async fn set(&self, key: &str, value: &str) {
        let mut connection = self.store.pool().acquire().await.unwrap();
        let keys = &self.store.sources().keys;
        assert!(variables::insert(&mut connection, keys, key, value, Some("what it is for")).await.unwrap());
    }

    async fn connect(&self, conn_id: &str, uri: &str) {
        let mut connection = self.store.pool().acquire().await.unwrap();
        let (keys, fields) = (&self.store.sources().keys, Connection::parse(uri).unwrap());
        assert!(connections::put(&mut connection, keys, conn_id, &fields, false).await.unwrap());
    }
}

fn sources(keys: &str) -> Sources {
    Sources { keys: Keys::parse(keys).unwrap(), ..Sources::default() }
}

fn variable(key: &str) -> Ref {
    Ref::Variable { key: key.to_owned() }
}

fn connection(conn_id: &str) -> Ref {
    Ref::Connection { conn_id: conn_id.to_owned() }
}

async fn resolve(store: &Store, refs: &[Ref]) -> Result<Resolved, StoreError> {
    let mut connection = store.pool().acquire().await.unwrap();
    resolve_for_server(&mut connection, store.sources(), 1, refs).await
}

async fn value_of(store: &Store, key: &str) -> Result<String, CryptoError> {
    let mut connection = store.pool().acquire().await.unwrap();
    variables::get(&mut connection, &store.sources().keys, key).await.unwrap().unwrap().value
}

#[tokio::test]
async fn no_secret_lies_in_the_database_as_text() {
    let fixture = Fixture::new().await;
    fixture.set("api", "hunter2").await;
    fixture.connect("db", "postgres://me:hunter2@h/?token=hunter2").await;
    let rows: Vec<String> =
        sqlx::query_scalar("select v::text from variable v union all select c::text from connection c")
            .fetch_all(fixture.store.pool())
            .await
            .unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| !row.contains("hunter2")), "{rows:?}");
    assert_eq!(value_of(&fixture.store, "api").await.unwrap(), "hunter2");
}

#[tokio::test]
async fn a_change_leaves_the_rest_of_a_variable_and_a_second_of_a_key_is_refused() {
    let fixture = Fixture::new().await;
    fixture.set("api", "one").await;
    let mut connection = fixture.store.pool().acquire().await.unwrap();
    let keys = &fixture.store.sources().keys;
    assert!(!variables::insert(&mut connection, keys, "api", "two", None).await.unwrap());
    let change = variables::Change { value: Some("two"), ..Default::default() };
    assert!(variables::update(&mut connection, keys, "api", change).await.unwrap());
    let found = variables::get(&mut connection, keys, "api").await.unwrap().unwrap();
    assert_eq!((found.value.unwrap().as_str(), found.description.as_deref()), ("two", Some("what it is for")));
    let change = variables::Change { description: Some(None), ..Default::default() };
    assert!(variables::update(&mut connection, keys, "api", change).await.unwrap());
    let found = variables::get(&mut connection, keys, "api").await.unwrap().unwrap();
    assert_eq!((found.value.unwrap().as_str(), found.description), ("two", None));
    assert!(variables::delete(&mut connection, "api").await.unwrap());
    assert!(!variables::update(&mut connection, keys, "api", change).await.unwrap());
}

#[tokio::test]
async fn references_are_resolved_with_the_environment_first() {
    let fixture = Fixture::new().await;
    fixture.set("api", "stored").await;
    fixture.set("region", "stored").await;
    fixture.connect("db", "postgres://me:pw@h:5432/s").await;
    for (index, value) in [(1, json!("b")), (0, json!("a"))] {
        sqlx::query(
            "insert into xcom (dag_run_id, task_id, map_index, key, value, size) values (1, 'm', $1, 'return_value', $2, 3)",
        )
        .bind(index)
        .bind(value)
        .execute(fixture.store.pool())
        .await
        .unwrap();
    }
    let mut sources = fixture.store.sources().clone();
    sources.environment = Environment::new(
        [("AIRFLOW_VAR_REGION", "eu"), ("AIRFLOW_CONN_ENV", "http://h")].map(|(n, v)| (n.into(), v.into())),
    );
    let store = fixture.store.clone().with_sources(sources);
    let mapped = Ref::XCom { task_id: "m".into(), key: "return_value".into(), map_index: None, part: None };
    let refs = [
        variable("api"),
        variable("region"),
        variable("none"),
        connection("db"),
        connection("env"),
        connection("none"),
        mapped,
    ];
    let resolved = resolve(&store, &refs).await.unwrap();
    let value = |reference: &Ref| resolved.value(reference).cloned();
    assert!(refs.iter().all(|reference| resolved.contains(reference)));
    let found: Vec<Option<Value>> = refs.iter().map(value).collect();
    let db = json!({"conn_type": "postgres", "description": null, "host": "h", "schema": "s", "login": "me",
                    "password": "pw", "port": 5432, "extra": null});
    assert_eq!(found[..4], [Some(json!("stored")), Some(json!("eu")), None, Some(db)]);
    assert_eq!(found[4].as_ref().unwrap()["conn_type"], "http");
    assert_eq!(found[5..], [None, Some(json!(["a", "b"]))]);
}

#[tokio::test]
async fn a_missing_or_wrong_key_says_what_to_set_and_stops_nothing_else() {
    let fixture = Fixture::new().await;
    fixture.set("api", "hunter2").await;
    fixture.connect("db", "postgres://me:hunter2@h").await;
    fixture.connect("plain", "http://h").await;
    for (keys, cause) in [(String::new(), CryptoError::NoKey), (Keys::generate(), CryptoError::WrongKey)] {
        let store = fixture.seen_with(&keys);
        assert_eq!(value_of(&store, "api").await, Err(cause));
        for reference in [variable("api"), connection("db")] {
            let error = resolve(&store, &[reference]).await.unwrap_err();
            assert!(matches!(error, StoreError::Secret(_)), "{error:?}");
            assert!(error.to_string().contains("UPDRAFT__CORE__FERNET_KEY"), "{error}");
        }
        resolve(&store, &[connection("plain")]).await.expect("nothing in it is encrypted");
        let mut connection = store.pool().acquire().await.unwrap();
        let page = Page { limit: 10, ..Page::default() };
        let keys = &store.sources().keys;
        let listed = connections::page(&mut connection, keys, &Pattern::default(), &page).await.unwrap();
        let listed: Vec<_> = listed.rows.iter().map(|row| (row.conn_id.as_str(), row.unreadable)).collect();
        assert_eq!(listed, [("db", Some(cause)), ("plain", None)]);
    }
    let error = variables::insert(
        &mut fixture.store.pool().acquire().await.unwrap(),
        &Keys::default(),
        "other",
        "hunter2",
        None,
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("`other`") && error.to_string().contains("core.fernet_key"), "{error}");
}

#[tokio::test]
async fn after_a_rotation_the_old_key_opens_nothing() {
    let fixture = Fixture::new().await;
    fixture.set("api", "hunter2").await;
    fixture.connect("db", "postgres://me:pw@h/?a=b").await;
    fixture.connect("plain", "http://h").await;
    let new = Keys::generate();
    let both = fixture.seen_with(&format!("{new},{}", fixture.key));
    assert_eq!(rotate(&both).await.unwrap(), Rotated { variables: 1, connections: 1 });
    assert_eq!(value_of(&fixture.store, "api").await, Err(CryptoError::WrongKey));
    let store = fixture.seen_with(&new);
    assert_eq!(value_of(&store, "api").await.unwrap(), "hunter2");
    let resolved = resolve(&store, &[connection("db")]).await.unwrap();
    let db = resolved.value(&connection("db")).unwrap();
    assert_eq!((&db["password"], &db["extra"]), (&json!("pw"), &json!("{\"a\":\"b\"}")));
}

#[tokio::test]
async fn a_rotation_that_meets_a_row_no_key_opens_names_it_and_changes_nothing() {
    let fixture = Fixture::new().await;
    fixture.set("api", "one").await;
    let (other, new) = (Keys::generate(), Keys::generate());
    let mut connection = fixture.store.pool().acquire().await.unwrap();
    variables::insert(&mut connection, &Keys::parse(&other).unwrap(), "stray", "x", None).await.unwrap();
    let error = rotate(&fixture.seen_with(&format!("{new},{}", fixture.key))).await.unwrap_err().to_string();
    assert!(error.contains("`stray`") && error.contains("nothing was changed"), "{error}");
    assert_eq!(value_of(&fixture.store, "api").await.unwrap(), "one", "still with the old key");
}
