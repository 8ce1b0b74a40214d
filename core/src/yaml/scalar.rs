//! What a plain scalar is: PyYAML's resolver (YAML 1.1), so that values equal dag-factory's.
//!
//! Source of the patterns: PyYAML 6 `resolver.py` and `constructor.py`. Keys that know their type read the raw text instead.

use serde_json::{Number, Value};

/// `~`, `null` or nothing.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// YAML 1.1's booleans; not `y` and `n`, as in PyYAML.
pub(super) fn as_bool(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// Decimal without leading zero, `0b`, `0x`, octal `017`, base 60 `1:30`; `_` anywhere after the first digit.
pub(super) fn as_int(text: &str) -> Option<i64> {
    let (negative, digits) = sign(text);
    let value = if let Some(binary) = digits.strip_prefix("0b") {
        radix(binary, 2)?
    } else if let Some(hex) = digits.strip_prefix("0x") {
        radix(hex, 16)?
    } else if digits == "0" {
        0
    } else if let Some(octal) = digits.strip_prefix('0') {
        radix(octal, 8)?
    } else if digits.contains(':') {
        base60(digits)?
    } else if digits.starts_with(|first: char| first.is_ascii_digit()) {
        radix(digits, 10)?
    } else {
        return None;
    };
    if negative { value.checked_neg() } else { Some(value) }
}

/// A number with a dot (`1.5`, `.5`, `1.`, `1.5e+3`), base 60 with a dot, `.inf`, `.nan`.
pub(super) fn as_float(text: &str) -> Option<f64> {
    let (negative, digits) = sign(text);
    let value = match digits {
        ".inf" | ".Inf" | ".INF" => f64::INFINITY,
        ".nan" | ".NaN" | ".NAN" if digits.len() == text.len() => f64::NAN,
        _ => {
            let clean: String = digits.chars().filter(|c| *c != '_').collect();
            let (whole, rest) = clean.split_once('.')?;
            if let Some((minutes, last)) = whole.rsplit_once(':') {
                let sixties = base60_any(minutes)?;
                let last: f64 = two_digits(last)? as f64;
                if !rest.chars().all(|c| c.is_ascii_digit()) {
                    return None;
                }
                sixties as f64 * 60.0 + last + format!("0.{rest}0").parse::<f64>().ok()?
            } else {
                let (fraction, exponent) = match rest.find(['e', 'E']) {
                    Some(at) => (&rest[..at], Some(&rest[at + 1..])),
                    None => (rest, None),
                };
                let is_number = |part: &str| part.chars().all(|c| c.is_ascii_digit());
                if !is_number(whole) || !is_number(fraction) || (whole.is_empty() && fraction.is_empty()) {
                    return None;
                }
                // YAML 1.1 wants a sign in the exponent: `1.5e3` is text.
                if let Some(exponent) = exponent
                    && !(exponent.starts_with(['+', '-']) && exponent.len() > 1 && is_number(&exponent[1..]))
                {
                    return None;
                }
                format!("0{whole}.{fraction}0{}", exponent.map(|e| format!("e{e}")).unwrap_or_default()).parse().ok()?
            }
        }
    };
    Some(if negative { -value } else { value })
}

/// A plain scalar as JSON. Dates stay text, since JSON has none; numbers JSON cannot hold stay text, too.
pub(super) fn resolve(text: &str) -> Value {
    if is_null(text) {
        Value::Null
    } else if let Some(value) = as_bool(text) {
        Value::Bool(value)
    } else if let Some(value) = as_int(text) {
        Value::Number(value.into())
    } else if let Some(value) = as_float(text).and_then(Number::from_f64) {
        Value::Number(value)
    } else {
        Value::String(text.to_owned())
    }
}

fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn radix(digits: &str, radix: u32) -> Option<i64> {
    let clean: String = digits.chars().filter(|c| *c != '_').collect();
    if clean.is_empty() || clean.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&clean, radix).ok()
}

fn base60(digits: &str) -> Option<i64> {
    if !digits.starts_with(|first: char| matches!(first, '1'..='9')) {
        return None;
    }
    base60_any(digits)
}

fn base60_any(digits: &str) -> Option<i64> {
    let mut parts = digits.split(':');
    let mut value = radix(parts.next()?, 10)?;
    for part in parts {
        value = value.checked_mul(60)?.checked_add(two_digits(part)?)?;
    }
    Some(value)
}

/// `[0-5]?[0-9]`.
fn two_digits(part: &str) -> Option<i64> {
    let fits = match part.as_bytes() {
        [last] => last.is_ascii_digit(),
        [first, last] => matches!(first, b'0'..=b'5') && last.is_ascii_digit(),
        _ => false,
    };
    if fits { part.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resolves_as_pyyaml_does() {
        let table = [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("y", json!("y")),
            ("n", json!("n")),
            ("~", json!(null)),
            ("", json!(null)),
            ("0", json!(0)),
            ("010", json!(8)),
            ("0o17", json!("0o17")),
            ("0777", json!(511)),
            ("08", json!("08")),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("-12", json!(-12)),
            ("1:30", json!(90)),
            ("20:30", json!(1230)),
            ("07:30", json!("07:30")),
            ("1:60", json!("1:60")),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1.", json!(1.0)),
            ("1e3", json!("1e3")),
            ("1.5e3", json!("1.5e3")),
            ("1.5e+3", json!(1500.0)),
            ("1:30.5", json!(90.5)),
            ("3.10", json!(3.1)),
            (".", json!(".")),
            ("-", json!("-")),
            ("1.2.3", json!("1.2.3")),
            (".inf", json!(".inf")),
            ("2025-01-31", json!("2025-01-31")),
            ("99999999999999999999", json!("99999999999999999999")),
        ];
        for (text, expected) in table {
            assert_eq!(resolve(text), expected, "{text}");
        }
    }
}
