//! Secrets do not get into logs, rendered fields or reasons: neither on a node nor where the server renders.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    redact::{MASK, is_sensitive},
    template::Ref,
};

/// Shorter texts are not masked: they would blot out innocent words.
const SHORTEST: usize = 5;
/// What a task declares as its secrets is masked also when it is this short.
const SHORTEST_DECLARED: usize = 3;

/// The secret texts of one attempt.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Mask {
    /// Longest first, so that a secret inside another does not spoil it.
    secrets: Vec<String>,
}

impl Mask {
    /// The secrets among what templates fetched: passwords of connections, variables with a telling name.
    pub fn of<'a>(values: impl IntoIterator<Item = (&'a Ref, &'a Value)>) -> Self {
        let mut secrets = Vec::new();
        for (reference, value) in values {
            match reference {
                Ref::Variable { key } => collect(value, is_sensitive(key), &mut secrets),
                Ref::Connection { .. } => collect(value, false, &mut secrets),
                Ref::XCom { .. } | Ref::XComOf { .. } => {}
            }
        }
        Self::sorted(secrets)
    }

    /// Texts that are secrets whatever they are called, such as a task's `secrets`.
    pub fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut secrets = Vec::new();
        for text in texts.into_iter().filter(|text| text.len() >= SHORTEST_DECLARED) {
            secrets.extend(forms(text));
        }
        Self::sorted(secrets)
    }

    /// Both.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        Self::sorted(self.secrets.iter().chain(&more.secrets).cloned().collect())
    }

    fn sorted(mut secrets: Vec<String>) -> Self {
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Self { secrets }
    }

    /// The text with every secret replaced by `***`.
    #[must_use]
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for secret in &self.secrets {
            if masked.contains(secret.as_str()) {
                masked = Cow::Owned(masked.replace(secret.as_str(), MASK));
            }
        }
        masked
    }

    /// The same for every text inside a JSON value; values under a telling name are hidden whole.
    pub fn apply_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(masked) = self.apply(text) {
                    *text = masked;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.apply_json(item)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    if is_sensitive(name) && field.is_string() {
                        *field = Value::String(MASK.to_owned());
                    } else {
                        self.apply_json(field);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// How a secret may appear in a text: as it is, line by line (a log has lines), inside JSON or a Python literal, as part of a
/// connection's URI.
fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned(), percent_encoded(text)];
    let quoted = Value::from(text).to_string();
    forms.push(quoted[1..quoted.len() - 1].to_owned());
    if text.contains('\n') {
        forms.extend(text.lines().map(str::trim).filter(|line| line.len() >= SHORTEST).map(str::to_owned));
    }
    forms
}

fn percent_encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
        encoded
    })
}

fn collect(value: &Value, secret: bool, secrets: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            // Variables and a connection's `extra` are often JSON in a text.
            if let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
                collect(&inner, secret, secrets);
            }
            if secret && text.len() >= SHORTEST {
                secrets.extend(forms(text));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, secret, secrets)),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| collect(field, secret || is_sensitive(name), secrets));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mask() -> Mask {
        let connection = json!({"login": "reader", "password": "hunter@22", "extra": "{\"api_key\": \"k-12345\"}"});
        let token = json!("xoxb-1");
        let (db, slack) =
            (Ref::Connection { conn_id: "db".to_owned() }, Ref::Variable { key: "slack_token".to_owned() });
        Mask::of([(&db, &connection), (&slack, &token)])
    }

    #[test]
    fn declared_secrets_are_hidden_in_every_form_they_take() {
        let mask = Mask::of_texts(["abc", "a\"b c", "-----BEGIN KEY-----\nline-two-of-it", "no", ""]);
        assert_eq!(mask.apply("abc a\"b c a%22b%20c a\\\"b c line-two-of-it no"), "*** *** *** *** *** no");
        let both = mask.with(&Mask::of_texts(["abcdef"]));
        assert_eq!(both.apply("abcdef abc"), "*** ***", "the longer one first");
    }

    #[test]
    fn passwords_keys_and_telling_variables_are_hidden() {
        assert_eq!(mask().apply("reader:hunter%4022@db hunter@22 k-12345 xoxb-1"), "reader:***@db *** *** ***");
        let mut value = json!({"env": {"URL": "x:hunter@22", "MY_PASSWORD": "other"}, "n": 3});
        mask().apply_json(&mut value);
        assert_eq!(value, json!({"env": {"URL": "x:***", "MY_PASSWORD": "***"}, "n": 3}));
    }
}
