//! A local process: its own process group, its output line by line, and an end in bounded time.
//!
//! `std` starts it with `posix_spawn` as long as nothing needs code between fork and exec; so nothing here does but `run_as_user`.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    io,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Mutex,
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::Instant,
};
use updraft_core::spec::{Failure, FailureClass};
use updraft_protocol::StartedReport;

use super::{Job, failure, sweep, user::RunAs};
use crate::{
    clock::Moment,
    journal::ProcessGroup,
    logs::{LineSplitter, Stream},
    node::Stop,
};

/// After the task's own process ended, its output is read for at most this long: a daemon it left behind may hold the pipe.
const DRAIN: Duration = Duration::from_secs(2);

/// What to start.
pub(crate) struct Launch {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// The whole environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) cwd: PathBuf,
    /// Keep standard output, up to so many bytes.
    pub(crate) capture: Option<usize>,
}

/// What is left of a process.
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    /// What [`Launch::capture`] asked for; `None` when it was more than that.
    pub(crate) stdout: Option<Vec<u8>>,
}

/// How a process ended.
#[derive(Clone, Debug)]
pub(crate) enum Exit {
    Code(i64),
    Signal(Signal),
    TimedOut,
    Stopped(Stop),
}

/// Why it is being ended.
enum Ending {
    Timeout,
    Told(Stop),
}

/// Runs a process to its end.
pub(crate) async fn run(job: &Job, mut launch: Launch) -> Result<Ended, Failure> {
    let program = job.node.programs.find(&launch.program).ok_or_else(|| not_found(&launch.program))?;
    let words = [&launch.program].into_iter().chain(&launch.args);
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    job.note_command(words.iter().map(AsRef::as_ref));
    let (begun, at) = (std::time::Instant::now(), Moment::now());
    let mut command = Command::new(&program);
    let run_as = RunAs::of(job)?;
    if let Some(user) = &run_as {
        user.give(job)?;
        user.rename(&mut launch.env, &job.node.base_env);
        job.log.say("info", &format!("Running as the user {}.", user.name));
        // Of root, std drops the other groups as well.
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    let mut child = command
        .args(&launch.args)
        .env_clear()
        .envs(launch.env)
        .current_dir(&launch.cwd)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| spawn_failure(&launch.program, &launch.cwd, run_as.as_ref(), &error))?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).expect("a child not yet waited for has a pid");
    job.progress.launched_at(begun, at, StartedReport { pid: Some(pid), ..job.started() });
    if let Some(start_ticks) = sweep::start_ticks(pid)
        && let Err(error) = job.node.journal.process(job.id, ProcessGroup { pgid: pid, start_ticks })
    {
        tracing::warn!(%error, attempt_id = %job.id, "the journal could not be written; a crash may leave this process behind");
    }
    updraft_core::failpoint!("executor.after_spawn");

    let mut stdout = Pipe::new(child.stdout.take().expect("piped"), Stream::Stdout);
    stdout.capture = launch.capture.map(|limit| (limit, Some(Vec::new())));
    let mut stderr = Pipe::new(child.stderr.take().expect("piped"), Stream::Stderr);
    let far = Instant::now() + Duration::from_hours(24 * 365);
    // One timer, three meanings: the execution timeout, the end of the grace, the end of draining.
    let mut alarm = job.spec.execution_timeout.map_or(far, |timeout| Instant::now() + timeout);
    let mut ending: Option<Ending> = None;
    let mut killed = false;
    let mut exit: Option<ExitStatus> = None;
    loop {
        if exit.is_some() && !stdout.open && !stderr.open {
            break;
        }
        tokio::select! {
            () = stdout.read(job), if stdout.open => {}
            () = stderr.read(job), if stderr.open => {}
            status = child.wait(), if exit.is_none() => {
                exit = Some(status.map_err(|error| failure(FailureClass::NodeError, format!("The process could not be waited for: {error}.")))?);
                // What it left in its group goes with it.
                sweep::signal_group(pid, Signal::SIGKILL);
                alarm = Instant::now() + DRAIN;
            }
            stop = job.stopped(), if ending.is_none() && exit.is_none() => {
                let grace = match &stop {
                    Stop::Cancel { grace, reason } => {
                        job.log.say("warning", &format!("Stopping: {reason}. SIGTERM now, SIGKILL in {} s.", grace.as_secs_f64()));
                        *grace
                    }
                    Stop::Stale => Duration::ZERO,
                    Stop::Shutdown => {
                        job.log.say("warning", "Stopping: the executor ends.");
                        job.node.config.stop_grace
                    }
                };
                sweep::signal_group(pid, Signal::SIGTERM);
                alarm = Instant::now() + grace;
                ending = Some(Ending::Told(stop));
            }
            () = tokio::time::sleep_until(alarm) => {
                if exit.is_some() {
                    break;
                }
                if ending.is_none() {
                    let timeout = job.spec.execution_timeout.unwrap_or_default();
                    job.log.say("error", &format!("execution_timeout of {} s is over: stopping the task.", timeout.as_secs_f64()));
                    sweep::signal_group(pid, Signal::SIGTERM);
                    ending = Some(Ending::Timeout);
                    alarm = Instant::now() + job.node.config.stop_grace;
                } else {
                    if !killed {
                        job.log.say("warning", "It did not end in its grace time: SIGKILL.");
                        killed = true;
                    }
                    sweep::signal_group(pid, Signal::SIGKILL);
                    alarm = Instant::now() + Duration::from_secs(1);
                }
            }
        }
    }
    stdout.finish(job);
    stderr.finish(job);
    if ending.is_some() {
        kill_escaped(job).await;
    }
    let status = exit.expect("the loop ends after the process");
    let exit = match ending {
        Some(Ending::Timeout) => Exit::TimedOut,
        Some(Ending::Told(stop)) => Exit::Stopped(stop),
        None => match (status.code(), status.signal().and_then(|number| Signal::try_from(number).ok())) {
            (Some(code), _) => Exit::Code(code.into()),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Code(i64::from(status.into_raw())),
        },
    };
    Ok(Ended { exit, stdout: stdout.capture.and_then(|(_, bytes)| bytes) })
}

