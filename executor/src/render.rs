//! A task's fields become values: templates are rendered here, on the node, by `core`'s pure function.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value};
use updraft_core::{
    spec::{Failure, FailureClass, TaskSpec},
    template::{self, RenderError, Resolved},
};
use updraft_protocol::{Ref, ResolvedRef, StartAttempt};

use crate::{
    client::{Backoff, CallError},
    mask::Mask,
    node::Node,
    runner::failure,
};

/// A template may name values that only its earlier values lead to; more rounds than this are a mistake.
const ROUNDS: usize = 20;
/// Tries to fetch values before the attempt fails; with the backoff about half a minute.
const TRIES: usize = 10;

/// Rendered fields are shown up to this length (Airflow: `[core] max_templated_field_length`).
const FIELD_LIMIT: usize = 4096;

/// A task ready to run.
pub(crate) struct Rendered {
    pub(crate) args: Map<String, Value>,
    pub(crate) env: IndexMap<String, String>,
    /// `AIRFLOW_CTX_*`.
    pub(crate) context_env: Vec<(String, String)>,
    /// The template fields as rendered, secrets masked; `None` when the operator has none.
    pub(crate) fields: Option<Value>,
    pub(crate) mask: Arc<Mask>,
}

/// Renders what the task's templates name, fetching what the hand-out did not bring.
pub(crate) async fn render(node: &Node, start: &StartAttempt, spec: &TaskSpec) -> Result<Rendered, Failure> {
    let mut values = start.refs.clone();
    for _ in 0..ROUNDS {
        let resolved: Resolved = values.iter().map(|known| (to_core(&known.reference), known.value.clone())).collect();
        let rendered = template::render_fields(spec, &resolved)
            .and_then(|args| Ok((args, template::render_env(spec, &resolved)?)));
        let missing = match rendered {
            Ok((args, env)) => return Ok(finish(spec, args, env, &values)),
            Err(RenderError::Missing(missing)) => missing,
            Err(RenderError::Failed(wrong)) => {
                let reason = Mask::of(&values).apply(&wrong.to_string()).into_owned();
                return Err(failure(FailureClass::TemplateError, reason));
            }
        };
        values.extend(fetch(node, start, missing.iter().map(to_protocol).collect()).await?);
    }
    let reason = format!("The task's templates still ask for values after {ROUNDS} rounds of fetching them.");
    Err(failure(FailureClass::TemplateError, reason))
}

fn finish(
    spec: &TaskSpec,
    mut args: Map<String, Value>,
    env: IndexMap<String, String>,
    values: &[ResolvedRef],
) -> Rendered {
    let mask = Mask::of(values);
    let names = spec.operator.template_fields();
    let shown: Map<String, Value> =
        names.iter().filter_map(|name| Some(((*name).to_owned(), args.get(*name)?.clone()))).collect();
    let fields = (!names.is_empty()).then(|| {
        let mut fields = Value::Object(shown);
        mask.apply_json(&mut fields);
        shorten(&mut fields);
        fields
    });
    as_text(&mut args);
    let context_env = template::airflow_ctx_env(spec);
    Rendered { args, env, context_env, fields, mask: Arc::new(mask) }
}

/// Cuts long fields: they are shown to people and travel in every report.
fn shorten(fields: &mut Value) {
    let Value::Object(fields) = fields else { return };
    for field in fields.values_mut() {
        let text = match &*field {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if text.len() > FIELD_LIMIT {
            let start: String = text.chars().take(FIELD_LIMIT).collect();
            *field = Value::String(format!("Truncated to {FIELD_LIMIT} characters: {start}"));
        }
    }
}

async fn fetch(node: &Node, start: &StartAttempt, refs: Vec<Ref>) -> Result<Vec<ResolvedRef>, Failure> {
    let mut backoff = Backoff::new();
    let mut tried = 0;
    loop {
        let error = match node.client.resolve(start.attempt_id, &start.token, refs.clone()).await {
            Ok(mut values) => {
                // What the server left out does not exist: asking for it again would change nothing.
                for reference in &refs {
                    if !values.iter().any(|value| value.reference == *reference) {
                        values.push(ResolvedRef { reference: reference.clone(), value: None });
                    }
                }
                return Ok(values);
            }
            Err(error) => error,
        };
        tried += 1;
        if tried >= TRIES || matches!(error, CallError::Rejected { .. } | CallError::Refused { .. }) {
            let reason = format!("What the task's templates name could not be fetched from the server: {error}.");
            return Err(failure(FailureClass::NodeError, reason));
        }
        tokio::time::sleep(backoff.delay(&error)).await;
    }
}

/// Variables, labels and commands are texts, though YAML or a native render made numbers of them (Airflow: `str()`).
fn as_text(args: &mut Map<String, Value>) {
    for name in ["bash_command", "cwd", "image", "working_dir", "user"] {
        if let Some(value) = args.get_mut(name) {
            scalar_text(value);
        }
    }
    for name in ["env", "environment", "private_environment", "labels"] {
        if let Some(Value::Object(fields)) = args.get_mut(name) {
            fields.values_mut().for_each(scalar_text);
        }
    }
    for name in ["command", "entrypoint", "cmds", "arguments"] {
        match args.get_mut(name) {
            Some(Value::Array(words)) => words.iter_mut().for_each(scalar_text),
            Some(value) => scalar_text(value),
            None => {}
        }
    }
}

fn scalar_text(value: &mut Value) {
    let text = match value {
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => return,
    };
    *value = Value::String(text);
}

fn to_core(reference: &Ref) -> template::Ref {
    match reference.clone() {
        Ref::XCom { task_id, key, map_index } => template::Ref::XCom { task_id, key, map_index },
        Ref::Variable { key } => template::Ref::Variable { key },
        Ref::Connection { conn_id } => template::Ref::Connection { conn_id },
    }
}

fn to_protocol(reference: &template::Ref) -> Ref {
    match reference.clone() {
        template::Ref::XCom { task_id, key, map_index } => Ref::XCom { task_id, key, map_index },
        template::Ref::Variable { key } => Ref::Variable { key },
        template::Ref::Connection { conn_id } => Ref::Connection { conn_id },
    }
}
