//! Several nodes beside one server, through the binary: the round-robin, real Docker containers, nodes that die.

use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::process::Command;

use crate::support::{
    fleet::docker_answers,
    process::{PATIENCE, Watched, updraft},
    standalone::Standalone,
    write,
};

/// A node of its own beside a standalone.
pub(crate) async fn node(server: &Standalone, name: &str, queue: &str) -> Watched {
    let mut command = updraft(&server.data_dir());
    command
        .args(["executor", "--name", name, "--server", &server.url, "--token-file"])
        .arg(server.data_dir().join("executor-token"))
        .env("UPDRAFT__CORE__DATA_DIR", node_folder(server, name))
        .env("UPDRAFT__EXECUTOR__QUEUES", format!("[\"{queue}\"]"))
        .env("UPDRAFT__EXECUTOR__SLOTS", "4");
    let mut process = Watched::spawn(&mut command);
    process.line_with("registered").await;
    process
}

fn node_folder(server: &Standalone, name: &str) -> PathBuf {
    server.data_dir().join(format!("node-{name}"))
}

/// Writes a DAG file and waits until the server has read it.
pub(crate) async fn dag(server: &Standalone, id: &str, text: &str) {
    write(&server.dags_folder(), &format!("{id}.yaml"), text);
    let read = async { while server.cli(&["dags", "show", id]).await.code != Some(0) {} };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("the file of {id} is not read"));
}

/// A finished or running run, as `runs show --output json` has it.
async fn show(server: &Standalone, dag_id: &str, run_id: &str) -> Value {
    let said = server.cli(&["runs", "show", dag_id, run_id, "--output", "json"]).await;
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}{}", said.stdout, said.stderr))
}

fn tasks(run: &Value) -> Vec<(String, String, i64)> {
    let text = |task: &Value, key: &str| task[key].as_str().unwrap_or_default().to_owned();
    run["task_instances"]
        .as_array()
        .unwrap_or_else(|| panic!("no task_instances in {run}"))
        .iter()
        .map(|task| (text(task, "hostname"), text(task, "state"), task["try_number"].as_i64().unwrap_or(-1)))
        .collect()
}

#[tokio::test]
async fn ready_tasks_go_round_the_nodes_in_turn() {
    let server = Standalone::shared().await;
    let _n1 = node(&server, "n1", "fleet").await;
    let _n2 = node(&server, "n2", "fleet").await;
    let fan: String = (0..6).map(|n| format!("  t{n}: {{bash: 'true', queue: fleet}}\n")).collect::<Vec<_>>().concat();
    dag(&server, "fan", &format!("is_paused_upon_creation: false\ntasks:\n{fan}")).await;
    let said = server.cli(&["dags", "trigger", "fan", "--run-id", "r", "--wait"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let mut hosts: Vec<String> = tasks(&show(&server, "fan", "r").await).into_iter().map(|(host, ..)| host).collect();
    hosts.sort();
    assert_eq!(hosts, ["n1", "n1", "n1", "n2", "n2", "n2"]);
}

#[tokio::test]
async fn a_container_survives_the_kill_of_its_node_and_is_adopted() {
    if !docker_answers().await {
        return;
    }
    let server = Standalone::shared().await;
    let mut n1 = node(&server, "n1", "fleet").await;
    let text = "is_paused_upon_creation: false\ntasks:\n  slow:\n    docker: {image: busybox, command: [sh, -c, 'echo begin; sleep 6; echo end']}\n    queue: fleet\n";
    dag(&server, "adopt", text).await;
    assert_eq!(server.cli(&["dags", "trigger", "adopt", "--run-id", "r"]).await.code, Some(0));
    let begun = async {
        loop {
            let containers =
                Command::new("docker").args(["ps", "-q", "--filter", "label=updraft.dag_id=adopt"]).output().await;
            if containers.is_ok_and(|output| !output.stdout.is_empty()) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.expect("the container starts");
    n1.signal(Signal::SIGKILL);
    n1.end().await;
    let _n1 = node(&server, "n1", "fleet").await;
    let ended = async {
        loop {
            let run = show(&server, "adopt", "r").await;
            let state = tasks(&run).remove(0);
            if state.1 == "success" || state.1 == "failed" {
                break state;
            }
        }
    };
    let (host, state, try_number) = tokio::time::timeout(PATIENCE, ended).await.expect("the task ends");
    assert_eq!(
        (host.as_str(), state.as_str(), try_number),
        ("n1", "success", 1),
        "the container went on and was adopted"
    );
    let log = server.cli(&["runs", "logs", "adopt", "r", "slow"]).await.stdout;
    assert_eq!(
        (log.matches("begin").count(), log.matches("end").count()),
        (1, 1),
        "no line lost, none doubled:\n{log}"
    );
}

#[tokio::test]
async fn what_docker_cannot_run_says_why() {
    if !docker_answers().await {
        return;
    }
    let server = Standalone::shared().await;
    let text = "is_paused_upon_creation: false\ntasks:\n  image: {docker: {image: 'no.such/image:1'}}\n  command: {docker: {image: busybox, command: [no-such-command]}}\n  \
                code: {docker: {image: busybox, command: [sh, -c, exit 7]}}\n";
    dag(&server, "broken", text).await;
    let said = server.cli(&["dags", "trigger", "broken", "--run-id", "r", "--wait"]).await;
    assert_eq!(said.code, Some(1), "{}{}", said.stdout, said.stderr);
    for (task, reason) in [("image", "no.such/image:1"), ("command", "no-such-command"), ("code", "exited with code 7")]
    {
        let log = server.cli(&["runs", "logs", "broken", "r", task]).await.stdout;
        assert!(log.contains(reason), "{task}: {log}");
        let why = server.cli(&["runs", "why", "broken", "r", task]).await.stdout;
        assert!(!why.trim().is_empty(), "{task}");
    }
}
