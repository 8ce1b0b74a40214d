//! JSON bodies: strict models (an unknown key is a finding), every finding at once.
//!
//! A key may be null where it may be absent; a key that must be there, or that has a default, may not (pydantic: `x: int | None =
//! None`, `x: int`, `x: int = 0`).

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use updraft_core::redact::MASK;
use updraft_store::query::filter::{OrderBy, Page, Range};

use super::{
    findings::Place,
    notes::{self, Notes, simple},
    query::order_of,
    values::{flag_of, float_of, int_of, object_of, small_int_of, storable, task_id, text_of, time_of, word_of},
};
use crate::error::{ApiError, FieldError};

/// An element of a list: an object to take apart, or anything else.
enum Element {
    Object(Box<Body>),
    Other(Value),
}

/// A JSON object being taken apart.
#[derive(Default)]
pub(crate) struct Body {
    /// Where it stands: `body`, and what leads to it.
    at: Vec<Value>,
    /// Keys whose values no finding repeats.
    concealed: &'static [&'static str],
    whole: Value,
    rest: Map<String, Value>,
    /// Keys that must be there.
    required: Vec<String>,
    /// Whether keys that nobody takes are let pass.
    lenient: bool,
    errors: Vec<FieldError>,
    /// A finding that is not FastAPI's; counts only when there is none of those.
    refusal: Option<ApiError>,
    /// Set: nothing is read, keys are noted for the OpenAPI document.
    notes: Option<Notes>,
}

impl Body {
    /// What `read` asks of an object, as a schema.
    pub(super) fn noted<T>(read: impl FnOnce(&mut Self) -> T) -> Value {
        let mut body = Self { notes: Some(Notes::default()), ..Self::default() };
        read(&mut body);
        body.notes.unwrap_or_default().schema()
    }

    /// Takes a request's body apart.
    pub(super) fn open(bytes: &[u8]) -> Result<Self, FieldError> {
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
        storable(&whole, &mut nothing().loc)?;
        if let Value::Object(object) = &whole {
            return Ok(Self { at: vec!["body".into()], rest: object.clone(), whole, ..Self::default() });
        }
        let msg = "Input should be a valid dictionary or object to extract fields from";
        Err(Place { input: whole, ..nothing() }.error("model_attributes_type", msg))
    }

    /// What was found wrong, if anything.
    pub(super) fn finish(mut self) -> Result<(), ApiError> {
        self.refuse_rest();
        if !self.errors.is_empty() {
            return Err(ApiError::Invalid(self.errors));
        }
        self.refusal.map_or(Ok(()), Err)
    }

    /// A finding for each key that nobody took.
    fn refuse_rest(&mut self) {
        if self.lenient {
            return;
        }
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
        self.errors.push(place.value_error(msg));
    }

    /// Lets keys pass that nobody takes; the model is not strict.
    pub(crate) fn ignore_others(&mut self) {
        self.lenient = true;
        if let Some(notes) = &mut self.notes {
            notes.lenient = true;
        }
    }

    fn note(&mut self, name: &str, schema: Value) {
        if let Some(notes) = &mut self.notes {
            notes.property(name, schema);
        }
    }

    /// Asks for a key that must be there and may not be null; what reads it comes after.
    pub(crate) fn require(&mut self, name: &str) {
        self.require_nullable(name);
        self.required.push(name.to_owned());
    }

    /// Asks for a key that must be there and may be null.
    pub(crate) fn require_nullable(&mut self, name: &str) {
        if let Some(notes) = &mut self.notes {
            notes.require(name);
        } else if !self.has(name) {
            let place = self.place(name, self.whole.clone());
            self.errors.push(place.error("missing", "Field required"));
        }
    }

    /// Notes a key that may be null unless it must be there.
    fn note_nullable(&mut self, name: &str, schema: Value) {
        let required = self.required.iter().any(|key| key == name);
        self.note(name, if required { schema } else { notes::or_null(schema) });
    }

    /// The value of a key that a reader of `schema` takes; null counts as absent, unless the key is required.
    fn take(&mut self, name: &str, schema: Value) -> Option<Value> {
        self.note_nullable(name, schema);
        let required = self.required.iter().any(|key| key == name);
        self.rest.remove(name).filter(|value| required || !value.is_null())
    }

