//! `python`: a callable, run by a small shim in an interpreter of the node or of an image.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use updraft_core::{
    dag::RetryPolicy,
    ids::{MapIndex, TaskId},
    notify::Facts,
    operator::{ExitCodes, OperatorKind, PythonArgs},
    spec::{Call, Decision, Failure, FailureClass, RunContext},
    template,
};
use uuid::Uuid;

use super::{
    End, Finished, Job, bash, cgroup,
    channel::{Channel, SOCKET_FILE},
    docker::{self, BUNDLE_TARGET, Plan, ResultFrom, Watch},
    failure,
    process::{self, Exit, Launch},
    venv::{self, Made},
};
use crate::render::Rendered;

const SHIM: &str = include_str!("updraft_shim.py");
const SHIM_FILE: &str = "updraft_shim.py";
/// Imports the shim from the folder that is the first argument: what is imported is compiled once, what is run each time.
const BOOT: &str = "import sys; sys.path.insert(0, sys.argv.pop(1)); import updraft_shim; updraft_shim.main()";
/// Where a container finds the shim and its job.
const FOLDER_TARGET: &str = "/opt/updraft/attempt";
const SHIM_TARGET: &str = "/opt/updraft/shim";
const JOB_FILE: &str = ".updraft-job.json";
const RESULT_FILE: &str = ".updraft-result.json";
/// A reason is a sentence, not an output.
const REASON: usize = 1000;

/// What the shim reads.
#[derive(Serialize)]
struct ShimJob<'a> {
    /// `sensor`: the result says whether to wait on. `callback`: it is called with the context.
    kind: &'static str,
    /// Where the node answers, as the task sees it.
    socket: &'a str,
    /// What the instance's mapping names.
    names: &'a Map<String, Value>,
    python_callable: &'a str,
    python_callable_file: Option<&'a str>,
    python_callable_name: &'a str,
    op_args: &'a [Value],
    op_kwargs: &'a Map<String, Value>,
    templates_dict: Option<&'a Value>,
    bundle: Option<&'a str>,
    relative_fileloc: &'a str,
    task_id: &'a TaskId,
    owner: &'a str,
    try_number: i32,
    max_tries: i32,
    retry_policy: Option<&'a RetryPolicy>,
    map_index: MapIndex,
    run: &'a RunContext,
    /// What a callback tells of.
    callback: Option<Told<'a>>,
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    facts: &'a Facts,
    reason: Option<String>,
    /// Same as before when it is called again.
    key: Option<Uuid>,
}

/// A callback's function, in the words of a Python task.
pub(crate) fn callback(call: &Call) -> PythonArgs {
    let (path, name) = match call.file {
        Some(_) => (None, Some(call.callable.clone())),
        None => (Some(call.callable.clone()), None),
    };
    PythonArgs {
        python_callable: path,
        python_callable_file: call.file.clone(),
        python_callable_name: name,
        op_args: Vec::new(),
        op_kwargs: call.kwargs.clone(),
        templates_dict: None,
        interpreter: None,
        python_version: None,
        requirements: Vec::new(),
        system_site_packages: true,
        pip_install_options: Vec::new(),
        index_urls: Vec::new(),
        image: None,
        pull: None,
    }
}

/// What the shim writes.
#[derive(Deserialize)]
struct ShimResult {
    state: String,
    #[serde(default)]
    value: Value,
    /// Python's own opinion of the result.
    #[serde(default)]
    truthy: bool,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    no_retry: bool,
    /// Seconds.
    #[serde(default)]
    retry_delay: Option<f64>,
    #[serde(default)]
    outlet_events: Option<Value>,
    #[serde(default)]
    xcoms: Map<String, Value>,
    /// What the task added to its context.
    #[serde(default)]
    added: Map<String, Value>,
}

/// Writes the shim into a folder where every interpreter of the node, and containers by a mount, find it. By content, so that two
/// versions of the node never share one.
pub(crate) fn install_shim(data_dir: &Path) -> io::Result<PathBuf> {
    use sha2::{Digest, Sha256};
    let hash = updraft_core::dag::hex(&Sha256::digest(SHIM.as_bytes()));
    let folder = data_dir.canonicalize()?.join(format!("shim-{}", &hash[..12]));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(SHIM_FILE);
    if !path.exists() {
        let part = path.with_extension("part");
        std::fs::write(&part, SHIM)?;
        std::fs::rename(part, &path)?;
    }
    Ok(folder)
}

