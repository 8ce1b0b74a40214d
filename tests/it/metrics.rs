//! `/metrics` of every role, and that the catalogue, the code and the dashboard speak of the same metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use reqwest::{Client, StatusCode};
use serde_json::Value;
use updraft_core::metrics::{ALL, Kind, Metric};

use crate::support::{
    process::{Watched, updraft},
    standalone::Standalone,
};

fn client() -> Client {
    // Another test of the process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

async fn scrape(url: &str) -> String {
    client().get(url).send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
}

/// Every metric of a scrape with the labels it has, as the catalogue has them; whatever it does not know is a failure.
fn labels_of(scrape: &str) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut found: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for line in scrape.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let metric = metric(name).unwrap_or_else(|| panic!("{name} is not in the catalogue"));
        let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
        let names = labels.split("\",").filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()));
        found.entry(metric.name).or_default().extend(names.filter(|label| label != "le"));
    }
    found
}

/// The metric of a series: that of a histogram has three.
fn metric(series: &str) -> Option<&'static Metric> {
    ALL.iter().map(|(_, metric)| metric).find(|metric| {
        let rest = series.strip_prefix(metric.name);
        match metric.kind {
            Kind::Histogram => matches!(rest, Some("_bucket" | "_sum" | "_count")),
            Kind::Counter | Kind::Gauge => rest == Some(""),
        }
    })
}

#[tokio::test]
async fn standalone_tells_what_its_roles_did() {
    let server = Standalone::with_dags(&[(
        "d.yaml",
        "tasks:\n  good: {bash: 'true'}\n  bad: {bash: 'false', depends_on: [good]}\n",
    )])
    .await;
    let said = server.cli(&["dags", "trigger", "d", "--run-id", "r", "--wait"]).await;
    assert_ne!(said.code, Some(0), "the run fails: {}{}", said.stdout, said.stderr);
    let text = scrape(&format!("{}/metrics", server.url)).await;
    for line in [
        r#"airflow_ti_start{dag_id="d"} 2"#,
        r#"airflow_ti_finish{dag_id="d",state="success"} 1"#,
        r#"airflow_ti_finish{dag_id="d",state="failed"} 1"#,
        r#"airflow_task_duration_count{dag_id="d"} 2"#,
        r#"airflow_dagrun_duration_failed_count{dag_id="d"} 1"#,
        r#"airflow_pool_open_slots{pool="default_pool"} 128"#,
        r#"updraft_node_attempts_finished{outcome="success",class=""} 1"#,
        r#"updraft_report_events{result="ok"}"#,
        "# TYPE airflow_scheduler_heartbeat counter",
        "# HELP airflow_ti_start Task instances that began to run.",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    for (name, labels) in labels_of(&text) {
        let known = ALL.iter().find(|(_, metric)| metric.name == name).unwrap().1.labels;
        assert_eq!(
            labels.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            known.iter().copied().collect(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_node_tells_on_its_own_address_and_a_webserver_may_be_silent() {
    let folder = crate::support::open_folder();
    let database = updraft_store::testing::TestDb::new().await;
    let server = Standalone::start_with(folder, Some(database), &[("UPDRAFT__METRICS__WEBSERVER", "false")]).await;
    let answer = client().get(format!("{}/metrics", server.url)).send().await.unwrap();
    // What is not a route of ours is the dashboard's.
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    assert!(
        answer.status() == StatusCode::NOT_FOUND || kind.as_deref() != Some("text/plain; version=0.0.4; charset=utf-8")
    );

    let mut command = updraft(&server.data_dir());
    command
        .args(["executor", "--name", "n1", "--server", &server.url, "--token-file"])
        .arg(server.data_dir().join("executor-token"))
        .env("UPDRAFT__CORE__DATA_DIR", server.data_dir().join("node-n1"))
        .env("UPDRAFT__EXECUTOR__SLOTS", "3")
        .env("UPDRAFT__METRICS__LISTEN", "127.0.0.1:0");
    let mut node = Watched::spawn(&mut command);
    let line = node.line_with("metrics are told").await;
    let url =
        line.split("url=").nth(1).unwrap_or_else(|| panic!("no address in {line}")).trim().trim_matches('"').to_owned();
    node.line_with("registered").await;
    // The gauges are set before each poll, hence a moment after the registration.
    let told = async {
        loop {
            let text = scrape(&url).await;
            if text.contains("updraft_node_slots 3") {
                return text;
            }
        }
    };
    let text = tokio::time::timeout(crate::support::process::PATIENCE, told).await.expect("the node's gauges");
    assert!(text.contains("process_resident_memory_bytes"), "{text}");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust sources of the roles, without their tests.
fn sources() -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
                found.push((path, code));
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["src", "scheduler/src", "executor/src", "webserver/src", "store/src"] {
        collect(&root().join(folder), &mut found);
    }
    found
}

/// What a call of `counter!`, `gauge!` or `histogram!` names: its first argument and its labels.
fn calls(code: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut found = Vec::new();
    for word in ["counter!(", "gauge!(", "histogram!("] {
        for (at, _) in code.match_indices(word) {
            if code[..at].ends_with("describe_") {
                continue;
            }
            let rest = &code[at + word.len()..];
            let mut depth = 1;
            let end = rest.char_indices().find_map(|(index, letter)| {
                depth += i32::from(letter == '(') - i32::from(letter == ')');
                (depth == 0).then_some(index)
            });
            let inside = &rest[..end.unwrap()];
            let name = inside.split([',', ')']).next().unwrap().trim().to_owned();
            // A label stands before each arrow; what is behind the last one is a value.
            let arrows = inside.matches("=>").count();
            let labels = inside.split("=>").take(arrows).filter_map(|part| {
                let part = part.trim_end();
                let quoted = part.strip_suffix('"')?;
                Some(quoted.rsplit_once('"')?.1.to_owned())
            });
            found.push((name, labels.collect()));
        }
    }
    found
}

#[test]
fn every_metric_is_written_somewhere_and_with_its_labels() {
    let sources = sources();
    for (path, code) in &sources {
        for (name, labels) in calls(code) {
            // A name that is a variable was chosen from the catalogue by the caller; its use is seen below.
            let Some(constant) = name.strip_suffix(".name").filter(|name| name.to_uppercase() == **name) else {
                assert!(!name.starts_with('"'), "{}: {name} belongs into the catalogue", path.display());
                continue;
            };
            let (_, metric) = ALL.iter().find(|(known, _)| *known == constant).unwrap();
            let known: BTreeSet<String> = metric.labels.iter().map(|&label| label.to_owned()).collect();
            assert_eq!(labels, known, "{}: {constant}", path.display());
        }
    }
    let words: BTreeSet<&str> = sources
        .iter()
        .flat_map(|(_, code)| code.split(|letter: char| !letter.is_alphanumeric() && letter != '_'))
        .collect();
    for (constant, metric) in ALL {
        assert!(words.contains(constant), "{} is in the catalogue and nothing writes it", metric.name);
    }
}

#[test]
fn the_dashboard_asks_only_for_metrics_that_exist() {
    let path = root().join("deploy/grafana/updraft.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let mut asked = 0;
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables = variables.iter().filter_map(|variable| Some(variable["query"].as_str()?.to_owned()));
    for query in queries.chain(variables) {
        let words = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for word in
            words.filter(|word| ["airflow_", "updraft_", "process_"].iter().any(|begin| word.starts_with(begin)))
        {
            asked += 1;
            assert!(metric(word).is_some(), "{word} in {query}");
        }
    }
    assert!(asked > 20, "{asked} series in {}", path.display());
}
