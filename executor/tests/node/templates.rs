//! Templates, and the values they fetch.

use serde_json::json;
use updraft_protocol::{Ref, ResolvedRef};

use crate::fake::{Fake, TestNode};

#[tokio::test]
async fn what_a_template_names_is_fetched_and_secrets_stay_on_the_node() {
    let fake = Fake::start().await;
    fake.change(|seen| {
        seen.values = vec![
            ResolvedRef { reference: Ref::Variable { key: "greeting".to_owned() }, value: Some(json!("hello")) },
            ResolvedRef {
                reference: Ref::Connection { conn_id: "db".to_owned() },
                value: Some(json!({"conn_type": "postgres", "host": "h", "schema": null, "login": "u", "password": "sesame-42", "port": 1, "extra": null})),
            },
        ];
    });
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let id = fake.hand_out(json!({
        "args": {"bash_command": "echo {{ var.value.greeting }} $WHO; echo pass {{ conn.db.password }}; echo {{ ds }}"},
        "env": {"WHO": "{{ dag.dag_id }}"},
    }));
    let report = fake.finished(id).await;
    assert_eq!(report.return_value, Some(json!("2026-01-02")), "{:?}", report.failure_reason);
    fake.log_line(id, "hello d").await;
    fake.log_line(id, "pass ***").await;
    fake.log_line(id, "return code 0").await;
    assert!(!String::from_utf8_lossy(&fake.seen().logs[&id]).contains("sesame"));
    assert!(report.rendered_fields.unwrap()["bash_command"].as_str().unwrap().contains("pass ***"));
    assert_eq!(fake.seen().resolved.len(), 2, "each value is asked for once");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn an_undefined_name_is_an_ordinary_failure_that_names_it() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let id = fake.bash("echo {{ params.day }}");
    let report = fake.finished(id).await;
    assert_eq!(report.failure_class.as_deref(), Some("template_error"));
    let reason = report.failure_reason.unwrap();
    assert!(reason.contains("day") && reason.contains("bash_command"), "{reason}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_field_is_run_whole_and_shown_in_part() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let id = fake.bash(&format!("x='{}'; printf %s $x | wc -c", "y".repeat(50_000)));
    let report = fake.finished(id).await;
    assert_eq!(report.return_value, Some(json!("50000")), "{:?}", report.failure_reason);
    let fields = report.rendered_fields.unwrap();
    let shown = fields["bash_command"].as_str().unwrap();
    assert!(shown.starts_with("Truncated") && shown.len() < 5_000);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn templates_include_files_of_the_bundle_and_none_outside_it() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let hash = fake.bundle(&[
        ("dags/d.yaml", ""),
        ("dags/hello.sh", "echo hello {{ ds }}"),
        ("sql/part.sh", "echo from the search path"),
        ("top.sh", "echo top"),
    ]);
    let node = TestNode::start(&fake, dir.path());
    let run = |text: &str| {
        let id = uuid::Uuid::new_v4();
        let mut spec = json!({
            "args": {"bash_command": text}, "bundle_hash": hash, "relative_fileloc": "dags/d.yaml",
            "run": {
                "dag_id": "d", "run_id": "r", "run_type": "manual", "logical_date": "2026-01-02T03:04:05Z",
                "data_interval_start": null, "data_interval_end": null, "run_after": "2026-01-02T03:04:05Z", "start_date": null,
                "conf": {}, "params": {}, "dag_owner": "airflow", "dag_tags": [], "dag_description": null,
                "render_template_as_native_obj": false, "template_searchpath": ["sql"]
            }
        });
        spec["map_index"] = json!(-1);
        fake.hand_out_as(id, spec);
        id
    };
    for (text, expected) in [
        ("{% include 'hello.sh' %}", "hello 2026-01-02"),
        ("{% include 'part.sh' %}", "from the search path"),
        ("{% include 'top.sh' %}", "top"),
    ] {
        let report = fake.finished(run(text)).await;
        assert_eq!(report.return_value, Some(json!(expected)), "{:?}", report.failure_reason);
    }
    for outside in ["{% include '../../../../etc/hostname' %}", "{% include '/etc/hostname' %}"] {
        let report = fake.finished(run(outside)).await;
        assert_eq!(report.failure_class.as_deref(), Some("template_error"));
        assert!(report.failure_reason.unwrap().contains("no file of this name"), "{outside}");
    }
    node.stop().await.unwrap();
}