    fn typed<T>(
        &mut self,
        name: &str,
        schema: Value,
        read: impl FnOnce(Value, Place) -> Result<T, FieldError>,
    ) -> Option<T> {
        let value = self.take(name, schema)?;
        self.checked(name, value, read)
    }

    fn checked<T>(
        &mut self,
        name: &str,
        value: Value,
        read: impl FnOnce(Value, Place) -> Result<T, FieldError>,
    ) -> Option<T> {
        let place = self.place(name, value.clone());
        read(value, place).map_err(|error| self.errors.push(error)).ok()
    }

    /// A key that is `default` when absent and may not be null.
    fn defaulted<T: Clone + Into<Value>>(
        &mut self,
        name: &str,
        default: T,
        mut schema: Value,
        read: impl FnOnce(Value, Place) -> Result<T, FieldError>,
    ) -> T {
        schema["default"] = default.clone().into();
        self.note(name, schema);
        let value = self.rest.remove(name);
        value.and_then(|value| self.checked(name, value, read)).unwrap_or(default)
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.typed(name, simple("string"), text_of)
    }

    pub(crate) fn required_text(&mut self, name: &str) -> Option<String> {
        self.require(name);
        self.text(name)
    }

    /// A text of at most `max` characters.
    pub(crate) fn short_text(&mut self, name: &str, max: usize) -> Option<String> {
        self.typed(name, json!({"type": "string", "maxLength": max}), |value, place| {
            let text = text_of(value, place.clone())?;
            if text.chars().count() <= max {
                return Ok(text);
            }
            let msg = format!("String should have at most {max} characters");
            Err(place.error_with("string_too_long", msg, json!({"max_length": max})))
        })
    }

    /// A text of at most `max` characters that `fits` `pattern`.
    pub(crate) fn matching_text(
        &mut self,
        name: &str,
        max: usize,
        pattern: &str,
        fits: impl FnOnce(&str) -> bool,
    ) -> Option<String> {
        self.note_nullable(name, json!({"type": "string", "maxLength": max, "pattern": pattern}));
        let text = self.short_text(name, max)?;
        if fits(&text) {
            return Some(text);
        }
        let msg = format!("String should match pattern '{pattern}'");
        let place = self.place(name, text);
        self.errors.push(place.error_with("string_pattern_mismatch", msg, json!({ "pattern": pattern })));
        None
    }

    /// A text whose document lists `words`; which of them are taken, and how they may be written, the caller says.
    pub(crate) fn listed_text(&mut self, name: &str, words: &[&str]) -> Option<String> {
        self.note_nullable(name, notes::words(words));
        self.text(name)
    }

    pub(crate) fn flag(&mut self, name: &str, default: bool) -> bool {
        self.defaulted(name, default, simple("boolean"), flag_of)
    }

    pub(crate) fn optional_flag(&mut self, name: &str) -> Option<bool> {
        self.typed(name, simple("boolean"), flag_of)
    }

    pub(crate) fn required_flag(&mut self, name: &str) -> bool {
        self.require(name);
        self.optional_flag(name).unwrap_or_default()
    }

    /// An instant; a naive one is UTC where `naive` says so.
    pub(crate) fn time(&mut self, name: &str, naive: bool) -> Option<DateTime<Utc>> {
        self.typed(name, notes::instant(), |value, place| time_of(&value, naive, place))
    }

