//! YAML that is no DAG: a text as a value, a value as a text (PyYAML's `safe_load` and `dump`).

use serde_json::{Map, Value};

use super::{
    findings::Findings,
    node::{Content, Node, Style},
    parse::parse,
    scalar,
};

/// More values than this are refused: an alias is short in the text, but not as a value.
const MAX_VALUES: usize = 100_000;

/// The first document of a text, by the rules of YAML 1.1; nothing is null. `Err` says what is wrong and where.
pub(crate) fn load(text: &str) -> Result<Value, String> {
    let findings = Findings::default();
    let documents = parse(&findings, findings.add_file("text"), text.as_bytes());
    let Some(documents) = documents else {
        let first = findings.into_sorted().into_iter().next();
        return Err(first.map_or_else(String::new, |first| first.message));
    };
    documents.first().map_or(Ok(Value::Null), |document| value(document, &mut 0))
}

fn value(node: &Node, count: &mut usize) -> Result<Value, String> {
    *count += 1;
    if *count > MAX_VALUES {
        return Err(format!("more than {MAX_VALUES} values"));
    }
    Ok(match &node.content {
        Content::Scalar(scalar) => match scalar.style {
            Style::Plain => scalar::resolve(&scalar.text),
            Style::Quoted | Style::Block => Value::String(scalar.text.to_string()),
        },
        Content::Sequence(items) => items.iter().map(|item| value(item, count)).collect::<Result<_, _>>()?,
        Content::Mapping(entries) => {
            let mut fields = Map::new();
            for (key, entry) in entries.iter() {
                fields.insert(key.to_string(), value(&entry.value, count)?);
            }
            Value::Object(fields)
        }
    })
}

/// A value in PyYAML's block style, a line per scalar, with a line break at the end.
pub(crate) fn dump(value: &Value, sort_keys: bool) -> String {
    let mut text = String::new();
    match value {
        Value::Array(items) if !items.is_empty() => sequence(&mut text, items, 0, sort_keys),
        Value::Object(fields) if !fields.is_empty() => mapping(&mut text, fields, 0, sort_keys),
        scalar => {
            text.push_str(&word(scalar));
            // PyYAML ends a document that is a bare word.
            text.push_str(if scalar.is_array() || scalar.is_object() { "\n" } else { "\n...\n" });
        }
    }
    text
}

fn sequence(text: &mut String, items: &[Value], indent: usize, sort_keys: bool) {
    for (at, item) in items.iter().enumerate() {
        // The first stands where the line already is.
        if at > 0 || text.is_empty() || text.ends_with('\n') {
            text.extend(std::iter::repeat_n(' ', indent));
        }
        text.push_str("- ");
        match item {
            Value::Array(inner) if !inner.is_empty() => sequence(text, inner, indent + 2, sort_keys),
            Value::Object(inner) if !inner.is_empty() => mapping(text, inner, indent + 2, sort_keys),
            scalar => {
                text.push_str(&word(scalar));
                text.push('\n');
            }
        }
    }
}

fn mapping(text: &mut String, fields: &Map<String, Value>, indent: usize, sort_keys: bool) {
    let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
    if sort_keys {
        fields.sort_by_key(|(key, _)| key.as_str());
    }
    for (at, (key, item)) in fields.into_iter().enumerate() {
        if at > 0 || text.is_empty() || text.ends_with('\n') {
            text.extend(std::iter::repeat_n(' ', indent));
        }
        text.push_str(&quoted(key));
        text.push(':');
        match item {
            // PyYAML does not indent a list under its key.
            Value::Array(inner) if !inner.is_empty() => {
                text.push('\n');
                sequence(text, inner, indent, sort_keys);
            }
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                mapping(text, inner, indent + 2, sort_keys);
            }
            scalar => {
                text.push(' ');
                text.push_str(&word(scalar));
                text.push('\n');
            }
        }
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
        other => other.to_string(),
    }
}

/// The text as it is, if it is read as the same text again.
fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty()
        && scalar::resolve(text).is_string()
        && !text.starts_with(|c: char| "-?:,[]{}#&*!|>'\"%@` ".contains(c))
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.chars().any(char::is_control);
    if is_plain {
        text.to_owned()
    } else if text.chars().any(char::is_control) {
        Value::from(text).to_string()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_as_pyyaml_writes_them_and_read_back() {
        let value =
            json!({"b": [1, {"x": "y", "z": []}, [2, 3]], "a": {"n": null, "t": "true", "e": "", "s": "it's: so"}});
        let text = dump(&value, true);
        assert_eq!(
            text,
            "a:\n  e: ''\n  n: null\n  s: 'it''s: so'\n  t: 'true'\nb:\n- 1\n- x: y\n  z: []\n- - 2\n  - 3\n"
        );
        assert_eq!(load(&text), Ok(value));
        assert_eq!(dump(&json!("a"), false), "a\n...\n");
        assert_eq!(load("x: 1 # no\ny: on"), Ok(json!({"x": 1, "y": true})));
        assert_eq!(load(""), Ok(Value::Null));
        assert!(load("a: [").is_err());
        let bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                    c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                    e: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]";
        assert!(load(bomb).is_err());
    }
}
