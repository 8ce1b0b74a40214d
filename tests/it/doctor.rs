//! `updraft executor doctor`: what it finds, what it says to do.

use serde_json::Value;

use crate::support::{
    open_folder,
    process::{finish, updraft},
    standalone::Standalone,
};

#[tokio::test]
async fn beside_a_server_a_node_can_work() {
    let server = Standalone::shared().await;
    let said = server.cli(&["executor", "doctor", "--server", &server.url, "--output", "json"]).await;
    let findings: Vec<Value> =
        serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}{}", said.stdout, said.stderr));
    let level =
        |check: &str| findings.iter().find(|finding| finding["check"] == check).map(|finding| &finding["level"]);
    for check in ["data_dir", "server", "token", "protocol", "clock", "shell"] {
        assert_eq!(level(check), Some(&Value::from("ok")), "{check}: {}", said.stdout);
    }
    assert_eq!(said.code, Some(0));

    std::fs::write(server.data_dir().join("wrong-token"), "nobody's").unwrap();
    let file = server.data_dir().join("wrong-token").display().to_string();
    let said = server.cli(&["executor", "doctor", "--server", &server.url, "--token-file", &file]).await;
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    assert!(said.stdout.contains("error    token") && said.stdout.contains("executor token create"), "{}", said.stdout);
}

#[tokio::test]
async fn what_is_missing_is_said_with_what_to_do() {
    let home = open_folder();
    let mut command = updraft(home.path());
    command.env("PATH", "/nowhere").env("UPDRAFT__EXECUTOR__DOCKER_HOST", "unix:///nowhere/docker.sock");
    command.args(["executor", "doctor", "--server", "http://127.0.0.1:1", "--data-dir", "/proc/nowhere"]);
    let said = finish(&mut command).await;
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    // Whether control groups can be made is the machine's affair.
    let lines = said.stdout.lines().filter(|line| !line.contains("limits") && !line.contains("`resources`"));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}
