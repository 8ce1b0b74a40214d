//! A task that writes without end in sight.

use std::{fs, time::Duration};

use nix::unistd::Pid;
use reqwest::Client;

use crate::support::{process::PATIENCE, standalone::Standalone};

/// The most memory that a process ever had. MiB.
fn peak(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() / 1024
}

/// Node and webserver are one process here, so what both need is measured at once: what grows with a log is files.
/// `tools/big-log.sh` measures the two apart, with 1 GiB.
#[tokio::test]
async fn a_big_log_costs_node_and_webserver_files_and_not_memory() {
    let flood = "tasks:\n  flood: {bash: 'yes \"$(printf %0199d 7)\" | head -n 300000'}\n";
    let server = Standalone::with_dags(&[("flood.yaml", flood)]).await;
    let before = peak(server.process.pid());
    let said = server.cli(&["dags", "trigger", "flood", "--run-id", "r", "--wait"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().build().unwrap();
    let arrived = async {
        loop {
            let text = client.get(format!("{}/metrics", server.url)).send().await.unwrap().text().await.unwrap();
            let value = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
                line.map_or(0.0, |value| value.parse::<f64>().unwrap())
            };
            if value("updraft_log_bytes_received") > 300_000.0 * 200.0 {
                return text.contains("updraft_node_log_lines_dropped{");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let dropped = tokio::time::timeout(PATIENCE, arrived).await.expect("the log arrives");
    let grown = peak(server.process.pid()) - before;
    assert!(grown < 64, "{grown} MiB more for a log of 60 MB");
    assert!(!dropped, "lines were dropped");
}
