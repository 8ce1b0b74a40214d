//! Templates: Jinja2 with Airflow's context, rendered on the node, pure.
//!
//! A render needs no I/O: XComs, variables and connections come in [`Resolved`]. What is not there yet comes back as
//! [`RenderError::Missing`]; the node asks the server and renders again. [`refs`] finds most of them beforehand.
//!
//! Rendering is bounded in steps, in work and in output, reads no clock and throws no dice: a text rendered twice is the same twice.

mod constant;
mod context;
mod delta;
mod dice;
mod engine;
mod files;
mod filters;
mod humans;
mod instance;
mod json;
mod ldml;
mod macros;
#[cfg(test)]
mod macros_tests;
#[cfg(test)]
mod mapped_tests;
mod metered;
mod moment;
mod native;
mod python;
mod record;
mod relative;
mod scan;
mod strftime;
#[cfg(test)]
mod tests;
mod work;

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use indexmap::IndexMap;
use minijinja::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::{
    context::Context,
    engine::{Compiled, is_template},
    files::Files,
    instance::Instance,
    work::Budget,
};
use crate::{
    dag::{Dag, MapInput},
    mapping,
    mask::Mask,
    operator::XComArg,
    secret_source::SecretSource,
    spec::TaskSpec,
    timetable::isoformat,
};

/// Something a template names that the node has to ask the server for. The JSON is that of the executor protocol's `Ref`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ref {
    /// The value of `key` of one task instance of the same run; `map_index` absent: all of a mapped task, as a list.
    #[serde(rename = "xcom")]
    XCom {
        task_id: String,
        key: String,
        map_index: Option<i32>,
        /// Not the whole value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<Part>,
    },
    /// The values of `key` of a task in another run, as [`Part::All`] of them; of one instance when `map_index` is given.
    #[serde(rename = "xcom_of")]
    XComOf {
        /// Absent: the same DAG.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dag_id: Option<String>,
        /// Absent: the same run id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_id: Option<String>,
        /// Of the latest run that pushed it, up to the logical date of that one.
        include_prior_dates: bool,
        task_id: String,
        key: String,
        map_index: Option<i32>,
    },
    /// The value is the variable's text.
    Variable { key: String },
    /// The value is an object with `conn_type`, `host`, `schema`, `login`, `password`, `port`, `extra`.
    Connection { conn_id: String },
}

/// What of an XCom is wanted. A list's parts are its items, a mapping's its entries; other values have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// How many there are, a number.
    Length,
    /// The one at this position, in a list or mapping of its own (`[item]`, `{key: value}`).
    Item(u32),
    /// What every instance of the task pushed, as a list in the order of the map indexes: of a task that is not mapped, a list of
    /// one.
    All,
}

impl Part {
    /// This part of a value; `None` when it has no such part.
    pub fn of(self, value: &Value) -> Option<Value> {
        match self {
            Self::Length => mapping::length(value).map(Value::from),
            Self::Item(position) => mapping::element(value, position as usize).map(Value::from),
            Self::All => Some(Value::Array(vec![value.clone()])),
        }
    }
}

/// Values fetched so far, and where template files come from. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    values: Arc<HashMap<Ref, Option<Value>>>,
    files: Files,
}

impl Resolved {
    /// `None`: it does not exist on the server. An XCom that does not exist renders as None, a variable or connection fails.
    pub fn insert(&mut self, reference: Ref, value: Option<Value>) {
        Arc::make_mut(&mut self.values).insert(reference, value);
    }

    /// Adds what else was fetched.
    pub fn extend(&mut self, more: Self) {
        let more = Arc::unwrap_or_clone(more.values);
        Arc::make_mut(&mut self.values).extend(more);
    }

    /// Lets templates include files. `read` answers the text of a file by its name, or `None`; what is within reach is its affair.
    #[must_use]
    pub fn with_files(self, read: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { files: Files::new(read), ..self }
    }

    /// The value; `None` when it does not exist or was not fetched, see [`Resolved::contains`].
    pub fn value(&self, reference: &Ref) -> Option<&Value> {
        self.values.get(reference)?.as_ref()
    }

    /// The secrets among the values.
    pub fn mask(&self) -> Mask {
        Mask::of(self.values.iter().filter_map(|(reference, value)| Some((reference, value.as_ref()?))))
    }

