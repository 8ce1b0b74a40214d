//! How values are checked against a param's JSON Schema; the same when a file is read, a run is made and a question answered.

use chrono::{DateTime, NaiveTime};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

/// The check of a schema. Formats count, and a time may lack its offset, as in Airflow's own example
/// (`Param("12:13:14", format="time")`).
///
/// # Errors
/// What is wrong with the schema itself.
pub fn validator(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    jsonschema::options().should_validate_formats(true).with_format("time", is_time).build(schema)
}

/// `HH:MM`, `HH:MM:SS`, or RFC 3339's `full-time`.
fn is_time(text: &str) -> bool {
    let partial = match text.len() {
        5 => Some("%H:%M"),
        8 => Some("%H:%M:%S"),
        _ => None,
    };
    // A second 60 is read as one, and only an offset tells whether it can be.
    partial.is_some_and(|format| NaiveTime::parse_from_str(text, format).is_ok() && !text.ends_with(":60"))
        || DateTime::parse_from_rfc3339(&format!("1970-01-01T{text}")).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_may_lack_its_seconds_and_its_offset() {
        let validator = validator(&json!({"type": "string", "format": "time"})).unwrap();
        for good in ["10:15", "10:15:00", "00:00", "23:59:59", "10:15:00Z", "10:15:00.5+02:00"] {
            assert!(validator.is_valid(&json!(good)), "{good}");
        }
        for bad in
            ["", "10", "24:00", "10:60", "10:15:61", "10:15:60", "1:15", "10:15:0", "10:15pm", "ten", "10:15+02:00"]
        {
            assert!(!validator.is_valid(&json!(bad)), "{bad}");
        }
    }

    #[test]
    fn the_other_formats_count() {
        let validator = validator(&json!({"type": "string", "format": "date"})).unwrap();
        assert!(validator.is_valid(&json!("2024-02-29")) && !validator.is_valid(&json!("2023-02-29")));
    }
}
