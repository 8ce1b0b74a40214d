//! A shell in a room that runs one task after the other: a process from it takes a millisecond, one from the daemon (`exec`) fifty.
//!
//! What a task is to run is written to the shell's standard input; its output comes on the shell's own, and ends, on both streams, with
//! a line that nobody else can know. Environment, folder and whatever the task changes are those of a subshell.

use std::{fmt::Write as _, pin::Pin};

use bollard::{
    container::LogOutput,
    errors::Error,
    exec::StartExecResults,
    models::{ContainerCreateBody, ExecConfig},
};
use futures::{FutureExt, Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use uuid::Uuid;

use super::{Made, Room};
use crate::{
    logs::Stream as Output,
    runner::{Job, sweep},
};

/// What the shell knows before its first task.
const PROLOGUE: &str = include_str!("session.sh");
/// Where tasks have their folders.
const FOLDERS: &str = "/tmp/updraft";

/// A shell that waits for a task, or runs one.
pub(super) struct Session {
    /// Stands in its command line; by it its processes are found.
    pub(super) mark: String,
    pub(super) exec: String,
    output: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>,
    input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// What comes of a running task.
pub(super) enum Event {
    Bytes(Output, Vec<u8>),
    /// It ended with this code, and so did its output.
    Ended(i64),
    /// The shell is gone, or the connection to it.
    Broken(Option<Error>),
}

impl Session {
    /// Starts a shell in the room.
    pub(super) async fn open(docker: &bollard::Docker, room: &Room) -> Result<Self, Error> {
        let mark = format!("updraft-session-{}", Uuid::new_v4());
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(vec!["/bin/sh".to_owned(), "-s".to_owned(), mark.clone()]),
            ..ExecConfig::default()
        };
        let exec = docker.create_exec(&room.name, config).await?.id;
        let StartExecResults::Attached { output, mut input } = docker.start_exec(&exec, None).await? else {
            return Err(Error::IOError { err: std::io::ErrorKind::NotConnected.into() });
        };
        input.write_all(PROLOGUE.as_bytes()).await?;
        Ok(Self { mark, exec, output, input })
    }

    /// Whether nothing was heard of its end.
    pub(super) fn is_alive(&mut self) -> bool {
        self.output.next().now_or_never().is_none()
    }

    /// Begins a task. `None`: the shell was gone before.
    pub(super) async fn begin(mut self, job: &Job, made: &Made, body: &ContainerCreateBody) -> Option<Task> {
        let secret = Uuid::new_v4().simple().to_string();
        let (begin, end) = (format!("updraft-begin-{secret}"), format!("updraft-end-{secret}"));
        let script = script(job.id, made, body, &begin, &end);
        self.input.write_all(script.as_bytes()).await.ok()?;
        self.input.flush().await.ok()?;
        let (mut stdout, mut stderr) = (EndLine::new(&end), EndLine::new(&end));
        let (mut head, mut early) = (Vec::new(), Vec::new());
        let begin = format!("{begin}\n");
        let rest = loop {
            match self.output.next().await?.ok()? {
                // The streams race: this may be the task's already, even its end.
                LogOutput::StdErr { message } => early.extend_from_slice(&message),
                LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                    head.extend_from_slice(&message);
                    if let Some(at) = find(&head, begin.as_bytes()) {
                        break head.split_off(at + begin.len());
                    }
                }
            }
        };
        let first = [(Output::Stdout, stdout.feed(&rest)), (Output::Stderr, stderr.feed(&early))];
        let first = first.into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
        Some(Task { session: self, stdout, stderr, first })
    }
}

/// A task in a session.
pub(super) struct Task {
    pub(super) session: Session,
    stdout: EndLine,
    stderr: EndLine,
    /// Output that came with the word of its beginning.
    first: Vec<(Output, Vec<u8>)>,
}

impl Task {
    /// What comes next. Cancel safe.
    pub(super) async fn next(&mut self) -> Event {
        if let Some((stream, bytes)) = self.first.pop() {
            return Event::Bytes(stream, bytes);
        }
        loop {
            if let (Some(code), Some(_)) = (self.stdout.code, self.stderr.code) {
                return Event::Ended(code);
            }
            let (stream, ending, message) = match self.session.output.next().await {
                Some(Ok(LogOutput::StdErr { message })) => (Output::Stderr, &mut self.stderr, message),
                Some(Ok(
                    LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message },
                )) => (Output::Stdout, &mut self.stdout, message),
                Some(Err(error)) => return Event::Broken(Some(error)),
                None => return Event::Broken(None),
            };
            let bytes = ending.feed(&message);
            if !bytes.is_empty() {
                return Event::Bytes(stream, bytes);
            }
        }
    }
}

