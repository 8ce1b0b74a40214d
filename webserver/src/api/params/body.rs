//! JSON bodies: strict models (an unknown key is a finding), every finding at once.

use axum::{
    body::Bytes,
    extract::{FromRequest, OptionalFromRequest, Request},
};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use updraft_core::redact::MASK;
use updraft_store::query::filter::{OrderBy, Page, Range};

use super::{
    findings::{Place, expected, parse_bool, parse_float, parse_int, parse_time},
    query::order_of,
};
use crate::error::{ApiError, FieldError};

/// What a handler reads from its JSON body.
pub(crate) trait FromBody: Sized {
    /// Takes each key once; a key that is left over is refused.
    fn read(body: &mut Body) -> Self;
}

/// The extractor: `JsonBody<TriggerBody>`.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: FromBody> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = read(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// `Option<JsonBody<T>>`: a request without a body is none.
impl<S: Send + Sync, T: FromBody> OptionalFromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let bytes = read(request, state).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        parse(&bytes).map(Self).map(Some)
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::TooLarge
        } else {
            ApiError::BadRequest("The request body could not be read".to_owned())
        }
    })
}

/// Reads `bytes` as a `T`.
pub(super) fn parse<T: FromBody>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut body = Body::open(bytes).map_err(|error| ApiError::Invalid(vec![error]))?;
    let read = T::read(&mut body);
    body.finish()?;
    Ok(read)
}

/// An element of a list: an object to take apart, or anything else.
enum Element {
    Object(Body),
    Other(Value),
}

/// A JSON object being taken apart.
pub(crate) struct Body {
    /// Where it stands: `body`, and what leads to it.
    at: Vec<Value>,
    /// Keys whose values no finding repeats.
    concealed: &'static [&'static str],
    whole: Value,
    rest: Map<String, Value>,
    errors: Vec<FieldError>,
    /// A finding that is not FastAPI's; counts only when there is none of those.
    refusal: Option<ApiError>,
}

