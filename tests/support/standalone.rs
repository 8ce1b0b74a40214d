//! `updraft standalone` as a process on a port of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use updraft_store::testing::TestDb;

use super::{
    open_folder,
    process::{Outcome, Watched, finish, updraft},
};

/// A running standalone; killed, its Postgres too, when dropped.
pub(crate) struct Standalone {
    pub(crate) process: Watched,
    pub(crate) url: String,
    folder: TempDir,
    database: Option<TestDb>,
}

impl Standalone {
    /// With a private Postgres.
    pub(crate) async fn private() -> Self {
        Self::start(open_folder(), None).await
    }

    /// On a database of the test cluster: much faster to start.
    pub(crate) async fn shared() -> Self {
        Self::shared_with(&[]).await
    }

    /// Like [`Self::shared`], with more environment variables.
    pub(crate) async fn shared_with(env: &[(&str, &str)]) -> Self {
        let database = TestDb::new().await;
        Self::start_with(open_folder(), Some(database), env).await
    }

    /// Where its database is, of one that is not private.
    pub(crate) fn database_url(&self) -> &str {
        &self.database.as_ref().expect("a database of the test cluster").url
    }

    /// Like [`Self::shared`], with one DAG per file, each loaded and not paused.
    pub(crate) async fn with_dags(files: &[(&str, &str)]) -> Self {
        let (database, folder) = (TestDb::new().await, open_folder());
        for (name, text) in files {
            super::write(&folder.path().join("dags"), name, text);
        }
        let mut standalone = Self::start(folder, Some(database)).await;
        standalone.process.lines_with("the DAG has a new version", files.len()).await;
        standalone
    }

    /// Starts in a folder, which may hold an earlier one's data.
    pub(crate) async fn start(folder: TempDir, database: Option<TestDb>) -> Self {
        Self::start_with(folder, database, &[]).await
    }

    /// Like [`Self::start`], with more environment variables.
    pub(crate) async fn start_with(folder: TempDir, database: Option<TestDb>, env: &[(&str, &str)]) -> Self {
        fs::create_dir_all(folder.path().join("dags")).unwrap();
        let mut command = updraft(folder.path());
        command.env("UPDRAFT__CORE__DAGS_ARE_PAUSED_AT_CREATION", "false");
        command.envs(env.iter().copied());
        command.args(["standalone", "--port", "0", "--data-dir"]).arg(folder.path().join("data"));
        command.arg("--dags-folder").arg(folder.path().join("dags"));
        if let Some(database) = &database {
            command.args(["--database-url", &database.url]);
        }
        let mut process = Watched::spawn(&mut command);
        let line = process.line_with("Updraft is up: ").await;
        let url = line.trim_start_matches("Updraft is up: ").trim().to_owned();
        Self { process, url, folder, database }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn dags_folder(&self) -> PathBuf {
        self.folder.path().join("dags")
    }

    pub(crate) fn password(&self) -> String {
        fs::read_to_string(self.data_dir().join("admin-password")).unwrap().trim().to_owned()
    }

    /// Runs a command of the binary that finds this standalone by its data folder, and its database where that is not private.
    pub(crate) async fn cli(&self, arguments: &[&str]) -> Outcome {
        let mut command = updraft(self.folder.path());
        command.env("UPDRAFT__CORE__DATA_DIR", self.data_dir());
        if let Some(database) = &self.database {
            command.env("UPDRAFT__DATABASE__URL", &database.url);
        }
        finish(command.args(arguments)).await
    }

    /// The process of the private Postgres, if it runs.
    pub(crate) fn postgres(&self) -> Option<Pid> {
        postmaster(&self.data_dir())
    }

    /// Ends it with a signal and gives back its folder and database, for the next start.
    pub(crate) async fn end(mut self, signal: Signal) -> (Option<i32>, TempDir, Option<TestDb>) {
        self.process.signal(signal);
        let code = self.process.end().await;
        let folder = std::mem::replace(&mut self.folder, open_folder());
        (code, folder, self.database.take())
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        if let Some(id) = self.process.child.id() {
            // It may have ended in between.
            let _ = kill(Pid::from_raw(id.cast_signed()), Signal::SIGKILL);
        }
        stop_postgres(&self.data_dir());
    }
}

/// Ends the private Postgres of a data folder as in a crash.
pub(crate) fn stop_postgres(data_dir: &Path) {
    if let Some(pid) = postmaster(data_dir) {
        let _ = kill(pid, Signal::SIGQUIT);
        while Path::new(&format!("/proc/{pid}/cwd")).exists() && postmaster(data_dir) == Some(pid) {
            std::thread::yield_now();
        }
    }
}

fn postmaster(data_dir: &Path) -> Option<Pid> {
    let cluster = data_dir.join("postgres");
    let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    let pid = text.lines().next()?.parse().ok().map(Pid::from_raw)?;
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == cluster).then_some(pid)
}
