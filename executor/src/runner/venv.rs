//! Virtual environments for `requirements`: made once for what a task asks for, kept by content below the node's data folder, the
//! least recently used removed when all of them take too much room.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};
use tokio::{process::Command, sync::Mutex as AsyncMutex};
use updraft_core::{
    operator::PythonArgs,
    spec::{Failure, FailureClass},
};
use uuid::Uuid;

use super::{
    End, Finished, Job, bash, failure,
    process::{self, Ended, Exit, Launch},
};
use crate::{node::Node, render::Rendered};

/// In a whole environment; it holds its size, and its time is that of the last use.
const READY: &str = ".updraft-ready";
/// The launch deadline of an attempt that waits for another's environment is extended this often.
const TELL: Duration = Duration::from_secs(15);
/// An interpreter that does not say who it is in this time is none.
const PATIENCE: Duration = Duration::from_secs(30);

/// The node's environments.
pub(crate) struct Environments {
    dir: PathBuf,
    /// All of them together, as far as they are not in use. Bytes.
    limit: u64,
    /// One build of each at a time; who holds a gate uses the environment.
    gates: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
}

/// One that is in use for as long as this lives.
pub(crate) struct Environment {
    pub(crate) python: PathBuf,
    _in_use: Arc<AsyncMutex<()>>,
}

/// What became of asking for one.
pub(crate) enum Made {
    Ready(Environment),
    /// The task was stopped, or its time was over, meanwhile.
    Over(Box<End>),
}

/// Whether a task needs an environment of its own.
pub(crate) fn is_wanted(args: &PythonArgs) -> bool {
    !args.requirements.is_empty() || !args.system_site_packages
}

/// The interpreter that a task names, or the node's.
pub(crate) fn interpreter(node: &Node, args: &PythonArgs) -> OsString {
    match (&args.interpreter, &args.python_version) {
        (Some(interpreter), _) => interpreter.into(),
        (None, Some(version)) => format!("python{version}").into(),
        (None, None) => node.config.python.clone(),
    }
}

impl Environments {
    /// What an earlier life did not finish is removed.
    pub(crate) fn open(dir: &Path, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if !path.join(READY).exists() {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(Self { dir, limit, gates: Mutex::default() })
    }

    /// The environment that a task asks for; building it is a part of the task, with its log, its timeout and its end.
    pub(crate) async fn get(&self, job: &Job, args: &PythonArgs, rendered: &Rendered) -> Result<Made, Failure> {
        let base = Interpreter::find(job, args).await?;
        let key = key(&base, args);
        let path = self.dir.join(&key);
        let gate = {
            let mut gates = self.gates.lock().expect("no code panics while it holds the list");
            Arc::clone(gates.entry(key).or_default())
        };
        let held = loop {
            tokio::select! {
                held = gate.lock() => break held,
                stop = job.stopped() => return Ok(Made::Over(Box::new(End::Stopped(stop)))),
                () = tokio::time::sleep(TELL) => job.preparing("waiting for its virtual environment"),
            }
        };
        if !is_ready(&path) {
            let built = self.build(job, args, rendered, &base, &path).await;
            if !matches!(built, Ok(None))
                && let Err(error) = fs::remove_dir_all(&path)
            {
                tracing::debug!(%error, path = %path.display(), "a virtual environment that was not made leaves nothing");
            }
            if let Some(over) = built? {
                return Ok(Made::Over(Box::new(over)));
            }
            self.make_room().await;
        }
        drop(held);
        Ok(Made::Ready(Environment { python: path.join("bin/python"), _in_use: gate }))
    }

    /// `None`: it is there.
    async fn build(
        &self,
        job: &Job,
        args: &PythonArgs,
        rendered: &Rendered,
        base: &Interpreter,
        path: &Path,
    ) -> Result<Option<End>, Failure> {
        job.log.say("info", &format!("Making a virtual environment with {}", args.requirements.join(", ")));
        let mut make: Vec<OsString> = vec!["-m".into(), "venv".into()];
        make.extend(args.system_site_packages.then(|| "--system-site-packages".into()));
        make.push(path.into());
        if let Some(over) = step(job, rendered, base.executable.clone().into(), make).await? {
            return Ok(Some(over));
        }
        if !args.requirements.is_empty() {
            let list = path.join("requirements.txt");
            fs::write(&list, args.requirements.join("\n") + "\n").map_err(|error| unwritable(&list, &error))?;
            let words = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-r"];
            let mut install: Vec<OsString> = words.map(OsString::from).into();
            install.push(list.into());
            for (number, url) in args.index_urls.iter().enumerate() {
                let option = if number == 0 { "--index-url" } else { "--extra-index-url" };
                install.extend([option.into(), url.into()]);
            }
            install.extend(args.pip_install_options.iter().map(OsString::from));
            if let Some(over) = step(job, rendered, path.join("bin/python").into(), install).await? {
                return Ok(Some(over));
            }
        }
        let whole = path.to_owned();
        let size = tokio::task::spawn_blocking(move || size_of(&whole)).await.unwrap_or(0);
        let ready = path.join(READY);
        fs::write(&ready, size.to_string()).map_err(|error| unwritable(&ready, &error))?;
        Ok(None)
    }

    /// Removes the least recently used until the rest fits.
    async fn make_room(&self) {
        let gone = self.take_away();
        let removed = tokio::task::spawn_blocking(move || gone.iter().try_for_each(fs::remove_dir_all)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, dir = %self.dir.display(), "an old virtual environment stays behind until the next start");
        }
    }

