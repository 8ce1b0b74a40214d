//! A router on a fresh database, and rows to read.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use updraft_store::{Store, testing::TestDb};
use updraft_webserver::{App, Config, logs::LogStore};

/// The admin's password.
pub const PASSWORD: &str = "correct horse";

/// One webserver without a socket.
pub struct TestServer {
    pub store: Store,
    pub app: App,
    router: Router,
    token: String,
    logs: LogStore,
    _folder: tempfile::TempDir,
    _db: TestDb,
}

/// An answer, read to its end.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl TestServer {
    /// An empty database.
    pub async fn empty() -> Self {
        let db = TestDb::new().await;
        let store = db.store().await;
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(
            "a secret for tests".to_owned().into(),
            PASSWORD.to_owned().into(),
            "another secret".to_owned().into(),
            folder.path().to_owned(),
        );
        let app = App::new(store.clone(), config, CancellationToken::new()).await.unwrap();
        let logs = app.logs.clone();
        let router = updraft_webserver::router(&app);
        let mut server = Self { store, app, router, token: String::new(), logs, _folder: folder, _db: db };
        let body = json!({"username": "admin", "password": PASSWORD});
        let answer = server.send(server.request(Method::POST, "/auth/token", Some(&body))).await;
        server.token = answer.json()["access_token"].as_str().expect("a token").to_owned();
        server
    }

    /// The rows of `seed.sql`: the DAG `etl` (two versions, three runs), the DAG `other`, and what belongs to them.
    pub async fn seeded() -> Self {
        let server = Self::empty().await;
        sqlx::raw_sql(include_str!("seed.sql")).execute(server.store.pool()).await.unwrap();
        server
    }

    /// The log store that nodes write to.
    pub fn logs(&self) -> &LogStore {
        &self.logs
    }

    /// An authenticated request.
    pub fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Request<Body> {
        let builder = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json");
        builder.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path, None)).await
    }

    /// The JSON of a GET that must succeed.
    pub async fn read(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        answer.json()
    }

    pub async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        self.send(self.request(method, path, Some(&body))).await
    }
}

/// The values of one field of every element of a list.
pub fn column(list: &Value, field: &str) -> Vec<String> {
    let text = |item: &Value| item[field].as_str().map_or_else(|| item[field].to_string(), str::to_owned);
    list.as_array().expect("a list").iter().map(text).collect()
}
