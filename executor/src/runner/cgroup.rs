//! Control groups of the kernel, versions 1 and 2: limits for all processes of a task together, their peak memory, and an end that
//! reaches every one of them, wherever it went.
//!
//! A node makes its groups below its own: `updraft-<identity>/<session>-<attempt>`. It may where it is root, or where systemd hands it
//! the group (`Delegate=yes`).

mod find;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use updraft_core::{
    dag::Resources,
    spec::{Failure, FailureClass},
};
use uuid::Uuid;

use super::{Job, failure};

pub(crate) use self::find::Peak;
use self::find::{Controller, Hierarchy};

/// A period of the processor's scheduler. Microseconds; the kernel's own default.
const PERIOD_US: f64 = 100_000.0;
/// Killed processes are gone after a moment; so often, this far apart, a group is tried to be removed.
const TRIES: u32 = 50;
const APART: Duration = Duration::from_millis(20);

/// The groups of this node.
pub(crate) struct Cgroups {
    /// The node's folder in each hierarchy, and which life of the node it is.
    name: String,
    session: Uuid,
    found: OnceLock<Result<Vec<Hierarchy>, String>>,
}

impl Cgroups {
    pub(crate) fn new(identity: Uuid, session: Uuid) -> Self {
        Self { name: format!("updraft-{identity}"), session, found: OnceLock::new() }
    }

    /// Where groups can be made, looked for once; the reason where they cannot.
    fn hierarchies(&self) -> Result<&[Hierarchy], &str> {
        let found = self.found.get_or_init(|| {
            let found = find::writable(Path::new("/"), &self.name);
            if let Err(reason) = &found {
                tracing::warn!(
                    reason,
                    "this node cannot make control groups; `resources` of tasks are limits of each process instead"
                );
            }
            found
        });
        found.as_deref().map_err(String::as_str)
    }

    /// Whether groups can be made; leaves nothing behind.
    pub(crate) fn probe(&self) -> Result<(), String> {
        for hierarchy in self.hierarchies()? {
            fs::remove_dir(&hierarchy.folder).map_err(|error| format!("{}: {error}", hierarchy.folder.display()))?;
        }
        Ok(())
    }

    /// A group for an attempt's processes; the reason where there can be none.
    pub(crate) fn make(&self, attempt: Uuid, resources: &Resources) -> Result<Group, String> {
        let mut group = Group { folders: Vec::new() };
        for hierarchy in self.hierarchies()? {
            let folder = hierarchy.folder.join(format!("{}-{attempt}", self.session));
            let made = fs::create_dir(&folder).and_then(|()| limit(hierarchy.controller, &folder, resources));
            group.folders.push((hierarchy.controller, folder.clone()));
            if let Err(error) = made {
                group.remove();
                return Err(format!("{}: {error}", folder.display()));
            }
        }
        Ok(group)
    }

    /// Ends what earlier lives of this node left running in their groups.
    pub(crate) fn sweep(&self) {
        for folder in find::known(Path::new("/"), &self.name) {
            // Most nodes never made one.
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
                Group { folders: vec![(Controller::Unified, path)] }.end();
            }
        }
    }

    /// What the guardian of this life kills: patterns of groups.
    pub(crate) fn patterns(&self) -> Vec<String> {
        let folders = find::known(Path::new("/"), &self.name);
        folders.iter().map(|folder| format!("{}/{}-*", folder.display(), self.session)).collect()
    }
}

