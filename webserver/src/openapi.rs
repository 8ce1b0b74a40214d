//! What `/openapi.json` says: the handlers' own declarations, in the terms of Airflow's document.
//!
//! A handler declares what is its own: path, parameters, body, success, the refusals of its business. What is so everywhere is said
//! here once, for every operation, so that no handler can forget it and a client made from this document is one that a client
//! made from Airflow's would be.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::{
    api::params::NOTED,
    permission::{EXTENSION, Permission},
};

const SCHEMAS: &str = "#/components/schemas/";

/// The document to serve.
pub(crate) fn describe(document: OpenApi) -> Value {
    let mut document = serde_json::to_value(document).expect("a document is JSON");
    noted_bodies(&mut document);
    flat_schemas(&mut document);
    plain_types(&mut document);
    promises(&mut document);
    refusals(&mut document);
    document
}

/// A body is what its reader notes.
fn noted_bodies(document: &mut Value) {
    for schema in object(&mut document["components"]["schemas"]).values_mut() {
        if let Some(noted) = schema.as_object_mut().and_then(|schema| schema.remove(NOTED)) {
            *schema = noted;
        }
    }
}

/// An `allOf` is a flattened struct: its parts become one object, as they are in the answer.
fn flat_schemas(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    for schema in object(&mut document["components"]["schemas"]).values_mut() {
        let Some(Value::Array(parts)) = schema.as_object_mut().and_then(|schema| schema.remove("allOf")) else {
            continue;
        };
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for part in &parts {
            let part = referred(part).map_or(part, |name| &schemas[name]);
            properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
            required.extend(part["required"].as_array().cloned().unwrap_or_default());
        }
        schema["type"] = "object".into();
        schema["properties"] = properties.into();
        schema["required"] = required.into();
    }
    let used: Vec<String> = reachable(document, &document["paths"]);
    object(&mut document["components"]["schemas"]).retain(|name, _| used.contains(name));
}

/// Numbers have no width in JSON, and an instant is a text.
fn plain_types(document: &mut Value) {
    object(&mut document["components"]["schemas"]).shift_remove("Timestamp");
    each_schema(document, &mut |schema| {
        if matches!(schema["format"].as_str(), Some("int32" | "int64" | "float" | "double")) {
            object(schema).shift_remove("format");
        }
        // A mapping's keys are texts anyhow.
        if let Some(fields) = schema.as_object_mut() {
            fields.shift_remove("propertyNames");
        }
        if referred(schema) == Some("Timestamp") {
            *schema = json!({"type": "string", "format": "date-time"});
        }
    });
}

/// An answer leaves no field out: what may be null is there as null. (Airflow: no response model drops nulls.)
fn promises(document: &mut Value) {
    let responses: Vec<Value> = operations(document).map(|operation| operation["responses"].clone()).collect();
    let answers = reachable(document, &responses.into());
    for (name, schema) in object(&mut document["components"]["schemas"]) {
        let Some(properties) = schema["properties"].as_object().filter(|_| answers.contains(name)) else { continue };
        let named = schema["required"].as_array().cloned().unwrap_or_default();
        let promised = |(name, field): &(&String, &Value)| named.contains(&json!(name)) || nullable(field);
        let required: Vec<Value> = properties.iter().filter(promised).map(|(name, _)| json!(name)).collect();
        if !required.is_empty() {
            schema["required"] = required.into();
        }
    }
}

/// Says what every operation may be refused with, and how refusals look.
fn refusals(document: &mut Value) {
    for operation in operations(document) {
        let public = operation[EXTENSION] == Permission::Public.to_string();
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let sorts = parameters.iter().any(|parameter| parameter["name"] == "order_by");
        let reads = !parameters.is_empty() || operation["requestBody"].is_object();
        let responses = object(&mut operation["responses"]);
        for (status, applies) in [("400", sorts), ("401", !public), ("403", !public), ("422", reads)] {
            if applies {
                responses.entry(status).or_insert_with(|| json!({}));
            }
        }
        responses.sort_keys();
        for (status, response) in responses {
            describe_response(status, response);
        }
    }
    object(&mut document["components"]["schemas"]).extend(object(&mut refusal_schemas()).clone());
}

fn describe_response(status: &str, response: &mut Value) {
    let code = StatusCode::from_bytes(status.as_bytes()).unwrap_or(StatusCode::OK);
    response["description"] = match code {
        code if code.is_success() => "Successful Response",
        StatusCode::UNPROCESSABLE_ENTITY => "Validation Error",
        code => code.canonical_reason().unwrap_or_default(),
    }
    .into();
    if code.is_client_error() || code.is_server_error() {
        let name =
            if code == StatusCode::UNPROCESSABLE_ENTITY { "HTTPValidationError" } else { "HTTPExceptionResponse" };
        response["content"] = json!({"application/json": {"schema": {"$ref": format!("{SCHEMAS}{name}")}}});
    }
}

/// The bodies of [`crate::error::ApiError`], under Airflow's names.
fn refusal_schemas() -> Value {
    let text = json!({"type": "string"});
    let findings = json!({"type": "array", "items": {"$ref": format!("{SCHEMAS}ValidationError")}});
    let place = json!({"anyOf": [{"type": "string"}, {"type": "integer"}]});
    json!({
        "HTTPExceptionResponse": {
            "type": "object",
            "required": ["detail"],
            "properties": {"detail": {"anyOf": [text, {"type": "object", "additionalProperties": true}]}},
        },
        "HTTPValidationError": {
            "type": "object",
            // Words outside a closed list are told in a text, here as there; only we say so.
            "properties": {"detail": {"anyOf": [findings, text]}},
        },
        "ValidationError": {
            "type": "object",
            "required": ["loc", "msg", "type"],
            "properties": {
                "loc": {"type": "array", "items": place},
                "msg": text,
                "type": text,
                "input": {},
                "ctx": {"type": "object"},
            },
        },
    })
}

/// Whether a field of this schema may be null.
fn nullable(schema: &Value) -> bool {
    let null = |kind: &Value| kind == "null" || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("null")));
    let variants = ["anyOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array()).flatten();
    // A schema that says nothing allows everything.
    let silent = schema.as_object().is_some_and(|fields| fields.keys().all(|key| key == "description"));
    silent || null(&schema["type"]) || variants.into_iter().any(|variant| null(&variant["type"]))
}

/// The schema that a reference names.
fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix(SCHEMAS)
}

/// The names of the schemas that `part` refers to, and those to which these do.
fn reachable(document: &Value, part: &Value) -> Vec<String> {
    fn walk(document: &Value, part: &Value, found: &mut Vec<String>) {
        if let Some(name) = referred(part)
            && !found.iter().any(|known| known == name)
        {
            found.push(name.to_owned());
            walk(document, &document["components"]["schemas"][name], found);
        }
        match part {
            Value::Object(fields) => fields.values().for_each(|field| walk(document, field, found)),
            Value::Array(items) => items.iter().for_each(|item| walk(document, item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(document, part, &mut found);
    found
}

/// Every operation, in the order of the document.
fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    object(&mut document["paths"]).values_mut().flat_map(|item| object(item).values_mut())
}

/// Hands every object of the document to `change`: schemas are everywhere, and their words are nobody else's.
fn each_schema(part: &mut Value, change: &mut impl FnMut(&mut Value)) {
    match part {
        Value::Object(_) => {
            change(part);
            object(part).values_mut().for_each(|field| each_schema(field, change));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_schema(item, change)),
        _ => {}
    }
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect("an object, by the shape of OpenAPI documents")
}
