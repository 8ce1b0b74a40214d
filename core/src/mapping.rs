//! Dynamic mapping (semantics §13): how many instances a mapped task or group has, and which elements are an instance's own.
//!
//! Pure arithmetic over lengths and values. The plan asks [`total`]; the node asks [`positions`] and [`element`], so that only
//! the elements an instance needs ever travel.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::{
    dag::{Dag, MapInput, Mapping, MappingKind, Task, TaskIndex},
    ids::TaskId,
};

/// A literal of more elements than this is expanded by a plan, which refuses it, rather than when its run is created.
pub(crate) const MAX_LITERAL_LENGTH: usize = 100_000;

/// The mapping that makes the instances of a task: its own, else that of the innermost mapped group around it; with a flag that
/// says whether it is a group's. For a task of a DAG in use, [`Dag::mapping`] has it at hand.
pub fn of_task<'a>(dag: &'a Dag, task: &'a Task) -> Option<(&'a Mapping, bool)> {
    if let Some(own) = &task.mapping {
        return Some((own, false));
    }
    mapped_group(dag, task).map(|(_, mapping)| (mapping, true))
}

/// The innermost mapped group around a task.
pub fn mapped_group<'a>(dag: &'a Dag, task: &Task) -> Option<(&'a str, &'a Mapping)> {
    let mut at = task.task_group.as_deref();
    while let Some(group) = at.and_then(|id| dag.task_groups.get(id)) {
        if let Some(mapping) = &group.mapping {
            return Some((&group.group_id, mapping));
        }
        at = group.parent.as_deref();
    }
    None
}

/// The number of instances, if every input is a literal: known when the run is created.
pub fn literal_length(mapping: &Mapping) -> Option<usize> {
    total(mapping, |_| None)
}

/// The map indexes a run gets for this task when it is created: 0..n of a mapping over literals, else −1, one instance for
/// what is not mapped, not yet known or empty (a plan skips that).
pub fn initial_map_indexes(dag: &Dag, task: TaskIndex) -> std::ops::Range<i32> {
    match dag.mapping(task).and_then(literal_length) {
        Some(length @ 1..=MAX_LITERAL_LENGTH) => 0..i32::try_from(length).expect("the limit fits"),
        _ => -1..0,
    }
}

/// Whether a mapping goes through the result (`return_value`) of this task.
pub fn reads_result(mapping: &Mapping, task_id: &TaskId) -> bool {
    mapping.inputs.values().any(
        |input| matches!(input, MapInput::XCom { task_id: source, key } if source == task_id && key == "return_value"),
    )
}

/// How many elements a value has to map over: items of a list, entries of a mapping; nothing else can be mapped over.
pub fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Array(items) => Some(items.len()),
        Value::Object(entries) => Some(entries.len()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// How many instances there are: the product of the inputs' lengths (lists of mappings and `foreach` have one input). `known` is
/// asked for inputs that are no literals, by their names; `None` when a length is not known.
pub fn total(mapping: &Mapping, known: impl Fn(&str) -> Option<usize>) -> Option<usize> {
    let mut total = 1_usize;
    for (name, input) in &mapping.inputs {
        total = total.saturating_mul(input_length(name, input, &known)?);
    }
    Some(total)
}

/// Which element of each input instance `index` has, in the order of the inputs; the last varies fastest. `known` as in
/// [`total`], and not asked for the first input. `None` when a length is not known, or is zero.
pub fn positions(mapping: &Mapping, index: usize, known: impl Fn(&str) -> Option<usize>) -> Option<Vec<usize>> {
    let mut rest = index;
    let mut positions = vec![0; mapping.inputs.len()];
    for (at, (name, input)) in mapping.inputs.iter().enumerate().rev() {
        if at == 0 {
            positions[0] = rest;
        } else {
            let length = input_length(name, input, &known)?;
            positions[at] = rest.checked_rem(length)?;
            rest /= length;
        }
    }
    Some(positions)
}

fn input_length(name: &str, input: &MapInput, known: impl Fn(&str) -> Option<usize>) -> Option<usize> {
    match input {
        MapInput::Literal(value) => length(value),
        MapInput::XCom { .. } | MapInput::Template(_) => known(name),
    }
}

/// One element of what is mapped over.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// Of a list.
    Item(Value),
    /// Of a mapping.
    Entry(String, Value),
}

