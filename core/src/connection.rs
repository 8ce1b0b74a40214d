//! A connection: how to reach another system, and its two text forms (Airflow 3: `models/connection.py`).

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What Python's `urllib.parse.quote(…, safe="")` encodes.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The query key under which an `extra` travels that is no flat mapping of texts.
const EXTRA_KEY: &str = "__extra__";

/// The fields of a connection. Its JSON is what templates get of it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    pub conn_type: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub schema: Option<String>,
    #[serde(default)]
    pub login: Option<String>,
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub port: Option<i32>,
    /// Usually JSON, in a text.
    #[serde(default)]
    pub extra: Option<String>,
}

/// Why a text is no connection. Never quotes the text: it holds a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    #[error("it is neither a JSON object nor a URI like postgres://login:password@host:5432/schema")]
    Shape,
    #[error("it is not JSON (line {line}, column {column})")]
    Json { line: usize, column: usize },
    #[error("there is no field `{0}` in a connection")]
    UnknownField(String),
    #[error("`{field}` is not {expected}")]
    Field { field: &'static str, expected: &'static str },
}

impl Connection {
    /// Reads Airflow's environment form: a JSON object when it begins with `{`, else a URI.
    pub fn parse(text: &str) -> Result<Self, ConnectionError> {
        if text.trim_start().starts_with('{') { Self::from_json(text) } else { Self::from_uri(text) }
    }

    fn from_json(text: &str) -> Result<Self, ConnectionError> {
        let fields: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| ConnectionError::Json { line: error.line(), column: error.column() })?;
        let mut connection = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "conn_type" => connection.conn_type = normal_type(&text_of("conn_type", value)?.unwrap_or_default()),
                "description" => connection.description = text_of("description", value)?,
                "host" => connection.host = text_of("host", value)?,
                "schema" => connection.schema = text_of("schema", value)?,
                "login" => connection.login = text_of("login", value)?,
                "password" => connection.password = text_of("password", value)?,
                "port" => connection.port = port_of(&value)?,
                "extra" => connection.extra = extra_of(value),
                _ => return Err(ConnectionError::UnknownField(name)),
            }
        }
        Ok(connection)
    }

    fn from_uri(uri: &str) -> Result<Self, ConnectionError> {
        let (scheme, rest) = uri.split_once("://").ok_or(ConnectionError::Shape)?;
        if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c)) {
            return Err(ConnectionError::Shape);
        }
        // `http://https://login@host`: the host's own protocol is kept with it.
        let (protocol, rest) = match rest.split_once("://") {
            Some((protocol, _)) if protocol.contains(['@', ':', '?']) => (None, rest),
            Some((protocol, rest)) => (Some(protocol), rest),
            None => (None, rest),
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
        let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        let (login, password) = match user {
            Some(user) => {
                user.split_once(':').map_or((Some(user), None), |(login, password)| (Some(login), Some(password)))
            }
            None => (None, None),
        };
        let (host, port) = split_port(place)?;
        let host = decoded(host);
        let host = match protocol {
            Some(protocol) if !host.is_empty() => Some(format!("{protocol}://{host}")),
            _ => Some(host).filter(|host| !host.is_empty()),
        };
        Ok(Self {
            conn_type: normal_type(scheme),
            description: None,
            host,
            schema: Some(decoded(path)).filter(|schema| !schema.is_empty()),
            login: login.map(decoded).filter(|login| !login.is_empty()),
            password: password.map(decoded),
            port,
            extra: query.filter(|query| !query.is_empty()).map(extra_of_query),
        })
    }

    /// The URI form (Airflow's `get_uri`), which [`Connection::parse`] reads back.
    pub fn uri(&self) -> String {
        let mut uri = match self.conn_type.as_str() {
            "" => "//".to_owned(),
            conn_type => format!("{}://", conn_type.to_lowercase().replace('_', "-")),
        };
        let (protocol, host) = match self.host.as_deref().unwrap_or_default() {
            host if host.contains("://") => host.split_once("://").unwrap_or(("", host)),
            host => ("", host),
        };
        if !protocol.is_empty() {
            uri.push_str(protocol);
            uri.push_str("://");
        }
        let mut authority = self.login.as_deref().map(quoted).unwrap_or_default();
        if let Some(password) = &self.password {
            authority.push(':');
            authority.push_str(&quoted(password));
        }
        if !authority.is_empty() {
            authority.push('@');
        }
        let host = quoted(host);
        uri.push_str(&authority);
        uri.push_str(&host);
        if let Some(port) = self.port.filter(|port| *port != 0) {
            if authority.is_empty() && host.is_empty() {
                uri.push('@');
            }
            uri.push_str(&format!(":{port}"));
        }
        let schema = self.schema.as_deref().filter(|schema| !schema.is_empty());
        if let Some(schema) = schema {
            uri.push('/');
            uri.push_str(&quoted(schema));
        }
        if let Some(extra) = self.extra.as_deref().filter(|extra| !extra.is_empty()) {
            uri.push_str(if schema.is_some() { "?" } else { "/?" });
            uri.push_str(&query_of_extra(extra));
        }
        uri
    }

    /// `extra` as an object; empty when it is none.
    pub fn extra_object(&self) -> Map<String, Value> {
        self.extra.as_deref().and_then(|extra| serde_json::from_str(extra).ok()).unwrap_or_default()
    }
}

