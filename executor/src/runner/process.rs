//! A local process: its own process group, its output line by line, and an end in bounded time.
//!
//! `std` starts it with `posix_spawn` as long as nothing needs code between fork and exec; so nothing here does but `run_as_user`
//! (limits have a way of their own: [`Limits`]).

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

use encoding_rs::{Decoder, Encoding};
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::Instant,
};
use updraft_core::spec::{Failure, FailureClass};
use updraft_protocol::StartedReport;

use super::{Ending, Job, failure, limits::Limits, memory, sweep, user::RunAs};
use crate::{
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
    /// What its output is written in; `None`: UTF-8.
    pub(crate) encoding: Option<&'static Encoding>,
    /// As the node's own user, whoever the task is: it works for the node.
    pub(crate) as_node: bool,
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
    /// The kernel killed it, or a part of it, for the memory that all of it used.
    OutOfMemory(Option<i64>),
    TimedOut,
    Stopped(Stop),
}

/// Runs a process to its end.
pub(crate) async fn run(job: &Job, mut launch: Launch) -> Result<Ended, Failure> {
    let program = job.node.programs.find(&launch.program).ok_or_else(|| not_found(&launch.program))?;
    let words = [&launch.program].into_iter().chain(&launch.args);
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    job.note_command(words.iter().map(AsRef::as_ref));
    let (begun, at) = job.begun();
    let run_as = if launch.as_node { None } else { RunAs::of(job)? };
    launch.program = program.into();
    let limits = Limits::of(job);
    let (program, args) = match &limits {
        Some(_) => Limits::gate(&launch),
        None => (launch.program.clone(), std::mem::take(&mut launch.args)),
    };
    let mut command = Command::new(program);
    if let Some(user) = &run_as {
        user.give(job)?;
        user.rename(&mut launch.env, &job.node.base_env);
        job.log.say("info", &format!("Running as the user {}.", user.name));
        // Of root, std drops the other groups as well.
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    let spawned = command
        .args(args)
        .env_clear()
        .envs(launch.env)
        .current_dir(&launch.cwd)
        .process_group(0)
        .stdin(if limits.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            end_limits(job, limits).await;
            return Err(spawn_failure(&launch.program, &launch.cwd, run_as.as_ref(), &error));
        }
    };
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).expect("a child not yet waited for has a pid");
    job.progress.launched_at(begun, at, StartedReport { pid: Some(pid), ..job.started() });
    if let Some(start_ticks) = sweep::start_ticks(pid)
        && let Err(error) = job.node.journal.process(job.id, ProcessGroup { pgid: pid, start_ticks })
    {
        tracing::warn!(%error, attempt_id = %job.id, "the journal could not be written; a crash may leave this process behind");
    }
    updraft_core::failpoint!("executor.after_spawn");
    if let (Some(set), Some(gate)) = (&limits, child.stdin.take())
        && let Err(failure) = set.open(pid, gate).await
    {
        // The gate is shut: it ends without having started anything.
        if let Err(error) = child.wait().await {
            tracing::warn!(%error, attempt_id = %job.id, "a process that was not to start could not be waited for");
        }
        end_limits(job, limits).await;
        return Err(failure);
    }

    let mut stdout = Pipe::new(child.stdout.take().expect("piped"), Stream::Stdout, launch.encoding);
    stdout.capture = launch.capture.map(|limit| (limit, Some(Vec::new())));
    let mut stderr = Pipe::new(child.stderr.take().expect("piped"), Stream::Stderr, launch.encoding);
    let mut looks = memory::Looks::new();
    let far = Instant::now() + Duration::from_hours(24 * 365);
    // One timer, three meanings: the execution timeout, the end of the grace, the end of draining.
    let mut alarm = job.spec.execution_timeout.map_or(far, |timeout| Instant::from_std(begun) + timeout);
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
            () = looks.due(), if exit.is_none() => {
                if let Some(bytes) = memory::of_tree(pid) {
                    job.note_memory(bytes);
                }
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
    let out_of_memory = end_limits(job, limits).await;
    if ending.is_some() {
        kill_escaped(job).await;
    }
    let status = exit.expect("the loop ends after the process");
    let exit = match ending {
        Some(Ending::Timeout) => Exit::TimedOut,
        Some(Ending::Told(stop)) => Exit::Stopped(stop),
        None if out_of_memory && !status.success() => Exit::OutOfMemory(status.code().map(Into::into)),
        None => match (status.code(), status.signal().and_then(|number| Signal::try_from(number).ok())) {
            (Some(code), _) => Exit::Code(code.into()),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Code(i64::from(status.into_raw())),
        },
    };
    Ok(Ended { exit, stdout: stdout.capture.and_then(|(_, bytes)| bytes) })
}

/// Ends what is left in the control group of a task; answers whether the kernel killed any of it for memory.
async fn end_limits(job: &Job, limits: Option<Limits>) -> bool {
    let Some(limits) = limits else { return false };
    if let Some(peak) = limits.peak() {
        job.note_memory(peak);
    }
    let out_of_memory = limits.was_out_of_memory();
    limits.end().await;
    out_of_memory
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

pub(super) fn not_found(program: &OsStr) -> Failure {
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

    pub(crate) fn find(&self, program: &OsStr) -> Option<PathBuf> {
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
    /// `None`: it is UTF-8 already, or as good as.
    decoder: Option<Decoder>,
    lines: LineSplitter,
    /// How much to keep of what is read, and that, as long as it is no more.
    capture: Option<(usize, Option<Vec<u8>>)>,
    open: bool,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn new(reader: R, stream: Stream, encoding: Option<&'static Encoding>) -> Self {
        Self {
            reader,
            stream,
            buffer: Vec::with_capacity(8 * 1024),
            decoder: encoding.map(Encoding::new_decoder),
            lines: LineSplitter::default(),
            capture: None,
            open: true,
        }
    }

    /// Reads once. Dropping the future loses nothing.
    async fn read(&mut self, job: &Job) {
        self.buffer.clear();
        match self.reader.read_buf(&mut self.buffer).await {
            Ok(read) => {
                self.open = read > 0;
                self.take(job, read == 0);
            }
            Err(error) => {
                job.log.say("warning", &format!("The task's output cannot be read any further: {error}."));
                self.open = false;
            }
        }
    }

    /// Takes what is in the buffer.
    fn take(&mut self, job: &Job, last: bool) {
        let mut text = String::new();
        let bytes = match &mut self.decoder {
            Some(decoder) => {
                text.reserve(decoder.max_utf8_buffer_length(self.buffer.len()).unwrap_or(self.buffer.len()));
                // What is no character in that encoding becomes U+FFFD, as with Python's `errors="replace"`.
                let _ = decoder.decode_to_string(&self.buffer, &mut text, last);
                text.as_bytes()
            }
            None => &self.buffer,
        };
        if let Some((limit, kept)) = &mut self.capture {
            *kept = kept.take().filter(|known| known.len() + bytes.len() <= *limit);
            if let Some(kept) = kept {
                kept.extend_from_slice(bytes);
            }
        }
        self.lines.feed(bytes, |line| job.log.output(self.stream, line));
    }

    fn finish(&mut self, job: &Job) {
        self.lines.finish(|line| job.log.output(self.stream, line));
    }
}
