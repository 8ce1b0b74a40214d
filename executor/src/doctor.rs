//! What keeps a node from working, or may: looked at one by one, with what to do about each.

use std::{
    ffi::OsStr,
    os::unix::fs::MetadataExt,
    path::Path,
    process::Stdio,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::process::Command;
use uuid::Uuid;

use crate::{
    client::{CallError, Client},
    config::{Config, DockerMode},
    runner::{cgroup::Cgroups, docker::Docker, process::Programs},
};

/// Less room than this is a warning, a tenth of it an error. Bytes.
const ROOM: f64 = 2e9;
/// Log lines carry the node's clock; nothing else does.
const SKEW: Duration = Duration::from_secs(10);
/// The oldest Python that the shim runs on.
const PYTHON: (u32, u32) = (3, 9);
const PATIENCE: Duration = Duration::from_secs(10);

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Ok,
    /// Some tasks cannot run, or people will be confused.
    Warning,
    /// The node cannot work.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// A stable word.
    pub check: &'static str,
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

fn fine(check: &'static str, found: impl Into<String>) -> Finding {
    Finding { check, level: Level::Ok, found: found.into(), advice: None }
}

fn wrong(check: &'static str, level: Level, found: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { check, level, found: found.into(), advice: Some(advice.into()) }
}

/// Looks at everything a node needs; registers nothing and starts no task.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let programs = Programs::new(std::env::var_os("PATH"));
    let mut findings = vec![disk(&config.data_dir)];
    findings.extend(server(config).await);
    findings.push(docker(config).await);
    findings.push(shell(config, &programs));
    findings.push(python(config, &programs).await);
    findings.push(git(&programs));
    findings.push(groups());
    findings
}

/// The nearest folder that exists already: the node makes the rest.
fn disk(data_dir: &Path) -> Finding {
    let existing = data_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let shown = data_dir.display();
    let probe = tempfile_in(existing);
    if let Err(error) = probe {
        let advice = format!(
            "Let the node's user write there, or name another folder (core.data_dir). Its owner is uid {}.",
            owner(existing)
        );
        return wrong("data_dir", Level::Error, format!("{shown} cannot be written: {error}"), advice);
    }
    let stats = crate::stats::read(existing);
    let Some(free) = stats.get("disk_free") else { return fine("data_dir", format!("{shown} can be written")) };
    let found = format!("{shown} can be written and has {:.1} GB of room", free / 1e9);
    let advice =
        "Logs, code and environments of tasks are kept there: make room, or name a larger disk (core.data_dir).";
    match *free {
        free if free < ROOM / 10.0 => wrong("data_dir", Level::Error, found, advice),
        free if free < ROOM => wrong("data_dir", Level::Warning, found, advice),
        _ => fine("data_dir", found),
    }
}

/// Makes a file and removes it.
fn tempfile_in(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".updraft-doctor-{}", Uuid::new_v4()));
    std::fs::write(&path, "")?;
    std::fs::remove_file(path)
}

fn owner(path: &Path) -> String {
    path.metadata().map_or_else(|_| "unknown".to_owned(), |data| data.uid().to_string())
}

/// The server, the token, the protocol and the clock: one question has all the answers.
async fn server(config: &Config) -> Vec<Finding> {
    let client = match Client::new(&config.server, config.token.clone()) {
        Ok(client) => client,
        Err(error) => {
            return vec![wrong("server", Level::Error, error.to_string(), "Correct executor.server (--server).")];
        }
    };
    let asked = SystemTime::now();
    let (answer, date) = client.about().await;
    let mut findings = Vec::new();
    let there = |version: &str| fine("server", format!("{} answers (Updraft {version})", config.server));
    match answer {
        Ok(about) => {
            findings.push(there(&about.version));
            findings.push(fine("token", "the server accepts the token"));
            let ours = updraft_protocol::VERSION;
            let spoken = about.protocol_min..=about.protocol_max;
            findings.push(if spoken.contains(&ours) {
                fine("protocol", format!("version {ours}, which the server speaks"))
            } else {
                let found =
                    format!("this node speaks version {ours}, the server {} to {}", spoken.start(), spoken.end());
                wrong("protocol", Level::Error, found, "Use the server's version of Updraft on this node.")
            });
        }
        Err(CallError::Refused { code, detail }) => {
            findings.push(there("of unknown version"));
            let advice = "Make a token with `updraft executor token create NAME` on the server and name its file (executor.token_file).";
            findings.push(wrong("token", Level::Error, format!("the server refuses it ({code}): {detail}"), advice));
        }
        Err(CallError::Rejected { status, detail, .. }) => {
            let advice =
                "Is it an Updraft webserver, of this version or a newer one? Correct executor.server (--server).";
            let found = format!("{} answers {status}: {detail}", config.server);
            findings.push(wrong("server", Level::Error, found, advice));
        }
        Err(error @ (CallError::Later { .. } | CallError::UnknownSession)) => {
            let advice =
                "Is the webserver running, and does a firewall or proxy let this node through? The node waits for it.";
            findings.push(wrong("server", Level::Error, format!("{} does not answer: {error}", config.server), advice));
        }
    }
    findings.extend(date.and_then(|date| clock(asked, SystemTime::now(), &date)));
    findings
}

