//! A Docker daemon of a test's own, to be stopped, frozen and filled up; the shared one is never touched.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::docker::IMAGE;

/// Where a daemon makes its bridge and listens. One that shares the machine's must not touch the bridge of the daemon that
/// is there (`--bridge=none` would delete it), so it is given another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Own,
    Shared,
}

pub(crate) struct Dockerd {
    dir: tempfile::TempDir,
    /// The bridge that was made for it in the machine's network.
    bridge: Option<String>,
    data: PathBuf,
    flags: Vec<String>,
    child: Option<Child>,
}

/// Whether a daemon can be started here: the program is there, and the test runs as root. Says so when not.
pub(crate) fn ready() -> bool {
    let dockerd = Command::new("dockerd").arg("--version").output().is_ok_and(|output| output.status.success());
    let ready = crate::docker::ready() && dockerd && nix::unistd::geteuid().is_root();
    if !ready {
        println!("skipped: a Docker daemon of the test's own takes `dockerd` and root");
    }
    ready
}

impl Dockerd {
    /// Starts one with the test image in it. `data`: where its images and containers are, if not in the test's folder.
    pub(crate) fn start(flags: &[&str], data: Option<&Path>, network: Network) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bridge = (network == Network::Shared).then(|| {
            let name = format!("ud{:08x}", rand::random::<u32>());
            ip(&["link", "add", &name, "type", "bridge"]);
            name
        });
        let data = data.map_or_else(|| dir.path().join("data"), Path::to_owned);
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut daemon = Self { dir, bridge, data, flags, child: None };
        daemon.run();
        let mut save = Command::new("docker").args(["save", IMAGE]).stdout(Stdio::piped()).spawn().unwrap();
        let load = daemon.command().arg("load").stdin(save.stdout.take().unwrap()).output().unwrap();
        assert!(load.status.success(), "{}", String::from_utf8_lossy(&load.stderr));
        save.wait().unwrap();
        daemon
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.dir.path().display())
    }

    /// The docker program on this daemon.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.args(["-H", &self.host()]);
        command
    }

    /// Starts it again on the same data.
    pub(crate) fn run(&mut self) {
        let dir = self.dir.path();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
        let mut command = match &self.bridge {
            None => Command::new("unshare"),
            Some(_) => Command::new("dockerd"),
        };
        match &self.bridge {
            None => command.args(["--net", "dockerd"]),
            Some(bridge) => command.arg(format!("--bridge={bridge}")),
        };
        let child = command
            .args(["-H", &self.host(), "--iptables=false", "--ip6tables=false"])
            .args(["--shutdown-timeout=1", "--storage-driver=overlay2"])
            .arg(format!("--data-root={}", self.data.display()))
            .arg(format!("--exec-root={}", dir.join("exec").display()))
            .arg(format!("--pidfile={}", dir.join("pid").display()))
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.command().arg("version").output().unwrap().status.success() {
            let log = || std::fs::read_to_string(dir.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "dockerd does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until it has found so many running containers again. One that ends while a daemon restores the others may never be
    /// seen to end by it (Docker 20.10).
    pub(crate) fn until_restored(&self, containers: usize) {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let running = self.command().args(["ps", "-q"]).output().unwrap();
            if String::from_utf8_lossy(&running.stdout).lines().count() == containers {
                return;
            }
            assert!(Instant::now() < deadline, "the daemon does not find its containers again");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.as_ref().unwrap().id() as i32), signal).unwrap();
    }

    /// Ends it, as systemd does.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        self.child.take().unwrap().wait().unwrap();
    }
}

fn ip(args: &[&str]) {
    let done = Command::new("ip").args(args).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if self.child.is_none() {
            return;
        }
        self.signal(Signal::SIGCONT);
        // Those of `live-restore` would outlive it. A daemon that hangs must not make the failure of its test a time-out.
        let script =
            "timeout 20 docker ps -aq | xargs -r timeout 20 docker rm -f -v; kill -TERM $0; sleep 10; kill -KILL $0";
        let child = self.child.take();
        let pid = child.as_ref().map_or(0, Child::id).to_string();
        let mut reaper = Command::new("sh");
        reaper.args(["-c", script, &pid]).env("DOCKER_HOST", self.host());
        let ended = reaper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        if let (Some(mut child), Ok(mut reaper)) = (child, ended) {
            let _ = child.wait();
            let _ = reaper.kill();
            let _ = reaper.wait();
        }
        if let Some(bridge) = &self.bridge {
            ip(&["link", "del", bridge]);
        }
    }
}

/// A small file system of a test's own.
pub(crate) struct SmallDisk {
    pub(crate) path: PathBuf,
    _dir: tempfile::TempDir,
}

impl SmallDisk {
    pub(crate) fn mount(megabytes: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::create_dir(&path).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).status().unwrap();
        assert!(mounted.success());
        Self { path, _dir: dir }
    }

    /// Leaves no byte free.
    pub(crate) fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.path.join("filler")).unwrap();
        for size in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub(crate) fn free(&self) {
        std::fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(&self.path).status();
    }
}
