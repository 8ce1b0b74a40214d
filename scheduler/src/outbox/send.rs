//! One try to send one notice.

use std::time::Duration;

use serde_json::Value;
use updraft_core::{
    dag::CallbackAction,
    mask::Mask,
    notify::{Message, next_try, render},
    spec::TaskSpec,
    template::{Ref, RenderError, Resolved},
};
use updraft_store::{
    Store, StoreError,
    dispatch::Classes,
    outbox::{self, Claimed, Context, Ended, Ready},
    resolve::resolve_for_server,
    versions::DagCache,
};

use super::{Config, email, http, slack};

/// A template may name values that only its earlier values lead to; more rounds than this are a mistake.
const ROUNDS: usize = 20;

/// Why a try did not deliver.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SendError {
    /// Worth another try, `after` at the earliest when the other side said so.
    Temporary { error: String, after: Option<Duration> },
    /// The same notice will never be taken.
    Permanent(String),
}

impl SendError {
    pub(super) fn temporary(error: impl Into<String>) -> Self {
        Self::Temporary { error: error.into(), after: None }
    }

    /// Without secrets: the error is kept with the notice.
    fn masked(self, mask: &Mask) -> Self {
        match self {
            Self::Temporary { error, after } => Self::Temporary { error: mask.apply(&error).into_owned(), after },
            Self::Permanent(error) => Self::Permanent(mask.apply(&error).into_owned()),
        }
    }
}

/// Sends notices. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) store: Store,
    pub(super) dags: DagCache,
    pub(super) config: std::sync::Arc<Config>,
    /// The dispatch classes of callbacks.
    classes: Classes,
    http: reqwest::Client,
}

impl Sender {
    /// # Errors
    /// When the HTTP client cannot be made: the system's certificates cannot be read.
    pub(super) fn new(store: Store, dags: DagCache, config: Config) -> Result<Self, reqwest::Error> {
        let http = http::client(config.timeout)?;
        Ok(Self { store, dags, config: config.into(), classes: Classes::default(), http })
    }

    /// One try; what becomes of the notice.
    pub(super) async fn send(&self, ready: &Ready) -> Ended {
        let spec = match &ready.context {
            Ok(context) => &context.spec,
            Err(error) => return Ended::Failed { error: error.clone() },
        };
        let sent = match tokio::time::timeout(self.config.timeout, self.try_send(&ready.notice, spec)).await {
            Ok(sent) => sent,
            Err(tokio::time::error::Elapsed { .. }) => {
                Err(SendError::temporary(format!("it took longer than {:?}", self.config.timeout)))
            }
        };
        match sent {
            Ok(()) => Ended::Delivered,
            Err(SendError::Permanent(error)) => Ended::Failed { error },
            Err(SendError::Temporary { error, after }) => {
                self.again(ready.notice.tries, ready.notice.age, error, after)
            }
        }
    }

    /// When a notice that could not be sent is tried again, if at all.
    pub(super) fn again(&self, tries: u32, age: Duration, error: String, after: Option<Duration>) -> Ended {
        match next_try(tries, age, self.config.give_up_after) {
            Some(wait) => {
                Ended::Again { after: after.map_or(wait, |after| after.clamp(wait, ASKED_LIMIT.max(wait))), error }
            }
            None => Ended::Failed { error },
        }
    }

    /// Makes a callback work for a node, whose word ends it. `Some`: it could not be done, and what becomes of the notice.
    pub(super) async fn launch(&self, notice: &Claimed, context: &Context) -> Option<Ended> {
        match outbox::launch(&self.store, &self.classes, notice, context).await {
            // Not launched: another scheduler took it meanwhile, its claim counts.
            Ok(_launched) => None,
            Err(error) => {
                Some(self.again(notice.tries, notice.age, format!("it could not be handed on: {error}"), None))
            }
        }
    }

    async fn try_send(&self, notice: &Claimed, spec: &TaskSpec) -> Result<(), SendError> {
        let (message, mask) = self.message(notice, spec).await?;
        let sent = match message {
            Message::Email(message) => email::send(self, notice, &message).await,
            Message::Http(message) => http::send(&self.http, notice.claim.key, &message).await,
            Message::Slack(message) => slack::send(self, &self.http, notice, &message).await,
        };
        // An error may quote an address, and that a token.
        sent.map_err(|error| error.masked(&mask))
    }

