//! What the machine does without us, measured in the same run with the same concurrency.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateContainerOptionsBuilder, RemoveContainerOptions, StartContainerOptions, WaitContainerOptions,
    },
};
use futures::StreamExt;

use crate::instance::{Instance, SLOTS};

pub(crate) async fn docker_answers() -> bool {
    match Docker::connect_with_unix_defaults() {
        Ok(docker) => docker.ping().await.is_ok(),
        Err(_) => false,
    }
}

/// Name and value of each floor.
pub(crate) fn measure(instance: &Instance, containers: Option<Containers>) -> Vec<(String, String)> {
    let mut floors = vec![(format!("fork+exec true, {SLOTS} at a time"), format!("{:.0}/s", fork_exec()))];
    if let Some(Containers { bridged, offline }) = containers {
        let name = format!("Docker API: create, start, wait, remove, {SLOTS} at a time");
        floors.push((format!("{name}, no network"), format!("{offline:.1}/s")));
        floors.push((name, format!("{bridged:.1}/s")));
    }
    floors.push(("pgbench simple-update, 8 clients, same Postgres".into(), pgbench(instance)));
    floors
}

/// How many containers a second the daemon creates, starts, waits for and removes.
#[derive(Clone, Copy)]
pub(crate) struct Containers {
    /// On the daemon's own network, as they are by default.
    pub(crate) bridged: f64,
    pub(crate) offline: f64,
}

impl Containers {
    pub(crate) async fn measure() -> Self {
        Self { bridged: containers(60, None).await, offline: containers(60, Some("none")).await }
    }
}

fn fork_exec() -> f64 {
    let each = 60;
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..SLOTS {
            scope.spawn(|| {
                for _ in 0..each {
                    let status = Command::new("/bin/true").stdin(Stdio::null()).status().unwrap();
                    assert!(status.success());
                }
            });
        }
    });
    f64::from(SLOTS * each) / begin.elapsed().as_secs_f64()
}

async fn containers(count: usize, network: Option<&str>) -> f64 {
    let docker = Docker::connect_with_unix_defaults().unwrap();
    let begin = Instant::now();
    let all = futures::stream::iter(0..count).for_each_concurrent(SLOTS as usize, |number| {
        let docker = docker.clone();
        async move {
            let name = format!("updraft-bench-floor-{}-{number}", std::process::id());
            let options = CreateContainerOptionsBuilder::default().name(&name).build();
            let body = ContainerCreateBody {
                image: Some("busybox".into()),
                cmd: Some(vec!["true".into()]),
                host_config: Some(HostConfig { network_mode: network.map(str::to_owned), ..HostConfig::default() }),
                ..ContainerCreateBody::default()
            };
            docker.create_container(Some(options), body).await.unwrap();
            docker.start_container(&name, None::<StartContainerOptions>).await.unwrap();
            while docker
                .wait_container(&name, None::<WaitContainerOptions>)
                .next()
                .await
                .is_some_and(|end| end.is_err())
            {}
            docker.remove_container(&name, None::<RemoveContainerOptions>).await.unwrap();
        }
    });
    all.await;
    count as f64 / begin.elapsed().as_secs_f64()
}

/// Commits per second of a small durable transaction on the instance's own server.
fn pgbench(instance: &Instance) -> String {
    let Some(folder) = programs() else { return "no pgbench on this machine".into() };
    let socket = instance.socket_folder();
    let run = |program: &str, arguments: &[&str]| {
        Command::new(folder.join(program))
            .args(["-h", socket.to_str().expect("a Unicode path"), "-U", "updraft"])
            .args(arguments)
            .output()
            .unwrap()
    };
    run("createdb", &["bench"]);
    run("pgbench", &["-i", "-q", "-s", "5", "bench"]);
    let seconds = Duration::from_secs(5).as_secs().to_string();
    let output = run("pgbench", &["-N", "-c", "8", "-j", "2", "-T", &seconds, "bench"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
    rate.map_or_else(|| String::from_utf8_lossy(&output.stderr).trim().to_owned(), |rate| format!("{rate:.0}/s"))
}

/// What psql answers, unaligned and without header; statements as a script on its standard input.
pub(crate) fn sql(instance: &Instance, database: &str, script: &str) -> String {
    let folder = programs().expect("Postgres' programs are on this machine: the instance runs on them");
    let mut child = Command::new(folder.join("psql"))
        .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "updraft", "-d", database, "-h"])
        .arg(instance.socket_folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().expect("it is piped").write_all(format!("{script};\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "psql refused: {script}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn programs() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    folders.sort();
    folders.into_iter().rev().find(|folder| folder.join("pgbench").is_file())
}
