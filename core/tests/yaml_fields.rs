//! What mapping, setup and teardown, callbacks, deadlines, sensors and operators of a file become in the compiled DAG.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use updraft_core::{
    dag::{
        CallbackAction, CallbackEvent, Dag, Deadline, DeadlineReference, MapInput, MappingKind, Output, RetryAction,
        RetryPolicy, RetryRule, Schedule, Task, TriggerRule,
    },
    diagnostic::Severity,
    operator::{OperatorKind, XComArg},
    yaml::{Files, Loaded, Settings, load},
};

/// One file beside the DAG file.
struct Beside(&'static str, &'static str);

impl Files for Beside {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        (path == self.0).then(|| self.1.as_bytes().to_vec())
    }
}

fn load_beside(text: &str, files: &dyn Files) -> Loaded {
    let now: DateTime<Utc> = "2026-01-15T12:00:00Z".parse().expect("a date");
    load("file.yaml", text.as_bytes(), files, &Settings::new(now))
}

/// The DAG of a file without findings.
#[track_caller]
fn one(text: &str) -> Dag {
    let loaded = load_beside(text, &());
    assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
    loaded.dags.into_iter().next().expect("one DAG").dag
}

/// The task `t` of a DAG that has it beside an `a`.
#[track_caller]
fn task(text: &str) -> Task {
    one(&format!("tasks:\n  a: {{bash: echo}}\n  t: {text}\n")).task("t").expect("the task").clone()
}

/// Kind, line and severity of what is found.
fn found(text: &str) -> Vec<(String, u32, bool)> {
    let loaded = load_beside(text, &());
    loaded.diagnostics.iter().map(|found| (found.kind.clone(), found.line, found.severity == Severity::Error)).collect()
}

#[track_caller]
fn refuses(text: &str, kind: &str, line: u32) {
    assert_eq!(found(text), [(kind.to_owned(), line, true)], "{text}");
}

fn upstream(dag: &Dag, task: &str) -> Vec<String> {
    dag.task(task).expect("the task").upstream.iter().map(ToString::to_string).collect()
}

fn xcom(task_id: &str, key: &str) -> MapInput {
    MapInput::XCom { task_id: task_id.into(), key: key.to_owned() }
}

#[test]
fn maps_over_results_however_they_are_written_and_makes_the_edge() {
    for text in ["a", "a.output", "XcomArg(a)", "+a"] {
        let dag = one(&format!("tasks:\n  a: {{bash: echo}}\n  t: {{bash: x, foreach: {text}}}\n"));
        let mapping = dag.task("t").unwrap().mapping.as_ref().unwrap();
        assert_eq!((mapping.kind, &mapping.inputs["item"]), (MappingKind::Foreach, &xcom("a", "return_value")));
        assert_eq!(upstream(&dag, "t"), ["a"], "{text}");
    }
    let dag = one("task_groups: {g: {tasks: {a: {bash: echo}}}}\n\
                   tasks: {t: {operator: bash, expand: {bash_command: \"+a['k']\"}}}\n");
    let mapping = dag.task("t").unwrap().mapping.as_ref().unwrap();
    assert_eq!(mapping.inputs["bash_command"], xcom("g.a", "k"), "by the full id");
    assert_eq!(upstream(&dag, "t"), ["g.a"]);
}

