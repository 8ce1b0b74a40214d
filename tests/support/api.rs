//! A webserver's REST API, for whoever has a password. In tests every answer is held against Airflow's document.

use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};

use super::airflow::{Answered, airflow};

/// Logged in as `admin`.
pub(crate) struct Api {
    http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: String,
}

impl Api {
    pub(crate) async fn login(url: &str, password: &str) -> Self {
        // The second time in a process it is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::new();
        let login = json!({"username": "admin", "password": password});
        let answer = http.post(format!("{url}/auth/token")).json(&login).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let token = answer["access_token"].as_str().unwrap().to_owned();
        Self { http, url: url.to_owned(), token }
    }

    /// The answer, whatever its status.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (_, text) = self.answer(Method::GET, path, self.request(Method::GET, path)).await;
        serde_json::from_str(&text).unwrap()
    }

    /// The answer, which must be a success, with its body yet to be read.
    pub(crate) async fn stream(&self, path: &str) -> reqwest::Response {
        self.request(Method::GET, path).send().await.unwrap().error_for_status().unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        self.send(Method::POST, path, body).await
    }

    /// The answer, which must be a success.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = self.request(method.clone(), path).json(body);
        let (status, text) = self.answer(method, path, request).await;
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Starts a run.
    pub(crate) async fn trigger(&self, dag_id: &str, run_id: &str) -> Value {
        let body = json!({"logical_date": null, "dag_run_id": run_id});
        self.post(&format!("/api/v2/dags/{dag_id}/dagRuns"), &body).await
    }

    async fn answer(&self, method: Method, path: &str, request: RequestBuilder) -> (StatusCode, String) {
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let media_type = answer.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
        let text = answer.text().await.unwrap();
        // Benchmarks share this client, and measure.
        if cfg!(test)
            && let Some(airflow) = airflow()
        {
            let (media_type, body) = (media_type.as_deref().unwrap_or_default(), text.as_bytes());
            let answered = Answered { method: method.as_str(), path, status: status.as_u16(), media_type, body };
            let findings = airflow.findings(&answered);
            assert!(findings.is_empty(), "{method} {path}: {status} {findings:#?} {text}");
        }
        (status, text)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }
}