/// The element at a position; `None` when the value has none there.
pub fn element(value: &Value, position: usize) -> Option<Element> {
    match value {
        Value::Array(items) => items.get(position).cloned().map(Element::Item),
        Value::Object(entries) => {
            entries.iter().nth(position).map(|(key, value)| Element::Entry(key.clone(), value.clone()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The element alone, in a list or mapping of its own.
impl From<Element> for Value {
    fn from(element: Element) -> Self {
        match element {
            Element::Item(value) => json!([value]),
            Element::Entry(key, value) => Self::Object([(key, value)].into_iter().collect()),
        }
    }
}

impl Element {
    /// As an argument of an operator: a mapping's entry is the pair, as in Airflow.
    fn argument(self) -> Value {
        match self {
            Self::Item(value) => value,
            Self::Entry(key, value) => json!([key, value]),
        }
    }

    /// As `{{ item }}`: a mapping's entry is `{key, value}`.
    fn item(self) -> Value {
        match self {
            Self::Item(value) => value,
            Self::Entry(key, value) => json!({"key": key, "value": value}),
        }
    }
}

/// What an instance gets from its mapping.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bound {
    /// Arguments of the operator, over those of the task.
    pub arguments: Map<String, Value>,
    /// Names in its templates.
    pub names: Map<String, Value>,
}

/// What the elements, by the names of the inputs, are to an instance. `by_group`: of a mapped group, whose inputs are names in the
/// templates of its members.
///
/// # Errors
/// `expand_kwargs` over something that is not a list of mappings, in Airflow's words.
pub fn bind(
    kind: MappingKind,
    by_group: bool,
    elements: impl IntoIterator<Item = (String, Element)>,
) -> Result<Bound, String> {
    let mut bound = Bound::default();
    let mut matrix = IndexMap::new();
    for (name, element) in elements {
        match kind {
            MappingKind::Expand => {
                let target = if by_group { &mut bound.names } else { &mut bound.arguments };
                target.insert(name, element.argument());
            }
            MappingKind::ExpandKwargs => match element.argument() {
                Value::Object(fields) if by_group => bound.names.extend(fields),
                Value::Object(fields) => bound.arguments.extend(fields),
                other => {
                    return Err(format!("expand_kwargs() expects a list[dict], not list[{}]", python_type(&other)));
                }
            },
            MappingKind::Foreach => {
                bound.names.insert("item".to_owned(), element.item());
            }
            MappingKind::Matrix => {
                matrix.insert(name, element.item());
            }
        }
    }
    if kind == MappingKind::Matrix {
        bound.names.insert("matrix".to_owned(), matrix.into_iter().collect());
    }
    Ok(bound)
}

/// Python's name for a value's type: Airflow's messages have it.
pub fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// Why a result cannot be mapped over, in Airflow's words; `None` when it can. `is_mapped`: the task has several instances, whose
/// results together are the list.
pub fn refuse_result(result: Option<&Value>, is_mapped: bool, max_length: usize) -> Option<String> {
    let Some(value) = result.filter(|value| !value.is_null()) else {
        return Some("did not push XCom for task mapping".to_owned());
    };
    if is_mapped {
        return None;
    }
    match length(value) {
        None => Some(format!("unmappable return type '{}'", python_type(value))),
        Some(length) if length > max_length => Some(format!("unmappable return value length: {length} > {max_length}")),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dag::TaskGroup, operator::OperatorKind};

    fn mapping(kind: MappingKind, inputs: &[(&str, MapInput)]) -> Mapping {
        Mapping { kind, inputs: inputs.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect() }
    }

    fn literal(value: Value) -> MapInput {
        MapInput::Literal(value)
    }

    fn xcom(task_id: &str) -> MapInput {
        MapInput::XCom { task_id: task_id.into(), key: "return_value".to_owned() }
    }

    #[test]
    fn the_total_is_the_product_and_unknown_when_one_length_is() {
        let cross = mapping(MappingKind::Expand, &[("a", literal(json!([1, 2, 3]))), ("b", xcom("t"))]);
        assert_eq!(total(&cross, |name| (name == "b").then_some(4)), Some(12));
        assert_eq!(total(&cross, |_| None), None);
        assert_eq!(total(&cross, |_| Some(0)), Some(0));
        let each = mapping(MappingKind::Foreach, &[("item", literal(json!({"x": 1, "y": 2})))]);
        assert_eq!(total(&each, |_| None), Some(2));
        let not_mappable = mapping(MappingKind::Foreach, &[("item", literal(json!("text")))]);
        assert_eq!(total(&not_mappable, |_| None), None);
    }

    #[test]
    fn a_cross_product_varies_its_last_input_fastest() {
        let cross = mapping(MappingKind::Matrix, &[("a", xcom("t")), ("b", literal(json!(["x", "y", "z"])))]);
        let all: Vec<_> = (0..6).map(|index| positions(&cross, index, |_| None).unwrap()).collect();
        assert_eq!(all, [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]);
        let unknown = mapping(MappingKind::Expand, &[("a", literal(json!([1]))), ("b", xcom("t"))]);
        assert_eq!(positions(&unknown, 0, |_| None), None, "the second length is not known");
        assert_eq!(positions(&unknown, 0, |_| Some(0)), None, "nothing has no element");
    }

    #[test]
    fn elements_are_arguments_names_or_both_by_the_kind_of_mapping() {
        let entry = || element(&json!({"k": [1]}), 0).unwrap();
        let bound = |kind, by_group, name: &str, element| bind(kind, by_group, [(name.to_owned(), element)]).unwrap();
        assert_eq!(
            Value::from(bound(MappingKind::Expand, false, "x", entry()).arguments),
            json!({"x": ["k", [1]]}),
            "Airflow passes a mapping's entry as a pair"
        );
        assert_eq!(
            Value::from(bound(MappingKind::Foreach, false, "item", entry()).names),
            json!({"item": {"key": "k", "value": [1]}})
        );
        let kwargs = || Element::Item(json!({"a": 1, "b": 2}));
        assert_eq!(
            Value::from(bound(MappingKind::ExpandKwargs, false, "kwargs", kwargs()).arguments),
            json!({"a": 1, "b": 2})
        );
        assert_eq!(
            Value::from(bound(MappingKind::ExpandKwargs, true, "kwargs", kwargs()).names),
            json!({"a": 1, "b": 2})
        );
        assert_eq!(
            Value::from(bound(MappingKind::Matrix, false, "os", Element::Item(json!("linux"))).names),
            json!({"matrix": {"os": "linux"}})
        );
        assert_eq!(
            Value::from(bound(MappingKind::Expand, true, "region", Element::Item(json!("eu"))).names),
            json!({"region": "eu"})
        );
        let wrong = bind(MappingKind::ExpandKwargs, false, [("kwargs".to_owned(), Element::Item(json!("a")))]);
        assert_eq!(wrong.unwrap_err(), "expand_kwargs() expects a list[dict], not list[str]");
    }

    #[test]
    fn a_result_that_cannot_be_mapped_over_is_refused_in_airflows_words() {
        let cases = [
            (None, false, Some("did not push XCom for task mapping")),
            (Some(json!(null)), true, Some("did not push XCom for task mapping")),
            (Some(json!("text")), false, Some("unmappable return type 'str'")),
            (Some(json!(1.5)), false, Some("unmappable return type 'float'")),
            (Some(json!([1, 2, 3])), false, Some("unmappable return value length: 3 > 2")),
            (Some(json!([1, 2])), false, None),
            (Some(json!({})), false, None),
            (Some(json!("one of many")), true, None),
        ];
        for (result, is_mapped, expected) in cases {
            assert_eq!(refuse_result(result.as_ref(), is_mapped, 2).as_deref(), expected, "{result:?}");
        }
    }

    #[test]
    fn a_member_of_a_mapped_group_is_mapped_by_the_innermost_one_around_it() {
        let mut dag = Dag::new("d");
        let group = |id: &str, parent: Option<&str>, mapping: Option<Mapping>| TaskGroup {
            group_id: id.to_owned(),
            parent: parent.map(str::to_owned),
            tooltip: String::new(),
            prefix_group_id: true,
            display_name: None,
            upstream_tasks: Vec::new(),
            mapping,
            downstream_tasks: Vec::new(),
            upstream_groups: Vec::new(),
            downstream_groups: Vec::new(),
        };
        let regions = mapping(MappingKind::Expand, &[("region", xcom("list"))]);
        dag.task_groups.insert("outer".to_owned(), group("outer", None, Some(regions.clone())));
        dag.task_groups.insert("outer.inner".to_owned(), group("outer.inner", Some("outer"), None));
        let mut task = Task::new("outer.inner.t", OperatorKind::Bash, "x.BashOperator");
        assert!(of_task(&dag, &task).is_none());
        task.task_group = Some("outer.inner".to_owned());
        assert_eq!(of_task(&dag, &task), Some((&regions, true)));
        assert_eq!(mapped_group(&dag, &task).map(|(id, _)| id), Some("outer"));
        assert!(reads_result(&regions, &"list".into()) && !reads_result(&regions, &"other".into()));
    }

    fn over(kind: MappingKind, inputs: &[Value]) -> Mapping {
        let inputs: IndexMap<String, MapInput> = inputs
            .iter()
            .enumerate()
            .map(|(at, value)| {
                let input = match value {
                    Value::String(task_id) => {
                        MapInput::XCom { task_id: task_id.as_str().into(), key: "return_value".to_owned() }
                    }
                    literal => MapInput::Literal(literal.clone()),
                };
                (at.to_string(), input)
            })
            .collect();
        Mapping { kind, inputs }
    }

    #[test]
    fn the_length_of_literals_is_the_product_or_the_length() {
        use MappingKind::{Expand, ExpandKwargs, Foreach, Matrix};
        for (kind, inputs, expected) in [
            (Expand, vec![json!([1, 2, 3])], Some(3)),
            (Expand, vec![json!([1, 2, 3]), json!({"a": 1, "b": 2})], Some(6)),
            (Expand, vec![json!([1, 2, 3]), json!([])], Some(0)),
            (Expand, vec![json!([1, 2, 3]), json!("upstream")], None),
            (Matrix, vec![json!([1, 2]), json!([1, 2])], Some(4)),
            (ExpandKwargs, vec![json!([{"a": 1}, {"a": 2}])], Some(2)),
            (Foreach, vec![json!({"a": 1, "b": 2})], Some(2)),
            (Foreach, vec![json!("upstream")], None),
        ] {
            assert_eq!(literal_length(&over(kind, &inputs)), expected, "{kind:?} {inputs:?}");
        }
    }

    #[test]
    fn an_empty_an_unknown_and_an_absurd_length_begin_as_one_instance() {
        let million = json!(vec![0; 1_000]);
        for (inputs, expected) in [
            (vec![json!([1, 2, 3])], 0..3),
            (vec![json!([])], -1..0),
            (vec![json!("upstream")], -1..0),
            (vec![million.clone(), million], -1..0),
        ] {
            let mut dag = Dag::new("d");
            let mut task = Task::new("t", OperatorKind::Empty, "EmptyOperator");
            task.mapping = Some(over(MappingKind::Expand, &inputs));
            dag.tasks.push(task);
            assert_eq!(initial_map_indexes(&dag, 0), expected);
        }
    }

    #[test]
    fn a_member_of_a_mapped_group_has_the_groups_instances() {
        let group = |id: &str, parent: Option<&str>, mapping| TaskGroup {
            group_id: id.to_owned(),
            parent: parent.map(str::to_owned),
            tooltip: String::new(),
            prefix_group_id: true,
            display_name: None,
            upstream_tasks: vec![],
            mapping,
            downstream_tasks: vec![],
            upstream_groups: vec![],
            downstream_groups: vec![],
        };
        let mut dag = Dag::new("d");
        let outer = over(MappingKind::Expand, &[json!([1, 2])]);
        dag.task_groups.insert("g".to_owned(), group("g", None, Some(outer)));
        dag.task_groups.insert("g.h".to_owned(), group("g.h", Some("g"), None));
        let mut member = Task::new("g.h.t", OperatorKind::Empty, "EmptyOperator");
        member.task_group = Some("g.h".to_owned());
        dag.tasks = vec![member, Task::new("plain", OperatorKind::Empty, "EmptyOperator")];
        assert_eq!(initial_map_indexes(&dag, 0), 0..2);
        assert_eq!(initial_map_indexes(&dag, 1), -1..0);
    }
}
