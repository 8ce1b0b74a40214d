//! A body's JSON Schema, told by the code that reads it.

use serde_json::{Map, Value, json};

/// What a reader asked for, instead of what a request has.
#[derive(Default)]
pub(super) struct Notes {
    properties: Map<String, Value>,
    required: Vec<String>,
    /// Whether other keys are let pass.
    pub(super) lenient: bool,
}

impl Notes {
    /// The first word about a key counts: a reader that builds on another says more than that one.
    pub(super) fn property(&mut self, name: &str, schema: Value) {
        self.properties.entry(name).or_insert(schema);
    }

    pub(super) fn require(&mut self, name: &str) {
        self.required.push(name.to_owned());
    }

    pub(super) fn schema(self) -> Value {
        let mut schema = json!({"type": "object", "properties": self.properties});
        if !self.lenient {
            schema["additionalProperties"] = false.into();
        }
        if !self.required.is_empty() {
            schema["required"] = self.required.into();
        }
        schema
    }
}

pub(super) fn simple(kind: &str) -> Value {
    json!({ "type": kind })
}

pub(super) fn instant() -> Value {
    json!({"type": "string", "format": "date-time"})
}

pub(super) fn words(valid: &[&str]) -> Value {
    json!({"type": "string", "enum": valid})
}

pub(super) fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

pub(super) fn any_of(variants: &[Value]) -> Value {
    json!({ "anyOf": variants })
}

pub(super) fn or_null(schema: Value) -> Value {
    any_of(&[schema, simple("null")])
}

/// `least` is `i32::MIN` where any number will do.
pub(super) fn at_least(least: i32) -> Value {
    if least == i32::MIN { simple("integer") } else { json!({"type": "integer", "minimum": least}) }
}
