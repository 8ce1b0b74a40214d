//! Branches, short circuits, sensors, results and what a Python task asks its node for.

use serde_json::{Value, json};
use updraft_protocol::{Part, Ref, ResolvedRef};
use uuid::Uuid;

use crate::fake::{Fake, TestNode};

async fn node() -> (Fake, TestNode, tempfile::TempDir) {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    (fake, node, dir)
}

fn python(fake: &Fake, operator: &str, code: &str, more: Value) -> Uuid {
    let mut task = json!({
        "operator": operator, "operator_class": "airflow.providers.standard.operators.python.PythonOperator",
        "args": {"python_callable": format!("\n{code}\n")},
    });
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fake.hand_out(task)
}

#[tokio::test]
async fn a_branch_follows_what_its_function_names() {
    let (fake, node, _dir) = node().await;
    let branch = |code: &str| python(&fake, "branch_python", code, json!({}));
    let cases = [
        (branch("result = 'a'"), Some(json!({"follow": ["a"]}))),
        (branch("result = ('a', 'g')"), Some(json!({"follow": ["a", "g"]}))),
        (branch("result = None"), Some(json!({"follow": []}))),
        (branch("result = 7"), None),
        (branch("result = ['a', 1]"), None),
    ];
    for (id, decision) in cases {
        let report = fake.finished(id).await;
        assert_eq!(report.decision, decision, "{:?}", report.failure_reason);
        if decision.is_none() {
            assert_eq!(report.failure_class.as_deref(), Some("invalid_result"));
            let reason = report.failure_reason.unwrap();
            assert_eq!(reason, "'branch_task_ids' must be either None, a task ID, or an Iterable of IDs");
        }
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_falsy_short_circuit_stops_and_leaves_no_result() {
    let (fake, node, _dir) = node().await;
    for (code, stops) in [("[]", true), ("0", true), ("None", true), ("[0]", false), ("'no'", false)] {
        let id = python(&fake, "short_circuit_python", &format!("result = {code}"), json!({}));
        let report = fake.finished(id).await;
        assert_eq!(report.outcome, "success");
        assert_eq!(report.decision.is_some(), stops, "{code}");
        assert_eq!(report.return_value.is_none(), stops, "{code}");
        if stops {
            assert_eq!(report.decision, Some(json!("stop")));
        }
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn sensors_end_their_process_until_their_condition_holds() {
    let (fake, node, dir) = node().await;
    let sensor = |code: &str| python(&fake, "python_sensor", code, json!({}));
    let done = "
class PokeReturnValue:
    is_done, xcom_value = True, {'n': 1}
    def __bool__(self): return self.is_done
result = PokeReturnValue()";
    let skip = "from airflow.exceptions import AirflowSkipException\nraise AirflowSkipException('never')";
    let timeout = "from airflow.exceptions import AirflowSensorTimeout\nraise AirflowSensorTimeout('too long')";
    let again = "from airflow.exceptions import AirflowRescheduleException as Again\nraise Again(logical_date)";
    let cases = [
        (sensor("result = False"), "rescheduled", None),
        (sensor("result = True"), "success", None),
        (sensor(done), "success", Some(json!({"n": 1}))),
        (sensor(skip), "skipped", None),
        (sensor(timeout), "failed", None),
        (sensor(again), "rescheduled", None),
    ];
    for (id, outcome, value) in cases {
        let report = fake.finished(id).await;
        assert_eq!((report.outcome.as_str(), report.return_value), (outcome, value), "{:?}", report.failure_reason);
        assert_eq!(report.no_retry, outcome == "failed", "a sensor's own timeout is final");
    }
    let bash = |command: &str, retry: Value| {
        fake.hand_out(json!({"operator": "bash_sensor", "args": {"bash_command": command, "retry_exit_code": retry}}))
    };
    let cases = [
        (bash("exit 0", json!(null)), "success"),
        (bash("exit 7", json!(null)), "rescheduled"),
        (bash("exit 2", json!(2)), "rescheduled"),
        (bash("exit 7", json!(2)), "failed"),
    ];
    for (id, outcome) in cases {
        let report = fake.finished(id).await;
        assert_eq!((report.outcome.as_str(), report.return_value), (outcome, None), "{:?}", report.failure_reason);
    }
    let wanted = dir.path().join("in/ready.csv");
    let file = |path: &str, conn_id: &str| {
        fake.hand_out(json!({"operator": "file_sensor", "args": {"filepath": path, "fs_conn_id": conn_id}}))
    };
    let glob = dir.path().join("in/*.csv");
    let before = file(glob.to_str().unwrap(), "fs_default");
    assert_eq!(fake.finished(before).await.outcome, "rescheduled");
    std::fs::create_dir_all(wanted.parent().unwrap()).unwrap();
    std::fs::write(&wanted, "").unwrap();
    let after = file(glob.to_str().unwrap(), "fs_default");
    assert_eq!(fake.finished(after).await.outcome, "success");
    let nowhere = fake.finished(file("in/*.csv", "nowhere")).await;
    assert!(nowhere.failure_reason.unwrap().contains("the connection `nowhere` does not exist"));
    fake.change(|seen| {
        let reference = Ref::Connection { conn_id: "base".to_owned() };
        let extra = json!({"path": dir.path()}).to_string();
        seen.values.push(ResolvedRef { reference, value: Some(json!({"conn_type": "fs", "extra": extra})) });
    });
    assert_eq!(fake.finished(file("in/*.csv", "base")).await.outcome, "success");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn an_exception_may_say_when_to_try_again() {
    let (fake, node, _dir) = node().await;
    let raise =
        "import datetime\nclass Busy(Exception):\n    retry_delay = datetime.timedelta(minutes=2)\nraise Busy('later')";
    let report = fake.finished(python(&fake, "python", raise, json!({}))).await;
    assert_eq!((report.outcome.as_str(), report.retry_delay_ms), ("failed", Some(120_000)));
    let plain = fake.finished(python(&fake, "python", "raise ValueError('now')", json!({}))).await;
    assert_eq!(plain.retry_delay_ms, None);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn standard_output_is_the_result_as_the_task_says() {
    let (fake, node, _dir) = node().await;
    let bash =
        |command: &str, output: &str| fake.hand_out(json!({"args": {"bash_command": command}, "output": output}));
    let json_text = r#"echo '{"a":'; echo '  [1, 2]}'; echo noise >&2"#;
    let report = fake.finished(bash(json_text, "json")).await;
    assert_eq!(report.return_value, Some(json!({"a": [1, 2]})), "{:?}", report.failure_reason);
    assert_eq!(fake.finished(bash("echo a; echo b", "text")).await.return_value, Some(json!("b")));
    assert_eq!(fake.finished(bash("echo a", "none")).await.return_value, None);
    assert_eq!(fake.finished(bash("true", "json")).await.return_value, None);
    let wrong = fake.finished(bash("echo '{'", "json")).await;
    assert_eq!((wrong.outcome.as_str(), wrong.failure_class.as_deref()), ("failed", Some("invalid_result")));
    assert!(wrong.failure_reason.unwrap().contains("standard output is not JSON"));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn secrets_reach_the_task_and_nothing_else() {
    let (fake, node, dir) = node().await;
    let file = dir.path().join("secret");
    std::fs::write(&file, "from-file\n").unwrap();
    fake.change(|seen| {
        let connection = json!({"conn_type": "http", "host": "h", "password": "s3same", "extra": "{\"key\": \"k-1\"}"});
        seen.values = vec![
            ResolvedRef { reference: Ref::Variable { key: "site".to_owned() }, value: Some(json!("site-7")) },
            ResolvedRef { reference: Ref::Connection { conn_id: "db".to_owned() }, value: Some(connection) },
        ];
    });
    let echo = "echo $A $B $C $D | tr a-z A-Z; echo $A $B $C $D; echo $A >&2; exit 3";
    let id = fake.hand_out(json!({
        "args": {"bash_command": echo},
        "secrets": {
            "A": "variable:site", "B": "connection:db.password", "C": "connection:db.extra.key",
            "D": format!("file:{}", file.display()),
        },
    }));
    let report = fake.finished(id).await;
    assert_eq!(
        report.failure_reason.unwrap(),
        "The command ended with exit code 3; the last line of its standard error: ***"
    );
    let execution = report.started.execution.as_ref().unwrap();
    assert_eq!(execution["last_error"], "***", "{execution}");
    fake.log_line(id, "SITE-7 S3SAME K-1 FROM-FILE").await;
    fake.log_line(id, "*** *** *** ***").await;
    let missing = fake.hand_out(json!({
        "args": {"bash_command": "true"}, "secrets": {"TOKEN": "env:NO_SUCH_VARIABLE"},
    }));
    let reason = fake.finished(missing).await.failure_reason.unwrap();
    assert_eq!(reason, "secrets.TOKEN: the environment of this node has no `NO_SUCH_VARIABLE`.");
    let unknown = fake.hand_out(json!({"args": {"bash_command": "true"}, "secrets": {"X": "variable:nope"}}));
    let reason = fake.finished(unknown).await.failure_reason.unwrap();
    assert_eq!(reason, "secrets.X: the variable `nope` does not exist.");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_function_asks_for_xcoms_variables_and_connections_while_it_runs() {
    let (fake, node, _dir) = node().await;
    fake.change(|seen| {
        let xcom = |task_id: &str, key: &str, map_index, value| ResolvedRef {
            reference: Ref::XCom {
                task_id: task_id.to_owned(),
                key: key.to_owned(),
                map_index,
                part: map_index.is_none().then_some(Part::All),
            },
            value: Some(if map_index.is_none() { json!([value]) } else { value }),
        };
        let connection = json!({
            "conn_type": "postgres", "host": "h", "login": "u", "password": "open-sesame", "port": 5432, "schema": "s",
            "extra": "{\"a\": 1}",
        });
        seen.values = vec![
            xcom("up", "return_value", None, json!([1, 2])),
            xcom("other", "return_value", None, json!("x")),
            xcom("up", "k", Some(3), json!("third")),
            ResolvedRef {
                reference: Ref::XComOf {
                    dag_id: Some("elsewhere".to_owned()),
                    run_id: None,
                    include_prior_dates: true,
                    task_id: "up".to_owned(),
                    key: "return_value".to_owned(),
                    map_index: None,
                },
                value: Some(json!(["of another DAG"])),
            },
            ResolvedRef { reference: Ref::Variable { key: "cfg".to_owned() }, value: Some(json!("{\"n\": 7}")) },
            ResolvedRef { reference: Ref::Connection { conn_id: "db".to_owned() }, value: Some(connection) },
        ];
    });
    let code = r#"
from airflow.sdk import Variable, Connection, get_current_context
from airflow.hooks.base import BaseHook
from airflow.models import Variable as Old
ti.xcom_push("own", 5)
db = BaseHook.get_connection("db")
print("the password is", db.password)
assert get_current_context()["ti"] is ti
result = [
    ti.xcom_pull(task_ids="up"), ti.xcom_pull(task_ids=["up", "other"]), ti.xcom_pull("up", key="k", map_indexes=3),
    ti.xcom_pull(task_ids="gone"), ti.xcom_pull(task_ids="gone", default=0), ti.xcom_pull(key="own"),
    Variable.get("cfg"), Old.get("cfg", deserialize_json=True), Variable.get("no", default="d"), var.json.cfg["n"],
    db.get_uri(), conn.db.extra_dejson, var.value.get("no", "z"),
    ti.xcom_pull(task_ids="up", dag_id="elsewhere", include_prior_dates=True),
]
"#;
    let id = python(&fake, "python", code, json!({}));
    let report = fake.finished(id).await;
    let expected = json!([
        [1, 2], [[1, 2], "x"], "third", null, 0, 5, "{\"n\": 7}", {"n": 7}, "d", 7,
        "postgres://u:open-sesame@h:5432/s?__extra__=%7B%22a%22%3A+1%7D", {"a": 1}, "z", "of another DAG"
    ]);
    assert_eq!(report.return_value, Some(expected), "{:?}", report.failure_reason);
    fake.log_line(id, "the password is ***").await;
    for (code, words) in [
        ("from airflow.models import Variable\nVariable.get('no')", "Variable no does not exist"),
        ("from airflow.hooks.base import BaseHook\nBaseHook.get_connection('no')", "The conn_id `no` isn't defined"),
        ("from airflow.models import Variable\nVariable.set('a', 1)", "cannot write variables"),
    ] {
        let report = fake.finished(python(&fake, "python", code, json!({}))).await;
        let reason = report.failure_reason.unwrap();
        assert!(reason.contains(words), "{code}: {reason}");
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_function_may_name_its_instance_and_add_to_its_assets_events() {
    let (fake, node, _dir) = node().await;
    let mapping = json!({"kind": "foreach", "inputs": {"item": {"literal": ["a", "b"]}}});
    let code = "
from airflow.sdk import get_current_context
get_current_context()['customer'] = 'ACME ' + item
outlet_events['s3://bucket/x'].extra = {'rows': 3}
result = item";
    let more = json!({"mapping": mapping, "map_index": 1, "map_index_template": "{{ customer }}"});
    let report = fake.finished(python(&fake, "python", code, more)).await;
    assert_eq!(report.return_value, Some(json!("b")), "{:?}", report.failure_reason);
    assert_eq!(report.started.rendered_map_index.as_deref(), Some("ACME b"));
    assert_eq!(report.outlet_events, Some(json!([{"uri": "s3://bucket/x", "extra": {"rows": 3}}])));
    node.stop().await.unwrap();
}
