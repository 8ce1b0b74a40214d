//! Pydantic's error types and messages.

use std::num::{IntErrorKind, ParseIntError};

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};

use crate::error::{FieldError, UNSTORABLE};

/// Where a value stands, and what it is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) loc: Vec<Value>,
    pub(super) input: Value,
}

impl Place {
    pub(super) fn new(part: &str, name: &str, input: impl Into<Value>) -> Self {
        Self { loc: vec![part.into(), name.into()], input: input.into() }
    }

    pub(super) fn error(self, kind: &'static str, msg: impl Into<String>) -> FieldError {
        FieldError { kind, loc: self.loc, msg: msg.into(), input: Box::new(self.input), ctx: None }
    }

    /// A rule of the field itself (pydantic's `field_validator`).
    pub(super) fn value_error(self, msg: &str) -> FieldError {
        self.error_with("value_error", format!("Value error, {msg}"), json!({"error": {}}))
    }

    /// Text that Postgres cannot store; the one place where this is decided.
    pub(super) fn storable(self, text: &str) -> Result<(), FieldError> {
        if text.contains('\0') { Err(self.value_error(UNSTORABLE)) } else { Ok(()) }
    }

    /// A number below the least that is accepted.
    pub(super) fn too_small(self, least: i64) -> FieldError {
        let msg = format!("Input should be greater than or equal to {least}");
        self.error_with("greater_than_equal", msg, json!({ "ge": least }))
    }

    pub(super) fn error_with(self, kind: &'static str, msg: impl Into<String>, ctx: Value) -> FieldError {
        FieldError { ctx: Some(Box::new(ctx)), ..self.error(kind, msg) }
    }
}

pub(super) fn parse_int(text: &str, place: Place) -> Result<i64, FieldError> {
    text.trim().parse().map_err(|error: ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => exceeds(place),
        _ => place.error("int_parsing", "Input should be a valid integer, unable to parse string as an integer"),
    })
}

/// An integer that its column cannot hold.
pub(super) fn exceeds(place: Place) -> FieldError {
    place.error("int_parsing_size", "Unable to parse input string as an integer, exceeded maximum size")
}

pub(super) fn parse_float(text: &str, place: Place) -> Result<f64, FieldError> {
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(place.error("float_parsing", "Input should be a valid number, unable to parse string as a number")),
    }
}

/// Pydantic's words for true and false.
pub(super) fn parse_bool(text: &str, place: Place) -> Result<bool, FieldError> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Ok(false),
        _ => Err(place.error("bool_parsing", "Input should be a valid boolean, unable to interpret input")),
    }
}

/// An instant; without a zone it is UTC where `naive` says so, else an error.
pub(super) fn parse_time(text: &str, naive: bool, place: Place) -> Result<DateTime<Utc>, FieldError> {
    let text = text.trim();
    // A `+` of a query string that was not escaped arrives as a space.
    let spaced = text.replacen(' ', "T", 1).replace(' ', "+");
    if let Ok(instant) = DateTime::parse_from_rfc3339(&spaced) {
        return Ok(instant.to_utc());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(instant) = chrono::NaiveDateTime::parse_from_str(&spaced, format) {
            return local(instant, naive, place);
        }
    }
    if let Ok(day) = NaiveDate::parse_from_str(&spaced, "%Y-%m-%d") {
        return local(day.and_time(chrono::NaiveTime::MIN), naive, place);
    }
    let error = "input is too short or not RFC 3339";
    let msg = format!("Input should be a valid datetime, {error}");
    Err(place.error_with("datetime_from_date_parsing", msg, json!({ "error": error })))
}

/// A calendar day; a datetime that has a time of day is none.
pub(super) fn parse_date(text: &str, place: Place) -> Result<NaiveDate, FieldError> {
    NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").map_err(|_| {
        let error = "input is too short or no date";
        let msg = format!("Input should be a valid date or datetime, {error}");
        place.error_with("date_from_datetime_parsing", msg, json!({ "error": error }))
    })
}

fn local(instant: chrono::NaiveDateTime, naive: bool, place: Place) -> Result<DateTime<Utc>, FieldError> {
    if naive { Ok(instant.and_utc()) } else { Err(place.error("timezone_aware", "Input should have timezone info")) }
}

/// `'a', 'b' or 'c'`, as pydantic lists an enum.
pub(super) fn expected(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}
