//! What templates render to, as far as Airflow 3 and Jinja2 fix it.

use serde_json::json;

use super::*;

pub(super) fn spec() -> TaskSpec {
    let spec = json!({
        "attempt_id": "00000000-0000-0000-0000-000000000001", "task_id": "load", "map_index": -1, "try_number": 2, "max_tries": 3,
        "operator": "bash", "operator_class": "airflow.providers.standard.operators.bash.BashOperator", "args": {}, "env": {},
        "execution_timeout": null, "do_xcom_push": true, "multiple_outputs": false, "owner": "etl", "bundle_hash": null,
        "relative_fileloc": "d.yaml",
        "run": {
            "dag_id": "sales", "run_id": "manual__1", "run_type": "manual", "logical_date": "2026-01-15T01:02:03Z",
            "data_interval_start": "2026-01-14T00:00:00Z", "data_interval_end": "2026-01-15T00:00:00Z",
            "run_after": "2026-01-15T00:00:00Z", "start_date": null, "conf": {"region": "eu", "deep": {"b": 1, "a": [1.5, null]}},
            "params": {"rows": [3, "x", true, null], "day": "2026-01-31", "on": false, "n": 7},
            "dag_owner": "etl", "dag_tags": ["a", "b"], "dag_description": null, "render_template_as_native_obj": false
        }
    });
    serde_json::from_value(spec).unwrap()
}

fn without_logical_date() -> TaskSpec {
    let mut spec = spec();
    Arc::get_mut(&mut spec.run).unwrap().logical_date = None;
    spec
}

fn xcom(task_id: &str) -> Ref {
    Ref::XCom { task_id: task_id.into(), key: "return_value".into(), map_index: None, part: Some(Part::All) }
}

fn variable(key: &str) -> Ref {
    Ref::Variable { key: key.into() }
}

fn values() -> Resolved {
    let connection =
        json!({"conn_type": "postgres", "host": "db", "login": "me", "port": 5432, "extra": "{\"ssl\": true}"});
    [
        (xcom("count"), Some(json!([{"total": 12, "rows": ["a", "b"]}]))),
        (xcom("mapped"), Some(json!(["m1", "m2"]))),
        (xcom("once"), Some(json!(["only"]))),
        (xcom("none"), None),
        (Ref::XCom { task_id: "count".into(), key: "k".into(), map_index: Some(1), part: None }, Some(json!("one"))),
        (variable("bucket"), Some(json!("s3://b"))),
        (variable("settings"), Some(json!("{\"depth\": 3}"))),
        (variable("gone"), None),
        (Ref::Connection { conn_id: "dwh".into() }, Some(connection)),
        (Ref::Connection { conn_id: "gone".into() }, None),
    ]
    .into_iter()
    .collect()
}

pub(super) fn render(text: &str) -> Result<String, RenderError> {
    render_text(text, "bash_command", &spec(), &values())
}

pub(super) fn failed(text: &str) -> TemplateFailure {
    failed_in(text, &spec())
}

fn failed_in(text: &str, spec: &TaskSpec) -> TemplateFailure {
    match render_text(text, "bash_command", spec, &values()) {
        Err(RenderError::Failed(failure)) => failure,
        other => panic!("{text} gives {other:?}"),
    }
}

#[track_caller]
pub(super) fn table(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(render(text).as_deref(), Ok(*expected), "{text}");
    }
}

#[test]
fn dates_of_the_run_are_airflows() {
    table(&[
        ("{{ ds }} {{ ds_nodash }}", "2026-01-15 20260115"),
        ("{{ ts }}", "2026-01-15T01:02:03+00:00"),
        ("{{ ts_nodash }} {{ ts_nodash_with_tz }}", "20260115T010203 20260115T010203+0000"),
        ("{{ logical_date }}", "2026-01-15 01:02:03+00:00"),
        ("{{ data_interval_start | ds }}/{{ data_interval_end | ts }}", "2026-01-14/2026-01-15T00:00:00+00:00"),
        ("{{ logical_date | ds_nodash }} {{ logical_date | ts_nodash }}", "20260115 20260115T010203"),
        ("{{ logical_date | ts_nodash_with_tz }}", "20260115T010203+0000"),
        ("{{ task_instance_key_str }}", "sales__load__20260115"),
        ("{{ dag_run.logical_date.isoformat() }}", "2026-01-15T01:02:03+00:00"),
    ]);
}

