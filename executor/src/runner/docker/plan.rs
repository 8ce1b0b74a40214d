//! What an operator's arguments mean as a container.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use updraft_core::{
    dag::Output,
    mask::Mask,
    operator::{self, AutoRemove, BashArgs, Command, DockerArgs, ExitCodes, KubernetesPodArgs, OperatorKind},
    spec::{Failure, FailureClass, TaskSpec},
};

use super::{ATTEMPT_LABEL, AUTO_REMOVE_LABEL, NODE_LABEL, words::words};
use crate::{
    config::Config,
    render::Rendered,
    runner::{BUNDLE_VARIABLE, Job, failure},
};

/// Where a pod's result is (Airflow's XCom sidecar reads this file).
pub(super) const POD_RESULT: &str = "/airflow/xcom/return.json";

/// Prefers bash and makes do with sh: many small images have nothing else.
const SHELL: &str = "if command -v bash >/dev/null 2>&1; then exec bash -c \"$0\"; else exec /bin/sh -c \"$0\"; fi";

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pull {
    Missing,
    Always,
    Never,
}

/// What the task's result is taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResultFrom {
    Nothing,
    /// The last line of standard output, or of standard error when there is no other. (Airflow takes the last of both, but which of
    /// two streams the daemon delivers last is chance.)
    LastLine,
    LastStdout,
    AllLines,
    PodFile,
    /// The whole of standard output, as JSON.
    Json,
    /// What the Python shim wrote into the attempt's folder.
    Shim,
}

/// A container to create, and how to watch it.
pub(crate) struct Plan {
    pub(crate) image: String,
    pub(crate) pull: Pull,
    pub(crate) body: ContainerCreateBody,
    pub(crate) watch: Watch,
}

/// What is needed to see a container to its end. Journaled, so that the next life can go on with it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Watch {
    pub(crate) skip: ExitCodes,
    pub(crate) auto_remove: AutoRemove,
    pub(crate) result: ResultFrom,
    /// Whether its output goes to the task's log.
    pub(crate) show: bool,
    pub(crate) fields: Option<Value>,
    #[serde(default)]
    pub(crate) label: Option<String>,
    pub(crate) mask: Mask,
}

/// Whether a task runs in a container on this node: then it survives a restart of the node.
pub(crate) fn in_container(spec: &TaskSpec, config: &Config) -> bool {
    match spec.operator {
        OperatorKind::Docker | OperatorKind::KubernetesPod => true,
        OperatorKind::Bash
        | OperatorKind::Python
        | OperatorKind::BranchPython
        | OperatorKind::ShortCircuitPython
        | OperatorKind::BashSensor
        | OperatorKind::PythonSensor => {
            config.default_image.is_some() || spec.args.get("image").is_some_and(|image| !image.is_null())
        }
        _ => false,
    }
}

impl Plan {
    /// `DockerOperator`.
    pub(crate) fn docker(job: &Job, args: DockerArgs, rendered: &Rendered) -> Result<Self, Failure> {
        let mut plan = Self::new(job, args.image, rendered);
        plan.pull = if args.force_pull { Pull::Always } else { Pull::Missing };
        plan.body.cmd = args.command.map(|command| command_words("command", command)).transpose()?;
        plan.body.entrypoint = args.entrypoint.map(|entrypoint| command_words("entrypoint", entrypoint)).transpose()?;
        plan.add_env(args.environment.iter().chain(&args.private_environment));
        plan.body.working_dir = args.working_dir;
        plan.body.user = args.user;
        plan.body.tty = args.tty.then_some(true);
        plan.body.hostname = args.hostname;
        let labels = plan.body.labels.get_or_insert_default();
        for (name, value) in args.labels {
            labels.entry(name).or_insert(value);
        }
        let host = plan.body.host_config.get_or_insert_default();
        host.network_mode = args.network_mode;
        // Airflow: a relative weight, so that more than the node has is not an error.
        host.cpu_shares = args.cpus.map(|cpus| (cpus * 1024.0).round() as i64);
        host.memory = args.mem_limit.as_ref().map(bytes).transpose()?;
        host.mounts = Some(args.mounts.iter().map(mount).collect::<Result<_, _>>()?);
        plan.set_auto_remove(args.auto_remove);
        plan.watch.skip = args.skip_on_exit_code;
        plan.watch.result = match (result_from(job, ResultFrom::LastLine), args.xcom_all) {
            (ResultFrom::LastLine, true) => ResultFrom::AllLines,
            (result, _) => result,
        };
        Ok(plan)
    }