#[test]
fn maps_over_literals_templates_and_lists_of_arguments() {
    let mapping = task("{operator: bash, partial: {append_env: true}, expand: {bash_command: [1, b], env: [{A: x}]}}");
    let args = &mapping.args;
    assert_eq!((&args["append_env"], mapping.extra["partial"][0].as_str()), (&json!(true), Some("append_env")));
    let mapping = mapping.mapping.unwrap();
    assert_eq!(mapping.kind, MappingKind::Expand);
    assert_eq!(mapping.inputs["bash_command"], MapInput::Literal(json!(["1", "b"])), "text, as the argument wants it");
    let mapping = task("{bash: x, foreach: \"{{ params.list }}\"}").mapping.unwrap();
    assert_eq!(mapping.inputs["item"], MapInput::Template("{{ params.list }}".to_owned()));
    let mapping = task("{operator: bash, expand_kwargs: [{bash_command: a}, {bash_command: b}]}").mapping.unwrap();
    assert_eq!(mapping.kind, MappingKind::ExpandKwargs);
    let mapping = task("{bash: x, matrix: {a: [1, 2], b: [x]}}").mapping.unwrap();
    assert_eq!(mapping.inputs.keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn refuses_mappings_that_cannot_be() {
    let task = |text: &str| format!("tasks:\n  a: {{bash: x}}\n  t: {text}\n");
    refuses(&task("{operator: bash, expand_kwargs: [{command: a}], bash_command: x}"), "unknown_argument", 3);
    refuses(&task("{operator: bash, expand_kwargs: [{env: {}}]}"), "missing_argument", 3);
    refuses(&task("{operator: bash, expand_kwargs: [1], bash_command: x}"), "invalid_expand", 3);
    refuses(&task("{bash: x, matrix: {}}"), "invalid_expand", 3);
    refuses("tasks:\n  t: {bash: x, foreach: g}\ntask_groups: {g: {tasks: {b: {bash: x}}}}\n", "invalid_expand", 2);
}

#[test]
fn what_is_mapped_over_a_result_cannot_run_always() {
    let task =
        |over: &str| format!("tasks:\n  a: {{bash: x}}\n  t: {{bash: x, foreach: {over}, trigger_rule: always}}\n");
    refuses(&task("a"), "invalid_trigger_rule", 3);
    assert_eq!(found(&task("[1, 2]")), []);
    refuses(
        "tasks: {a: {bash: x}}\ntask_groups:\n  g:\n    foreach: a\n    tasks:\n      t: {bash: x, trigger_rule: always}\n",
        "invalid_trigger_rule",
        6,
    );
}

#[test]
fn maps_groups_and_nothing_inside_them_again() {
    let dag = one("tasks: {list: {bash: echo}}\n\
                   task_groups:\n  g:\n    expand: {region: list.output}\n    tasks: {a: {bash: \"echo {{ region }}\"}, b: {bash: echo, depends_on: a}}\n");
    let mapping = dag.task_groups["g"].mapping.as_ref().unwrap();
    assert_eq!(mapping.inputs["region"], xcom("list", "return_value"));
    assert_eq!((upstream(&dag, "g.a"), upstream(&dag, "g.b")), (vec!["list".to_owned()], vec!["g.a".to_owned()]));
    assert!(dag.task("g.a").unwrap().mapping.is_none());
    refuses(
        "task_groups:\n  g:\n    foreach: [1]\n    tasks:\n      a: {bash: x, foreach: [2]}\n",
        "invalid_expand",
        5,
    );
    refuses(
        "task_groups:\n  g:\n    foreach: [1]\n    tasks: {b: {bash: x}}\n    task_groups:\n      h: {foreach: [2], tasks: {a: {bash: x}}}\n",
        "invalid_expand",
        6,
    );
}

#[test]
fn a_teardown_names_its_setups_and_does_not_hold_up_what_follows_its_group() {
    let dag = one("task_groups:\n  g:\n    tasks:\n      up: {bash: x}\n      work: {bash: x, depends_on: up}\n      \
                   down: {bash: x, teardown: up, depends_on: work, on_failure_fail_dagrun: true}\n  \
                   h: {tasks: {after: {bash: x, depends_on: g}}}\n");
    let (up, down) = (dag.task("g.up").unwrap(), dag.task("g.down").unwrap());
    assert!(up.is_setup && down.is_teardown && down.on_failure_fail_dagrun);
    assert_eq!(down.trigger_rule, TriggerRule::AllDoneSetupSuccess);
    assert_eq!(upstream(&dag, "g.down"), ["g.up", "g.work"]);
    assert_eq!(upstream(&dag, "h.after"), ["g.work"]);
}

#[test]
fn refuses_setups_and_teardowns_that_cannot_be() {
    let down = |text: &str| format!("tasks:\n  up: {{bash: x}}\n  down: {{bash: x, {text}}}\n");
    refuses(&down("teardown: up, trigger_rule: all_done"), "invalid_trigger_rule", 3);
    refuses(&down("setup: true, teardown: true"), "conflicting_keys", 3);
    refuses(&down("on_failure_fail_dagrun: true"), "invalid_value", 3);
    refuses(&down("teardown: uup"), "unknown_dependency", 3);
    refuses(
        "tasks:\n  up: {bash: x, setup: true}\n  work: {bash: x, depends_on: up, trigger_rule: all_done}\n",
        "invalid_trigger_rule",
        3,
    );
}

#[test]
fn fail_fast_wants_all_success_of_all_but_teardowns() {
    let dag =
        |rule: &str| format!("fail_fast: true\ntasks:\n  a: {{bash: x}}\n  b: {{bash: x, depends_on: a{rule}}}\n");
    assert!(one(&dag("")).fail_fast);
    assert!(one(&dag(", teardown: true")).fail_fast);
    refuses(&dag(", trigger_rule: one_success"), "invalid_trigger_rule", 4);
}

#[test]
fn reads_callbacks_in_every_form() {
    let text = "{bash: x, on_execute_callback: m.f, on_success_callback: {callback: m.f, x: 1},
      on_failure_callback: [m.f, {__type__: airflow.providers.smtp.notifications.smtp.SmtpNotifier, to: 'a@b.org, c@d.org', subject: s}],
      on_retry_callback: {callback: airflow.providers.slack.notifications.slack.send_slack_notification, text: hi},
      on_skipped_callback_name: f, on_skipped_callback_file: m.py}";
    let text = format!("tasks:\n  t: {text}\n");
    let loaded = load_beside(&text, &Beside("m.py", "def f(context, **kwargs): pass\n"));
    assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
    let callbacks = &loaded.dags[0].dag.tasks[0].callbacks;
    let of = |event| callbacks.iter().filter(move |callback| callback.on == event).map(|callback| &callback.action);
    let python = |file: Option<&str>, kwargs: Value| CallbackAction::Python {
        callable: if file.is_some() { "f" } else { "m.f" }.to_owned(),
        file: file.map(str::to_owned),
        kwargs: kwargs.as_object().cloned().unwrap(),
    };
    assert_eq!(of(CallbackEvent::Execute).collect::<Vec<_>>(), [&python(None, json!({}))]);
    assert_eq!(of(CallbackEvent::Success).collect::<Vec<_>>(), [&python(None, json!({"x": 1}))]);
    let email = CallbackAction::Email {
        to: vec!["a@b.org".to_owned(), "c@d.org".to_owned()],
        subject: Some("s".to_owned()),
        body: None,
        from: None,
        conn_id: None,
    };
    assert_eq!(of(CallbackEvent::Failure).collect::<Vec<_>>(), [&python(None, json!({})), &email]);
    let slack = CallbackAction::Slack {
        conn_id: "slack_api_default".to_owned(),
        channel: Some("#general".to_owned()),
        text: "hi".to_owned(),
    };
    assert_eq!(of(CallbackEvent::Retry).collect::<Vec<_>>(), [&slack]);
    assert_eq!(of(CallbackEvent::Skipped).collect::<Vec<_>>(), [&python(Some("m.py"), json!({}))]);
}

#[test]
fn sends_native_notifications_and_the_mail_of_email() {
    let dag = one("default_args: {email: a@b.org, email_on_retry: false, on_failure: [{http: 'https://x.org'}]}\n\
                   on_failure: {slack: {conn_id: s, text: t}}\n\
                   tasks: {a: {bash: x}, b: {bash: x, on_failure: []}}\n");
    let words = |id: &str| -> Vec<String> {
        let callbacks = &dag.task(id).unwrap().callbacks;
        callbacks.iter().map(|callback| serde_json::to_value(callback).unwrap()["action"].to_string()).collect()
    };
    assert_eq!(words("a"), ["\"email\"", "\"http\""]);
    assert_eq!(words("b"), ["\"email\""], "a task's own list takes the place of the default");
    assert!(matches!(&dag.callbacks[0].action, CallbackAction::Slack { channel: None, .. }));
    assert_eq!(dag.callbacks[0].on, CallbackEvent::Failure);
    let bad = |text: &str| format!("on_failure:\n  - {text}\ntasks: {{a: {{bash: x}}}}\n");
    refuses(&bad("pager: x"), "unknown_argument", 2);
    refuses(&bad("slack: {conn_id: s}"), "missing_argument", 2);
    refuses(&bad("{email: a@b.org, http: 'https://x.org'}"), "conflicting_keys", 2);
    refuses(&bad("http: 'https://x.org/{{ nope'"), "invalid_template", 2);
}

#[test]
fn a_triggered_run_without_a_date_is_not_one_of_the_moment() {
    let dag = one("tasks: {a: {trigger_dag: x}, b: {trigger_dag: x, logical_date: null}}\n");
    let date = |id: &str| dag.task(id).unwrap().args.get("logical_date").cloned();
    assert_eq!((date("a"), date("b")), (None, Some(Value::Null)));
}

#[test]
fn who_is_told_that_a_question_waits_is_told_when_its_task_begins() {
    let dag = one("tasks:
  ask:
    approval:
      subject: Ship?
      notifiers:
        - {__type__: airflow.providers.smtp.notifications.smtp.SmtpNotifier, to: a@b.org}
        - m.tell
    on_execute: [{http: 'https://x.org'}]
");
    let task = dag.task("ask").unwrap();
    assert!(task.callbacks.iter().all(|callback| callback.on == CallbackEvent::Execute));
    let actions: Vec<String> = task
        .callbacks
        .iter()
        .map(|callback| serde_json::to_value(callback).unwrap()["action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(actions, ["http", "email", "python"]);
    assert!(!task.args.contains_key("notifiers"));
}

#[test]
fn a_callback_of_an_unknown_notifier_is_not_sent_and_says_so() {
    let text = "tasks:\n  t: {bash: x, on_failure_callback: airflow.providers.pagerduty.notifications.pagerduty.PagerdutyNotifier}\n";
    assert_eq!(found(text), [("without_effect".to_owned(), 2, false)]);
}

#[test]
fn reads_deadlines() {
    let dag = one(
        "timezone: Europe/Moscow\ndeadline:\n  - {reference: average_runtime, max_runs: 5, interval: 10m, callback: m.f}\n  \
                   - {reference: 2026-02-01, interval: 1h, email: a@b.org}\ntasks: {a: {bash: x}}\n",
    );
    let [average, fixed] = &dag.deadlines[..] else { panic!("{:?}", dag.deadlines) };
    assert_eq!(average.reference, DeadlineReference::AverageRuntime { max_runs: 5 });
    assert_eq!(average.interval, Duration::from_mins(10));
    assert!(matches!(average.action, CallbackAction::Python { .. }));
    let at: DateTime<Utc> = "2026-01-31T21:00:00Z".parse().unwrap();
    assert!(matches!(fixed, Deadline { reference: DeadlineReference::Fixed(found), .. } if *found == at));
    let bad = |text: &str| format!("deadline: {text}\ntasks: {{a: {{bash: x}}}}\n");
    refuses(&bad("{reference: never, interval: 1h, email: a@b.org}"), "invalid_value", 1);
    refuses(&bad("{reference: queued_at, email: a@b.org}"), "missing_argument", 1);
    refuses(&bad("{reference: queued_at, interval: 1h}"), "missing_argument", 1);
}

#[test]
fn sensors_keep_how_they_wait_beside_what_they_wait_for() {
    let sensor = task("{wait_for_time: 07:30, poke_interval: 10s, timeout: 1h, soft_fail: true, max_wait: 5m}");
    assert_eq!((sensor.operator, &sensor.args["target_time"]), (OperatorKind::TimeSensor, &json!("07:30")));
    let how = sensor.sensor.unwrap();
    assert_eq!((how.poke_interval, how.timeout), (Duration::from_secs(10), Duration::from_hours(1)));
    assert!(how.soft_fail && how.max_wait == Some(Duration::from_mins(5)));
    assert!(!sensor.args.contains_key("poke_interval"));
    let task = |text: &str| format!("tasks:\n  t: {{{text}}}\n");
    refuses(&task("wait_for_time: noon"), "wrong_type", 2);
    refuses(&task("wait_for: 10m, mode: sleep"), "invalid_value", 2);
    refuses(&task("wait_for: 10m, soft_fail: true, never_fail: true"), "conflicting_keys", 2);
    refuses(
        &task("operator: airflow.providers.standard.sensors.weekday.DayOfWeekSensor, week_day: Someday"),
        "wrong_type",
        2,
    );
}

#[test]
fn knows_what_runs_each_operator() {
    for (text, kind) in [
        ("{branch: m.f}", OperatorKind::BranchPython),
        ("{branch: \"{{ 'a' }}\"}", OperatorKind::Branch),
        ("{short_circuit: m.f}", OperatorKind::ShortCircuitPython),
        ("{short_circuit: \"{{ true }}\"}", OperatorKind::ShortCircuit),
        ("{latest_only: }", OperatorKind::LatestOnly),
        ("{trigger_dag: other}", OperatorKind::TriggerDagRun),
        ("{wait_for_task: other}", OperatorKind::ExternalTaskSensor),
        ("{wait_for: 10m}", OperatorKind::TimeDeltaSensor),
        ("{wait_until: \"{{ data_interval_end }}\"}", OperatorKind::DateTimeSensor),
        ("{wait_for_bash: test -f x}", OperatorKind::BashSensor),
        ("{wait_for_python: m.f}", OperatorKind::PythonSensor),
        ("{wait_for_file: /x}", OperatorKind::FileSensor),
        ("{approval: Go on?}", OperatorKind::Hitl),
        ("{decorator: airflow.sdk.task.branch, python_callable: m.f}", OperatorKind::BranchPython),
        ("{decorator: airflow.sdk.task.short_circuit, python_callable: m.f}", OperatorKind::ShortCircuitPython),
    ] {
        assert_eq!(task(text).operator, kind, "{text}");
    }
    let day = "operator: airflow.providers.standard.operators.weekday.BranchDayOfWeekOperator";
    let task =
        task(&format!("{{{day}, follow_task_ids_if_true: a, follow_task_ids_if_false: [], week_day: [Monday]}}"));
    assert_eq!(task.operator, OperatorKind::BranchDayOfWeek);
    assert_eq!(task.operator.check(&task.operator_class, &Value::Object(task.args.clone())), Ok(()));
}

#[test]
fn a_template_condition_stands_alone() {
    let task = task("{short_circuit: \"{{ params.go }}\", ignore_downstream_trigger_rules: false}");
    assert_eq!(
        Value::Object(task.args),
        json!({"condition": "{{ params.go }}", "ignore_downstream_trigger_rules": false})
    );
}

#[test]
fn warns_of_what_nobody_here_runs_and_says_so_of_arguments_too() {
    let task = |text: &str| format!("tasks:\n  t: {text}\n");
    for text in [
        "{sql: select 1, conn_id: x}",
        "{operator: com.example.Own, x: 1}",
        "{decorator: airflow.sdk.task.kubernetes, python_callable: m.f}",
        "{operator: wait_for_task, external_dag_id: d, execution_date_fn: m.f}",
    ] {
        assert_eq!(found(&task(text)), [("unsupported_operator".to_owned(), 2, false)], "{text}");
        let dag = load_beside(&task(text), &()).dags.remove(0).dag;
        assert_eq!(dag.tasks[0].operator, OperatorKind::Unsupported, "{text}");
    }
    refuses(&task("{operator: nosuchword}"), "unknown_operator", 2);
    refuses(&task("{decorator: airflow.sdk.taks, python_callable: m.f}"), "unknown_operator", 2);
}

#[test]
fn passes_results_to_functions() {
    let dag = one("task_groups: {g: {tasks: {a: {bash: x}}}}\n\
                   tasks: {t: {decorator: airflow.sdk.task, python_callable: m.f, x: \"+a['k']\", y: 1}}\n");
    let kwargs = &dag.task("t").unwrap().args["op_kwargs"];
    assert_eq!(XComArg::read(&kwargs["x"]), Some(XComArg { task_id: "g.a".into(), key: "k".to_owned() }));
    assert_eq!(kwargs["y"], 1);
    assert_eq!(upstream(&dag, "t"), ["g.a"]);
}

#[test]
fn questions_are_complete() {
    let args = task("{approval: Go on?}").args;
    assert_eq!(args["options"], json!(["Approve", "Reject"]));
    let entry = "operator: airflow.providers.standard.operators.hitl.HITLEntryOperator, subject: s";
    let args = task(&format!("{{{entry}, params: {{n: 1}}}}")).args;
    assert_eq!((&args["options"], &args["defaults"]), (&json!(["OK"]), &json!(["OK"])));
    assert_eq!(args["params"]["n"]["value"], 1);
    let hitl = "operator: airflow.providers.standard.operators.hitl.HITLOperator, subject: s";
    refuses(&format!("tasks:\n  t: {{{hitl}, options: [a], defaults: b}}\n"), "wrong_type", 2);
    refuses("tasks:\n  t: {approval: {subject: s, options: [a, b]}}\n", "unknown_argument", 2);
}

#[test]
fn native_keys_reach_their_fields() {
    let dag = one(
        "secrets: {A: 'env:A', B: 'env:B'}\nrerun_with_latest_version: true\nowner_links: {data: 'https://x.org'}\n\
                   user_defined_macros: {answer: 42}\ntemplate_searchpath: [sql]\n\
                   tasks: {t: {bash: x, secrets: {B: 'variable:b'}, when: \"{{ true }}\", output: json, run_as_user: etl, map_index_template: \"{{ item }}\", foreach: [1]}}\n",
    );
    let task = dag.task("t").unwrap();
    assert_eq!((task.secrets["A"].as_str(), task.secrets["B"].as_str()), ("env:A", "variable:b"));
    assert_eq!((task.when.as_deref(), task.output), (Some("{{ true }}"), Output::Json));
    assert_eq!((task.run_as_user.as_deref(), task.map_index_template.as_deref()), (Some("etl"), Some("{{ item }}")));
    assert_eq!(dag.rerun_with_latest_version, Some(true));
    assert_eq!(dag.user_defined_macros["answer"], 42);
    assert_eq!(dag.template_searchpath, ["sql"]);
}

#[test]
fn resources_limit_a_task_and_airflows_own_words_do_not() {
    let task =
        task("{bash: x, resources: {memory: 512m, cpus: 1.5, pids: 64, ulimits: {nofile: 1024, core: unlimited}}}");
    assert_eq!(
        json!(task.resources),
        json!({"memory": 512 << 20, "cpus": 1.5, "pids": 64, "ulimits": {"core": null, "nofile": 1024}})
    );
    let idle = found("tasks:\n  t: {bash: x, resources: {ram: 512, gpus: 1}}\n");
    assert_eq!(idle, [("without_effect".to_owned(), 2, false), ("without_effect".to_owned(), 2, false)]);
    for wrong in ["{memory: lots}", "{cpus: 0}", "{pids: -1}", "{ulimits: [nofile]}", "{ulimits: {nofile: many}}"] {
        refuses(&format!("tasks:\n  t: {{bash: x, resources: {wrong}}}\n"), "wrong_type", 2);
    }
    refuses("tasks:\n  t: {bash: x, resources: {memroy: 1g}}\n", "unknown_key", 2);
    refuses("tasks:\n  t: {bash: x, resources: {ulimits: {files: 1}}}\n", "unknown_key", 2);
}

#[test]
fn reads_variables_as_arguments_when_the_task_runs() {
    let loaded = load_beside(
        "tasks:\n  t:\n    operator: bash\n    bash_command: x\n    variables_as_arguments: [{variable: cmd, attribute: bash_command}]\n",
        &(),
    );
    assert_eq!(loaded.dags[0].dag.tasks[0].args["bash_command"], "{{ var.value.get(\"cmd\") }}");
}

#[test]
fn reads_assets_by_the_names_of_another_file() {
    let names = Beside(
        "assets.yml",
        "datasets:\n  - {name: a, uri: s3://x/a}\n  - {name: b, uri: s3://x/b}\n  - {name: c, uri: s3://x/c}\n",
    );
    let schedule = |datasets: &str| {
        let text =
            format!("d: {{schedule: {{file: assets.yml, datasets: {datasets}}}, tasks: {{t: {{operator: empty}}}}}}\n");
        let loaded = load_beside(&text, &names);
        loaded.dags.into_iter().next().map(|dag| match dag.dag.schedule {
            Schedule::Assets { expression, .. } => expression.describe(),
            other => panic!("{other:?}"),
        })
    };
    let asset = |name: &str| json!({"asset": format!("s3://x/{name}"), "name": format!("s3://x/{name}")});
    assert_eq!(schedule("[a, b]"), Some(json!({"all": [asset("a"), asset("b")]})));
    assert_eq!(schedule("\"(a & b) | c\""), Some(json!({"any": [{"all": [asset("a"), asset("b")]}, asset("c")]})));
    for bad in ["[nope]", "\"a &\"", "\"(a\"", &format!("\"{}a\"", "(".repeat(5000))] {
        assert_eq!(schedule(bad), None, "{bad}");
    }
}

#[test]
fn a_retry_policy_is_read_of_python_tasks_and_no_other_is_called() {
    let policy = "retry_policy: {__type__: airflow.sdk.ExceptionRetryPolicy, default: RetryAction.FAIL, rules: [
      {__type__: airflow.sdk.RetryRule, exception: requests.exceptions.HTTPError, retry_delay: 5 minutes, reason: rate limit},
      {__type__: airflow.sdk.RetryRule, exception: [builtins.KeyError], match_subclasses: false,
       action: {__type__: airflow.sdk.RetryAction, __args__: [fail]}}]}";
    let rule = |exception: &str, action, delay: Option<u64>, reason: Option<&str>, match_subclasses| RetryRule {
        exceptions: vec![exception.to_owned()],
        action,
        retry_delay: delay.map(Duration::from_secs),
        reason: reason.map(str::to_owned),
        match_subclasses,
    };
    let expected = RetryPolicy {
        rules: vec![
            rule("requests.exceptions.HTTPError", RetryAction::Retry, Some(300), Some("rate limit"), true),
            rule("builtins.KeyError", RetryAction::Fail, None, None, false),
        ],
        default: RetryAction::Fail,
    };
    assert_eq!(task(&format!("{{python: a.b, {policy}}}")).retry_policy, Some(expected.clone()));
    let by_default = format!("default_args: {{{policy}}}\ntasks: {{t: {{python: a.b}}}}\n");
    assert_eq!(one(&by_default).tasks[0].retry_policy, Some(expected));
    let idle = [("without_effect".to_owned(), 1, false)];
    let own = "retry_policy: {__type__: acme.policies.Mine, x: 1}";
    assert_eq!(found(&format!("tasks: {{t: {{python: a.b, {own}}}}}\n")), idle);
    assert_eq!(found(&format!("tasks: {{t: {{bash: echo, {}}}}}\n", policy.replace('\n', " "))), idle);
    let rules = |rule: &str| {
        format!(
            "tasks: {{t: {{python: a.b, retry_policy: {{__type__: airflow.sdk.ExceptionRetryPolicy, rules: [{rule}]}}}}}}\n"
        )
    };
    refuses(&rules("{__type__: airflow.sdk.RetryRule, exception: ValueError}"), "invalid_value", 1);
    refuses(&rules("{__type__: airflow.sdk.RetryRule, exception: a.B, action: never}"), "invalid_value", 1);
    refuses(&rules("{__type__: airflow.sdk.RetryRule, exceptions: a.B}"), "invalid_type_arguments", 1);
    refuses(&rules("a.B"), "wrong_type", 1);
}

#[test]
fn a_default_that_is_a_time_needs_no_offset() {
    let file = |default: &str| {
        format!(
            "dag_id: d\ninputs: {{at: {{type: string, format: time, default: \"{default}\"}}}}\ntasks: {{a: {{bash: \"true\"}}}}\n"
        )
    };
    assert_eq!(one(&file("10:15:00")).params["at"], "10:15:00");
    let loaded = load_beside(&file("25:15:00"), &());
    assert_eq!(loaded.diagnostics.iter().map(|found| &*found.kind).collect::<Vec<_>>(), ["invalid_param"]);
}
