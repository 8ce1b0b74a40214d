//! One task in a room: a process from its start to its end, with everything it started.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::Value;
use tokio::time::Instant;
use updraft_core::spec::{Failure, FailureClass};
use updraft_protocol::XCOM_LIMIT;

use super::{
    Place, Room, is_gone,
    session::{Event, Task},
};
use crate::{
    logs::{LineSplitter, Piece, Stream},
    node::Stop,
    runner::{
        End, Ending, Finished, Job, bash,
        cgroup::oom,
        docker::{
            Plan, Watch, facts,
            plan::ResultFrom,
            run::{before_start, record},
        },
        failure,
    },
};

/// Signals every process of an attempt.
const STOP: &str = include_str!("stop.sh");
/// What was killed is gone by then, or the daemon does not answer.
const KILLED: Duration = Duration::from_secs(15);

/// Runs an attempt as a process of the room of its run.
pub(in crate::runner::docker) async fn run(job: &Job, plan: Plan) -> Result<End, Failure> {
    if let Some(what) = misfit(&plan) {
        return Err(failure(
            FailureClass::InvalidArguments,
            format!("{what} needs a container of the task's own: leave `reuse` out."),
        ));
    }
    let docker = tokio::select! {
        docker = job.node.docker.client() => docker?,
        stop = job.stopped() => return Ok(before_start(stop)),
    };
    let ready = async {
        // A room that ended since it was used last is made anew, once.
        let mut again = true;
        loop {
            let place = super::enter(job, &plan.body)?;
            let made = place.0.made(job, &docker, &plan).await?;
            record(job, &plan.watch)?;
            match place.0.begin(job, &docker, made, &plan.body).await {
                Ok(task) => {
                    job.note(|execution| execution.container_id = Some(made.id.clone()));
                    facts::note_image(job, &docker, made.image.as_deref()).await;
                    return Ok((task, place));
                }
                Err(error) if is_gone(&error) && std::mem::take(&mut again) => {
                    job.node.docker.rooms.forget(&place.0);
                }
                Err(error) => {
                    job.uncreated();
                    return Err(job
                        .node
                        .docker
                        .failure("The task could not be started in the run's container", &error));
                }
            }
        }
    };
    let (task, place) = tokio::select! {
        ready = ready => ready?,
        lost = job.node.docker.lost() => return Err(lost),
        stop = job.stopped() => {
            job.uncreated();
            return Ok(before_start(stop));
        }
    };
    job.progress.launched(job.started());
    follow(job, &docker, &place, task, &plan.watch).await
}

/// What of a task cannot be in a room.
fn misfit(plan: &Plan) -> Option<&'static str> {
    match plan.watch.result {
        _ if plan.body.tty == Some(true) => Some("`tty`"),
        ResultFrom::File(_) => Some("`retrieve_output`"),
        ResultFrom::Shim => Some("A Python task"),
        _ => None,
    }
}

/// What is kept of the output beside the log.
#[derive(Default)]
struct Kept {
    /// Every line of both streams.
    lines: Vec<Value>,
    /// Standard output.
    stdout: Vec<u8>,
    bytes: usize,
}

async fn follow(
    job: &Job,
    docker: &bollard::Docker,
    place: &Place,
    mut task: Task,
    watch: &Watch,
) -> Result<End, Failure> {
    let room = &place.0;
    let oom_kills = room.oom_kills.load(Ordering::Relaxed);
    let mark = task.session.mark.clone();
    let signal = async |signal: &str| self::signal(docker, room, &mark, job, signal).await;
    let (mut stdout, mut stderr) = (LineSplitter::default(), LineSplitter::default());
    let mut kept = Kept::default();
    let mut ending: Option<Ending> = None;
    let mut killed = false;
    let far = Duration::from_hours(24 * 365);
    let alarm = tokio::time::sleep(job.spec.execution_timeout.unwrap_or(far));
    let kill = tokio::time::sleep(far);
    tokio::pin!(alarm, kill);
    let code = loop {
        tokio::select! {
            event = task.next() => match event {
                Event::Bytes(stream, bytes) => {
                    let lines = match stream {
                        Stream::Stdout => &mut stdout,
                        Stream::Stderr => &mut stderr,
                    };
                    take(job, stream, &bytes, watch, lines, &mut kept);
                }
                Event::Ended(code) => break Some(code),
                // What it came to is asked for below.
                Event::Broken(error) => {
                    tracing::debug!(?error, room = room.name, "the output of a task in a room broke off");
                    break None;
                }
            },
            stop = job.stopped(), if !matches!(ending, Some(Ending::Told(_))) => {
                let grace = match &stop {
                    Stop::Shutdown => job.node.config.stop_grace,
                    Stop::Stale => Duration::ZERO,
                    Stop::Cancel { grace, reason } => {
                        job.log.say("warning", &format!("Stopping the task: {reason}. SIGTERM now, SIGKILL in {} s.", grace.as_secs_f64()));
                        *grace
                    }
                };
                signal("TERM").await;
                kill.as_mut().reset(Instant::now() + grace);
                ending = Some(Ending::Told(stop));
            }
            () = &mut alarm, if ending.is_none() => {
                job.log.say("error", &format!("{} Stopping the task.", bash::timeout_failure(job).reason));
                signal("TERM").await;
                kill.as_mut().reset(Instant::now() + job.node.config.stop_grace);
                ending = Some(Ending::Timeout);
            }
            () = &mut kill => {
                // A daemon that does not answer: what is left of the task ends with the room.
                if std::mem::replace(&mut killed, true) {
                    match ending.take() {
                        Some(Ending::Timeout) => return Ok(End::Finished(Finished::failed(bash::timeout_failure(job)))),
                        Some(Ending::Told(stop @ (Stop::Stale | Stop::Shutdown))) => return Ok(End::Stopped(stop)),
                        // It is not gone before the daemon says so.
                        other => ending = other,
                    }
                }
                signal("KILL").await;
                kill.as_mut().reset(Instant::now() + KILLED);
            }
        }
    };
    for (stream, lines) in [(Stream::Stdout, &mut stdout), (Stream::Stderr, &mut stderr)] {
        lines.finish(|piece| keep_line(job, stream, piece, watch, &mut kept));
    }
    let code = match code {
        Some(code) => {
            // One that was told to end is still being cleared up, by the session's mark.
            if ending.is_none() {
                room.put_back(task.session);
            }
            Ok(code)
        }
        None => exit_code(job, docker, room, &task.session.exec).await,
    };
    match ending {
        Some(Ending::Told(stop)) => {
            // Also what left the task's own group.
            signal("KILL").await;
            Ok(End::Stopped(stop))
        }
        Some(Ending::Timeout) => {
            signal("KILL").await;
            Ok(End::Finished(Finished::failed(bash::timeout_failure(job))))
        }
        None => Ok(End::Finished(conclude(job, docker, room, code?, oom_kills, watch, kept).await)),
    }
}

