//! Between JSON and template values, and Python's `json.dumps`.

use std::fmt::Write;

use minijinja::{Error, ErrorKind, Value, value::ValueKind};
use serde_json::Value as Json;

use super::{engine::check_defined, moment::Moment, work};

/// Order of keys is kept.
pub(super) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Value::from(number),
            (_, Some(number), _) => Value::from(number),
            (_, _, number) => Value::from(number.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(from_json).collect::<Vec<_>>()),
        Json::Object(fields) => Value::from_pairs(fields.iter().map(|(key, value)| (key.as_str(), from_json(value)))),
    }
}

/// More values than this are refused: a repeated list of repeated lists is short in memory, but not as JSON.
const MAX_VALUES: usize = 1_000_000;

/// What the rendered arguments carry: a datetime becomes its ISO text, anything else without a JSON form its text.
pub(super) fn to_json(value: &Value) -> Result<Json, Error> {
    convert(value, 0, &mut 0)
}

fn convert(value: &Value, depth: usize, count: &mut usize) -> Result<Json, Error> {
    *count += 1;
    work::spend_text(value.as_str().map_or(0, str::len))?;
    if depth > work::MAX_DEPTH || *count > MAX_VALUES {
        return Err(Error::new(ErrorKind::BadSerialization, "the value is too large or nested too deeply"));
    }
    Ok(match value.kind() {
        ValueKind::Undefined => return check_defined(value).map(|()| Json::Null),
        ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => match (i64::try_from(value.clone()), value.is_integer()) {
            (Ok(number), true) => Json::from(number),
            (_, true) => u64::try_from(value.clone()).map_or_else(|_| Json::String(value.to_string()), Json::from),
            _ => Json::from(f64::try_from(value.clone()).unwrap_or(f64::NAN)),
        },
        ValueKind::String => Json::String(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.map(|item| convert(&item, depth + 1, count)).collect::<Result<_, _>>()?
        }
        ValueKind::Map => {
            let mut fields = serde_json::Map::new();
            for key in value.try_iter()? {
                fields.insert(super::python::text(&key), convert(&value.get_item(&key)?, depth + 1, count)?);
            }
            Json::Object(fields)
        }
        _ => match value.downcast_object_ref::<Moment>() {
            Some(moment) => Json::String(moment.isoformat("T")),
            None => Json::String(value.to_string()),
        },
    })
}

/// Python's `json.dumps` with its default separators: `{"a": [1, 2]}`, other than ASCII escaped.
pub(super) fn dumps(json: &Json, sort_keys: bool) -> String {
    let mut text = String::new();
    write(&mut text, json, sort_keys);
    text
}

fn write(text: &mut String, json: &Json, sort_keys: bool) {
    match json {
        Json::String(content) => write_string(text, content),
        Json::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                write(text, item, sort_keys);
            }
            text.push(']');
        }
        Json::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            if sort_keys {
                fields.sort_by_key(|(key, _)| key.as_str());
            }
            text.push('{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                write_string(text, key);
                text.push_str(": ");
                write(text, value, sort_keys);
            }
            text.push('}');
        }
        Json::Number(number) if number.is_f64() => {
            text.push_str(&super::python::float(number.as_f64().unwrap_or(f64::NAN)));
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn write_string(text: &mut String, content: &str) {
    text.push('"');
    for c in content.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            ' '..='~' => text.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String does not fail.
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text.push('"');
}
