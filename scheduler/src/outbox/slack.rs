//! Writing to Slack: by an incoming webhook, or by `chat.postMessage` with a token.

use reqwest::{
    Client, Method, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use serde_json::json;
use updraft_core::notify::Slack;
use updraft_store::outbox::Claimed;

use super::{
    http::post,
    send::{Connection, SendError, Sender},
};

const API: &str = "https://slack.com/api/";
/// Answers of `chat.postMessage` that may be different the next time.
const TEMPORARY: &[&str] =
    &["ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"];

/// Where a connection leads.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Webhook(String),
    Api { base: String, token: String },
}

pub(super) async fn send(sender: &Sender, http: &Client, notice: &Claimed, message: &Slack) -> Result<(), SendError> {
    let conn_id = &message.conn_id;
    let connection = sender.connection(notice, conn_id).await?.ok_or_else(|| {
        SendError::temporary(format!(
            "there is no connection `{conn_id}`; it needs a webhook URL as host or a token as password"
        ))
    })?;
    let target = target(&connection).ok_or_else(|| {
        SendError::temporary(format!(
            "the connection `{conn_id}` has neither a webhook URL as host nor a token as password"
        ))
    })?;
    let mut body = json!({"text": message.text});
    if let Some(channel) = &message.channel {
        body["channel"] = channel.as_str().into();
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    let url = match &target {
        Target::Webhook(url) => url.clone(),
        Target::Api { base, token } => {
            if message.channel.is_none() {
                let error = format!("the connection `{conn_id}` holds a token, so the notification needs a `channel`");
                return Err(SendError::Permanent(error));
            }
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| SendError::Permanent(format!("the password of `{conn_id}` is no token")))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
            format!("{}/chat.postMessage", base.trim_end_matches('/'))
        }
    };
    let url: Url = url
        .parse()
        .map_err(|error| SendError::Permanent(format!("the connection `{conn_id}` has no usable URL: {error}")))?;
    let bytes = serde_json::to_vec(&body).map_err(|error| SendError::Permanent(error.to_string()))?;
    let response = post(http, Method::POST, url, headers, bytes, notice.claim.key).await?;
    if let Target::Webhook(_) = target {
        return Ok(());
    }
    let answer: Answer = response
        .json()
        .await
        .map_err(|error| SendError::temporary(format!("Slack's answer cannot be read: {error}")))?;
    match answer {
        Answer { ok: true, .. } => Ok(()),
        Answer { error, .. } if TEMPORARY.contains(&error.as_str()) => {
            Err(SendError::temporary(format!("Slack says {error}")))
        }
        Answer { error, .. } => Err(SendError::Permanent(format!("Slack says {error}"))),
    }
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    error: String,
}

/// Airflow's Slack connections: `slackwebhook` has the webhook's path as password (the host may be left out), `slack` an API
/// token; both may have a whole URL as host.
fn target(connection: &Connection) -> Option<Target> {
    let host = connection
        .text("host")
        .map(|host| if host.contains("://") { host.to_owned() } else { format!("https://{host}") });
    Some(match (connection.text("password"), host) {
        (Some(token), host) if token.starts_with("xox") => {
            Target::Api { base: host.unwrap_or_else(|| API.to_owned()), token: token.to_owned() }
        }
        (Some(url), _) if url.contains("://") => Target::Webhook(url.to_owned()),
        (Some(path), host) => {
            let host = host.unwrap_or_else(|| "https://hooks.slack.com/services".to_owned());
            Target::Webhook(format!("{}/{}", host.trim_end_matches('/'), path.trim_start_matches('/')))
        }
        (None, Some(host)) => Target::Webhook(host),
        (None, None) => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_connection_is_a_webhook_or_a_token() {
        let webhook = |url: &str| Some(Target::Webhook(url.to_owned()));
        let api = |base: &str| Some(Target::Api { base: base.to_owned(), token: "xoxb-1".to_owned() });
        let table: &[(Value, Option<Target>)] = &[
            (json!({}), None),
            (
                json!({"host": "https://hooks.slack.com/services/T/B/x"}),
                webhook("https://hooks.slack.com/services/T/B/x"),
            ),
            (json!({"password": "/T/B/x"}), webhook("https://hooks.slack.com/services/T/B/x")),
            (json!({"host": "chat.example.org/hooks/", "password": "x"}), webhook("https://chat.example.org/hooks/x")),
            (json!({"password": "https://chat.example.org/x"}), webhook("https://chat.example.org/x")),
            (json!({"password": "xoxb-1"}), api(API)),
            (json!({"host": "http://localhost:1", "password": "xoxb-1"}), api("http://localhost:1")),
        ];
        for (connection, expected) in table {
            assert_eq!(&target(&Connection::new(connection.clone())), expected, "{connection}");
        }
    }
}
