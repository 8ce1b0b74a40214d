//! What an instance of a mapped task renders.

use serde_json::json;

use super::{tests::spec, *};
use crate::{
    dag::{MapInput, Mapping, MappingKind},
    ids::MapIndex,
    operator::OperatorKind,
};

fn mapped(kind: MappingKind, inputs: &[(&str, MapInput)], index: i32) -> TaskSpec {
    let inputs = inputs.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect();
    TaskSpec { mapping: Some(Mapping { kind, inputs }), map_index: MapIndex(index), ..spec() }
}

fn with_args(spec: TaskSpec, args: Value) -> TaskSpec {
    let Value::Object(args) = args else { panic!("arguments are a mapping") };
    TaskSpec { args, ..spec }
}

fn literal(value: Value) -> MapInput {
    MapInput::Literal(value)
}

fn of_task(task_id: &str) -> MapInput {
    MapInput::XCom { task_id: task_id.into(), key: "return_value".into() }
}

fn part(task_id: &str, part: Part) -> Ref {
    Ref::XCom { task_id: task_id.into(), key: "return_value".into(), map_index: None, part: Some(part) }
}

/// Renders as the node does: asks for what is missing until nothing is. Answers from the values of whole results.
fn rendered<T>(
    results: &Value,
    asked: &mut Vec<Ref>,
    render: impl Fn(&Resolved) -> Result<T, RenderError>,
) -> Result<T, TemplateFailure> {
    let mut resolved = Resolved::default();
    loop {
        match render(&resolved) {
            Ok(value) => return Ok(value),
            Err(RenderError::Failed(failure)) => return Err(failure),
            Err(RenderError::Missing(missing)) => {
                for reference in missing {
                    let Ref::XCom { task_id, part, .. } = &reference else { panic!("{reference:?}") };
                    let whole = results.get(task_id);
                    let value = whole.and_then(|whole| part.map_or(Some(whole.clone()), |part| part.of(whole)));
                    asked.push(reference.clone());
                    resolved.insert(reference, value);
                }
            }
        }
    }
}

fn args(spec: &TaskSpec, results: &Value) -> Value {
    Value::Object(rendered(results, &mut Vec::new(), |resolved| render_fields(spec, resolved)).unwrap())
}

#[test]
fn expanded_literals_become_arguments_and_are_rendered() {
    let inputs =
        [("bash_command", literal(json!(["echo {{ ds }}", "two"]))), ("cwd", literal(json!(["/a", "/b", "/c"])))];
    let all: Vec<Value> = (0..6)
        .map(|index| args(&with_args(mapped(MappingKind::Expand, &inputs, index), json!({"env": null})), &json!({})))
        .collect();
    assert_eq!(all[0], json!({"env": null, "bash_command": "echo 2026-01-15", "cwd": "/a"}));
    assert_eq!(all[4], json!({"env": null, "bash_command": "two", "cwd": "/b"}));
}

#[test]
fn only_the_element_of_a_result_is_fetched_and_it_is_never_a_template() {
    let results = json!({"list": ["a", "{{ ds }}", "c"], "map": {"x": 1, "y": 2}});
    let one = mapped(MappingKind::Expand, &[("bash_command", of_task("list"))], 1);
    let mut asked = Vec::new();
    let found = rendered(&results, &mut asked, |resolved| render_fields(&one, resolved)).unwrap();
    assert_eq!(found["bash_command"], "{{ ds }}", "what a task returned is data");
    assert_eq!(asked, [part("list", Part::Item(1))]);
    assert_eq!(refs(&one), asked, "the hand-out brings it along");

    let cross = mapped(MappingKind::Expand, &[("bash_command", of_task("list")), ("env", of_task("map"))], 5);
    let mut asked = Vec::new();
    let found = rendered(&results, &mut asked, |resolved| render_fields(&cross, resolved)).unwrap();
    assert_eq!(Value::Object(found), json!({"bash_command": "c", "env": ["y", 2]}));
    assert_eq!(asked[0], part("map", Part::Length), "only the faster inputs' lengths are needed");
}

#[test]
fn a_decorated_functions_mapping_fills_its_own_arguments() {
    let class = "airflow.providers.standard.decorators.python._PythonDecoratedOperator".to_owned();
    let spec = mapped(MappingKind::Expand, &[("x", literal(json!([1, 2])))], 1);
    let spec = TaskSpec { operator: OperatorKind::Python, operator_class: class, ..spec };
    let spec = with_args(spec, json!({"python_callable": "m.f", "op_kwargs": {"y": "{{ ds }}"}}));
    assert_eq!(args(&spec, &json!({})), json!({"python_callable": "m.f", "op_kwargs": {"y": "2026-01-15", "x": 2}}));
}

#[test]
fn lists_of_keyword_arguments_are_zipped_into_the_tasks() {
    let spec = mapped(MappingKind::ExpandKwargs, &[("kwargs", of_task("jobs"))], 1);
    let spec = with_args(spec, json!({"bash_command": "no", "cwd": "/"}));
    let jobs = json!({"jobs": [{"bash_command": "a"}, {"bash_command": "b"}]});
    assert_eq!(args(&spec, &jobs), json!({"bash_command": "b", "cwd": "/"}));
    let wrong = rendered(&json!({"jobs": ["a", "b"]}), &mut Vec::new(), |resolved| render_fields(&spec, resolved));
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "template of `expand_kwargs`: expand_kwargs() expects a list[dict], not list[str]"
    );
}

