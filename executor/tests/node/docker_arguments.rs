//! The arguments of the `DockerOperator`: as the daemon is asked for them, and as a container has them.

use serde_json::{Map, Value, json};

use crate::{
    daemon::Daemon,
    docker::{IMAGE, docker, gone, ready, start, task},
    fake::{Fake, TestNode, lines},
};

/// What of `created` is not the same in `plain`, a container without further arguments.
fn beyond(created: &Value, plain: &Value) -> Value {
    match (created, plain) {
        (Value::Object(created), Value::Object(plain)) => {
            let missing = Value::Null;
            let changed: Map<String, Value> = created
                .iter()
                .filter(|(name, value)| plain.get(*name) != Some(*value))
                .map(|(name, value)| (name.clone(), beyond(value, plain.get(name).unwrap_or(&missing))))
                .collect();
            Value::Object(changed)
        }
        (Value::Array(created), Value::Array(plain)) => {
            Value::Array(created.iter().filter(|item| !plain.contains(item)).cloned().collect())
        }
        _ => created.clone(),
    }
}

/// Texts that differ from run to run.
fn steady(mut value: Value, attempt: &str, dir: &str) -> Value {
    fn walk(value: &mut Value, attempt: &str, dir: &str) {
        match value {
            Value::String(text) => *text = text.replace(attempt, "<attempt>").replace(dir, "<data>"),
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, attempt, dir)),
            Value::Object(fields) => {
                fields.sort_keys();
                fields.values_mut().for_each(|field| walk(field, attempt, dir));
            }
            _ => {}
        }
    }
    walk(&mut value, attempt, dir);
    value
}