#[test]
fn datetimes_calculate() {
    table(&[
        ("{{ data_interval_end + macros.timedelta(hours=4) }}", "2026-01-15 04:00:00+00:00"),
        ("{{ (logical_date - macros.timedelta(days=1)).isoformat() }}", "2026-01-14T01:02:03+00:00"),
        ("{{ (macros.timedelta(days=1) + data_interval_end) | string }}", "2026-01-16 00:00:00+00:00"),
        ("{{ (data_interval_end - data_interval_start).days }}", "1"),
        ("{{ (logical_date - data_interval_end).total_seconds() }}", "3723.0"),
        ("{{ logical_date - data_interval_end }}", "1:02:03"),
        ("{{ macros.timedelta(days=1, hours=2) * 2 }}", "2 days, 4:00:00"),
        ("{{ macros.timedelta(minutes=90) / macros.timedelta(hours=1) }}", "1.5"),
        ("{{ -1 * macros.timedelta(seconds=1) }}", "-1 day, 23:59:59"),
        ("{{ logical_date.isoweekday() == 4 }} {{ logical_date.weekday() }}", "True 3"),
        (
            "{{ logical_date.strftime('%d.%m.%y %H:%M:%S.%f %j %A %% %q') }}",
            "15.01.26 01:02:03.000000 015 Thursday % %q",
        ),
        ("{{ logical_date.add(months=1, days=1) | ds }}", "2026-02-16"),
        ("{{ logical_date.subtract(months=11, days=15, hours=1).to_date_string() }}", "2025-01-31"),
        ("{{ logical_date.replace(day=1, hour=0).isoformat() }}", "2026-01-01T00:02:03+00:00"),
        (
            "{{ logical_date.start_of('month') }} {{ logical_date.end_of('month') | ds }}",
            "2026-01-01 00:00:00+00:00 2026-01-31",
        ),
        ("{{ logical_date.start_of('week') | ds }}", "2026-01-12"),
        ("{{ logical_date.in_timezone('Europe/Zurich') }}", "2026-01-15 02:02:03+01:00"),
        ("{{ logical_date.in_tz('Asia/Kolkata').strftime('%H:%M %z %Z') }}", "06:32 +0530 IST"),
        ("{{ logical_date.to_iso8601_string() }}", "2026-01-15T01:02:03Z"),
        ("{{ logical_date.year }}-{{ logical_date.month }} {{ logical_date.int_timestamp }}", "2026-1 1768438923"),
        ("{{ logical_date.date() }} {{ logical_date.date() - macros.timedelta(days=15) }}", "2026-01-15 2025-12-31"),
        ("{{ logical_date > data_interval_end }} {{ logical_date == logical_date.add(days=0) }}", "True True"),
        ("{{ [logical_date, data_interval_start] | min | ds }}", "2026-01-14"),
    ]);
}

