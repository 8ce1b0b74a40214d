//! Containers that are created ahead for the tasks that come next.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use updraft_executor::DockerMode;
use updraft_protocol::{FinishedReport, RunRef};
use uuid::Uuid;

use crate::{
    docker::{IMAGE, docker, gone, ready, task},
    fake::{Fake, TestNode},
};

/// A node that may have this many containers ahead, and its fake server.
struct Bed {
    fake: Fake,
    node: TestNode,
    folder: TempDir,
}

impl Bed {
    async fn start(prewarm: u32) -> Self {
        let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
        let mut config = TestNode::config(&fake, &folder.path().join("node"));
        (config.docker, config.prewarm) = (DockerMode::Auto, prewarm);
        let node = TestNode::start_with(config);
        fake.wait("a node with Docker", |seen| seen.docker.then_some(())).await;
        Self { fake, node, folder }
    }

    /// Begins a task that has others after it, and runs until [`Self::end`].
    fn begin(&self) -> Uuid {
        let gate = self.folder.path();
        let mut first = named(
            "first",
            json!({
                "command": ["sh", "-c", "until [ -e /gate/open ]; do sleep 0.05; done"],
                "mounts": [{"target": "/gate", "source": gate, "type": "bind"}],
            }),
        );
        first["has_next"] = json!(true);
        self.fake.hand_out(first)
    }

    async fn end(&self, first: Uuid) {
        std::fs::write(self.folder.path().join("open"), "").unwrap();
        assert_eq!(self.fake.finished(first).await.outcome, "success");
    }

    /// The node's containers that wait for their tasks: name and id.
    fn waiting(&self) -> Vec<(String, String)> {
        let node = identity(&self.folder.path().join("node"));
        let label = format!("label=updraft.node={node}");
        let format = "{{.Names}} {{.ID}}";
        let listed = docker(&[
            "ps",
            "-a",
            "--no-trunc",
            "--filter",
            &label,
            "--filter",
            "name=updraft-ahead-",
            "--format",
            format,
        ]);
        let pairs = listed.unwrap();
        pairs
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, id)| (name.to_owned(), id.to_owned()))
            .collect()
    }

    /// Waits until so many wait.
    async fn wait_for(&self, count: usize) -> Vec<(String, String)> {
        for _ in 0..600 {
            let waiting = self.waiting();
            if waiting.len() == count {
                return waiting;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{count} containers should wait, and there are {:?}", self.waiting());
    }
}

fn identity(node: &Path) -> String {
    std::fs::read_to_string(node.join("executor.key")).unwrap().trim().to_owned()
}

fn named(task_id: &str, args: Value) -> Value {
    let mut task = task(args);
    task["task_id"] = json!(task_id);
    task
}

fn container(report: &FinishedReport) -> &str {
    report.started.execution.as_ref().unwrap()["container_id"].as_str().unwrap()
}

#[tokio::test]
async fn the_next_task_runs_in_the_container_that_was_created_ahead() {
    if !ready() {
        return;
    }
    let bed = Bed::start(4).await;
    let next = named("next", json!({"command": "echo {{ ti.task_id }} {{ ds }}", "environment": {"A": "b"}}));
    bed.fake.comes_next(&next);
    let first = bed.begin();
    let ahead = bed.wait_for(1).await.remove(0);
    bed.end(first).await;
    let id = bed.fake.hand_out(next);
    let report = bed.fake.finished(id).await;
    assert_eq!(report.return_value, Some(json!("next 2026-01-02")), "{:?}", report.failure_reason);
    assert_eq!(container(&report), ahead.1);
    bed.wait_for(0).await;
    gone(id).await;
    bed.node.stop().await.unwrap();
}

#[tokio::test]
async fn a_container_that_is_no_longer_right_is_not_used() {
    if !ready() {
        return;
    }
    let bed = Bed::start(4).await;
    let tag = format!("updraft-test/{}:1", Uuid::new_v4().simple());
    docker(&["tag", IMAGE, &tag]).unwrap();
    let same = json!({"command": "echo same"});
    let retagged = named("retagged", json!({"command": "cat /new", "image": tag}));
    for next in [named("changed", same.clone()), named("removed", same.clone()), retagged.clone()] {
        bed.fake.comes_next(&next);
    }
    let first = bed.begin();
    let ahead = bed.wait_for(3).await;
    for (name, _) in &ahead {
        if docker(&["inspect", "--format", "{{index .Config.Labels \"updraft.task_id\"}}", name]).unwrap() == "removed"
        {
            docker(&["rm", name]).unwrap();
        }
    }
    let maker = format!("maker-{}", Uuid::new_v4());
    docker(&["run", "--name", &maker, IMAGE, "sh", "-c", "echo from the new image > /new"]).unwrap();
    docker(&["commit", &maker, &tag]).unwrap();
    bed.end(first).await;
    let cases = [
        (named("changed", json!({"command": "echo another"})), "another"),
        (named("removed", same), "same"),
        (retagged, "from the new image"),
    ];
    for (next, output) in cases {
        let id = bed.fake.hand_out(next.clone());
        let report = bed.fake.finished(id).await;
        assert_eq!(report.return_value, Some(json!(output)), "{next}: {:?}", report.failure_reason);
        assert!(ahead.iter().all(|(_, used)| used != container(&report)), "{next}");
        gone(id).await;
    }
    bed.wait_for(0).await;
    docker(&["rm", &maker]).unwrap();
    docker(&["rmi", &tag]).unwrap();
    bed.node.stop().await.unwrap();
}

#[tokio::test]
async fn there_are_no_more_than_may_be_and_they_go_with_their_run() {
    if !ready() {
        return;
    }
    let bed = Bed::start(1).await;
    for name in ["one", "two"] {
        bed.fake.comes_next(&named(name, json!({"command": "true"})));
    }
    // Its command is known when its turn comes.
    bed.fake.comes_next(&named("later", json!({"command": "echo {{ ti.xcom_pull('first') }}"})));
    let first = bed.begin();
    bed.wait_for(1).await;
    let run = RunRef { dag_id: "d".to_owned(), run_id: "manual__1".to_owned() };
    bed.fake.wait("the node asks about the run", |seen| seen.runs.contains(&run).then_some(())).await;
    bed.end(first).await;
    bed.fake.change(|seen| seen.reconcile.over = vec![run]);
    bed.wait_for(0).await;
    bed.node.stop().await.unwrap();
}

#[tokio::test]
async fn a_node_that_ends_or_starts_again_leaves_none() {
    if !ready() {
        return;
    }
    let bed = Bed::start(4).await;
    bed.fake.comes_next(&named("next", json!({"command": "true"})));
    let first = bed.begin();
    bed.wait_for(1).await;
    bed.end(first).await;
    let Bed { fake, node, folder } = bed;
    node.stop().await.unwrap();
    let data = folder.path().join("node");
    let node = identity(&data);
    let left = format!("updraft-ahead-{}", Uuid::new_v4());
    docker(&["create", "--name", &left, "--label", &format!("updraft.node={node}"), IMAGE, "true"]).unwrap();
    let node = crate::docker::start(&fake, &data).await;
    let bed = Bed { fake, node, folder };
    bed.wait_for(0).await;
    bed.node.stop().await.unwrap();
}
