//! A git repository as the DAG folder. The `git` program fetches one commit, its files are laid out as a tree of their own, and the
//! folder that is processed is a symbolic link to the newest tree: a commit appears at once and whole, and files that it does not
//! change are not compiled again.
//!
//! Nothing of the repository is run: no hooks, no filters, no submodules. What `git` needs to log in (keys, credential helpers,
//! proxies) it takes from its own configuration; it never asks.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

/// A server that does not answer for so long is not waited for.
const PATIENCE: Duration = Duration::from_mins(2);
/// Where the fetched commit is kept from being collected.
const FETCHED: &str = "refs/updraft/fetched";

/// Where the DAGs are.
#[derive(Clone, Debug)]
pub struct Config {
    /// Anything `git fetch` takes; may hold a token, hence secret.
    pub url: SecretString,
    /// A branch or a tag.
    pub reference: String,
    /// How often the repository is asked.
    pub interval: Duration,
    /// A folder for the clone and the trees, this processor's own.
    pub home: PathBuf,
}

impl Config {
    /// The link to the newest tree.
    pub fn folder(&self) -> PathBuf {
        self.home.join("current")
    }
}

/// Why there is no newer commit. The texts are for people and hold no secret.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("the program `git` cannot be run: {0}")]
    NoGit(#[source] io::Error),
    #[error("`git {command}` failed: {message}")]
    Failed { command: &'static str, message: String },
    #[error("`git fetch` has no answer after {} s", PATIENCE.as_secs())]
    Timeout,
    #[error("the commit cannot be laid out in {}: {error}", path.display())]
    Files { path: PathBuf, error: io::Error },
}

/// The repository, asked when it is time.
pub(super) struct Repository {
    config: Config,
    asked: Option<Instant>,
}

impl Repository {
    pub(super) fn new(config: Config) -> Self {
        Self { config, asked: None }
    }

    /// How long until the next question.
    pub(super) fn due_in(&self) -> Duration {
        self.asked.map_or(Duration::ZERO, |asked| self.config.interval.saturating_sub(asked.elapsed()))
    }

    /// The commit whose tree is in place, from this life or an earlier one.
    pub(super) fn commit(&self) -> Option<String> {
        let tree = fs::read_link(self.config.folder()).ok()?;
        Some(tree.file_name()?.to_str()?.to_owned())
    }

    /// Fetches, and puts the newest commit's tree in place when it is another one.
    pub(super) async fn update(&mut self) -> Result<(), GitError> {
        self.asked = Some(Instant::now());
        let home = &self.config.home;
        let repository = home.join("repository");
        fs::create_dir_all(&repository).map_err(|error| GitError::Files { path: repository.clone(), error })?;
        if !repository.join("HEAD").exists() {
            self.git("init", &["init", "--quiet", "--bare"]).await?;
        }
        let wanted = format!("+{}:{FETCHED}", self.config.reference);
        let url = self.config.url.expose_secret();
        self.git("fetch", &["fetch", "--quiet", "--no-tags", "--depth=1", "--force", "--", url, &wanted]).await?;
        let commit = self.git("rev-parse", &["rev-parse", "--verify", &format!("{FETCHED}^{{commit}}")]).await?;
        let commit = commit.trim().to_owned();
        let previous = self.commit();
        if previous.as_deref() == Some(&commit) {
            return Ok(());
        }
        let home = home.clone();
        let laid_out = tokio::task::spawn_blocking(move || {
            lay_out(&home, &commit)?;
            prune(&home, &[Some(commit), previous]);
            Ok(())
        });
        laid_out.await.unwrap_or_else(|panic| {
            Err(GitError::Failed { command: "archive", message: format!("the thread ended: {panic}") })
        })
    }

    async fn git(&self, command: &'static str, arguments: &[&str]) -> Result<String, GitError> {
        let program = tokio::process::Command::from(git(&self.config.home))
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, program).await.map_err(|_| GitError::Timeout)?;
        let output = output.map_err(GitError::NoGit)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        // git repeats the URL, and with it what it holds.
        let message = said.replace(self.config.url.expose_secret(), "the repository");
        Err(GitError::Failed { command, message: message.trim().to_owned() })
    }
}

fn git(home: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .args(["-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "gc.auto=0"])
        .current_dir(home.join("repository"))
        .env("GIT_DIR", home.join("repository"))
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
    command
}

/// Unpacks a commit beside the others, then moves the link: nobody sees half of it.
fn lay_out(home: &Path, commit: &str) -> Result<(), GitError> {
    let trees = home.join("trees");
    let (tree, partial) = (trees.join(commit), trees.join(format!("{commit}.partial")));
    let files = |path: &Path| {
        let path = path.to_owned();
        move |error| GitError::Files { path, error }
    };
    if !tree.exists() {
        gone(fs::remove_dir_all(&partial)).map_err(files(&partial))?;
        fs::create_dir_all(&partial).map_err(files(&partial))?;
        let mut archive = git(home)
            .args(["archive", "--format=tar", commit])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(GitError::NoGit)?;
        let stream = archive.stdout.take().expect("stdout is piped");
        let unpacked = tar::Archive::new(stream).unpack(&partial);
        let status = archive.wait().map_err(GitError::NoGit)?;
        if !status.success() {
            return Err(GitError::Failed { command: "archive", message: status.to_string() });
        }
        unpacked.map_err(files(&partial))?;
        fs::rename(&partial, &tree).map_err(files(&tree))?;
    }
    let (link, next) = (home.join("current"), home.join("next"));
    gone(fs::remove_file(&next)).map_err(files(&next))?;
    std::os::unix::fs::symlink(Path::new("trees").join(commit), &next).map_err(files(&next))?;
    fs::rename(&next, &link).map_err(files(&link))
}

/// What was never there is as well removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Removes the trees of other commits; what cannot be removed is tried again at the next commit.
fn prune(home: &Path, keep: &[Option<String>]) {
    let Ok(trees) = fs::read_dir(home.join("trees")) else { return };
    for tree in trees.flatten() {
        let name = tree.file_name().to_string_lossy().into_owned();
        if !keep.contains(&Some(name))
            && let Err(error) = fs::remove_dir_all(tree.path())
        {
            tracing::debug!(tree = %tree.path().display(), %error, "an old tree stays");
        }
    }
}
