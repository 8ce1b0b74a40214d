//! The JSON Schema of the format, for editors: made from the tables that the loader reads with, so the two cannot part.
//!
//! Draft 7, which every editor knows. A file that loads without an error fits it. Not every mistake shows in it: names of tasks,
//! templates, cron and dates are for `updraft dags validate`.

mod operators;
mod shapes;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use super::{
    callbacks::{CALLBACKS, NOTIFICATIONS},
    keys::{self, Key},
    legacy,
};

/// The schema of a DAG file. Keys are in the order of the tables.
pub fn schema() -> Value {
    let mut defs = shapes::defs();
    defs.insert("dag".to_owned(), dag());
    defs.insert("group".to_owned(), closed(&properties(keys::GROUP)));
    defs.insert("default_args".to_owned(), default_args());
    operators::insert(&mut defs);
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://updraft.invalid/dag.schema.json",
        "title": "Updraft DAG file",
        "description": "One DAG (the top level has tasks), or a mapping of DAG id to DAG.",
        "type": ["object", "null"],
        "if": { "anyOf": [{ "required": ["tasks"] }, groups_with_tasks()] },
        "then": { "$ref": "#/definitions/dag" },
        "else": {
            "properties": {
                "default": { "$ref": "#/definitions/dag", "description": "what every DAG of the file starts from" },
                "task_groups": {},
                "include": shapes::reference("text_or_list"),
            },
            "patternProperties": { "^x-": {} },
            "additionalProperties": { "$ref": "#/definitions/dag" },
        },
        "definitions": defs,
    })
}

/// Groups with tasks inside make a file one DAG, too.
fn groups_with_tasks() -> Value {
    json!({
        "required": ["task_groups"],
        "properties": {
            "task_groups": { "type": "object", "not": { "additionalProperties": { "not": { "required": ["tasks"] } } } },
        },
    })
}

fn dag() -> Value {
    let mut properties = properties(keys::DAG);
    for (key, _) in CALLBACKS {
        for suffix in ["_name", "_file"] {
            properties.insert(format!("{key}{suffix}"), shapes::reference("text"));
        }
    }
    // A default block inside a DAG is ignored, `vars` holds anchors.
    properties.insert("vars".to_owned(), json!({}));
    properties.insert("default".to_owned(), json!({}));
    old_keys(&mut properties, legacy::DAG_KEYS);
    closed(&properties)
}

fn default_args() -> Value {
    let mut properties = operators::base_properties();
    old_keys(&mut properties, legacy::TASK_KEYS);
    properties.insert("timezone".to_owned(), shapes::reference("text"));
    json!({ "type": ["object", "null"], "properties": properties })
}

/// The properties of a table of keys.
fn properties(table: &[Key]) -> Map<String, Value> {
    table
        .iter()
        .map(|key| {
            let mut schema = shapes::of_shape(key.shape);
            if !key.about.is_empty() {
                schema["description"] = json!(key.about);
            }
            (key.name.to_owned(), schema)
        })
        .collect()
}

/// The callbacks and notifications of tasks.
fn callbacks(properties: &mut Map<String, Value>) {
    for (key, _) in CALLBACKS {
        properties.insert((*key).to_owned(), shapes::reference("callback"));
        for suffix in ["_name", "_file"] {
            properties.insert(format!("{key}{suffix}"), shapes::reference("text"));
        }
    }
    for (key, _) in NOTIFICATIONS {
        properties.insert((*key).to_owned(), shapes::reference("notify"));
    }
}

/// Keys of older versions, each with the schema of the key that took its place.
fn old_keys(properties: &mut Map<String, Value>, table: &[(&str, &str)]) {
    for (old, new) in table {
        if let Some(schema) = properties.get(*new) {
            let mut schema = schema.clone();
            schema["deprecated"] = json!(true);
            schema["description"] = json!(format!("old name of {new}"));
            properties.insert((*old).to_owned(), schema);
        }
    }
}

/// A mapping with these keys, and keys that begin with `x-`.
fn closed(properties: &Map<String, Value>) -> Value {
    json!({
        "type": ["object", "null"],
        "properties": properties,
        "patternProperties": { "^x-": {} },
        "additionalProperties": false,
    })
}
