//! What one instance of a mapped task gets from its mapping, before its own templates are rendered.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Part, Ref, RenderError, Renderer, Resolved, TemplateFailure};
use crate::{
    dag::{MapInput, Mapping, MappingKind},
    mapping::{self, Element},
    spec::TaskSpec,
};

/// Airflow's column for the label of an instance. Characters.
const LABEL_LIMIT: usize = 250;

/// An instance's share of its mapping; empty for a task that is not mapped.
#[derive(Default)]
pub(super) struct Instance {
    /// Arguments that stand in the file: rendered like the task's own.
    pub(super) written: Map<String, Value>,
    /// Arguments that are data, such as another task's result: never read as templates.
    pub(super) given: Map<String, Value>,
    /// Names for templates.
    pub(super) names: Map<String, Value>,
}

/// Where the elements of an input come from.
enum Source {
    /// From the file.
    Written(Value),
    /// Rendered from a template.
    Rendered(Value),
    /// A task's result, of which only one element is fetched.
    Result { task_id: String, key: String },
}

/// Finds the elements of this instance.
pub(super) fn instance(spec: &TaskSpec, resolved: &Resolved) -> Result<Instance, RenderError> {
    let (Some(mapping), Ok(index)) = (&spec.mapping, usize::try_from(spec.map_index.0)) else {
        return Ok(Instance::default());
    };
    let mut renderer = Renderer::new(spec, resolved, spec.run.render_template_as_native_obj, Map::new());
    let mut sources = Vec::with_capacity(mapping.inputs.len());
    let mut lengths = HashMap::new();
    for (at, (name, input)) in mapping.inputs.iter().enumerate() {
        let field = field(mapping.kind, name);
        let source = match input {
            MapInput::Literal(value) => Source::Written(value.clone()),
            MapInput::Template(text) => {
                let value = renderer.map_input(&field, text)?;
                lengths.insert(name.as_str(), mapping::length(&value).unwrap_or_default());
                Source::Rendered(value)
            }
            MapInput::XCom { task_id, key } => {
                let (task_id, key) = (task_id.to_string(), key.clone());
                if at > 0
                    && let Some(length) = renderer.fetch(result(&task_id, &key, Part::Length))
                {
                    let length = length.as_ref().and_then(Value::as_u64);
                    let length = length.ok_or_else(|| nothing_to_map(&field, &task_id, &key))?;
                    lengths.insert(name.as_str(), length as usize);
                }
                Source::Result { task_id, key }
            }
        };
        sources.push((name, field, source));
    }
    renderer.check()?;
    let known = |name: &str| lengths.get(name).copied();
    let positions = mapping::positions(mapping, index, known).ok_or_else(|| beyond("mapping", index))?;
    let mut elements = Vec::with_capacity(sources.len());
    for ((name, field, source), position) in sources.into_iter().zip(positions) {
        let element = match source {
            Source::Written(value) => {
                let element = mapping::element(&value, position).ok_or_else(|| beyond(&field, index))?;
                if is_argument(mapping.kind, spec) { element } else { rendered(&mut renderer, &field, element)? }
            }
            Source::Rendered(value) => mapping::element(&value, position).ok_or_else(|| beyond(&field, index))?,
            Source::Result { task_id, key } => {
                let Some(slice) = renderer.fetch(result(&task_id, &key, Part::Item(position as u32))) else { continue };
                let slice = slice.ok_or_else(|| beyond(&field, index))?;
                mapping::element(&slice, 0).ok_or_else(|| beyond(&field, index))?
            }
        };
        elements.push((name.clone(), element));
    }
    renderer.check()?;
    let bound = mapping::bind(mapping.kind, spec.mapped_by_group, elements).map_err(|message| TemplateFailure {
        field: field(mapping.kind, "kwargs"),
        line: None,
        name: None,
        message,
    })?;
    let mut instance = Instance { names: bound.names, ..Instance::default() };
    for (name, value) in bound.arguments {
        let target = if is_written(mapping, &name) { &mut instance.written } else { &mut instance.given };
        target.insert(name, value);
    }
    Ok(instance)
}

