//! What happens beside a task or run when its state changes: `on_*_callback` in every form, the native `on_execute`,
//! `on_failure`, `on_success` and `on_retry`, and `email`.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::{
    Context,
    node::{Entry, Mapping, Mark, Node},
    object::{Family, object},
    suggest::did_you_mean,
};
use crate::dag::{Callback, CallbackAction, CallbackEvent};

/// Callbacks of a task; `…_name` and `…_file` belong to each.
pub(super) const CALLBACKS: &[(&str, CallbackEvent)] = &[
    ("on_execute_callback", CallbackEvent::Execute),
    ("on_success_callback", CallbackEvent::Success),
    ("on_failure_callback", CallbackEvent::Failure),
    ("on_retry_callback", CallbackEvent::Retry),
    ("on_skipped_callback", CallbackEvent::Skipped),
];

/// The native notifications of a task.
pub(super) const NOTIFICATIONS: &[(&str, CallbackEvent)] = &[
    ("on_execute", CallbackEvent::Execute),
    ("on_failure", CallbackEvent::Failure),
    ("on_success", CallbackEvent::Success),
    ("on_retry", CallbackEvent::Retry),
];

/// Those of them that a DAG has, for its runs.
pub(super) const OF_RUNS: &[CallbackEvent] = &[CallbackEvent::Success, CallbackEvent::Failure];
/// All, for tasks.
pub(super) const OF_TASKS: &[CallbackEvent] = &[
    CallbackEvent::Execute,
    CallbackEvent::Success,
    CallbackEvent::Failure,
    CallbackEvent::Retry,
    CallbackEvent::Skipped,
];

/// The ways to say something to somebody, as a native list or a deadline names them.
pub(super) const SENDERS: &[&str] = &["email", "http", "slack"];

/// The callback a key belongs to (`on_failure_callback_name` → `on_failure_callback`).
pub(super) fn callback_of(key: &str) -> Option<&'static str> {
    CALLBACKS
        .iter()
        .map(|(callback, _)| *callback)
        .find(|callback| key.strip_prefix(callback).is_some_and(|rest| matches!(rest, "" | "_name" | "_file")))
}

/// Whether a key is one of the native notifications.
pub(super) fn is_notification(key: &str) -> bool {
    NOTIFICATIONS.iter().any(|(name, _)| *name == key)
}

/// A callable as a file names it, with its arguments.
struct Named<'n> {
    path: &'n str,
    mark: Mark,
    arguments: Vec<(&'n str, Mark, &'n Node)>,
}

impl<'n> Named<'n> {
    fn argument(&self, name: &str) -> Option<&'n Node> {
        self.arguments.iter().find(|(key, ..)| *key == name).map(|(.., node)| *node)
    }
}

