//! Tasks that need no node, from YAML through the binary.

use serde_json::Value;

use crate::support::standalone::Standalone;

const FLOW: &str = "
tasks:
  pick:
    branch: \"{{ 'left' if dag_run.conf.way == 'left' else 'right' }}\"
  left:
    empty:
    depends_on: pick
  right:
    empty:
    depends_on: pick
  join:
    empty:
    depends_on: [left, right]
    trigger_rule: none_failed_min_one_success
  gate:
    short_circuit: \"{{ 'no' }}\"
    depends_on: join
  never:
    empty:
    depends_on: gate
  latest:
    latest_only:
    depends_on: join
  newest:
    empty:
    depends_on: latest
";

const PARENT: &str = "
tasks:
  call:
    trigger_dag: flow
    conf: {way: left}
    wait_for_completion: true
    poke_interval: 1
  impatient:
    wait_until: \"2999-01-01T00:00:00Z\"
    timeout: 0.5
    retries: 2
  patient:
    wait_until: \"2999-01-01T00:00:00Z\"
    timeout: 0.5
    soft_fail: true
  after:
    empty:
    depends_on: [call, patient]
    trigger_rule: none_failed
";

const ASK: &str = "
tasks:
  ask:
    approval: Ship {{ run_id }}?
  ship:
    empty:
    depends_on: ask
";

