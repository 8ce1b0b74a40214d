//! `bash`: a command for a shell, as a local process.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use encoding_rs::Encoding;
use nix::sys::signal::Signal;
use serde_json::Value;
use updraft_core::{
    dag::Output,
    operator::{BashArgs, Command, ExitCodes},
    spec::{Failure, FailureClass},
};
use updraft_protocol::XCOM_LIMIT;

use super::{
    End, Finished, Job, cgroup, failure,
    process::{self, Ended, Exit, Launch},
};
use crate::render::Rendered;

/// Runs a bash task in `folder`, the attempt's own.
pub(crate) async fn run(
    job: &Job,
    args: BashArgs,
    rendered: &Rendered,
    folder: PathBuf,
    bundle: Option<&Path>,
) -> Result<End, Failure> {
    let encoding = encoding(args.output_encoding.as_deref())?;
    let (program, words) = command(job, &args.bash_command)?;
    let shown: Vec<_> = [&program].into_iter().chain(&words).map(|word| word.to_string_lossy()).collect();
    job.log.say("info", &format!("Running command: {shown:?}"));
    let capture = job.spec.do_xcom_push && job.spec.output == Output::Json;
    let launch = Launch {
        capture: capture.then_some(XCOM_LIMIT),
        encoding,
        as_node: false,
        program,
        env: environment(job, &args, rendered, bundle),
        cwd: args.cwd.as_ref().map_or(folder, PathBuf::from),
        args: words,
    };
    let Ended { exit, stdout } = process::run(job, launch).await?;
    Ok(conclude(job, &exit, &args.skip_on_exit_code, || match (job.spec.do_xcom_push, job.spec.output) {
        (false, _) | (true, Output::None) => Ok(None),
        (true, Output::Text) => Ok(Some(job.log.last_stdout().unwrap_or_default().into())),
        (true, Output::Json) => json_result(&stdout.ok_or_else(output_too_large)?),
    }))
}

/// Text goes to the node's shell; words are a command that needs none.
fn command(job: &Job, command: &Command) -> Result<(OsString, Vec<OsString>), Failure> {
    match command {
        Command::Text(text) => Ok((job.node.config.shell.clone(), vec!["-c".into(), text.into()])),
        Command::Words(words) => {
            let mut words = words.iter().map(OsString::from);
            let program = words.next().ok_or_else(|| {
                failure(FailureClass::InvalidArguments, "`bash_command` is an empty list: it needs a program.")
            })?;
            Ok((program, words.collect()))
        }
    }
}

/// The encoding that Python knows by a name; `None`: UTF-8, which needs no decoding.
fn encoding(name: Option<&str>) -> Result<Option<&'static Encoding>, Failure> {
    let Some(name) = name else { return Ok(None) };
    let label = name.trim().to_lowercase().replace('_', "-");
    let label = match &*label {
        "utf-8-sig" | "utf8" | "cp65001" | "ascii" | "us-ascii" => "utf-8",
        "latin-1" | "iso8859-1" => "latin1",
        "utf-16-le" => "utf-16le",
        "utf-16-be" => "utf-16be",
        "cp932" | "ms932" => "shift_jis",
        "cp936" | "936" => "gbk",
        "cp949" => "euc-kr",
        "cp950" => "big5",
        "euc-jis-2004" | "eucjp" => "euc-jp",
        other => other,
    };
    let found = Encoding::for_label(label.as_bytes()).ok_or_else(|| {
        let reason =
            format!("`output_encoding: {name}` is no encoding that this node knows; `utf-8` and `latin-1` are two.");
        failure(FailureClass::InvalidArguments, reason)
    })?;
    Ok((found != encoding_rs::UTF_8).then_some(found))
}

/// `output: json`: the whole of standard output is the result; nothing is none.
pub(crate) fn json_result(stdout: &[u8]) -> Result<Option<Value>, Failure> {
    if stdout.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(stdout).map(Some).map_err(|error| {
        failure(
            FailureClass::InvalidResult,
            format!("The task has `output: json`, but its standard output is not JSON: {error}. Write everything else to standard error."),
        )
    })
}

pub(crate) fn output_too_large() -> Failure {
    let reason = format!(
        "The task has `output: json`, but its standard output is larger than a result may be ({} MiB).",
        XCOM_LIMIT >> 20
    );
    failure(FailureClass::InvalidResult, reason)
}

/// BashOperator's rules: without `env` the node's environment, with it only that, with `append_env` both; always with
/// `AIRFLOW_CTX_*` and the task's own variables.
fn environment(job: &Job, args: &BashArgs, rendered: &Rendered, bundle: Option<&Path>) -> Vec<(OsString, OsString)> {
    let mut env = Vec::new();
    if args.env.is_none() || args.append_env {
        env.extend(job.node.base_env.iter().cloned());
    }
    let given = args.env.iter().flatten().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    env.extend(given);
    env.extend(job.process_env(rendered, bundle));
    env
}

/// What an exit means for a task whose exit code decides.
pub(crate) fn conclude(
    job: &Job,
    exit: &Exit,
    skip: &ExitCodes,
    value: impl FnOnce() -> Result<Option<Value>, Failure>,
) -> End {
    let finished = match exit {
        Exit::Stopped(stop) => return End::Stopped(stop.clone()),
        Exit::Code(0) => {
            job.log.say("info", "Command exited with return code 0");
            let finished = value().map_or_else(
                |failure| {
                    job.log.say("error", &failure.reason);
                    Finished::failed(failure)
                },
                Finished::success,
            );
            finished.with_exit_code(0)
        }
        Exit::Code(code) if skip.contains(*code) => {
            job.log.say("info", &format!("Command exited with return code {code}: skipped"));
            Finished::skipped().with_exit_code(*code)
        }
        Exit::Code(code) => {
            job.log.say("error", &format!("Command exited with return code {code}"));
            Finished::failed(exit_failure(*code, job.log.last_stderr())).with_exit_code(*code)
        }
        Exit::OutOfMemory(code) => {
            let failure = cgroup::oom(job);
            job.log.say("error", &failure.reason);
            Finished::failed(failure).with_exit_code(*code)
        }
        Exit::Signal(signal) => {
            job.log.say("error", &format!("Command was ended by {signal}"));
            let hint = if *signal == Signal::SIGKILL { " The kernel does that when memory runs out." } else { "" };
            let reason = format!("The command was ended by {signal}, which this node did not send.{hint}");
            Finished::failed(failure(FailureClass::Signal, reason))
        }
        Exit::TimedOut => Finished::failed(timeout_failure(job)),
    };
    End::Finished(finished)
}

pub(crate) fn timeout_failure(job: &Job) -> Failure {
    let timeout = job.spec.execution_timeout.unwrap_or_default();
    failure(
        FailureClass::ExecutionTimeout,
        format!("The task ran longer than its execution_timeout of {} s and was stopped.", timeout.as_secs_f64()),
    )
}

/// An exit code as a failure: 126 and 127 are a shell's words for "cannot execute" and "not found".
pub(crate) fn exit_failure(code: i64, last_line: Option<String>) -> Failure {
    let (class, what) = match code {
        127 => (FailureClass::CommandNotFound, "The command was not found (exit code 127)".to_owned()),
        126 => (FailureClass::CommandNotFound, "The command cannot be executed (exit code 126)".to_owned()),
        _ => (FailureClass::ExitCode, format!("The command ended with exit code {code}")),
    };
    let hint = last_line.map(|line| {
        let short: String = line.chars().take(300).collect();
        format!("; the last line of its standard error: {short}")
    });
    failure(class, format!("{what}{}", hint.unwrap_or_else(|| ".".to_owned())))
}
