//! README's five minutes: every command of the blocks marked `tour` is run, in order, beside a standalone that was started as
//! `make run` starts it.

use std::{fs, path::Path};

use nix::sys::signal::Signal;
use tokio::process::Command;

use crate::support::{
    open_folder,
    process::{Watched, finish, updraft},
    standalone::stop_postgres,
};

/// A block of shell commands and the words after `sh` on its fence.
struct Block {
    line: usize,
    words: Vec<String>,
    script: String,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, text) in (1..).zip(markdown.lines()) {
        match (&mut open, text.strip_prefix("```")) {
            (None, Some(fence)) => {
                let words = fence.split_whitespace().map(str::to_owned).collect();
                open = Some(Block { line, words, script: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.script.extend([text, "\n"]),
            (None, None) => {}
        }
    }
    blocks.retain(|block| {
        block.words.first().is_some_and(|word| word == "sh") && block.words.contains(&"tour".to_owned())
    });
    blocks
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn every_command_of_the_readme_works() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tour = blocks(include_str!("../../README.md"));
    assert!(tour.len() >= 5, "the README has lost its tour");

    let home = open_folder();
    copy(&repository.join("dags"), &home.path().join("dags"));
    let mut process = Watched::spawn(updraft(home.path()).current_dir(home.path()).args(["standalone", "--port", "0"]));
    let url = process.line_with("Updraft is up: ").await.trim_start_matches("Updraft is up: ").trim().to_owned();
    let data_dir = home.path().join(".local/share/updraft");

    let binaries = Path::new(env!("CARGO_BIN_EXE_updraft")).parent().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", binaries.display());
    let docker = Command::new("docker").arg("info").output().await.is_ok_and(|output| output.status.success());
    for block in tour {
        // `make test` provides a daemon wherever one can run.
        if block.words.contains(&"docker".to_owned()) && !docker {
            continue;
        }
        let script = format!("set -euo pipefail\n{}", block.script.replace("http://127.0.0.1:8080", &url));
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).env_clear().env("PATH", &path).env("HOME", home.path()).current_dir(home.path());
        let outcome = finish(&mut shell).await;
        assert_eq!(
            outcome.code,
            Some(0),
            "README.md, block at line {}:\n{outcome:#?}\n{}",
            block.line,
            process.so_far()
        );
    }
    process.signal(Signal::SIGINT);
    assert_eq!(process.end().await, Some(0), "{}", process.said);
    stop_postgres(&data_dir);
}