/// The states of a run's tasks, by task id, and of the run.
async fn states(standalone: &Standalone, dag_id: &str, run_id: &str) -> Vec<(String, String)> {
    let shown = standalone.cli(&["runs", "show", dag_id, run_id, "-o", "json"]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let run: Value = serde_json::from_str(&shown.stdout).unwrap();
    let state = |of: &Value| of["state"].as_str().unwrap_or("none").to_owned();
    let tasks = run["task_instances"].as_array().unwrap().iter();
    let mut states: Vec<_> = tasks.map(|task| (task["task_id"].as_str().unwrap().to_owned(), state(task))).collect();
    states.sort();
    states.push(("run".to_owned(), state(&run)));
    states
}

fn expected(states: &[(&str, &str)]) -> Vec<(String, String)> {
    states.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect()
}

#[tokio::test]
async fn branches_gates_and_triggered_runs_need_no_node() {
    let standalone = Standalone::with_dags(&[("flow.yaml", FLOW), ("parent.yaml", PARENT)]).await;
    let flow = ["dags", "trigger", "flow", "--run-id", "one", "--conf", r#"{"way": "right"}"#, "--wait"];
    let ran = standalone.cli(&flow).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let flow = [
        ("gate", "success"),
        ("join", "success"),
        ("latest", "success"),
        ("left", "skipped"),
        ("never", "skipped"),
        ("newest", "success"),
        ("pick", "success"),
        ("right", "success"),
        ("run", "success"),
    ];
    assert_eq!(states(&standalone, "flow", "one").await, expected(&flow));

    let ran = standalone.cli(&["dags", "trigger", "parent", "--run-id", "two", "--wait"]).await;
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let parent =
        [("after", "success"), ("call", "success"), ("impatient", "failed"), ("patient", "skipped"), ("run", "failed")];
    assert_eq!(states(&standalone, "parent", "two").await, expected(&parent));
    let runs = standalone.cli(&["runs", "list", "flow", "-o", "json"]).await;
    let runs: Value = serde_json::from_str(&runs.stdout).unwrap();
    let types: Vec<&str> = runs.as_array().unwrap().iter().map(|run| run["run_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["operator_triggered", "manual"]);
}

#[tokio::test]
async fn an_approval_is_answered_from_the_command_line_and_the_first_answer_counts() {
    let standalone = Standalone::with_dags(&[("ask.yaml", ASK)]).await;
    for (run, verb, ship) in [("yes", "approve", "success"), ("no", "reject", "skipped")] {
        let triggered = standalone.cli(&["dags", "trigger", "ask", "--run-id", run]).await;
        assert_eq!(triggered.code, Some(0), "{}", triggered.stderr);
        let open = loop {
            let open = standalone.cli(&["approvals", "list", "ask", "-o", "json"]).await;
            assert_eq!(open.code, Some(0), "{}", open.stderr);
            let open: Value = serde_json::from_str(&open.stdout).unwrap();
            if open.as_array().is_some_and(|open| !open.is_empty()) {
                break open;
            }
        };
        assert_eq!(open[0]["subject"], format!("Ship {run}?"));
        let why = standalone.cli(&["runs", "why", "ask", run, "ask"]).await;
        assert!(why.stdout.contains("waiting_for_person"), "{}", why.stdout);
        let answered = standalone.cli(&["approvals", verb, "ask", run, "ask"]).await;
        assert_eq!(answered.code, Some(0), "{}", answered.stderr);
        let again = standalone.cli(&["approvals", "approve", "ask", run, "ask"]).await;
        assert_eq!(again.code, Some(1), "{}", again.stdout);
        assert!(again.stderr.contains("already been updated"), "{}", again.stderr);
        let wanted = expected(&[("ask", "success"), ("ship", ship), ("run", "success")]);
        while states(&standalone, "ask", run).await.last() != wanted.last() {}
        assert_eq!(states(&standalone, "ask", run).await, wanted);
    }
}

const REASONS: &str = "
tasks:
  pick:
    branch: \"{{ 'kept' }}\"
  kept:
    empty:
    depends_on: pick
  dropped:
    bash: exit 9
    depends_on: pick
  many:
    bash: 'exit {{ item }}'
    foreach: [0, 3]
  after:
    bash: exit 9
    depends_on: many
";

#[tokio::test]
async fn a_run_that_failed_says_why_on_every_page() {
    let standalone = Standalone::with_dags(&[("reasons.yaml", REASONS)]).await;
    let ran = standalone.cli(&["dags", "trigger", "reasons", "--run-id", "one", "--wait"]).await;
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let said = async |arguments: &[&str]| {
        let outcome = standalone.cli(arguments).await;
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {outcome:#?}");
        outcome.stdout
    };
    let shown = said(&["runs", "show", "reasons", "one"]).await;
    let reason = "\n\nmany[1]: The command ended with exit code 3.\n  class: exit_code\n  exit code: 3\n  node: ";
    assert!(shown.contains(reason), "{shown}");
    assert!(shown.ends_with("\n  command: bash -c 'exit 3'\n"), "{shown}");
    let why = said(&["runs", "why", "reasons", "one"]).await;
    let expected = "after (upstream_failed)\n  finished: The task did not run, because `many` failed.\n\
                    many[1] (failed)\n  finished: The command ended with exit code 3.\n  class: exit_code\n";
    assert!(why.starts_with(expected), "{why}");
    let why = said(&["runs", "why", "reasons", "one", "many", "--map-index", "0"]).await;
    assert!(why.starts_with("many[0] (success)\n"), "{why}");
    assert!(said(&["runs", "why", "reasons", "one", "many"]).await.contains("many[1] (failed)"));
    for (task, line) in [
        ("pick", "The task follows `kept`."),
        ("dropped", "The task was skipped by `pick`."),
        ("after", "The task did not run, because `many` failed."),
    ] {
        let log = said(&["runs", "logs", "reasons", "one", task]).await;
        assert!(log.trim_end().ends_with(line) && log.lines().count() == 1, "{task}: {log}");
    }
    let again = |more: &[&'static str]| {
        let arguments = ["runs", "retry", "reasons", "one", "--dry-run", "-o", "json"];
        arguments.iter().chain(more).copied().collect::<Vec<_>>()
    };
    let named = async |more: &[&'static str]| -> Vec<String> {
        let tasks: Vec<Value> = serde_json::from_str(&said(&again(more)).await).unwrap();
        let name = |task: &Value| format!("{}[{}]", task["task_id"].as_str().unwrap(), task["map_index"]);
        let mut names: Vec<String> = tasks.iter().map(name).collect();
        names.sort();
        names
    };
    assert_eq!(named(&["--task", "many", "--map-index", "0"]).await, ["after[-1]", "many[0]"]);
    assert_eq!(named(&["--task", "kept", "--upstream"]).await, ["kept[-1]", "pick[-1]"]);
    assert_eq!(named(&["--past", "--future", "--run-on-latest-version"]).await, ["after[-1]", "many[1]"]);
    let none = said(&["runs", "retry", "reasons", "one", "--dry-run", "--only-new"]).await;
    assert_eq!(none, "The run has every task of the DAG's latest version.\n");
    let refused = standalone.cli(&["runs", "retry", "reasons", "one", "--map-index", "1"]).await;
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert_eq!(states(&standalone, "reasons", "one").await.last().unwrap().1, "failed", "nothing ran again");
}