    /// Moves aside what is to go, so that nobody finds it any more.
    fn take_away(&self) -> Vec<PathBuf> {
        let mut gates = self.gates.lock().expect("no code panics while it holds the list");
        let mut kept: Vec<(SystemTime, u64, String)> = Vec::new();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let ready = entry.path().join(READY);
            let used = ready.metadata().and_then(|data| data.modified());
            let size = fs::read_to_string(&ready).ok().and_then(|size| size.parse().ok());
            if let (Ok(used), Some(size)) = (used, size) {
                kept.push((used, size, entry.file_name().to_string_lossy().into_owned()));
            }
        }
        kept.sort();
        let mut total: u64 = kept.iter().map(|(_, size, _)| size).sum();
        let mut gone = Vec::new();
        for (_, size, key) in kept {
            if total <= self.limit {
                break;
            }
            // The list has one reference, each user another.
            if gates.get(&key).is_some_and(|gate| Arc::strong_count(gate) > 1) {
                continue;
            }
            let aside = self.dir.join(format!("{key}.{}", Uuid::new_v4()));
            if fs::rename(self.dir.join(&key), &aside).is_ok() {
                gates.remove(&key);
                total -= size;
                gone.push(aside);
            }
        }
        gone
    }
}

/// An interpreter, as it calls itself.
struct Interpreter {
    executable: PathBuf,
    version: String,
}