impl Context<'_> {
    /// The callbacks for `events` among the keys that `get` finds, in the order of events.
    pub(super) fn callbacks<'n>(
        &self,
        events: &[CallbackEvent],
        get: &dyn Fn(&str) -> Option<&'n Entry>,
    ) -> Vec<Callback> {
        let mut callbacks = Vec::new();
        let wanted = |event: &CallbackEvent| events.contains(event);
        for (key, on) in CALLBACKS.iter().filter(|(_, event)| wanted(event)) {
            let actions = self.callback(key, get);
            callbacks.extend(actions.into_iter().map(|action| Callback { on: *on, action }));
        }
        for (key, on) in NOTIFICATIONS.iter().filter(|(_, event)| wanted(event)) {
            if let Some(entry) = get(key) {
                let actions = self.notifications(key, &entry.value);
                callbacks.extend(actions.into_iter().map(|action| Callback { on: *on, action }));
            }
        }
        callbacks
    }

    /// One `on_*_callback`, in any of its forms.
    fn callback<'n>(&self, key: &str, get: &dyn Fn(&str) -> Option<&'n Entry>) -> Vec<CallbackAction> {
        match (get(key), get(&format!("{key}_name")), get(&format!("{key}_file"))) {
            (Some(entry), ..) => self.callback_value(key, &entry.value),
            (None, Some(name), file) => {
                let Some(callable) = self.text(key, &name.value) else { return Vec::new() };
                let path = file.and_then(|file| Some((self.text(key, &file.value)?, file.value.mark)));
                let file = path.map(|(path, mark)| self.python_file(&path, mark, &callable, name.value.mark));
                vec![CallbackAction::Python { callable, file, kwargs: Map::new() }]
            }
            (None, None, Some(file)) => {
                let message = format!("`{key}_file` needs `{key}_name` beside it");
                let help = format!("add `{key}_name: function`");
                self.findings.error_help("missing_argument", file.key, message, Some(help));
                Vec::new()
            }
            (None, None, None) => Vec::new(),
        }
    }

    pub(super) fn callback_value(&self, key: &str, node: &Node) -> Vec<CallbackAction> {
        if node.is_null() {
            return Vec::new();
        }
        if let Some(items) = self.items(node) {
            return items.iter().flat_map(|item| self.callback_value(key, item)).collect();
        }
        if let Some(path) = node.as_text() {
            return self.called(&Named { path, mark: node.mark, arguments: Vec::new() }).into_iter().collect();
        }
        if let Some(found) = object(node) {
            if found.family() != Some(Family::Notifier) {
                self.unfit_object(key, &found, "a callback");
                return Vec::new();
            }
            let named = Named { path: found.path, mark: found.path_mark, arguments: found.kwargs };
            return self.called(&named).into_iter().collect();
        }
        let entries = node.as_mapping();
        let Some(path) = entries.and_then(|entries| entries.get("callback")) else {
            let help = "write an import path, or `{callback: path, argument: value}`".to_owned();
            self.findings.error_help("missing_argument", node.mark, format!("`{key}` needs a `callback`"), Some(help));
            return Vec::new();
        };
        let Some(text) = path.value.as_text() else {
            self.wrong_type("callback", &path.value, "an import path");
            return Vec::new();
        };
        let arguments = entries
            .into_iter()
            .flatten()
            .filter(|(key, _)| &***key != "callback")
            .map(|(key, entry)| (&**key, entry.key, &entry.value))
            .collect();
        self.called(&Named { path: text, mark: path.value.mark, arguments }).into_iter().collect()
    }

    /// A notifier that the server sends itself, or a function of the DAG's code.
    fn called(&self, named: &Named<'_>) -> Option<CallbackAction> {
        let module = named.path.rsplit_once('.').map_or("", |(module, _)| module);
        if module.starts_with("airflow.providers.smtp.notifications") {
            return self.smtp(named);
        }
        if module.starts_with("airflow.providers.slack.notifications") {
            return self.slack_notifier(named, module.ends_with("slack_webhook"));
        }
        if module.starts_with("airflow.providers.") && module.contains(".notifications") {
            self.findings.warning_help(
                "without_effect",
                named.mark,
                format!("`{}` is not sent by this server", named.path),
                Some("it sends email and Slack messages, and calls URLs: `on_failure: [{http: …}]`".to_owned()),
            );
            return None;
        }
        if !named.path.contains('.') {
            let help = Some("write `package.module.function`, or `…_name` and `…_file`".to_owned());
            let message = format!("`{}` is no import path", named.path);
            self.findings.error_help("invalid_value", named.mark, message, help);
            return None;
        }
        let kwargs =
            named.arguments.iter().filter_map(|(name, _, node)| Some(((*name).to_owned(), self.json(node)?))).collect();
        Some(CallbackAction::Python { callable: named.path.to_owned(), file: None, kwargs })
    }

    /// Warns of arguments of a notifier that are not sent.
    fn unsent(&self, named: &Named<'_>, sent: &[&str]) {
        for (name, mark, _) in named.arguments.iter().filter(|(name, ..)| !sent.contains(name)) {
            self.without_effect(*mark, &format!("`{name}` of `{}`", named.path));
        }
    }

    fn smtp(&self, named: &Named<'_>) -> Option<CallbackAction> {
        self.unsent(named, &["to", "subject", "html_content", "from_email", "smtp_conn_id"]);
        let text = |name: &str| named.argument(name).and_then(|node| self.text(name, node));
        let to = named.argument("to").map(|node| self.addresses("to", node)).unwrap_or_default();
        if to.is_empty() {
            let message = format!("`{}` needs the argument `to`", named.path);
            self.findings.error("missing_argument", named.mark, message);
            return None;
        }
        Some(CallbackAction::Email {
            to,
            subject: text("subject"),
            body: text("html_content"),
            from: text("from_email"),
            conn_id: text("smtp_conn_id"),
        })
    }

    fn slack_notifier(&self, named: &Named<'_>, webhook: bool) -> Option<CallbackAction> {
        let (conn, default) =
            if webhook { ("slack_webhook_conn_id", "slack_default") } else { ("slack_conn_id", "slack_api_default") };
        self.unsent(named, &[conn, "text", "channel"]);
        let text = |name: &str| named.argument(name).and_then(|node| self.text(name, node));
        let Some(message) = text("text") else {
            let message = format!("`{}` needs the argument `text`", named.path);
            self.findings.error("missing_argument", named.mark, message);
            return None;
        };
        let channel = text("channel").or_else(|| (!webhook).then(|| "#general".to_owned()));
        Some(CallbackAction::Slack {
            conn_id: text(conn).unwrap_or_else(|| default.to_owned()),
            channel,
            text: message,
        })
    }

    /// A native list; one alone needs no list.
    fn notifications(&self, key: &str, node: &Node) -> Vec<CallbackAction> {
        let items = match self.items(node) {
            Some(items) => items,
            None if node.is_null() => &[],
            None => std::slice::from_ref(node),
        };
        items.iter().filter_map(|item| self.notification(key, item)).collect()
    }

    fn notification(&self, key: &str, item: &Node) -> Option<CallbackAction> {
        let forms = "`email: address`, `http: url` or `slack: {conn_id, text}`";
        let Some(entries) = item.as_mapping() else {
            self.wrong_type_help(key, item, "a list of messages", Some(format!("write {forms}")));
            return None;
        };
        if let Some((other, entry)) = entries.iter().find(|(name, _)| !SENDERS.contains(&&***name)) {
            let help = did_you_mean(other, SENDERS.iter().copied()).unwrap_or_else(|| format!("write {forms}"));
            let message = format!("`{key}` cannot send by `{other}`");
            self.findings.error_help("unknown_argument", entry.key, message, Some(help));
            return None;
        }
        let mut senders = entries.iter();
        let (Some((name, entry)), None) = (senders.next(), senders.next()) else {
            let help = "write each as an item of its own".to_owned();
            let message = format!("every item of `{key}` says one way to send");
            self.findings.error_help("conflicting_keys", item.mark, message, Some(help));
            return None;
        };
        self.sender(name, entry)
    }

    /// `email:`, `http:` or `slack:` with its value.
    pub(super) fn sender(&self, name: &str, entry: &Entry) -> Option<CallbackAction> {
        match name {
            "email" => self.email_sender(entry),
            "http" => self.http_sender(entry),
            _ => self.slack_sender(entry),
        }
    }

    fn email_sender(&self, Entry { key, value }: &Entry) -> Option<CallbackAction> {
        let Some(fields) = value.as_mapping() else {
            let to = self.addresses("email", value);
            if to.is_empty() {
                self.needs(*key, "email", "to");
                return None;
            }
            return Some(CallbackAction::Email { to, subject: None, body: None, from: None, conn_id: None });
        };
        self.only("email", fields, &["to", "subject", "body", "html_content", "from", "from_email", "conn_id"]);
        let text = |name: &str| fields.get(name).and_then(|entry| self.text(name, &entry.value));
        let to = fields.get("to").map(|entry| self.addresses("to", &entry.value)).unwrap_or_default();
        if to.is_empty() {
            self.needs(*key, "email", "to");
            return None;
        }
        Some(CallbackAction::Email {
            to,
            subject: text("subject"),
            body: text("body").or_else(|| text("html_content")),
            from: text("from").or_else(|| text("from_email")),
            conn_id: text("conn_id"),
        })
    }

    fn http_sender(&self, Entry { key, value }: &Entry) -> Option<CallbackAction> {
        let method = "POST".to_owned();
        let Some(fields) = value.as_mapping() else {
            let Some(url) = self.text("http", value) else {
                self.needs(*key, "http", "url");
                return None;
            };
            return Some(CallbackAction::Http { url, method, json: Value::Null, headers: IndexMap::new() });
        };
        self.only("http", fields, &["url", "method", "json", "headers"]);
        let get = |name: &str| fields.get(name).map(|entry| &entry.value);
        let Some(url) = get("url").and_then(|node| self.text("url", node)) else {
            self.needs(*key, "http", "url");
            return None;
        };
        let method = get("method").and_then(|node| self.text("method", node)).map_or(method, |m| m.to_uppercase());
        let headers = get("headers").and_then(|node| self.text_map("headers", node)).unwrap_or_default();
        Some(CallbackAction::Http {
            url,
            method,
            json: get("json").and_then(|node| self.json(node)).unwrap_or_default(),
            headers: headers.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect(),
        })
    }

    fn slack_sender(&self, Entry { key, value }: &Entry) -> Option<CallbackAction> {
        let fields = self.mapping("slack", value)?;
        self.only("slack", fields, &["conn_id", "channel", "text"]);
        let text = |name: &str| fields.get(name).and_then(|entry| self.text(name, &entry.value));
        for name in ["conn_id", "text"] {
            if text(name).is_none() {
                self.needs(*key, "slack", name);
                return None;
            }
        }
        Some(CallbackAction::Slack { conn_id: text("conn_id")?, channel: text("channel"), text: text("text")? })
    }

    fn needs(&self, key: Mark, sender: &str, name: &str) {
        let message = format!("`{sender}` needs `{name}`");
        self.findings.error_help("missing_argument", key, message, Some(format!("add `{name}: …`")));
    }

    fn only(&self, sender: &str, fields: &Mapping, known: &[&str]) {
        for (name, entry) in fields.iter().filter(|(name, _)| !known.contains(&&***name)) {
            let help =
                did_you_mean(name, known.iter().copied()).unwrap_or_else(|| format!("it takes {}", known.join(", ")));
            let message = format!("`{sender}` takes no `{name}`");
            self.findings.error_help("unknown_argument", entry.key, message, Some(help));
        }
    }

    /// Mail addresses: a list, or text with `,` or `;` between them, as in Airflow.
    pub(super) fn addresses(&self, key: &str, node: &Node) -> Vec<String> {
        let texts = match self.items(node) {
            Some(_) => self.texts(key, node).unwrap_or_default(),
            None => self.text(key, node).into_iter().collect(),
        };
        let mut addresses = Vec::new();
        for text in texts {
            if text.contains("{{") {
                addresses.push(text);
            } else {
                let words = text.split([',', ';']).map(str::trim).filter(|word| !word.is_empty());
                addresses.extend(words.map(str::to_owned));
            }
        }
        addresses
    }
}
