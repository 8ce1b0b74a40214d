//! Sizes as docker-py writes them.

use serde_json::Value;
use updraft_core::spec::Failure;

use super::invalid;

/// docker-py's `parse_bytes`: a number, or one with a unit (`512m`, `1gb`). `field`: whose value it is.
pub(super) fn bytes(field: &str, limit: &Value) -> Result<i64, Failure> {
    let wrong = || invalid(format!("`{field}` is a number of bytes or one with a unit (`512m`), not {limit}."));
    match limit {
        Value::Number(number) => number.as_i64().ok_or_else(wrong),
        Value::String(text) => {
            let text = text.trim().to_lowercase();
            let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
            let factor: i64 = match &text[digits.len()..] {
                "" | "b" => 1,
                "k" | "kb" => 1 << 10,
                "m" | "mb" => 1 << 20,
                "g" | "gb" => 1 << 30,
                "t" | "tb" => 1 << 40,
                _ => return Err(wrong()),
            };
            digits.trim().parse::<f64>().map(|number| (number * factor as f64) as i64).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("mem_limit", &json!(1024)).unwrap(), 1024);
        assert_eq!(bytes("mem_limit", &json!("512m")).unwrap(), 512 << 20);
        assert_eq!(bytes("mem_limit", &json!("1.5 GB")).unwrap(), 3 << 29);
        assert!(bytes("shm_size", &json!("lots")).unwrap_err().reason.contains("shm_size"));
        assert!(bytes("mem_limit", &json!([1])).is_err());
    }
}
