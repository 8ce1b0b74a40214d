//! The life of `updraft standalone`: start, stop, kill, and everything that can be in its way.

use std::{fs, os::unix::fs::MetadataExt};

use nix::sys::signal::Signal;

use crate::support::{
    open_folder,
    process::{PATIENCE, Watched, run, updraft},
    standalone::{Standalone, stop_postgres},
    write,
};

#[tokio::test]
async fn ctrl_c_stops_postgres_too_and_the_next_start_finds_the_same_folder() {
    let first = Standalone::private().await;
    let (password, data_dir) = (first.password(), first.data_dir());
    assert_eq!(password.len(), 20);
    assert_eq!(fs::metadata(data_dir.join("admin-password")).unwrap().mode() & 0o777, 0o600);
    assert!(first.postgres().is_some());
    let (code, folder, _) = first.end(Signal::SIGINT).await;
    assert_eq!(code, Some(0));
    assert!(!data_dir.join("postgres/postmaster.pid").exists(), "Postgres was stopped in order");

    let second = Standalone::start(folder, None).await;
    assert_eq!(second.password(), password);
    let check = second.cli(&["db", "check"]).await;
    assert_eq!(check.code, Some(0), "{}", check.stderr);
    let (code, _folder, _) = second.end(Signal::SIGTERM).await;
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn after_a_kill_the_next_start_takes_over_the_running_postgres() {
    let killed = Standalone::private().await;
    let (left_over, data_dir) = (killed.postgres(), killed.data_dir());
    let (code, folder, _) = killed.end(Signal::SIGKILL).await;
    assert_eq!(code, None);
    assert!(left_over.is_some());

    let next = Standalone::start(folder, None).await;
    assert_eq!(next.postgres(), left_over, "the same process serves on");
    let (code, _folder, _) = next.end(Signal::SIGINT).await;
    assert_eq!(code, Some(0));
    assert!(!data_dir.join("postgres/postmaster.pid").exists(), "the one taken over is stopped as well");
}

/// Two tasks: the first waits for a file, so that a test decides when it ends.
fn gated(folder: &std::path::Path) -> String {
    format!(
        "default_args: {{retries: 3, retry_delay: 0}}\ntasks:\n  gate:\n    bash: until test -e {}/open; do sleep 0.05; done\n  \
         after:\n    bash: echo after\n    depends_on: gate\n",
        folder.display()
    )
}

async fn state_of_gate(standalone: &Standalone) -> String {
    let shown = standalone.cli(&["runs", "show", "gated", "r", "--output", "json"]).await;
    let run: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    let tasks = run["task_instances"].as_array().unwrap();
    let gate = tasks.iter().find(|task| task["task_id"] == "gate").unwrap();
    gate["state"].as_str().unwrap_or_default().to_owned()
}

/// An unfinished run goes on at the next start, whether the process was stopped or killed.
async fn resumes_after(signal: Signal) {
    let gate = open_folder();
    let first = Standalone::with_dags(&[("gated.yaml", &gated(gate.path()))]).await;
    let triggered = first.cli(&["dags", "trigger", "gated", "--run-id", "r"]).await;
    assert_eq!(triggered.code, Some(0), "{triggered:#?}");
    while state_of_gate(&first).await != "running" {}
    let (_, folder, database) = first.end(signal).await;

    fs::write(gate.path().join("open"), "").unwrap();
    let mut second = Standalone::start(folder, database).await;
    let mut state = String::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while state != "success" {
        let shown = second.cli(&["runs", "show", "gated", "r", "--output", "json"]).await;
        let run: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
        run["state"].as_str().unwrap_or_default().clone_into(&mut state);
        assert_ne!(state, "failed", "{shown:#?}\n{}", second.process.so_far());
        assert!(tokio::time::Instant::now() < deadline, "{shown:#?}\n{}", second.process.so_far());
    }
}

#[tokio::test]
async fn a_stopped_run_goes_on_at_the_next_start() {
    resumes_after(Signal::SIGINT).await;
}

#[tokio::test]
async fn a_killed_run_goes_on_at_the_next_start() {
    resumes_after(Signal::SIGKILL).await;
}

#[tokio::test]
async fn a_new_file_is_a_dag_within_a_second_and_a_broken_one_keeps_its_last_good_version() {
    let mut standalone = Standalone::with_dags(&[]).await;
    let dags = standalone.dags_folder();
    crate::support::write(&dags, "late.yaml", "tasks:\n  hello:\n    bash: echo one\n");
    standalone.process.line_with("the DAG has a new version").await;
    crate::support::write(&dags, "late.yaml", "tasks:\n  hello:\n    bash: [not a command\n");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let listed = loop {
        let listed = standalone.cli(&["dags", "list"]).await;
        if listed.stderr.contains("import error in late.yaml") {
            break listed;
        }
        assert!(tokio::time::Instant::now() < deadline, "{listed:#?}");
    };
    assert!(listed.stdout.contains("late"), "{listed:#?}");
    // Scheduled or by hand, the last good version runs (Airflow refuses both).
    let run = standalone.cli(&["dags", "trigger", "late", "--wait"]).await;
    assert_eq!(run.code, Some(0), "{run:#?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_one_clear_error() {
    let standalone = Standalone::with_dags(&[("hello.yaml", "tasks:\n  hello:\n    bash: echo hello\n")]).await;
    let unknown = standalone.cli(&["dags", "trigger", "nope"]).await;
    assert_eq!((unknown.code, unknown.stderr.as_str()), (Some(1), "error: Dag with id: nope was not found\n"));
    let paused = standalone.cli(&["dags", "pause", "hello"]).await;
    assert_eq!(paused.code, Some(0), "{paused:#?}");
    let waiting = standalone.cli(&["dags", "trigger", "hello", "--wait"]).await;
    assert!(waiting.stderr.contains("first `updraft dags unpause hello`"), "{waiting:#?}");
    let noted = standalone.cli(&["dags", "trigger", "hello", "--run-id", "r"]).await;
    assert_eq!(noted.code, Some(0), "{noted:#?}");
    assert!(noted.stderr.contains("the DAG is paused"), "{noted:#?}");
    let wrong = standalone.cli(&["dags", "list", "--password", "wrong"]).await;
    assert!(wrong.stderr.contains("does not know user `admin`"), "{wrong:#?}");
    let refused = standalone.cli(&["dags", "list", "--token", "wrong"]).await;
    assert_eq!(refused.code, Some(1), "{refused:#?}");
}

#[tokio::test]
async fn a_second_node_joins_and_a_wrong_token_is_refused() {
    let standalone = Standalone::shared().await;
    let token_file = standalone.data_dir().join("executor-token");
    let home = open_folder();
    let mut node = updraft(home.path());
    node.args(["executor", "--name", "n2", "--server", &standalone.url, "--token-file"]).arg(&token_file);
    let mut node = Watched::spawn(&mut node);
    node.line_with("registered").await;
    let listed = standalone.cli(&["executors", "list"]).await;
    assert!(listed.stdout.contains("n2"), "{listed:#?}");

    crate::support::write(home.path(), "wrong-token", "not a token\n");
    let mut refused = updraft(home.path());
    refused
        .args(["executor", "--name", "n3", "--server", &standalone.url, "--token-file"])
        .arg(home.path().join("wrong-token"));
    let mut refused = Watched::spawn(&mut refused);
    assert_eq!(refused.end().await, Some(1));
    assert!(refused.said.contains("the server refuses this node"), "{}", refused.said);
}

#[tokio::test]
async fn after_a_kill_of_both_postgres_recovers() {
    let killed = Standalone::private().await;
    let data_dir = killed.data_dir();
    let (_, folder, _) = killed.end(Signal::SIGKILL).await;
    stop_postgres(&data_dir);
    let next = Standalone::start(folder, None).await;
    let check = next.cli(&["db", "check"]).await;
    assert_eq!(check.code, Some(0), "{}", check.stderr);
}

#[tokio::test]
async fn postgres_may_be_killed_and_restarted_under_load() {
    let mut standalone = Standalone::private().await;
    let dag = "is_paused_upon_creation: false\ndefault_args: {retries: 0}\ntasks:\n  a: {bash: sleep 0.3}\n  b: {bash: sleep 0.3, depends_on: a}\n  \
               c: {bash: sleep 0.3, depends_on: b}\n";
    write(&standalone.dags_folder(), "load.yaml", dag);
    let (mut runs, mut killed) = (0, false);
    while runs < 8 {
        // Until the file is read, the DAG is not known.
        if standalone.cli(&["dags", "trigger", "load"]).await.code == Some(0) {
            runs += 1;
        }
        if runs == 4 && !killed {
            killed = true;
            stop_postgres(&standalone.data_dir());
            standalone.process.line_with("the private Postgres ended; starting it again").await;
        }
    }
    let ended = async {
        loop {
            let listed = standalone.cli(&["runs", "list", "load", "--output", "json"]).await;
            let states = listed.stdout.matches("\"success\"").count();
            assert!(!listed.stdout.contains("\"failed\""), "nothing is lost while we are away: {}", listed.stdout);
            if states == 8 {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("every run ends well");
    let check = standalone.cli(&["db", "check"]).await;
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_the_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let home = open_folder();
    let outcome = run(home.path(), &["standalone", "--port", &port]).await;
    assert_eq!(outcome.code, Some(1));
    assert_eq!(
        outcome.stderr,
        format!(
            "error: port {port} on 127.0.0.1 is taken by another program; choose another one with --port (0 takes a free one)\n"
        )
    );
}

#[tokio::test]
async fn a_folder_in_use_is_refused() {
    let first = Standalone::shared().await;
    let data_dir = first.data_dir().display().to_string();
    let outcome = run(&first.data_dir(), &["standalone", "--port", "0", "--data-dir", &data_dir]).await;
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.contains(&format!("in use by another `updraft standalone` (process {})", first.process.pid())),
        "{}",
        outcome.stderr
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_refused() {
    let home = open_folder();
    crate::support::write(home.path(), "file", "");
    let data_dir = home.path().join("file/data").display().to_string();
    let outcome = run(home.path(), &["standalone", "--port", "0", "--data-dir", &data_dir]).await;
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.starts_with(&format!("error: cannot write to the data folder {data_dir}")),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("--data-dir"), "{}", outcome.stderr);
}

#[tokio::test]
async fn a_folder_of_a_newer_version_is_refused() {
    let home = open_folder();
    crate::support::write(home.path(), "data/VERSION", "99\n");
    let data_dir = home.path().join("data").display().to_string();
    let outcome = run(home.path(), &["standalone", "--port", "0", "--data-dir", &data_dir]).await;
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("written by a newer Updraft (folder version 99"), "{}", outcome.stderr);
}

#[tokio::test]
async fn missing_postgres_programs_name_the_package() {
    let home = open_folder();
    let mut command = updraft(home.path());
    command.env("UPDRAFT__CORE__POSTGRES_BIN_DIRS", home.path()).args(["standalone", "--port", "0"]);
    let mut process = Watched::spawn(&mut command);
    assert_eq!(process.end().await, Some(1));
    assert!(process.said.contains("install the package `postgresql`"), "{}", process.said);
}

#[tokio::test]
async fn the_configured_password_is_kept() {
    let home = open_folder();
    let database = updraft_store::testing::TestDb::new().await;
    let mut command = updraft(home.path());
    command.env("UPDRAFT__AUTH__ADMIN_PASSWORD", "correct horse").args(["standalone", "--port", "0"]);
    command.args(["--database-url", &database.url]);
    let mut process = Watched::spawn(&mut command);
    process.line_with("Updraft is up: ").await;
    let kept = fs::read_to_string(home.path().join(".local/share/updraft/admin-password")).unwrap();
    assert_eq!(kept, "correct horse\n");
}
