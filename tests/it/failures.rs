//! Each class of failure through the front door: the real binary, real processes, the real Docker daemon.

use std::{path::Path, time::Duration};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};
use uuid::Uuid;

use crate::{
    fleet::{dag, node},
    support::{fleet::docker_answers, open_folder, process::PATIENCE, standalone::Standalone},
};

/// What `runs why --output json` knows of the last try of a task.
async fn last_try(server: &Standalone, dag_id: &str, task_id: &str) -> Value {
    let said = server.cli(&["runs", "why", dag_id, "r", task_id, "--output", "json"]).await;
    let answer: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}{}", said.stdout, said.stderr));
    answer[0]["tries"].as_array().and_then(|tries| tries.last()).cloned().unwrap_or_default()
}

async fn trigger(server: &Standalone, dag_id: &str, wait: bool) {
    let wait: &[&str] = if wait { &["--wait"] } else { &[] };
    let arguments = [&["dags", "trigger", dag_id, "--run-id", "r"], wait].concat();
    let said = server.cli(&arguments).await;
    assert_eq!(said.code, Some(i32::from(!wait.is_empty())), "{}{}", said.stdout, said.stderr);
}

/// Waits until a task of the run is in a state.
async fn until(server: &Standalone, dag_id: &str, state: &str) {
    let reached = async {
        loop {
            let said = server.cli(&["runs", "show", dag_id, "r", "--output", "json"]).await;
            let run: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
            if run["task_instances"].as_array().is_some_and(|tasks| tasks.iter().any(|task| task["state"] == state)) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("no task of {dag_id} is {state}"));
}

#[tokio::test]
async fn a_process_says_how_it_failed_and_what_it_ran() {
    let text = "tasks:
  code: {bash: 'echo {{ var.value.password }} >&2; exit 3'}
  slow: {bash: sleep 600, execution_timeout: 1}
  template: {bash: 'echo {{ nothing.like.that }}'}
  program: {python: os.getcwd, interpreter: no-such-python}
";
    let server = Standalone::with_dags(&[("ways.yaml", text)]).await;
    let set = server.cli(&["variables", "set", "password", "hunter2-and-more"]).await;
    assert_eq!(set.code, Some(0), "{}", set.stderr);
    trigger(&server, "ways", true).await;

    let code = last_try(&server, "ways", "code").await;
    assert_eq!((&code["failure_class"], &code["exit_code"]), (&json!("exit_code"), &json!(3)), "{code}");
    assert_eq!(code["command"], json!(["bash", "-c", "echo *** >&2; exit 3"]), "rendered, and the secret masked");
    assert_eq!(last_try(&server, "ways", "slow").await["failure_class"], "execution_timeout");
    let template = last_try(&server, "ways", "template").await;
    assert_eq!(template["failure_class"], "template_error");
    assert_eq!(template["command"], json!([]), "nothing was started");
    assert_eq!(last_try(&server, "ways", "program").await["failure_class"], "command_not_found");

    let shown = server.cli(&["runs", "show", "ways", "r"]).await.stdout;
    for line in ["  class: exit_code", "  exit code: 3", "  command: bash -c 'echo *** >&2; exit 3'"] {
        assert!(shown.contains(line), "{line} in:\n{shown}");
    }
}

#[tokio::test]
async fn what_a_person_ends_is_cancelled_and_stays_so_in_the_history() {
    let text = "tasks:\n  waits: {bash: sleep 600}\n";
    let server = Standalone::with_dags(&[("ended.yaml", text)]).await;
    trigger(&server, "ended", false).await;
    until(&server, "ended", "running").await;
    let marked = server.cli(&["runs", "mark", "ended", "r", "failed", "--task", "waits"]).await;
    assert_eq!(marked.code, Some(0), "{}{}", marked.stdout, marked.stderr);
    let told = last_try(&server, "ended", "waits").await;
    assert_eq!(told["failure_class"], "cancelled", "{told}");
    assert_eq!(told["failure_reason"], "marked failed by admin");
}

#[tokio::test]
async fn a_container_says_how_it_failed_and_which_image_it_was() {
    if !docker_answers().await {
        return;
    }
    let text = "tasks:
  memory: {docker: {image: busybox, command: [sh, -c, 'tail /dev/zero'], mem_limit: 32m}}
  image: {docker: {image: 'no.such/image:1'}}
  code: {docker: {image: busybox, command: [sh, -c, exit 7]}}
";
    let server = Standalone::with_dags(&[("boxes.yaml", text)]).await;
    trigger(&server, "boxes", true).await;
    let memory = last_try(&server, "boxes", "memory").await;
    assert_eq!(memory["failure_class"], "oom_killed", "{memory}");
    assert!(memory["peak_memory"].as_u64().is_some_and(|bytes| bytes >= 30 << 20), "{memory}");
    assert!(memory["failure_reason"].as_str().is_some_and(|reason| reason.contains("peak 32.0 MiB")), "{memory}");
    assert_eq!(memory["command"], json!(["sh", "-c", "tail /dev/zero"]));
    assert!(memory["image_digest"].as_str().is_some_and(|digest| digest.contains("sha256:")), "{memory}");
    assert_eq!(last_try(&server, "boxes", "image").await["failure_class"], "image_missing");
    let code = last_try(&server, "boxes", "code").await;
    assert_eq!((&code["failure_class"], &code["exit_code"]), (&json!("exit_code"), &json!(7)), "{code}");
}

/// Passes everything on to the daemon until a container is to be created; then it is gone.
async fn daemon_until_create(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    let (fell, mut falls) = tokio::sync::watch::channel(false);
    loop {
        let (mut client, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            _ = falls.wait_for(|down| *down) => return,
        };
        let fell = fell.clone();
        tokio::spawn(async move {
            let mut daemon = UnixStream::connect("/var/run/docker.sock").await.unwrap();
            let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
            loop {
                tokio::select! {
                    read = client.read(&mut asked) => match read {
                        Ok(size) if size > 0 => {
                            if String::from_utf8_lossy(&asked[..size]).contains("/containers/create") {
                                // Nobody listens when there is nothing left to tell.
                                let _ = fell.send(true);
                                return;
                            }
                            daemon.write_all(&asked[..size]).await.unwrap();
                        }
                        _ => return,
                    },
                    read = daemon.read(&mut answered) => match read {
                        Ok(size) if size > 0 => client.write_all(&answered[..size]).await.unwrap(),
                        _ => return,
                    },
                }
            }
        });
    }
}

#[tokio::test]
async fn a_daemon_that_is_gone_is_named() {
    if !docker_answers().await {
        return;
    }
    let sockets = open_folder();
    let socket = sockets.path().join("docker.sock");
    let proxy = {
        let socket = socket.clone();
        tokio::spawn(async move { daemon_until_create(&socket).await })
    };
    let host = format!("unix://{}", socket.display());
    let server = Standalone::shared_with(&[("UPDRAFT__EXECUTOR__DOCKER_HOST", &host)]).await;
    dag(&server, "away", "tasks:\n  t: {docker: {image: busybox, command: 'true'}}\n").await;
    trigger(&server, "away", true).await;
    proxy.await.unwrap();
    let told = last_try(&server, "away", "t").await;
    assert_eq!(told["failure_class"], "docker_unavailable", "{told}");
    assert!(told["failure_reason"].as_str().is_some_and(|reason| reason.contains("docker.sock")), "{told}");
}

#[tokio::test]
async fn a_node_that_dies_takes_its_task_with_it() {
    let server = Standalone::shared_with(&[("UPDRAFT__EXECUTOR__LEASE", "3")]).await;
    let mut n1 = node(&server, "n1", "far").await;
    dag(&server, "lost", "tasks:\n  t: {bash: sleep 600, queue: far}\n").await;
    trigger(&server, "lost", false).await;
    until(&server, "lost", "running").await;
    n1.signal(Signal::SIGKILL);
    n1.end().await;
    until(&server, "lost", "failed").await;
    let told = last_try(&server, "lost", "t").await;
    assert_eq!((&told["failure_class"], &told["hostname"]), (&json!("node_lost"), &json!("n1")), "{told}");
}

#[tokio::test]
async fn a_node_that_takes_a_task_and_never_starts_it_is_told_apart() {
    let server = Standalone::shared().await;
    // Another test of the process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let token = std::fs::read_to_string(server.data_dir().join("executor-token")).unwrap();
    let client = reqwest::Client::new();
    let call = async |path: &str, body: Value| {
        let url = format!("{}/executor/v1/{path}", server.url);
        let answer = client.post(url).bearer_auth(token.trim()).json(&body).send().await.unwrap();
        let (is_fine, body) = (answer.status().is_success(), answer.text().await.unwrap());
        assert!(is_fine, "{path}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let (session, runners) = (Uuid::new_v4(), json!([{"name": "process", "available": true}]));
    call(
        "register",
        json!({"name": "idle", "identity": Uuid::new_v4(), "session": session, "hostname": "h", "version": "0",
               "protocol_min": 1, "protocol_max": 1, "slots": 1, "labels": {}, "queues": ["idle"],
               "runners": runners, "attempts": []}),
    )
    .await;
    dag(&server, "idle", "tasks:\n  t: {bash: 'true', queue: idle}\n").await;
    trigger(&server, "idle", false).await;
    let poll = |have: Vec<Value>| json!({"session": session, "have": have, "free_slots": 1, "runners": runners});
    let taken = loop {
        let answer = call("poll", poll(Vec::new())).await;
        if let Some(start) = answer["start"].get(0) {
            break start["attempt_id"].clone();
        }
    };
    // The minute that a node has is over.
    let pool = sqlx::PgPool::connect(server.database_url()).await.unwrap();
    sqlx::query("update attempt set launch_deadline = now()").execute(&pool).await.unwrap();
    let failed = until(&server, "idle", "failed");
    tokio::pin!(failed);
    loop {
        tokio::select! {
            () = &mut failed => break,
            _ = call("poll", poll(vec![taken.clone()])) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    let told = last_try(&server, "idle", "t").await;
    assert_eq!(told["failure_class"], "launch_timeout", "{told}");
}
