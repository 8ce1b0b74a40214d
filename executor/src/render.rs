//! A task's fields become values: templates are rendered here, on the node, by `core`'s pure function.

mod files;
mod secrets;

use std::{sync::Arc, time::Duration};

use indexmap::IndexMap;
use serde_json::{Map, Value};
use updraft_core::{
    mask::Mask,
    secret_source::SecretSource,
    spec::{Failure, FailureClass, TaskSpec},
    template::{self, RenderError, Resolved},
};
use updraft_protocol::{Part, Ref, ResolvedRef, StartAttempt};

use self::files::Library;
use crate::{
    client::{Backoff, CallError},
    node::Node,
    runner::failure,
};

/// A template may name values that only its earlier values lead to; more rounds than this are a mistake.
const ROUNDS: usize = 20;
/// The work of a render is bounded; so much for what is not counted, such as files that it includes.
const RENDER_TIME: Duration = Duration::from_secs(60);
/// Tries to fetch values before the attempt fails; with the backoff about half a minute.
const TRIES: usize = 10;

/// Rendered fields are shown up to this length (Airflow: `[core] max_templated_field_length`).
const FIELD_LIMIT: usize = 4096;

/// A task ready to run.
pub(crate) struct Rendered {
    pub(crate) args: Map<String, Value>,
    /// The task's own variables, its secrets among them.
    pub(crate) env: IndexMap<String, String>,
    /// `AIRFLOW_CTX_*`.
    pub(crate) context_env: Vec<(String, String)>,
    /// The template fields as rendered, secrets masked; `None` when the operator has none.
    pub(crate) fields: Option<Value>,
    /// What people see instead of the map index, or why they see the index.
    pub(crate) label: Result<Option<String>, String>,
    /// What the instance's mapping names.
    pub(crate) names: Map<String, Value>,
    /// Everything that was fetched.
    pub(crate) resolved: Resolved,
    pub(crate) mask: Arc<Mask>,
}

impl Rendered {
    /// Variables every task gets, whatever its operator's own `env` says.
    pub(crate) fn task_env(&self) -> impl Iterator<Item = (&String, &String)> {
        self.context_env.iter().map(|(name, value)| (name, value)).chain(&self.env)
    }
}

/// Renders what the task's templates name, fetching what the hand-out did not bring.
pub(crate) async fn render(node: &Node, start: &StartAttempt, spec: &TaskSpec) -> Result<Rendered, Failure> {
    let sources = secrets::sources(spec)?;
    let mut values = start.refs.clone();
    let mut wanted: Vec<Ref> =
        sources.values().filter_map(SecretSource::reference).map(|found| to_protocol(&found)).collect();
    wanted.retain(|reference| !values.iter().any(|known| known.reference == *reference));
    if !wanted.is_empty() {
        wanted.sort();
        wanted.dedup();
        values.extend(fetch(node, start, wanted).await?);
    }
    let library = library(node, spec).await?;
    for _ in 0..ROUNDS {
        let mut resolved = self::resolved(&values);
        if let Some(library) = library.clone() {
            resolved = resolved.with_files(move |name| library.read(name));
        }
        let missing = match whole_apart(spec, &resolved).await? {
            Ok(whole) => {
                let secrets = secrets::fill(node, &sources, &resolved)?;
                return Ok(finish(spec, whole, secrets, resolved));
            }
            Err(RenderError::Missing(missing)) => missing,
            Err(RenderError::Failed(wrong)) => return Err(failure(FailureClass::TemplateError, wrong.to_string())),
        };
        values.extend(fetch(node, start, missing.iter().map(to_protocol).collect()).await?);
    }
    let reason = format!("The task's templates still ask for values after {ROUNDS} rounds of fetching them.");
    Err(failure(FailureClass::TemplateError, reason))
}

/// The same without asking the server for anything: `None` when a template does.
pub(crate) async fn render_known(node: &Node, spec: &TaskSpec) -> Result<Option<Rendered>, Failure> {
    let mut resolved = Resolved::default();
    if let Some(library) = library(node, spec).await? {
        resolved = resolved.with_files(move |name| library.read(name));
    }
    match whole_apart(spec, &resolved).await? {
        Ok(whole) => Ok(Some(finish(spec, whole, Vec::new(), resolved))),
        Err(RenderError::Missing(_)) => Ok(None),
        Err(RenderError::Failed(wrong)) => Err(failure(FailureClass::TemplateError, wrong.to_string())),
    }
}

/// The bundle's files, when a template includes one.
async fn library(node: &Node, spec: &TaskSpec) -> Result<Option<Arc<Library>>, Failure> {
    let Some(hash) = spec.bundle_hash.as_deref().filter(|_| template::names_files(spec)) else { return Ok(None) };
    Ok(Some(Arc::new(Library::new(&node.bundles.get(hash).await?, spec))))
}

