//! Containers that the tasks of one run share (`reuse: run`).

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use updraft_protocol::RunRef;

use crate::{
    docker::{IMAGE, docker, ready, start, task},
    fake::{Fake, kinds},
};

/// The node's shared containers.
fn rooms(dir: &Path) -> Vec<String> {
    let identity = std::fs::read_to_string(dir.join("executor.key")).unwrap();
    let node = format!("label=updraft.node={}", identity.trim());
    let found = docker(&["ps", "-q", "--no-trunc", "--filter", &node, "--filter", "label=updraft.room"]).unwrap();
    found.lines().map(str::to_owned).collect()
}

/// Waits until the node has so many.
async fn until_rooms(dir: &Path, count: usize) {
    for _ in 0..600 {
        if rooms(dir).len() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?} rooms instead of {count}", rooms(dir));
}

fn in_room(script: &str, mut args: Value) -> Value {
    args["reuse"] = json!("run");
    args["command"] = json!(["sh", "-c", script]);
    task(args)
}

fn of_run(mut task: Value, run_id: &str) -> Value {
    task["run"] = json!({
        "dag_id": "d", "run_id": run_id, "run_type": "manual", "logical_date": null, "data_interval_start": null,
        "data_interval_end": null, "run_after": "2026-01-02T03:04:05Z", "start_date": null, "conf": {}, "params": {},
        "dag_owner": "airflow", "dag_tags": [], "dag_description": null, "render_template_as_native_obj": false,
    });
    task
}

#[tokio::test]
async fn tasks_of_a_run_with_the_same_settings_share_a_container_which_goes_with_the_run() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let script = "pwd; echo $WHO > mine; ls; hostname";
    let ids: Vec<_> =
        (0..3).map(|i| fake.hand_out(in_room(script, json!({"environment": {"WHO": i}, "xcom_all": true})))).collect();
    let mut hosts = Vec::new();
    for id in &ids {
        let report = fake.finished(*id).await;
        let lines = report.return_value.clone().unwrap_or_else(|| panic!("{:?}", report.failure_reason));
        assert_eq!(lines[0], format!("/tmp/updraft/{id}"), "a folder of its own");
        assert_eq!(lines[1], "mine", "with nothing of the others");
        hosts.push(lines[2].clone());
        let execution = report.started.execution.unwrap();
        assert!(execution["container_id"].as_str().unwrap().starts_with(hosts[0].as_str().unwrap()));
        assert!(execution["image_digest"].is_string());
    }
    assert!(hosts.iter().all(|host| *host == hosts[0]), "{hosts:?}");
    assert_eq!(rooms(dir.path()).len(), 1);
    // Another setting, another run: other containers.
    let user = fake.hand_out(in_room("id -u", json!({"user": "1234"})));
    assert_eq!(fake.finished(user).await.return_value, Some(json!("1234")));
    let other = fake.hand_out(of_run(in_room("hostname", json!({})), "manual__2"));
    assert_ne!(fake.finished(other).await.return_value.as_ref(), Some(&hosts[0]));
    assert_eq!(rooms(dir.path()).len(), 3);
    // Nothing is left of the tasks.
    let room = &hosts[0].as_str().unwrap();
    assert_eq!(docker(&["exec", room, "ls", "/tmp/updraft"]).unwrap(), "");

    let over = RunRef { dag_id: "d".to_owned(), run_id: "manual__1".to_owned() };
    fake.change(|seen| seen.reconcile.over = vec![over.clone()]);
    until_rooms(dir.path(), 1).await;
    assert!(fake.seen().runs.contains(&over), "the node asks about the runs that it has a container for");
    // A run that is cleared begins anew.
    fake.change(|seen| seen.reconcile.over.clear());
    let again = fake.hand_out(in_room("echo again", json!({})));
    assert_eq!(fake.finished(again).await.return_value, Some(json!("again")));
    node.stop().await.unwrap();
    assert!(rooms(dir.path()).is_empty(), "a node that ends leaves none");
}

