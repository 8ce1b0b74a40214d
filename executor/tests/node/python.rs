//! Python callables through the shim.

use serde_json::{Value, json};

use crate::fake::{Fake, TestNode, kinds};

fn task(args: Value) -> Value {
    json!({"operator": "python", "operator_class": "airflow.providers.standard.operators.python.PythonOperator", "args": args})
}

const MODULE: &str = r#"
import dataclasses, datetime

def add(a, b=1, *, ds):
    return {"sum": a + b, "ds": ds}

def everything(**context):
    return sorted(name for name in ("ti", "ds", "params", "dag_run", "extra") if name in context)

def facts(ti, dag_run, logical_date, templates_dict):
    ti.xcom_push("side", [1, 2])
    return [ti.task_id, ti.try_number, dag_run.run_id, dag_run.conf, logical_date, templates_dict]

def boom():
    raise ValueError("no such row")

def leave():
    raise SystemExit(0)

class AirflowSkipException(Exception):
    pass

def skip():
    raise AirflowSkipException("nothing to do")

def give_up():
    from airflow.exceptions import AirflowFailException
    raise AirflowFailException("for good")

class Busy(ConnectionError):
    pass

def busy():
    raise Busy("come back")

def unserialisable():
    return object()

def vanish():
    import os
    print("last words", flush=True)
    os._exit(4)

class Tools:
    @staticmethod
    def value():
        return (datetime.date(2026, 1, 2), {3, 1})
"#;

fn node(fake: &Fake, dir: &std::path::Path) -> (TestNode, String) {
    let hash = fake.bundle(&[
        ("pkg/__init__.py", ""),
        ("pkg/mod.py", MODULE),
        ("jobs/script.py", "def main(name):\n    return f'hello {name}'\n"),
    ]);
    (TestNode::start(fake, dir), hash)
}

