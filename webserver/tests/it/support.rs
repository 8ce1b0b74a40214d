//! A router on a fresh database, and rows to read.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use updraft_core::identity::Role;
use updraft_store::{Store, crypto::Keys, identity::users, sources::Sources, testing::TestDb};
use updraft_webserver::{App, Config, LogPlace, logs::LogStore, passwords};

use crate::airflow::{Answered, airflow};

/// Every user's password.
pub(crate) const PASSWORD: &str = "correct horse";

/// A name, Airflow's path and what to ask for it: one answer of every shape that is read.
pub(crate) const ENTITIES: &[(&str, &str, &str)] = &[
    ("dag", "/dags/{dag_id}", "/dags/etl"),
    ("dag_without_version", "/dags/{dag_id}", "/dags/other"),
    ("dags", "/dags", "/dags?exclude_stale=false&order_by=-dag_id"),
    ("dag_details", "/dags/{dag_id}/details", "/dags/etl/details"),
    ("dag_versions", "/dags/{dag_id}/dagVersions", "/dags/etl/dagVersions"),
    ("dag_version", "/dags/{dag_id}/dagVersions/{version_number}", "/dags/etl/dagVersions/1"),
    ("tasks", "/dags/{dag_id}/tasks", "/dags/etl/tasks"),
    ("dag_stats", "/dagStats", "/dagStats?dag_ids=etl&dag_ids=other"),
    ("dag_tags", "/dagTags", "/dagTags"),
    ("dag_warnings", "/dagWarnings", "/dagWarnings"),
    ("plugins", "/plugins", "/plugins?limit=1"),
    ("plugin_import_errors", "/plugins/importErrors", "/plugins/importErrors"),
    ("providers", "/providers", "/providers"),
    (
        "links",
        "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/links",
        "/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/taskInstances/extract/links",
    ),
    ("asset_states", "/assets/{asset_id}/state-store", "/assets/1/state-store"),
    (
        "task_states",
        "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/state-store",
        "/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/taskInstances/extract/state-store",
    ),
    ("dag_source", "/dagSources/{dag_id}", "/dagSources/etl?version_number=1"),
    ("dag_runs", "/dags/{dag_id}/dagRuns", "/dags/etl/dagRuns?limit=1&order_by=-run_after"),
    ("dag_run", "/dags/{dag_id}/dagRuns/{dag_run_id}", "/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00"),
    (
        "task_instances",
        "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances",
        "/dags/~/dagRuns/~/taskInstances?order_by=state&limit=3",
    ),
    (
        "task_instance",
        "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}",
        "/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/taskInstances/extract",
    ),
    (
        "tries",
        "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/tries",
        "/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/taskInstances/extract/tries",
    ),
    (
        "first_try",
        "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/tries/{task_try_number}",
        "/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/taskInstances/extract/tries/1",
    ),
    (
        "log",
        "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs/{try_number}",
        "/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/taskInstances/extract/logs/2",
    ),
    (
        "hitl_details",
        "/dags/{dag_id}/dagRuns/{dag_run_id}/hitlDetails",
        "/dags/~/dagRuns/~/hitlDetails?response_received=true&subject_search=go",
    ),
    (
        "hitl_detail",
        "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails",
        "/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/taskInstances/extract/-1/hitlDetails",
    ),
    (
        "hitl_detail_try",
        "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails/tries/{try_number}",
        "/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/taskInstances/extract/-1/hitlDetails/tries/1",
    ),
    ("jobs", "/jobs", "/jobs?job_type=BackfillJob"),
    ("import_errors", "/importErrors", "/importErrors?filename_pattern=BROKEN"),
    ("event_logs", "/eventLogs", "/eventLogs"),
    ("assets", "/assets", "/assets?only_active=false&order_by=name"),
    ("asset", "/assets/{asset_id}", "/assets/1"),
    ("asset_aliases", "/assets/aliases", "/assets/aliases"),
    ("asset_alias", "/assets/aliases/{asset_alias_id}", "/assets/aliases/1"),
    ("asset_events", "/assets/events", "/assets/events?order_by=-timestamp"),
    ("asset_queue", "/assets/{asset_id}/queuedEvents", "/assets/1/queuedEvents"),
    ("dag_queue", "/dags/{dag_id}/assets/queuedEvents", "/dags/other/assets/queuedEvents"),
    ("dag_asset_queue", "/dags/{dag_id}/assets/{asset_id}/queuedEvents", "/dags/other/assets/1/queuedEvents"),
    (
        "upstream_asset_events",
        "/dags/{dag_id}/dagRuns/{dag_run_id}/upstreamAssetEvents",
        "/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/upstreamAssetEvents",
    ),
    ("health", "/monitor/health", "/monitor/health"),
    ("version", "/version", "/version"),
];