/// Shows no secret.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("conn_type", &self.conn_type)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// Airflow's name of a type: `postgresql` is `postgres`, and a provider's dashes are underscores.
fn normal_type(conn_type: &str) -> String {
    let conn_type = conn_type.to_lowercase();
    if conn_type == "postgresql" { "postgres".to_owned() } else { conn_type.replace('-', "_") }
}

fn text_of(field: &'static str, value: Value) -> Result<Option<String>, ConnectionError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(ConnectionError::Field { field, expected: "a text" }),
    }
}

fn port_of(value: &Value) -> Result<Option<i32>, ConnectionError> {
    let number = match value {
        Value::Null => return Ok(None),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    let port = number.filter(|port| (0..=65_535).contains(port)).map(|port| port as i32);
    port.map(Some).ok_or(ConnectionError::Field { field: "port", expected: "a number up to 65535" })
}

fn extra_of(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}

/// `host`, `host:port`, `[v6]:port`, `:port`.
fn split_port(place: &str) -> Result<(&str, Option<i32>), ConnectionError> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, after)) => (host, after.strip_prefix(':').unwrap_or_default()),
        None => place.rsplit_once(':').unwrap_or((place, "")),
    };
    Ok((host, port_of(&Value::from(port))?))
}

fn extra_of_query(query: &str) -> String {
    let pairs: Map<String, Value> = form_urlencoded::parse(query.as_bytes())
        .map(|(key, value)| (key.into_owned(), value.into_owned().into()))
        .collect();
    match pairs.get(EXTRA_KEY) {
        Some(Value::String(extra)) => extra.clone(),
        _ => Value::Object(pairs).to_string(),
    }
}

/// A flat mapping of texts is a query; anything else travels whole.
fn query_of_extra(extra: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    match serde_json::from_str::<Map<String, Value>>(extra) {
        Ok(pairs) if !pairs.is_empty() && pairs.values().all(Value::is_string) => {
            query.extend_pairs(pairs.iter().map(|(key, value)| (key, value.as_str().unwrap_or_default())));
        }
        _ => {
            query.append_pair(EXTRA_KEY, extra);
        }
    }
    query.finish()
}

