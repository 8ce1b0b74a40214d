//! Scheduling through the binary, as a user meets it: files with schedules, past dates, assets, a file that is mended. How runs of
//! one DAG end is told by the scenario files (`scenarios`).

use std::time::Duration;

use serde_json::Value;

use crate::support::{process::PATIENCE, standalone::Standalone, write};

impl Standalone {
    /// What a command says as JSON; it must succeed.
    async fn json(&self, arguments: &[&str]) -> Value {
        let said = self.cli(&[arguments, &["--output", "json"]].concat()).await;
        assert_eq!(said.code, Some(0), "{arguments:?}: {}{}", said.stdout, said.stderr);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", said.stdout))
    }

    /// Runs of a DAG once there are so many that ended, the earliest logical date first.
    async fn ended_runs(&self, dag_id: &str, count: usize) -> Vec<Value> {
        let found = async {
            loop {
                let mut runs = rows(self.json(&["runs", "list", dag_id]).await);
                runs.retain(|run| matches!(run["state"].as_str(), Some("success" | "failed")));
                if runs.len() >= count {
                    runs.sort_by_key(|run| run["logical_date"].as_str().unwrap_or_default().to_owned());
                    return runs;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .unwrap_or_else(|_| panic!("{dag_id} has no {count} runs that ended"))
    }
}

/// A list of the API, or what a command made of it.
fn rows(answer: Value) -> Vec<Value> {
    match answer {
        Value::Array(rows) => rows,
        Value::Object(fields) => fields
            .into_iter()
            .find_map(|(_, value)| if let Value::Array(rows) = value { Some(rows) } else { None })
            .unwrap_or_default(),
        other => panic!("no list: {other}"),
    }
}

fn texts(rows: &[Value], field: &str) -> Vec<String> {
    rows.iter().map(|row| row[field].as_str().unwrap_or("none").to_owned()).collect()
}

#[tokio::test]
async fn a_schedule_with_seconds_makes_a_run_for_each_tick() {
    let yaml = "schedule: '* * * * * */2'\ntasks:\n  t: {empty: }\n";
    let standalone = Standalone::with_dags(&[("ticks.yaml", yaml)]).await;
    let runs = standalone.ended_runs("ticks", 3).await;
    for run in &runs {
        let date = run["logical_date"].as_str().unwrap().trim_end_matches('Z');
        assert_eq!(run["dag_run_id"], format!("scheduled__{date}+00:00"), "{run}");
        assert!(date[17..19].parse::<u32>().unwrap().is_multiple_of(2), "{date} is no tick");
        assert_eq!((&run["run_type"], &run["state"]), (&"scheduled".into(), &"success".into()));
    }
    let dates = texts(&runs, "logical_date");
    assert!(dates.windows(2).all(|pair| pair[0] < pair[1]), "each tick once: {dates:?}");
}

#[tokio::test]
async fn catchup_makes_up_for_what_was_missed_and_ends_with_the_schedule() {
    let schedule = "schedule: {cron: '0 6 * * *', data_interval: true}\ntimezone: Europe/Zurich\nstart_date: 2024-03-30\nend_date: 2024-04-01\n";
    let yaml = format!("{schedule}catchup: true\ntasks:\n  t: {{empty: }}\n");
    let standalone = Standalone::with_dags(&[("past.yaml", &yaml)]).await;
    let runs = standalone.ended_runs("past", 2).await;
    // Clocks went forward on the 31st: six in the morning is 05:00Z before and 04:00Z after.
    assert_eq!(texts(&runs, "logical_date"), ["2024-03-30T05:00:00Z", "2024-03-31T04:00:00Z"]);
    assert_eq!(texts(&runs, "data_interval_end"), ["2024-03-31T04:00:00Z", "2024-04-01T04:00:00Z"]);
    // A run is named by when it may begin: the end of its interval.
    assert_eq!(texts(&runs, "dag_run_id")[0], "scheduled__2024-03-31T04:00:00+00:00");
}

#[tokio::test]
async fn a_backfill_runs_the_past_dates_and_again_what_failed() {
    let yaml = "schedule: '@daily'\nstart_date: 2030-01-01\ntasks:\n  t: {bash: 'test {{ ds }} != 2024-01-02'}\n";
    let mended = "schedule: '@daily'\nstart_date: 2030-01-01\ntasks:\n  t: {bash: 'true'}\n";
    let mut standalone = Standalone::with_dags(&[("daily.yaml", yaml)]).await;
    let dates = ["--from", "2024-01-01", "--to", "2024-01-03"];
    standalone.json(&[&["backfill", "create", "daily"][..], &dates].concat()).await;
    let runs = standalone.ended_runs("daily", 3).await;
    assert_eq!(texts(&runs, "state"), ["success", "failed", "success"]);
    assert_eq!(texts(&runs, "run_type"), ["backfill", "backfill", "backfill"]);
    assert_eq!(texts(&runs, "dag_run_id")[1], "backfill__2024-01-02T00:00:00+00:00");
    standalone.until_completed("daily").await;

    write(&standalone.dags_folder(), "daily.yaml", mended);
    standalone.process.line_with("the DAG has a new version").await;
    let again = standalone.cli(&[&["backfill", "create", "daily", "--reprocess", "failed"][..], &dates].concat()).await;
    assert_eq!(again.code, Some(0), "{}{}", again.stdout, again.stderr);
    standalone.until_completed("daily").await;
    let runs = standalone.ended_runs("daily", 3).await;
    assert_eq!(texts(&runs, "state"), ["success", "success", "success"]);
    let mut tries = Vec::new();
    for run in &runs {
        let shown = standalone.json(&["runs", "show", "daily", run["dag_run_id"].as_str().unwrap()]).await;
        tries.push(shown["task_instances"][0]["try_number"].as_i64().unwrap());
    }
    assert_eq!(tries, [1, 2, 1], "only the failed one ran again");
}

impl Standalone {
    /// Waits until no backfill of a DAG is open.
    async fn until_completed(&self, dag_id: &str) {
        let done = async {
            while rows(self.json(&["backfill", "list", dag_id]).await).iter().any(|one| one["completed_at"].is_null()) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, done).await.unwrap_or_else(|_| panic!("a backfill of {dag_id} does not end"));
    }
}

#[tokio::test]
async fn a_file_that_is_mended_mends_its_run() {
    let broken = "tasks:\n  a: {bash: exit 1}\n  b: {bash: 'true', depends_on: a}\n";
    let mended =
        "tasks:\n  a: {bash: 'true'}\n  b: {bash: 'true', depends_on: a}\n  c: {bash: 'true', depends_on: b}\n";
    let mut standalone = Standalone::with_dags(&[("mend.yaml", broken)]).await;
    let said = standalone.cli(&["dags", "trigger", "mend", "--run-id", "r", "--wait"]).await;
    assert_eq!(said.code, Some(1), "{}{}", said.stdout, said.stderr);
    write(&standalone.dags_folder(), "mend.yaml", mended);
    standalone.process.line_with("the DAG has a new version").await;
    let said = standalone.cli(&["runs", "retry", "mend", "r", "--wait"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let run = standalone.json(&["runs", "show", "mend", "r"]).await;
    assert_eq!(
        told(&run),
        ["a=success", "b=success", "c=success"],
        "the run follows the folder's latest version: {run:#}"
    );
}

/// The instances of a run, sorted, as `task=state`.
fn told(run: &Value) -> Vec<String> {
    let instances = run["task_instances"].as_array().unwrap();
    let mut told: Vec<String> = instances
        .iter()
        .map(|ti| format!("{}={}", ti["task_id"].as_str().unwrap(), ti["state"].as_str().unwrap_or("none")))
        .collect();
    told.sort_unstable();
    told
}

#[tokio::test]
async fn events_of_all_assets_make_a_run_that_knows_them() {
    let orders = "tasks:\n  t: {bash: 'true', outlets: [s3://shop/orders]}\n";
    let stock = "tasks:\n  t: {bash: 'true', outlets: [s3://shop/stock]}\n";
    let report = "schedule:\n  __and__: [s3://shop/orders, s3://shop/stock]\ntasks:\n  t:\n    bash: \"echo {{ triggering_asset_events | length }} assets\"\n";
    let files = [("orders.yaml", orders), ("stock.yaml", stock), ("report.yaml", report)];
    let standalone = Standalone::with_dags(&files).await;
    for (dag, times) in [("orders", 2), ("stock", 1)] {
        for time in 0..times {
            let said = standalone.cli(&["dags", "trigger", dag, "--run-id", &format!("r{time}"), "--wait"]).await;
            assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
        }
        if dag == "orders" {
            assert_eq!(rows(standalone.json(&["runs", "list", "report"]).await).len(), 0, "one asset is not both");
        }
    }
    let runs = standalone.ended_runs("report", 1).await;
    assert_eq!(
        (runs.len(), &runs[0]["run_type"], &runs[0]["logical_date"]),
        (1, &"asset_triggered".into(), &Value::Null)
    );
    let id = runs[0]["dag_run_id"].as_str().unwrap();
    assert!(id.starts_with("asset_triggered__"), "{id}");
    let log = standalone.cli(&["runs", "logs", "report", id, "t"]).await.stdout;
    assert!(log.contains("2 assets"), "{log}");
}

#[tokio::test]
async fn a_pool_that_is_missing_holds_its_tasks_and_nobody_else_and_says_so() {
    let yaml = "tasks:\n  held: {bash: 'true', pool: licences}\n  free: {bash: 'true'}\n";
    let standalone = Standalone::with_dags(&[("pools.yaml", yaml)]).await;
    let said = standalone.cli(&["dags", "trigger", "pools", "--run-id", "r"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let free = async {
        while !told(&standalone.json(&["runs", "show", "pools", "r"]).await).contains(&"free=success".to_owned()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("the task in the pool there is runs");
    let why = standalone.cli(&["runs", "why", "pools", "r", "held"]).await.stdout;
    assert!(why.contains("licences"), "{why}");
    let said = standalone.cli(&["pools", "set", "licences", "1"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let runs = standalone.ended_runs("pools", 1).await;
    assert_eq!(texts(&runs, "state"), ["success"]);
    let check = standalone.cli(&["db", "check"]).await;
    assert_eq!(check.code, Some(0), "{check:#?}");
}

#[tokio::test]
async fn one_failure_is_enough_for_a_dag_that_fails_fast() {
    let yaml = "fail_fast: true\ntasks:\n  bad: {bash: exit 1}\n  slow: {bash: sleep 30}\n  later: {bash: 'true', depends_on: slow}\n";
    let standalone = Standalone::with_dags(&[("fast.yaml", yaml)]).await;
    let said = standalone.cli(&["dags", "trigger", "fast", "--run-id", "r", "--wait"]).await;
    assert_eq!(said.code, Some(1), "{}{}", said.stdout, said.stderr);
    let told = told(&standalone.json(&["runs", "show", "fast", "r"]).await);
    // Whether the other one ran already is chance: then it fails, else it is skipped.
    assert!(told[..2] == ["bad=failed", "later=skipped"] && told[2] != "slow=success", "{told:?}");
}
