//! Which timetable a `schedule` is (semantics §9.1, yaml-dags §7), row by row, and what a DAG may not do by itself.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use updraft_core::{
    dag::{AssetExpression, AssetRef, Dag, RunImmediately, RunRefusal, Schedule, Step},
    diagnostic::Severity,
    state::DagRunType,
    timetable,
    yaml::{Loaded, Settings, load},
};

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().expect("a date")
}

fn settings() -> Settings {
    Settings::new(utc("2026-01-15T12:00:00Z"))
}

fn read(text: &str, settings: &Settings) -> Loaded {
    load("file.yaml", text.as_bytes(), &(), settings)
}

/// The DAG of these keys and one task, with its findings (kind, is error).
fn dag_of(keys: &str) -> (Option<Dag>, Vec<(String, bool)>) {
    let loaded = read(&format!("{keys}\ntasks: {{t: {{empty: }}}}\n"), &settings());
    let found =
        loaded.diagnostics.iter().map(|found| (found.kind.clone(), found.severity == Severity::Error)).collect();
    (loaded.dags.into_iter().next().map(|dag| dag.dag), found)
}

fn hours(hours: u64) -> Step {
    Step { months: 0, duration: Duration::from_secs(hours * 3600) }
}

fn cron(expression: &str) -> Schedule {
    Schedule::cron(expression, Tz::UTC)
}

fn cron_interval(expression: &str) -> Schedule {
    Schedule::CronInterval { expression: expression.to_owned(), timezone: Tz::UTC }
}

fn every(delta: Step) -> Schedule {
    Schedule::Delta { delta, interval: None }
}

fn trigger(interval: Option<Step>, run_immediately: RunImmediately) -> Schedule {
    Schedule::Cron { expressions: vec!["0 1 * * 3".to_owned()], timezone: Tz::UTC, interval, run_immediately }
}

fn assets(timetable: Option<Schedule>) -> Schedule {
    let asset = |name: &str| {
        let uri = format!("s3://{name}/");
        AssetExpression::One(AssetRef::Asset {
            name: format!("s3://{name}"),
            uri,
            group: "asset".into(),
            extra: serde_json::Map::new(),
        })
    };
    Schedule::Assets {
        expression: AssetExpression::All(vec![asset("a"), asset("b")]),
        timetable: timetable.map(Box::new),
    }
}