fn quoted(text: &str) -> String {
    utf8_percent_encode(text, QUOTED).to_string()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(text: &str) -> Value {
        serde_json::to_value(Connection::parse(text).unwrap()).unwrap()
    }

    /// Airflow's own cases (`tests/always/test_connection.py`).
    #[test]
    fn uris_are_read_as_airflow_reads_them() {
        let cases = [
            (
                "scheme://user:password@host%2Flocation:1234/schema",
                json!({"conn_type": "scheme", "host": "host/location", "schema": "schema", "login": "user",
                       "password": "password", "port": 1234}),
            ),
            (
                "scheme://user:password@host%2Flocation:1234/schema?extra1=a%20value&extra2=%2Fpath%2F",
                json!({"conn_type": "scheme", "host": "host/location", "schema": "schema", "login": "user",
                       "password": "password", "port": 1234, "extra": "{\"extra1\":\"a value\",\"extra2\":\"/path/\"}"}),
            ),
            (
                "scheme://user:password@host%2Flocation:1234/schema?__extra__=%7B%22my_val%22%3A+%5B%22list%22%5D%7D",
                json!({"conn_type": "scheme", "host": "host/location", "schema": "schema", "login": "user",
                       "password": "password", "port": 1234, "extra": "{\"my_val\": [\"list\"]}"}),
            ),
            (
                "google-cloud-platform://?key_path=%2Fkeys%2Fkey.json",
                json!({"conn_type": "google_cloud_platform", "extra": "{\"key_path\":\"/keys/key.json\"}"}),
            ),
            ("scheme://host%2Flocation:1234", json!({"conn_type": "scheme", "host": "host/location", "port": 1234})),
            ("scheme://%2FTmP%2F:1234", json!({"conn_type": "scheme", "host": "/TmP/", "port": 1234})),
            ("scheme:///schema", json!({"conn_type": "scheme", "schema": "schema"})),
            ("scheme://@:1234", json!({"conn_type": "scheme", "port": 1234})),
            (
                "scheme://:password@host:80/",
                json!({"conn_type": "scheme", "host": "host", "password": "password", "port": 80}),
            ),
            (
                "http://https://user:pa%40ss@example.com:443",
                json!({"conn_type": "http", "host": "https://example.com", "login": "user", "password": "pa@ss", "port": 443}),
            ),
            ("postgresql://h", json!({"conn_type": "postgres", "host": "h"})),
            ("scheme://user@[::1]:22", json!({"conn_type": "scheme", "host": "::1", "login": "user", "port": 22})),
        ];
        for (uri, expected) in cases {
            let mut found = fields(uri);
            found.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            assert_eq!(found, expected, "{uri}");
        }
    }

    #[test]
    fn json_is_read_as_airflow_reads_it() {
        let found =
            fields(r#"{"conn_type": "my-type", "port": "5432", "extra": {"a": [1]}, "login": "me", "host": null}"#);
        let expected = json!({"conn_type": "my_type", "description": null, "host": null, "schema": null, "login": "me",
                              "password": null, "port": 5432, "extra": "{\"a\":[1]}"});
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_written_as_a_uri_is_read_back() {
        let cases = [
            "scheme://user:pass%2Fword@host%2Flocation:1234/sche%20ma?extra1=a+value",
            "http://https://user:pa%40ss@example.com:443",
            "scheme://@:1234",
            "scheme://host/?__extra__=%7B%22n%22%3A1%7D",
        ];
        for uri in cases {
            let connection = Connection::parse(uri).unwrap();
            assert_eq!(connection.uri(), uri);
            assert_eq!(Connection::parse(&connection.uri()).unwrap(), connection);
        }
    }

    #[test]
    fn what_is_wrong_is_named_without_the_secret() {
        let cases = [
            ("hunter2", ConnectionError::Shape),
            ("://hunter2", ConnectionError::Shape),
            (r#"{"password": "hunter2""#, ConnectionError::Json { line: 1, column: 22 }),
            (r#"{"passwort": "hunter2"}"#, ConnectionError::UnknownField("passwort".to_owned())),
            (r#"{"port": "hunter2"}"#, ConnectionError::Field { field: "port", expected: "a number up to 65535" }),
            ("a://b:hunter2", ConnectionError::Field { field: "port", expected: "a number up to 65535" }),
        ];
        for (text, expected) in cases {
            let error = Connection::parse(text).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("hunter2"));
        }
        let connection = Connection::parse("a://b:hunter2@c").unwrap();
        assert!(!format!("{connection:?}").contains("hunter2"));
    }
}
