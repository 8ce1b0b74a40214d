//! DAGs from a git repository, through the binary: commits become versions, runs stay with theirs.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use updraft_store::testing::TestDb;

use crate::support::{open_folder, standalone::Standalone, write};

fn git(folder: &Path, arguments: &[&str]) {
    let who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"];
    let output = Command::new("git").args(who).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn commit(repository: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        write(repository, name, text);
    }
    git(repository, &["add", "--all"]);
    git(repository, &["commit", "--quiet", "--message", "a commit"]);
}

async fn standalone(repository: &Path) -> Standalone {
    let env = [
        ("UPDRAFT__GIT__URL", repository.to_str().unwrap()),
        ("UPDRAFT__GIT__SUBFOLDER", "pipelines"),
        ("UPDRAFT__GIT__INTERVAL", "0.2"),
    ];
    Standalone::start_with(open_folder(), Some(TestDb::new().await), &env).await
}

async fn show(server: &Standalone, run_id: &str) -> Value {
    let said = server.cli(&["runs", "show", "load", run_id, "--output", "json"]).await;
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"))
}

async fn log(server: &Standalone, run_id: &str) -> String {
    server.cli(&["runs", "logs", "load", run_id, "t"]).await.stdout
}

const DAG: &str = "tasks:\n  t: {python: code.say}\n";

#[tokio::test]
async fn commits_become_versions_and_runs_stay_with_theirs() {
    let folder = open_folder();
    let repository = folder.path();
    git(repository, &["init", "--quiet"]);
    let code = |word: &str| format!("def say():\n    print('{word}')\n");
    commit(
        repository,
        &[("pipelines/load.yaml", DAG), ("pipelines/code.py", &code("first")), ("README.md", "not a DAG")],
    );
    let mut server = standalone(repository).await;
    server.process.lines_with("the DAG has a new version", 1).await;
    let said = server.cli(&["dags", "trigger", "load", "--run-id", "r1", "--wait"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(log(&server, "r1").await.contains("first"));
    let pinned = show(&server, "r1").await["bundle_version"].as_str().unwrap().to_owned();
    assert_eq!(pinned.len(), 40, "a run knows its commit: {pinned}");

    // Only the code beside the DAG changes: no version, another commit.
    commit(repository, &[("pipelines/code.py", &code("second"))]);
    server.process.line_with("the DAG folder shows another commit").await;
    let second = loop {
        let said = server.cli(&["dags", "show", "load", "--output", "json"]).await;
        let dag: Value = serde_json::from_str(&said.stdout).unwrap();
        let version = dag["bundle_version"].as_str().unwrap_or_default().to_owned();
        if version != pinned {
            break version;
        }
    };
    let said = server.cli(&["dags", "trigger", "load", "--run-id", "r2", "--wait"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let run = show(&server, "r2").await;
    assert_eq!((&run["bundle_version"], &run["dag_versions"][0]["version_number"]), (&second.into(), &1.into()));
    assert!(log(&server, "r2").await.contains("second"));

    // A run that is cleared runs what it ran before.
    let said = server.cli(&["runs", "retry", "load", "r1", "--all", "--wait"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let run = show(&server, "r1").await;
    assert_eq!((&run["bundle_version"], &run["task_instances"][0]["try_number"]), (&pinned.into(), &2.into()));
    let log = log(&server, "r1").await;
    assert!(log.contains("first") && !log.contains("second"), "{log}");
}

#[tokio::test]
async fn a_repository_that_is_away_says_so_and_its_dags_go_on() {
    let folder = open_folder();
    let repository = folder.path().join("repository");
    fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "--quiet"]);
    commit(&repository, &[("pipelines/load.yaml", "tasks:\n  t: {bash: echo here}\n")]);
    let mut server = standalone(&repository).await;
    server.process.lines_with("the DAG has a new version", 1).await;
    fs::rename(&repository, folder.path().join("away")).unwrap();
    server.process.line_with("the DAG repository cannot be read").await;
    let said = server.cli(&["dags", "trigger", "load", "--run-id", "r1", "--wait"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = server.cli(&["dags", "list"]).await;
    assert!(said.stdout.contains("load"), "{said:?}");
}