#[tokio::test]
async fn callables_get_their_arguments_and_the_context_they_ask_for() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (node, hash) = node(&fake, dir.path());
    let cases = [
        (json!({"python_callable": "pkg.mod.add", "op_args": [2], "op_kwargs": {"b": "{{ 3 }}"}}), None),
        (
            json!({"python_callable": "pkg.mod.add", "op_args": [2], "op_kwargs": {"b": 3}}),
            Some(json!({"sum": 5, "ds": "2026-01-02"})),
        ),
        (
            json!({"python_callable": "pkg.mod.everything", "op_kwargs": {"extra": 1}}),
            Some(json!(["dag_run", "ds", "extra", "params", "ti"])),
        ),
        (
            json!({"python_callable": "pkg.mod.facts", "templates_dict": {"day": "{{ ds }}"}}),
            Some(json!(["t", 1, "manual__1", {}, "2026-01-02T03:04:05+00:00", {"day": "2026-01-02"}])),
        ),
        (json!({"python_callable": "pkg.mod.Tools.value"}), Some(json!(["2026-01-02", [1, 3]]))),
        (json!({"python_callable": "math.sqrt", "op_args": [9]}), Some(json!(3.0))),
        (
            json!({"python_callable_file": "script.py", "python_callable_name": "main", "op_args": ["x"]}),
            Some(json!("hello x")),
        ),
        (
            json!({"python_callable": "import os\nresult = [ds, who, 6 * 7]\n", "op_kwargs": {"who": "me"}}),
            Some(json!(["2026-01-02", "me", 42])),
        ),
    ];
    for (args, expected) in cases {
        let mut task = task(args.clone());
        task["bundle_hash"] = json!(hash);
        task["relative_fileloc"] = json!("jobs/d.yaml");
        let id = fake.hand_out(task);
        let report = fake.finished(id).await;
        match expected {
            Some(expected) => assert_eq!(report.return_value, Some(expected), "{args}: {:?}", report.failure_reason),
            // A text is not added to a number: rendered values are texts unless the DAG renders natively.
            None => assert!(report.failure_reason.unwrap().starts_with("TypeError"), "{args}"),
        }
        if args["python_callable"] == "pkg.mod.facts" {
            assert_eq!(fake.seen().xcoms[&(id, "side".to_owned())], json!([1, 2]));
        }
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn each_end_of_a_callable_has_its_meaning() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (node, hash) = node(&fake, dir.path());
    let cases = [
        ("pkg.mod.boom", "failed", Some("exit_code"), "ValueError: no such row", false),
        ("pkg.mod.leave", "failed", Some("exit_code"), "SystemExit: 0", false),
        ("pkg.mod.skip", "skipped", None, "", false),
        ("pkg.mod.give_up", "failed", Some("exit_code"), "for good", true),
        ("pkg.mod.unserialisable", "failed", Some("exit_code"), "cannot be an XCom", false),
        ("pkg.mod.vanish", "failed", Some("exit_code"), "exit code 4", false),
        ("pkg.nothing.here", "failed", Some("exit_code"), "'nothing'", false),
        ("nowhere.at.all", "failed", Some("exit_code"), "no module 'nowhere'", false),
    ];
    for (callable, outcome, class, words, no_retry) in cases {
        let mut task = task(json!({"python_callable": callable}));
        task["bundle_hash"] = json!(hash);
        let id = fake.hand_out(task);
        let report = fake.finished(id).await;
        let reason = report.failure_reason.unwrap_or_default();
        assert_eq!(
            (report.outcome.as_str(), report.failure_class.as_deref()),
            (outcome, class),
            "{callable}: {reason}"
        );
        assert!(reason.contains(words), "{callable}: {reason}");
        assert_eq!(report.no_retry, no_retry, "{callable}");
        if callable == "pkg.mod.boom" {
            fake.log_line(id, "Traceback (most recent call last)").await;
            fake.log_line(id, "raise ValueError(\"no such row\")").await;
            assert!(
                !fake.output(id).iter().any(|line| line.contains("updraft_shim")),
                "the shim's own frames are not shown"
            );
        }
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn several_outputs_are_pushed_each_under_its_key() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (node, hash) = node(&fake, dir.path());
    let run = |code: &str| {
        let mut task = task(json!({"python_callable": format!("\n{code}\n")}));
        task["bundle_hash"] = json!(hash);
        task["multiple_outputs"] = json!(true);
        fake.hand_out(task)
    };
    let large = run("result = {'sum': 2, 'text': 'x' * 100_000}");
    let report = fake.finished(large).await;
    assert_eq!(report.return_value, None, "it is put on its own");
    assert_eq!(fake.seen().xcoms[&(large, "sum".to_owned())], json!(2));
    let small = run("result = {'sum': 2}");
    assert_eq!(fake.finished(small).await.return_value, Some(json!({"sum": 2})), "the server pushes its keys");
    let wrong = run("result = [2]");
    let reason = fake.finished(wrong).await.failure_reason.unwrap();
    assert_eq!(reason, "Returned output was type <class 'list'> expected dictionary for multiple_outputs");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_missing_bundle_or_interpreter_is_a_readable_failure() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (node, _) = node(&fake, dir.path());
    let mut lost = task(json!({"python_callable": "math.sqrt"}));
    lost["bundle_hash"] = json!("feedbeef");
    let lost = fake.hand_out(lost);
    let report = fake.finished(lost).await;
    assert_eq!(report.failure_class.as_deref(), Some("bundle_unavailable"), "{:?}", report.failure_reason);
    let none = fake.hand_out(task(json!({"python_callable": "math.sqrt", "interpreter": "python-of-nobody"})));
    let report = fake.finished(none).await;
    assert_eq!(report.failure_class.as_deref(), Some("command_not_found"));
    assert!(report.failure_reason.unwrap().contains("python-of-nobody"));
    node.stop().await.unwrap();
}

/// A folder of packages with one wheel, made by hand.
fn wheels(dir: &std::path::Path) -> String {
    let code = "import sys, zipfile\n\
                with zipfile.ZipFile(sys.argv[1] + '/tiny-1.0-py3-none-any.whl', 'w') as wheel:\n    \
                    wheel.writestr('tiny.py', 'import sys\\nANSWER = 42\\nPREFIX = sys.prefix\\n')\n    \
                    wheel.writestr('tiny-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n')\n    \
                    wheel.writestr('tiny-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    \
                    wheel.writestr('tiny-1.0.dist-info/RECORD', '')\n";
    let made = std::process::Command::new("python3").args(["-c", code]).arg(dir).status().unwrap();
    assert!(made.success());
    dir.display().to_string()
}

#[tokio::test]
async fn requirements_are_installed_once_for_all_tasks_that_ask_for_the_same() {
    let fake = Fake::start().await;
    let (dir, packages) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = TestNode::start(&fake, dir.path());
    let options = json!(["--no-index", "--find-links", wheels(packages.path())]);
    let ask = |requirements: Value| {
        let code = "import tiny\nresult = [tiny.ANSWER, tiny.PREFIX]\n";
        fake.hand_out(task(
            json!({"python_callable": code, "requirements": requirements, "pip_install_options": options}),
        ))
    };
    let (one, other) = (ask(json!(["tiny==1.0"])), ask(json!("# what it needs\ntiny==1.0\n")));
    let mut prefixes = Vec::new();
    for id in [one, other] {
        let report = fake.finished(id).await;
        let value = report.return_value.unwrap_or_else(|| panic!("{:?}", report.failure_reason));
        assert_eq!(value[0], 42);
        prefixes.push(value[1].clone());
    }
    assert_eq!(prefixes[0], prefixes[1]);
    let built = [one, other].map(|id| fake.output(id).iter().any(|line| line.contains("Successfully installed tiny")));
    assert!(built[0] != built[1], "one of them built it, the other waited: {built:?}");
    assert_eq!(std::fs::read_dir(dir.path().join("venvs")).unwrap().count(), 1);

    let missing = ask(json!(["no-such-package"]));
    let report = fake.finished(missing).await;
    assert_eq!(report.failure_class.as_deref(), Some("environment_error"));
    assert!(report.failure_reason.unwrap().contains("no-such-package"));
    assert_eq!(std::fs::read_dir(dir.path().join("venvs")).unwrap().count(), 1, "nothing half made stays");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_the_making_of_an_environment() {
    let fake = Fake::start().await;
    let (dir, packages) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = TestNode::start(&fake, dir.path());
    std::fs::create_dir(packages.path().join("slow")).unwrap();
    let setup = "import time\nprint('building', flush=True)\ntime.sleep(600)\n";
    std::fs::write(packages.path().join("slow/setup.py"), setup).unwrap();
    let id = fake.hand_out(task(json!({
        "python_callable": "math.sqrt", "requirements": [packages.path().join("slow")],
        "pip_install_options": ["--no-index", "--no-build-isolation", "-v"]
    })));
    fake.log_line(id, "Processing").await;
    fake.cancel(id, std::time::Duration::ZERO);
    fake.wait("stopped", |seen| kinds(seen, id).contains(&"stopped").then_some(())).await;
    assert_eq!(std::fs::read_dir(dir.path().join("venvs")).unwrap().count(), 0);
    node.stop().await.unwrap();
}

/// The shim runs on every CPython from 3.9 on that is here.
#[tokio::test]
async fn the_shim_runs_on_every_python() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (node, hash) = node(&fake, dir.path());
    let mut tried = 0;
    for minor in 9..=14 {
        let program = format!("python3.{minor}");
        let version = std::process::Command::new(&program).arg("-V").output();
        if !version.is_ok_and(|output| output.status.success()) {
            continue;
        }
        let mut task = task(json!({
            "python_callable": "pkg.mod.add", "op_args": [1], "op_kwargs": {"b": 2}, "python_version": format!("3.{minor}")
        }));
        task["bundle_hash"] = json!(hash);
        let report = fake.finished(fake.hand_out(task)).await;
        assert_eq!(report.return_value, Some(json!({"sum": 3, "ds": "2026-01-02"})), "{program}: {report:?}");
        tried += 1;
    }
    assert!(tried > 0, "no Python is here");
    node.stop().await.unwrap();
}

const TOLD: &str = r#"
import inspect, json, sys

def told(context, greeting="-"):
    ti, run = context["ti"], context["dag_run"]
    print(json.dumps([greeting, context["event"], ti.task_id, ti.try_number, ti.state, ti.duration, run.state,
                      str(context.get("exception")), context["ds"], context["notification_key"][:4], context["ti"].log_url]))

class Notifier:
    def __init__(self, room):
        self.room = room

    def __call__(self, context):
        print("to", self.room, "of", context["run_id"], "ti" in context)

def broken(context):
    raise KeyError("no such channel")

def skipping(context):
    from airflow.exceptions import AirflowSkipException
    raise AirflowSkipException("not today")

def pushing(context):
    context["ti"].xcom_push("k", 1)
"#;

/// A callback on the failure of task `load`, whose own arguments would not render.
fn callback(call: &Value, hash: &str) -> Value {
    let mut call = call.clone();
    call["key"] = json!("77770000-0000-0000-0000-000000000000");
    json!({
        "task_id": "load", "operator": "python", "operator_class": "x", "args": {}, "do_xcom_push": false, "try_number": 2,
        "bundle_hash": hash, "relative_fileloc": "jobs/d.yaml", "call": call,
        "callback": {
            "cause": "failure", "log_url": "https://up/logs/2",
            "run": {"state": "failed", "start_date": "2026-01-02T03:04:05Z", "end_date": null},
            "ti": {
                "task_id": "load", "map_index": -1, "attempt_id": "6f1f0000-0000-0000-0000-000000000000", "try_number": 2,
                "max_tries": 1, "state": "failed", "start_date": "2026-01-02T03:04:05Z", "end_date": "2026-01-02T03:04:07.5Z",
                "hostname": "n1", "exit_code": 3, "failure": {"class": "exit_code", "reason": "exit code 3"},
            },
        },
    })
}

#[tokio::test]
async fn a_callback_is_called_with_the_context_of_what_it_tells_of() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let hash = fake.bundle(&[("told.py", TOLD), ("jobs/near.py", TOLD)]);
    let node = TestNode::start(&fake, dir.path());
    let facts = |greeting: &str| {
        format!(
            "[\"{greeting}\", \"failure\", \"load\", 2, \"failed\", 2.5, \"failed\", \"exit code 3\", \"2026-01-02\", \"7777\", \"https://up/logs/2\"]"
        )
    };
    let cases = [
        (json!({"callable": "told.told"}), facts("-")),
        (json!({"callable": "told.told", "kwargs": {"greeting": "{{ as it is }}"}}), facts("{{ as it is }}")),
        (json!({"callable": "told", "file": "near.py"}), facts("-")),
        (json!({"callable": "told.Notifier", "kwargs": {"room": "#etl"}}), "to #etl of manual__1 True".to_owned()),
    ];
    for (call, said) in cases {
        let id = fake.hand_out(callback(&call, &hash));
        let report = fake.finished(id).await;
        assert_eq!((report.outcome.as_str(), &report.return_value), ("success", &None), "{call} {report:?}");
        fake.log_line(id, "Done.").await;
        assert!(fake.output(id).contains(&said), "{call} {:?}", fake.output(id));
    }
    let mut of_run = callback(&json!({"callable": "told.Notifier", "kwargs": {"room": "#etl"}}), &hash);
    of_run["callback"].as_object_mut().unwrap().remove("ti");
    let id = fake.hand_out(of_run);
    assert_eq!(fake.finished(id).await.outcome, "success");
    fake.log_line(id, "to #etl of manual__1 False").await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_callback_that_raises_fails_with_the_tracebacks_last_line_whatever_it_raises() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let hash = fake.bundle(&[("told.py", TOLD)]);
    let node = TestNode::start(&fake, dir.path());
    let cases = [
        ("told.broken", "KeyError: 'no such channel'"),
        ("told.skipping", "AirflowSkipException: not today"),
        ("told.pushing", "RuntimeError: a callback cannot push XComs: what it tells of is over"),
        ("told.absent", "ImportError: callback 'told.absent': 'told' has no 'absent'"),
    ];
    for (callable, reason) in cases {
        let id = fake.hand_out(callback(&json!({"callable": callable}), &hash));
        let report = fake.finished(id).await;
        assert_eq!(report.outcome, "failed", "{report:?}");
        assert_eq!(report.failure_class.as_deref(), Some("exit_code"), "{report:?}");
        let said = report.failure_reason.unwrap();
        assert!(said.ends_with(reason), "{said}");
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_retry_policy_ends_the_tries_or_sets_the_delay() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (node, hash) = node(&fake, dir.path());
    let rule = |exception: &str, action: &str, subclasses: bool| json!({"exceptions": [exception], "action": action, "retry_delay": 7.5, "match_subclasses": subclasses});
    for (callable, rules, default, expected) in [
        ("pkg.mod.busy", json!([rule("builtins.OSError", "retry", true)]), "default", (false, Some(7500))),
        ("pkg.mod.busy", json!([rule("pkg.mod.Busy", "fail", false)]), "default", (true, None)),
        ("pkg.mod.busy", json!([rule("builtins.OSError", "fail", false)]), "default", (false, None)),
        ("pkg.mod.busy", json!([rule("builtins.KeyError", "retry", true)]), "fail", (true, None)),
        (
            "pkg.mod.busy",
            json!([
                rule("builtins.KeyError", "fail", true),
                rule("nowhere.Gone", "fail", true),
                rule("builtins.OSError", "default", true)
            ]),
            "fail",
            (false, None),
        ),
        // It fails for good by itself: the policy is not asked.
        ("pkg.mod.give_up", json!([rule("builtins.Exception", "retry", true)]), "default", (true, None)),
    ] {
        let mut given = task(json!({"python_callable": callable}));
        given["bundle_hash"] = json!(hash);
        given["retry_policy"] = json!({"rules": rules, "default": default});
        let id = fake.hand_out(given);
        let report = fake.finished(id).await;
        assert_eq!(
            (report.no_retry, report.retry_delay_ms),
            expected,
            "{rules} {default}: {:?}",
            report.failure_reason
        );
    }
    node.stop().await.unwrap();
}