    /// The message, and the secrets in it.
    async fn message(&self, notice: &Claimed, spec: &TaskSpec) -> Result<(Message, Mask), SendError> {
        let facts = spec.callback.as_deref().unwrap_or(&notice.facts);
        let mut known: Vec<Ref> = Vec::new();
        let mut resolved = Resolved::default();
        for _ in 0..ROUNDS {
            match render(&notice.action, facts, spec, &resolved) {
                Ok(Some(message)) => return Ok((message, resolved.mask())),
                Ok(None) => return Err(SendError::Permanent("a function is called by a node, not sent".to_owned())),
                Err(RenderError::Failed(wrong)) => return Err(SendError::Permanent(wrong.to_string())),
                Err(RenderError::Missing(missing)) => {
                    known.extend(missing);
                    resolved = self.resolve(notice.dag_run_id, &known).await?;
                }
            }
        }
        Err(SendError::Permanent(format!("the templates still ask for values after {ROUNDS} rounds of fetching them")))
    }

    /// An unreadable secret may become readable: somebody sets the right key.
    async fn resolve(&self, dag_run_id: i64, refs: &[Ref]) -> Result<Resolved, SendError> {
        let read = async {
            let mut connection = self.store.pool().acquire().await?;
            resolve_for_server(&mut connection, self.store.sources(), dag_run_id, refs).await
        };
        read.await.map_err(|error: StoreError| {
            SendError::temporary(format!("what the notice names could not be read: {error}"))
        })
    }

    /// A connection's fields; `None`: there is none of this id.
    pub(super) async fn connection(&self, notice: &Claimed, conn_id: &str) -> Result<Option<Connection>, SendError> {
        let reference = Ref::Connection { conn_id: conn_id.to_owned() };
        let found = self.resolve(notice.dag_run_id, std::slice::from_ref(&reference)).await?;
        Ok(found.value(&reference).cloned().map(Connection))
    }
}

/// A server may ask for a longer wait than ours, up to this.
const ASKED_LIMIT: Duration = Duration::from_secs(3600);

/// A connection as the server keeps it: `host`, `login`, `password`, `port`, `extra`.
pub(super) struct Connection(Value);

impl Connection {
    #[cfg(test)]
    pub(super) fn new(fields: Value) -> Self {
        Self(fields)
    }

    /// A field, if it is set.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    pub(super) fn port(&self) -> Option<u16> {
        u16::try_from(self.0.get("port")?.as_u64()?).ok()
    }

    /// A key of `extra`, which may be kept as text.
    pub(super) fn extra(&self, name: &str) -> Option<Value> {
        let extra = self.0.get("extra")?;
        let parsed = extra.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        parsed.as_ref().unwrap_or(extra).get(name).filter(|value| !value.is_null()).cloned()
    }

    /// A switch of `extra`, as a boolean or as Airflow's forms save it, a text.
    pub(super) fn is_set(&self, name: &str) -> bool {
        match self.extra(name) {
            Some(Value::Bool(set)) => set,
            Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
            _ => false,
        }
    }
}

/// What kind of delivery an action is, for logs and counters.
pub(super) const fn kind(action: &CallbackAction) -> &'static str {
    match action {
        CallbackAction::Email { .. } => "email",
        CallbackAction::Http { .. } => "http",
        CallbackAction::Slack { .. } => "slack",
        CallbackAction::Python { .. } => "python",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_connections_extra_may_be_text_or_an_object() {
        for extra in [json!({"disable_ssl": true, "timeout": 3}), json!("{\"disable_ssl\": \"True\", \"timeout\": 3}")]
        {
            let connection = Connection(json!({"host": " mail ", "password": "", "port": 2525, "extra": extra}));
            assert_eq!(connection.text("host"), Some("mail"));
            assert_eq!(connection.text("password"), None);
            assert_eq!(connection.port(), Some(2525));
            assert!(connection.is_set("disable_ssl"));
            assert!(!connection.is_set("disable_tls"));
            assert_eq!(connection.extra("timeout"), Some(json!(3)));
        }
    }
}
