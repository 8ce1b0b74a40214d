//! What a task may use: control groups where the node can make them, limits of each process everywhere.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    fake::{Fake, TestNode, kinds},
    process::assert_gone,
};

/// Where the node can make no control groups there is less to promise.
fn has_groups() -> bool {
    let root = std::path::Path::new("/sys/fs/cgroup");
    let writable = ["memory", ""].iter().any(|name| {
        let probe = root.join(name).join(format!("updraft-probe-{}", std::process::id()));
        std::fs::create_dir(&probe).and_then(|()| std::fs::remove_dir(&probe)).is_ok()
    });
    if !writable {
        eprintln!("skipped: no control groups can be made here");
    }
    writable
}

fn bash(command: &str, resources: Value) -> Value {
    json!({"args": {"bash_command": command}, "resources": resources})
}

#[tokio::test]
async fn a_task_over_its_memory_is_killed_whole_and_says_how_much_it_used() {
    if !has_groups() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let id = fake.hand_out(bash("tail /dev/zero; exit 5", json!({"memory": 32 << 20})));
    let report = fake.finished(id).await;
    assert_eq!(report.failure_class.as_deref(), Some("oom_killed"), "{report:?}");
    assert!(report.failure_reason.unwrap().contains("peak 32.0 MiB"));
    let execution = report.started.execution.unwrap();
    assert_eq!(execution["peak_memory"], 32 << 20);
    assert_eq!(execution["command"], json!(["bash", "-c", "tail /dev/zero; exit 5"]), "the gate is not shown");
    // Within its limit a task knows nothing of it.
    let id = fake
        .hand_out(bash("echo $PPID >/dev/null; cat; echo done", json!({"memory": 64 << 20, "cpus": 0.5, "pids": 10})));
    let report = fake.finished(id).await;
    assert_eq!((report.outcome.as_str(), report.return_value), ("success", Some(json!("done"))));
    assert!(report.started.execution.unwrap()["peak_memory"].as_u64().is_some_and(|bytes| bytes < 64 << 20));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn what_left_the_group_and_its_environment_ends_with_a_limited_task() {
    if !has_groups() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let pids = dir.path().join("pids");
    let command =
        format!("setsid env -i sh -c 'echo $$ >> {}; exec sleep 600' & sleep 0.1; echo ready; wait", pids.display());
    let id = fake.hand_out(bash(&command, json!({"pids": 50})));
    fake.log_line(id, "ready").await;
    fake.cancel(id, Duration::from_millis(100));
    fake.wait("stopped", |seen| kinds(seen, id).contains(&"stopped").then_some(())).await;
    assert_gone(&pids);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn ulimits_hold_from_the_first_instruction() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let id = fake.hand_out(bash("echo $(ulimit -n) $(ulimit -Hc)", json!({"ulimits": {"nofile": 77, "core": 0}})));
    assert_eq!(fake.finished(id).await.return_value, Some(json!("77 0")));
    let id = fake.hand_out(bash("no-such-program-here", json!({"ulimits": {"nofile": 77}})));
    let report = fake.finished(id).await;
    assert_eq!((report.failure_class.as_deref(), report.exit_code), (Some("command_not_found"), Some(127)));
    node.stop().await.unwrap();
}
