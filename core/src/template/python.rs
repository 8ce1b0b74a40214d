//! How Python writes values: `str(x)` and `repr(x)`. A file written for Airflow expects `True`, `None` and `['a']`.

use std::fmt::Write;

use minijinja::{Value, value::ValueKind};

use super::{engine::OUTPUT_LIMIT, work};

/// `str(value)`.
pub(super) fn text(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return if work::take_text(text.len()) { text.to_owned() } else { String::new() };
    }
    let mut text = String::new();
    write_repr(&mut text, value, 0);
    text
}

/// What is nested too deeply is cut short.
fn write_repr(text: &mut String, value: &Value, depth: usize) {
    // A repeated list of repeated lists is short in memory, but not here; the caller refuses a text of this length, and the
    // render fails when nothing is left of its budget.
    let affordable = work::take_text(value.as_str().map_or(0, str::len));
    if depth > work::MAX_DEPTH || text.len() > OUTPUT_LIMIT || !affordable {
        text.push_str("...");
        return;
    }
    match value.kind() {
        ValueKind::Bool => text.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::None => text.push_str("None"),
        ValueKind::String => write_string(text, value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            let (open, close) = if value.is_tuple() { ('(', ')') } else { ('[', ']') };
            text.push(open);
            let mut count = 0;
            for item in value.try_iter().into_iter().flatten() {
                if count > 0 {
                    text.push_str(", ");
                }
                write_repr(text, &item, depth + 1);
                count += 1;
            }
            if value.is_tuple() && count == 1 {
                text.push(',');
            }
            text.push(close);
        }
        ValueKind::Map if work::is_enumerable(value) => {
            text.push('{');
            for (index, key) in value.try_iter().into_iter().flatten().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                write_repr(text, &key, depth + 1);
                text.push_str(": ");
                write_repr(text, &value.get_item(&key).unwrap_or_default(), depth + 1);
            }
            text.push('}');
        }
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(number) => text.push_str(&float(number)),
            Err(_) => text.push_str("nan"),
        },
        // Integers look the same; a datetime shows itself.
        _ => {
            let _ = write!(text, "{value}");
        }
    }
}

/// `repr(float)`: an exponent from 1e16 and below 1e-4, of two digits at least.
pub(super) fn float(number: f64) -> String {
    let size = number.abs();
    if !number.is_finite() || size == 0.0 || (1e-4..1e16).contains(&size) {
        return format!("{number:?}").replace("NaN", "nan");
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => text,
    }
}

/// Single quotes, unless only they occur in the text.
fn write_string(text: &mut String, content: &str) {
    let quote = if content.contains('\'') && !content.contains('"') { '"' } else { '\'' };
    text.push(quote);
    for c in content.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c == quote => {
                text.push('\\');
                text.push(c);
            }
            c if c.is_control() => {
                let _ = write!(text, "\\x{:02x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push(quote);
}
