//! Airflow's macros and filters, previous runs, template files.

use serde_json::json;

use super::{
    tests::{failed, render, spec, table},
    *,
};
use crate::spec::PreviousRun;

#[test]
fn macros_are_airflows_as_far_as_they_are_pure() {
    table(&[
        ("{{ macros.ds_add(ds, 5) }} {{ macros.ds_add('2026-03-01', -1) }}", "2026-01-20 2026-02-28"),
        ("{{ macros.ds_format(ds, '%Y-%m-%d', '%d/%m/%y') }}", "15/01/26"),
        ("{{ macros.ds_format('1/5/2026', '%m/%d/%Y', '%Y-%m-%d') }}", "2026-01-05"),
        ("{{ macros.datetime(2026, 2, 3, hour=4) }}", "2026-02-03 04:00:00"),
        ("{{ macros.datetime.strptime('2026-02', '%Y-%m').strftime('%b %Y') }}", "Feb 2026"),
        ("{{ macros.datetime.fromisoformat('2026-02-03T04:05:06+02:00') | ts }}", "2026-02-03T04:05:06+02:00"),
        ("{{ macros.json.dumps(dag_run.conf) }}", r#"{"region": "eu", "deep": {"b": 1, "a": [1.5, null]}}"#),
        (
            "{{ macros.ds_format_locale('12/07/2024', '%d/%m/%Y', 'EEEE dd MMMM yyyy', 'en_US') }}",
            "Friday 12 July 2024",
        ),
        ("{{ macros.datetime_diff_for_humans(logical_date, data_interval_start) }}", "1 day after"),
        ("{{ macros.datetime_diff_for_humans('2026-01-01', '2026-03-02') }}", "2 months before"),
        ("{{ (logical_date + macros.dateutil.relativedelta.relativedelta(months=1, day=31)) | ds }}", "2026-02-28"),
        (
            "{{ (logical_date - macros.dateutil.relativedelta.relativedelta(years=1, hour=0)) | ts }}",
            "2025-01-15T00:02:03+00:00",
        ),
        ("{{ macros.dateutil.parser.parse('3 February 2026') | ds }}", "2026-02-03"),
        ("{{ macros.dateutil.parser.parse('2026-02-03T04:05:06Z') | ts }}", "2026-02-03T04:05:06+00:00"),
        ("{{ macros.json.loads('{\"a\": [1]}').a[0] }}", "1"),
    ]);
}

#[test]
fn the_clock_is_that_of_the_hand_out() {
    let mut spec = spec();
    assert_eq!(failed("{{ macros.datetime.now() }}").message, "there is no clock where this is rendered");
    Arc::get_mut(&mut spec.run).unwrap().now = Some("2026-01-20T10:00:00.5Z".parse().unwrap());
    for (text, expected) in [
        (
            "{{ macros.datetime.now() }} {{ macros.datetime.utcnow().isoformat() }}",
            "2026-01-20 10:00:00.500000 2026-01-20T10:00:00.500000",
        ),
        ("{{ macros.datetime.now('Europe/Zurich') | ts }}", "2026-01-20T11:00:00.500000+01:00"),
        ("{{ macros.time.time() }} {{ macros.time.strftime('%Y') }}", "1768903200.5 2026"),
        (
            "{{ macros.datetime_diff_for_humans(ds) }} {{ macros.datetime_diff_for_humans('2026-03-01') }}",
            "5 days ago in 1 month",
        ),
        ("{{ ti.start_date }}", "2026-01-20 10:00:00.500000+00:00"),
    ] {
        assert_eq!(render_text(text, "f", &spec, &Resolved::default()).as_deref(), Ok(expected), "{text}");
    }
}

/// Airflow's context, filters and macros, name by name (semantics §12.8).
#[test]
fn every_name_of_airflows_context_is_there_or_says_why_not() {
    let mut spec = spec();
    let run = Arc::get_mut(&mut spec.run).unwrap();
    run.now = Some("2026-01-20T10:00:00Z".parse().unwrap());
    run.triggering_user_name = Some("ann".to_owned());
    run.note = Some("again".to_owned());
    run.clear_number = 2;
    run.dag_display_name = Some("Sales".to_owned());
    spec.attributes = crate::spec::TaskAttributes {
        retries: 3,
        retry_delay: std::time::Duration::from_secs(300),
        pool: "db".to_owned(),
        queue: "default".to_owned(),
        upstream_task_ids: vec!["extract".into()],
        email: vec!["a@b.org".to_owned(), "c@d.org".to_owned()],
        ..crate::spec::TaskAttributes::default()
    };
    let env = airflow_ctx_env(&spec);
    assert!(env.contains(&("AIRFLOW_CTX_DAG_EMAIL".to_owned(), "a@b.org,c@d.org".to_owned())), "{env:?}");
    for (expression, expected) in [
        ("dag.dag_id ~ ' ' ~ dag.dag_display_name ~ ' ' ~ dag.owner", "sales Sales etl"),
        ("task.task_id ~ ' ' ~ task.retries ~ ' ' ~ task.pool ~ ' ' ~ task.trigger_rule", "load 3 db all_success"),
        ("task.retry_delay ~ ' ' ~ task.upstream_task_ids ~ ' ' ~ task.queue", "0:05:00 ['extract'] default"),
        ("ti.try_number ~ ' ' ~ task_instance.max_tries ~ ' ' ~ ti.log_url ~ ' ' ~ ti.pool", "2 3 None db"),
        ("ti.start_date ~ ' ' ~ ti.end_date", "2026-01-20 10:00:00+00:00 None"),
        ("run_id", "manual__1"),
        ("dag_run.triggering_user_name ~ ' ' ~ dag_run.note ~ ' ' ~ dag_run.clear_number", "ann again 2"),
        ("params.n", "7"),
        ("var.value.get('x', 'd') ~ var.json.get('x', 'd')", "dd"),
        ("conn.get('x', 'd')", "d"),
        ("macros is defined", "True"),
        ("inlets ~ outlets", "[][]"),
        ("triggering_asset_events", "{}"),
        ("map_index_template", "None"),
        ("task_instance_key_str", "sales__load__20260115"),
        ("task_reschedule_count", "0"),
        ("prev_start_date_success ~ prev_end_date_success", "NoneNone"),
        ("partition_key ~ partition_date", "NoneNone"),
        ("logical_date | ts", "2026-01-15T01:02:03+00:00"),
        ("ds ~ ds_nodash", "2026-01-1520260115"),
        ("ts ~ ts_nodash ~ ts_nodash_with_tz", "2026-01-15T01:02:03+00:0020260115T01020320260115T010203+0000"),
        ("data_interval_start | ds", "2026-01-14"),
        ("data_interval_end | ds_nodash", "20260115"),
        ("prev_data_interval_start_success ~ prev_data_interval_end_success", "NoneNone"),
        ("logical_date | ts_nodash ~ (logical_date | ts_nodash_with_tz)", "20260115T01020320260115T010203+0000"),
        ("macros.datetime(2026, 1, 2)", "2026-01-02 00:00:00"),
        ("macros.timedelta(days=1)", "1 day, 0:00:00"),
        ("macros.time.time()", "1768903200.0"),
        ("macros.uuid.uuid4() | length", "36"),
        ("macros.random() < 1", "True"),
        ("macros.json.dumps([1])", "[1]"),
        ("macros.yaml.dump({'b': [1], 'a': 'x'})", "a: x\nb:\n- 1\n"),
        ("macros.yaml.safe_load('{a: [1, on]}')", "{'a': [1, True]}"),
        ("macros.dateutil.parser.parse('2026-01-02')", "2026-01-02 00:00:00"),
        ("macros.ds_add(ds, 1)", "2026-01-16"),
        ("macros.ds_format(ds, '%Y-%m-%d', '%d.%m.%Y')", "15.01.2026"),
        ("macros.ds_format_locale(ds, '%Y-%m-%d', 'd MMMM')", "15 January"),
        ("macros.datetime_diff_for_humans(ds)", "5 days ago"),
    ] {
        let resolved =
            [(Ref::Variable { key: "x".to_owned() }, None), (Ref::Connection { conn_id: "x".to_owned() }, None)];
        let text = format!("{{{{ {expression} }}}}");
        let rendered = render_text(&text, "f", &spec, &resolved.into_iter().collect());
        assert_eq!(rendered.as_deref(), Ok(expected), "{text}");
    }
    for name in ["inlet_events", "outlet_events", "task_state_store", "asset_state_store"] {
        let message = failed(&format!("{{{{ {name}.x }}}}")).message;
        assert!(message.starts_with(&format!("`{name}` is not available: ")), "{message}");
    }
    let unknown = failed("{{ macros.ds_format_locale(ds, '%Y-%m-%d', 'd MMMM', 'de_DE') }}").message;
    assert_eq!(unknown, "`ds_format_locale` knows English names only, not those of `de_DE`");
}

#[test]
fn random_values_differ_in_a_text_and_are_the_same_in_each_render_of_it() {
    let text = "{{ macros.random() }} {{ macros.random() }} {{ macros.uuid.uuid4() }} {{ [1, 2, 3] | random }}";
    let first = render(text).unwrap();
    assert_eq!(render(text).unwrap(), first);
    let parts: Vec<&str> = first.split(' ').collect();
    assert_ne!(parts[0], parts[1]);
    assert!(parts[..2].iter().all(|number| (0.0..1.0).contains(&number.parse::<f64>().unwrap())), "{first}");
    assert_eq!(uuid::Uuid::parse_str(parts[2]).unwrap().get_version_num(), 4);
    let mut other = spec();
    other.attempt_id = crate::ids::AttemptId(uuid::Uuid::from_u128(7));
    assert_ne!(render_text(text, "x", &other, &Resolved::default()).unwrap(), first, "another try draws others");
}

#[test]
fn filters_that_jinja_has_are_there() {
    for name in [
        "abs",
        "attr",
        "batch",
        "capitalize",
        "center",
        "default",
        "d",
        "dictsort",
        "escape",
        "e",
        "filesizeformat",
        "first",
        "float",
        "forceescape",
        "format",
        "groupby",
        "indent",
        "int",
        "items",
        "join",
        "last",
        "length",
        "count",
        "list",
        "lower",
        "map",
        "max",
        "min",
        "pprint",
        "random",
        "reject",
        "rejectattr",
        "replace",
        "reverse",
        "round",
        "safe",
        "select",
        "selectattr",
        "slice",
        "sort",
        "string",
        "striptags",
        "sum",
        "title",
        "tojson",
        "trim",
        "truncate",
        "unique",
        "upper",
        "urlencode",
        "wordcount",
        "wordwrap",
        "ds",
        "ds_nodash",
        "ts",
        "ts_nodash",
        "ts_nodash_with_tz",
    ] {
        assert_eq!(check_syntax(&format!("{{{{ x | {name} }}}}")), Ok(()), "{name}");
    }
    table(&[
        ("{{ '%s has %05d of %.2f%%' | format('a', 7, 1.5) }}", "a has 00007 of 1.50%"),
        ("{{ 'one two three' | wordwrap(7) }}", "one two\nthree"),
    ]);
}

#[test]
fn the_previous_successful_run_is_there_when_a_template_names_it() {
    let mut task = spec();
    assert!(!names_previous_run(&task));
    task.env.insert("SINCE".to_owned(), "{{ prev_data_interval_end_success }}".to_owned());
    assert!(names_previous_run(&task));
    let rendered = |task: &TaskSpec, text: &str| render_text(text, "x", task, &Resolved::default());
    assert_eq!(rendered(&task, "{{ prev_start_date_success }}").as_deref(), Ok("None"), "there was none");
    let at = |text: &str| Some(text.parse().unwrap());
    Arc::get_mut(&mut task.run).unwrap().previous_success = Some(PreviousRun {
        data_interval_start: at("2026-01-10T00:00:00Z"),
        data_interval_end: at("2026-01-11T00:00:00Z"),
        start_date: at("2026-01-11T00:00:05Z"),
        end_date: None,
    });
    let text = "{{ prev_data_interval_start_success | ds }} {{ prev_data_interval_end_success | ds }} \
                {{ prev_start_date_success.second }} {{ prev_end_date_success }}";
    assert_eq!(rendered(&task, text).as_deref(), Ok("2026-01-10 2026-01-11 5 None"));
}

#[test]
fn a_dags_own_macros_are_weaker_than_airflows_names() {
    let mut task = spec();
    let run = Arc::get_mut(&mut task.run).unwrap();
    run.user_defined_macros = Map::from_iter([
        ("bucket".to_owned(), json!("s3://b")),
        ("limits".to_owned(), json!({"rows": 5})),
        ("ds".to_owned(), json!("shadowed")),
    ]);
    run.triggering_asset_events = json!({"s3://x": [{"extra": {"n": 1}}]});
    let text = "{{ bucket }} {{ limits.rows }} {{ ds }} {{ triggering_asset_events['s3://x'][0].extra.n }}";
    assert_eq!(render_text(text, "x", &task, &Resolved::default()).as_deref(), Ok("s3://b 5 2026-01-15 1"));
}

#[test]
fn files_are_included_with_the_tasks_names_and_within_bounds() {
    let resolved = Resolved::default().with_files(|name: &str| match name {
        "part.sql" => Some("select {{ params.n }} on {{ ds }}".to_owned()),
        "lib.sql" => Some("{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}".to_owned()),
        "self.sql" => Some("x{% include 'self.sql' %}{% include 'self.sql' %}".to_owned()),
        "large.sql" => Some("y".repeat(100_000)),
        _ => None,
    });
    let render = |text: &str| render_text(text, "sql", &spec(), &resolved);
    assert_eq!(render("{% include 'part.sql' %};").as_deref(), Ok("select 7 on 2026-01-15;"));
    assert_eq!(render("{% from 'lib.sql' import twice %}{{ twice('a') }}").as_deref(), Ok("aa"));
    assert_eq!(render("a{% include 'none.sql' ignore missing %}b").as_deref(), Ok("ab"));
    let missing = render("{% include 'none.sql' %}").unwrap_err().to_string();
    assert!(missing.contains("none.sql") && missing.contains("template_searchpath"), "{missing}");
    for endless in ["{% include 'self.sql' %}", "{% for i in range(100000) %}{% include 'large.sql' %}{% endfor %}"] {
        let error = render(endless).unwrap_err().to_string();
        assert!(error.contains("recursion") || error.contains("too many steps"), "{endless}: {error}");
    }
    let broken = Resolved::default().with_files(|_: &str| Some("a\n{{ nope }}".to_owned()));
    let error = render_text("x\n{% include 'b.sql' %}", "sql", &spec(), &broken).unwrap_err().to_string();
    assert_eq!(error, "template of `sql`, line 2: in `b.sql`, line 2: `nope` is undefined");
    let mut task = spec();
    assert!(!names_files(&task));
    task.args.insert("sql".to_owned(), json!(["{% include 'part.sql' %}"]));
    assert!(names_files(&task));
}
