//! What an operator's arguments mean as a container: what every task has here, each operator's own in a file of its own.

mod bash;
mod env_file;
mod limits;
mod mounts;
mod operator;
mod pod;
mod ports;
mod units;

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, Mount, MountType};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use updraft_core::{
    dag::Output,
    mask::Mask,
    operator::{AutoRemove, ExitCodes, OperatorKind, RESULT_FILE},
    spec::{Failure, FailureClass, TaskSpec},
};
use uuid::Uuid;

use super::{ATTEMPT_LABEL, AUTO_REMOVE_LABEL, NODE_LABEL, image::Image};
use crate::{
    config::Config,
    node::Node,
    render::Rendered,
    runner::{BUNDLE_VARIABLE, failure},
};

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
    /// A file of the container, JSON; none, or an empty one, is no result.
    File(String),
    /// The whole of standard output, as JSON.
    Json,
    /// What the Python shim wrote into the attempt's folder.
    Shim,
}

/// A container to create, and how to watch it.
pub(crate) struct Plan {
    pub(crate) image: Image,
    pub(crate) body: ContainerCreateBody,
    pub(crate) watch: Watch,
}

/// The attempt that a container is planned for.
pub(crate) struct Subject<'a> {
    pub(crate) node: &'a Node,
    /// `None`: it does not exist yet.
    pub(crate) attempt: Option<Uuid>,
    pub(crate) spec: &'a TaskSpec,
    /// What people see instead of the map index.
    pub(crate) label: Option<String>,
}

/// What is needed to see a container to its end. Journaled, so that the next life can go on with it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Watch {
    pub(crate) skip: ExitCodes,
    pub(crate) auto_remove: AutoRemove,
    pub(crate) result: ResultFrom,
    /// Whether its output goes to the task's log.
    pub(crate) show: bool,
    /// It is a process in a container that tasks of its run share.
    #[serde(default)]
    pub(crate) in_room: bool,
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
    pub(crate) fn new(subject: &Subject<'_>, image: String, rendered: &Rendered) -> Self {
        let Subject { node, attempt, spec, label: shown } = subject;
        let run = &spec.run;
        let label = |name: &str, value: &dyn std::fmt::Display| (name.to_owned(), value.to_string());
        let mut labels = HashMap::from([
            label(NODE_LABEL, &node.identity),
            label("updraft.dag_id", &run.dag_id),
            label("updraft.run_id", &run.run_id),
            label("updraft.task_id", &spec.task_id),
            label("updraft.map_index", &spec.map_index.0),
            label("updraft.try_number", &spec.try_number),
        ]);
        labels.extend(attempt.map(|id| label(ATTEMPT_LABEL, &id)));
        let mut plan = Self {
            body: ContainerCreateBody {
                image: Some(image.clone()),
                labels: Some(labels),
                host_config: Some(limits::host(&spec.resources)),
                ..ContainerCreateBody::default()
            },
            image: Image::new(image),
            watch: Watch {
                skip: ExitCodes::None,
                auto_remove: AutoRemove::Force,
                result: ResultFrom::Nothing,
                show: true,
                in_room: false,
                fields: rendered.fields.clone(),
                label: shown.clone(),
                mask: (*rendered.mask).clone(),
            },
        };
        plan.add_env(rendered.task_env());
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

    /// Hides more than what was rendered.
    fn hide(&mut self, more: &Mask) {
        self.watch.mask = self.watch.mask.with(more);
    }

    /// Adds labels; the node's own stay as they are.
    fn add_labels(&mut self, more: IndexMap<String, String>) {
        let labels = self.body.labels.get_or_insert_default();
        for (name, value) in more {
            labels.entry(name).or_insert(value);
        }
    }

    /// The result is what the task leaves in a file.
    fn take_result_file(&mut self, path: String) {
        // As in a pod: the folder is there, an empty volume.
        if let Some((folder, _)) = path.rsplit_once('/').filter(|_| path == RESULT_FILE) {
            self.body.volumes = Some(vec![folder.to_owned()]);
        }
        self.watch.result = ResultFrom::File(path);
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
fn result_from(spec: &TaskSpec, text: ResultFrom) -> ResultFrom {
    match (spec.do_xcom_push, spec.output) {
        (false, _) | (true, Output::None) => ResultFrom::Nothing,
        (true, Output::Text) => text,
        (true, Output::Json) => ResultFrom::Json,
    }
}

fn invalid(reason: impl Into<String>) -> Failure {
    failure(FailureClass::InvalidArguments, reason)
}
