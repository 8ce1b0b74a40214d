//! Our OpenAPI document beside Airflow's, fact by fact.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::airflow::names;

/// Of a field of an answer.
const PROMISE: &str = "is always there";

/// One of the two documents.
struct Document<'a> {
    whole: &'a Value,
    /// Schemas that both have by name: they are compared once.
    shared: &'a BTreeSet<String>,
    /// Those of them that are parts of bodies of Airflow's.
    asked: &'a BTreeSet<String>,
}

/// Every fact that one document states and the other does not: `-` Airflow's, `+` ours.
pub(crate) fn differences(airflows: &Value, ours: &Value) -> String {
    let named =
        |document: &Value| -> BTreeSet<String> { object(&document["components"]["schemas"]).keys().cloned().collect() };
    let shared = named(airflows).intersection(&named(ours)).cloned().collect();
    let asked = asked(airflows);
    let [theirs, ours] = [airflows, ours].map(|whole| Document { whole, shared: &shared, asked: &asked });
    let (their_facts, our_facts) = (theirs.facts(&ours), ours.facts(&theirs));
    // Who refuses less than Airflow does, or promises more in an answer, disappoints nobody.
    let refusal = |fact: &&String| fact.contains(" answers 4") || fact.contains(" answers 5");
    let minus = their_facts.difference(&our_facts).filter(|fact| !refusal(fact)).map(|fact| (fact, '-'));
    let plus = our_facts.difference(&their_facts).filter(|fact| !fact.ends_with(PROMISE)).map(|fact| (fact, '+'));
    let all: BTreeSet<(&String, char)> = minus.chain(plus).collect();
    let lines: Vec<String> = all.into_iter().map(|(fact, side)| format!("{side} {fact}")).collect();
    lines.join("\n")
}