    /// `KubernetesPodOperator` on a node that has Docker and no cluster.
    pub(crate) fn pod(job: &Job, args: KubernetesPodArgs, rendered: &Rendered) -> Result<Self, Failure> {
        let mut plan = Self::new(job, args.image, rendered);
        plan.pull = match args.image_pull_policy.as_deref() {
            Some("Always") => Pull::Always,
            Some("Never") => Pull::Never,
            _ => Pull::Missing,
        };
        plan.body.entrypoint = (!args.cmds.is_empty()).then_some(args.cmds);
        plan.body.cmd = (!args.arguments.is_empty()).then_some(args.arguments);
        let env = pod_env(&args.env_vars)?;
        plan.add_env(env.iter().map(|(name, value)| (name, value)));
        let labels = plan.body.labels.get_or_insert_default();
        for (name, value) in args.labels {
            labels.entry(name).or_insert(value);
        }
        plan.watch.skip = args.skip_on_exit_code;
        plan.watch.show = args.get_logs;
        if args.do_xcom_push {
            // In a pod the folder is an empty volume.
            plan.body.volumes = Some(vec!["/airflow/xcom".to_owned()]);
            plan.watch.result = ResultFrom::PodFile;
        }
        Ok(plan)
    }

    /// A bash task in a container.
    pub(crate) fn bash(
        job: &Job,
        args: BashArgs,
        image: String,
        rendered: &Rendered,
        bundle: Option<&std::path::Path>,
    ) -> Self {
        let mut plan = Self::new(job, image, rendered);
        match args.bash_command {
            Command::Text(text) => {
                plan.body.entrypoint = Some(["/bin/sh", "-c", SHELL].map(str::to_owned).to_vec());
                plan.body.cmd = Some(vec![text]);
            }
            Command::Words(words) => plan.body.entrypoint = Some(words),
        }
        if let Some(bundle) = bundle {
            plan.bind_bundle(bundle);
        }
        plan.add_env(args.env.iter().flatten());
        plan.body.working_dir = args.cwd;
        plan.watch.skip = args.skip_on_exit_code;
        plan.watch.result = result_from(job, ResultFrom::LastStdout);
        plan
    }

    pub(crate) fn new(job: &Job, image: String, rendered: &Rendered) -> Self {
        let run = &job.spec.run;
        let label = |name: &str, value: &dyn std::fmt::Display| (name.to_owned(), value.to_string());
        let labels = HashMap::from([
            label(ATTEMPT_LABEL, &job.id),
            label(NODE_LABEL, &job.node.identity),
            label("updraft.dag_id", &run.dag_id),
            label("updraft.run_id", &run.run_id),
            label("updraft.task_id", &job.spec.task_id),
            label("updraft.map_index", &job.spec.map_index.0),
            label("updraft.try_number", &job.spec.try_number),
        ]);
        let own = job.task_env(rendered);
        let mut plan = Self {
            pull: Pull::Missing,
            body: ContainerCreateBody {
                image: Some(image.clone()),
                labels: Some(labels),
                host_config: Some(HostConfig::default()),
                ..ContainerCreateBody::default()
            },
            image,
            watch: Watch {
                skip: ExitCodes::None,
                auto_remove: AutoRemove::Force,
                result: ResultFrom::Nothing,
                show: true,
                fields: rendered.fields.clone(),
                label: job.label(),
                mask: (*rendered.mask).clone(),
            },
        };
        plan.add_env(own.iter().map(|(name, value)| (name, value)));
        plan.set_auto_remove(AutoRemove::Force);
        plan
    }

    /// Adds variables; a later one of the same name wins.
    pub(crate) fn add_env<'a>(&mut self, variables: impl Iterator<Item = (&'a String, &'a String)>) {
        let env = self.body.env.get_or_insert_default();
        for (name, value) in variables {
            let prefix = format!("{name}=");
            env.retain(|variable| !variable.starts_with(&prefix));
            env.push(format!("{prefix}{value}"));
        }
    }

    /// Mounts the task's bundle and says where.
    pub(crate) fn bind_bundle(&mut self, bundle: &std::path::Path) {
        self.bind(bundle, super::BUNDLE_TARGET, true);
        self.add_env([(&BUNDLE_VARIABLE.to_owned(), &super::BUNDLE_TARGET.to_owned())].into_iter());
    }

    /// Mounts a folder of the node.
    pub(crate) fn bind(&mut self, source: &std::path::Path, target: &str, read_only: bool) {
        let host = self.body.host_config.get_or_insert_default();
        host.mounts.get_or_insert_default().push(Mount {
            target: Some(target.to_owned()),
            source: Some(source.to_string_lossy().into_owned()),
            typ: Some(MountType::BIND),
            read_only: Some(read_only),
            ..Mount::default()
        });
    }

    fn set_auto_remove(&mut self, auto_remove: AutoRemove) {
        let word = match auto_remove {
            AutoRemove::Never => "never",
            AutoRemove::Success => "success",
            AutoRemove::Force => "force",
        };
        self.body.labels.get_or_insert_default().insert(AUTO_REMOVE_LABEL.to_owned(), word.to_owned());
        self.watch.auto_remove = auto_remove;
    }
}

