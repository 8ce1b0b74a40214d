//! The life of `updraft standalone`: start, stop, kill, and everything that can be in its way.

use std::{fs, os::unix::fs::MetadataExt};

use nix::sys::signal::Signal;

use crate::support::{
    open_folder,
    process::{Watched, run, updraft},
    standalone::{Standalone, stop_postgres},
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
async fn the_end_of_postgres_is_an_error_that_names_its_log() {
    let mut standalone = Standalone::private().await;
    stop_postgres(&standalone.data_dir());
    assert_eq!(standalone.process.end().await, Some(1));
    assert!(standalone.process.said.contains("the private Postgres ended"), "{}", standalone.process.said);
    assert!(standalone.process.said.contains("postgres.log"));
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
