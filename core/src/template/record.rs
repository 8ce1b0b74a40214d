//! Objects with fixed fields: `dag`, `task`, `dag_run`, a connection.

use std::{fmt, sync::Arc};

use minijinja::{
    Value,
    value::{Enumerator, Object},
};
use serde_json::Value as Json;

use super::json::from_json;

/// Fixed fields with a name; an unknown field is undefined.
#[derive(Debug)]
pub(super) struct Record {
    name: &'static str,
    fields: Vec<(&'static str, Value)>,
}

impl Record {
    pub(super) fn value(name: &'static str, fields: Vec<(&'static str, Value)>) -> Value {
        Value::from_object(Self { name, fields })
    }
}

impl Object for Record {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.fields.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone())
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.fields.iter().map(|(name, _)| Value::from(*name)).collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = ["run_id", "task_id", "dag_id", "conn_id"].iter().find_map(|key| self.get_value_by_str(key));
        match id {
            Some(id) => write!(f, "<{} {id}>", self.name),
            None => write!(f, "<{}>", self.name),
        }
    }
}

/// The fields of a connection as the server sends them; `extra` may be text or already an object.
pub(super) fn connection(conn_id: &str, fields: &Json) -> Value {
    let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let plain = |name: &str| field(name).map_or(Value::from(()), from_json);
    let extra = match field("extra") {
        Some(Json::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(other) => other.clone(),
        None => Json::Null,
    };
    let extra_text = match field("extra") {
        Some(Json::String(text)) => Value::from(text.as_str()),
        Some(other) => Value::from(other.to_string()),
        None => Value::from(()),
    };
    let extra = if extra.is_object() { extra } else { Json::Object(serde_json::Map::new()) };
    Record::value(
        "conn",
        vec![
            ("conn_id", conn_id.into()),
            ("conn_type", plain("conn_type")),
            ("description", plain("description")),
            ("host", plain("host")),
            ("schema", plain("schema")),
            ("login", plain("login")),
            ("password", plain("password")),
            ("port", plain("port")),
            ("extra", extra_text),
            ("extra_dejson", from_json(&extra)),
        ],
    )
}