    /// Whether it was fetched, existing or not.
    pub fn contains(&self, reference: &Ref) -> bool {
        self.values.contains_key(reference)
    }
}

impl FromIterator<(Ref, Option<Value>)> for Resolved {
    fn from_iter<I: IntoIterator<Item = (Ref, Option<Value>)>>(values: I) -> Self {
        Self { values: Arc::new(values.into_iter().collect()), files: Files::default() }
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

impl TemplateFailure {
    /// Without secrets: what is wrong is kept where everybody may read it.
    fn masked(self, mask: &Mask) -> Self {
        let hidden = |text: String| mask.apply(&text).into_owned();
        Self { field: hidden(self.field), name: self.name.map(hidden), message: hidden(self.message), line: self.line }
    }
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

/// What a render gave, its failure without the secrets that it fetched.
fn masking<T>(resolved: &Resolved, rendered: Result<T, RenderError>) -> Result<T, RenderError> {
    rendered.map_err(|error| match error {
        RenderError::Failed(failure) => RenderError::Failed(failure.masked(&resolved.mask())),
        missing @ RenderError::Missing(_) => missing,
    })
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
/// arguments is left alone. With `render_template_as_native_obj` a text may become any value. Of a mapped task, the arguments
/// are those of this instance. What another task returned is data and never read as a template.
pub fn render_fields(spec: &TaskSpec, resolved: &Resolved) -> Result<Map<String, Value>, RenderError> {
    masking(resolved, render_fields_plainly(spec, resolved))
}

fn render_fields_plainly(spec: &TaskSpec, resolved: &Resolved) -> Result<Map<String, Value>, RenderError> {
    let Instance { written, given, names } = instance::instance(spec, resolved)?;
    let mut renderer = Renderer::new(spec, resolved, spec.run.render_template_as_native_obj, names);
    let fields = spec.operator.template_fields();
    let mut written_args = Cow::Borrowed(&spec.args);
    if !written.is_empty() {
        overlay(spec, written_args.to_mut(), written);
    }
    let mut args = Map::with_capacity(written_args.len() + given.len());
    for (name, value) in &*written_args {
        let is_template = fields.contains(&name.as_str());
        args.insert(name.clone(), renderer.value(name, value, is_template)?);
    }
    overlay(spec, &mut args, given);
    renderer.finish(args)
}

/// Renders the values of the task's environment; always to text.
pub fn render_env(spec: &TaskSpec, resolved: &Resolved) -> Result<IndexMap<String, String>, RenderError> {
    masking(resolved, render_env_plainly(spec, resolved))
}

fn render_env_plainly(spec: &TaskSpec, resolved: &Resolved) -> Result<IndexMap<String, String>, RenderError> {
    if spec.env.is_empty() {
        return Ok(IndexMap::new());
    }
    let mut renderer = Renderer::of_instance(spec, resolved)?;
    let mut env = IndexMap::with_capacity(spec.env.len());
    for (name, text) in &spec.env {
        env.insert(name.clone(), renderer.text(&format!("env.{name}"), text)?);
    }
    renderer.finish(env)
}

/// Renders one text; `field` is for messages.
pub fn render_text(text: &str, field: &str, spec: &TaskSpec, resolved: &Resolved) -> Result<String, RenderError> {
    masking(resolved, render_text_plainly(text, field, spec, resolved))
}

fn render_text_plainly(text: &str, field: &str, spec: &TaskSpec, resolved: &Resolved) -> Result<String, RenderError> {
    let mut renderer = Renderer::of_instance(spec, resolved)?;
    let rendered = renderer.text(field, text)?;
    renderer.finish(rendered)
}

/// Renders one text to the value it stands for, as with `render_template_as_native_obj`: what the scheduler itself evaluates
/// (`when`).
pub fn render_value(text: &str, field: &str, spec: &TaskSpec, resolved: &Resolved) -> Result<Value, RenderError> {
    masking(resolved, render_value_plainly(text, field, spec, resolved))
}

fn render_value_plainly(text: &str, field: &str, spec: &TaskSpec, resolved: &Resolved) -> Result<Value, RenderError> {
    let mut renderer = Renderer::of_instance(spec, resolved)?;
    renderer.native = true;
    let rendered = renderer.value(field, &Value::String(text.to_owned()), true)?;
    renderer.finish(rendered)
}

/// Renders what a mapping goes through when it is a template: a list or mapping, or text that is one as JSON or as a Python
/// literal. The map index of the spec does not matter.
pub fn render_map_input(text: &str, field: &str, spec: &TaskSpec, resolved: &Resolved) -> Result<Value, RenderError> {
    masking(resolved, render_map_input_plainly(text, field, spec, resolved))
}

fn render_map_input_plainly(
    text: &str,
    field: &str,
    spec: &TaskSpec,
    resolved: &Resolved,
) -> Result<Value, RenderError> {
    let mut renderer = Renderer::new(spec, resolved, true, Map::new());
    let rendered = renderer.map_input(field, text)?;
    renderer.finish(rendered)
}

/// Whether a task's templates include files.
pub fn names_files(spec: &TaskSpec) -> bool {
    texts_of(spec, &mut |text| !files::names(text).is_empty())
}

/// Whether a task's templates ask for the dates of the previous successful run.
pub fn names_previous_run(spec: &TaskSpec) -> bool {
    texts_of(spec, &mut text_names_previous_run)
}

/// The same of what the scheduler evaluates itself, of all tasks: `when`, and templates that are mapped over.
pub fn dag_names_previous_run(dag: &Dag) -> bool {
    dag.tasks.iter().any(|task| {
        let mapping = mapping::of_task(dag, task).map(|(mapping, _)| mapping.inputs.values());
        let mapped = mapping.into_iter().flatten().filter_map(|input| match input {
            MapInput::Template(text) => Some(text),
            MapInput::Literal(_) | MapInput::XCom { .. } => None,
        });
        task.when.iter().chain(mapped).any(|text| text_names_previous_run(text))
    })
}

/// The same of one text, or of several in one.
pub fn text_names_previous_run(text: &str) -> bool {
    const NAMES: [&str; 4] = [
        "prev_start_date_success",
        "prev_end_date_success",
        "prev_data_interval_start_success",
        "prev_data_interval_end_success",
    ];
    is_template(text) && NAMES.iter().any(|name| text.contains(name))
}

/// Whether any text that may be rendered for a task is as the test says.
fn texts_of(spec: &TaskSpec, test: &mut dyn FnMut(&str) -> bool) -> bool {
    fn any(value: &Value, test: &mut dyn FnMut(&str) -> bool) -> bool {
        match value {
            Value::String(text) => test(text),
            Value::Array(items) => items.iter().any(|item| any(item, test)),
            Value::Object(fields) => fields.values().any(|field| any(field, test)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    let inputs = spec.mapping.iter().flat_map(|mapping| mapping.inputs.values());
    spec.args.values().any(|value| any(value, test))
        || spec.env.values().chain(&spec.map_index_template).any(|text| test(text))
        || inputs.into_iter().any(|input| match input {
            MapInput::Literal(value) => any(value, test),
            MapInput::Template(text) => test(text),
            MapInput::XCom { .. } => false,
        })
}

/// Whether a task's templates ask how often its sensor was asked.
pub fn names_reschedule_count(spec: &TaskSpec) -> bool {
    texts_of(spec, &mut |text| is_template(text) && text.contains("reschedule_count"))
}

/// What people see instead of the instance's map index (`rendered_map_index`); `None` for a task that is not mapped or whose
/// instances have no names.
pub fn render_map_index(spec: &TaskSpec, resolved: &Resolved) -> Result<Option<String>, RenderError> {
    masking(resolved, instance::label(spec, resolved))
}

/// What the instance's mapping names: `item`, `matrix`, a mapped group's inputs.
pub fn mapped_names(spec: &TaskSpec, resolved: &Resolved) -> Result<Map<String, Value>, RenderError> {
    masking(resolved, instance::instance(spec, resolved).map(|instance| instance.names))
}

/// The XComs, variables and connections that a task's arguments, environment and mapping name literally, each once, in the order
/// found. Every argument is looked at, since which of them are rendered is the operator's affair: one too many does no harm.
pub fn refs(spec: &TaskSpec) -> Vec<Ref> {
    let mut found = Vec::new();
    instance::refs(spec, &mut found);
    for value in spec.args.values() {
        scan_value(value, &mut found);
        scan_results(spec, value, &mut found);
    }
    for text in spec.env.values().chain(&spec.map_index_template) {
        scan::scan(text, None, &mut found);
    }
    for source in spec.secrets.values() {
        // The compiler let only sources through.
        let reference = source.parse::<SecretSource>().ok().and_then(|source| source.reference());
        if let Some(reference) = reference.filter(|reference| !found.contains(reference)) {
            found.push(reference);
        }
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

fn scan_results(spec: &TaskSpec, value: &Value, found: &mut Vec<Ref>) {
    match XComArg::read(value).map(|argument| result_of(spec, argument)) {
        Some(reference) if !found.contains(&reference) => found.push(reference),
        Some(_) => {}
        None => match value {
            Value::Array(items) => items.iter().for_each(|item| scan_results(spec, item, found)),
            Value::Object(fields) => fields.values().for_each(|field| scan_results(spec, field, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        },
    }
}

/// Another task's result; in a mapped group, that of the instance with the same index.
fn result_of(spec: &TaskSpec, argument: XComArg) -> Ref {
    let map_index = spec.same_index.contains(&argument.task_id).then_some(spec.map_index.0);
    Ref::XCom { task_id: argument.task_id.to_string(), key: argument.key, map_index, part: None }
}

/// Puts an instance's arguments over the task's. Those of a decorated function are the function's own.
fn overlay(spec: &TaskSpec, args: &mut Map<String, Value>, over: Map<String, Value>) {
    if over.is_empty() {
        return;
    }
    if !spec.operator_class.contains(".decorators.") {
        return args.extend(over);
    }
    match args.get_mut("op_kwargs") {
        Some(Value::Object(kwargs)) => kwargs.extend(over),
        _ => {
            args.insert("op_kwargs".to_owned(), Value::Object(over));
        }
    }
}

/// Compiles a text without rendering it: the syntax must be right, filters and tests must exist. For the loader; names
/// cannot be checked before a run.
pub fn check_syntax(text: &str) -> Result<(), SyntaxProblem> {
    if !is_template(text) {
        return Ok(());
    }
    let source = constant::postponed(text);
    let compiled = Compiled::new(&source).map_err(|error| {
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

/// `str(value)` as Python has it: `True`, `None`, `{'a': [1]}`; a text is itself.
pub fn python_text(value: &Value) -> String {
    python::text(&json::from_json(value))
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
    if !spec.attributes.email.is_empty() {
        env.push(("AIRFLOW_CTX_DAG_EMAIL", spec.attributes.email.join(",")));
    }
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
    /// What the instance's mapping names.
    names: Map<String, Value>,
    /// Made when the first template is met: most texts are none.
    context: Option<Context>,
    budget: Budget,
    missing: Vec<Ref>,
}

impl<'a> Renderer<'a> {
    fn new(spec: &'a TaskSpec, resolved: &'a Resolved, native: bool, names: Map<String, Value>) -> Self {
        Self { spec, resolved, native, names, context: None, budget: Budget::default(), missing: Vec::new() }
    }

    /// Renders texts with the names of the instance's mapping.
    fn of_instance(spec: &'a TaskSpec, resolved: &'a Resolved) -> Result<Self, RenderError> {
        Ok(Self::new(spec, resolved, false, instance::instance(spec, resolved)?.names))
    }

    /// A value of the arguments: results of other tasks are put in their places; texts are rendered when they are `templates`.
    fn value(&mut self, field: &str, value: &Value, templates: bool) -> Result<Value, TemplateFailure> {
        if let Some(argument) = XComArg::read(value) {
            return self.result(field, result_of(self.spec, argument));
        }
        Ok(match value {
            Value::String(text) if !templates || !is_template(text) => value.clone(),
            Value::String(text) if self.native => self.native(field, text)?,
            Value::String(text) => Value::String(self.text(field, text)?),
            Value::Array(items) => {
                let mut rendered = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    rendered.push(self.value(&format!("{field}[{index}]"), item, templates)?);
                }
                Value::Array(rendered)
            }
            Value::Object(fields) => {
                let mut rendered = Map::with_capacity(fields.len());
                for (name, item) in fields {
                    rendered.insert(name.clone(), self.value(&format!("{field}.{name}"), item, templates)?);
                }
                Value::Object(rendered)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    /// Another task's result. One that does not exist is None; a key that was not pushed is a mistake, as in Airflow.
    fn result(&mut self, field: &str, reference: Ref) -> Result<Value, TemplateFailure> {
        let Some(value) = self.fetch(reference.clone()) else { return Ok(Value::Null) };
        match (value, reference) {
            (None, Ref::XCom { task_id, key, .. }) if key != "return_value" => Err(TemplateFailure {
                field: field.to_owned(),
                line: None,
                name: None,
                message: format!("task `{task_id}` pushed no XCom `{key}` in this run"),
            }),
            (value, _) => Ok(value.unwrap_or_default()),
        }
    }

    /// A fetched value, existing or not; `None`, and noted as missing, while it is yet to be asked for.
    #[expect(clippy::option_option, reason = "not asked for yet, and asked for in vain, are two things")]
    fn fetch(&mut self, reference: Ref) -> Option<Option<Value>> {
        if let Some(value) = self.resolved.values.get(&reference) {
            return Some(value.clone());
        }
        if !self.missing.contains(&reference) {
            self.missing.push(reference);
        }
        None
    }

    /// What a mapping goes through; null stands in while something is missing.
    fn map_input(&mut self, field: &str, text: &str) -> Result<Value, TemplateFailure> {
        let rendered = self.native(field, text)?;
        let rendered = match rendered {
            Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            other => other,
        };
        if mapping::length(&rendered).is_some() || !self.missing.is_empty() {
            return Ok(rendered);
        }
        let found = mapping::python_type(&rendered);
        let message = format!("renders to a value of type {found}; a mapping goes through a list or a mapping");
        Err(TemplateFailure { field: field.to_owned(), line: None, name: None, message })
    }

    /// An empty text stands in while something is missing; [`Self::finish`] keeps it from getting out.
    fn text(&mut self, field: &str, text: &str) -> Result<String, TemplateFailure> {
        if !is_template(text) {
            return Ok(text.to_owned());
        }
        let context = self.context();
        let source = constant::postponed(text);
        let rendered = self.compiled(&source).and_then(|compiled| compiled.render(context.root(), &mut self.budget));
        self.settle(field, text, &context, rendered)
    }

    fn native(&mut self, field: &str, text: &str) -> Result<Value, TemplateFailure> {
        let context = self.context();
        let source = constant::postponed(text);
        let rendered =
            self.compiled(&source).and_then(|compiled| compiled.render_native(context.root(), &mut self.budget));
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

    /// A text with the files it includes.
    fn compiled<'text>(&self, text: &'text str) -> Result<Compiled<'text>, Error> {
        Ok(Compiled::new(text)?.with_files(self.resolved.files.of(text)?))
    }

    fn context(&mut self) -> Context {
        self.context.get_or_insert_with(|| Context::new(self.spec, &self.resolved.values, &self.names)).clone()
    }

    /// Fails when something is missing by now.
    fn check(&mut self) -> Result<(), RenderError> {
        if self.missing.is_empty() { Ok(()) } else { Err(RenderError::Missing(std::mem::take(&mut self.missing))) }
    }

    fn finish<T>(self, rendered: T) -> Result<T, RenderError> {
        if self.missing.is_empty() { Ok(rendered) } else { Err(RenderError::Missing(self.missing)) }
    }
}

fn failure(field: &str, text: &str, context: &Context, outer: &Error) -> TemplateFailure {
    // What went wrong in an included file.
    let mut error = outer;
    while error.kind() == ErrorKind::BadInclude
        && let Some(inner) = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Error>())
    {
        error = inner;
    }
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let name = context.take_failed().or_else(|| undefined_name(error, &detail));
    let root = name.as_deref().map(|name| name.split(['.', '[']).next().unwrap_or_default());
    let message = match error.kind() {
        ErrorKind::OutOfFuel => "the template takes too many steps".to_owned(),
        ErrorKind::TemplateNotFound => {
            format!(
                "{detail}: no file of this name is in the DAG file's folder, in template_searchpath or in the DAG folder"
            )
        }
        _ => root.and_then(|root| context.explain(root)).unwrap_or(detail),
    };
    let message = match error.name().filter(|name| !name.is_empty()) {
        Some(file) => format!("in `{file}`, line {}: {message}", error.line().unwrap_or(1)),
        None => message,
    };
    // minijinja counts lines only of instructions; a syntax error at the very end has none.
    let lines_before =
        |range: std::ops::Range<usize>| text.get(..range.start).map(|before| before.matches('\n').count());
    let line = if error.name().is_some_and(|name| !name.is_empty()) {
        outer.line().filter(|_| !std::ptr::eq(outer, error))
    } else {
        error.line().or_else(|| error.range().and_then(lines_before).map(|lines| lines + 1))
    };
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