#[test]
fn values_are_written_as_python_writes_them() {
    table(&[
        ("{{ params.rows }}", "[3, 'x', True, None]"),
        (
            "{{ params.on }} {{ none }} {{ 1.0 }} {{ 1e20 }} {{ 0.00001 }} {{ [0.5] }}",
            "False None 1.0 1e+20 1e-05 [0.5]",
        ),
        ("{{ dag_run.conf }}", "{'region': 'eu', 'deep': {'b': 1, 'a': [1.5, None]}}"),
        ("{{ params.rows | join(',') }} {{ 'a' ~ true ~ none }}", "3,x,True,None aTrueNone"),
        ("{{ (1, 'a') }} {{ (1,) }} {{ \"it's\" }} {{ [\"it's\"] }}", "(1, 'a') (1,) it's [\"it's\"]"),
        ("{{ dag_run.conf.deep | tojson }}", r#"{"a": [1.5, null], "b": 1}"#),
        ("{{ params.on | tojson }} {{ '<é>' | tojson }}", "false \"\\u003c\\u00e9\\u003e\""),
        ("{{ dag.tags }} {{ '%s-%02d' | format('a', 3) }}", "['a', 'b'] a-03"),
        (
            "{{ [1] + [2] }} {{ 'a' + 'b' }} {{ 7 // 2 }} {{ 7 / 2 }} {{ 2 ** 3 }} {{ 'ab' * 2 }}",
            "[1, 2] ab 3 3.5 8 abab",
        ),
    ]);
}

#[test]
fn the_context_names_task_run_and_dag() {
    table(&[
        ("{{ dag.dag_id }} {{ task.task_id }} {{ run_id }} {{ dag_run.run_type }}", "sales load manual__1 manual"),
        ("{{ ti.task_id }} {{ ti.try_number }} {{ ti.map_index }} {{ task_instance.dag_id }}", "load 2 -1 sales"),
        ("{{ task.owner }} {{ ti.operator }} {{ dag_run.state }}", "etl BashOperator running"),
        (
            "{{ dag_run.conf.region }} {{ dag_run.conf['deep'].b }} {{ dag_run.conf.get('no', 'default') }}",
            "eu 1 default",
        ),
        ("{{ params.n + 1 }} {{ params['day'] }} {{ params.get('no') }}", "8 2026-01-31 None"),
        ("{{ params.no | default('d') }} {{ params.no is defined }}", "d False"),
        ("{% for row in params.rows %}{{ loop.index }}:{{ row }} {% endfor %}", "1:3 2:x 3:True 4:None "),
        ("{% if params.on %}a{% else %}b{% endif %}{# comment #}{% set x = 2 %}{{ x }}", "b2"),
        ("{{ ds.split('-')[0] }} {{ ds.replace('-', '/') }} {{ 'a-b'.upper() }}", "2026 2026/01/15 A-B"),
        ("{% raw %}{{ ds }}{% endraw %}", "{{ ds }}"),
    ]);
}

#[test]
fn fetched_values_are_rendered() {
    table(&[
        ("{{ ti.xcom_pull(task_ids='count').total }}", "12"),
        ("{{ ti.xcom_pull('count')['rows'] | length }}", "2"),
        ("{{ task_instance.xcom_pull(task_ids=['count', 'none']) }}", "[{'total': 12, 'rows': ['a', 'b']}, None]"),
        ("{{ ti.xcom_pull(task_ids='none') }} {{ ti.xcom_pull(task_ids='none', default=5) }}", "None 5"),
        (
            "{{ ti.xcom_pull('count', key='k', map_indexes=1) }} {{ ti.xcom_pull('count', none, 'k', map_indexes=[1]) }}",
            "one ['one']",
        ),
        ("{{ var.value.bucket }} {{ var.json.settings.depth }} {{ var.value.get('gone', 'x') }}", "s3://b 3 x"),
        (
            "{{ conn.dwh.host }}:{{ conn.dwh.port }} {{ conn.dwh.extra_dejson.ssl }} {{ conn.dwh.password }}",
            "db:5432 True None",
        ),
        (
            "{{ conn.get('dwh').login }} {{ 'big' if ti.xcom_pull(task_ids='count').total | int > 10 else 'small' }}",
            "me big",
        ),
    ]);
}

#[test]
fn pulls_are_airflows_product_of_tasks_and_map_indexes() {
    let one = |task_id: &str, index: i32| Ref::XCom {
        task_id: task_id.into(),
        key: "return_value".into(),
        map_index: Some(index),
        part: None,
    };
    let elsewhere = |dag_id: Option<&str>, run_id: Option<&str>, include_prior_dates, map_index| Ref::XComOf {
        dag_id: dag_id.map(str::to_owned),
        run_id: run_id.map(str::to_owned),
        include_prior_dates,
        task_id: "t".into(),
        key: "return_value".into(),
        map_index,
    };
    let mut resolved = values();
    for (task_id, index, value) in
        [("mapped", 0, Some("m1")), ("mapped", 1, Some("m2")), ("once", 0, None), ("once", 1, None)]
    {
        resolved.insert(one(task_id, index), value.map(Value::from));
    }
    resolved.insert(elsewhere(Some("other"), None, false, None), Some(json!(["there"])));
    resolved.insert(elsewhere(None, Some("r2"), false, Some(3)), Some(json!(["fourth"])));
    resolved.insert(elsewhere(None, None, true, None), Some(json!(["a", "b"])));
    for (call, expected) in [
        ("task_ids=['mapped', 'once'], map_indexes=[0, 1]", "['m1', 'm2', None, None]"),
        ("task_ids=['once', 'mapped']", "['only', 'm1', 'm2']"),
        ("task_ids=['once', 'none', 'mapped'], default=0", "['only', 0, 'm1', 'm2']"),
        ("task_ids='mapped'", "['m1', 'm2']"),
        ("task_ids='once'", "only"),
        ("task_ids=['once']", "['only']"),
        ("'mapped', map_indexes=[1]", "['m2']"),
        ("['mapped'], map_indexes=1", "['m2']"),
        ("'t', dag_id='other'", "there"),
        ("'t', 'sales', run_id='r2', map_indexes=3", "fourth"),
        ("'t', include_prior_dates=true", "['a', 'b']"),
        ("'once', dag_id='sales', run_id='manual__1'", "only"),
    ] {
        let text = format!("{{{{ ti.xcom_pull({call}) }}}}");
        assert_eq!(render_text(&text, "f", &spec(), &resolved).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_without_secrets() {
    let secret = variable("api_token");
    let resolved: Resolved = [(secret, Some(json!("s3cr3t-value")))].into_iter().collect();
    let text = "{{ macros.datetime.fromisoformat(var.value.api_token) }}";
    let masked = "`***` is not an ISO 8601 datetime";
    let failure = |rendered: Result<Value, RenderError>| match rendered {
        Err(RenderError::Failed(failure)) => failure.message,
        other => panic!("{other:?}"),
    };
    assert_eq!(failure(render_value(text, "when", &spec(), &resolved)), masked);
    assert_eq!(failure(render_map_input(text, "foreach", &spec(), &resolved)), masked);
    assert_eq!(failure(render_text(text, "f", &spec(), &resolved).map(Value::from)), masked);
    let args = Map::from_iter([("bash_command".to_owned(), Value::from(text))]);
    assert_eq!(failure(render_fields(&TaskSpec { args, ..spec() }, &resolved).map(Value::Object)), masked);
    let env = IndexMap::from([("A".to_owned(), text.to_owned())]);
    assert_eq!(failure(render_env(&TaskSpec { env, ..spec() }, &resolved).map(|_| Value::Null)), masked);
}

#[test]
fn what_is_not_fetched_is_asked_for_all_at_once() {
    let mut spec = spec();
    spec.args = json!({
        "bash_command": "{{ var.value.a }} {{ ti.xcom_pull(task_ids=['x', 'y']) }}",
        "env": {"A": "{{ conn.c.host }}", "B": "{{ var.json.get('a' ~ 'b') }}"},
        "image": "{{ var.value.not_a_template_field }}",
    })
    .as_object()
    .unwrap()
    .clone();
    let expected = [variable("a"), xcom("x"), xcom("y"), Ref::Connection { conn_id: "c".into() }, variable("ab")];
    assert_eq!(render_fields(&spec, &Resolved::default()), Err(RenderError::Missing(expected.to_vec())));
}

#[test]
fn a_missing_variable_or_connection_fails_by_name() {
    let failure = failed("x\n{{ var.value.gone }}");
    assert_eq!((failure.line, failure.name.as_deref()), (Some(2), Some("var.value.gone")));
    assert_eq!(failure.to_string(), "template of `bash_command`, line 2: the variable `gone` does not exist");
    assert_eq!(failed("{{ conn.gone.host }}").message, "the connection `gone` does not exist");
    assert!(failed("{{ var.json.bucket }}").message.starts_with("the variable `bucket` is not JSON"));
}

#[test]
fn an_undefined_name_fails_with_field_line_and_name() {
    for (text, name) in [
        ("{{ foo }}", "foo"),
        ("{{ params.foo }}", "params.foo"),
        ("{{ params['foo'] }}", "params['foo']"),
        ("{{ dag_run.conf.deep.foo }}", "dag_run.conf.deep.foo"),
        ("{{ foo.bar }}", "foo"),
        ("{{ foo + 1 }}", "foo"),
        ("{{ 'a' ~ foo }}", "foo"),
        ("{{ foo | ds }}", "foo"),
        ("{{ foo | join(',') }}", "foo"),
        ("{{ foo | upper }}", "foo"),
        ("{{ foo.bar() }}", "foo"),
        ("{{ foo() }}", "foo"),
        ("{{ macros.ds_add(foo, 1) }}", "foo"),
        ("{% if foo %}{% endif %}", "foo"),
        ("{% for x in foo %}{% endfor %}", "foo"),
    ] {
        let failure = failed(&format!("first\n{text}"));
        assert_eq!((failure.line, failure.name.as_deref()), (Some(2), Some(name)), "{text}: {failure}");
        assert_eq!(failure.field, "bash_command");
    }
}

#[test]
fn dates_are_undefined_without_a_logical_date() {
    let spec = without_logical_date();
    for name in DATED_NAMES {
        let failure = failed_in(&format!("{{{{ {name} }}}}"), &spec);
        assert_eq!(failure.name.as_deref(), Some(name));
        assert_eq!(failure.message, format!("`{name}` is undefined: this run has no logical date"));
    }
    let text =
        render_text("{{ run_id }} {{ dag_run.logical_date }} {{ task_instance_key_str }}", "f", &spec, &values());
    assert_eq!(text.as_deref(), Ok("manual__1 None sales__load__manual__1"));
}

const DATED_NAMES: [&str; 7] =
    ["ds", "ds_nodash", "ts", "ts_nodash", "logical_date", "data_interval_start", "data_interval_end"];

#[test]
fn names_of_airflow_2_say_what_to_write() {
    assert_eq!(
        failed("{{ execution_date }}").message,
        "`execution_date` was removed in Airflow 3; write `{{ logical_date }}`"
    );
    assert!(failed("{{ next_ds }}").message.contains("{{ data_interval_end | ds }}"));
}

#[test]
fn template_fields_are_rendered_and_the_rest_is_not() {
    let mut spec = spec();
    spec.args = json!({
        "bash_command": "echo {{ ds }}",
        "env": {"{{ key }}": "{{ params.n }}", "LIST": ["{{ ds }}", 3, null]},
        "append_env": true,
        "image": "{{ untouched }}",
    })
    .as_object()
    .unwrap()
    .clone();
    let rendered = render_fields(&spec, &Resolved::default()).unwrap();
    assert_eq!(
        Value::Object(rendered),
        json!({
            "bash_command": "echo 2026-01-15",
            "env": {"{{ key }}": "7", "LIST": ["2026-01-15", 3, null]},
            "append_env": true,
            "image": "{{ untouched }}",
        })
    );
}

#[test]
fn native_rendering_gives_values() {
    let mut spec = spec();
    Arc::get_mut(&mut spec.run).unwrap().render_template_as_native_obj = true;
    for (text, expected) in [
        ("{{ params.rows }}", json!([3, "x", true, null])),
        ("{{ params.n }}", json!(7)),
        ("{{ '7' }}", json!(7)),
        ("a{{ params.n }}", json!("a7")),
        ("{{ params.n }}{{ params.n }}", json!(77)),
        ("[{{ params.n }}, 'x', {'k': (1, 2)}, True, None, -1.5]", json!([7, "x", {"k": [1, 2]}, true, null, -1.5])),
        ("[1, 2]x", json!("[1, 2]x")),
        (" {{ [1] }}", json!(" [1]")),
        ("{% if false %}x{% endif %}", json!("")),
        ("{{ params.day }}", json!("2026-01-31")),
        ("{{ logical_date }}", json!("2026-01-15T01:02:03+00:00")),
        ("{{ 'yes' if params.n else 'no' }}", json!("yes")),
        ("no template", json!("no template")),
    ] {
        spec.args = Map::from_iter([("bash_command".to_owned(), json!(text))]);
        let rendered = render_fields(&spec, &values()).unwrap();
        assert_eq!(rendered["bash_command"], expected, "{text}");
    }
}

#[test]
fn the_environment_is_always_text() {
    let mut spec = spec();
    Arc::get_mut(&mut spec.run).unwrap().render_template_as_native_obj = true;
    spec.env = IndexMap::from([("N".to_owned(), "{{ params.n }}".to_owned()), ("P".to_owned(), "plain".to_owned())]);
    let env = render_env(&spec, &Resolved::default()).unwrap();
    assert_eq!(env["N"], "7");
    assert_eq!(env["P"], "plain");
    spec.env.insert("X".to_owned(), "{{ nope }}".to_owned());
    let Err(RenderError::Failed(failure)) = render_env(&spec, &Resolved::default()) else { panic!() };
    assert_eq!(failure.field, "env.X");
}

#[test]
fn references_are_found_without_rendering() {
    let args = json!({
        "a": "{{ ti.xcom_pull(task_ids='x') }} {{ task_instance.xcom_pull('y', key=\"k\")[0] }} {{ ti.xcom_pull(ti.task_id) }}",
        "b": ["{{ ti.xcom_pull(task_ids=['x', 'z'], map_indexes=2) }}", {"c": "{% if var.value.flag %}{{ conn.db.host }}{% endif %}"}],
        "d": "ti.xcom_pull(task_ids='text') {{ my.conn.x }} {{ var.json.get('cfg', {}) }} {{ ti.xcom_pull(task_ids=names) }}",
        "e": "{{ ti.xcom_pull(task_ids='x', key=k) }} {{ ti.xcom_pull(task_ids='o', dag_id='other') }} {{ broken",
    });
    let env = IndexMap::from([("E".to_owned(), "{{ var.value.env }}".to_owned())]);
    let x = |task_id: &str, key: &str, map_index| Ref::XCom {
        task_id: task_id.into(),
        key: key.into(),
        map_index,
        part: map_index.is_none().then_some(Part::All),
    };
    let Value::Object(args) = args else { panic!() };
    assert_eq!(
        refs(&TaskSpec { args, env, ..spec() }),
        [
            x("x", "return_value", None),
            x("y", "k", None),
            x("x", "return_value", Some(2)),
            x("z", "return_value", Some(2)),
            variable("flag"),
            Ref::Connection { conn_id: "db".into() },
            variable("cfg"),
            variable("env"),
        ]
    );
}

#[test]
fn references_are_spelled_as_in_the_protocol() {
    assert_eq!(
        serde_json::to_value(xcom("t")).unwrap(),
        json!({"kind": "xcom", "task_id": "t", "key": "return_value", "map_index": null, "part": "all"})
    );
    assert_eq!(serde_json::to_value(variable("v")).unwrap(), json!({"kind": "variable", "key": "v"}));
    let connection = Ref::Connection { conn_id: "c".into() };
    assert_eq!(serde_json::to_value(connection).unwrap(), json!({"kind": "connection", "conn_id": "c"}));
}

#[test]
fn syntax_filters_and_tests_are_checked_before_any_run() {
    assert_eq!(check_syntax("plain {text}"), Ok(()));
    assert_eq!(
        check_syntax("{{ unknown_name | ds }} {% if x is defined %}{% endif %} {{ y | urlencode | center }}"),
        Ok(())
    );
    let problem = |text| check_syntax(text).unwrap_err();
    let unknown = problem("é\n  {{ foo | bar }}");
    assert_eq!((unknown.kind, unknown.line, unknown.column), (SyntaxKind::UnknownFilter, 2, Some(12)));
    assert_eq!(unknown.message, "there is no filter named `bar`");
    assert_eq!(problem("{{ foo is bar }}").kind, SyntaxKind::UnknownTest);
    let syntax = problem("a\n{{ foo bar }}");
    assert_eq!((syntax.kind, syntax.line, syntax.column), (SyntaxKind::Syntax, 2, Some(8)));
    assert_eq!(problem("{{ foo").kind, SyntaxKind::Syntax);
    assert_eq!(problem("{% if x %}").kind, SyntaxKind::Syntax);
}

#[test]
fn rendering_is_bounded_in_steps_and_output() {
    let endless = "{% for i in range(100000) %}{% for j in range(100) %}{{ i }}{% endfor %}{% endfor %}";
    assert_eq!(failed(endless).message, "the template takes too many steps");
    let doubling = "{% set x = 'x' * 1000000 %}".to_owned() + &"{% set x = x ~ x %}".repeat(40);
    assert_eq!(failed(&doubling).message, "the result is longer than 16 MiB");
    let repeated = format!("{{% for i in range(100000) %}}{}{{% endfor %}}", "x".repeat(100_000));
    assert_eq!(failed(&repeated).message, "the template takes too many steps");
    assert_eq!(
        failed("{% set x = 'x' * 1000000 %}{% for i in range(100) %}{{ x }}{% endfor %}").message,
        "the result is longer than 16 MiB"
    );
    let growing =
        "{% set x = 'xxxxxxxxxx' %}".to_owned() + &"{% set x = x.replace('x', x) | replace('x', x) %}".repeat(9);
    assert_eq!(failed(&growing).message, "the result is too long");
    assert_eq!(failed("{{ [['a'] * 90000] * 90000 }}").message, "the result is longer than 16 MiB");
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(check_syntax(&deep).is_err());
}

/// Each of these would otherwise fill the memory, end the process or take minutes.
#[test]
fn what_one_filter_operator_or_method_can_do_is_bounded() {
    const LONG: &str = "the result is longer than 16 MiB";
    const MANY: &str = "a list of more than 1000000 items";
    const WIDE: &str = "a width or precision of more than 10000";
    const DEEP: &str = "a value is nested more than 64 deep";
    const STEPS: &str = "the template takes too many steps";
    let mut wrong = Vec::new();
    for (text, message) in [
        (r"{{ ('a\nb'|indent(20000000000))|length }}", LONG),
        (r"{{ 'a\nb'|indent(width=20000000000) }}", LONG),
        ("{{ '%20000000000d'|format(1) }}", WIDE),
        ("{{ '%(a).20000000000f'|format(a=1) }}", WIDE),
        ("{{ '{:>20000000000}'.format(1) }}", WIDE),
        ("{{ ('%(a)s' * 1000000)|format(a='x' * 1000000) }}", LONG),
        ("{{ ('{a}' * 1000000).format(a='x' * 1000000) }}", LONG),
        ("{{ [1]|batch(20000000000, 'x') }}", MANY),
        ("{{ [1]|slice(20000000000) }}", MANY),
        ("{{ ([0]*100000000)|list }}", MANY),
        ("{{ ([0]*100000000)|sort }}", MANY),
        ("{{ (100000000*(0,)) == (1,) }}", MANY),
        ("{{ (10**8*(0,))|length }}", MANY),
        ("{{ ('x'*100000000)|length }}", LONG),
        ("{{ ([[0]*1000000]*1000000) == 1 }}", STEPS),
        ("{{ ([[0]*1000000]*1000000)|tojson }}", "the value is too large"),
        ("{{ ([[0]*1000000]*1000000)|string }}", STEPS),
        ("{{ (['x' * 10000000] * 1000)|tojson }}", STEPS),
        ("{{ ('x' * 20000000).split('x') }}", LONG),
        ("{{ ('x' * 10000000).split('x')|length }}", MANY),
        ("{{ ('x' * 10000000)|list|length }}", MANY),
        ("{{ ('x' * 10000000)|wordwrap(1) }}", STEPS),
        ("{{ ('x' * 1000000).join(['a'] * 1000) }}", LONG),
        ("{{ (['a'] * 1000)|join('x' * 1000000) }}", "the joined text is too long"),
        ("{{ 'x'|center(20000000000) }}", LONG),
        ("{{ 'x'.ljust(20000000000) }}", LONG),
        ("{{ range(20000000000) }}", "range has too many elements"),
        ("{{ macros.ds_format_locale(ds, '%Y-%m-%d', 'y' * 100000) }}", "`yyy"),
        ("{% for i in range(100000) %}{% set x=([0]*10000000)|sum %}{% endfor %}", MANY),
        ("{% for i in range(100000) %}{% set x=([0]*100000)|sum %}{% endfor %}", STEPS),
        ("{% set a = [0]*100000 %}{% for i in range(100000) %}{% set x = a == a %}{% endfor %}", STEPS),
        ("{% set a = [0]*100000 %}{% for i in range(100000) %}{% set x = a == a == a %}{% endfor %}", STEPS),
        ("{% set a = [0]*100000 %}{% for i in range(100000) %}{% set x = 1 in a %}{% endfor %}", STEPS),
        ("{% set a = [0]*100000 %}{% for i in range(100000) %}{% set x = 1 is in a %}{% endfor %}", STEPS),
        ("{% set a = [0]*100000 %}{% for i in range(100000) %}{% set x = a[1:] %}{% endfor %}", STEPS),
        ("{% set a = [0]*100000 %}{% for i in range(100000) %}{% set x = a + a %}{% endfor %}", STEPS),
        ("{% set a = [0]*100000 %}{% for i in range(100000) %}{% set x = loop.changed(a) %}{% endfor %}", STEPS),
        ("{% set a = 'x'*1000000 %}{% for i in range(100000) %}{% set x = a ~ i %}{% endfor %}", STEPS),
        ("{% set a = 'x'*1000000 %}{% for i in range(100000) %}{% set x = a|upper %}{% endfor %}", STEPS),
        (
            "{% set a = '[0' ~ ',0'*400000 ~ ']' %}{% for i in range(100000) %}{% set x = macros.json.loads(a) %}{% endfor %}",
            STEPS,
        ),
        ("{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}", DEEP),
        ("{% set ns = namespace(x={}) %}{% for i in range(100000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}", DEEP),
        (
            "{% set ns = namespace(x=1) %}{% for i in range(100000) %}{% set n = namespace() %}{% set n.x = ns.x %}\
             {% set ns.x = n %}{% endfor %}",
            "more than 64 namespaces; make one before the loop",
        ),
        ("{% set ns = namespace() %}{% set ns.a = ns %}{% set ns.b = ns %}{{ ns == [ns] }}", DEEP),
        ("{{ debug() }}", "debug is unknown"),
    ] {
        match render(text) {
            Err(RenderError::Failed(failure)) if failure.message.starts_with(message) => {}
            other => wrong.push(format!("{text}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What is in use is far from the bounds.
    table(&[
        ("{{ ([3, 1, 2] * 1000)|sort|unique|join(',') }} {{ ([0] * 1000)|length }}", "1,2,3 1000"),
        (
            "{{ 'x'|center(5) }}| {{ 'x'.rjust(3) }} {{ '-7'.zfill(4) }} {{ 'a\nb'|indent(2) }}",
            "  x  |   x -007 a\n  b",
        ),
        ("{{ '%05.1f|%-3s|'|format(3.14159, 'a') }} {{ '{:>5}|{a}'.format(1, a=2) }}", "003.1|a  |     1|2"),
        ("{{ [1, 2, 3]|batch(2, 0) }} {{ range(4)|slice(2) }}", "[[1, 2], [3, 0]] [[0, 1], [2, 3]]"),
        ("{{ [1] * -1 }} {{ 2 * (1,) }} {{ 'ab' * 0 }}{{ 3 * 'a' }}", "[] (1, 1) aaa"),
        ("{{ [1, 2, 3][1:] }} {{ 'abc'[::-1] }} {{ (1, 2)[:1] }} {{ [1, 2][-1:] }}", "[2, 3] cba (1,) [2]"),
        ("{{ 1 < 2 < 3 }} {{ [1] == [1] }} {{ 2 in [1, 2] }} {{ 'b' not in 'abc' }}", "True True True False"),
        (
            "{% set ns = namespace(n=0) %}{% for i in range(1000) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
            "499500",
        ),
        ("{{ zip([1, 2], 'ab') }} {{ zip([1], [2, 3], fillvalue=0) }}", "[[1, 'a'], [2, 'b']] [[1, 2], [0, 3]]"),
    ]);
}

#[test]
fn the_environment_of_commands_names_the_run() {
    let env = airflow_ctx_env(&spec());
    let get = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(get("AIRFLOW_CTX_DAG_ID"), Some("sales"));
    assert_eq!(get("AIRFLOW_CTX_TASK_ID"), Some("load"));
    assert_eq!(get("AIRFLOW_CTX_DAG_RUN_ID"), Some("manual__1"));
    assert_eq!(get("AIRFLOW_CTX_TRY_NUMBER"), Some("2"));
    assert_eq!(get("AIRFLOW_CTX_LOGICAL_DATE"), Some("2026-01-15T01:02:03+00:00"));
    assert_eq!(get("AIRFLOW_CTX_DAG_OWNER"), Some("etl"));
    assert!(airflow_ctx_env(&without_logical_date()).iter().all(|(name, _)| name != "AIRFLOW_CTX_LOGICAL_DATE"));
}

proptest::proptest! {
    /// Whatever a file contains, rendering ends and does not panic.
    #[test]
    fn rendering_any_text_ends(text in r#"(\{\{|\}\}|\{%|%\}|ds|ti|\.|\(|\)|'|"|\||[-+*/~\[\], ]|x|1|if |for |in |\n|é){0,24}"#) {
        let _ = render(&text);
        let _ = check_syntax(&text);
        let _ = refs(&TaskSpec { args: Map::from_iter([("a".to_owned(), Value::String(text))]), ..spec() });
    }
}
