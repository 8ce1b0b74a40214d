//! What sending notices needs to know.

use std::time::Duration;

use secrecy::SecretString;

/// How notices are sent.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server for emails that name no connection; `None`: the connection `smtp_default`.
    pub smtp: Option<Smtp>,
    /// A try that takes longer has failed.
    pub timeout: Duration,
    /// How long a notice is tried before it has failed.
    pub give_up_after: Duration,
    /// How long ended notices are kept.
    pub keep: Duration,
    /// The dashboard's address, for links: `https://updraft.example.org`.
    pub base_url: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            smtp: None,
            timeout: Duration::from_secs(30),
            give_up_after: Duration::from_hours(24),
            keep: Duration::from_hours(24 * 30),
            base_url: None,
        }
    }
}

impl Config {
    /// How long a claim holds: nobody else tries a notice while a living scheduler may still be at it.
    pub(super) fn lease(&self) -> Duration {
        self.timeout * 2
    }
}

/// An SMTP server.
#[derive(Clone, Debug)]
pub struct Smtp {
    pub host: String,
    /// `None`: 465 with [`SmtpTls::Always`], else 25.
    pub port: Option<u16>,
    pub user: Option<String>,
    pub password: Option<SecretString>,
    pub tls: SmtpTls,
    /// The sender of emails that name none.
    pub mail_from: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    Off,
    /// Plain first, then STARTTLS, which the server must offer.
    StartTls,
    /// From the first byte (`smtps`).
    Always,
}
