//! The one error type of the store.

use thiserror::Error;

/// What can go wrong between a caller and Postgres, by what the caller can do about it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The server cannot be reached, is starting, shutting down or in recovery, or the connection broke: try again later.
    #[error("Postgres is not available: {0}")]
    Unavailable(String),
    /// The commit was sent and its outcome is unknown: forget what was cached and read again.
    #[error("the outcome of a commit is unknown: {0}")]
    UnknownOutcome(String),
    /// A lock or a statement took longer than its deadline: try again.
    #[error("Postgres did not answer in time: {0}")]
    Timeout(String),
    /// A named constraint was violated.
    #[error("constraint `{constraint}` is violated: {message}")]
    Constraint { constraint: String, message: String },
    /// The schema is not what this binary needs.
    #[error("{0}")]
    Schema(String),
    /// A row that must exist under the held lock does not, or an update hit other rows than it named: a bug; reload.
    #[error("state changed under its lock: {0}")]
    Inconsistent(String),
    /// Stored data that this binary cannot read.
    #[error("stored data cannot be read: {0}")]
    Data(String),
    /// A variable or connection that cannot be encrypted, decrypted or read: the text names it and what to set, and holds no
    /// secret.
    #[error("{0}")]
    Secret(String),
    /// A value that no column can hold: text with the character NUL, alone or inside JSON. Callers refuse it before; this is
    /// the last line.
    #[error("Postgres cannot store this text: {0}")]
    Unstorable(String),
    /// Anything else the database said.
    #[error("database error: {0}")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::UnknownOutcome(_) | Self::Timeout(_) | Self::Inconsistent(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) => {
                Self::Unavailable(error.to_string())
            }
            sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                match &*code {
                    // 57P01..3: shutdown, crash, starting up; 08xxx: connection; 53300: too many connections; 25006: read-only (recovery).
                    "57P01" | "57P02" | "57P03" | "53300" | "25006" => Self::Unavailable(database.to_string()),
                    _ if code.starts_with("08") => Self::Unavailable(database.to_string()),
                    // lock_timeout, statement_timeout, idle_in_transaction, deadlock, serialization.
                    "55P03" | "57014" | "25P03" | "40P01" | "40001" => Self::Timeout(database.to_string()),
                    // character_not_in_repertoire: NUL in a text; untranslatable_character: `\u0000` in JSON.
                    "22021" | "22P05" => Self::Unstorable(database.to_string()),
                    _ => match database.constraint() {
                        Some(constraint) => {
                            Self::Constraint { constraint: constraint.to_owned(), message: database.to_string() }
                        }
                        None => Self::Database(error),
                    },
                }
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Data(error.to_string()),
            _ => Self::Database(error),
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Data(error.to_string())
    }
}
