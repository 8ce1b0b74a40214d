//! The REST client of the command line: finds the server, logs in, and turns what goes wrong into one clear error.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::App;
use crate::standalone::data_dir::{self, Layout};

const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// A logged-in client of one server.
pub(crate) struct Client {
    http: reqwest::Client,
    server: Url,
    token: SecretString,
}

/// What the server answered when it refused.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    message: String,
}

impl Client {
    /// Logs in with what the configuration says; beside a running standalone, with what its data folder says.
    pub(crate) async fn connect(app: &App) -> Result<Self> {
        let config = &app.loaded.config;
        let layout = data_dir::locate(config, &app.environment).ok().map(Layout);
        let server = match (&config.client.server, &layout) {
            (Some(server), _) => server.clone(),
            (None, Some(layout)) => read(&layout.url())?.unwrap_or_else(|| DEFAULT_SERVER.to_owned()),
            (None, None) => DEFAULT_SERVER.to_owned(),
        };
        let server = Url::parse(&server)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .with_context(|| format!("{server:?} is no URL of a server; it looks like {DEFAULT_SERVER}"))?;
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_mins(1))
            .user_agent(concat!("updraft/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("making the HTTP client")?;
        let mut client = Self { http, server, token: SecretString::default() };
        client.token = match &config.client.token {
            Some(token) => token.clone(),
            None => client.log_in(app, layout.as_ref()).await?,
        };
        Ok(client)
    }

    async fn log_in(&self, app: &App, layout: Option<&Layout>) -> Result<SecretString> {
        let config = &app.loaded.config;
        let kept = match (&config.client.password, &config.auth.admin_password, layout) {
            (Some(password), ..) | (None, Some(password), _) => Some(password.expose_secret().to_owned()),
            (None, None, Some(layout)) => read(&layout.admin_password())?,
            (None, None, None) => None,
        };
        let Some(password) = kept else {
            // Whether there is a server at all is the better answer when there is none.
            self.send(self.http.get(self.url(&["api", "v2", "version"]))).await?;
            bail!(
                "no password for {}: give --password, UPDRAFT__CLIENT__PASSWORD or a --token; beside a standalone name its data \
                 folder with --data-dir",
                self.server
            );
        };
        let body = json!({"username": config.client.username, "password": password});
        let answer = self.send(self.http.post(self.url(&["auth", "token"])).json(&body)).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            bail!(
                "{} does not know user `{}` with this password; standalone's is in the file admin-password of its data folder",
                self.server,
                config.client.username
            );
        }
        let answer: Value = parse(answer).await?;
        let token = answer["access_token"].as_str().context("the server's login answer has no access_token")?;
        Ok(SecretString::from(token))
    }

    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value> {
        parse(self.send(self.request(Method::GET, path).query(query)).await?).await
    }

    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> Result<Value> {
        parse(self.send(self.request(Method::POST, path).json(body)).await?).await
    }

    pub(crate) async fn patch(&self, path: &[&str], body: &Value) -> Result<Value> {
        parse(self.send(self.request(Method::PATCH, path).json(body)).await?).await
    }

    /// A request without a body.
    pub(crate) async fn send_empty(&self, method: Method, path: &[&str]) -> Result<Value> {
        parse(self.send(self.request(method, path)).await?).await
    }

    pub(crate) async fn delete(&self, path: &[&str]) -> Result<()> {
        check(self.send(self.request(Method::DELETE, path)).await?).await?;
        Ok(())
    }

    /// All pages of a list: the envelope's `key` of each.
    pub(crate) async fn list(
        &self,
        path: &[&str],
        key: &str,
        query: &[(&str, &str)],
        most: usize,
    ) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        loop {
            let (limit, offset) = ((most - all.len()).min(100).to_string(), all.len().to_string());
            let mut query = query.to_vec();
            query.extend([("limit", limit.as_str()), ("offset", offset.as_str())]);
            let mut page = self.get(path, &query).await?;
            let total = page["total_entries"].as_u64().unwrap_or_default() as usize;
            let Value::Array(items) = page[key].take() else { bail!("the server's answer has no list `{key}`") };
            let fresh = items.len();
            all.extend(items);
            if fresh == 0 || all.len() >= total || all.len() >= most {
                return Ok(all);
            }
        }
    }

    /// A request whose body is read as it comes.
    pub(crate) async fn stream(&self, path: &[&str], query: &[(&str, &str)], accept: &str) -> Result<Response> {
        let request = self.request(Method::GET, path).query(query).header("accept", accept);
        check(self.send(request).await?).await
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(self.token.expose_secret())
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.server.clone();
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(path);
        url
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        request.send().await.map_err(|error| {
            if let Some(reason) = distrust(&error) {
                anyhow!(
                    "the certificate of {} is not trusted: {reason}; the environment variable SSL_CERT_FILE names a file with the \
                     authorities to trust",
                    self.server
                )
            } else if error.is_connect() {
                anyhow!(
                    "no server answers at {}; start one with `updraft standalone`, or name another with --server",
                    self.server
                )
            } else if error.is_timeout() {
                anyhow!("the server at {} did not answer in time", self.server)
            } else {
                anyhow::Error::new(error).context(format!("talking to {}", self.server))
            }
        })
    }
}

/// Why TLS ended a connection before it began, if that is what happened.
fn distrust(error: &reqwest::Error) -> Option<String> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(error.to_string());
        }
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// A file of the data folder, which only its owner may read.
fn read(file: &Path) -> Result<Option<String>> {
    data_dir::read_text(file).context("run this as the user who started standalone, or give --server and --password")
}

async fn check(answer: Response) -> Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let text = answer.text().await.unwrap_or_default();
    let detail =
        serde_json::from_str::<Value>(&text).ok().map(|body| detail(&body)).filter(|detail| !detail.is_empty());
    let message = match (status, detail) {
        (StatusCode::UNAUTHORIZED, _) => "the server does not accept this token; log in anew".to_owned(),
        (_, Some(detail)) => detail,
        (_, None) => format!("the server answered {status}"),
    };
    Err(Refused { status, message }.into())
}

async fn parse(answer: Response) -> Result<Value> {
    let answer = check(answer).await?;
    let url = answer.url().clone();
    answer.json().await.with_context(|| format!("{url} did not answer with JSON; is it an Updraft server?"))
}

/// Airflow's `detail` is a text, an object with a reason, or a list of validation errors.
fn detail(body: &Value) -> String {
    match &body["detail"] {
        Value::String(text) => text.clone(),
        Value::Array(errors) => errors
            .iter()
            .map(|error| {
                let place: Vec<_> = error["loc"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                format!("{}: {}", place.join("."), error["msg"].as_str().unwrap_or("not valid"))
            })
            .collect::<Vec<_>>()
            .join("; "),
        Value::Object(fields) => {
            let text = fields.get("message").or_else(|| fields.get("reason")).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        }
        _ => body["error"].as_str().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_airflows_detail_is_read() {
        assert_eq!(detail(&json!({"detail": "no"})), "no");
        assert_eq!(
            detail(&json!({"detail": [{"loc": ["body", "conf"], "msg": "Field required"}]})),
            "body.conf: Field required"
        );
        assert_eq!(
            detail(&json!({"detail": {"reason": "Unique constraint violation"}})),
            "Unique constraint violation"
        );
        assert_eq!(detail(&json!({"error": "API route not found"})), "API route not found");
    }
}