/// Writes the limits that a hierarchy knows of.
fn limit(controller: Controller, folder: &Path, resources: &Resources) -> io::Result<()> {
    let write = |file: &str, value: &str| fs::write(folder.join(file), value);
    // Without swap to go to, the limit is where it is said to be; a kernel without that file has no swap to account for.
    let write_if_known = |file: &str, value: &str| match fs::write(folder.join(file), value) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(()),
        written => written,
    };
    let quota = resources.cpus.map(|cpus| (cpus * PERIOD_US).round() as u64);
    if let (Some(memory), Controller::Unified) = (resources.memory, controller) {
        write("memory.max", &memory.to_string())?;
        write_if_known("memory.swap.max", "0")?;
        // A tree that lost one of its processes is of no use.
        write_if_known("memory.oom.group", "1")?;
    }
    if let (Some(memory), Controller::Memory) = (resources.memory, controller) {
        write("memory.limit_in_bytes", &memory.to_string())?;
        write_if_known("memory.memsw.limit_in_bytes", &memory.to_string())?;
    }
    if let (Some(quota), Controller::Unified) = (quota, controller) {
        write("cpu.max", &format!("{quota} {PERIOD_US}"))?;
    }
    if let (Some(quota), Controller::Cpu) = (quota, controller) {
        write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
        write("cpu.cfs_quota_us", &quota.to_string())?;
    }
    if let (Some(pids), Controller::Unified | Controller::Pids) = (resources.pids, controller) {
        write("pids.max", &pids.to_string())?;
    }
    Ok(())
}

/// The group of one attempt.
pub(crate) struct Group {
    /// One folder in a unified hierarchy, or one for each controller.
    folders: Vec<(Controller, PathBuf)>,
}

impl Group {
    /// Puts a process into the group; what it starts from now on is in it too.
    pub(crate) fn add(&self, pid: i32) -> io::Result<()> {
        self.folders.iter().try_for_each(|(_, folder)| fs::write(folder.join("cgroup.procs"), pid.to_string()))
    }

    /// The most memory its processes used together. Bytes.
    pub(crate) fn peak(&self) -> Option<u64> {
        let files = [(Controller::Unified, "memory.peak"), (Controller::Memory, "memory.max_usage_in_bytes")];
        self.read(&files)?.trim().parse().ok()
    }

    /// Whether the kernel killed one of its processes for memory.
    pub(crate) fn was_out_of_memory(&self) -> bool {
        let files = [(Controller::Unified, "memory.events"), (Controller::Memory, "memory.oom_control")];
        let text = self.read(&files).unwrap_or_default();
        let killed = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        killed.and_then(|count| count.trim().parse::<u64>().ok()).is_some_and(|count| count > 0)
    }

    fn read(&self, files: &[(Controller, &str)]) -> Option<String> {
        let found = |(controller, file): &(Controller, &str)| {
            let (_, folder) = self.folders.iter().find(|(known, _)| known == controller)?;
            fs::read_to_string(folder.join(file)).ok()
        };
        files.iter().find_map(found)
    }

    /// Kills every process in it and removes it.
    pub(crate) fn end(&self) {
        for turn in 0..TRIES {
            for (_, folder) in &self.folders {
                // At once and without a race, from Linux 5.14 with version 2.
                if fs::write(folder.join("cgroup.kill"), "1").is_err() {
                    kill_each(folder);
                }
            }
            if self.remove() {
                return;
            }
            if turn + 1 < TRIES {
                std::thread::sleep(APART);
            }
        }
        tracing::warn!(group = ?self.folders.first(), "a control group does not become empty; the next start looks again");
    }

    /// Whether it is gone.
    fn remove(&self) -> bool {
        self.folders.iter().all(|(_, folder)| match fs::remove_dir(folder) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        })
    }
}

fn kill_each(folder: &Path) {
    let pids = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in pids.lines().filter_map(|line| line.parse().ok()) {
        if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGKILL) {
            tracing::debug!(%error, pid, "a process of a control group ended by itself");
        }
    }
}

/// The failure of a process or container that the kernel ended for its memory.
pub(crate) fn oom(job: &Job) -> Failure {
    let peak = job.execution().peak_memory;
    let peak = peak.map(|bytes| format!(" (peak {:.1} MiB)", bytes as f64 / f64::from(1 << 20))).unwrap_or_default();
    failure(
        FailureClass::OomKilled,
        format!(
            "The kernel killed it because it used more memory than it may{peak}, or the node had none left: raise its limit, or have it use less."
        ),
    )
}