/// One webserver without a socket.
pub(crate) struct TestServer {
    pub(crate) store: Store,
    pub(crate) app: App,
    router: Router,
    token: String,
    logs: LogStore,
    folder: Arc<tempfile::TempDir>,
    db: Arc<TestDb>,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl TestServer {
    /// An empty database, but for the user `admin`.
    pub(crate) async fn empty() -> Self {
        Self::with(|_| {}).await
    }

    /// The same, configured otherwise.
    pub(crate) async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let db = TestDb::new().await;
        let keys = Keys::parse(&Keys::generate()).unwrap();
        let store = db.store().await.with_sources(Sources { keys, ..Sources::default() });
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(
            "a secret for tests".to_owned().into(),
            "another secret".to_owned().into(),
            LogPlace::Folder(folder.path().to_owned()),
        );
        configure(&mut config);
        let app = App::new(store.clone(), config, CancellationToken::new()).unwrap();
        let logs = app.logs.clone();
        let router = updraft_webserver::router(&app);
        let (folder, db) = (Arc::new(folder), Arc::new(db));
        let server = Self { store, app, router, token: String::new(), logs, folder, db };
        server.add_user("admin", Role::Admin).await;
        let token = server.log_in("admin").await;
        // What tests find in the audit trail, they did.
        sqlx::raw_sql("truncate log restart identity").execute(server.store.pool()).await.unwrap();
        Self { token, ..server }
    }

    /// A user whose password is [`PASSWORD`].
    pub(crate) async fn add_user(&self, name: &str, role: Role) {
        let hash = passwords::hash(&PASSWORD.into()).unwrap();
        let mut connection = self.store.pool().acquire().await.unwrap();
        assert!(users::create(&mut connection, &name.parse().unwrap(), &hash, role).await.unwrap());
    }

    /// The token that a user's password gives.
    pub(crate) async fn log_in(&self, name: &str) -> String {
        let body = json!({"username": name, "password": PASSWORD});
        let answer = self.send(self.request(Method::POST, "/auth/token", Some(&body))).await;
        answer.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// The same server, asked with another token.
    pub(crate) fn request_as(&self, token: &str, method: Method, path: &str, body: Option<&Value>) -> Request<Body> {
        let mut request = self.request(method, path, body);
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        request
    }

    /// The rows of `seed.sql`: the DAG `etl` (two versions, three runs), the DAG `other`, and what belongs to them.
    pub(crate) async fn seeded() -> Self {
        let server = Self::empty().await;
        sqlx::raw_sql(include_str!("seed.sql")).execute(server.store.pool()).await.unwrap();
        server
    }

    /// A second webserver of the same deployment, with connections of its own.
    pub(crate) async fn another(&self) -> Self {
        let store = self.db.store().await;
        let app = App::new(store.clone(), self.app.config.clone(), CancellationToken::new()).unwrap();
        let (logs, router) = (app.logs.clone(), updraft_webserver::router(&app));
        let (folder, db) = (self.folder.clone(), self.db.clone());
        Self { store, app, router, token: self.token.clone(), logs, folder, db }
    }

    /// The log store that nodes write to.
    pub(crate) fn logs(&self) -> &LogStore {
        &self.logs
    }

    /// An authenticated request.
    pub(crate) fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Request<Body> {
        let builder = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json");
        builder.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()
    }

    /// The answer without its body, which may have no end.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// The answer, which must be one that Airflow could give.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().to_string());
        let response = self.answer(request).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        let answer = Answer { status: parts.status, headers: parts.headers, bytes };
        if let Some(airflow) = airflow() {
            let media_type = answer.headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap());
            let (status, body) = (answer.status.as_u16(), &answer.bytes);
            let findings =
                airflow.findings(&Answered { method: method.as_str(), path: &path, status, media_type, body });
            assert!(findings.is_empty(), "{method} {path}: {status} {findings:#?} {}", answer.text());
        }
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path, None)).await
    }

    /// The JSON of a GET that must succeed.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        answer.json()
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        self.send(self.request(method, path, Some(&body))).await
    }
}

/// The values of one field of every element of a list.
pub(crate) fn column(list: &Value, field: &str) -> Vec<String> {
    let text = |item: &Value| item[field].as_str().map_or_else(|| item[field].to_string(), str::to_owned);
    list.as_array().expect("a list").iter().map(text).collect()
}