/// The server's clock beside ours, by the `Date` header, which counts whole seconds.
fn clock(asked: SystemTime, answered: SystemTime, date: &str) -> Option<Finding> {
    let theirs: SystemTime = chrono::DateTime::parse_from_rfc2822(date).ok()?.into();
    let (late, early) = (asked.duration_since(theirs), theirs.duration_since(answered));
    let off = late.or(early).unwrap_or_default();
    Some(if off > SKEW {
        let found = format!("this machine's clock is {} s away from the server's", off.as_secs());
        wrong(
            "clock",
            Level::Warning,
            found,
            "Tasks run all the same, but the times in their logs are wrong: start an NTP client.",
        )
    } else {
        fine("clock", "within seconds of the server's")
    })
}

async fn docker(config: &Config) -> Finding {
    if config.docker == DockerMode::Off {
        return fine("docker", "switched off (executor.docker)");
    }
    let docker = Docker::new(config);
    docker.check().await;
    let status = docker.status();
    if status.available {
        return fine("docker", format!("the daemon answers and speaks API {}", docker.api_version().await));
    }
    let reason = status.reason.unwrap_or_default();
    let advice = "Tasks in containers do not come to this node until it does. Start dockerd, let the node's user use its socket (the group \
                  docker), or name another (executor.docker_host).";
    wrong("docker", Level::Warning, reason, advice)
}

fn shell(config: &Config, programs: &Programs) -> Finding {
    if let Some(path) = programs.find(&config.shell) {
        return fine("shell", path.display().to_string());
    }
    let found = format!("`{}` is not on this machine", config.shell.to_string_lossy());
    wrong("shell", Level::Warning, found, "`bash` tasks without an image fail here: install it.")
}

fn git(programs: &Programs) -> Finding {
    let found = programs.find(OsStr::new("git")).map(|path| path.display().to_string());
    fine("git", found.unwrap_or_else(|| "not here; only a scheduler that reads DAGs from git needs it".to_owned()))
}

async fn python(config: &Config, programs: &Programs) -> Finding {
    let name = config.python.to_string_lossy();
    let advice =
        format!("Python tasks without an image need CPython {}.{} or newer here: install it.", PYTHON.0, PYTHON.1);
    let Some(path) = programs.find(&config.python) else {
        return wrong("python", Level::Warning, format!("`{name}` is not on this machine"), advice);
    };
    let script = "import sys; print('%d.%d.%d' % sys.version_info[:3]); import venv, ensurepip";
    let Some((said, can_make)) = ask(&path, &["-c", script]).await else {
        return wrong("python", Level::Warning, format!("{} does not answer", path.display()), advice);
    };
    let version: Vec<u32> = said.trim().split('.').filter_map(|part| part.parse().ok()).collect();
    let found = format!("{} is Python {}", path.display(), said.trim());
    match version[..] {
        [major, minor, ..] if (major, minor) >= PYTHON && can_make => fine("python", found),
        [major, minor, ..] if (major, minor) >= PYTHON => {
            let advice =
                "Tasks with `requirements` fail here: install its modules venv and ensurepip (on Debian python3-venv).";
            wrong("python", Level::Warning, format!("{found}, and makes no virtual environments"), advice)
        }
        _ => wrong("python", Level::Warning, found, advice),
    }
}

/// What a program prints, and whether it ended well; `None` when it does not in time.
async fn ask(program: &Path, words: &[&str]) -> Option<(String, bool)> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    Some((String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success()))
}

fn groups() -> Finding {
    match Cgroups::new(Uuid::new_v4(), Uuid::new_v4()).probe() {
        Ok(()) => fine("limits", "control groups can be made"),
        Err(reason) => {
            let advice = "`resources` of process tasks hold for each process alone. Run the node as root, or as a systemd service with Delegate=yes.";
            wrong("limits", Level::Warning, format!("no control groups can be made: {reason}"), advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_by_what_the_answer_cannot_explain() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let date = "Thu, 01 Jan 1970 01:00:00 GMT";
        let level = |asked, answered| clock(at(asked), at(answered), date).unwrap().level;
        assert_eq!(level(3600, 3601), Level::Ok);
        assert_eq!(level(3590, 3660), Level::Ok, "the answer took long");
        assert_eq!(level(7200, 7201), Level::Warning);
        assert_eq!(level(0, 1), Level::Warning);
        assert!(clock(at(0), at(0), "yesterday").is_none());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(disk(&dir.path().join("a/b")).level, Level::Ok);
        std::fs::write(dir.path().join("file"), "").unwrap();
        let finding = disk(&dir.path().join("file/below"));
        assert_eq!(finding.level, Level::Error);
        assert!(finding.advice.unwrap().contains("core.data_dir"));
    }
}
