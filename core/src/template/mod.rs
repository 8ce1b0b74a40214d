//! Templates: Jinja2 with Airflow's context, rendered on the node, pure.
//!
//! A render needs no I/O: XComs, variables and connections come in [`Resolved`]. What is not there yet comes back as
//! [`RenderError::Missing`]; the node asks the server and renders again. [`refs`] finds most of them beforehand.
//!
//! Rendering is bounded in steps and in output, reads no clock and throws no dice: a text rendered twice is the same twice.

mod context;
mod delta;
mod engine;
mod filters;
mod json;
mod macros;
mod moment;
mod native;
mod python;
mod record;
mod scan;
mod strftime;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt, sync::Arc};

use indexmap::IndexMap;
use minijinja::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::{
    context::Context,
    engine::{Compiled, is_template},
};
use crate::{spec::TaskSpec, timetable::isoformat};

/// Something a template names that the node has to ask the server for. The JSON is that of the executor protocol's `Ref`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ref {
    /// The value of `key` of one task instance of the same run; `map_index` absent: all of a mapped task, as a list.
    #[serde(rename = "xcom")]
    XCom { task_id: String, key: String, map_index: Option<i32> },
    /// The value is the variable's text.
    Variable { key: String },
    /// The value is an object with `conn_type`, `host`, `schema`, `login`, `password`, `port`, `extra`.
    Connection { conn_id: String },
}

/// Values fetched so far. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Resolved(Arc<HashMap<Ref, Option<Value>>>);

impl Resolved {
    /// `None`: it does not exist on the server. An XCom that does not exist renders as None, a variable or connection fails.
    pub fn insert(&mut self, reference: Ref, value: Option<Value>) {
        Arc::make_mut(&mut self.0).insert(reference, value);
    }

    /// Adds what else was fetched.
    pub fn extend(&mut self, more: Self) {
        let more = Arc::unwrap_or_clone(more.0);
        Arc::make_mut(&mut self.0).extend(more);
    }

    /// The value; `None` when it does not exist or was not fetched, see [`Resolved::contains`].
    pub fn value(&self, reference: &Ref) -> Option<&Value> {
        self.0.get(reference)?.as_ref()
    }

    /// Whether it was fetched, existing or not.
    pub fn contains(&self, reference: &Ref) -> bool {
        self.0.contains_key(reference)
    }
}

impl FromIterator<(Ref, Option<Value>)> for Resolved {
    fn from_iter<I: IntoIterator<Item = (Ref, Option<Value>)>>(values: I) -> Self {
        Self(Arc::new(values.into_iter().collect()))
    }
}

/// Why a render gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Ask the server for these, add them to [`Resolved`], render again. Never empty.
    #[error("{} referenced values are not fetched yet", .0.len())]
    Missing(Vec<Ref>),
    /// The template is wrong; rendering again gives the same.
    #[error(transparent)]
    Failed(#[from] TemplateFailure),
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TemplateFailure {
    /// The argument: `bash_command`, `op_kwargs.day`, `env.HOME`, `command[2]`.
    pub field: String,
    /// In the text of that field, from 1.
    pub line: Option<u32>,
    /// The undefined name, where that is what is wrong: `params.day`.
    pub name: Option<String>,
    pub message: String,
}

impl fmt::Display for TemplateFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template of `{}`", self.field)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// What kind of mistake a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntaxKind {
    Syntax,
    UnknownFilter,
    UnknownTest,
}

/// A text that does not compile. Line and column count from 1, the column in characters, both within the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxProblem {
    pub line: u32,
    pub column: Option<u32>,
    pub message: String,
    pub kind: SyntaxKind,
}

/// Renders the operator's template fields, recursively through lists and mappings (values, not keys); the rest of the
/// arguments is left alone. With `render_template_as_native_obj` a text may become any value.
pub fn render_fields(spec: &TaskSpec, resolved: &Resolved) -> Result<Map<String, Value>, RenderError> {
    let mut renderer = Renderer::new(spec, resolved, spec.run.render_template_as_native_obj);
    let fields = spec.operator.template_fields();
    let mut args = Map::with_capacity(spec.args.len());
    for (name, value) in &spec.args {
        let rendered = if fields.contains(&name.as_str()) { renderer.value(name, value)? } else { value.clone() };
        args.insert(name.clone(), rendered);
    }
    renderer.finish(args)
}

