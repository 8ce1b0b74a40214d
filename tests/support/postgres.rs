//! A Postgres server of one test's own, which it may stop.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::unistd::{Uid, User, chown};
use tokio::process::Command;

/// A cluster in a folder; stopped when it is dropped, as in a crash.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
}

impl Postgres {
    /// Makes a cluster in `folder` (which everybody may pass through) and starts it.
    pub(crate) async fn start(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        if Uid::effective().is_root() {
            let user = User::from_name("postgres").unwrap().expect("Debian's Postgres brings its user");
            chown(&folder, Some(user.uid), Some(user.gid)).unwrap();
        }
        let postgres = Self { programs: programs(), folder };
        postgres.run("initdb", &["-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--no-locale"]).await;
        postgres.resume().await;
        postgres
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.folder.display())
    }

    /// Ends all connections, and the server.
    pub(crate) async fn stop(&self) {
        self.run("pg_ctl", &["stop", "-w", "-m", "fast"]).await;
    }

    /// Starts it again.
    pub(crate) async fn resume(&self) {
        let options = format!("-k {} -c listen_addresses= -c fsync=off -c jit=off", self.folder.display());
        let log = self.folder.join("log").display().to_string();
        self.run("pg_ctl", &["start", "-w", "-l", &log, "-o", &options]).await;
    }

    async fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = as_postgres(&self.programs.join(program));
        command.args(arguments).arg("-D").arg(self.folder.join("data")).current_dir(&self.folder);
        // A server that `pg_ctl` starts keeps what it is given: pipes would never end.
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).status().await;
        assert!(status.unwrap().success(), "{program} {arguments:?} failed");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut command = as_postgres(&self.programs.join("pg_ctl")).into_std();
        command.args(["stop", "-m", "immediate", "-D"]).arg(self.folder.join("data")).current_dir(&self.folder);
        // It may be stopped already.
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Postgres does not run as root.
fn as_postgres(program: &Path) -> Command {
    if !Uid::effective().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
    command
}

/// The newest server programs on this machine.
fn programs() -> PathBuf {
    let folders = fs::read_dir("/usr/lib/postgresql").unwrap().filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let mut folders: Vec<PathBuf> = folders.filter(|folder| folder.join("initdb").is_file()).collect();
    folders.sort();
    folders.pop().expect("Postgres' server programs are on this machine")
}