#[tokio::test]
async fn each_argument_asks_the_daemon_for_what_docker_calls_it() {
    let cases = [
        ("command, text", json!({"command": "sh -c 'a b'"})),
        ("command, python list", json!({"command": "['echo', 'a b']"})),
        ("entrypoint", json!({"entrypoint": ["/bin/env"], "command": ["a"]})),
        (
            "env_file",
            json!({"env_file": "A=file\nB=file\n", "environment": {"B": "own"}, "private_environment": {"C": "private"}}),
        ),
        ("working_dir, user, hostname, tty", json!({"working_dir": "/w", "user": 1000, "hostname": "h", "tty": true})),
        ("labels", json!({"labels": {"team": "a", "updraft.attempt": "not this"}})),
        ("cpus", json!({"cpus": 0.5})),
        ("mem_limit, shm_size", json!({"mem_limit": "64m", "shm_size": 1_048_576})),
        ("ulimits", json!({"ulimits": [{"name": "nofile", "soft": 64, "hard": 128}, {"name": "nproc", "soft": 10}]})),
        (
            "device_requests",
            json!({"device_requests": [{"count": -1, "capabilities": [["gpu"]], "driver": "nvidia", "device_ids": ["0"], "options": {"a": "b"}}]}),
        ),
        (
            "mounts, bind",
            json!({"mounts": [{"target": "/t", "source": "/s", "type": "bind", "read_only": true, "propagation": "rslave"}]}),
        ),
        ("mounts, volume", json!({"mounts": [{"target": "/t", "source": "v", "no_copy": true, "labels": {"a": "b"}}]})),
        (
            "mounts, tmpfs",
            json!({"mounts": [{"target": "/t", "type": "tmpfs", "tmpfs_size": "1m", "tmpfs_mode": 448}]}),
        ),
        ("volumes", json!({"volumes": ["/s:/t:ro"]})),
        ("tmpfs, one", json!({"tmpfs": "/t"})),
        ("tmpfs, several", json!({"tmpfs": ["/t", "/u"]})),
        ("tmpfs, options", json!({"tmpfs": {"/t": "size=1m,mode=1777"}})),
        ("mount_tmp_dir", json!({"mount_tmp_dir": true})),
        ("tmp_dir", json!({"mount_tmp_dir": true, "tmp_dir": "/scratch"})),
        ("network_mode", json!({"network_mode": "none"})),
        (
            "dns, dns_search, extra_hosts",
            json!({"dns": ["192.0.2.1"], "dns_search": "example.com", "extra_hosts": {"db": "192.0.2.2"}}),
        ),
        ("port_bindings", json!({"port_bindings": {"80": 8080, "53/udp": ["127.0.0.1", 53]}})),
        ("privileged", json!({"privileged": true})),
        ("cap_add, ipc_mode", json!({"cap_add": ["NET_ADMIN"], "ipc_mode": "host"})),
        ("log_opts", json!({"log_opts_max_size": "1m", "log_opts_max_file": "2"})),
        ("auto_remove", json!({"auto_remove": "success"})),
        ("retrieve_output", json!({"retrieve_output": true})),
        ("retrieve_output_path", json!({"retrieve_output": true, "retrieve_output_path": "/out.json"})),
    ];
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut config = daemon.config(&fake, dir.path());
    config.docker_privileged = true;
    let node = TestNode::start_with(config);
    let data = dir.path().canonicalize().unwrap().display().to_string();
    let mut table = Map::new();
    let id = fake.hand_out(task(json!({})));
    fake.finished(id).await;
    let plain = steady(daemon.created(), &id.to_string(), &data);
    for (name, args) in cases {
        let id = fake.hand_out(task(args));
        let report = fake.finished(id).await;
        assert_eq!(report.failure_class.as_deref().unwrap_or_default(), "", "{name}: {:?}", report.failure_reason);
        table.insert(name.to_owned(), beyond(&steady(daemon.created(), &id.to_string(), &data), &plain));
    }
    insta::assert_json_snapshot!(table);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn an_argument_that_cannot_be_met_is_refused_with_a_sentence() {
    let cases = [
        (json!({"privileged": true}), "docker_privileged"),
        (json!({"mem_limit": "lots"}), "mem_limit"),
        (json!({"shm_size": "lots"}), "shm_size"),
        (json!({"env_file": "no assignment here"}), "env_file"),
        (json!({"mounts": [{"target": "/t", "type": "nfs"}]}), "nfs"),
        (json!({"mounts": [{"target": "/t", "type": "bind", "tmpfs_size": 1}]}), "tmpfs_size"),
        (json!({"mounts": [{"target": "/t", "type": "bind", "propagation": "sideways"}]}), "sideways"),
        (json!({"mounts": [{"target": "/t", "driver_config": {}}]}), "driver_config"),
        (json!({"port_bindings": {"80": 80}, "network_mode": "host"}), "network_mode: host"),
        (json!({"pull": "sometimes"}), "sometimes"),
    ];
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let node = TestNode::start_with(daemon.config(&fake, dir.path()));
    for (args, words) in cases {
        let id = fake.hand_out(task(args.clone()));
        let report = fake.finished(id).await;
        assert_eq!(report.failure_class.as_deref(), Some("invalid_arguments"), "{args}: {:?}", report.failure_reason);
        assert!(report.failure_reason.as_ref().unwrap().contains(words), "{args}: {:?}", report.failure_reason);
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_container_has_the_limits_and_the_network_it_was_given() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let shell = |args: Value, script: &str| {
        let mut args = args;
        args["command"] = json!(["sh", "-c", script]);
        task(args)
    };
    let memory = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";
    let cases = [
        (shell(json!({"mem_limit": "32m"}), memory), "33554432"),
        (shell(json!({"shm_size": "8m"}), "df -k /dev/shm | tail -1 | awk '{print $2}'"), "8192"),
        (
            shell(json!({"ulimits": [{"name": "nofile", "soft": 77, "hard": 99}]}), "echo $(ulimit -Sn) $(ulimit -Hn)"),
            "77 99",
        ),
        (shell(json!({"user": "1234:4321"}), "echo $(id -u):$(id -g)"), "1234:4321"),
        (shell(json!({"working_dir": "/tmp"}), "pwd"), "/tmp"),
        (shell(json!({"hostname": "box"}), "hostname"), "box"),
        (
            shell(
                json!({"dns": "192.0.2.1", "dns_search": ["example.com"]}),
                "grep -v '^#' /etc/resolv.conf | sort | tr '\\n' ' '",
            ),
            "nameserver 192.0.2.1 search example.com",
        ),
        (shell(json!({"extra_hosts": {"db": "192.0.2.2"}}), "grep -w db /etc/hosts | tr '\\t' ' '"), "192.0.2.2 db"),
        (shell(json!({"tmpfs": {"/fast": "size=1m"}}), "df -k /fast | tail -1 | awk '{print $1, $2}'"), "tmpfs 1024"),
        (
            shell(
                json!({"mounts": [{"target": "/fast", "type": "tmpfs", "tmpfs_size": "2m"}]}),
                "df -k /fast | tail -1 | awk '{print $1, $2}'",
            ),
            "tmpfs 2048",
        ),
        (shell(json!({"volumes": ["/etc:/host:ro"]}), "touch /host/x 2>/dev/null || echo read-only"), "read-only"),
        (shell(json!({"network_mode": "none"}), "ls /sys/class/net | tr '\\n' ' '"), "lo"),
        (
            shell(json!({"cap_add": ["SYS_TIME"]}), "grep CapEff /proc/self/status | awk '{print $2}'"),
            "00000000aa0425fb",
        ),
        (shell(json!({"tty": true}), "test -t 1 && echo terminal"), "terminal"),
        (shell(json!({"env_file": "A=from a file"}), "echo $A"), "from a file"),
        (
            shell(json!({"user": "1234", "mount_tmp_dir": true}), "touch $AIRFLOW_TMP_DIR/x && echo $AIRFLOW_TMP_DIR"),
            "/tmp/airflow",
        ),
    ];
    for (task, expected) in cases {
        let id = fake.hand_out(task.clone());
        let report = fake.finished(id).await;
        assert_eq!(report.return_value, Some(json!(expected)), "{task}: {:?}", report.failure_reason);
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn what_the_kernel_does_not_show_is_in_the_daemons_own_words() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let id = fake.hand_out(task(json!({
        "command": "true", "auto_remove": "never", "labels": {"team": "a"}, "cpus": 0.5, "ipc_mode": "private",
        "port_bindings": {"80": ["127.0.0.1", null]}, "log_opts_max_size": "1m", "log_opts_max_file": "2",
    })));
    assert_eq!(fake.finished(id).await.outcome, "success");
    let name = format!("updraft-{id}");
    let inspected: Value = serde_json::from_str(&docker(&["inspect", &name]).unwrap()).unwrap();
    docker(&["rm", "-f", &name]).unwrap();
    let host = &inspected[0]["HostConfig"];
    assert_eq!(inspected[0]["Config"]["Labels"]["team"], "a");
    assert_eq!(host["CpuShares"], 512);
    assert_eq!(host["IpcMode"], "private");
    assert_eq!(host["PortBindings"], json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}));
    assert_eq!(host["LogConfig"], json!({"Type": "json-file", "Config": {"max-file": "2", "max-size": "1m"}}));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_result_is_a_line_all_lines_or_a_file() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let shell = |mut args: Value, script: &str| {
        args["command"] = json!(["sh", "-c", script]);
        fake.hand_out(task(args))
    };
    let line = shell(json!({}), "echo a; echo b");
    assert_eq!(fake.finished(line).await.return_value, Some(json!("b")));
    let all = shell(json!({"xcom_all": true}), "echo a; echo b");
    assert_eq!(fake.finished(all).await.return_value, Some(json!(["a", "b"])));
    let file = shell(json!({"retrieve_output": true}), "echo a; echo '[1, 2]' > /airflow/xcom/return.json");
    assert_eq!(fake.finished(file).await.return_value, Some(json!([1, 2])));
    let named =
        shell(json!({"retrieve_output": true, "retrieve_output_path": "/tmp/out"}), "echo '{\"a\": 1}' > /tmp/out");
    assert_eq!(fake.finished(named).await.return_value, Some(json!({"a": 1})));
    let none = shell(json!({"retrieve_output": true, "retrieve_output_path": "/tmp/none"}), "echo a");
    let report = fake.finished(none).await;
    assert_eq!((report.outcome.as_str(), report.return_value), ("success", None));
    let pickled =
        shell(json!({"retrieve_output": true, "retrieve_output_path": "/tmp/out"}), "printf '\\200\\004.' > /tmp/out");
    let report = fake.finished(pickled).await;
    assert_eq!(report.failure_class.as_deref(), Some("invalid_result"));
    assert!(report.failure_reason.unwrap().contains("pickled"));
    gone(pickled).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_private_variable_is_not_in_the_log() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let id = fake.hand_out(task(json!({
        "image": IMAGE, "command": ["sh", "-c", "echo it is $TOKEN"], "private_environment": {"TOKEN": "hunter2-and-more"},
        "do_xcom_push": false,
    })));
    fake.finished(id).await;
    fake.log_line(id, "it is ***").await;
    assert!(!lines(&fake.seen(), id).iter().any(|line| line.event.contains("hunter2")));
    node.stop().await.unwrap();
}