impl Document<'_> {
    /// What is said of everything under `/api/v2`. An operation that the other lacks is one fact.
    fn facts(&self, other: &Self) -> BTreeSet<String> {
        let mut facts = BTreeSet::new();
        for (path, item) in object(&self.whole["paths"]).iter().filter(|(path, _)| path.starts_with("/api/v2")) {
            for (method, operation) in object(item) {
                let name = format!("{method} {}", &path["/api/v2".len()..]);
                if other.whole["paths"][path][method].is_object() {
                    self.operation(&name, operation, &mut facts);
                }
                facts.insert(name);
            }
        }
        for name in self.shared {
            self.schema(name, &mut facts);
        }
        facts
    }

    fn operation(&self, name: &str, operation: &Value, facts: &mut BTreeSet<String>) {
        facts.insert(format!("{name} is {}", text(&operation["operationId"])));
        for parameter in list(&operation["parameters"]) {
            let place = text(&parameter["in"]);
            let required = if parameter["required"] == json!(true) { "!" } else { "" };
            let schema = &parameter["schema"];
            let mut shape = self.variants(schema);
            // Null is no value of a query, and a path is text where nothing else is said.
            shape.remove("null");
            if place == "path" && shape.contains("any") {
                shape = BTreeSet::from(["string".to_owned()]);
            }
            let default = schema.get("default").map(|default| format!(" = {default}")).unwrap_or_default();
            facts.insert(format!("{name} {place} {}{required}: {}{default}", text(&parameter["name"]), join(&shape)));
        }
        let body = &operation["requestBody"];
        let required = if body["required"] == json!(true) { "!" } else { "" };
        for (media_type, content) in body["content"].as_object().into_iter().flatten() {
            let whole = schema_name(&content["schema"]).filter(|name| self.shared.contains(*name));
            let shape = whole.map_or_else(|| self.shape(&content["schema"]), str::to_owned);
            facts.insert(format!("{name} body{required} {media_type}: {shape}"));
        }
        for (status, response) in object(&operation["responses"]) {
            facts.insert(format!("{name} answers {status}"));
            for (media_type, content) in response["content"].as_object().into_iter().flatten() {
                if status.starts_with('2') {
                    facts.insert(format!("{name} answers {status} {media_type}: {}", self.shape(&content["schema"])));
                }
            }
        }
    }

    /// The fields of a schema that both have.
    fn schema(&self, name: &str, facts: &mut BTreeSet<String>) {
        let (schema, asked) = (self.named(name), self.asked.contains(name));
        let Some(properties) = schema["properties"].as_object() else {
            facts.insert(format!("{name}: {}", self.inline(schema)));
            return;
        };
        if schema["additionalProperties"] == json!(false) && asked {
            facts.insert(format!("{name} is strict"));
        }
        for (field, shape) in properties {
            facts.insert(format!("{name}.{field}: {}", self.shape(shape)));
            if list(&schema["required"]).contains(&json!(field)) {
                facts.insert(format!("{name}.{field} {}", if asked { "is required" } else { PROMISE }));
            }
            if let Some(default) = shape.get("default").filter(|default| asked && !default.is_null()) {
                facts.insert(format!("{name}.{field} = {default}"));
            }
        }
    }

    fn named(&self, name: &str) -> &Value {
        &self.whole["components"]["schemas"][name]
    }

    fn shape(&self, schema: &Value) -> String {
        join(&self.variants(schema))
    }

    /// What a value may be.
    fn variants(&self, schema: &Value) -> BTreeSet<String> {
        if let Some(name) = schema_name(schema) {
            let target = self.named(name);
            // Only objects of answers are known by their names. Lists of words and the like are what they say, and so are the parts
            // of bodies, for which our readers have no names.
            let object = target["properties"].is_object() && self.shared.contains(name) && !self.asked.contains(name);
            return if object { BTreeSet::from([name.to_owned()]) } else { self.variants(target) };
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(variants) = schema[key].as_array() {
                return variants.iter().flat_map(|variant| self.variants(variant)).collect();
            }
        }
        if let Some(types) = schema["type"].as_array() {
            return types.iter().flat_map(|kind| self.variants(&with(schema, "type", kind.clone()))).collect();
        }
        if let Some(words) = schema["enum"].as_array() {
            let words: BTreeSet<&str> = words.iter().map(text).collect();
            return BTreeSet::from([words.into_iter().collect::<Vec<_>>().join("/")]);
        }
        BTreeSet::from([self.inline(schema)])
    }

    fn inline(&self, schema: &Value) -> String {
        let kind = match schema["type"].as_str() {
            Some("array") if schema["prefixItems"].is_array() => {
                let items: Vec<String> = list(&schema["prefixItems"]).iter().map(|item| self.shape(item)).collect();
                format!("({})", items.join(", "))
            }
            Some("array") => format!("[{}]", self.shape(&schema["items"])),
            Some("object") => self.fields(schema),
            Some("null") => return "null".to_owned(),
            Some(kind) => schema["format"].as_str().unwrap_or(kind).to_owned(),
            None => "any".to_owned(),
        };
        let bounds = ["const", "minimum", "maximum", "minLength", "maxLength", "minItems", "pattern"];
        let bounds = bounds.iter().filter_map(|bound| Some(format!(" {bound} {}", plain(schema.get(*bound)?))));
        bounds.fold(kind, |kind, bound| kind + &bound)
    }

    fn fields(&self, schema: &Value) -> String {
        let Some(properties) = schema["properties"].as_object() else {
            return match &schema["additionalProperties"] {
                Value::Object(values) if !values.is_empty() => {
                    match self.shape(&schema["additionalProperties"]).as_str() {
                        "any" => "object".to_owned(),
                        values => format!("object of {values}"),
                    }
                }
                _ => "object".to_owned(),
            };
        };
        let required = list(&schema["required"]);
        let field = |(name, field): (&String, &Value)| {
            let mark = if required.contains(&json!(name)) { "!" } else { "" };
            format!("{name}{mark}: {}", self.shape(field))
        };
        let fields: BTreeSet<String> = properties.iter().map(field).collect();
        format!("{{{}}}", fields.into_iter().collect::<Vec<_>>().join(", "))
    }
}

/// The schemas of a document that bodies consist of.
fn asked(document: &Value) -> BTreeSet<String> {
    let operations = object(&document["paths"]).values().flat_map(|item| object(item).values());
    let (mut found, mut open) = (BTreeSet::new(), Vec::new());
    open.extend(operations.flat_map(|operation| names(&operation["requestBody"])));
    while let Some(name) = open.pop() {
        open.extend(names(&document["components"]["schemas"][&name]).into_iter().filter(|name| !found.contains(name)));
        found.insert(name);
    }
    found
}

fn schema_name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

fn with(schema: &Value, key: &str, value: Value) -> Value {
    let mut schema = schema.clone();
    schema[key] = value;
    schema
}

/// 0.0 is 0.
fn plain(value: &Value) -> String {
    value.as_f64().map_or_else(|| value.to_string(), |number| number.to_string())
}

fn join(variants: &BTreeSet<String>) -> String {
    // Anything, and null, is anything.
    if variants.contains("any") {
        return "any".to_owned();
    }
    variants.iter().cloned().collect::<Vec<_>>().join(" | ")
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
