//! Which names promise a secret, and values without their secrets (Airflow 3: `secrets_masker.py`).

use serde_json::Value;

/// What is shown instead of a secret.
pub const MASK: &str = "***";

/// Words in a name that make its value a secret (Airflow: `DEFAULT_SENSITIVE_FIELDS`).
const SENSITIVE: &[&str] = &[
    "access_token",
    "api_key",
    "apikey",
    "authorization",
    "keyfile_dict",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "proxies",
    "proxy",
    "secret",
    "service_account",
    "token",
];

/// Whether the value under this name is a secret.
pub fn is_sensitive(name: &str) -> bool {
    let name = name.to_lowercase();
    SENSITIVE.iter().any(|word| name.contains(word))
}

/// Hides every text under a sensitive name, also inside lists and mappings. `name`: that of the value itself.
pub fn redact(value: &mut Value, name: &str) {
    hide(value, is_sensitive(name));
}

fn hide(value: &mut Value, secret: bool) {
    match value {
        Value::String(text) if secret => MASK.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, secret)),
        Value::Object(fields) => {
            for (name, field) in fields {
                hide(field, secret || is_sensitive(name));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a caller sends back of a redacted value: where it still has the mask, the old value stays (Airflow: `merge`).
pub fn merge(new: &mut Value, old: &Value, name: &str) {
    merge_under(new, old, is_sensitive(name));
}

fn merge_under(new: &mut Value, old: &Value, secret: bool) {
    match (new, old) {
        (Value::String(text), Value::String(kept)) if secret && text == MASK => kept.clone_into(text),
        (Value::Object(fields), Value::Object(olds)) => {
            for (name, field) in fields {
                if let Some(old) = olds.get(name) {
                    merge_under(field, old, secret || is_sensitive(name));
                }
            }
        }
        (Value::Array(items), Value::Array(olds)) => {
            for (item, old) in items.iter_mut().zip(olds) {
                merge_under(item, old, secret);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_under_telling_names_are_hidden_at_any_depth() {
        let mut value = json!({"api_key": "a", "n": {"My_Password": ["b", {"c": "d"}], "e": "f"}, "token": 7});
        redact(&mut value, "x");
        assert_eq!(value, json!({"api_key": "***", "n": {"My_Password": ["***", {"c": "***"}], "e": "f"}, "token": 7}));
        let mut value = json!(["a", "b"]);
        redact(&mut value, "db_secret");
        assert_eq!(value, json!(["***", "***"]));
    }

    #[test]
    fn what_comes_back_masked_stays_as_it_was() {
        let old = json!({"token": "t", "host": "h", "list": [{"password": "p"}]});
        let mut new = json!({"token": "***", "host": "***", "list": [{"password": "***"}], "secret": "***"});
        merge(&mut new, &old, "extra");
        assert_eq!(new, json!({"token": "t", "host": "***", "list": [{"password": "p"}], "secret": "***"}));
    }
}