#[tokio::test]
async fn a_process_in_a_room_ends_as_a_container_does() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let limit = json!({"mem_limit": "32m"});
    // Two that last, so that what ends another is seen not to end them.
    let gate = "while [ ! -e /tmp/open ]; do usleep 20000; done; echo done";
    let beside: Vec<_> = (0..2).map(|_| fake.hand_out(in_room(gate, limit.clone()))).collect();
    let with = |script: &str| in_room(script, limit.clone());
    for (script, class, words) in [
        ("exit 3", "exit_code", "exit code 3"),
        ("echo why >&2; exit 1", "exit_code", "why"),
        ("tail /dev/zero", "oom_killed", "memory"),
        ("kill -9 $$", "exit_code", "137"),
    ] {
        let report = fake.finished(fake.hand_out(with(script))).await;
        assert_eq!(report.failure_class.as_deref(), Some(class), "{script}: {:?}", report.failure_reason);
        assert!(report.failure_reason.as_ref().unwrap().contains(words), "{script}: {:?}", report.failure_reason);
    }
    let mut missing = with("true");
    missing["args"]["command"] = json!(["no-such-program"]);
    assert_eq!(fake.finished(fake.hand_out(missing)).await.failure_class.as_deref(), Some("command_not_found"));
    let mut skipped = with("exit 9");
    skipped["args"]["skip_on_exit_code"] = json!(9);
    assert_eq!(fake.finished(fake.hand_out(skipped)).await.outcome, "skipped");
    let mut json_output = with("echo '{\"a\": 1}'");
    json_output["output"] = json!("json");
    assert_eq!(fake.finished(fake.hand_out(json_output)).await.return_value, Some(json!({"a": 1})));
    let mut slow = with("sleep 600");
    slow["execution_timeout"] = json!(0.3);
    let slow = fake.finished(fake.hand_out(slow)).await;
    assert_eq!(slow.failure_class.as_deref(), Some("execution_timeout"), "{:?}", slow.failure_reason);
    let leaving = fake.hand_out(with("sleep 500 & echo left"));
    assert_eq!(fake.finished(leaving).await.return_value, Some(json!("left")));
    let file = fake.finished(fake.hand_out(in_room("true", json!({"retrieve_output": true})))).await;
    assert_eq!(file.failure_class.as_deref(), Some("invalid_arguments"));

    let [room] = rooms(dir.path()).try_into().unwrap();
    let top = docker(&["top", &room, "-eo", "pid,args"]).unwrap();
    assert!(!top.contains("sleep 600") && !top.contains("sleep 500"), "{top}");
    docker(&["exec", &room, "touch", "/tmp/open"]).unwrap();
    for id in beside {
        let report = fake.finished(id).await;
        assert_eq!(report.return_value, Some(json!("done")), "{:?}", report.failure_reason);
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancel_ends_every_process_of_its_task_and_none_of_another() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let stays = fake.hand_out(in_room("sleep 111 & echo ready; wait", json!({})));
    let polite = fake.hand_out(in_room(
        "trap 'echo bye; exit 0' TERM; setsid sleep 222 & echo ready; while :; do sleep 1; done",
        json!({}),
    ));
    let rude = fake.hand_out(in_room("trap '' TERM; sleep 333 & echo ready; while :; do sleep 1; done", json!({})));
    for id in [stays, polite, rude] {
        fake.log_line(id, "ready").await;
    }
    for id in [polite, rude] {
        fake.cancel(id, Duration::from_secs(1));
    }
    for id in [polite, rude] {
        fake.wait("stopped", |seen| kinds(seen, id).contains(&"stopped").then_some(())).await;
    }
    fake.log_line(polite, "bye").await;
    let [room] = rooms(dir.path()).try_into().unwrap();
    let top = docker(&["top", &room, "-eo", "pid,args"]).unwrap();
    assert!(top.contains("sleep 111"), "{top}");
    assert!(!top.contains("sleep 222") && !top.contains("sleep 333"), "{top}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn tasks_one_after_the_other_leave_each_other_nothing_and_get_their_words_as_they_are() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let before = fake.hand_out(in_room(
        "export LEFT=1; cd /; umask 077; echo $ODD; echo no line break | tr -d '\\n'",
        json!({
            "environment": {"ODD": "it's \"two\" lines\n$HOME", "with.dot": "dotted"}, "xcom_all": true,
        }),
    ));
    let lines = fake.finished(before).await.return_value;
    assert_eq!(lines, Some(json!(["it's \"two\" lines $HOME", "no line break"])));
    // Not through a shell of the task, which may not pass it on.
    let mut dotted = in_room("", json!({"environment": {"with.dot": "it's"}, "xcom_all": true}));
    dotted["args"]["command"] = json!(["env"]);
    let dotted = fake.finished(fake.hand_out(dotted)).await.return_value.unwrap();
    assert!(dotted.as_array().unwrap().contains(&json!("with.dot=it's")), "{dotted}");
    let after = fake.hand_out(in_room("echo \"${LEFT:-nothing} ${ODD:-nothing} $(umask) $(pwd)\"", json!({})));
    let expected = format!("nothing nothing 0022 /tmp/updraft/{after}");
    assert_eq!(fake.finished(after).await.return_value, Some(json!(expected)));
    let there = fake.hand_out(in_room("pwd", json!({"working_dir": "/etc"})));
    assert_eq!(fake.finished(there).await.return_value, Some(json!("/etc")));
    let nowhere = fake.finished(fake.hand_out(in_room("pwd", json!({"working_dir": "/no/such"})))).await;
    assert_eq!(nowhere.exit_code, Some(126), "{:?}", nowhere.failure_reason);
    let many = fake.hand_out(in_room("seq 200000", json!({})));
    assert_eq!(fake.finished(many).await.return_value, Some(json!("200000")));
    fake.log_line(many, "Command exited").await;
    assert_eq!(fake.output(many).len(), 200_000);
    let tty = fake.finished(fake.hand_out(in_room("tty", json!({"tty": true})))).await;
    assert_eq!(tty.failure_class.as_deref(), Some("invalid_arguments"));
    assert_eq!(rooms(dir.path()).len(), 1);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_room_that_ends_fails_its_tasks_and_the_next_one_gets_another() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let id = fake.hand_out(in_room("echo ready; sleep 600", json!({})));
    fake.log_line(id, "ready").await;
    let [room] = rooms(dir.path()).try_into().unwrap();
    docker(&["rm", "-f", &room]).unwrap();
    assert_eq!(fake.finished(id).await.failure_class.as_deref(), Some("container_error"));
    let idle = fake.hand_out(in_room("echo next", json!({})));
    assert_eq!(fake.finished(idle).await.return_value, Some(json!("next")));
    // Also one that nobody was in.
    let [room] = rooms(dir.path()).try_into().unwrap();
    docker(&["rm", "-f", &room]).unwrap();
    let last = fake.hand_out(in_room("echo last", json!({})));
    let report = fake.finished(last).await;
    assert_eq!(report.return_value, Some(json!("last")), "{:?}", report.failure_reason);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_node_that_was_killed_ends_what_it_left_in_rooms_and_says_so() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut killed = crate::docker_kill::spawn(&fake, dir.path());
    let id = fake.hand_out(in_room("echo ready; sleep 600", json!({})));
    fake.log_line(id, "ready").await;
    assert_eq!(rooms(dir.path()).len(), 1);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let node = start(&fake, dir.path()).await;
    let report = fake.finished(id).await;
    assert_eq!(report.failure_class.as_deref(), Some("node_error"));
    assert!(report.failure_reason.unwrap().contains("cannot be followed on"));
    assert!(rooms(dir.path()).is_empty());
    node.stop().await.unwrap();
}

#[tokio::test]
async fn bash_with_an_image_shares_a_room_and_has_its_bundle_there() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let hash = fake.bundle(&[("hello.txt", "from the bundle\n")]);
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let bash =
        |command: &str| json!({"args": {"bash_command": command, "image": IMAGE, "reuse": "run"}, "bundle_hash": hash});
    let first = fake.hand_out(bash("hostname; cat $UPDRAFT_BUNDLE_PATH/hello.txt"));
    let second = fake.hand_out(bash("hostname; cat $UPDRAFT_BUNDLE_PATH/hello.txt"));
    for id in [first, second] {
        let report = fake.finished(id).await;
        assert_eq!(report.return_value, Some(json!("from the bundle")), "{:?}", report.failure_reason);
    }
    assert_eq!(rooms(dir.path()).len(), 1);
    node.stop().await.unwrap();
}
