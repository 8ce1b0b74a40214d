//! Processes: what they get, what they return, how they end.

use std::time::Duration;

use serde_json::json;

use crate::fake::{Fake, TestNode, kinds};

#[tokio::test]
async fn a_short_task_sends_only_its_result() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let id = fake.bash("echo one; echo two; echo problem >&2");
    let report = fake.finished(id).await;
    assert_eq!(report.outcome, "success");
    assert_eq!(report.exit_code, Some(0));
    assert_eq!(report.return_value, Some(json!("two")));
    assert_eq!(report.started.hostname, "n1");
    assert!(report.started.pid.is_some());
    if report.duration_ms < 50 {
        assert_eq!(kinds(&fake.seen(), id), ["finished"]);
    }
    assert_eq!(fake.log_line(id, "one").await.logger, "task.stdout");
    let problem = fake.log_line(id, "problem").await;
    assert_eq!((problem.level.as_str(), problem.logger.as_str()), ("error", "task.stderr"));
    assert_eq!(fake.log_line(id, "return code 0").await.logger, "executor");
    node.stop().await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("logs")).unwrap().count(), 0, "shipped logs are not kept");
    assert_eq!(std::fs::read_dir(dir.path().join("work")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_longer_task_is_told_to_have_started_and_its_log_can_be_followed() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let gate = dir.path().join("gate");
    let id = fake.bash(&format!("echo waiting; until [ -e {} ]; do sleep 0.02; done; echo done", gate.display()));
    fake.log_line(id, "waiting").await;
    fake.wait("started", |seen| kinds(seen, id).contains(&"started").then_some(())).await;
    std::fs::write(gate, "").unwrap();
    assert_eq!(fake.finished(id).await.return_value, Some(json!("done")));
    assert_eq!(kinds(&fake.seen(), id), ["started", "finished"]);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn exit_codes_have_their_meaning() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let exits = [
        ("exit 3", "failed", Some("exit_code"), Some(3)),
        ("exit 99", "skipped", None, Some(99)),
        ("no-such-program-here", "failed", Some("command_not_found"), Some(127)),
        ("kill -9 $$", "failed", Some("signal"), None),
    ];
    for (command, outcome, class, code) in exits {
        let id = fake.bash(command);
        let report = fake.finished(id).await;
        assert_eq!(
            (report.outcome.as_str(), report.failure_class.as_deref(), report.exit_code),
            (outcome, class, code),
            "{command}"
        );
        assert_eq!(report.return_value, None);
    }
    let own = fake.hand_out(json!({"args": {"bash_command": "exit 7", "skip_on_exit_code": [7, 8]}}));
    assert_eq!(fake.finished(own).await.outcome, "skipped");
    let missing = fake.bash("no-such-program-here");
    let reason = fake.finished(missing).await.failure_reason.unwrap();
    assert!(reason.contains("no-such-program-here"), "{reason}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn env_replaces_unless_it_is_appended() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let command = "echo ${HOME:-none} $MINE $TASK $AIRFLOW_CTX_DAG_ID $AIRFLOW_CTX_TASK_ID";
    let home = std::env::vars().find(|(name, _)| name == "HOME").unwrap().1;
    let cases = [
        (json!({"bash_command": command}), format!("{home} T d t")),
        (json!({"bash_command": command, "env": {"MINE": "m"}}), "none m T d t".to_owned()),
        (json!({"bash_command": command, "env": {"MINE": "m"}, "append_env": true}), format!("{home} m T d t")),
    ];
    for (args, expected) in cases {
        let id = fake.hand_out(json!({"args": args, "env": {"TASK": "T"}}));
        assert_eq!(fake.finished(id).await.return_value, Some(json!(expected)));
    }
    let quiet = fake.hand_out(json!({"args": {"bash_command": "echo x"}, "do_xcom_push": false}));
    assert_eq!(fake.finished(quiet).await.return_value, None);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_task_starts_in_a_folder_of_its_own_or_where_it_says() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let id = fake.bash("touch left-behind; pwd");
    let path = fake.finished(id).await.return_value.unwrap();
    assert!(path.as_str().unwrap().ends_with(&format!("work/{id}")), "{path}");
    let there = fake.hand_out(json!({"args": {"bash_command": "pwd", "cwd": "/"}}));
    assert_eq!(fake.finished(there).await.return_value, Some(json!("/")));
    let nowhere = fake.hand_out(json!({"args": {"bash_command": "pwd", "cwd": "/no/such/folder"}}));
    let report = fake.finished(nowhere).await;
    assert_eq!(report.failure_class.as_deref(), Some("invalid_arguments"));
    assert!(report.failure_reason.unwrap().contains("/no/such/folder"));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_timeout_stops_the_whole_tree_though_it_ignores_sigterm() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let pids = dir.path().join("pids");
    let command = format!(
        "trap '' TERM; sleep 600 & echo $! >> {0}; setsid sleep 600 & echo $! >> {0}; echo $$ >> {0}; while :; do sleep 1; done",
        pids.display()
    );
    let id = fake.hand_out(json!({"args": {"bash_command": command}, "execution_timeout": 0.4}));
    let report = fake.finished(id).await;
    assert_eq!(report.failure_class.as_deref(), Some("execution_timeout"));
    assert!(report.failure_reason.unwrap().contains("0.4 s"));
    assert_gone(&pids);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancel_stops_the_whole_tree_and_is_confirmed() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let pids = dir.path().join("pids");
    let id = fake.bash(&format!("sleep 600 & echo $! >> {0}; echo $$ >> {0}; echo ready; wait", pids.display()));
    fake.log_line(id, "ready").await;
    fake.cancel(id, Duration::from_secs(5));
    fake.wait("stopped", |seen| kinds(seen, id).contains(&"stopped").then_some(())).await;
    assert!(!kinds(&fake.seen(), id).contains(&"finished"));
    fake.log_line(id, "cleared by admin").await;
    assert_gone(&pids);
    // An attempt the node never had is gone by definition.
    let unknown = uuid::Uuid::new_v4();
    fake.cancel(unknown, Duration::ZERO);
    fake.wait("stopped", |seen| kinds(seen, unknown).contains(&"stopped").then_some(())).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_background_process_does_not_keep_a_task_running() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let pids = dir.path().join("pids");
    let id = fake.bash(&format!("sleep 600 & echo $! >> {}; echo end", pids.display()));
    let report = fake.finished(id).await;
    assert_eq!(report.return_value, Some(json!("end")));
    assert_gone(&pids);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_an_ordinary_failure() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let id = fake.hand_out(json!({"args": {"bash_command": "true", "append_env": "perhaps"}}));
    assert_eq!(fake.finished(id).await.failure_class.as_deref(), Some("invalid_arguments"));
    let noop = fake.hand_out(json!({"operator": "noop"}));
    assert_eq!(fake.finished(noop).await.outcome, "success");
    let binary = fake.bash("printf 'a\\377b\\n'");
    assert_eq!(fake.finished(binary).await.return_value, Some(json!("a\u{fffd}b")));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn words_are_a_command_without_a_shell() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    let id = fake.hand_out(json!({"args": {"bash_command": ["echo", "$HOME", "a  b"]}}));
    assert_eq!(fake.finished(id).await.return_value, Some(json!("$HOME a  b")));
    let id = fake.hand_out(json!({"args": {"bash_command": []}}));
    assert_eq!(fake.finished(id).await.failure_class.as_deref(), Some("invalid_arguments"));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn output_is_read_in_its_encoding() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(&fake, dir.path());
    for (encoding, bytes, text) in [
        ("latin_1", r"caf\351", "café"),
        ("cp1251", r"\357\360\350", "при"),
        ("utf-16-le", r"h\000i\000\n\000", "hi"),
        ("gbk", r"\326\320\377", "中\u{fffd}"),
        ("UTF-8", r"a\377", "a\u{fffd}"),
    ] {
        let id =
            fake.hand_out(json!({"args": {"bash_command": format!("printf '{bytes}'"), "output_encoding": encoding}}));
        assert_eq!(fake.finished(id).await.return_value, Some(json!(text)), "{encoding}");
    }
    let id = fake.hand_out(json!({"args": {"bash_command": "true", "output_encoding": "klingon"}}));
    let report = fake.finished(id).await;
    assert_eq!(report.failure_class.as_deref(), Some("invalid_arguments"));
    assert!(report.failure_reason.unwrap().contains("klingon"));
    node.stop().await.unwrap();
}

/// None of the processes listed in the file runs any more (a zombie that init has not reaped yet is gone).
pub(crate) fn assert_gone(pids: &std::path::Path) {
    for pid in std::fs::read_to_string(pids).unwrap().lines() {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        let state = state.as_deref().and_then(|stat| stat.rsplit_once(") ")).map(|(_, rest)| rest.as_bytes()[0]);
        assert!(matches!(state, None | Some(b'Z' | b'X')), "process {pid} still runs");
    }
}

/// Tests that need root have nothing to say elsewhere.
fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root starts processes of other users");
    }
    root
}

