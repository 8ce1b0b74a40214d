//! The schema of tasks: one definition per operator, chosen by `operator` or by the short name that stands as a key.

use serde_json::{Map, Value, json};

use super::{callbacks, closed, old_keys, properties, shapes};
use crate::yaml::{
    base::BASE_ARGS,
    keys, legacy,
    operators::{self, Operator},
};

/// What every task takes of `BaseOperator`, with the callbacks.
pub(super) fn base_properties() -> Map<String, Value> {
    let mut result: Map<String, Value> = BASE_ARGS
        .iter()
        .map(|base| {
            let schema = match base.name {
                "trigger_rule" | "weight_rule" => shapes::reference(base.name),
                _ => shapes::of_kind(base.kind),
            };
            (base.name.to_owned(), schema)
        })
        .collect();
    callbacks(&mut result);
    result
}

/// What a task may say beside its operator's arguments.
fn beside() -> Map<String, Value> {
    let mut result = base_properties();
    result.extend(properties(keys::TASK));
    result
}

fn definition(operator: &Operator) -> Value {
    let mut result = beside();
    for arg in operator.args().filter(|arg| !arg.fixed) {
        let mut schema = shapes::of_kind(arg.kind);
        // The native key of the same name is a mapping of sources.
        if arg.name == "secrets" {
            schema = shapes::reference("secrets");
        }
        result.insert(arg.name.to_owned(), schema);
    }
    old_keys(&mut result, legacy::TASK_KEYS);
    let own = json!({ "$ref": format!("#/definitions/{}", name(operator)) });
    for alias in operator.aliases {
        let main =
            operator.main.map(|main| operator.arg(main).map_or_else(|| json!({}), |arg| shapes::of_kind(arg.kind)));
        let main = main.or_else(|| (*alias == "wait_for_task").then(|| shapes::reference("text")));
        let forms: Vec<Value> = [json!({ "type": "null" }), own.clone()].into_iter().chain(main).collect();
        result.insert((*alias).to_owned(), json!({ "anyOf": forms }));
    }
    closed(&result)
}

/// The definition's name: the class's last word, with the module's where two have one name.
fn name(operator: &Operator) -> &'static str {
    operator.class.rsplit('.').next().unwrap_or(operator.class)
}

/// Adds the definitions of operators, and `task`, `tasks` and `groups`.
pub(super) fn insert(defs: &mut Map<String, Value>) {
    let mut rules = Vec::new();
    let named = json!({ "anyOf": [{ "required": ["operator"] }, { "required": ["decorator"] }] });
    for operator in operators::all() {
        defs.insert(name(operator).to_owned(), definition(operator));
        let then = shapes::reference(name(operator));
        if !operators::is_decorated(operator) {
            let modules = operator.modules.iter().map(|module| format!("{module}.{}", name(operator)));
            let paths: Vec<String> = [operator.class]
                .iter()
                .chain(operator.aliases)
                .chain(operator.old)
                .map(ToString::to_string)
                .chain(modules)
                .collect();
            let chosen = json!({ "required": ["operator"], "properties": { "operator": { "enum": paths } } });
            rules.push(json!({ "if": chosen, "then": then }));
        }
        for alias in operator.aliases {
            let mut other = vec![named.clone()];
            if *alias == "email" {
                // Beside another short name it is the argument that every task has.
                other.extend(
                    operators::aliases().filter(|other| *other != "email").map(|other| json!({ "required": [other] })),
                );
            }
            let chosen = json!({ "required": [alias], "not": { "anyOf": other } });
            rules.push(json!({ "if": chosen, "then": then }));
        }
    }
    let mut known = beside();
    old_keys(&mut known, legacy::TASK_KEYS);
    // The value of these is the short form's, or an argument of an operator that is not known here.
    known.shift_remove("email");
    known.shift_remove("secrets");
    known.shift_remove("env");
    defs.insert("task".to_owned(), json!({ "type": ["object", "null"], "properties": known, "allOf": rules }));
    let listed = |keys: [&str; 2], what: &str| json!({ "allOf": [shapes::reference(what), { "anyOf": [{ "required": [keys[0]] }, { "required": [keys[1]] }] }] });
    for (plural, one, keys) in [("tasks", "task", ["task_id", "id"]), ("groups", "group", ["group_name", "group_id"])] {
        let by_name = json!({ "type": ["object", "null"], "additionalProperties": shapes::reference(one) });
        let list = json!({ "type": "array", "items": listed(keys, one) });
        // `if` and not `anyOf`: editors then point at the mistake, and not at the whole.
        let schema = json!({ "if": { "type": "array" }, "then": list, "else": by_name });
        defs.insert(plural.to_owned(), schema);
    }
}
