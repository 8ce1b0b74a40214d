//! The schema of one value. A plain scalar of a typed key is read by its raw text, so text may be a number in JSON; and where
//! the format takes an object (`__type__`) or an environment variable (`$NAME`), so does the schema.

use serde_json::{Map, Value, json};

use crate::yaml::{
    base::RULES,
    callbacks::SENDERS,
    keys::Shape,
    operators::{self, Kind},
};

/// Texts of YAML 1.1's truth values, an environment variable, or a template.
const BOOL_TEXT: &str =
    "^\\s*([yY][eE][sS]|[nN][oO]|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[oO][nN]|[oO][fF][fF])\\s*$|\\$|\\{\\{|\\{%";
/// A number as text (base 60 and 8 too), an environment variable, or a template.
const NUMBER_TEXT: &str = "^\\s*[-+]?[0-9._]|\\$|\\{\\{|\\{%";
/// Anything with a number in it, an environment variable, or a template.
const DURATION_TEXT: &str = "[0-9]|\\$|\\{\\{|\\{%";

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

/// The schema of a key. It is wrapped, since draft 7 ignores what stands beside a `$ref`.
pub(super) fn of_shape(shape: Shape) -> Value {
    let name = match shape {
        Shape::Value(kind) => return of_kind(kind),
        Shape::Tasks => "tasks",
        Shape::Groups => "groups",
        Shape::Schedule => "schedule",
        Shape::DefaultArgs => "default_args",
        Shape::Callback => "callback",
        Shape::Notify => "notify",
        Shape::Deadline => "deadline",
        Shape::Names => "names",
        Shape::Selector => "selector",
        Shape::Secrets => "secrets",
        Shape::Flow => "text_or_list",
        Shape::Operator => "operator",
        Shape::Each => "each",
        Shape::EachByName => "each_by_name",
        Shape::Teardown => "names_or_flag",
        Shape::Output => "output",
    };
    json!({ "allOf": [reference(name)] })
}

/// The schema of an argument's type.
pub(super) fn of_kind(kind: Kind) -> Value {
    let name = match kind {
        Kind::Any => return json!({}),
        Kind::Text | Kind::Moment => "text",
        Kind::Bool => "bool",
        Kind::Int => "integer",
        Kind::Number => "number",
        Kind::Duration | Kind::Delta => "duration",
        Kind::TextMap => "text_map",
        Kind::Map => "map",
        Kind::TextList | Kind::TextOrList => "text_or_list",
        Kind::List => "list",
        Kind::ExitCodes => "exit_codes",
        Kind::BoolOrNumber => "bool_or_number",
        Kind::Date => "date",
        Kind::Assets => "assets",
    };
    json!({ "allOf": [reference(name)] })
}

/// A mapping that stands for something else: an object, or what `__join__` makes.
fn made() -> Value {
    json!({
        "type": "object",
        "anyOf": [{ "required": ["__type__"] }, { "required": ["__join__"] }, { "required": ["__and__"] }, { "required": ["__or__"] }],
    })
}

