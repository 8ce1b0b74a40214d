//! One operator argument: its value in long form, checked against its type.

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::{
    Context, duration,
    node::{Node, Style},
    object::{Family, Object, object},
    operators::Kind,
    scalar,
    values::duration_json,
};

impl Context<'_> {
    /// The value of an argument; `None` after an error, and where the key is to be left out (`ArgNotSet`).
    pub(super) fn argument(&self, name: &str, kind: Kind, node: &Node) -> Option<Value> {
        if node.is_null() {
            return Some(Value::Null);
        }
        let is_template = node.as_text().is_some_and(|text| text.contains("{{") || text.contains("{%"));
        match kind {
            Kind::Text => self.text(name, node).map(Value::String),
            // What a template renders to is checked after rendering.
            Kind::Bool
            | Kind::Int
            | Kind::Number
            | Kind::Duration
            | Kind::Delta
            | Kind::Map
            | Kind::List
            | Kind::TextMap
                if is_template =>
            {
                self.text(name, node).map(Value::String)
            }
            Kind::Bool => self.boolean(name, node).map(Value::Bool),
            Kind::Int => self.integer(name, node).map(|int| json!(int)),
            Kind::Number => self.number(name, node).map(|number| json!(number)),
            Kind::Duration => self.duration(name, node).map(|duration| json!(duration.as_secs_f64())),
            Kind::Delta => match object(node).filter(|found| found.family() == Some(Family::RelativeDelta)) {
                Some(found) => self.fixed_delta(name, &found).map(duration_json),
                None => self.duration(name, node).map(duration_json),
            },
            Kind::TextMap => self.text_map(name, node).map(Value::Object),
            Kind::Map => {
                if node.as_mapping().is_none() {
                    self.wrong_type(name, node, "a mapping");
                    return None;
                }
                self.json(node)
            }
            Kind::List => {
                if let Some(items) = self.items(node) {
                    return Some(Value::Array(items.iter().filter_map(|item| self.json(item)).collect()));
                }
                let help =
                    node.as_text().filter(|text| text.len() < 60).map(|text| format!("write `{name}: [{text}]`"));
                self.wrong_type_help(name, node, "a list", help);
                None
            }
            Kind::TextList => match node.as_text() {
                Some(text) => Some(json!([text])),
                None => self.texts(name, node).map(|texts| json!(texts)),
            },
            Kind::TextOrList => match self.items(node) {
                Some(_) => self.texts(name, node).map(|texts| json!(texts)),
                None => self.text(name, node).map(Value::String),
            },
            Kind::ExitCodes => match self.items(node) {
                Some(items) => {
                    let codes: Option<Vec<i64>> = items.iter().map(|item| self.integer(name, item)).collect();
                    codes.map(|codes| json!(codes))
                }
                None => self.integer(name, node).map(|code| json!(code)),
            },
            Kind::Moment if object(node).is_none() => self.text(name, node).map(Value::String),
            Kind::Moment | Kind::BoolOrNumber | Kind::Date | Kind::Assets | Kind::Any => self.json(node),
        }
    }

    /// A `relativedelta` as far as it is a length of time.
    fn fixed_delta(&self, name: &str, found: &Object<'_>) -> Option<Duration> {
        let (months, seconds) = self.relativedelta(found)?;
        if months != 0 {
            let message = format!("`{name}`: a month has no fixed length");
            let help = "write days, hours, minutes or seconds".to_owned();
            self.findings.error_help("invalid_duration", found.path_mark, message, Some(help));
            return None;
        }
        let duration = duration::from_seconds(seconds);
        if duration.is_none() {
            let message = format!("`{name}` must be between nothing and a century");
            self.findings.error("invalid_duration", found.path_mark, message);
        }
        duration
    }

    /// `env` of a task or DAG: names and texts, templates allowed.
    pub(super) fn environment(&self, node: &Node) -> Vec<(String, String)> {
        let mut result = Vec::new();
        for (name, entry) in self.mapping("env", node).into_iter().flatten() {
            let text = match entry.value.as_scalar() {
                // YAML 1.1 null is an empty value, not the word.
                Some(scalar) if scalar.style == Style::Plain && scalar::is_null(&scalar.text) => Some(String::new()),
                _ => self.text(name, &entry.value),
            };
            result.extend(text.map(|text| (name.to_string(), text)));
        }
        result
    }

    /// `worker_selector`: label → allowed values.
    pub(super) fn selector(&self, node: &Node) -> Vec<(String, Vec<String>)> {
        let mut result = Vec::new();
        for (label, entry) in self.mapping("worker_selector", node).into_iter().flatten() {
            let values = if entry.value.as_sequence().is_some() {
                self.texts(label, &entry.value)
            } else {
                self.text(label, &entry.value).map(|text| vec![text])
            };
            result.extend(values.map(|values| (label.to_string(), values)));
        }
        result
    }

    /// `secrets`: name → source; anything but a named source is an error, so that a literal secret cannot pass.
    pub(super) fn secrets(&self, node: &Node) -> IndexMap<String, String> {
        let mut result = IndexMap::new();
        for (name, entry) in self.mapping("secrets", node).into_iter().flatten() {
            let Some(source) = self.text(name, &entry.value) else { continue };
            let good = source.split_once(':').is_some_and(|(kind, rest)| {
                !rest.is_empty()
                    && match kind {
                        "connection" => {
                            rest.split_once('.').is_some_and(|(id, field)| !id.is_empty() && !field.is_empty())
                        }
                        "variable" | "env" => true,
                        "file" => rest.starts_with('/'),
                        _ => false,
                    }
            });
            if good {
                result.insert(name.to_string(), source);
            } else {
                // The text may be a secret: it is not repeated.
                self.findings.error_help(
                    "invalid_secret",
                    entry.value.mark,
                    format!("`{name}` must name where the secret is kept"),
                    Some("write `variable:key`, `connection:id.password`, `env:NAME` or `file:/path`".to_owned()),
                );
            }
        }
        result
    }
}