/// Renders the values of the task's environment; always to text.
pub fn render_env(spec: &TaskSpec, resolved: &Resolved) -> Result<IndexMap<String, String>, RenderError> {
    let mut renderer = Renderer::new(spec, resolved, false);
    let mut env = IndexMap::with_capacity(spec.env.len());
    for (name, text) in &spec.env {
        env.insert(name.clone(), renderer.text(&format!("env.{name}"), text)?);
    }
    renderer.finish(env)
}

/// Renders one text; `field` is for messages.
pub fn render_text(text: &str, field: &str, spec: &TaskSpec, resolved: &Resolved) -> Result<String, RenderError> {
    let mut renderer = Renderer::new(spec, resolved, false);
    let rendered = renderer.text(field, text)?;
    renderer.finish(rendered)
}

/// Renders one text to the value it stands for, as with `render_template_as_native_obj`: what the scheduler itself evaluates
/// (`when`, `foreach`).
pub fn render_value(text: &str, field: &str, spec: &TaskSpec, resolved: &Resolved) -> Result<Value, RenderError> {
    let mut renderer = Renderer::new(spec, resolved, true);
    let rendered = renderer.value(field, &Value::String(text.to_owned()))?;
    renderer.finish(rendered)
}

/// The XComs, variables and connections that arguments and environment name literally, each once, in the order found.
/// Every argument is looked at, since which of them are rendered is the operator's affair: one too many does no harm.
pub fn refs(args: &Map<String, Value>, env: &IndexMap<String, String>) -> Vec<Ref> {
    let mut found = Vec::new();
    for value in args.values() {
        scan_value(value, &mut found);
    }
    for text in env.values() {
        scan::scan(text, None, &mut found);
    }
    found
}

