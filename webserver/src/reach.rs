//! Trying a connection: whether what it names answers. The texts are shown to people and hold no secret.

use std::{error::Error, time::Duration};

use reqwest::{
    Client, RequestBuilder,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use updraft_core::connection::Connection;
use updraft_store::probe;
use url::{Host, Url};

/// Extras of an HTTP connection that are options of Airflow's client, and no headers (Airflow: `providers/http/hooks/http.py`).
const OPTIONS: [&str; 12] = [
    "allow_redirects",
    "cert",
    "check_response",
    "headers",
    "max_redirects",
    "proxies",
    "proxy",
    "stream",
    "timeout",
    "trust_env",
    "verify",
    "verify_ssl",
];

/// `Ok` says what answered, `Err` why it cannot be used.
pub(crate) async fn reach(connection: &Connection, limit: Duration) -> Result<String, String> {
    let tried = async {
        match connection.conn_type.to_lowercase().as_str() {
            "http" | "https" => http(connection).await,
            "postgres" | "postgresql" => postgres(connection).await,
            _ => tcp(connection).await,
        }
    };
    let late = |_| Err(format!("nothing was answered within {} s", limit.as_secs_f64()));
    timeout(limit, tried).await.unwrap_or_else(late)
}

/// A GET of the root. A redirect is an answer, and is not followed: headers of the connection are for its host.
async fn http(connection: &Connection) -> Result<String, String> {
    let url = http_url(connection)?;
    let place = place(&url);
    let answer = http_request(connection, url)?.send().await.map_err(|error| deepest(&error.without_url()))?;
    let status = answer.status();
    if status.is_client_error() || status.is_server_error() {
        return Err(format!("{place} answered {status}"));
    }
    Ok(format!("Connection successfully tested: {place} answered {status}"))
}

fn http_request(connection: &Connection, url: Url) -> Result<RequestBuilder, String> {
    let extra = connection.extra_object();
    let mut headers = HeaderMap::new();
    let nested = extra.get("headers").and_then(Value::as_object);
    let plain = extra.iter().filter(|(name, _)| !OPTIONS.contains(&name.as_str()));
    for (name, value) in plain.chain(nested.into_iter().flatten()) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (Ok(header), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(text)) else {
            return Err(format!("the extra `{name}` cannot be sent as a header"));
        };
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    let unverified = ["verify", "verify_ssl"].iter().any(|name| extra.get(*name) == Some(&Value::Bool(false)));
    let client =
        Client::builder().redirect(redirect::Policy::none()).tls_danger_accept_invalid_certs(unverified).build();
    let request = client.map_err(|error| deepest(&error))?.get(url).headers(headers);
    Ok(match connection.login.as_deref().filter(|login| !login.is_empty()) {
        Some(login) => request.basic_auth(login, connection.password.as_deref()),
        None => request,
    })
}

/// Airflow's base URL: the host may be a URL, else the schema is its scheme.
fn http_url(connection: &Connection) -> Result<Url, String> {
    let host = host(connection)?;
    let text = if host.contains("://") {
        host.to_owned()
    } else {
        let own = connection.conn_type.to_lowercase();
        let scheme = connection.schema.as_deref().filter(|schema| !schema.is_empty()).unwrap_or(&own);
        format!("{scheme}://{}", bracketed(host))
    };
    let mut url = Url::parse(&text).map_err(|error| format!("the host makes no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the scheme is {}, and only http and https are spoken here", url.scheme()));
    }
    if let Some(port) = port(connection)? {
        url.set_port(Some(port)).map_err(|()| "the host makes no URL".to_owned())?;
    }
    Ok(url)
}

async fn postgres(connection: &Connection) -> Result<String, String> {
    probe::postgres(connection).await?;
    Ok("Connection successfully tested: logged in, and `select 1` was answered".to_owned())
}

async fn tcp(connection: &Connection) -> Result<String, String> {
    let host = host(connection)?;
    let url = host.contains("://").then(|| Url::parse(host).ok()).flatten();
    let known = url.as_ref().and_then(|url| Some((bare(url.host()?), url.port_or_known_default())));
    let (host, own) = known.unwrap_or_else(|| (host.trim_matches(['[', ']']).to_owned(), None));
    let Some(port) = port(connection)?.or(own) else {
        return Err("there is no port to try, and this type is not spoken here".to_owned());
    };
    let place = format!("{}:{port}", bracketed(&host));
    match TcpStream::connect((host, port)).await {
        Ok(_) => Ok(format!("reached {place}; this type is not spoken here")),
        Err(error) => Err(format!("{place} cannot be reached: {error}")),
    }
}

fn host(connection: &Connection) -> Result<&str, String> {
    let host = connection.host.as_deref().map(str::trim).filter(|host| !host.is_empty());
    host.ok_or_else(|| "there is no host to try".to_owned())
}

fn port(connection: &Connection) -> Result<Option<u16>, String> {
    let port = connection.port.filter(|port| *port != 0);
    port.map(|port| u16::try_from(port).map_err(|_| format!("{port} is no port"))).transpose()
}

/// A host and port of a URL, without the login that may stand before them.
fn place(url: &Url) -> String {
    let port = url.port_or_known_default().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}{port}", url.host_str().unwrap_or_default())
}

fn bare(host: Host<&str>) -> String {
    match host {
        Host::Ipv6(address) => address.to_string(),
        other => other.to_string(),
    }
}

/// An IPv6 address as it stands before a port.
fn bracketed(host: &str) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() }
}

/// What is at the bottom of an error: the layers above only say that something below failed.
fn deepest(error: &dyn Error) -> String {
    let mut deepest = error;
    while let Some(below) = deepest.source() {
        deepest = below;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(uri: &str) -> Connection {
        Connection::parse(uri).unwrap()
    }

    #[test]
    fn a_url_is_made_as_airflow_makes_it() {
        let table = [
            ("http://h", "http://h/"),
            ("http://h:81", "http://h:81/"),
            ("http://h:81/https", "https://h:81/"),
            ("http://https://h:8443", "https://h:8443/"),
            ("https://h", "https://h/"),
            ("http://u:p@[::1]:81", "http://[::1]:81/"),
        ];
        for (uri, expected) in table {
            assert_eq!(http_url(&connection(uri)).unwrap().as_str(), expected, "{uri}");
        }
        let message = http_url(&connection("http://h/ftp")).unwrap_err();
        assert_eq!(message, "the scheme is ftp, and only http and https are spoken here");
        assert!(http_url(&connection("http:///")).is_err());
    }

    #[tokio::test]
    async fn what_cannot_be_tried_says_why() {
        let limit = Duration::from_secs(5);
        let told = async |uri: &str| reach(&connection(uri), limit).await.unwrap_err();
        assert_eq!(told("fs://").await, "there is no host to try");
        assert_eq!(told("ssh://h").await, "there is no port to try, and this type is not spoken here");
    }
}
