//! A node that is killed again and again while its container writes.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::json;
use updraft_executor::DockerMode;

use crate::{
    docker::{gone, ready, task},
    fake::{Fake, TestNode, lines},
};

const SERVER: &str = "UPDRAFT_TEST_NODE_SERVER";
const FOLDER: &str = "UPDRAFT_TEST_NODE_FOLDER";

/// Not a test: the node as a process, when the test below starts this program anew.
#[tokio::test]
async fn node_of_its_own_process() {
    let (Some(server), Some(folder)) = (std::env::var_os(SERVER), std::env::var_os(FOLDER)) else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = TestNode::config_at(&server.to_string_lossy(), Path::new(&folder));
    config.docker = DockerMode::Auto;
    TestNode::start_with(config).ended().await.unwrap();
}

pub(crate) fn spawn(fake: &Fake, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "docker_kill::node_of_its_own_process", "--nocapture"])
        .env(SERVER, &fake.url)
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_log_goes_on_without_a_lost_or_doubled_line_however_often_the_node_is_killed() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = tempfile::tempdir().unwrap();
    let mut node = spawn(&fake, dir.path());
    // Fast on both streams, and with a line in pieces now and then.
    let script = "i=0; long=$(printf '%040000d' 0)
        while [ ! -e /gate/open ]; do
            i=$((i+1)); echo out $i; echo err $i >&2
            [ $((i % 100)) = 0 ] && echo long $i $long && usleep 20000
        done; echo total $i";
    let id = fake.hand_out(task(json!({
        "command": ["sh", "-c", script], "mounts": [{"target": "/gate", "source": gate.path(), "type": "bind"}],
    })));
    let mut seen = 0;
    for _ in 0..5 {
        seen = fake.wait("more lines", |state| Some(lines(state, id).len()).filter(|count| *count > seen + 500)).await;
        node.kill().unwrap();
        node.wait().unwrap();
        node = spawn(&fake, dir.path());
    }
    fake.wait("more lines", |state| (lines(state, id).len() > seen + 500).then_some(())).await;
    std::fs::write(gate.path().join("open"), "").unwrap();
    let report = fake.finished(id).await;
    assert_eq!(report.outcome, "success", "{:?}", report.failure_reason);
    fake.log_line(id, "exited with code 0").await;
    gone(id).await;
    node.kill().unwrap();
    node.wait().unwrap();

    let output = fake.output(id);
    let total = output.iter().find_map(|line| line.strip_prefix("total ")?.parse::<usize>().ok()).unwrap();
    for (stream, step) in [("out", 1), ("err", 1), ("long", 100)] {
        let prefix = format!("{stream} ");
        let numbers =
            output.iter().filter_map(|line| line.strip_prefix(&prefix)?.split(' ').next()?.parse::<usize>().ok());
        let numbers: Vec<usize> = numbers.collect();
        let expected: Vec<usize> = (1..=total).filter(|i| i % step == 0).collect();
        assert_eq!(numbers.len(), expected.len(), "lines of {stream}");
        assert_eq!(numbers, expected, "lines of {stream}");
    }
}