fn take(job: &Job, stream: Stream, bytes: &[u8], watch: &Watch, lines: &mut LineSplitter, kept: &mut Kept) {
    if watch.result == ResultFrom::Json && stream == Stream::Stdout && kept.stdout.len() <= XCOM_LIMIT {
        kept.stdout.extend_from_slice(bytes);
    }
    lines.feed(bytes, |piece| keep_line(job, stream, piece, watch, kept));
}

fn keep_line(job: &Job, stream: Stream, piece: Piece<'_>, watch: &Watch, kept: &mut Kept) {
    if watch.result == ResultFrom::AllLines && kept.bytes <= XCOM_LIMIT {
        kept.bytes += piece.bytes.len();
        kept.lines.push(Value::String(String::from_utf8_lossy(piece.bytes).trim().to_owned()));
    }
    if watch.show {
        job.log.output(stream, piece);
    }
}

/// Signals the task's processes, and no other's. A room that is gone has none.
async fn signal(docker: &bollard::Docker, room: &Room, mark: &str, job: &Job, signal: &str) {
    let id = job.id.to_string();
    match tokio::time::timeout(KILLED, room.ask(docker, STOP, &[mark, &id, signal])).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) if is_gone(&error) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, attempt_id = %job.id, signal, "a task in a room could not be signalled");
        }
        Err(_) => tracing::warn!(attempt_id = %job.id, signal, "the daemon did not signal a task in a room in time"),
    }
}

/// What a shell came to that ended with its task, or was ended.
async fn exit_code(
    job: &Job,
    docker: &bollard::Docker,
    room: &std::sync::Arc<Room>,
    exec: &str,
) -> Result<i64, Failure> {
    loop {
        match docker.inspect_exec(exec).await {
            Ok(inspected) if inspected.running == Some(true) => tokio::time::sleep(Duration::from_millis(5)).await,
            Ok(inspected) => match inspected.exit_code {
                Some(code) if runs(docker, room, code).await => return Ok(code),
                _ => {
                    job.node.docker.rooms.forget(room);
                    return Err(failure(
                        FailureClass::ContainerError,
                        "The container that the tasks of this run share ended while the task ran in it.",
                    ));
                }
            },
            Err(error) => {
                job.node.docker.rooms.forget(room);
                return Err(job.node.docker.failure("The container of the run cannot be looked at", &error));
            }
        }
    }
}

/// Whether the room still runs; asked only after an end that may be the room's own.
async fn runs(docker: &bollard::Docker, room: &Room, code: i64) -> bool {
    if !matches!(code, 137 | 143 | 255) {
        return true;
    }
    let inspected = docker.inspect_container(&room.name, None).await;
    inspected.is_ok_and(|inspected| inspected.state.is_some_and(|state| state.running == Some(true)))
}

async fn conclude(
    job: &Job,
    docker: &bollard::Docker,
    room: &Room,
    code: i64,
    oom_kills: u64,
    watch: &Watch,
    kept: Kept,
) -> Finished {
    if code == 0 {
        job.log.say("info", "Command exited with code 0");
        return result(job, watch, kept).map_or_else(Finished::failed, Finished::success).with_exit_code(code);
    }
    if watch.skip.contains(code) {
        job.log.say("info", &format!("Command exited with code {code}: skipped"));
        return Finished::skipped().with_exit_code(code);
    }
    job.log.say("error", &format!("Command exited with code {code}"));
    let failure = if code == 137 && room.oom_killed_since(docker, oom_kills).await {
        oom(job)
    } else {
        bash::exit_failure(code, job.log.last_stderr())
    };
    Finished::failed(failure).with_exit_code(code)
}

fn result(job: &Job, watch: &Watch, kept: Kept) -> Result<Option<Value>, Failure> {
    match watch.result {
        ResultFrom::Nothing | ResultFrom::Shim | ResultFrom::File(_) => Ok(None),
        ResultFrom::LastLine => Ok(job.log.last_line().map(|line| Value::String(line.trim().to_owned()))),
        ResultFrom::LastStdout => Ok(Some(job.log.last_stdout().unwrap_or_default().into())),
        ResultFrom::AllLines if kept.bytes > XCOM_LIMIT => Err(bash::output_too_large()),
        ResultFrom::AllLines => Ok(Some(Value::Array(kept.lines))),
        ResultFrom::Json if kept.stdout.len() > XCOM_LIMIT => Err(bash::output_too_large()),
        ResultFrom::Json => bash::json_result(&kept.stdout),
    }
}
