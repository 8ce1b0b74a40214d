//! The command line as a user sees it: exit code, stdout, stderr.

use crate::support::{open_folder, process::run};

#[tokio::test]
async fn version_and_help_need_nothing() {
    let home = open_folder();
    let version = run(home.path(), &["version"]).await;
    assert_eq!((version.code, version.stdout), (Some(0), format!("updraft {}\n", env!("CARGO_PKG_VERSION"))));
    let help = run(home.path(), &["--help"]).await;
    insta::assert_snapshot!(help.stdout);
}

#[tokio::test]
async fn config_show_names_the_origin_of_each_value() {
    let home = open_folder();
    crate::support::write(home.path(), ".config/updraft/updraft.toml", "[webserver]\nport = 9000\n");
    let shown = run(home.path(), &["config", "show"]).await;
    let text = shown.stdout.replace(&home.path().display().to_string(), "HOME");
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_broken_configuration_is_one_clear_error() {
    let home = open_folder();
    crate::support::write(home.path(), "u.toml", "[webserver]\nport = 9000\nprot = 1\n");
    let file = home.path().join("u.toml").display().to_string();
    let outcome = run(home.path(), &["config", "show", "--config", &file]).await;
    assert_eq!(outcome.code, Some(1));
    assert_eq!(
        outcome.stderr,
        format!(
            "error: the configuration is not usable: {file}: there is no key `webserver.prot`; did you mean `webserver.port`?\n"
        )
    );
}

#[tokio::test]
async fn the_configuration_page_is_current() {
    let home = open_folder();
    let reference = run(home.path(), &["config", "reference"]).await.stdout;
    let page = include_str!("../../docs/configuration.md");
    assert_eq!(page, reference, "renew it: target/debug/updraft config reference > docs/configuration.md");
}

#[tokio::test]
async fn commands_that_need_a_database_say_where_to_get_one() {
    let home = open_folder();
    let outcome = run(home.path(), &["db", "check"]).await;
    assert_eq!(outcome.code, Some(1));
    insta::assert_snapshot!(outcome.stderr);
}

#[tokio::test]
async fn an_absent_server_is_an_error_that_says_how_to_start_one() {
    let home = open_folder();
    let outcome = run(home.path(), &["dags", "list", "--server", "http://127.0.0.1:9", "--password", "x"]).await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        outcome.stderr,
        "error: no server answers at http://127.0.0.1:9/; start one with `updraft standalone`, or name another with --server\n"
    );
    let outcome = run(home.path(), &["dags", "list", "--server", "localhost:8080"]).await;
    assert!(outcome.stderr.contains("is no URL of a server"), "{}", outcome.stderr);
}

#[tokio::test]
async fn bad_arguments_of_trigger_are_refused_without_a_server() {
    let home = open_folder();
    let outcome = run(home.path(), &["dags", "trigger", "x", "--conf", "[1]"]).await;
    assert_eq!(outcome.stderr, "error: --conf is no JSON object: [1]\n");
    let outcome = run(home.path(), &["dags", "trigger", "x", "--logical-date", "2026-01-31"]).await;
    assert!(outcome.stderr.contains("write an instant with a zone"), "{}", outcome.stderr);
}