fn scan_value(value: &Value, found: &mut Vec<Ref>) {
    match value {
        Value::String(text) => scan::scan(text, None, found),
        Value::Array(items) => items.iter().for_each(|item| scan_value(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| scan_value(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Compiles a text without rendering it: the syntax must be right, filters and tests must exist. For the loader; names
/// cannot be checked before a run.
pub fn check_syntax(text: &str) -> Result<(), SyntaxProblem> {
    if !is_template(text) {
        return Ok(());
    }
    let compiled = Compiled::new(text).map_err(|error| {
        let offset = error.range().map(|range| range.start);
        SyntaxProblem {
            line: error.line().unwrap_or(1) as u32,
            column: offset.map(|offset| column(text, offset)),
            message: error.detail().map_or_else(|| error.kind().to_string(), str::to_owned),
            kind: SyntaxKind::Syntax,
        }
    })?;
    compiled.check().map_err(|unknown| SyntaxProblem {
        line: unknown.line.unwrap_or(1),
        column: unknown.offset.map(|offset| column(text, offset)),
        message: format!("there is no {} named `{}`", if unknown.is_filter { "filter" } else { "test" }, unknown.name),
        kind: if unknown.is_filter { SyntaxKind::UnknownFilter } else { SyntaxKind::UnknownTest },
    })
}

/// The column, in characters from 1, of a byte offset.
fn column(text: &str, offset: usize) -> u32 {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    line.chars().count() as u32 + 1
}

/// `AIRFLOW_CTX_*`: what Airflow puts into the environment of every command.
pub fn airflow_ctx_env(spec: &TaskSpec) -> Vec<(String, String)> {
    let run = &spec.run;
    let mut env = vec![
        ("AIRFLOW_CTX_DAG_ID", run.dag_id.to_string()),
        ("AIRFLOW_CTX_TASK_ID", spec.task_id.to_string()),
        ("AIRFLOW_CTX_DAG_RUN_ID", run.run_id.to_string()),
        ("AIRFLOW_CTX_TRY_NUMBER", spec.try_number.to_string()),
        ("AIRFLOW_CTX_DAG_OWNER", spec.owner.clone()),
    ];
    if let Some(logical_date) = run.logical_date {
        env.push(("AIRFLOW_CTX_LOGICAL_DATE", isoformat(logical_date)));
    }
    env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Renders text after text, collecting what is missing, so that one question to the server fetches it all.
struct Renderer<'a> {
    spec: &'a TaskSpec,
    resolved: &'a Resolved,
    native: bool,
    /// Made when the first template is met: most texts are none.
    context: Option<Context>,
    missing: Vec<Ref>,
}

impl<'a> Renderer<'a> {
    fn new(spec: &'a TaskSpec, resolved: &'a Resolved, native: bool) -> Self {
        Self { spec, resolved, native, context: None, missing: Vec::new() }
    }

    fn value(&mut self, field: &str, value: &Value) -> Result<Value, TemplateFailure> {
        Ok(match value {
            Value::String(text) if !is_template(text) => value.clone(),
            Value::String(text) if self.native => self.native(field, text)?,
            Value::String(text) => Value::String(self.text(field, text)?),
            Value::Array(items) => {
                let mut rendered = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    rendered.push(self.value(&format!("{field}[{index}]"), item)?);
                }
                Value::Array(rendered)
            }
            Value::Object(fields) => {
                let mut rendered = Map::with_capacity(fields.len());
                for (name, item) in fields {
                    rendered.insert(name.clone(), self.value(&format!("{field}.{name}"), item)?);
                }
                Value::Object(rendered)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    /// An empty text stands in while something is missing; [`Self::finish`] keeps it from getting out.
    fn text(&mut self, field: &str, text: &str) -> Result<String, TemplateFailure> {
        if !is_template(text) {
            return Ok(text.to_owned());
        }
        let context = self.context();
        let rendered = Compiled::new(text).and_then(|compiled| compiled.render(context.root()));
        self.settle(field, text, &context, rendered)
    }

    fn native(&mut self, field: &str, text: &str) -> Result<Value, TemplateFailure> {
        let context = self.context();
        let rendered = Compiled::new(text)
            .and_then(|compiled| compiled.render_native(context.root()))
            .and_then(|value| json::to_json(&value));
        self.settle(field, text, &context, rendered)
    }

    fn settle<T: Default>(
        &mut self,
        field: &str,
        text: &str,
        context: &Context,
        rendered: Result<T, Error>,
    ) -> Result<T, TemplateFailure> {
        let missing = context.take_missing();
        match rendered {
            Ok(rendered) => Ok(rendered),
            Err(_) if !missing.is_empty() => {
                // With those that stand further on in the text.
                let mut found = missing;
                scan::scan(text, Some(self.spec.task_id.as_str()), &mut found);
                for reference in found {
                    if !self.resolved.contains(&reference) && !self.missing.contains(&reference) {
                        self.missing.push(reference);
                    }
                }
                Ok(T::default())
            }
            Err(error) => Err(failure(field, text, context, &error)),
        }
    }

    fn context(&mut self) -> Context {
        self.context.get_or_insert_with(|| Context::new(self.spec, &self.resolved.0)).clone()
    }

    fn finish<T>(self, rendered: T) -> Result<T, RenderError> {
        if self.missing.is_empty() { Ok(rendered) } else { Err(RenderError::Missing(self.missing)) }
    }
}

fn failure(field: &str, text: &str, context: &Context, error: &Error) -> TemplateFailure {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let name = context.take_failed().or_else(|| undefined_name(error, &detail));
    let root = name.as_deref().map(|name| name.split(['.', '[']).next().unwrap_or_default());
    let message = match error.kind() {
        ErrorKind::OutOfFuel => "the template takes too many steps".to_owned(),
        ErrorKind::TemplateNotFound => format!("{detail}: templates cannot read files yet"),
        _ => root.and_then(|root| context.explain(root)).unwrap_or(detail),
    };
    // minijinja counts lines only of instructions; a syntax error at the very end has none.
    let line = error.line().or_else(|| error.range().map(|range| text[..range.start].matches('\n').count() + 1));
    TemplateFailure { field: field.to_owned(), line: line.map(|line| line as u32), name, message }
}

/// minijinja says "`params.day` is undefined", possibly behind other words, and "day is unknown" of a function.
fn undefined_name(error: &Error, detail: &str) -> Option<String> {
    if error.kind() == ErrorKind::UnknownFunction {
        return detail.strip_suffix(" is unknown").map(str::to_owned);
    }
    let (before, _) = detail.split_once("` is undefined")?;
    before.rsplit_once('`').map(|(_, name)| name.to_owned())
}
