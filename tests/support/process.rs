//! The binary, run to its end or watched line by line.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};

/// Nothing here takes this long; a test that waits longer fails with what was said so far.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The binary with an environment of its own: no variable of ours but PATH, `home` as HOME.
pub(crate) fn updraft(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_updraft"));
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", home)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What a finished command said.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary to its end.
pub(crate) async fn run(home: &Path, arguments: &[&str]) -> Outcome {
    finish(updraft(home).args(arguments)).await
}

/// Runs a prepared command to its end.
pub(crate) async fn finish(command: &mut Command) -> Outcome {
    finish_within(PATIENCE, command).await
}

/// The same, for a command that takes its time.
pub(crate) async fn finish_within(patience: Duration, command: &mut Command) -> Outcome {
    let output = timeout(patience, command.output()).await.expect("the command ends").unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running process whose lines (stdout and stderr) are collected.
pub(crate) struct Watched {
    pub(crate) child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    pub(crate) said: String,
}

impl Watched {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::unbounded_channel();
        collect(child.stdout.take().unwrap(), sender.clone());
        collect(child.stderr.take().unwrap(), sender);
        Self { child, lines, said: String::new() }
    }

    /// The first line (not yet read) that holds `text`.
    pub(crate) async fn line_with(&mut self, text: &str) -> String {
        let found = timeout(PATIENCE, async {
            while let Some(line) = self.lines.recv().await {
                self.said.push_str(&line);
                self.said.push('\n');
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        })
        .await;
        match found {
            Ok(Some(line)) => line,
            Ok(None) => panic!("it ended without saying {text:?}; it said:\n{}", self.said),
            Err(tokio::time::error::Elapsed { .. }) => {
                panic!("it did not say {text:?} in time; it said:\n{}", self.said)
            }
        }
    }

    /// Waits until so many lines, those that were read already among them, hold `text`.
    pub(crate) async fn lines_with(&mut self, text: &str, count: usize) {
        while self.said.lines().filter(|line| line.contains(text)).count() < count {
            self.line_with(text).await;
        }
    }

    /// Everything said until now.
    pub(crate) fn so_far(&mut self) -> &str {
        while let Ok(line) = self.lines.try_recv() {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        &self.said
    }

    /// Waits for the end and returns the exit code (`None`: ended by a signal).
    pub(crate) async fn end(&mut self) -> Option<i32> {
        let status = timeout(PATIENCE, self.child.wait()).await;
        while let Some(line) = self.lines.recv().await {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        status.unwrap_or_else(|_| panic!("it does not end; it said:\n{}", self.said)).unwrap().code()
    }

    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.child.id().expect("it still runs").cast_signed())
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(self.pid(), signal).unwrap();
    }
}

fn collect(stream: impl AsyncRead + Unpin + Send + 'static, sender: mpsc::UnboundedSender<String>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
}