/// Whether the elements become arguments of the operator, and not names.
fn is_argument(kind: MappingKind, spec: &TaskSpec) -> bool {
    matches!(kind, MappingKind::Expand | MappingKind::ExpandKwargs) && !spec.mapped_by_group
}

fn is_written(mapping: &Mapping, argument: &str) -> bool {
    let input = match mapping.kind {
        MappingKind::ExpandKwargs => mapping.inputs.values().next(),
        _ => mapping.inputs.get(argument),
    };
    matches!(input, Some(MapInput::Literal(_)))
}

/// Templates in an element that stands in the file.
fn rendered(renderer: &mut Renderer<'_>, field: &str, element: Element) -> Result<Element, TemplateFailure> {
    Ok(match element {
        Element::Item(value) => Element::Item(renderer.value(field, &value, true)?),
        Element::Entry(key, value) => Element::Entry(key, renderer.value(field, &value, true)?),
    })
}

/// How messages call an input.
fn field(kind: MappingKind, name: &str) -> String {
    match kind {
        MappingKind::Expand => format!("expand.{name}"),
        MappingKind::ExpandKwargs => "expand_kwargs".to_owned(),
        MappingKind::Foreach => "foreach".to_owned(),
        MappingKind::Matrix => format!("matrix.{name}"),
    }
}

fn result(task_id: &str, key: &str, part: Part) -> Ref {
    Ref::XCom { task_id: task_id.to_owned(), key: key.to_owned(), map_index: None, part: Some(part) }
}

fn nothing_to_map(field: &str, task_id: &str, key: &str) -> TemplateFailure {
    let message = format!("task `{task_id}` left no list or mapping as `{key}` in this run");
    TemplateFailure { field: field.to_owned(), line: None, name: None, message }
}

fn beyond(field: &str, index: usize) -> TemplateFailure {
    let message = format!(
        "there is no element for map index {index}: what is mapped over is shorter now than when it was expanded"
    );
    TemplateFailure { field: field.to_owned(), line: None, name: None, message }
}

/// The references that finding the instance's elements needs, as far as they can be told without values.
pub(super) fn refs(spec: &TaskSpec, found: &mut Vec<Ref>) {
    let add = |reference: Ref, found: &mut Vec<Ref>| {
        if !found.contains(&reference) {
            found.push(reference);
        }
    };
    let (Some(mapping), Ok(index)) = (&spec.mapping, usize::try_from(spec.map_index.0)) else { return };
    let positions = mapping::positions(mapping, index, |_| None);
    for (at, input) in mapping.inputs.values().enumerate() {
        match input {
            MapInput::XCom { task_id, key } => match &positions {
                Some(positions) => add(result(task_id.as_str(), key, Part::Item(positions[at] as u32)), found),
                None if at > 0 => add(result(task_id.as_str(), key, Part::Length), found),
                None => {}
            },
            MapInput::Template(text) => super::scan::scan(text, None, found),
            MapInput::Literal(value) => super::scan_value(value, found),
        }
    }
}

/// The label of an instance: its `map_index_template`, rendered; without one, the element of a `foreach` over plain values.
pub(super) fn label(spec: &TaskSpec, resolved: &Resolved) -> Result<Option<String>, RenderError> {
    if !spec.is_mapped() {
        return Ok(None);
    }
    let instance = instance(spec, resolved)?;
    let label = match &spec.map_index_template {
        Some(template) => {
            let mut renderer = Renderer::new(spec, resolved, false, instance.names);
            let label = renderer.text("map_index_template", template)?;
            Some(renderer.finish(label)?)
        }
        None => match (&spec.mapping, instance.names.get("item")) {
            (Some(mapping), Some(item)) if mapping.kind == MappingKind::Foreach => match item {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
            },
            _ => None,
        },
    };
    Ok(label.map(|label| label.chars().take(LABEL_LIMIT).collect()))
}