/// Runs a Python task as a process.
pub(crate) async fn run(
    job: &Job,
    args: PythonArgs,
    rendered: &Rendered,
    folder: PathBuf,
    bundle: Option<&Path>,
) -> Result<End, Failure> {
    let environment = if venv::is_wanted(&args) {
        match job.node.environments.get(job, &args, rendered).await? {
            Made::Ready(environment) => Some(environment),
            Made::Over(end) => return Ok(*end),
        }
    } else {
        None
    };
    let bundle_text = bundle.map(|path| path.to_string_lossy());
    let _channel = Channel::open(job, &folder)?;
    write_job(job, &args, rendered, &folder, &folder.join(SOCKET_FILE).to_string_lossy(), bundle_text.as_deref())?;
    let mut env = job.node.base_env.clone();
    if let Some(bundle) = bundle {
        let known = env.iter().find(|(name, _)| name == "PYTHONPATH").map(|(_, value)| value.clone());
        let mut path = OsString::from(bundle);
        if let Some(known) = known.filter(|known| !known.is_empty()) {
            path.push(":");
            path.push(known);
        }
        env.push(("PYTHONPATH".into(), path));
    }
    env.extend(job.process_env(rendered, bundle));
    let launch = Launch {
        capture: None,
        encoding: None,
        as_node: false,
        program: environment
            .as_ref()
            .map_or_else(|| venv::interpreter(&job.node, &args), |environment| environment.python.clone().into()),
        args: vec![
            "-u".into(),
            "-c".into(),
            BOOT.into(),
            job.node.shim.clone().into(),
            folder.join(JOB_FILE).into(),
            folder.join(RESULT_FILE).into(),
        ],
        env,
        cwd: folder,
    };
    Ok(match process::run(job, launch).await?.exit {
        Exit::Code(code) => End::Finished(conclude(job, code, false).with_exit_code(code)),
        exit => bash::conclude(job, &exit, &ExitCodes::None, || Ok(None)),
    })
}

/// The same in a container.
pub(crate) async fn run_in_container(
    job: &Job,
    args: PythonArgs,
    image: String,
    rendered: &Rendered,
    folder: PathBuf,
    bundle: Option<&Path>,
) -> Result<End, Failure> {
    if venv::is_wanted(&args) {
        let reason = "`requirements` are for tasks without an image: put them into the image.";
        return Err(failure(FailureClass::InvalidArguments, reason));
    }
    let socket = format!("{FOLDER_TARGET}/{SOCKET_FILE}");
    write_job(job, &args, rendered, &folder, &socket, bundle.map(|_| BUNDLE_TARGET))?;
    open_to_all(&folder)?;
    let _channel = Channel::open(job, &folder)?;
    let mut plan = Plan::new(&job.subject(), image, rendered);
    plan.image.pull = args.pull.unwrap_or_default();
    plan.body.entrypoint = Some(vec![args.interpreter.unwrap_or_else(|| "python3".to_owned()), "-u".to_owned()]);
    plan.body.cmd = Some(
        [
            "-c".to_owned(),
            BOOT.to_owned(),
            SHIM_TARGET.to_owned(),
            format!("{FOLDER_TARGET}/{JOB_FILE}"),
            format!("{FOLDER_TARGET}/{RESULT_FILE}"),
        ]
        .to_vec(),
    );
    plan.bind(&job.node.shim, SHIM_TARGET, true);
    plan.bind(&folder, FOLDER_TARGET, false);
    if let Some(bundle) = bundle {
        plan.bind_bundle(bundle);
        plan.add_env([(&"PYTHONPATH".to_owned(), &BUNDLE_TARGET.to_owned())].into_iter());
    }
    plan.watch.result = ResultFrom::Shim;
    docker::run(job, plan).await
}

/// Answers the questions of a container that an earlier life of the node started. One that cannot be answered any more fails in
/// the task, with the reason.
pub(crate) fn reopen(job: &Job, watch: &Watch) -> Option<Channel> {
    if watch.result != ResultFrom::Shim {
        return None;
    }
    match Channel::open(job, &job.folder()) {
        Ok(channel) => Some(channel),
        Err(failure) => {
            job.log.say("warning", &failure.reason);
            None
        }
    }
}

/// Reads what the shim left, or makes what is known of the exit a failure.
pub(crate) fn conclude(job: &Job, code: i64, oom: bool) -> Finished {
    let path = job.folder().join(RESULT_FILE);
    let result = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<ShimResult>(&bytes).ok());
    let Some(result) = result else {
        // It died before it could say anything.
        let failure = match code {
            _ if oom => cgroup::oom(job),
            0 => failure(FailureClass::InvalidResult, "The task ended without a result; did it call os._exit?"),
            code => bash::exit_failure(code, job.log.last_stderr()),
        };
        job.log.say("error", &failure.reason);
        return Finished::failed(failure);
    };
    let reason: String = job.log.masked(&result.reason).chars().take(REASON).collect();
    if job.spec.call.is_some() {
        // Nothing of the task changes: no result, no XComs, no events of assets.
        return match result.state.as_str() {
            "success" => {
                job.log.say("info", "Done.");
                Finished::success(None)
            }
            _ => Finished::failed(failure(FailureClass::ExitCode, reason)),
        };
    }
    relabel(job, &result.added);
    let xcoms: Vec<(String, Value)> = result.xcoms.into_iter().collect();
    let finished = match result.state.as_str() {
        "success" => {
            job.log.say("info", "Done.");
            success(job, result.value, result.truthy)
        }
        "skipped" => Finished::skipped(),
        "rescheduled" => Finished::rescheduled(),
        _ => {
            let delay = result.retry_delay.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let failed = Finished::failed(failure(FailureClass::ExitCode, reason));
            Finished { no_retry: result.no_retry, retry_delay: delay, ..failed }
        }
    };
    Finished { xcoms, outlet_events: result.outlet_events, ..finished }
}

