//! What becomes of containers when their daemon is restarted, hangs, or has no space left; and a daemon behind TLS.

use std::{path::Path, process::Command};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use updraft_executor::DockerMode;
use uuid::Uuid;

use crate::{
    docker::task,
    dockerd::{Dockerd, Network, SmallDisk, ready},
    fake::{Fake, TestNode, lines},
};

async fn start(fake: &Fake, dir: &Path, host: &str, certificates: Option<&Path>) -> TestNode {
    let mut config = TestNode::config(fake, dir);
    config.docker = DockerMode::Auto;
    config.docker_host = Some(host.to_owned());
    config.docker_certificates = certificates.map(Path::to_owned);
    config.slots = 32;
    let node = TestNode::start_with(config);
    fake.wait("a node with Docker", |seen| seen.docker.then_some(())).await;
    node
}

/// In a network that no task needs.
fn alone(mut args: Value) -> Value {
    args["network_mode"] = json!("none");
    task(args)
}

/// Runs until the file `open` is in the gate.
fn waiting(gate: &Path) -> Value {
    let script = "echo ready; while [ ! -e /gate/open ]; do usleep 20000; done; echo done";
    alone(json!({
        "command": ["sh", "-c", script], "mounts": [{"target": "/gate", "source": gate, "type": "bind"}],
    }))
}