/// Looks for what ends a task's output: a record separator, which no line that is shown at once is held back for, the secret, the code.
struct EndLine {
    mark: Vec<u8>,
    /// What may be its beginning.
    held: Vec<u8>,
    code: Option<i64>,
}

impl EndLine {
    fn new(secret: &str) -> Self {
        Self { mark: format!("\x1e{secret} ").into_bytes(), held: Vec::new(), code: None }
    }

    /// Answers the bytes that are certainly the task's.
    fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.code.is_some() {
            return Vec::new();
        }
        self.held.extend_from_slice(bytes);
        let Some(at) = find(&self.held, &self.mark) else {
            let keep = (1..self.mark.len().min(self.held.len() + 1)).rev();
            let kept = keep.into_iter().find(|length| self.held.ends_with(&self.mark[..*length])).unwrap_or(0);
            let rest = self.held.split_off(self.held.len() - kept);
            return std::mem::replace(&mut self.held, rest);
        };
        let rest = &self.held[at + self.mark.len()..];
        if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.code = std::str::from_utf8(&rest[..end]).ok().and_then(|code| code.trim().parse().ok()).or(Some(255));
        }
        let rest = self.held.split_off(at);
        std::mem::replace(&mut self.held, rest)
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The shell's work for one task.
fn script(id: Uuid, made: &Made, body: &ContainerCreateBody, begin: &str, end: &str) -> String {
    let own = format!("{FOLDERS}/{id}");
    let mut script = format!("printf '%s\\n' {begin}\n(\n");
    match &body.working_dir {
        Some(folder) => add(&mut script, format_args!("cd {} || exit 126\n", quoted(folder))),
        None => add(&mut script, format_args!("mkdir -p {own} && cd {own} || exit 126\n")),
    }
    let mark = format!("{}={id}", sweep::ATTEMPT_VARIABLE);
    let mut unusual = String::new();
    for variable in body.env.iter().flatten().chain([&mark]) {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        if is_identifier(name) {
            add(&mut script, format_args!("export {name}={}\n", quoted(value)));
        } else {
            // No shell exports these.
            add(&mut unusual, format_args!(" {}", quoted(variable)));
        }
    }
    script.push_str("exec");
    if !unusual.is_empty() {
        add(&mut script, format_args!(" env{unusual}"));
    }
    for word in words(made, body) {
        add(&mut script, format_args!(" {}", quoted(word)));
    }
    let folder = if body.working_dir.is_none() { own } else { String::new() };
    add(&mut script, format_args!("\n) </dev/null\nupdraft_end $? {end} '{folder}'\n"));
    script
}

fn add(script: &mut String, text: std::fmt::Arguments<'_>) {
    script.write_fmt(text).expect("a String takes everything");
}

/// The words of its command, by Docker's rule: another entrypoint has no use for the image's command.
fn words<'a>(made: &'a Made, body: &'a ContainerCreateBody) -> Vec<&'a String> {
    match (&body.entrypoint, &body.cmd) {
        (Some(entrypoint), cmd) => entrypoint.iter().chain(cmd.iter().flatten()).collect(),
        (None, Some(cmd)) => made.entrypoint.iter().chain(cmd).collect(),
        (None, None) => made.entrypoint.iter().chain(&made.cmd).collect(),
    }
}

/// A word as a shell reads it, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_however_it_is_cut() {
        let whole = b"one\ntwo\n\x1eupdraft-end-x 17\n";
        for cut in 0..whole.len() {
            let mut ending = EndLine::new("updraft-end-x");
            let mut out = ending.feed(&whole[..cut]);
            assert_eq!(ending.code, None);
            out.extend(ending.feed(&whole[cut..]));
            assert_eq!((out.as_slice(), ending.code), (&b"one\ntwo\n"[..], Some(17)), "cut at {cut}");
        }
    }

    #[test]
    fn what_only_begins_like_the_end_is_output() {
        let mut ending = EndLine::new("updraft-end-x");
        let mut out = ending.feed(b"a\n\x1eupdraft-end");
        assert_eq!(out, b"a\n", "a line is not held back");
        out.extend(ending.feed(b"ing\x1e"));
        out.extend(ending.feed(b"\x1eupdraft-end-x 0\n"));
        assert_eq!(out, b"a\n\x1eupdraft-ending\x1e");
        assert_eq!(ending.code, Some(0));
    }

    #[test]
    fn a_word_is_one_word_to_the_shell() {
        for word in ["", "a b", "it's", "$HOME `x` \"y\"", "two\nlines", "\\", "ü"] {
            let script = format!("printf %s {}", quoted(word));
            let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }

    #[test]
    fn only_what_a_shell_can_export_is_exported() {
        for (name, is) in [("A", true), ("_a1", true), ("1a", false), ("a.b", false), ("", false), ("a-b", false)] {
            assert_eq!(is_identifier(name), is, "{name}");
        }
    }
}