/// A data folder that other users may pass through, or may not.
fn folder(mode: u32) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    dir
}

#[tokio::test]
async fn run_as_user_is_who_the_process_is_in_a_folder_of_its_own() {
    if !is_root() {
        return;
    }
    let fake = Fake::start().await;
    let dir = folder(0o755);
    let hash = fake.bundle(&[(
        "who.py",
        "import os, pwd\ndef am_i():\n    open('mine', 'w').close()\n    from airflow.models import Variable\n    \
         return [pwd.getpwuid(os.getuid()).pw_name, os.getgroups(), Variable.get('x', default_var='none')]\n",
    )]);
    let node = TestNode::start(&fake, dir.path());
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let command = "touch mine && echo $(id -un) $(id -G) $HOME";
    let id = fake.hand_out(json!({"run_as_user": "nobody", "args": {"bash_command": command}}));
    let report = fake.finished(id).await;
    let home = if std::env::var_os("HOME").is_some() { nobody.dir.display().to_string() } else { String::new() };
    let expected = format!("nobody {} {home}", nobody.gid);
    assert_eq!(report.return_value, Some(json!(expected.trim_end())), "{report:?}");
    let python = json!({
        "run_as_user": "nobody", "operator": "python", "operator_class": "x", "bundle_hash": hash,
        "args": {"python_callable": "who.am_i", "interpreter": "/usr/bin/python3"},
    });
    let report = fake.finished(fake.hand_out(python)).await;
    assert_eq!(report.outcome, "success", "{report:?}");
    assert_eq!(report.return_value.unwrap()[0], "nobody");
    // The node's own user needs no change.
    let id = fake.hand_out(json!({"run_as_user": "root", "args": {"bash_command": "id -un"}}));
    assert_eq!(fake.finished(id).await.return_value, Some(json!("root")));
    node.stop().await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("work")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_user_that_does_not_exist_or_cannot_reach_what_it_needs_is_a_readable_failure() {
    if !is_root() {
        return;
    }
    let fake = Fake::start().await;
    let dir = folder(0o700);
    let node = TestNode::start(&fake, dir.path());
    let cases = [
        ("no-such-user", "`run_as_user: no-such-user`: this node has no such user."),
        ("nobody", "may not be executed by the user `nobody`, who must be able to reach `"),
    ];
    for (user, reason) in cases {
        let id = fake.hand_out(json!({"run_as_user": user, "args": {"bash_command": "id -un"}}));
        let report = fake.finished(id).await;
        assert_eq!(report.outcome, "failed", "{report:?}");
        assert!(report.failure_reason.as_deref().unwrap().contains(reason), "{report:?}");
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancel_ends_the_tree_of_another_user_too() {
    if !is_root() {
        return;
    }
    let fake = Fake::start().await;
    let dir = folder(0o755);
    let node = TestNode::start(&fake, dir.path());
    let pids = dir.path().join("pids");
    std::fs::write(&pids, "").unwrap();
    nix::unistd::chown(&pids, nix::unistd::User::from_name("nobody").unwrap().map(|user| user.uid), None).unwrap();
    let command = format!(
        "trap '' TERM; setsid sleep 600 & echo $! >> {0}; sleep 600 & echo $! >> {0}; echo $$ >> {0}; echo ready; wait",
        pids.display()
    );
    let id = fake.hand_out(json!({"run_as_user": "nobody", "args": {"bash_command": command}}));
    fake.log_line(id, "ready").await;
    fake.cancel(id, Duration::from_millis(200));
    fake.wait("stopped", |seen| kinds(seen, id).contains(&"stopped").then_some(())).await;
    assert_gone(&pids);
    node.stop().await.unwrap();
}
