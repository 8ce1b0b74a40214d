//! What the processes of a task may use (`resources`): a control group where the node can make one, limits of each process otherwise.
//!
//! A limit must hold before the first instruction of the task, and nothing of ours can run between fork and exec; so a small shell
//! stands in its place, waits until the limits are set, and becomes the task.

use std::{collections::BTreeMap, ffi::OsString, io};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::{io::AsyncWriteExt, process::ChildStdin};
use updraft_core::{
    dag::{Resources, Ulimit},
    spec::{Failure, FailureClass},
};

use super::{Job, cgroup::Group, failure, process::Launch};

/// Its input ends without a line when the node is gone: then nothing is started.
const GATE: &str = "read -r _ && exec \"$@\" </dev/null";

/// The limits of one attempt.
pub(crate) struct Limits {
    group: Option<Group>,
    ulimits: BTreeMap<Ulimit, Option<u64>>,
}

impl Limits {
    /// Those that the task has; `None` when it has none.
    pub(crate) fn of(job: &Job) -> Option<Self> {
        let resources = &job.spec.resources;
        if resources.is_empty() {
            return None;
        }
        let mut ulimits = resources.ulimits.clone();
        let shared = Resources { ulimits: BTreeMap::new(), ..resources.clone() };
        let group = (!shared.is_empty()).then(|| job.node.cgroups.make(job.id, &shared));
        let group = match group.transpose() {
            Ok(group) => group,
            Err(reason) => {
                job.log.say(
                    "warning",
                    &format!(
                        "This node cannot make control groups ({reason}): `memory` is a limit of each process, `cpus` and `pids` are not limited."
                    ),
                );
                // Private memory: that of a whole address space would stop what maps much and uses little.
                ulimits.entry(Ulimit::Data).or_insert(shared.memory);
                None
            }
        };
        Some(Self { group, ulimits })
    }

    /// Puts the gate in the place of the task.
    pub(crate) fn gate(launch: &Launch) -> (OsString, Vec<OsString>) {
        let words = ["-c".into(), GATE.into(), "updraft-gate".into(), launch.program.clone()];
        ("/bin/sh".into(), words.into_iter().chain(launch.args.iter().cloned()).collect())
    }

    /// Sets the limits of the waiting gate and opens it.
    pub(crate) async fn open(&self, pid: i32, mut gate: ChildStdin) -> Result<(), Failure> {
        let node_error = |what: &str, error: &io::Error| {
            failure(FailureClass::NodeError, format!("{what} could not be set: {error}."))
        };
        if let Some(group) = &self.group {
            group.add(pid).map_err(|error| node_error("The task's control group", &error))?;
        }
        for (limit, value) in &self.ulimits {
            prlimit(Pid::from_raw(pid), resource(*limit), Rlimit { current: *value, maximum: *value }).map_err(
                |error| {
                    let value = value.map_or_else(|| "unlimited".to_owned(), |value| value.to_string());
                    node_error(&format!("The limit `{}: {value}` of the task", limit.as_str()), &error.into())
                },
            )?;
        }
        gate.write_all(b"\n").await.map_err(|error| node_error("The task's limits", &error))
    }

    /// The most memory its processes used together, where that is known. Bytes.
    pub(crate) fn peak(&self) -> Option<u64> {
        self.group.as_ref()?.peak()
    }

    /// Whether the kernel killed one of its processes for memory.
    pub(crate) fn was_out_of_memory(&self) -> bool {
        self.group.as_ref().is_some_and(Group::was_out_of_memory)
    }

    /// Ends whatever is left of it.
    pub(crate) async fn end(self) {
        let Some(group) = self.group else { return };
        if let Err(error) = tokio::task::spawn_blocking(move || group.end()).await {
            tracing::warn!(%error, "the end of a control group failed");
        }
    }
}

fn resource(limit: Ulimit) -> Resource {
    match limit {
        Ulimit::As => Resource::As,
        Ulimit::Core => Resource::Core,
        Ulimit::Cpu => Resource::Cpu,
        Ulimit::Data => Resource::Data,
        Ulimit::Fsize => Resource::Fsize,
        Ulimit::Memlock => Resource::Memlock,
        Ulimit::Nofile => Resource::Nofile,
        Ulimit::Nproc => Resource::Nproc,
        Ulimit::Stack => Resource::Stack,
    }
}