/// A schedule as written, what it is by default, and under `create_cron_data_intervals` if that is something else.
fn rows() -> Vec<(&'static str, Schedule, Option<Schedule>)> {
    let both = |text, schedule| (text, schedule, None);
    let cron_row = |text, expression| (text, cron(expression), Some(cron_interval(expression)));
    let delta_row = |text, delta| (text, every(delta), Some(Schedule::DeltaInterval { delta }));
    let months = Step { months: 14, duration: Duration::from_secs(86_400) };
    vec![
        both("", Schedule::None),
        both("None", Schedule::None),
        both("\" none \"", Schedule::None),
        both("\"@once\"", Schedule::Once),
        cron_row("\"@hourly\"", "0 * * * *"),
        cron_row("\"@daily\"", "0 0 * * *"),
        cron_row("\"@midnight\"", "0 0 * * *"),
        cron_row("\"@weekly\"", "0 0 * * 0"),
        cron_row("\"@monthly\"", "0 0 1 * *"),
        cron_row("\"@quarterly\"", "0 0 1 */3 *"),
        cron_row("\"@yearly\"", "0 0 1 1 *"),
        cron_row("\"@annually\"", "0 0 1 1 *"),
        cron_row("\"0 3 * * 1-5\"", "0 3 * * 1-5"),
        cron_row("\"0 0 * * MON#1\"", "0 0 * * MON#1"),
        cron_row("\"0 0 1 * * 30\"", "0 0 1 * * 30"),
        delta_row("6 hours", hours(6)),
        delta_row("PT15M", Step { months: 0, duration: Duration::from_secs(900) }),
        delta_row("{__type__: datetime.timedelta, hours: 6}", hours(6)),
        delta_row("{__type__: dateutil.relativedelta.relativedelta, years: 1, months: 2, days: 1}", months),
        delta_row("{every: 6h}", hours(6)),
        both("{every: 6h, data_interval: true}", Schedule::DeltaInterval { delta: hours(6) }),
        both("{every: 6h, data_interval: false}", every(hours(6))),
        cron_row("{cron: \"0 9 * * *\"}", "0 9 * * *"),
        both("{cron: \"0 9 * * *\", data_interval: true}", cron_interval("0 9 * * *")),
        both("{cron: \"0 9 * * *\", data_interval: false}", cron("0 9 * * *")),
        both(
            "{cron: [\"0 9 * * *\", \"0 17 * * 5\"]}",
            Schedule::Cron {
                expressions: vec!["0 9 * * *".into(), "0 17 * * 5".into()],
                timezone: Tz::UTC,
                interval: None,
                run_immediately: RunImmediately::IfRecent,
            },
        ),
        both("[s3://a, s3://b]", assets(None)),
        (
            "{all: [s3://a, s3://b], cron: \"0 9 * * *\"}",
            assets(Some(cron("0 9 * * *"))),
            Some(assets(Some(cron_interval("0 9 * * *")))),
        ),
        // A timetable object is what it says.
        both(
            "{__type__: airflow.timetables.trigger.CronTriggerTimetable, cron: \"0 1 * * 3\", timezone: UTC}",
            trigger(None, RunImmediately::IfRecent),
        ),
        both(
            "{__type__: airflow.sdk.CronTriggerTimetable, cron: \"0 1 * * 3\", timezone: UTC, run_immediately: true,
              interval: {__type__: datetime.timedelta, hours: 9}}",
            trigger(Some(hours(9)), RunImmediately::Always),
        ),
        both(
            "{__type__: airflow.sdk.CronTriggerTimetable, cron: \"0 1 * * 3\", timezone: UTC, run_immediately: false,
              interval: {__type__: datetime.timedelta}}",
            trigger(None, RunImmediately::IfRecent),
        ),
        both(
            "{__type__: airflow.sdk.MultipleCronTriggerTimetable, __args__: [\"0 1 * * 3\"], timezone: UTC,
              run_immediately: {__type__: datetime.timedelta, minutes: 30}}",
            trigger(None, RunImmediately::Within(Duration::from_secs(1800))),
        ),
        both(
            "{__type__: airflow.timetables.interval.CronDataIntervalTimetable, cron: \"@daily\", timezone: UTC}",
            cron_interval("0 0 * * *"),
        ),
        both(
            "{__type__: airflow.timetables.trigger.DeltaTriggerTimetable, delta: {__type__: datetime.timedelta, hours: 6}}",
            every(hours(6)),
        ),
        both(
            "{__type__: airflow.timetables.trigger.DeltaTriggerTimetable, delta: {__type__: datetime.timedelta, hours: 6},
              interval: {__type__: datetime.timedelta, hours: 9}}",
            Schedule::Delta { delta: hours(6), interval: Some(hours(9)) },
        ),
        both(
            "{__type__: airflow.timetables.interval.DeltaDataIntervalTimetable, delta: {__type__: datetime.timedelta, hours: 6}}",
            Schedule::DeltaInterval { delta: hours(6) },
        ),
        both(
            "{__type__: airflow.timetables.events.EventsTimetable, event_dates: [2026-02-01, 2026-01-20]}",
            Schedule::Events { dates: vec![utc("2026-01-20T00:00:00Z"), utc("2026-02-01T00:00:00Z")] },
        ),
        (
            "{__type__: airflow.timetables.assets.AssetOrTimeSchedule, assets: [s3://a, s3://b], timetable: \"@daily\"}",
            assets(Some(cron("0 0 * * *"))),
            Some(assets(Some(cron_interval("0 0 * * *")))),
        ),
    ]
}

#[test]
fn a_schedule_is_the_timetable_of_its_row() {
    for (text, by_default, with_intervals) in rows() {
        let file = format!("schedule: {text}\ntasks: {{t: {{empty: }}}}\n");
        let intervals = Settings { create_cron_data_intervals: true, ..settings() };
        for (settings, expected) in
            [(settings(), &by_default), (intervals, with_intervals.as_ref().unwrap_or(&by_default))]
        {
            let loaded = read(&file, &settings);
            assert!(loaded.diagnostics.is_empty(), "{text}: {:#?}", loaded.diagnostics);
            assert_eq!(loaded.dags[0].dag.schedule, *expected, "{text}");
        }
    }
    let (dag, found) = dag_of("schedule: \"@continuous\"\nmax_active_runs: 1");
    assert_eq!((dag.map(|dag| dag.schedule), found), (Some(Schedule::Continuous), vec![]));
    let (dag, found) = dag_of("schedule: \"@continuous\"");
    assert_eq!((dag.is_none(), found), (true, vec![("invalid_value".to_owned(), true)]));
}

