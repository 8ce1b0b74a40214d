//! The throw-away standalone that is measured, and its REST API.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::api::Api;

/// The node's slots; also the concurrency of the floors.
pub(crate) const SLOTS: u32 = 16;

pub(crate) struct Instance {
    pub(crate) start_seconds: f64,
    child: Child,
    folder: TempDir,
    pub(crate) api: Api,
}

impl Instance {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("updraft-bench-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("dags")).unwrap();
        Self::start_in(folder).await
    }

    async fn start_in(folder: TempDir) -> Self {
        let begin = Instant::now();
        let log = fs::File::create(folder.path().join("updraft.log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_updraft"))
            .args(["standalone", "--port", "0", "--slots", &SLOTS.to_string(), "--data-dir"])
            .arg(folder.path().join("data"))
            .arg("--dags-folder")
            .arg(folder.path().join("dags"))
            .env("UPDRAFT__CORE__DAGS_ARE_PAUSED_AT_CREATION", "false")
            .env("UPDRAFT__LOGGING__LEVEL", "warn")
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next_line().await.unwrap().expect("standalone starts; see updraft.log");
            if let Some(url) = line.strip_prefix("Updraft is up: ") {
                break url.trim().to_owned();
            }
        };
        let start_seconds = begin.elapsed().as_secs_f64();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let password = fs::read_to_string(folder.path().join("data/admin-password")).unwrap();
        let api = Api::login(&url, password.trim()).await;
        Self { start_seconds, child, folder, api }
    }

    /// Stops it in order and starts it again on the same folder.
    pub(crate) async fn restart(mut self) -> Self {
        kill(self.pid(), Signal::SIGINT).unwrap();
        self.child.wait().await.unwrap();
        let empty = tempfile::tempdir().unwrap();
        Self::start_in(std::mem::replace(&mut self.folder, empty)).await
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the private Postgres' socket.
    pub(crate) fn socket_folder(&self) -> PathBuf {
        self.folder.path().join("data/socket")
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().expect("it runs").cast_signed())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.api.get(path).await
    }

    /// What all its processes use of one core while something else happens, in percent.
    pub(crate) async fn share_of_a_core(&self, meanwhile: impl Future<Output = ()>) -> f64 {
        let ticks = || self.processes().into_iter().map(|pid| (pid, cpu_ticks(pid))).collect::<HashMap<i32, u64>>();
        let (begin, began) = (ticks(), Instant::now());
        meanwhile.await;
        // Postgres' backends come and go; one that ended took what it used with it.
        let used: u64 =
            ticks().iter().map(|(pid, end)| end.saturating_sub(begin.get(pid).copied().unwrap_or_default())).sum();
        // USER_HZ is 100 on every Linux platform we run on.
        used as f64 / began.elapsed().as_secs_f64()
    }

    /// CPU and memory of all its processes while nothing is to do.
    pub(crate) async fn idle(&self, period: Duration) -> String {
        let share = self.share_of_a_core(tokio::time::sleep(period)).await;
        let memory: u64 = self.processes().iter().map(|pid| private_kib(*pid)).sum();
        format!("{share:.1} % of a core, {} MiB (its own and Postgres' private memory)", memory / 1024)
    }

    /// Our process, the postmaster and its children.
    fn processes(&self) -> Vec<i32> {
        let file = self.folder.path().join("data/postgres/postmaster.pid");
        let postmaster: i32 = fs::read_to_string(file).unwrap().lines().next().unwrap().parse().unwrap();
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        [self.pid().as_raw(), postmaster].into_iter().chain(children).collect()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let Some(id) = self.child.id() else { return };
        let pid = Pid::from_raw(id.cast_signed());
        if kill(pid, Signal::SIGINT).is_ok() {
            // It stops its Postgres; the folder goes after that.
            while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn cpu_ticks(pid: i32) -> u64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return 0 };
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    // utime and stime: fields 14 and 15 of stat, 12 and 13 after the name.
    [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum()
}

/// Resident memory of a process, in MB.
pub(crate) fn resident_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says how much is resident");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0 / 1e6
}

fn private_kib(pid: i32) -> u64 {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { return 0 };
    let lines = text.lines().filter(|line| line.starts_with("Private_"));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}
