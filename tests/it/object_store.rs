//! Logs and large XComs in an object store: a server that speaks S3 (moto), the binary in front of it.

use std::{ffi::OsString, time::Duration};

use reqwest::Client;
use tokio::process::Command;
use updraft_store::testing::TestDb;

use crate::support::{open_folder, process::Watched, standalone::Standalone, write};

/// An S3 with one empty bucket.
struct Moto {
    _server: Watched,
    url: String,
    client: Client,
}

impl Moto {
    /// `None`, with a word about it, where there is none.
    async fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("UPDRAFT_TEST_MOTO").filter(|program| *program != OsString::new()) else {
            eprintln!(
                "skipped: no moto_server (UPDRAFT_TEST_MOTO, which tools/test-env.sh sets where pip can install it)"
            );
            return None;
        };
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]).kill_on_drop(true);
        let mut server = Watched::spawn(&mut command);
        let line = server.line_with("Running on http").await;
        let url = line.split("Running on ").nth(1).unwrap().trim().to_owned();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().unwrap();
        client.put(format!("{url}/updraft")).send().await.unwrap().error_for_status().unwrap();
        Some(Self { _server: server, url, client })
    }

    /// The names of all objects.
    async fn objects(&self) -> Vec<String> {
        let list = self.client.get(format!("{}/updraft?list-type=2", self.url)).send().await.unwrap();
        let xml = list.error_for_status().unwrap().text().await.unwrap();
        let keys = xml.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap().to_owned());
        keys.collect()
    }
}

async fn standalone(moto: &Moto, dag: &str) -> Standalone {
    let folder = open_folder();
    write(&folder.path().join("dags"), "d.yaml", dag);
    let options = format!("[\"aws_endpoint={}\", \"aws_allow_http=true\", \"aws_region=us-east-1\"]", moto.url);
    let mut server = Standalone::start_with(
        folder,
        Some(TestDb::new().await),
        &[
            ("UPDRAFT__WEBSERVER__LOG_STORE", "s3://updraft/some/prefix"),
            ("UPDRAFT__WEBSERVER__LOG_STORE_OPTIONS", &options),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ],
    )
    .await;
    server.process.line_with("the DAG has a new version").await;
    server
}

#[tokio::test]
async fn logs_and_large_xcoms_are_objects_and_read_like_files() {
    let Some(moto) = Moto::start().await else { return };
    let server = standalone(
        &moto,
        "tasks:
  big:
    python: |
      result = 'x' * 100000
  say:
    bash: for i in 1 2 3; do echo line $i; done; echo {{ ti.xcom_pull('big') | length }}
    depends_on: [big]
",
    )
    .await;
    let said = server.cli(&["dags", "trigger", "d", "--run-id", "r", "--wait"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    // The log comes a moment after the result.
    let read = async {
        loop {
            let log = server.cli(&["runs", "logs", "d", "r", "say"]).await;
            if log.stdout.contains("100000") {
                return log.stdout;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let log = tokio::time::timeout(Duration::from_secs(30), read).await.expect("the log arrives");
    assert!(log.contains("line 1") && log.contains("100000"), "{log}");
    let objects = moto.objects().await;
    let part = |name: &String| {
        name.starts_with("some/prefix/dag_id=d/run_id=r/task_id=say/attempt=1-") && name.contains(".log/000000000000-")
    };
    assert!(objects.iter().any(part), "{objects:?}");
    assert!(objects.iter().any(|name| name.starts_with("some/prefix/xcom/")), "{objects:?}");
    let data = std::fs::read_dir(server.data_dir()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!data.into_iter().any(|name| name == "logs"), "no log is in a folder");
}