#[test]
fn a_partitioned_timetable_loads_is_described_and_makes_no_run() {
    for (text, class, described) in [
        (
            "{__type__: airflow.sdk.CronPartitionTimetable, cron: \"0 1 * * *\", timezone: UTC}",
            "CronPartitionTimetable",
            "At 01:00, by partitions (CronPartitionTimetable), which are not run yet: no run is made",
        ),
        (
            "{__type__: airflow.sdk.PartitionedAssetTimetable, assets: [s3://a]}",
            "PartitionedAssetTimetable",
            "by partitions (PartitionedAssetTimetable), which are not run yet: no run is made",
        ),
        (
            "{__type__: airflow.sdk.PartitionedAtRuntime}",
            "PartitionedAtRuntime",
            "by partitions (PartitionedAtRuntime), which are not run yet: no run is made",
        ),
    ] {
        let (dag, found) = dag_of(&format!("schedule: {text}\nstart_date: 2026-01-01\ncatchup: true"));
        assert_eq!(found, [("unsupported_schedule".to_owned(), false)], "{class}");
        let dag = dag.expect("it loads");
        assert_eq!(timetable::partitioned(&dag.schedule), Some(class));
        assert_eq!(timetable::description(&dag.schedule), described);
        assert!(!timetable::is_periodic(&dag.schedule));
        let now = utc("2026-01-15T12:00:00Z");
        assert_eq!(timetable::next_dagrun_info(&dag.schedule, None, &timetable::restriction(&dag), now), None);
        for run_type in DagRunType::ALL {
            let refusal = dag.may_run(*run_type).expect_err("no type of run");
            assert_eq!(
                refusal.to_string(),
                format!(
                    "DAG with dag_id: 'file' has the timetable {class}: its runs have partitions, and partitions are not run yet"
                )
            );
        }
    }
}

#[test]
fn only_the_allowed_types_of_run_are_made() {
    let (dag, found) = dag_of("schedule: \"@daily\"\nallowed_run_types: [manual, backfill, manual]");
    let dag = dag.expect("it loads");
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(dag.allowed_run_types, Some(vec![DagRunType::Manual, DagRunType::Backfill]));
    assert_eq!(dag.may_run(DagRunType::Manual), Ok(()));
    let refused = RunRefusal::RunType { dag_id: dag.dag_id.clone(), run_type: DagRunType::Scheduled };
    assert_eq!(dag.may_run(DagRunType::Scheduled), Err(refused));
    assert_eq!(dag.timed_schedule(), &Schedule::None);
    let (dag, _) = dag_of("schedule: [s3://a]\nallowed_run_types: manual");
    assert_eq!(dag.expect("it loads").asset_schedule(), None);
    assert!(dag_of("schedule: [s3://a]").0.expect("it loads").asset_schedule().is_some());
    let (dag, found) = dag_of("allowed_run_types: [manuel]");
    assert_eq!((dag.is_none(), found), (true, vec![("invalid_value".to_owned(), true)]));
}

#[test]
fn a_place_on_the_calendar_is_no_step_and_takes_no_dag_away() {
    let (dag, found) = dag_of("schedule: {__type__: dateutil.relativedelta.relativedelta, day: 1}");
    assert_eq!(found, [("unsupported_schedule".to_owned(), false)]);
    assert_eq!(dag.map(|dag| dag.schedule), Some(Schedule::None));
    let (dag, found) = dag_of("schedule: \"@daily\"\ntimetable: null");
    assert_eq!((dag.map(|dag| dag.schedule), found), (Some(cron("0 0 * * *")), vec![]));
    let (dag, found) = dag_of("schedule: [{__type__: airflow.sdk.Asset, name: a, watchers: []}]");
    assert_eq!((dag.is_some(), found), (true, vec![]));
}

#[test]
fn a_scheduled_dag_needs_a_default_of_every_param() {
    let param = "params: {name: {__type__: airflow.sdk.Param, type: string}}";
    let error = vec![("invalid_param".to_owned(), true)];
    assert_eq!(dag_of(&format!("schedule: \"@daily\"\n{param}")).1, error);
    assert_eq!(dag_of(&format!("schedule: [s3://a]\n{param}")).1, error);
    assert_eq!(dag_of(param).1, [], "a run by hand has somebody to ask");
    let date = |default: &str| {
        dag_of(&format!(
            "params: {{day: {{__type__: airflow.sdk.Param, default: {default}, type: string, format: date}}}}"
        ))
        .1
    };
    assert_eq!(date("\"2026-01-15\""), []);
    assert_eq!(date("not-a-date"), error);
    assert_eq!(dag_of("inputs: {day: {type: string, format: date-time, default: noon}}").1, error);
}

