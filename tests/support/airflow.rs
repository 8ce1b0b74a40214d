//! Airflow's own OpenAPI document, which every answer of the test-suite is held against.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::Path,
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use serde_json::{Value, json};

/// Path parameters that may hold slashes.
const TAILS: [&str; 3] = ["{pool_name}", "{variable_key}", "{xcom_key}"];

/// The shapes of refusals; of all others Airflow sends every field, and no other.
const REFUSALS: [&str; 3] = ["HTTPExceptionResponse", "HTTPValidationError", "ValidationError"];

/// The document, and the checks that were made of it so far.
pub(crate) struct Airflow {
    pub(crate) document: Value,
    checks: Mutex<HashMap<String, Arc<Validator>>>,
}

/// An answer to be checked.
pub(crate) struct Answered<'a> {
    pub(crate) method: &'a str,
    /// With its query, or without.
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) media_type: &'a str,
    pub(crate) body: &'a [u8],
}

/// `None`, with a word about it, where the document is not to be had.
pub(crate) fn airflow() -> Option<&'static Airflow> {
    static AIRFLOW: LazyLock<Option<Airflow>> = LazyLock::new(|| {
        let document = read();
        if document.is_none() {
            eprintln!(
                "skipped: no OpenAPI document of Airflow (UPDRAFT_TEST_CONTRACT, which tools/test-env.sh sets where pip can \
                 fetch it, or ../shared/spec beside this checkout)"
            );
        }
        document.map(|document| Airflow { document, checks: Mutex::default() })
    });
    AIRFLOW.as_ref()
}

fn read() -> Option<Value> {
    if let Some(path) = std::env::var_os("UPDRAFT_TEST_CONTRACT").filter(|path| *path != OsString::new()) {
        let text = std::fs::read(path).expect("the contract can be read");
        return Some(serde_json::from_slice(&text).expect("the contract is JSON"));
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().take(2);
    let path =
        here.map(|folder| folder.join("../shared/spec/airflow-api-v2.openapi.yaml")).find(|path| path.exists())?;
    let text = std::fs::read_to_string(path).expect("the contract can be read");
    let options = serde_saphyr::options! { budget: None };
    Some(serde_saphyr::from_str_with_options(&text, options).expect("the contract is YAML"))
}

impl Airflow {
    /// What an answer has that Airflow's would not, or lacks; nothing of an operation that Airflow has not.
    pub(crate) fn findings(&self, answered: &Answered<'_>) -> Vec<String> {
        let method = answered.method.to_lowercase();
        let Some(route) = self.route(&method, answered.path) else { return Vec::new() };
        let operation = &self.document["paths"][route][&method];
        let described = &operation["responses"][answered.status.to_string()];
        if answered.status == 422 {
            // A word outside a closed list is told in a text, whatever the document says (both do it).
            let either = json!({"anyOf": [{"$ref": reference("HTTPValidationError")}, {"$ref": reference("HTTPExceptionResponse")}]});
            return self.against(&either, answered.body);
        }
        if answered.status >= 400 {
            return self.against(&json!({"$ref": reference("HTTPExceptionResponse")}), answered.body);
        }
        // Somewhere else, or known already.
        if (300..400).contains(&answered.status) {
            return Vec::new();
        }
        // Of what answers nothing Airflow says "200, anything", and sends a 204 (`DELETE /dags/{dag_id}`).
        let anything = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        if answered.status == 204 && answered.body.is_empty() && *anything == json!({}) {
            return Vec::new();
        }
        if !described.is_object() {
            return vec![format!("Airflow does not answer {}", answered.status)];
        }
        let content = &described["content"];
        let media_type = answered.media_type.split(';').next().unwrap_or_default().trim();
        if content.is_null() && answered.body.is_empty() {
            return Vec::new();
        }
        // Texts and lines have no schema.
        if media_type != "application/json" {
            return Vec::new();
        }
        match content[media_type].get("schema") {
            None => vec!["Airflow does not answer JSON".to_owned()],
            Some(schema) => self.against(schema, answered.body),
        }
    }

    /// The template that a path is routed to: of several, the one with most segments in common.
    pub(crate) fn route(&self, method: &str, path: &str) -> Option<&str> {
        let path = path.split('?').next().unwrap_or_default();
        let paths = self.document["paths"].as_object().expect("paths");
        let candidates = paths.iter().filter(|(_, item)| item.get(method).is_some());
        let fitting = candidates.filter_map(|(template, _)| Some((literals(template, path)?, template)));
        fitting.max_by_key(|(literals, _)| *literals).map(|(_, template)| template.as_str())
    }

    fn against(&self, schema: &Value, body: &[u8]) -> Vec<String> {
        let value = match serde_json::from_slice(body) {
            Ok(value) => value,
            Err(error) => return vec![format!("no JSON: {error}")],
        };
        let check = Arc::clone(
            self.checks.lock().unwrap().entry(schema.to_string()).or_insert_with(|| Arc::new(self.compile(schema))),
        );
        check.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    /// With the schemas that it needs, made strict.
    fn compile(&self, schema: &Value) -> Validator {
        let mut whole = json!({"allOf": [schema], "components": {"schemas": {}}});
        let mut open = names(schema);
        while let Some(name) = open.pop() {
            if whole["components"]["schemas"].get(&name).is_none() {
                let mut schema = self.document["components"]["schemas"][&name].clone();
                open.extend(names(&schema));
                if !REFUSALS.contains(&name.as_str()) {
                    strict(&mut schema);
                }
                whole["components"]["schemas"][&name] = schema;
            }
        }
        let options = jsonschema::options().should_validate_formats(true);
        options.build(&whole).expect("Airflow's schemas are schemas")
    }
}

/// How many segments of a template stand literally in a path that fits it.
fn literals(template: &str, path: &str) -> Option<usize> {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let tail = template.last().is_some_and(|last| TAILS.contains(last));
    if path.len() != template.len() && !(tail && path.len() > template.len()) {
        return None;
    }
    let pairs = || template.iter().zip(&path);
    let fits = pairs().all(|(wanted, segment)| wanted.starts_with('{') && !segment.is_empty() || wanted == segment);
    fits.then(|| pairs().filter(|(wanted, segment)| wanted == segment).count())
}

/// Every field is there, and no other, unless the schema says that others may be.
fn strict(schema: &mut Value) {
    if schema["additionalProperties"] == json!(true) {
        return;
    }
    if let Some(properties) = schema["properties"].as_object() {
        schema["required"] = properties.keys().cloned().collect();
        schema["additionalProperties"] = false.into();
    }
}

fn reference(name: &str) -> String {
    format!("#/components/schemas/{name}")
}

/// The schemas that a part of the document refers to.
pub(crate) fn names(part: &Value) -> Vec<String> {
    match part {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).and_then(|text| text.rsplit('/').next());
            own.map(str::to_owned).into_iter().chain(fields.values().flat_map(names)).collect()
        }
        Value::Array(items) => items.iter().flat_map(names).collect(),
        _ => Vec::new(),
    }
}
