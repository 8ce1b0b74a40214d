//! Calling a URL.

use std::time::Duration;

use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use updraft_core::notify::Http;
use uuid::Uuid;

use super::send::SendError;

/// Larger bodies are refused, not sent.
const BODY_LIMIT: usize = 1024 * 1024;
/// So much of an answer is read, for the error.
const ANSWER_LIMIT: usize = 500;

pub(super) fn client(timeout: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        // A redirected POST becomes a GET without the body: delivered to nobody, and looking fine.
        .redirect(Policy::none())
        .timeout(timeout)
        .user_agent(concat!("updraft/", env!("CARGO_PKG_VERSION")))
        .build()
}

pub(super) async fn send(client: &Client, key: Uuid, message: &Http) -> Result<(), SendError> {
    let url: Url = message.url.parse().map_err(|error| permanent(format!("`url` is no URL: {error}")))?;
    let method: Method =
        message.method.parse().map_err(|_| permanent(format!("`{}` is no HTTP method", message.method)))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &message.headers {
        let header: HeaderName = name.parse().map_err(|_| permanent(format!("`{name}` is no header name")))?;
        let value: HeaderValue =
            value.trim().parse().map_err(|_| permanent(format!("the value of the header `{name}` is not allowed")))?;
        headers.insert(header, value);
    }
    let body = match &message.json {
        None => Vec::new(),
        Some(json) => serde_json::to_vec(json).map_err(|error| permanent(error.to_string()))?,
    };
    if message.json.is_some() {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    }
    post(client, method, url, headers, body, key).await.map(drop)
}

/// Sends one request. The answer is given back when it is 2xx.
pub(super) async fn post(
    client: &Client,
    method: Method,
    url: Url,
    mut headers: HeaderMap,
    body: Vec<u8>,
    key: Uuid,
) -> Result<Response, SendError> {
    if body.len() > BODY_LIMIT {
        return Err(permanent(format!("the body has {} bytes, more than {BODY_LIMIT}", body.len())));
    }
    let value = HeaderValue::try_from(key.to_string()).map_err(|error| permanent(error.to_string()))?;
    headers.insert("idempotency-key", value);
    let mut request = client.request(method, url).headers(headers);
    if !body.is_empty() {
        request = request.body(body);
    }
    let response = request.send().await.map_err(describe)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let location = response.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let error = match location.filter(|_| status.is_redirection()) {
        Some(location) => format!("{status}: redirects are not followed; write the final address: {location}"),
        None => format!("{status}: {}", beginning(response).await),
    };
    Err(match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            SendError::Temporary { error, after: after.map(Duration::from_secs) }
        }
        status if status.is_server_error() => SendError::Temporary { error, after: after.map(Duration::from_secs) },
        _ => permanent(error),
    })
}

/// The beginning of an answer's text.
async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_LIMIT {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            // What is there is enough for a message.
            Ok(None) | Err(_) => break,
        }
    }
    bytes.truncate(ANSWER_LIMIT);
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// The whole story of a failed request, without the URL, which may hold a secret.
fn describe(error: reqwest::Error) -> SendError {
    let is_wrong = error.is_builder();
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    if is_wrong { permanent(text) } else { SendError::temporary(text) }
}

fn permanent(error: impl Into<String>) -> SendError {
    SendError::Permanent(error.into())
}
