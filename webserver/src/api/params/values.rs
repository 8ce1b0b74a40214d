//! What a JSON value is read as: pydantic's lax rules, with its findings.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::findings::{Place, exceeds, expected, parse_bool, parse_float, parse_int, parse_time};
use crate::error::FieldError;

pub(super) fn text_of(value: Value, place: Place) -> Result<String, FieldError> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(place.error("string_type", "Input should be a valid string")),
    }
}

pub(super) fn flag_of(value: Value, place: Place) -> Result<bool, FieldError> {
    match value {
        Value::Bool(flag) => Ok(flag),
        Value::String(text) => parse_bool(&text, place),
        Value::Number(number) if number.as_i64() == Some(0) => Ok(false),
        Value::Number(number) if number.as_i64() == Some(1) => Ok(true),
        _ => Err(place.error("bool_type", "Input should be a valid boolean")),
    }
}

pub(super) fn time_of(value: &Value, naive: bool, place: Place) -> Result<DateTime<Utc>, FieldError> {
    match value {
        Value::String(text) => parse_time(text, naive, place),
        _ => Err(place.error("datetime_type", "Input should be a valid datetime")),
    }
}

pub(super) fn object_of(value: Value, place: Place) -> Result<Map<String, Value>, FieldError> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(place.error("dict_type", "Input should be a valid dictionary")),
    }
}

pub(super) fn float_of(value: &Value, place: Place) -> Result<f64, FieldError> {
    match value {
        Value::Number(number) => Ok(number.as_f64().unwrap_or_default()),
        Value::String(text) => parse_float(text, place),
        _ => Err(place.error("float_type", "Input should be a valid number")),
    }
}

pub(super) fn word_of(value: &Value, valid: &[&str], place: Place) -> Result<String, FieldError> {
    match value.as_str() {
        Some(word) if valid.contains(&word) => Ok(word.to_owned()),
        _ => {
            let expected = expected(valid);
            Err(place.error_with("enum", format!("Input should be {expected}"), json!({ "expected": expected })))
        }
    }
}

pub(super) fn int_of(value: &Value, place: Place) -> Result<i64, FieldError> {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(whole),
            // Pydantic and JSON Schema take 1.0 for 1; beyond 2^53 a float is no certain integer.
            (None, Some(float)) if float.fract() == 0.0 && float.abs() < 9e15 => Ok(float as i64),
            (None, Some(float)) if float.fract() != 0.0 => {
                let msg = "Input should be a valid integer, got a number with a fractional part";
                Err(place.error("int_from_float", msg))
            }
            _ => Err(exceeds(place)),
        },
        Value::String(text) => parse_int(text, place),
        _ => Err(place.error("int_type", "Input should be a valid integer")),
    }
}

pub(super) fn small_int_of(value: &Value, least: i32, place: Place) -> Result<i32, FieldError> {
    let number = int_of(value, place.clone())?;
    if number < i64::from(least) {
        return Err(place.too_small(least.into()));
    }
    i32::try_from(number).map_err(|_| exceeds(place))
}

/// Refuses text that Postgres cannot store, keys included, wherever it stands. `at` is where `value` stands. The finding does
/// not repeat the text: it may be a secret.
pub(super) fn storable(value: &Value, at: &mut Vec<Value>) -> Result<(), FieldError> {
    let check = |text: &str, at: &[Value]| Place { loc: at.to_vec(), input: Value::Null }.storable(text);
    let inside = |key: Value, value: &Value, at: &mut Vec<Value>| {
        at.push(key);
        let found = storable(value, at);
        at.pop();
        found
    };
    match value {
        Value::String(text) => check(text, at),
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| inside(index.into(), item, at)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, field)| {
            check(key, at)?;
            inside(key.as_str().into(), field, at)
        }),
        _ => Ok(()),
    }
}

pub(super) fn task_id(item: &Value, place: Place) -> Result<(String, Option<i32>), FieldError> {
    match item {
        Value::String(id) => Ok((id.clone(), None)),
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(id), index] => {
                let number = match index {
                    Value::Number(number) => number.as_i64(),
                    Value::String(text) => Some(parse_int(text, place.clone())?),
                    _ => None,
                };
                let number = number.and_then(|number| i32::try_from(number).ok());
                let number = number.ok_or_else(|| place.error("int_type", "Input should be a valid integer"))?;
                Ok((id.clone(), Some(number)))
            }
            _ => Err(place.error("tuple_type", "Input should be a task id and a map index")),
        },
        _ => Err(place.error("string_type", "Input should be a valid string")),
    }
}