/// Everything of the task that is a template.
struct Whole {
    args: Map<String, Value>,
    env: IndexMap<String, String>,
    label: Result<Option<String>, String>,
    names: Map<String, Value>,
}

/// On a thread where a long render keeps nothing else waiting, for as long as one may take.
async fn whole_apart(spec: &TaskSpec, resolved: &Resolved) -> Result<Result<Whole, RenderError>, Failure> {
    let (spec, resolved) = (spec.clone(), resolved.clone());
    let rendering = tokio::task::spawn_blocking(move || whole(&spec, &resolved));
    match tokio::time::timeout(RENDER_TIME, rendering).await {
        Ok(Ok(rendered)) => Ok(rendered),
        Ok(Err(gone)) => {
            let reason = format!("The task's templates could not be rendered: {gone}.");
            Err(failure(FailureClass::TemplateError, reason))
        }
        Err(tokio::time::error::Elapsed { .. }) => {
            let reason = format!("The task's templates did not render within {} s.", RENDER_TIME.as_secs());
            Err(failure(FailureClass::TemplateError, reason))
        }
    }
}

fn whole(spec: &TaskSpec, resolved: &Resolved) -> Result<Whole, RenderError> {
    let args = template::render_fields(spec, resolved)?;
    let env = template::render_env(spec, resolved)?;
    // A label that does not render is no reason not to run, as in Airflow.
    let label = match template::render_map_index(spec, resolved) {
        Ok(label) => Ok(label),
        Err(RenderError::Failed(wrong)) => Err(wrong.to_string()),
        Err(missing @ RenderError::Missing(_)) => return Err(missing),
    };
    Ok(Whole { args, env, label, names: template::mapped_names(spec, resolved)? })
}

fn finish(spec: &TaskSpec, whole: Whole, secrets: Vec<(String, String)>, resolved: Resolved) -> Rendered {
    let Whole { mut args, mut env, label, names } = whole;
    let mask = resolved.mask().with(&Mask::of_texts(secrets.iter().map(|(_, secret)| secret.as_str())));
    env.extend(secrets);
    let label = label
        .map(|label| label.map(|label| mask.apply(&label).into_owned()))
        .map_err(|wrong| mask.apply(&wrong).into_owned());
    let fields = spec.operator.template_fields();
    let shown: Map<String, Value> =
        fields.iter().filter_map(|name| Some(((*name).to_owned(), args.get(*name)?.clone()))).collect();
    let fields = (!fields.is_empty()).then(|| {
        let mut fields = Value::Object(shown);
        mask.apply_json(&mut fields);
        shorten(&mut fields);
        fields
    });
    as_text(&mut args);
    let context_env = template::airflow_ctx_env(spec);
    Rendered { args, env, context_env, fields, label, names, resolved, mask: Arc::new(mask) }
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

/// What was fetched, for `core`.
pub(crate) fn resolved(values: &[ResolvedRef]) -> Resolved {
    values.iter().map(|known| (template_ref(&known.reference), known.value.clone())).collect()
}

pub(crate) async fn fetch(node: &Node, start: &StartAttempt, refs: Vec<Ref>) -> Result<Vec<ResolvedRef>, Failure> {
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

/// A reference of the protocol as templates have it.
pub fn template_ref(reference: &Ref) -> template::Ref {
    match reference.clone() {
        Ref::XCom { task_id, key, map_index, part } => {
            let part = part.map(|part| match part {
                Part::Length => template::Part::Length,
                Part::Item(position) => template::Part::Item(position),
                Part::All => template::Part::All,
            });
            template::Ref::XCom { task_id, key, map_index, part }
        }
        Ref::XComOf { dag_id, run_id, include_prior_dates, task_id, key, map_index } => {
            template::Ref::XComOf { dag_id, run_id, include_prior_dates, task_id, key, map_index }
        }
        Ref::Variable { key } => template::Ref::Variable { key },
        Ref::Connection { conn_id } => template::Ref::Connection { conn_id },
    }
}

fn to_protocol(reference: &template::Ref) -> Ref {
    match reference.clone() {
        template::Ref::XCom { task_id, key, map_index, part } => {
            let part = part.map(|part| match part {
                template::Part::Length => Part::Length,
                template::Part::Item(position) => Part::Item(position),
                template::Part::All => Part::All,
            });
            Ref::XCom { task_id, key, map_index, part }
        }
        template::Ref::XComOf { dag_id, run_id, include_prior_dates, task_id, key, map_index } => {
            Ref::XComOf { dag_id, run_id, include_prior_dates, task_id, key, map_index }
        }
        template::Ref::Variable { key } => Ref::Variable { key },
        template::Ref::Connection { conn_id } => Ref::Connection { conn_id },
    }
}