async fn twenty(fake: &Fake, gate: &Path) -> Vec<Uuid> {
    let ids: Vec<Uuid> = (0..20).map(|_| fake.hand_out(waiting(gate))).collect();
    for id in &ids {
        fake.log_line(*id, "ready").await;
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_that_a_restarted_daemon_ended_fail_with_that_reason() {
    if !ready() {
        return;
    }
    let mut dockerd = Dockerd::start(&[], None, Network::Own);
    let fake = Fake::start().await;
    let (dir, gate) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = start(&fake, dir.path(), &dockerd.host(), None).await;
    let ids = twenty(&fake, gate.path()).await;
    dockerd.stop();
    dockerd.run();
    for id in ids {
        let report = fake.finished(id).await;
        let class = report.failure_class.as_deref().unwrap();
        let log = lines(&fake.seen(), id);
        assert!(["docker_unavailable", "container_error"].contains(&class), "{:?}: {log:#?}", report.failure_reason);
        assert!(report.failure_reason.as_ref().unwrap().contains("daemon"), "{:?}: {log:#?}", report.failure_reason);
    }
    let next = fake.finished(fake.hand_out(alone(json!({"command": "true"})))).await;
    assert_eq!(next.outcome, "success", "{:?}", next.failure_reason);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_live_through_a_restart_of_a_daemon_with_live_restore() {
    if !ready() {
        return;
    }
    let mut dockerd = Dockerd::start(&["--live-restore"], None, Network::Own);
    let fake = Fake::start().await;
    let (dir, gate) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = start(&fake, dir.path(), &dockerd.host(), None).await;
    let ids = twenty(&fake, gate.path()).await;
    dockerd.stop();
    dockerd.run();
    dockerd.until_restored(20);
    std::fs::write(gate.path().join("open"), "").unwrap();
    for id in ids {
        let report = fake.finished(id).await;
        assert_eq!(report.return_value, Some(json!("done")), "{:?}", report.failure_reason);
        fake.log_line(id, "exited with code 0").await;
        assert_eq!(fake.output(id), ["ready", "done"]);
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_daemon_without_space_fails_tasks_in_words_and_is_not_offered() {
    if !ready() {
        return;
    }
    let disk = SmallDisk::mount(64);
    let dockerd = Dockerd::start(&[], Some(&disk.path), Network::Own);
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path(), &dockerd.host(), None).await;
    disk.fill();
    let report = fake.finished(fake.hand_out(alone(json!({"command": "true"})))).await;
    assert_eq!(report.failure_class.as_deref(), Some("docker_unavailable"), "{:?}", report.failure_reason);
    assert!(report.failure_reason.unwrap().contains("disk on this node is full"));
    fake.wait("the reason in a poll", |seen| seen.docker_away.as_ref().filter(|away| away.contains("full")).cloned())
        .await;
    disk.free();
    let report = fake.finished(fake.hand_out(alone(json!({"command": "true"})))).await;
    assert_eq!(report.outcome, "success", "{:?}", report.failure_reason);
    node.stop().await.unwrap();
    drop(dockerd);
    drop(disk);
}

#[tokio::test]
async fn a_daemon_that_hangs_fails_new_tasks_and_loses_no_running_one() {
    if !ready() {
        return;
    }
    let dockerd = Dockerd::start(&[], None, Network::Own);
    let fake = Fake::start().await;
    let (dir, gate) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = start(&fake, dir.path(), &dockerd.host(), None).await;
    let running = fake.hand_out(waiting(gate.path()));
    fake.log_line(running, "ready").await;
    let mut late = waiting(gate.path());
    late["execution_timeout"] = json!(1.0);
    let late = fake.hand_out(late);
    fake.log_line(late, "ready").await;
    dockerd.signal(Signal::SIGSTOP);
    let report = fake.finished(fake.hand_out(alone(json!({"command": "true"})))).await;
    assert_eq!(report.failure_class.as_deref(), Some("docker_unavailable"), "{:?}", report.failure_reason);
    assert!(report.failure_reason.unwrap().contains("does not answer within"));
    fake.wait("the reason in a poll", |seen| seen.docker_away.as_ref().filter(|away| away.contains("hangs")).cloned())
        .await;
    // A timeout is one whether or not the daemon answers.
    assert_eq!(fake.finished(late).await.failure_class.as_deref(), Some("execution_timeout"));
    dockerd.signal(Signal::SIGCONT);
    std::fs::write(gate.path().join("open"), "").unwrap();
    assert_eq!(fake.finished(running).await.return_value, Some(json!("done")));
    fake.wait("a daemon that is offered again", |seen| seen.docker_away.is_none().then_some(())).await;
    node.stop().await.unwrap();
}

/// A certificate authority, and certificates of it for a server on 127.0.0.1 and for a client.
fn certificates(dir: &Path) {
    let script = r#"
        set -e
        new() { openssl req -newkey rsa:2048 -nodes -keyout "$1-key.pem" -subj "/CN=$1" -out "$1.csr"; }
        sign() { openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 1 -extfile "$1.ext" -out "$1-cert.pem"; }
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -subj /CN=ca -days 1 -out ca.pem
        echo subjectAltName=IP:127.0.0.1 > server.ext
        echo extendedKeyUsage=clientAuth > client.ext
        new server; sign server
        new client; sign client
        cp client-key.pem key.pem; cp client-cert.pem cert.pem
    "#;
    let made = Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test]
async fn a_daemon_behind_tls_serves_who_has_a_certificate() {
    if !ready() {
        return;
    }
    let keys = tempfile::tempdir().unwrap();
    certificates(keys.path());
    let file = |name: &str| keys.path().join(name).display().to_string();
    // The daemon says nowhere which port the system chose.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("tcp://127.0.0.1:{port}");
    let dockerd = Dockerd::start(
        &[
            "-H",
            &address,
            "--tlsverify",
            "--tlscacert",
            &file("ca.pem"),
            "--tlscert",
            &file("server-cert.pem"),
            "--tlskey",
            &file("server-key.pem"),
        ],
        None,
        Network::Shared,
    );
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path(), &address, Some(keys.path())).await;
    let report = fake.finished(fake.hand_out(alone(json!({"command": "echo by TLS"})))).await;
    assert_eq!(report.return_value, Some(json!("by TLS")), "{:?}", report.failure_reason);
    node.stop().await.unwrap();

    let empty = tempfile::tempdir().unwrap();
    for (certificates, words) in [(None, "no Docker daemon answers"), (Some(empty.path()), "key.pem` is not there")] {
        let fake = Fake::start().await;
        let dir = tempfile::tempdir().unwrap();
        let mut config = TestNode::config(&fake, dir.path());
        config.docker = DockerMode::Auto;
        config.docker_host = Some(address.clone());
        config.docker_certificates = certificates.map(Path::to_owned);
        let node = TestNode::start_with(config);
        let report = fake.finished(fake.hand_out(alone(json!({"command": "true"})))).await;
        assert!(report.failure_reason.as_ref().unwrap().contains(words), "{:?}", report.failure_reason);
        node.stop().await.unwrap();
    }
    assert!(dockerd.dir().exists());
}