/// What a result means to the operator (semantics §12.2, §12.4).
fn success(job: &Job, value: Value, truthy: bool) -> Finished {
    let pushed = job.spec.do_xcom_push && !value.is_null();
    match job.spec.operator {
        OperatorKind::BranchPython => match followed(&value) {
            Ok(followed) => {
                job.log.say("info", &format!("Following {followed:?}"));
                Finished { decision: Some(Decision::Follow(followed)), ..Finished::success(pushed.then_some(value)) }
            }
            Err(reason) => {
                job.log.say("error", &reason);
                Finished::failed(failure(FailureClass::InvalidResult, reason))
            }
        },
        OperatorKind::ShortCircuitPython if !truthy => {
            job.log.say("info", "Skipping downstream tasks: the condition result is False");
            Finished { decision: Some(Decision::Stop), ..Finished::success(None) }
        }
        OperatorKind::PythonSensor if !truthy => Finished::rescheduled(),
        _ => Finished::success(pushed.then_some(value)),
    }
}

/// The tasks a branch follows: one id, several, or none. Airflow's words for anything else.
fn followed(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || "'branch_task_ids' must be either None, a task ID, or an Iterable of IDs".to_owned();
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(id) => Ok(vec![id.clone()]),
        Value::Array(ids) => ids.iter().map(|id| id.as_str().map(str::to_owned).ok_or_else(wrong)).collect(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(wrong()),
    }
}

/// A `map_index_template` may name what the task puts into its context, so it is rendered again with that.
fn relabel(job: &Job, added: &Map<String, Value>) {
    if added.is_empty() || job.spec.map_index_template.is_none() {
        return;
    }
    let mut spec = job.spec.clone();
    let run = Arc::make_mut(&mut spec.run);
    run.user_defined_macros.extend(added.clone());
    if let Ok(label) = template::render_map_index(&spec, &job.resolved()) {
        job.set_label(label.map(|label| job.log.masked(&label)));
    }
}

fn write_job(
    job: &Job,
    args: &PythonArgs,
    rendered: &Rendered,
    folder: &Path,
    socket: &str,
    bundle: Option<&str>,
) -> Result<(), Failure> {
    let spec = &job.spec;
    if args.python_callable.is_none() && (args.python_callable_file.is_none() || args.python_callable_name.is_none()) {
        let reason = "The task needs `python_callable`, or `python_callable_file` and `python_callable_name`.";
        return Err(failure(FailureClass::InvalidArguments, reason));
    }
    let shim = ShimJob {
        kind: match spec.operator {
            _ if spec.call.is_some() => "callback",
            OperatorKind::PythonSensor => "sensor",
            _ => "task",
        },
        socket,
        names: &rendered.names,
        python_callable: args.python_callable.as_deref().unwrap_or_default(),
        python_callable_file: args.python_callable_file.as_deref(),
        python_callable_name: args.python_callable_name.as_deref().unwrap_or_default(),
        op_args: &args.op_args,
        op_kwargs: &args.op_kwargs,
        templates_dict: args.templates_dict.as_ref(),
        bundle,
        relative_fileloc: &spec.relative_fileloc,
        task_id: &spec.task_id,
        owner: &spec.owner,
        try_number: spec.try_number,
        max_tries: spec.max_tries,
        retry_policy: spec.retry_policy.as_ref(),
        map_index: spec.map_index,
        run: &spec.run,
        callback: spec.callback.as_deref().map(|facts| Told {
            facts,
            reason: facts.reason(),
            key: spec.call.as_ref().map(|call| call.key),
        }),
    };
    serde_json::to_vec(&shim)
        .map_err(io::Error::from)
        .and_then(|bytes| std::fs::write(folder.join(JOB_FILE), bytes))
        .map_err(|error| {
            failure(
                FailureClass::NodeError,
                format!("The node cannot write the task's folder `{}`: {error}.", folder.display()),
            )
        })
}

/// The image's user need not be this node's.
pub(crate) fn open_to_all(folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).map_err(|error| {
        failure(FailureClass::NodeError, format!("The task's folder cannot be opened to its container: {error}."))
    })
}