#[test]
fn the_longest_mapping_is_the_servers_setting() {
    let file =
        "tasks:\n  t: {operator: bash, partial: {bash_command: echo}, expand: {env: [{A: 1}, {A: 2}, {A: 3}]}}\n";
    let limit = |max_map_length| read(file, &Settings { max_map_length, ..settings() });
    let loaded = limit(3);
    assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
    assert_eq!(loaded.dags[0].dag.max_map_length, 3);
    let found = limit(2).diagnostics;
    assert_eq!(found[0].kind, "invalid_expand");
    assert!(found[0].message.contains("the limit is 2"), "{}", found[0].message);
}

#[test]
fn a_task_does_not_begin_before_its_dag_nor_end_after_it() {
    let text = "start_date: 2026-01-10\nend_date: 2026-01-20\ntasks:\n  \
                wide: {bash: echo, start_date: 2026-01-01, end_date: 2026-02-01}\n  \
                narrow: {bash: echo, start_date: 2026-01-12, end_date: 2026-01-14}\n  \
                plain: {bash: echo}\n";
    let dag = read(text, &settings()).dags.remove(0).dag;
    let dates = |id: &str| {
        let task = dag.task(id).expect("the task");
        (task.start_date.expect("a date"), task.end_date.expect("a date"))
    };
    let (start, end) = (utc("2026-01-10T00:00:00Z"), utc("2026-01-20T00:00:00Z"));
    assert_eq!(dates("wide"), (start, end));
    assert_eq!(dates("narrow"), (utc("2026-01-12T00:00:00Z"), utc("2026-01-14T00:00:00Z")));
    assert_eq!(dates("plain"), (start, end));
}

/// A task of this operator with one more argument: the findings, and whether the DAG loads.
fn with_argument(operator: &str, argument: &str) -> (bool, Vec<(String, bool)>) {
    let loaded = read(&format!("tasks:\n  t: {{operator: {operator}, {argument}}}\n"), &settings());
    let found = loaded.diagnostics.iter().map(|found| (found.kind.clone(), found.severity == Severity::Error));
    (!loaded.dags.is_empty(), found.filter(|(kind, _)| kind != "unsupported_operator").collect())
}

#[test]
fn an_argument_of_an_operator_that_nothing_runs_takes_no_dag_away() {
    let sql = "airflow.providers.common.sql.operators.sql.SQLCheckOperator";
    let http = "airflow.providers.http.operators.http.HttpOperator";
    for (operator, argument) in [
        (sql, "sql: select 1, retry_on_failure: true"),
        (http, "endpoint: x, pagination_function: a.b"),
        (http, "endpoint: x, retry_args: {__type__: tenacity.stop_after_attempt, __args__: [3]}"),
    ] {
        assert_eq!(
            with_argument(operator, argument),
            (true, vec![("unknown_argument".to_owned(), false)]),
            "{argument}"
        );
    }
    let docker = "airflow.providers.docker.operators.docker.DockerOperator";
    let pod = "airflow.providers.cncf.kubernetes.operators.pod.KubernetesPodOperator";
    for (operator, argument) in [
        (pod, "image: x, container_logs: true"),
        (pod, "image: x, container_logs: [base, sidecar]"),
        (docker, "image: x, api_version: '1.41'"),
        (docker, "image: x, tls_verify: false"),
    ] {
        assert_eq!(with_argument(operator, argument), (true, vec![("without_effect".to_owned(), false)]), "{argument}");
    }
    assert_eq!(
        with_argument("bash", "bash_command: echo, comand: x"),
        (false, vec![("unknown_argument".to_owned(), true)])
    );
}

#[test]
fn a_relativedelta_without_months_is_a_delta_to_wait() {
    let wait = "airflow.providers.standard.sensors.time_delta.TimeDeltaSensor";
    let delta = |parts: &str| format!("delta: {{__type__: dateutil.relativedelta.relativedelta, {parts}}}");
    assert_eq!(with_argument(wait, &delta("days: 1, hours: 2")), (true, vec![]));
    assert_eq!(with_argument(wait, &delta("months: 1")), (false, vec![("invalid_duration".to_owned(), true)]));
}