#[tokio::test]
async fn validate_shows_every_error_of_every_file_in_its_place() {
    let home = open_folder();
    let bad = "schedule: \"99 * * * *\"\ntasks:\n  a:\n    bash: echo a\n    depends_on: [b, zz]\n  b:\n    bash: echo b\n    depends_on: a\n";
    crate::support::write(home.path(), "dags/bad.yaml", bad);
    crate::support::write(home.path(), "dags/good.yaml", "tasks:\n  hello:\n    bash: echo hello\n");
    crate::support::write(home.path(), "dags/sub/twice.yaml", "dag_id: good\ntasks:\n  hello:\n    bash: echo hello\n");
    let dags = home.path().join("dags").display().to_string();
    let outcome = run(home.path(), &["dags", "validate", &dags]).await;
    assert_eq!(outcome.code, Some(1));
    insta::assert_snapshot!(outcome.stderr.replace(&home.path().display().to_string(), "HOME"));

    let outcome = run(home.path(), &["dags", "validate", &dags, "--output", "json"]).await;
    assert_eq!(outcome.code, Some(1));
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let files = report["files"].as_object().unwrap();
    assert_eq!(files.len(), 3);
    let good = &files[&format!("{dags}/good.yaml")];
    assert_eq!(good["diagnostics"], serde_json::json!([]));
    assert_eq!(good["dags"]["good"]["tasks"]["hello"]["args"]["bash_command"], "echo hello");
    let kinds: Vec<_> = files[&format!("{dags}/bad.yaml")]["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (finding["kind"].as_str().unwrap(), finding["line"].as_u64().unwrap()))
        .collect();
    assert!(kinds.contains(&("invalid_cron", 1)) && kinds.contains(&("unknown_dependency", 5)), "{kinds:?}");
}

#[tokio::test]
async fn dags_test_runs_a_dag_without_server_and_says_how_it_ended() {
    let home = open_folder();
    let dag = "default_args: {retries: 1, retry_delay: 0}\ntasks:\n  one:\n    python: tools.answer\n  two:\n    \
               bash: |\n      echo \"got {{ ti.xcom_pull(task_ids='one') }} at try {{ ti.try_number }}\"\n      \
               test {{ ti.try_number }} = 2\n    depends_on: one\n";
    crate::support::write(home.path(), "dags/chain.yaml", dag);
    crate::support::write(home.path(), "dags/tools.py", "def answer():\n    return 42\n");
    crate::support::write(home.path(), "dags/fails.yaml", "tasks:\n  bad:\n    bash: exit 3\n");
    let file = home.path().join("dags/chain.yaml").display().to_string();
    let outcome = run(home.path(), &["dags", "test", &file, "--log-level", "error"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert!(outcome.stdout.contains("two | got 42 at try 2"), "{outcome:#?}");
    assert!(outcome.stderr.contains("two: up_for_retry (try 1 of 2)"), "{outcome:#?}");
    assert!(outcome.stderr.ends_with("chain: the run succeeded\n"), "{outcome:#?}");

    let file = home.path().join("dags/fails.yaml").display().to_string();
    let outcome = run(home.path(), &["dags", "test", &file, "--log-level", "error"]).await;
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("bad: failed: The command ended with exit code 3."), "{outcome:#?}");
}

#[tokio::test]
async fn dags_test_decides_tasks_that_need_no_node_as_the_scheduler_does() {
    let home = open_folder();
    let dag = "
tasks:
  way: {bash: echo left, do_xcom_push: true}
  pick: {branch: \"{{ ti.xcom_pull(task_ids='way') }}\", depends_on: way}
  left: {empty: , depends_on: pick}
  right: {empty: , depends_on: pick}
  open: {short_circuit: \"{{ 'yes' }}\"}
  through: {empty: , depends_on: open}
  shut: {short_circuit: \"{{ 'no' }}\"}
  never: {bash: exit 9, depends_on: shut}
  latest: {latest_only: }
  newest: {empty: , depends_on: latest}
  weekday: {operator: airflow.providers.standard.operators.weekday.BranchDayOfWeekOperator, week_day: [mon, tue, wed, thu, fri, sat, sun],
            follow_task_ids_if_true: day, follow_task_ids_if_false: night}
  day: {empty: , depends_on: weekday}
  night: {empty: , depends_on: weekday}
  clock: {operator: airflow.providers.standard.operators.datetime.BranchDateTimeOperator, target_lower: \"2000-01-01T00:00:00Z\", target_upper: \"2001-01-01T00:00:00Z\",
          follow_task_ids_if_true: then, follow_task_ids_if_false: today}
  then: {empty: , depends_on: clock}
  today: {empty: , depends_on: clock}
  some_day: {operator: airflow.providers.standard.sensors.weekday.DayOfWeekSensor, week_day: [mon, tue, wed, thu, fri, sat, sun]}
  soon: {wait_until: \"{{ (dag_run.start_date + macros.timedelta(seconds=1)).isoformat() }}\"}
  since: {wait_for: 1s}
  at_midnight: {wait_for_time: \"00:00\"}
  too_long: {wait_until: \"2999-01-01T00:00:00Z\", timeout: 1, soft_fail: true}
  ask: {approval: Ship it?, defaults: Approve}
  ship: {empty: , depends_on: ask}
  nobody: {approval: Are you there?}
  call: {trigger_dag: elsewhere, retries: 3}
  other: {wait_for_task: {external_dag_id: elsewhere, external_task_id: x}}
";
    crate::support::write(home.path(), "dags/no_node.yaml", dag);
    let file = home.path().join("dags/no_node.yaml").display().to_string();
    let outcome = run(home.path(), &["dags", "test", &file, "--log-level", "error"]).await;
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    let last = |task: &str| {
        let prefix = format!("{task}: ");
        let mut lines = outcome.stderr.lines().rev().filter_map(|line| line.strip_prefix(&prefix));
        lines.next().unwrap_or_else(|| panic!("no word of {task}: {outcome:#?}")).to_owned()
    };
    let succeed = [
        "pick",
        "left",
        "open",
        "through",
        "shut",
        "latest",
        "newest",
        "weekday",
        "day",
        "clock",
        "today",
        "some_day",
        "soon",
        "since",
        "at_midnight",
        "ask",
        "ship",
    ];
    for task in succeed {
        assert_eq!(last(task), "success", "{task}: {outcome:#?}");
    }
    for task in ["right", "never", "night", "then", "too_long"] {
        assert_eq!(last(task), "skipped", "{task}: {outcome:#?}");
    }
    assert!(last("nobody").contains("failed: nobody can be asked"), "{outcome:#?}");
    assert!(last("call").contains("failed") && last("call").contains("not in `dags test`"), "{outcome:#?}");
    assert!(last("other").contains("not in `dags test`: the task waits for DAG `elsewhere`"), "{outcome:#?}");
    assert!(outcome.stderr.contains("soon: waits until "), "{outcome:#?}");
}

#[tokio::test]
async fn explain_prints_the_long_form_with_the_line_of_each_value() {
    let home = open_folder();
    crate::support::write(home.path(), "short.yaml", "tasks:\n  hello: {bash: echo hello}\n");
    let file = home.path().join("short.yaml").display().to_string();
    let outcome = run(home.path(), &["dags", "explain", &file]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let line = outcome.stdout.lines().find(|line| line.contains("bash_command: echo hello")).unwrap();
    assert!(line.ends_with("# line 2"), "{}", outcome.stdout);

    crate::support::write(home.path(), "broken.yaml", "tasks:\n  hello: {bsh: echo hello}\n");
    let file = home.path().join("broken.yaml").display().to_string();
    let outcome = run(home.path(), &["dags", "explain", &file]).await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
    assert!(outcome.stderr.contains("error[missing_operator]"), "{}", outcome.stderr);
}

#[tokio::test]
async fn convert_prints_dag_factorys_format_or_names_what_has_no_word_there() {
    let home = open_folder();
    crate::support::write(home.path(), "short.yaml", "tasks:\n  hello: {bash: echo hello}\n");
    let file = home.path().join("short.yaml").display().to_string();
    let outcome = run(home.path(), &["dags", "convert", "--to", "dag-factory", &file]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stdout.starts_with("short:\n  tasks:\n    hello:\n      operator: airflow."), "{}", outcome.stdout);

    crate::support::write(home.path(), "native.yaml", "tasks:\n  hello: {bash: echo, foreach: [1, 2]}\n");
    let file = home.path().join("native.yaml").display().to_string();
    let outcome = run(home.path(), &["dags", "convert", "--to", "dag-factory", &file]).await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
    assert!(outcome.stderr.contains("task `hello`: dag-factory has no mapping but `expand`"), "{}", outcome.stderr);
}

#[tokio::test]
async fn schema_prints_a_json_schema_and_needs_nothing() {
    let home = open_folder();
    let outcome = run(home.path(), &["dags", "schema"]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let schema: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(schema["definitions"]["dag"]["additionalProperties"], false);
}

#[tokio::test]
async fn validate_succeeds_on_the_examples_and_strict_counts_warnings() {
    let home = open_folder();
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/dags");
    let outcome = run(home.path(), &["dags", "validate", "--strict", examples]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);

    crate::support::write(home.path(), "warned.yaml", "no_such_key: 1\ntasks:\n  hello:\n    bash: echo hello\n");
    let file = home.path().join("warned.yaml").display().to_string();
    let lenient = run(home.path(), &["dags", "validate", &file]).await;
    let strict = run(home.path(), &["dags", "validate", "--strict", &file]).await;
    assert_eq!((lenient.code, strict.code), (Some(0), Some(1)), "{}", lenient.stderr);

    crate::support::write(home.path(), "foreign.yaml", "tasks: {t: {operator: com.example.FancyOperator}}\n");
    let file = home.path().join("foreign.yaml").display().to_string();
    let lenient = run(home.path(), &["dags", "validate", &file]).await;
    assert_eq!(lenient.code, Some(0), "{}", lenient.stderr);
    let strict = run(home.path(), &["dags", "validate", "--strict", &file]).await;
    assert_eq!(strict.code, Some(1));
    assert!(strict.stderr.contains("error[unsupported_operator]: `com.example.FancyOperator`"), "{}", strict.stderr);
}