/// Processes that left the group (`setsid`) still carry the attempt's id. Returns when none is left, or when they do not die.
async fn kill_escaped(job: &Job) {
    let id = job.id;
    let sweep = move || {
        for _ in 0..50 {
            // A killed process is there for a moment more.
            if sweep::kill_marked(sweep::ATTEMPT_VARIABLE, id)? == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok::<_, io::Error>(())
    };
    match tokio::task::spawn_blocking(sweep).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, attempt_id = %id, "processes that left their group cannot be looked for");
        }
        Err(error) => tracing::warn!(%error, attempt_id = %id, "the sweep after a stop failed"),
    }
}

fn not_found(program: &OsStr) -> Failure {
    let name = program.to_string_lossy();
    let reason = format!("`{name}` is not on this node: install it, or name an image to run the task in a container.");
    failure(FailureClass::CommandNotFound, reason)
}

/// Where programs are, by the node's own `PATH`. With a whole path `std` can use `posix_spawn`; with a name and an environment of
/// the child's own it would fork this large process and search in the child.
pub(crate) struct Programs {
    path: Option<OsString>,
    known: Mutex<HashMap<OsString, PathBuf>>,
}

impl Programs {
    pub(crate) fn new(path: Option<OsString>) -> Self {
        Self { path, known: Mutex::default() }
    }

    fn find(&self, program: &OsStr) -> Option<PathBuf> {
        if Path::new(program).components().count() > 1 {
            return Some(program.into());
        }
        let mut known = self.known.lock().expect("no code panics while it holds the list");
        if let Some(path) = known.get(program).filter(|path| path.exists()) {
            return Some(path.clone());
        }
        let executable =
            |path: &PathBuf| path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0);
        let found = std::env::split_paths(self.path.as_deref()?).map(|folder| folder.join(program)).find(executable)?;
        known.insert(program.to_owned(), found.clone());
        Some(found)
    }
}

fn spawn_failure(program: &OsString, cwd: &Path, run_as: Option<&RunAs>, error: &io::Error) -> Failure {
    let name = program.to_string_lossy();
    let whose = run_as.map_or_else(String::new, |user| {
        format!(" by the user `{}`, who must be able to reach `{}` as well", user.name, cwd.display())
    });
    match error.kind() {
        io::ErrorKind::NotFound if !cwd.is_dir() => failure(
            FailureClass::InvalidArguments,
            format!("The working folder `{}` (cwd) does not exist on this node.", cwd.display()),
        ),
        io::ErrorKind::NotFound => not_found(program),
        io::ErrorKind::PermissionDenied => failure(
            FailureClass::CommandNotFound,
            format!("`{name}` may not be executed{whose} on this node: {error}."),
        ),
        io::ErrorKind::ArgumentListTooLong => failure(
            FailureClass::InvalidArguments,
            "The command and its environment are larger than the system allows for one process; put the data in a file.",
        ),
        _ => failure(FailureClass::NodeError, format!("The node could not start `{name}`: {error}.")),
    }
}

struct Pipe<R> {
    reader: R,
    stream: Stream,
    buffer: Vec<u8>,
    lines: LineSplitter,
    /// How much to keep of what is read, and that, as long as it is no more.
    capture: Option<(usize, Option<Vec<u8>>)>,
    open: bool,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn new(reader: R, stream: Stream) -> Self {
        Self {
            reader,
            stream,
            buffer: Vec::with_capacity(8 * 1024),
            lines: LineSplitter::default(),
            capture: None,
            open: true,
        }
    }

    /// Reads once. Dropping the future loses nothing.
    async fn read(&mut self, job: &Job) {
        self.buffer.clear();
        match self.reader.read_buf(&mut self.buffer).await {
            Ok(0) => self.open = false,
            Ok(_) => {
                if let Some((limit, kept)) = &mut self.capture {
                    *kept = kept.take().filter(|bytes| bytes.len() + self.buffer.len() <= *limit);
                    if let Some(kept) = kept {
                        kept.extend_from_slice(&self.buffer);
                    }
                }
                self.lines.feed(&self.buffer, |line| job.log.output(self.stream, line));
            }
            Err(error) => {
                job.log.say("warning", &format!("The task's output cannot be read any further: {error}."));
                self.open = false;
            }
        }
    }

    fn finish(&mut self, job: &Job) {
        self.lines.finish(|line| job.log.output(self.stream, line));
    }
}