#[test]
fn foreach_and_matrix_are_names_in_templates() {
    let text = |spec: &TaskSpec, text: &str, results: &Value| {
        rendered(results, &mut Vec::new(), |resolved| render_text(text, "bash_command", spec, resolved))
    };
    let item = |input: MapInput, index| mapped(MappingKind::Foreach, &[("item", input)], index);
    let none = json!({});
    assert_eq!(text(&item(literal(json!(["a", "b"])), 1), "{{ item }} {{ map_index }}", &none).unwrap(), "b 1");
    assert_eq!(text(&item(literal(json!(["{{ ds }}"])), 0), "{{ item }}", &none).unwrap(), "2026-01-15");
    assert_eq!(text(&item(literal(json!({"k": [7]})), 0), "{{ item.key }}={{ item.value[0] }}", &none).unwrap(), "k=7");
    assert_eq!(text(&item(of_task("t"), 2), "{{ item.id }}", &json!({"t": [0, 1, {"id": "x"}]})).unwrap(), "x");
    let template = item(MapInput::Template("{{ params.rows }}".into()), 1);
    assert_eq!(text(&template, "{{ item }}", &none).unwrap(), "x");
    let json_text = item(MapInput::Template("{{ ti.xcom_pull(task_ids='t') }}".into()), 0);
    assert_eq!(text(&json_text, "{{ item }}", &json!({"t": "[true, 2]"})).unwrap(), "True");
    let matrix = [("os", literal(json!(["linux", "mac"]))), ("py", literal(json!([9, 10])))];
    assert_eq!(
        text(&mapped(MappingKind::Matrix, &matrix, 2), "{{ matrix.os }}-{{ matrix.py }}", &none).unwrap(),
        "mac-9"
    );
    let group = TaskSpec {
        mapped_by_group: true,
        ..mapped(MappingKind::Expand, &[("region", literal(json!(["eu", "us"])))], 1)
    };
    assert_eq!(text(&group, "{{ region }}", &none).unwrap(), "us");
}

#[test]
fn what_cannot_be_mapped_says_why() {
    let fails = |spec: &TaskSpec, results: Value| {
        let failure =
            rendered(&results, &mut Vec::new(), |resolved| render_text("{{ item }}", "bash_command", spec, resolved));
        failure.unwrap_err().to_string()
    };
    let template = mapped(MappingKind::Foreach, &[("item", MapInput::Template("{{ ds }}".into()))], 0);
    assert_eq!(
        fails(&template, json!({})),
        "template of `foreach`: renders to a value of type str; a mapping goes through a list or a mapping"
    );
    let short = mapped(MappingKind::Foreach, &[("item", of_task("t"))], 3);
    assert!(fails(&short, json!({"t": [1]})).contains("no element for map index 3"));
    assert!(fails(&spec(), json!({})).contains("`item` is there only in the templates of a task with `foreach`"));
}

#[test]
fn an_instance_is_labelled_by_its_template_or_its_plain_item() {
    let label =
        |spec: &TaskSpec| rendered(&json!({}), &mut Vec::new(), |resolved| render_map_index(spec, resolved)).unwrap();
    let item = |values: Value| mapped(MappingKind::Foreach, &[("item", literal(values))], 0);
    assert_eq!(label(&item(json!(["eu"]))).as_deref(), Some("eu"));
    assert_eq!(label(&item(json!([{"a": 1}]))), None);
    let named = TaskSpec { map_index_template: Some("{{ item }} of {{ ds }}".into()), ..item(json!(["x"])) };
    assert_eq!(label(&named).as_deref(), Some("x of 2026-01-15"));
    assert_eq!(label(&TaskSpec { map_index: MapIndex::UNMAPPED, ..named }), None);
    let long = item(json!(["y".repeat(300)]));
    assert_eq!(label(&long).map(|label| label.len()), Some(250));
}

#[test]
fn a_functions_arguments_may_be_results_of_other_tasks() {
    let spec = TaskSpec { operator: OperatorKind::Python, same_index: vec!["g.same".into()], ..spec() };
    let reference = |task: &str, key: &str| json!({"__xcom__": {"task_id": task, "key": key}});
    let spec = with_args(
        TaskSpec { map_index: MapIndex(2), ..spec },
        json!({
            "op_args": [reference("up", "return_value"), [reference("gone", "return_value")]],
            "op_kwargs": {"low": reference("up", "low"), "same": reference("g.same", "return_value"), "x": {"xcom": "a"}},
        }),
    );
    let whole =
        |task: &str, key: &str, map_index| Ref::XCom { task_id: task.into(), key: key.into(), map_index, part: None };
    let asked = [
        whole("up", "return_value", None),
        whole("gone", "return_value", None),
        whole("up", "low", None),
        whole("g.same", "return_value", Some(2)),
    ];
    assert_eq!(refs(&spec), asked);
    assert_eq!(render_fields(&spec, &Resolved::default()), Err(RenderError::Missing(asked.to_vec())));
    let mut resolved: Resolved = asked.into_iter().map(|reference| (reference, Some(json!(["{{ ds }}"])))).collect();
    resolved.insert(whole("gone", "return_value", None), None);
    assert_eq!(
        Value::Object(render_fields(&spec, &resolved).unwrap()),
        json!({
            "op_args": [["{{ ds }}"], [null]],
            "op_kwargs": {"low": ["{{ ds }}"], "same": ["{{ ds }}"], "x": {"xcom": "a"}},
        }),
        "results are data"
    );
    resolved.insert(whole("up", "low", None), None);
    let Err(RenderError::Failed(failure)) = render_fields(&spec, &resolved) else { panic!() };
    assert_eq!(failure.to_string(), "template of `op_kwargs.low`: task `up` pushed no XCom `low` in this run");
}
