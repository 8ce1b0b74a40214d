//! `updraft config show` and the reference page made of the default file.

use figment::{Figment, value::Value};
use serde::Serialize;
use updraft_webserver::Source;

use super::{
    Loaded,
    layers::{COMMAND_LINE, DEFAULTS, ENVIRONMENT_VARIABLE, Layer},
};

/// One effective value.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) key: String,
    /// As TOML; secrets as `***`.
    pub(crate) value: String,
    /// The same as a person writes it: a text without its quotes.
    #[serde(skip)]
    pub(crate) plain: String,
    /// `default`, a file, an environment variable or `command line`.
    pub(crate) source: String,
    /// The default value as a person writes it.
    #[serde(skip)]
    pub(crate) default: String,
}

const DEFAULT: &str = "default";
const DEFAULT_LAYER: &str = "the default configuration";

impl Row {
    /// Where the value is from, and the name of the file or of the environment variable.
    pub(crate) fn origin(&self) -> (Source, Option<String>) {
        let variable = self.source.strip_prefix(ENVIRONMENT_VARIABLE);
        match (self.source.as_str(), variable) {
            (DEFAULT, _) => (Source::Default, None),
            (COMMAND_LINE, _) => (Source::Flag, None),
            (_, Some(name)) => (Source::Environment, Some(name.to_owned())),
            (file, None) => (Source::File, Some(file.to_owned())),
        }
    }
}

const SECRETS: &[&str] = &[
    "auth.admin_password",
    "auth.jwt_secret",
    "auth.oidc_client_secret",
    "client.password",
    "client.token",
    "core.fernet_key",
    "smtp.password",
    "webserver.log_store_options",
];

/// The effective values in the order of the default file.
pub(crate) fn show(loaded: &Loaded) -> Vec<Row> {
    let defaults = Figment::from(defaults());
    keys()
        .into_iter()
        .map(|key| {
            let value = loaded.figment.find_value(&key).expect("every key has a default");
            let source = loaded.figment.find_metadata(&key).map_or(DEFAULT, |metadata| &*metadata.name);
            let text = display(&key, &value);
            let default = defaults.find_value(&key).expect("every key has a default");
            Row {
                plain: plain(&text),
                value: text,
                source: if source == DEFAULT_LAYER { DEFAULT.into() } else { source.to_owned() },
                default: plain(&display(&key, &default)),
                key,
            }
        })
        .collect()
}

/// A TOML text without its quotes; anything else as it is.
fn plain(value: &str) -> String {
    serde_json::from_str(value).unwrap_or_else(|_| value.to_owned())
}

/// `docs/configuration.md`, made from the default file.
pub(crate) fn reference() -> String {
    format!(
        "# Configuration\n\nMade by `updraft config reference` from `src/config/default.toml`; a test compares them.\n\n\
         ```toml\n{DEFAULTS}```\n"
    )
}

/// `section.key`, in file order (a parsed table is sorted).
fn keys() -> Vec<String> {
    let mut section = "";
    let mut keys = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if !line.starts_with('#')
            && let Some((key, _)) = line.split_once(" = ")
        {
            keys.push(format!("{section}.{key}"));
        }
    }
    debug_assert_eq!(keys.len(), count(), "one line per key");
    keys
}

fn defaults() -> Layer {
    Layer::text(DEFAULT_LAYER, DEFAULTS).expect("the embedded default parses")
}

fn count() -> usize {
    defaults().values().values().map(|section| section.as_dict().map_or(0, figment::value::Dict::len)).sum()
}

fn display(key: &str, value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    if SECRETS.contains(&key) && !text.is_empty() {
        return "\"***\"".into();
    }
    if key == "webserver.log_store_options"
        && let Value::Array(_, options) = value
    {
        // Some of them are keys of the store; which, only the store knows.
        let names = options.iter().filter_map(Value::as_str).map(|option| option.split('=').next().unwrap_or_default());
        return format!("[{}]", names.map(|name| format!("\"{name}=***\"")).collect::<Vec<_>>().join(", "));
    }
    if key == "database.url" {
        return format!("{:?}", without_password(text));
    }
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Array(_, items) => {
            format!("[{}]", items.iter().map(|item| display("", item)).collect::<Vec<_>>().join(", "))
        }
        Value::Num(_, number) => match (number.to_i128(), number.to_u128(), number.to_f64()) {
            (Some(whole), ..) => whole.to_string(),
            (_, Some(whole), _) => whole.to_string(),
            (.., Some(float)) => float.to_string(),
            _ => format!("{number:?}"),
        },
        Value::Bool(_, truth) => truth.to_string(),
        other => format!("{other:?}"),
    }
}

/// `scheme://user:***@host/…`; a password given as a query parameter is hidden too.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let hidden = match rest.rsplit_once('@') {
        Some((who, host)) if who.contains(':') => {
            format!("{}:***@{host}", who.split(':').next().unwrap_or_default())
        }
        _ => rest.to_owned(),
    };
    let query = query.map_or(String::new(), |query| {
        let parts = query.split('&').map(|pair| match pair.split_once('=') {
            Some(("password", _)) => "password=***",
            _ => pair,
        });
        format!("?{}", parts.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{hidden}{query}")
}