/// What a command's result is taken from; `text` when the task does not say.
fn result_from(job: &Job, text: ResultFrom) -> ResultFrom {
    match (job.spec.do_xcom_push, job.spec.output) {
        (false, _) | (true, Output::None) => ResultFrom::Nothing,
        (true, Output::Text) => text,
        (true, Output::Json) => ResultFrom::Json,
    }
}

fn invalid(reason: impl Into<String>) -> Failure {
    failure(FailureClass::InvalidArguments, reason)
}

fn command_words(field: &str, command: Command) -> Result<Vec<String>, Failure> {
    match command {
        Command::Words(words) => Ok(words),
        Command::Text(text) => words(&text).map_err(|error| invalid(format!("`{field}`: {error}."))),
    }
}

/// docker-py's `parse_bytes`: a number, or one with a unit (`512m`, `1gb`).
fn bytes(limit: &Value) -> Result<i64, Failure> {
    let wrong = || invalid(format!("`mem_limit` is a number of bytes or one with a unit (`512m`), not {limit}."));
    match limit {
        Value::Number(number) => number.as_i64().ok_or_else(wrong),
        Value::String(text) => {
            let text = text.trim().to_lowercase();
            let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
            let factor: i64 = match &text[digits.len()..] {
                "" | "b" => 1,
                "k" | "kb" => 1 << 10,
                "m" | "mb" => 1 << 20,
                "g" | "gb" => 1 << 30,
                "t" | "tb" => 1 << 40,
                _ => return Err(wrong()),
            };
            digits.trim().parse::<f64>().map(|number| (number * factor as f64) as i64).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

fn mount(mount: &operator::Mount) -> Result<Mount, Failure> {
    let kind = match mount.kind.as_deref().unwrap_or("volume") {
        "bind" => MountType::BIND,
        "volume" => MountType::VOLUME,
        "tmpfs" => MountType::TMPFS,
        other => return Err(invalid(format!("A mount's type is bind, volume or tmpfs, not `{other}`."))),
    };
    Ok(Mount {
        target: Some(mount.target.clone()),
        source: mount.source.clone(),
        typ: Some(kind),
        read_only: Some(mount.read_only),
        ..Mount::default()
    })
}

/// A pod's `env_vars`: a mapping, or a list of `{name, value}`.
fn pod_env(env: &Value) -> Result<Vec<(String, String)>, Failure> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    match env {
        Value::Null => Ok(Vec::new()),
        Value::Object(fields) => Ok(fields.iter().map(|(name, value)| (name.clone(), text(value))).collect()),
        Value::Array(items) => items
            .iter()
            .map(|item| match (item["name"].as_str(), item.get("value_from").or_else(|| item.get("valueFrom"))) {
                (Some(name), None | Some(Value::Null)) => Ok((name.to_owned(), text(&item["value"]))),
                (Some(name), Some(_)) => Err(invalid(format!(
                    "`env_vars`: `{name}` takes its value from the cluster (valueFrom), which this node does not have."
                ))),
                (None, _) => Err(invalid("`env_vars`: every entry of the list needs a `name`.")),
            })
            .collect(),
        _ => Err(invalid("`env_vars` is a mapping or a list of {name, value}.")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn memory_limits_have_units() {
        assert_eq!(bytes(&json!(1024)).unwrap(), 1024);
        assert_eq!(bytes(&json!("512m")).unwrap(), 512 << 20);
        assert_eq!(bytes(&json!("1.5 GB")).unwrap(), 3 << 29);
        assert!(bytes(&json!("lots")).is_err());
        assert!(bytes(&json!([1])).is_err());
    }

    #[test]
    fn pod_variables_are_a_mapping_or_a_list() {
        let expected = vec![("A".to_owned(), "1".to_owned())];
        assert_eq!(pod_env(&json!({"A": 1})).unwrap(), expected);
        assert_eq!(pod_env(&json!([{"name": "A", "value": "1"}])).unwrap(), expected);
        assert!(pod_env(&json!([{"name": "A", "valueFrom": {}}])).unwrap_err().reason.contains("cluster"));
    }
}