impl Interpreter {
    async fn find(job: &Job, args: &PythonArgs) -> Result<Self, Failure> {
        let name = interpreter(&job.node, args);
        let program = job.node.programs.find(&name).ok_or_else(|| process::not_found(&name))?;
        let asked = Command::new(&program)
            .args(["-I", "-c", "import sys; print(sys.executable); print(sys.version)"])
            .env_clear()
            .envs(job.node.base_env.iter().cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        let text = match &answer {
            Ok(Ok(output)) if output.status.success() => String::from_utf8_lossy(&output.stdout),
            _ => "".into(),
        };
        let (executable, version) = text.split_once('\n').ok_or_else(|| {
            let reason = format!("`{}` is no Python that makes virtual environments.", program.display());
            failure(FailureClass::EnvironmentError, reason)
        })?;
        Ok(Self { executable: executable.trim().into(), version: version.trim().to_owned() })
    }
}

/// The same for everything that leads to the same environment.
fn key(base: &Interpreter, args: &PythonArgs) -> String {
    let mut requirements: Vec<&str> = args.requirements.iter().map(|line| line.trim()).collect();
    requirements.sort_unstable();
    let spec = serde_json::json!([
        base.executable,
        base.version,
        requirements,
        args.system_site_packages,
        args.pip_install_options,
        args.index_urls
    ]);
    updraft_core::dag::hex(&Sha256::digest(spec.to_string().as_bytes()))[..32].to_owned()
}

/// One command of a build.
async fn step(job: &Job, rendered: &Rendered, program: OsString, args: Vec<OsString>) -> Result<Option<End>, Failure> {
    let mut env = job.node.base_env.clone();
    env.extend(job.process_env(rendered, None));
    let what = args.get(1).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let launch = Launch { program, args, env, cwd: job.folder(), capture: None, encoding: None, as_node: true };
    let Ended { exit, .. } = process::run(job, launch).await?;
    match exit {
        Exit::Code(0) => Ok(None),
        Exit::Stopped(stop) => Ok(Some(End::Stopped(stop))),
        Exit::TimedOut => Ok(Some(End::Finished(Finished::failed(bash::timeout_failure(job))))),
        Exit::Code(_) | Exit::Signal(_) | Exit::OutOfMemory(_) => {
            let hint = match (&*what, job.log.last_stderr()) {
                ("venv", _) => "; on Debian its package is python3-venv".to_owned(),
                (_, Some(line)) => format!(": {}", line.chars().take(300).collect::<String>()),
                _ => String::new(),
            };
            let reason = format!("The virtual environment of the task could not be made: {what} failed{hint}");
            Err(failure(FailureClass::EnvironmentError, reason))
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    failure(FailureClass::NodeError, format!("The node cannot write `{}`: {error}.", path.display()))
}

/// Whether an environment is whole; if so it counts as used now.
fn is_ready(path: &Path) -> bool {
    let Ok(file) = fs::File::options().append(true).open(path.join(READY)) else { return false };
    if let Err(error) = file.set_modified(SystemTime::now()) {
        tracing::debug!(%error, path = %path.display(), "an environment's last use cannot be noted");
    }
    true
}

/// The files of a folder. Bytes; what cannot be read counts nothing.
fn size_of(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size_of(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environments(limit: u64) -> (tempfile::TempDir, Environments) {
        let dir = tempfile::tempdir().unwrap();
        for (key, age) in [("old", 3), ("used", 2), ("new", 1)] {
            let path = dir.path().join(key);
            fs::create_dir(&path).unwrap();
            fs::write(path.join(READY), "100").unwrap();
            let at = SystemTime::now() - Duration::from_secs(age);
            fs::File::options().append(true).open(path.join(READY)).unwrap().set_modified(at).unwrap();
        }
        fs::create_dir(dir.path().join("half")).unwrap();
        let environments = Environments::open(dir.path(), limit).unwrap();
        (dir, environments)
    }

    #[tokio::test]
    async fn the_least_recently_used_goes_unless_it_is_in_use() {
        let (dir, environments) = environments(150);
        let names = || {
            let mut names: Vec<String> = fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(), ["new", "old", "used"], "what was not finished is gone at the start");
        let gate = Arc::<AsyncMutex<()>>::default();
        environments.gates.lock().unwrap().insert("old".to_owned(), Arc::clone(&gate));
        assert!(is_ready(&dir.path().join("used")));
        environments.make_room().await;
        assert_eq!(names(), ["old"], "`old` is in use; of the others none fits beside it");
        drop(gate);
        environments.make_room().await;
        assert_eq!(names(), ["old"], "what fits stays");
    }

    #[test]
    fn the_order_of_requirements_makes_no_other_environment() {
        let base = Interpreter { executable: "/usr/bin/python3".into(), version: "3.11".into() };
        let args = |value: serde_json::Value| serde_json::from_value::<PythonArgs>(value).unwrap();
        let one = args(serde_json::json!({"requirements": ["b==2", "a"]}));
        let other = args(serde_json::json!({"requirements": "a\n# for the report\nb==2\n"}));
        assert_eq!(key(&base, &one), key(&base, &other));
        let alone = args(serde_json::json!({"requirements": ["a", "b==2"], "system_site_packages": false}));
        assert_ne!(key(&base, &one), key(&base, &alone));
    }
}
