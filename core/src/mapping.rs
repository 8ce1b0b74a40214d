//! How many instances a mapped task has (semantics §13).

use crate::dag::{Dag, MapInput, Mapping, MappingKind, TaskIndex};

/// A literal of more elements than this is expanded by a plan, which refuses it, rather than when its run is created.
const MAX_LITERAL_LENGTH: usize = 100_000;

/// The mapping that makes the instances of a task: its own, else that of the innermost mapped group around it.
pub fn mapping_of(dag: &Dag, task: TaskIndex) -> Option<&Mapping> {
    let task = &dag.tasks[task];
    if task.mapping.is_some() {
        return task.mapping.as_ref();
    }
    let mut group = task.task_group.as_deref().and_then(|id| dag.task_groups.get(id));
    while let Some(at) = group {
        if at.mapping.is_some() {
            return at.mapping.as_ref();
        }
        group = at.parent.as_deref().and_then(|id| dag.task_groups.get(id));
    }
    None
}

/// The number of instances, if every input is a literal: known when the run is created.
pub fn literal_length(mapping: &Mapping) -> Option<usize> {
    let mut lengths = mapping.inputs.values().map(|input| match input {
        MapInput::Literal(value) => match value {
            serde_json::Value::Array(items) => Some(items.len()),
            serde_json::Value::Object(entries) => Some(entries.len()),
            _ => None,
        },
        MapInput::XCom { .. } | MapInput::Template(_) => None,
    });
    match mapping.kind {
        MappingKind::Expand | MappingKind::Matrix => {
            lengths.try_fold(1_usize, |product, length| Some(product.saturating_mul(length?)))
        }
        MappingKind::ExpandKwargs | MappingKind::Foreach => lengths.next().flatten(),
    }
}

/// The map indexes a run gets for this task when it is created: 0..n of a mapping over literals, else −1, one instance for
/// what is not mapped, not yet known or empty (a plan skips that).
pub fn initial_map_indexes(dag: &Dag, task: TaskIndex) -> std::ops::Range<i32> {
    match mapping_of(dag, task).and_then(literal_length) {
        Some(length @ 1..=MAX_LITERAL_LENGTH) => 0..i32::try_from(length).expect("the limit fits"),
        _ => -1..0,
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        dag::{Task, TaskGroup},
        operator::OperatorKind,
    };

    fn mapping(kind: MappingKind, inputs: &[Value]) -> Mapping {
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
            assert_eq!(literal_length(&mapping(kind, &inputs)), expected, "{kind:?} {inputs:?}");
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
            task.mapping = Some(mapping(MappingKind::Expand, &inputs));
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
        let outer = mapping(MappingKind::Expand, &[json!([1, 2])]);
        dag.task_groups.insert("g".to_owned(), group("g", None, Some(outer)));
        dag.task_groups.insert("g.h".to_owned(), group("g.h", Some("g"), None));
        let mut member = Task::new("g.h.t", OperatorKind::Empty, "EmptyOperator");
        member.task_group = Some("g.h".to_owned());
        dag.tasks = vec![member, Task::new("plain", OperatorKind::Empty, "EmptyOperator")];
        assert_eq!(initial_map_indexes(&dag, 0), 0..2);
        assert_eq!(initial_map_indexes(&dag, 1), -1..0);
    }
}
