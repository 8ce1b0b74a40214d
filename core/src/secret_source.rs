//! Where an environment variable under `secrets:` comes from. The server answers [`SecretSource::reference`]; the node picks
//! the part, reads its own environment and files.

use std::{fmt, str::FromStr};

use serde_json::Value;

use crate::{connection::Connection, template::Ref};

/// One source, as a DAG file writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// `variable:key`
    Variable { key: String },
    /// `connection:id.part`; an id may hold dots.
    Connection { conn_id: String, part: ConnectionPart },
    /// `env:NAME` of the node.
    Env(String),
    /// `file:/path` on the node.
    File(String),
}

/// What of a connection is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionPart {
    Password,
    Login,
    Host,
    Uri,
    /// `extra.key`
    Extra(String),
}

/// A text that names no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret comes from `variable:key`, `connection:id.password` (or `.login`, `.host`, `.uri`, `.extra.key`), `env:NAME` or \
     `file:/path`"
)]
pub struct UnknownSource;

impl FromStr for SecretSource {
    type Err = UnknownSource;

    fn from_str(text: &str) -> Result<Self, UnknownSource> {
        let (kind, rest) = text.split_once(':').ok_or(UnknownSource)?;
        if rest.is_empty() {
            return Err(UnknownSource);
        }
        match kind {
            "variable" => Ok(Self::Variable { key: rest.to_owned() }),
            "connection" => connection(rest).ok_or(UnknownSource),
            "env" => Ok(Self::Env(rest.to_owned())),
            "file" if rest.starts_with('/') => Ok(Self::File(rest.to_owned())),
            _ => Err(UnknownSource),
        }
    }
}

fn connection(text: &str) -> Option<SecretSource> {
    use ConnectionPart::{Extra, Host, Login, Password, Uri};
    // The last `.extra.` first: an id may be called `a.extra`, and a key of extra `password`.
    let (conn_id, part) = match text.rsplit_once(".extra.") {
        Some((conn_id, key)) if !key.is_empty() => (conn_id, Extra(key.to_owned())),
        _ => {
            let (conn_id, part) = text.rsplit_once('.')?;
            let part = match part {
                "password" => Password,
                "login" => Login,
                "host" => Host,
                "uri" => Uri,
                _ => return None,
            };
            (conn_id, part)
        }
    };
    (!conn_id.is_empty()).then(|| SecretSource::Connection { conn_id: conn_id.to_owned(), part })
}

impl SecretSource {
    /// What to ask the server for; `None`: the node has it.
    pub fn reference(&self) -> Option<Ref> {
        match self {
            Self::Variable { key } => Some(Ref::Variable { key: key.clone() }),
            Self::Connection { conn_id, .. } => Some(Ref::Connection { conn_id: conn_id.clone() }),
            Self::Env(_) | Self::File(_) => None,
        }
    }

    /// The text, out of the server's answer to [`Self::reference`]; `None` when the connection has no such part.
    pub fn pick(&self, answer: &Value) -> Option<String> {
        match self {
            Self::Variable { .. } => Some(text_of(answer)),
            Self::Connection { part, .. } => {
                let connection: Connection = serde_json::from_value(answer.clone()).ok()?;
                match part {
                    ConnectionPart::Password => connection.password,
                    ConnectionPart::Login => connection.login,
                    ConnectionPart::Host => connection.host,
                    ConnectionPart::Uri => Some(connection.uri()),
                    ConnectionPart::Extra(key) => connection.extra_object().get(key).map(text_of),
                }
            }
            Self::Env(_) | Self::File(_) => None,
        }
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// As a DAG file writes it.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable { key } => write!(f, "variable:{key}"),
            Self::Connection { conn_id, part } => match part {
                ConnectionPart::Password => write!(f, "connection:{conn_id}.password"),
                ConnectionPart::Login => write!(f, "connection:{conn_id}.login"),
                ConnectionPart::Host => write!(f, "connection:{conn_id}.host"),
                ConnectionPart::Uri => write!(f, "connection:{conn_id}.uri"),
                ConnectionPart::Extra(key) => write!(f, "connection:{conn_id}.extra.{key}"),
            },
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_source_is_read_and_written_back() {
        let texts = [
            "variable:api.key",
            "connection:my.db.password",
            "connection:db.login",
            "connection:db.host",
            "connection:db.uri",
            "connection:db.extra.password",
            "env:HOME",
            "file:/run/secrets/x:y",
        ];
        for text in texts {
            assert_eq!(text.parse::<SecretSource>().unwrap().to_string(), text);
        }
        for text in [
            "hunter2",
            "variable:",
            "connection:db",
            "connection:.password",
            "connection:db.port",
            "file:x",
            "vault:x",
            "",
        ] {
            assert_eq!(text.parse::<SecretSource>(), Err(UnknownSource), "{text}");
        }
    }

    #[test]
    fn the_part_is_picked_out_of_the_servers_answer() {
        let answer = json!({"conn_type": "http", "host": "h", "login": "me", "password": "p@ss", "port": 80,
                            "extra": "{\"key\": \"k1\", \"n\": 3}"});
        let pick = |text: &str| text.parse::<SecretSource>().unwrap().pick(&answer);
        assert_eq!(pick("connection:c.password").as_deref(), Some("p@ss"));
        assert_eq!(
            pick("connection:c.uri").as_deref(),
            Some("http://me:p%40ss@h:80/?__extra__=%7B%22key%22%3A+%22k1%22%2C+%22n%22%3A+3%7D")
        );
        assert_eq!(pick("connection:c.extra.key").as_deref(), Some("k1"));
        assert_eq!(pick("connection:c.extra.n").as_deref(), Some("3"));
        assert_eq!(pick("connection:c.extra.other"), None);
        assert_eq!("variable:k".parse::<SecretSource>().unwrap().pick(&json!("text")).as_deref(), Some("text"));
        assert_eq!("env:HOME".parse::<SecretSource>().unwrap().reference(), None);
    }
}