fn text_like(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

pub(super) fn defs() -> Map<String, Value> {
    let nothing = || json!({ "type": "null" });
    let mut defs = Map::new();
    let mut put = |name: &str, schema: Value| {
        defs.insert(name.to_owned(), schema);
    };
    put("text", json!({ "anyOf": [{ "type": ["string", "number", "boolean", "null"] }, made()] }));
    put("bool", json!({ "anyOf": [{ "type": ["boolean", "null"] }, text_like(BOOL_TEXT), made()] }));
    put("integer", json!({ "anyOf": [{ "type": ["integer", "null"] }, text_like(NUMBER_TEXT), made()] }));
    put("number", json!({ "anyOf": [{ "type": ["number", "null"] }, text_like(NUMBER_TEXT), made()] }));
    put("bool_or_number", json!({ "anyOf": [reference("bool"), reference("number")] }));
    put(
        "duration",
        json!({
            "description": "seconds, 5m, 1h30m, 2 days, PT5M, 01:30:00, or a timedelta",
            "anyOf": [{ "type": "number", "minimum": 0 }, nothing(), text_like(DURATION_TEXT), made()],
        }),
    );
    put(
        "date",
        json!({
            "description": "2025-01-31, 2025-01-31T10:20:30, or a span before today (2 days)",
            "anyOf": [{ "type": ["integer", "null"] }, text_like(DURATION_TEXT), made()],
        }),
    );
    put(
        "text_map",
        json!({ "anyOf": [{ "type": ["object", "null"], "additionalProperties": reference("text") }, text_like("\\{\\{|\\{%|\\$")] }),
    );
    put("map", json!({ "anyOf": [{ "type": ["object", "null"] }, text_like("\\{\\{|\\{%|\\$")] }));
    put("list", json!({ "anyOf": [{ "type": ["array", "null"] }, text_like("\\{\\{|\\{%|\\$"), made()] }));
    put("text_or_list", json!({ "anyOf": [reference("text"), { "type": "array", "items": reference("text") }] }));
    put("exit_codes", json!({ "anyOf": [reference("integer"), { "type": "array", "items": reference("integer") }] }));
    put(
        "assets",
        json!({ "anyOf": [{ "type": ["array", "null"] }, made(), { "type": "object", "required": ["datasets"] }] }),
    );
    put("names", json!({ "anyOf": [reference("text"), { "type": "array", "items": reference("text") }] }));
    put("names_or_flag", reference("names"));
    put("selector", json!({ "type": ["object", "null"], "additionalProperties": reference("text_or_list") }));
    put(
        "secrets",
        json!({
            "description": "NAME: variable:key, connection:id.password, env:NAME or file:/path; of a pod also a list of Secret objects",
            "anyOf": [
                { "type": "object", "additionalProperties": { "type": "string", "pattern": "^(variable|connection|env|file):." } },
                { "type": ["array", "null"] },
                made(),
            ],
        }),
    );
    put(
        "operator",
        json!({
            "description": "a short name, or a class path",
            "anyOf": [{ "enum": operators::aliases().collect::<Vec<_>>() }, text_like("\\.|\\$")],
        }),
    );
    put("each", json!({ "type": ["string", "array", "object"] }));
    put("each_by_name", json!({ "type": "object", "minProperties": 1, "additionalProperties": reference("each") }));
    put("output", json!({ "enum": ["text", "json", "none", null] }));
    let rules: Vec<&str> = RULES.iter().map(|(name, _)| *name).chain(["dummy", "none_failed_or_skipped"]).collect();
    put("trigger_rule", json!({ "anyOf": [{ "enum": rules }, text_like("^[A-Z_]+$|\\.|\\$"), nothing()] }));
    put(
        "weight_rule",
        json!({ "anyOf": [{ "enum": ["downstream", "upstream", "absolute", null] }, text_like("\\$")] }),
    );
    put("callback", json!({ "type": ["string", "object", "array", "null"] }));
    messages(&mut put);
    schedule(&mut put);
    defs
}

/// `on_failure` and its relatives, and `deadline`.
fn messages(put: &mut impl FnMut(&str, Value)) {
    let fields = |names: &[&str]| {
        let properties: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        json!({ "type": "object", "properties": properties, "additionalProperties": false })
    };
    let email = fields(&["to", "subject", "body", "html_content", "from", "from_email", "conn_id"]);
    put("email", json!({ "anyOf": [reference("text"), { "type": "array" }, email] }));
    put("http", json!({ "anyOf": [{ "type": "string" }, fields(&["url", "method", "json", "headers"])] }));
    let mut slack = fields(&["conn_id", "channel", "text"]);
    slack["required"] = json!(["conn_id", "text"]);
    put("slack", slack);
    let senders: Map<String, Value> = SENDERS.iter().map(|name| ((*name).to_owned(), reference(name))).collect();
    put(
        "message",
        json!({
            "type": "object",
            "properties": senders,
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
        }),
    );
    put(
        "notify",
        json!({ "anyOf": [reference("message"), { "type": "array", "items": reference("message") }, { "type": "null" }] }),
    );
    let mut one = json!({
        "type": "object",
        "properties": {
            "reference": reference("text"),
            "interval": reference("duration"),
            "max_runs": reference("integer"),
            "callback": reference("callback"),
        },
        "additionalProperties": false,
        "required": ["reference", "interval"],
    });
    for name in SENDERS {
        one["properties"][name] = reference(name);
    }
    put("one_deadline", one);
    put(
        "deadline",
        json!({ "anyOf": [reference("one_deadline"), { "type": "array", "items": reference("one_deadline") }, { "type": "null" }] }),
    );
}

fn schedule(put: &mut impl FnMut(&str, Value)) {
    let keys: Map<String, Value> = crate::yaml::schedule::KEYS
        .iter()
        .map(|name| {
            let schema = match *name {
                "cron" => reference("text_or_list"),
                "timezone" => reference("text"),
                "data_interval" => reference("bool"),
                "every" => reference("duration"),
                _ => json!({}),
            };
            ((*name).to_owned(), schema)
        })
        .collect();
    put(
        "schedule",
        json!({ "anyOf": [
            { "type": ["string", "number", "array", "null"] },
            made(),
            { "type": "object", "required": ["datasets"] },
            { "type": "object", "properties": keys, "additionalProperties": false, "minProperties": 1 },
        ] }),
    );
}