impl Body {
    fn open(bytes: &[u8]) -> Result<Self, FieldError> {
        let nothing = || Place { loc: vec!["body".into()], input: Value::Null };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(nothing().error("missing", "Field required"));
        }
        let whole: Value = serde_json::from_slice(bytes).map_err(|error| {
            // FastAPI gives the position in characters; lines of a request are few.
            let column = error.column().saturating_sub(1);
            let place = Place { loc: vec!["body".into(), column.into()], input: json!({}) };
            place.error_with("json_invalid", "JSON decode error", json!({ "error": error.to_string() }))
        })?;
        if let Value::Object(object) = &whole {
            return Ok(Self {
                at: vec!["body".into()],
                concealed: &[],
                rest: object.clone(),
                whole,
                errors: Vec::new(),
                refusal: None,
            });
        }
        let msg = "Input should be a valid dictionary or object to extract fields from";
        Err(Place { input: whole, ..nothing() }.error("model_attributes_type", msg))
    }

    fn finish(mut self) -> Result<(), ApiError> {
        self.refuse_rest();
        if !self.errors.is_empty() {
            return Err(ApiError::Invalid(self.errors));
        }
        self.refusal.map_or(Ok(()), Err)
    }

    /// A finding for each key that nobody took.
    fn refuse_rest(&mut self) {
        for (key, value) in std::mem::take(&mut self.rest) {
            self.refuse(&key, value, "extra_forbidden", "Extra inputs are not permitted");
        }
    }

    /// Keeps the values of these keys, which may be secrets, out of every finding.
    pub(crate) fn conceal(&mut self, names: &'static [&'static str]) {
        self.concealed = names;
        if let Value::Object(fields) = &mut self.whole {
            for name in names {
                if let Some(field) = fields.get_mut(*name) {
                    *field = MASK.into();
                }
            }
        }
    }

    fn place(&self, name: &str, input: impl Into<Value>) -> Place {
        let mut loc = self.at.clone();
        loc.push(name.into());
        let input = if self.concealed.contains(&name) { MASK.into() } else { input.into() };
        Place { loc, input }
    }

    /// Which keys of `names` the body has (before they are taken).
    pub(crate) fn has(&self, name: &str) -> bool {
        self.rest.contains_key(name)
    }

    /// A finding about one key.
    pub(crate) fn refuse(&mut self, name: &str, input: Value, kind: &'static str, msg: &str) {
        let place = self.place(name, input);
        self.errors.push(place.error(kind, msg));
    }

    /// A finding about the whole body (pydantic's `model_validator`).
    pub(crate) fn refuse_whole(&mut self, msg: &str) {
        let place = Place { loc: self.at.clone(), input: self.whole.clone() };
        self.errors.push(place.error_with("value_error", format!("Value error, {msg}"), json!({"error": {}})));
    }

    /// The value of a key, `null` counting as absent.
    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        self.rest.remove(name).filter(|value| !value.is_null())
    }

    /// Notes a required key that is absent.
    pub(crate) fn require(&mut self, name: &str) {
        if !self.has(name) {
            let place = self.place(name, self.whole.clone());
            self.errors.push(place.error("missing", "Field required"));
        }
    }

    /// Takes what is left without a finding: what it should be depends on a key that has one.
    pub(crate) fn pass_over_rest(&mut self) {
        self.rest.clear();
    }

    fn typed<T>(&mut self, name: &str, read: impl FnOnce(Value, Place) -> Result<T, FieldError>) -> Option<T> {
        let value = self.value(name)?;
        let place = self.place(name, value.clone());
        read(value, place).map_err(|error| self.errors.push(error)).ok()
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.typed(name, |value, place| match value {
            Value::String(text) => Ok(text),
            _ => Err(place.error("string_type", "Input should be a valid string")),
        })
    }

    /// A text that must be there and not null.
    pub(crate) fn required_text(&mut self, name: &str) -> Option<String> {
        self.require(name);
        if self.rest.get(name).is_some_and(Value::is_null) {
            self.refuse(name, Value::Null, "string_type", "Input should be a valid string");
        }
        self.text(name)
    }

    /// A text of at most `max` characters.
    pub(crate) fn short_text(&mut self, name: &str, max: usize) -> Option<String> {
        let text = self.text(name)?;
        if text.chars().count() <= max {
            return Some(text);
        }
        let msg = format!("String should have at most {max} characters");
        let place = self.place(name, text);
        self.errors.push(place.error_with("string_too_long", msg, json!({"max_length": max})));
        None
    }

    pub(crate) fn flag(&mut self, name: &str, default: bool) -> bool {
        self.optional_flag(name).unwrap_or(default)
    }

    pub(crate) fn optional_flag(&mut self, name: &str) -> Option<bool> {
        self.typed(name, |value, place| match value {
            Value::Bool(flag) => Ok(flag),
            Value::String(text) => parse_bool(&text, place),
            Value::Number(number) if number.as_i64() == Some(0) => Ok(false),
            Value::Number(number) if number.as_i64() == Some(1) => Ok(true),
            _ => Err(place.error("bool_type", "Input should be a valid boolean")),
        })
    }

    pub(crate) fn required_flag(&mut self, name: &str) -> bool {
        self.require(name);
        self.flag(name, false)
    }

    /// An instant; a naive one is UTC where `naive` says so.
    pub(crate) fn time(&mut self, name: &str, naive: bool) -> Option<DateTime<Utc>> {
        self.typed(name, |value, place| match value {
            Value::String(text) => parse_time(&text, naive, place),
            _ => Err(place.error("datetime_type", "Input should be a valid datetime")),
        })
    }

    pub(crate) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        self.typed(name, |value, place| match value {
            Value::Object(object) => Ok(object),
            _ => Err(place.error("dict_type", "Input should be a valid dictionary")),
        })
    }

    /// One word of a closed list, upper or lower case as written.
    pub(crate) fn word(&mut self, name: &str, valid: &[&str]) -> Option<String> {
        self.typed(name, |value, place| match value.as_str() {
            Some(word) if valid.contains(&word) => Ok(word.to_owned()),
            _ => {
                let expected = expected(valid);
                let msg = format!("Input should be {expected}");
                Err(place.error_with("enum", msg, json!({ "expected": expected })))
            }
        })
    }

    /// A word that must be there and not null.
    pub(crate) fn required_word(&mut self, name: &str, valid: &[&str]) -> Option<String> {
        self.require(name);
        if self.rest.get(name).is_some_and(Value::is_null) {
            let expected = expected(valid);
            let place = self.place(name, Value::Null);
            let msg = format!("Input should be {expected}");
            self.errors.push(place.error_with("enum", msg, json!({ "expected": expected })));
        }
        self.word(name, valid)
    }

    /// Takes a key if it is this very word.
    pub(crate) fn take_word(&mut self, name: &str, word: &str) -> bool {
        let is_it = self.rest.get(name).is_some_and(|value| value == word);
        if is_it {
            self.rest.remove(name);
        }
        is_it
    }

    /// A list of objects, each read by `read`; empty when there is none.
    pub(crate) fn objects<T>(&mut self, name: &str, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        self.elements(name, |body| match body {
            Element::Object(mut body) => (Some(read(&mut body)), Some(body)),
            Element::Other(_) => (None, None),
        })
    }

    /// The same, where a text may stand instead of an object.
    pub(crate) fn objects_or_texts<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(Result<&mut Self, String>) -> T,
    ) -> Vec<T> {
        self.elements(name, |body| match body {
            Element::Object(mut body) => (Some(read(Ok(&mut body))), Some(body)),
            Element::Other(Value::String(text)) => (Some(read(Err(text))), None),
            Element::Other(_) => (None, None),
        })
    }

    fn elements<T>(&mut self, name: &str, mut read: impl FnMut(Element) -> (Option<T>, Option<Self>)) -> Vec<T> {
        self.require(name);
        let Some(value) = self.value(name) else { return Vec::new() };
        let Value::Array(items) = value else {
            self.refuse(name, value, "list_type", "Input should be a valid list");
            return Vec::new();
        };
        let mut found = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let mut place = self.place(name, item.clone());
            place.loc.push(index.into());
            let element = match &item {
                Value::Object(object) => Element::Object(Self {
                    at: place.loc.clone(),
                    concealed: &[],
                    rest: object.clone(),
                    whole: item,
                    errors: Vec::new(),
                    refusal: None,
                }),
                _ => Element::Other(item),
            };
            let (Some(one), body) = read(element) else {
                let msg = "Input should be a valid dictionary or object to extract fields from";
                self.errors.push(place.error("model_attributes_type", msg));
                continue;
            };
            found.push(one);
            if let Some(mut body) = body {
                body.refuse_rest();
                self.errors.append(&mut body.errors);
                self.refusal = self.refusal.take().or(body.refusal);
            }
        }
        found
    }

    /// Any JSON under a key that must be there; `null` is a value.
    pub(crate) fn required_json(&mut self, name: &str) -> Value {
        self.require(name);
        self.rest.remove(name).unwrap_or_default()
    }

    /// An integer of the width of a column, at least `least`.
    pub(crate) fn small_int(&mut self, name: &str, least: i32) -> Option<i32> {
        let number = self.int(name)?;
        let place = self.place(name, number);
        if number < i64::from(least) {
            let msg = format!("Input should be greater than or equal to {least}");
            self.errors.push(place.error_with("greater_than_equal", msg, json!({ "ge": least })));
            return None;
        }
        let narrow = i32::try_from(number).map_err(|_| place.error("int_type", "Input should be a valid integer"));
        narrow.map_err(|error| self.errors.push(error)).ok()
    }

    /// A finding of a field's own rule (pydantic's `field_validator`).
    pub(crate) fn refuse_value(&mut self, name: &str, input: impl Into<Value>, msg: &str) {
        let place = self.place(name, input);
        self.errors.push(place.error_with("value_error", format!("Value error, {msg}"), json!({"error": {}})));
    }

    pub(crate) fn int(&mut self, name: &str) -> Option<i64> {
        self.typed(name, |value, place| match &value {
            Value::Number(number) if number.is_i64() => Ok(number.as_i64().unwrap_or_default()),
            Value::String(text) => parse_int(text, place),
            _ => Err(place.error("int_type", "Input should be a valid integer")),
        })
    }

    /// An integer that must be there; 0 with a finding.
    pub(crate) fn required_int(&mut self, name: &str) -> i64 {
        self.require(name);
        self.int(name).unwrap_or_default()
    }

    fn natural(&mut self, name: &str, default: i64) -> i64 {
        match self.int(name) {
            Some(number) if number < 0 => {
                let place = self.place(name, number);
                let msg = "Input should be greater than or equal to 0";
                self.errors.push(place.error_with("greater_than_equal", msg, json!({"ge": 0})));
                default
            }
            number => number.unwrap_or(default),
        }
    }

    fn float(&mut self, name: &str) -> Option<f64> {
        self.typed(name, |value, place| match &value {
            Value::Number(number) => Ok(number.as_f64().unwrap_or_default()),
            Value::String(text) => parse_float(text, place),
            _ => Err(place.error("float_type", "Input should be a valid number")),
        })
    }

    /// Four bounds: `name_gte`, `name_gt`, `name_lte`, `name_lt`.
    pub(crate) fn times(&mut self, name: &str) -> Range<DateTime<Utc>> {
        Range {
            gte: self.time(&format!("{name}_gte"), false),
            gt: self.time(&format!("{name}_gt"), false),
            lte: self.time(&format!("{name}_lte"), false),
            lt: self.time(&format!("{name}_lt"), false),
        }
    }

    pub(crate) fn floats(&mut self, name: &str) -> Range<f64> {
        Range {
            gte: self.float(&format!("{name}_gte")),
            gt: self.float(&format!("{name}_gt")),
            lte: self.float(&format!("{name}_lte")),
            lt: self.float(&format!("{name}_lt")),
        }
    }

    /// A list of texts; empty when there is none.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        let found = self.items(name, |item, place| match item {
            Value::String(text) => Ok(text.clone()),
            _ => Err(place.error("string_type", "Input should be a valid string")),
        });
        found.unwrap_or_default()
    }

    /// A list of words of a closed list; `null` stands for `none`.
    pub(crate) fn words(&mut self, name: &str, valid: &[&str]) -> Vec<String> {
        let found = self.items(name, |item, place| match item {
            Value::Null => Ok("none".to_owned()),
            Value::String(word) if valid.contains(&word.as_str()) => Ok(word.clone()),
            _ => {
                let expected = expected(valid);
                Err(place.error_with("enum", format!("Input should be {expected}"), json!({ "expected": expected })))
            }
        });
        found.unwrap_or_default()
    }

    /// `page_offset`, `page_limit` and one `order_by`.
    pub(crate) fn page(&mut self, allowed: OrderBy, default: &str, limit: i64) -> Page {
        let (offset, limit) = (self.natural("page_offset", 0), self.natural("page_limit", limit));
        let name = self.text("order_by").unwrap_or_else(|| default.to_owned());
        let order = order_of(allowed, &name).map_err(|error| self.refusal = Some(error)).ok();
        Page { limit, offset, order: order.into_iter().collect(), ..Page::default() }
    }

    fn items<T>(&mut self, name: &str, read: impl Fn(&Value, Place) -> Result<T, FieldError>) -> Option<Vec<T>> {
        let value = self.value(name)?;
        let Value::Array(items) = &value else {
            self.refuse(name, value, "list_type", "Input should be a valid list");
            return None;
        };
        let mut found = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let mut place = self.place(name, item.clone());
            place.loc.push(index.into());
            match read(item, place) {
                Ok(one) => found.push(one),
                Err(error) => self.errors.push(error),
            }
        }
        Some(found)
    }

    /// `["task", ["mapped", 3]]`: task ids, with a map index where one is named.
    pub(crate) fn task_ids(&mut self, name: &str) -> Option<Vec<(String, Option<i32>)>> {
        if self.rest.get(name).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            self.refuse_whole(&format!("{name} list should have at least 1 element."));
        }
        self.items(name, task_id)
    }
}

fn task_id(item: &Value, place: Place) -> Result<(String, Option<i32>), FieldError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Sample;

    impl FromBody for Sample {
        fn read(body: &mut Body) -> Self {
            body.require("logical_date");
            body.time("logical_date", false);
            body.short_text("note", 3);
            body.word("state", &["queued", "success", "failed"]);
            body.task_ids("task_ids");
            Self
        }
    }

    fn findings(text: &str) -> Value {
        match parse::<Sample>(text.as_bytes()) {
            Err(ApiError::Invalid(errors)) => json!(errors),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_findings_come_at_once() {
        insta::assert_json_snapshot!(findings(
            r#"{"note": "long", "state": "running", "task_ids": [1, ["a", "x"]], "extra": 1}"#
        ));
    }

    #[test]
    fn a_naive_time_is_refused() {
        insta::assert_json_snapshot!(findings(r#"{"logical_date": "2024-05-01T10:00:00"}"#));
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        insta::assert_json_snapshot!([findings("[]"), findings("{"), findings("")]);
    }
}
