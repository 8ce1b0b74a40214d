//! Containers, on the real daemon; skipped where none answers or its test image is missing.

use std::time::Duration;

use serde_json::{Value, json};
use updraft_executor::DockerMode;
use updraft_protocol::{NodeAttemptState, ReportBody};
use uuid::Uuid;

use crate::fake::{Fake, TestNode, kinds, lines};

/// Made by `tools/busybox-image.sh` where no registry is reachable.
pub(crate) const IMAGE: &str = "busybox";

pub(crate) fn docker(args: &[&str]) -> Option<String> {
    let output = std::process::Command::new("docker").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether the tests can run here; says so when not.
pub(crate) fn ready() -> bool {
    let ready = docker(&["image", "inspect", IMAGE]).is_some();
    if !ready {
        println!("skipped: no Docker daemon with the image {IMAGE} here");
    }
    ready
}

pub(crate) fn exists(id: Uuid) -> bool {
    docker(&["ps", "-aq", "--filter", &format!("name=updraft-{id}")]).is_some_and(|found| !found.is_empty())
}

/// Waits until the daemon has no container of the attempt: removal follows the report.
pub(crate) async fn gone(id: Uuid) {
    for _ in 0..600 {
        if !exists(id) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the container of {id} is still there");
}

pub(crate) async fn start(fake: &Fake, dir: &std::path::Path) -> TestNode {
    let mut config = TestNode::config(fake, dir);
    config.docker = DockerMode::Auto;
    let node = TestNode::start_with(config);
    fake.wait("a node with Docker", |seen| seen.docker.then_some(())).await;
    node
}

pub(crate) fn task(args: Value) -> Value {
    let mut all = json!({"image": IMAGE});
    for (name, value) in args.as_object().unwrap() {
        all[name] = value.clone();
    }
    json!({"operator": "docker", "operator_class": "airflow.providers.docker.operators.docker.DockerOperator", "args": all})
}

#[tokio::test]
async fn a_container_gets_its_arguments_and_leaves_its_last_line() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let id = fake.hand_out(task(json!({
        "command": "sh -c 'echo out; echo problem >&2; pwd; echo $GREETING $AIRFLOW_CTX_DAG_ID ${UPDRAFT_NODE:-unmarked}'",
        "environment": {"GREETING": "hi {{ ds }}", "PORT": 80}, "working_dir": "/tmp", "mem_limit": "64m", "cpus": 4.0,
        "mounts": [{"target": "/data", "source": "/etc", "type": "bind", "read_only": true}],
    })));
    let report = fake.finished(id).await;
    assert_eq!((report.outcome.as_str(), report.exit_code), ("success", Some(0)), "{:?}", report.failure_reason);
    assert_eq!(report.return_value, Some(json!("hi 2026-01-02 d unmarked")));
    let execution = report.started.execution.expect("how it ran is told");
    assert!(execution["container_id"].is_string());
    assert_eq!(execution["image"], "busybox");
    assert!(execution["image_digest"].as_str().unwrap().contains("sha256:"), "{execution}");
    assert_eq!(report.rendered_fields.unwrap()["environment"]["GREETING"], "hi 2026-01-02");
    fake.log_line(id, "unmarked").await;
    assert_eq!(fake.log_line(id, "problem").await.logger, "task.stderr");
    assert_eq!(fake.log_line(id, "/tmp").await.logger, "task.stdout");
    gone(id).await;
    let words = fake.hand_out(task(json!({"command": ["echo", "a b"], "entrypoint": "env"})));
    assert_eq!(fake.finished(words).await.return_value, Some(json!("a b")));
    let all = fake.hand_out(task(json!({"command": "printf 'a\\nb\\n'", "xcom_all": true})));
    assert_eq!(fake.finished(all).await.return_value, Some(json!(["a", "b"])));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn each_way_to_fail_has_its_class_and_a_readable_reason() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let cases = [
        (json!({"command": "sh -c 'exit 3'"}), "exit_code", "exit code 3"),
        (json!({"command": "no-such-program"}), "command_not_found", "no-such-program"),
        (json!({"command": "/etc"}), "command_not_found", "/etc"),
        (json!({"command": "true", "image": "updraft/no-such-image:1"}), "image_missing", "could not be pulled"),
        (
            json!({"command": "true", "mounts": [{"target": "/x", "source": "/no/such", "type": "bind"}]}),
            "container_error",
            "/no/such",
        ),
        (json!({"command": "echo 'open"}), "invalid_arguments", "unclosed"),
        (json!({"command": "true", "mem_limit": "lots"}), "invalid_arguments", "mem_limit"),
        (json!({"command": "tail /dev/zero", "mem_limit": "12m"}), "oom_killed", "memory"),
    ];
    for (args, class, words) in cases {
        let id = fake.hand_out(task(args.clone()));
        let report = fake.finished(id).await;
        assert_eq!(report.failure_class.as_deref(), Some(class), "{args}: {:?}", report.failure_reason);
        let reason = report.failure_reason.unwrap();
        assert!(reason.contains(words), "{args}: {reason}");
        gone(id).await;
        if class == "image_missing" {
            assert_eq!(kinds(&fake.seen(), id), ["preparing", "finished"]);
        }
    }
    let skipped = fake.hand_out(task(json!({"command": "sh -c 'exit 9'", "skip_on_exit_code": [8, 9]})));
    assert_eq!(fake.finished(skipped).await.outcome, "skipped");
    let mut slow = task(json!({"command": "sleep 600"}));
    slow["execution_timeout"] = json!(0.5);
    let slow = fake.hand_out(slow);
    assert_eq!(fake.finished(slow).await.failure_class.as_deref(), Some("execution_timeout"));
    gone(slow).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancelled_container_is_gone_before_it_is_confirmed() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let id = fake.hand_out(task(json!({"command": "sh -c 'echo ready; sleep 600'"})));
    fake.log_line(id, "ready").await;
    fake.cancel(id, Duration::from_secs(1));
    fake.wait("stopped", |seen| kinds(seen, id).contains(&"stopped").then_some(())).await;
    assert!(!exists(id));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_restarted_node_adopts_its_container_and_its_log_goes_on() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let gate = tempfile::tempdir().unwrap();
    let command =
        "sh -c 'i=0; while [ ! -e /gate/open ]; do i=$((i+1)); echo line $i; usleep 3000; done; echo total $i'";
    let mount = json!([{"target": "/gate", "source": gate.path(), "type": "bind"}]);
    let id = fake.hand_out(task(json!({"command": command, "mounts": mount})));
    fake.log_line(id, "line 50").await;
    node.stop().await.unwrap();
    assert!(exists(id), "a stop of the node leaves containers alone");
    assert!(!kinds(&fake.seen(), id).contains(&"finished"));
    // What the node never heard of goes.
    let orphan = Uuid::new_v4();
    let identity = std::fs::read_to_string(dir.path().join("executor.key")).unwrap();
    docker(&[
        "run",
        "-d",
        "--name",
        &format!("updraft-{orphan}"),
        "--label",
        &format!("updraft.attempt={orphan}"),
        "--label",
        &format!("updraft.node={}", identity.trim()),
        IMAGE,
        "sleep",
        "600",
    ])
    .unwrap();
    let node = start(&fake, dir.path()).await;
    let known =
        fake.wait("registration again", |seen| seen.lives().nth(1).map(|register| register.attempts.clone())).await;
    assert!(known.iter().any(|attempt| attempt.attempt_id == id && attempt.state == NodeAttemptState::Running));
    fake.log_line(id, "goes on watching").await;
    std::fs::write(gate.path().join("open"), "").unwrap();
    let report = fake.finished(id).await;
    assert_eq!(report.outcome, "success", "{:?}", report.failure_reason);
    fake.log_line(id, "exited with code 0").await;
    let output: Vec<String> = lines(&fake.seen(), id)
        .into_iter()
        .filter(|line| line.logger.starts_with("task."))
        .map(|line| line.event)
        .collect();
    let expected: Vec<String> =
        (1..output.len()).map(|i| format!("line {i}")).chain([format!("total {}", output.len() - 1)]).collect();
    assert_eq!(output, expected, "no line is lost, none is doubled");
    assert_eq!(report.return_value, Some(json!(output.last().unwrap())));
    gone(id).await;
    gone(orphan).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_container_that_ended_while_the_node_was_away_is_collected() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let gate = tempfile::tempdir().unwrap();
    let command = "sh -c 'echo ready; while [ ! -e /gate/open ]; do usleep 3000; done; echo late'";
    let id = fake.hand_out(task(
        json!({"command": command, "mounts": [{"target": "/gate", "source": gate.path(), "type": "bind"}]}),
    ));
    fake.log_line(id, "ready").await;
    node.stop().await.unwrap();
    std::fs::write(gate.path().join("open"), "").unwrap();
    docker(&["wait", &format!("updraft-{id}")]).unwrap();
    let node = start(&fake, dir.path()).await;
    assert_eq!(fake.finished(id).await.return_value, Some(json!("late")));
    assert_eq!(fake.seen().events.iter().filter(|event| matches!(event.body, ReportBody::Finished(_))).count(), 1);
    gone(id).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_pod_runs_as_a_container_and_its_log_says_so() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let id = fake.hand_out(json!({
        "operator": "kubernetes_pod", "operator_class": "airflow.providers.cncf.kubernetes.operators.pod.KubernetesPodOperator",
        "args": {
            "image": IMAGE, "cmds": ["sh", "-c"], "namespace": "default", "name": "pod", "do_xcom_push": true, "get_logs": true,
            "arguments": ["echo $A; echo '{\"rows\": 3}' > /airflow/xcom/return.json"], "env_vars": [{"name": "A", "value": "1"}],
        }
    }));
    let report = fake.finished(id).await;
    assert_eq!(report.outcome, "success", "{:?}", report.failure_reason);
    assert_eq!(report.return_value, Some(json!({"rows": 3})));
    fake.log_line(id, "exited with code 0").await;
    let log = lines(&fake.seen(), id);
    assert!(log[0].event.contains("no Kubernetes cluster"), "{log:?}");
    assert!(log.iter().any(|line| line.event == "1"));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn bash_and_its_bundle_run_in_an_image_when_one_is_named() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let hash = fake.bundle(&[("notes/hello.txt", "from the bundle\n")]);
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let id = fake.hand_out(json!({
        "args": {"bash_command": "cat $UPDRAFT_BUNDLE_PATH/notes/hello.txt; touch /opt/updraft/dags/x || echo read-only", "image": IMAGE},
        "bundle_hash": hash,
    }));
    let report = fake.finished(id).await;
    assert_eq!(report.return_value, Some(json!("read-only")), "{:?}", report.failure_reason);
    fake.log_line(id, "from the bundle").await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_daemon_that_is_away_is_named_with_its_socket() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = TestNode::config(&fake, dir.path());
    config.docker = DockerMode::Auto;
    config.docker_host = Some(format!("unix://{}/no.sock", dir.path().display()));
    let node = TestNode::start_with(config);
    let id = fake.hand_out(task(json!({"command": "true"})));
    let report = fake.finished(id).await;
    assert_eq!(report.failure_class.as_deref(), Some("docker_unavailable"));
    let reason = report.failure_reason.unwrap();
    assert!(reason.contains("/no.sock") && reason.contains("Is dockerd running?"), "{reason}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_daemon_that_is_too_old_is_refused() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("old.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let version = || async { axum::Json(json!({"Version": "18.09.0", "ApiVersion": "1.39"})) };
    let router = axum::Router::new().route("/version", axum::routing::get(version));
    let daemon = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut config = TestNode::config(&fake, dir.path());
    config.docker = DockerMode::Auto;
    config.docker_host = Some(format!("unix://{}", socket.display()));
    let node = TestNode::start_with(config);
    let id = fake.hand_out(task(json!({"command": "true"})));
    let reason = fake.finished(id).await.failure_reason.unwrap();
    assert!(reason.contains("18.09.0") && reason.contains("1.39") && reason.contains("1.41"), "{reason}");
    node.stop().await.unwrap();
    daemon.abort();
}