    pub(crate) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        self.typed(name, json!({"type": "object", "additionalProperties": true}), object_of)
    }

    /// An object that is empty when absent, and may not be null.
    pub(crate) fn object_or_empty(&mut self, name: &str) -> Map<String, Value> {
        self.note(name, json!({"type": "object", "additionalProperties": true}));
        let value = self.rest.remove(name);
        value.and_then(|value| self.checked(name, value, object_of)).unwrap_or_default()
    }

    /// An object that `read` takes apart, strict itself.
    pub(crate) fn inner<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.notes.is_some() {
            let schema = Self::noted(read);
            self.note_nullable(name, schema);
            return None;
        }
        let value = self.take(name, json!({}))?;
        let place = self.place(name, value.clone());
        let Value::Object(fields) = &value else {
            let msg = "Input should be a valid dictionary or object to extract fields from";
            self.errors.push(place.error("model_attributes_type", msg));
            return None;
        };
        let mut body = Self { at: place.loc, rest: fields.clone(), whole: value, ..Self::default() };
        let read = read(&mut body);
        self.close(body);
        Some(read)
    }

    /// Takes over what was found in a part.
    fn close(&mut self, mut part: Self) {
        part.refuse_rest();
        self.errors.append(&mut part.errors);
        self.refusal = self.refusal.take().or(part.refusal);
    }

    /// One word of a closed list, upper or lower case as written.
    pub(crate) fn word(&mut self, name: &str, valid: &[&str]) -> Option<String> {
        self.typed(name, notes::words(valid), |value, place| word_of(&value, valid, place))
    }

    /// An instant, null, or this very word, which is the default: `None` is the word.
    #[expect(clippy::option_option, reason = "in JSON, absent and null are two things")]
    pub(crate) fn time_or_word(&mut self, name: &str, word: &str) -> Option<Option<DateTime<Utc>>> {
        let mut schema = notes::any_of(&[notes::instant(), json!({"type": "string", "const": word}), simple("null")]);
        schema["default"] = word.into();
        self.note(name, schema);
        match self.rest.remove(name).filter(|value| value != word)? {
            Value::Null => Some(None),
            value => Some(self.checked(name, value, |value, place| time_of(&value, false, place))),
        }
    }

    /// The same, with a default.
    pub(crate) fn word_or(&mut self, name: &str, valid: &[&str], default: &str) -> String {
        self.defaulted(name, default.to_owned(), notes::words(valid), |value, place| word_of(&value, valid, place))
    }

    /// A list of objects, each read by `read`; it must be there.
    pub(crate) fn objects<T>(&mut self, name: &str, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        if self.notes.is_some() {
            self.require(name);
            self.note(name, notes::list(Self::noted(&mut read)));
        }
        self.elements(name, |body| match body {
            Element::Object(mut body) => (Some(read(&mut body)), Some(*body)),
            Element::Other(_) => (None, None),
        })
    }

    /// A list of objects that may be left out.
    pub(crate) fn objects_if_any<T>(&mut self, name: &str, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        if self.notes.is_some() {
            self.note(name, notes::list(Self::noted(&mut read)));
        }
        if self.has(name) { self.objects(name, read) } else { Vec::new() }
    }

    /// A list of objects of several kinds, each told by its word under `tag`. Of an object without one, only that is a finding:
    /// what the rest should be, nobody knows.
    pub(crate) fn tagged<T>(
        &mut self,
        name: &str,
        tag: &str,
        words: &[&str],
        mut read: impl FnMut(&mut Self, &str) -> T,
    ) -> Vec<T> {
        if self.notes.is_some() {
            let mut kind = |word: &&str| {
                Self::noted(|body| {
                    body.require(tag);
                    body.note(tag, json!({"type": "string", "const": word}));
                    read(body, word)
                })
            };
            let kinds: Vec<Value> = words.iter().map(&mut kind).collect();
            self.require(name);
            self.note(name, notes::list(json!({ "oneOf": kinds })));
            return Vec::new();
        }
        let found = self.objects(name, |body| {
            body.require(tag);
            let Some(word) = body.word(tag, words) else {
                body.rest.clear();
                return None;
            };
            Some(read(body, &word))
        });
        found.into_iter().flatten().collect()
    }

    /// The same as [`Self::objects`], where a text may stand instead of an object.
    pub(crate) fn objects_or_texts<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(Result<&mut Self, String>) -> T,
    ) -> Vec<T> {
        if self.notes.is_some() {
            self.require(name);
            let object = Self::noted(|body| read(Ok(body)));
            self.note(name, notes::list(notes::any_of(&[simple("string"), object])));
        }
        self.elements(name, |body| match body {
            Element::Object(mut body) => (Some(read(Ok(&mut body))), Some(*body)),
            Element::Other(Value::String(text)) => (Some(read(Err(text))), None),
            Element::Other(_) => (None, None),
        })
    }

    fn elements<T>(&mut self, name: &str, mut read: impl FnMut(Element) -> (Option<T>, Option<Self>)) -> Vec<T> {
        if self.notes.is_some() {
            return Vec::new();
        }
        self.require(name);
        let Some(value) = self.rest.remove(name) else { return Vec::new() };
        let Value::Array(items) = value else {
            self.refuse(name, value, "list_type", "Input should be a valid list");
            return Vec::new();
        };
        let mut found = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let mut place = self.place(name, item.clone());
            place.loc.push(index.into());
            let element = match &item {
                Value::Object(object) => Element::Object(Box::new(Self {
                    at: place.loc.clone(),
                    rest: object.clone(),
                    whole: item,
                    ..Self::default()
                })),
                _ => Element::Other(item),
            };
            let (Some(one), body) = read(element) else {
                let msg = "Input should be a valid dictionary or object to extract fields from";
                self.errors.push(place.error("model_attributes_type", msg));
                continue;
            };
            found.push(one);
            if let Some(body) = body {
                self.close(body);
            }
        }
        found
    }

    /// Any JSON under a key that must be there; `null` is a value.
    pub(crate) fn required_json(&mut self, name: &str) -> Value {
        self.require_nullable(name);
        self.note(name, json!({}));
        self.rest.remove(name).unwrap_or_default()
    }

    /// An integer of the width of a column, at least `least`.
    pub(crate) fn small_int(&mut self, name: &str, least: i32) -> Option<i32> {
        self.typed(name, notes::at_least(least), |value, place| small_int_of(&value, least, place))
    }

    /// The same, with a default.
    pub(crate) fn small_int_or(&mut self, name: &str, least: i32, default: i32) -> i32 {
        self.defaulted(name, default, notes::at_least(least), |value, place| small_int_of(&value, least, place))
    }

    /// A finding of a field's own rule (pydantic's `field_validator`).
    pub(crate) fn refuse_value(&mut self, name: &str, input: impl Into<Value>, msg: &str) {
        let place = self.place(name, input);
        self.errors.push(place.value_error(msg));
    }

    pub(crate) fn int(&mut self, name: &str) -> Option<i64> {
        self.typed(name, simple("integer"), |value, place| int_of(&value, place))
    }

    /// An integer that must be there; 0 with a finding.
    pub(crate) fn required_int(&mut self, name: &str) -> i64 {
        self.require(name);
        self.int(name).unwrap_or_default()
    }

    fn natural(&mut self, name: &str, default: i64) -> i64 {
        self.defaulted(name, default, notes::at_least(0), |value, place| {
            let number = int_of(&value, place.clone())?;
            if number < 0 { Err(place.too_small(0)) } else { Ok(number) }
        })
    }

    fn float(&mut self, name: &str) -> Option<f64> {
        self.typed(name, simple("number"), |value, place| float_of(&value, place))
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

    /// A list of at least one text, which must be there.
    pub(crate) fn some_texts(&mut self, name: &str) -> Vec<String> {
        self.note(name, json!({"type": "array", "items": simple("string"), "minItems": 1}));
        self.require(name);
        let found = self.items(name, simple("string"), |item, place| text_of(item.clone(), place));
        if found.as_ref().is_some_and(Vec::is_empty) {
            let place = self.place(name, json!([]));
            let msg = "List should have at least 1 item after validation, not 0";
            let ctx = json!({"field_type": "List", "min_length": 1, "actual_length": 0});
            self.errors.push(place.error_with("too_short", msg, ctx));
        }
        found.unwrap_or_default()
    }

    /// A list of texts; empty when there is none.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        let found = self.items(name, simple("string"), |item, place| text_of(item.clone(), place));
        found.unwrap_or_default()
    }

    /// A list of words of a closed list; `null` stands for `none`.
    pub(crate) fn words(&mut self, name: &str, valid: &[&str]) -> Vec<String> {
        let found = self.items(name, notes::or_null(notes::words(valid)), |item, place| match item {
            Value::Null => Ok("none".to_owned()),
            item => word_of(item, valid, place),
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

    fn items<T>(
        &mut self,
        name: &str,
        schema: Value,
        read: impl Fn(&Value, Place) -> Result<T, FieldError>,
    ) -> Option<Vec<T>> {
        let value = self.take(name, notes::list(schema))?;
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
        let pair = json!({
            "type": "array", "prefixItems": [simple("string"), simple("integer")], "minItems": 2, "maxItems": 2,
        });
        self.items(name, notes::any_of(&[simple("string"), pair]), task_id)
    }
}
