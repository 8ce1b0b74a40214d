//! Instances of mapped tasks: their elements, their labels, and results that others map over.

use serde_json::{Value, json};
use updraft_protocol::{Part, Ref, ReportBody, ResolvedRef};

use crate::fake::{Fake, TestNode};

fn xcom(task_id: &str, part: Option<Part>, value: Value) -> ResolvedRef {
    let reference = Ref::XCom { task_id: task_id.to_owned(), key: "return_value".to_owned(), map_index: None, part };
    ResolvedRef { reference, value: Some(value) }
}

fn over_a_result() -> Value {
    json!({"kind": "expand", "inputs": {
        "bash_command": {"literal": ["echo one", "echo two"]},
        "env": {"x_com": {"task_id": "list", "key": "return_value"}},
    }})
}

#[tokio::test]
async fn an_instance_runs_with_its_own_elements_and_fetches_no_others() {
    let fake = Fake::start().await;
    fake.change(|seen| {
        seen.values = vec![
            xcom("list", Some(Part::Length), json!(2)),
            xcom("list", Some(Part::Item(1)), json!([{"WHO": "{{ ds }}"}])),
        ];
    });
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let id = fake.hand_out(json!({
        "args": {"bash_command": "no"}, "map_index": 1, "mapping": over_a_result(),
        "map_index_template": "number {{ map_index }}",
    }));
    let report = fake.finished(id).await;
    assert_eq!(report.return_value, Some(json!("one")), "{:?}", report.failure_reason);
    assert_eq!(report.started.rendered_map_index.as_deref(), Some("number 1"));
    let fields = report.rendered_fields.unwrap();
    assert_eq!(fields["bash_command"], "echo one");
    assert_eq!(fields["env"]["WHO"], "{{ ds }}", "another task's result is no template");
    assert_eq!(fake.seen().resolved.len(), 2, "{:?}", fake.seen().resolved);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn the_label_is_told_with_the_start_and_a_broken_one_stops_nothing() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let mapping = json!({"kind": "foreach", "inputs": {"item": {"literal": ["eu", "us"]}}});
    let long = fake.hand_out(json!({
        "args": {"bash_command": "echo {{ item }}; sleep 30"}, "map_index": 1, "mapping": mapping,
    }));
    let label = fake
        .wait("a start", |seen| {
            seen.events.iter().find_map(|event| match &event.body {
                ReportBody::Started(started) if event.attempt_id == long => Some(started.rendered_map_index.clone()),
                _ => None,
            })
        })
        .await;
    assert_eq!(label.as_deref(), Some("us"));
    fake.cancel(long, std::time::Duration::ZERO);
    let broken = fake.hand_out(json!({
        "args": {"bash_command": "echo {{ item }}"}, "map_index": 0, "mapping": mapping, "map_index_template": "{{ nope }}",
    }));
    let report = fake.finished(broken).await;
    assert_eq!((report.outcome.as_str(), report.return_value), ("success", Some(json!("eu"))));
    assert_eq!(report.started.rendered_map_index, None);
    fake.log_line(broken, "`nope` is undefined").await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_result_that_others_map_over_is_a_list_or_mapping_of_bounded_length() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let python = |code: &str, index: i32| {
        fake.hand_out(json!({
            "operator": "python", "operator_class": "airflow.providers.standard.operators.python.PythonOperator",
            "args": {"python_callable": format!("\nresult = {code}\n")}, "max_map_length": 3, "map_index": index,
        }))
    };
    let cases = [
        (python("[1, 2, 3]", -1), None),
        (python("{'a': 1}", -1), None),
        (python("'text'", -1), Some("unmappable return type 'str'")),
        (python("[1, 2, 3, 4]", -1), Some("unmappable return value length: 4 > 3")),
        (python("None", -1), Some("did not push XCom for task mapping")),
        (python("'one of many'", 0), None),
    ];
    for (id, expected) in cases {
        let report = fake.finished(id).await;
        assert_eq!(report.failure_reason.as_deref(), expected);
        assert_eq!(report.failure_class.is_some(), expected.is_some());
        if expected.is_some() {
            assert_eq!((report.outcome.as_str(), report.return_value), ("failed", None));
        }
    }
    node.stop().await.unwrap();
}
