//! `params` (Airflow's) and `inputs` (the same with JSON Schema keys beside the default).

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{
    Context,
    node::{Entry, Node},
    object::{Family, object},
};
use crate::param;

const SCHEMA_KEYS: &[&str] = &[
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "items",
    "minItems",
    "maxItems",
    "uniqueItems",
    "properties",
    "required",
    "title",
    "description",
    "default",
    "examples",
    "section",
    "values_display",
    "description_md",
    "source",
];

/// The parameters of a DAG or task.
#[derive(Default)]
pub(super) struct Params {
    /// Name → default; a required one has none.
    pub(super) values: IndexMap<String, Value>,
    /// Name → JSON Schema, where the file gives one.
    pub(super) schemas: IndexMap<String, Value>,
}

impl Context<'_> {
    /// Reads `params`: plain values, or `Param` objects. Of a `scheduled` DAG each must have a default.
    pub(super) fn params(&self, node: &Node, scheduled: bool, into: &mut Params) {
        for (name, entry) in self.mapping("params", node).into_iter().flatten() {
            let param = object(&entry.value).filter(|found| found.family() == Some(Family::Param));
            let Some(param) = param else {
                into.values.insert(name.to_string(), self.json(&entry.value).unwrap_or(Value::Null));
                continue;
            };
            let mut schema: Map<String, Value> = param
                .kwargs
                .iter()
                .filter(|(key, ..)| *key != "schema" && *key != "default")
                .filter_map(|(key, _, node)| Some(((*key).to_owned(), self.json(node)?)))
                .collect();
            if let Some(Value::Object(more)) = param.kwarg("schema").and_then(|node| self.json(node)) {
                schema.extend(more);
            }
            let default = param.first_or("default").and_then(|node| self.json(node));
            if default.is_none() && scheduled {
                self.nobody_to_ask("param", name, entry, "give it a `default`");
                continue;
            }
            self.declare(name, entry, schema, default, into);
        }
    }

    /// Reads `inputs`: a bare value gives default and type, a mapping of JSON Schema keys the schema.
    pub(super) fn inputs(&self, node: &Node, scheduled: bool, into: &mut Params) {
        for (name, entry) in self.mapping("inputs", node).into_iter().flatten() {
            let is_schema = entry
                .value
                .as_mapping()
                .is_some_and(|keys| !keys.is_empty() && keys.keys().all(|key| SCHEMA_KEYS.contains(&&**key)));
            let Some(value) = self.json(&entry.value) else { continue };
            let (schema, default) = match value {
                Value::Object(mut schema) if is_schema => {
                    let default = schema.shift_remove("default");
                    (schema, default)
                }
                value => {
                    let kind = match &value {
                        Value::Null => "null",
                        Value::Bool(_) => "boolean",
                        Value::Number(number) if number.is_f64() => "number",
                        Value::Number(_) => "integer",
                        Value::String(_) => "string",
                        Value::Array(_) => "array",
                        Value::Object(_) => "object",
                    };
                    (Map::from_iter([("type".to_owned(), json!(kind))]), Some(value))
                }
            };
            let nullable = match schema.get("type") {
                Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "null"),
                Some(kind) => kind == "null",
                None => false,
            };
            if default.is_none() && !nullable && scheduled {
                self.nobody_to_ask("input", name, entry, "give it a `default`, or let the type be null, too");
                continue;
            }
            let default = default.or_else(|| nullable.then_some(Value::Null));
            self.declare(name, entry, schema, default, into);
        }
    }

    fn nobody_to_ask(&self, what: &str, name: &str, entry: &Entry, help: &str) {
        let message = format!("the {what} `{name}` has no default, and a scheduled run has nobody to ask");
        self.findings.error_help("invalid_param", entry.key, message, Some(help.to_owned()));
    }

    fn declare(
        &self,
        name: &str,
        entry: &Entry,
        schema: Map<String, Value>,
        default: Option<Value>,
        into: &mut Params,
    ) {
        let schema = Value::Object(schema);
        match param::validator(&schema) {
            Err(error) => {
                let message = format!("`{name}`: {error}");
                let help = "the keys beside `default` are a JSON Schema".to_owned();
                self.findings.error_help("invalid_param", entry.key, message, Some(help));
            }
            Ok(validator) => {
                if let Some(default) = &default
                    && let Err(error) = validator.validate(default)
                {
                    self.findings.error_help(
                        "invalid_param",
                        entry.key,
                        format!("the default of `{name}` does not fit its own schema: {error}"),
                        Some("change the default or the schema".to_owned()),
                    );
                }
            }
        }
        into.schemas.insert(name.to_owned(), schema);
        if let Some(default) = default {
            into.values.insert(name.to_owned(), default);
        }
    }
}
