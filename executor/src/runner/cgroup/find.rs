//! Where the control groups of this machine are, and where this node may make its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What a hierarchy counts and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    /// Everything: version 2.
    Unified,
    Memory,
    Cpu,
    Pids,
}

impl Controller {
    /// The hierarchies of version 1 that a task needs.
    const V1: [(Self, &'static str); 3] = [(Self::Memory, "memory"), (Self::Cpu, "cpu"), (Self::Pids, "pids")];
}

/// A hierarchy and the node's own folder in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) controller: Controller,
    pub(super) folder: PathBuf,
}

/// The file that holds the peak memory of somebody else's group.
pub(crate) struct Peak(PathBuf);

impl Peak {
    /// Of the group that a process is in, when its path names `owner`: a process of that number on this machine may be another.
    pub(crate) fn of(pid: i64, owner: &str) -> Option<Self> {
        let system = System::read(Path::new("/"), &pid.to_string()).ok()?;
        let memory = system.folder_of(Controller::Memory).map(|folder| folder.join("memory.max_usage_in_bytes"));
        let file = memory.or_else(|| Some(system.folder_of(Controller::Unified)?.join("memory.peak")))?;
        file.to_string_lossy().contains(owner).then_some(Self(file))
    }

    /// The peak so far; `None` when the group is gone or the kernel is older than 5.19 and has version 2. Bytes.
    pub(crate) fn read(&self) -> Option<u64> {
        fs::read_to_string(&self.0).ok()?.trim().parse().ok()
    }
}

/// What the kernel says of its hierarchies and of a process' place in them.
struct System {
    mounts: String,
    groups: String,
    root: PathBuf,
}

impl System {
    /// `root`: `/`, or a folder that stands for it in a test.
    fn read(root: &Path, process: &str) -> io::Result<Self> {
        Ok(Self {
            mounts: fs::read_to_string(root.join("proc/self/mounts"))?,
            groups: fs::read_to_string(root.join("proc").join(process).join("cgroup"))?,
            root: root.to_owned(),
        })
    }

    /// The group of the process in one hierarchy; `None` when that is not mounted.
    fn folder_of(&self, controller: Controller) -> Option<PathBuf> {
        let v1 = Controller::V1.iter().find(|(known, _)| *known == controller).map(|(_, name)| *name);
        let has = |list: &str, name: &str| list.split(',').any(|word| word == name);
        let mount = self.mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (mount, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
            let is_it = v1.map_or(kind == "cgroup2", |name| kind == "cgroup" && has(options, name));
            is_it.then_some(mount)
        })?;
        let path = self.groups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            v1.map_or(controllers.is_empty(), |name| has(controllers, name)).then_some(path)
        })?;
        Some(self.root.join(mount.trim_start_matches('/')).join(path.trim_start_matches('/')))
    }
}

/// The node's folders, made or not.
pub(super) fn known(root: &Path, name: &str) -> Vec<PathBuf> {
    let Ok(system) = System::read(root, "self") else { return Vec::new() };
    let all = Controller::V1.iter().map(|(controller, _)| *controller).chain([Controller::Unified]);
    all.filter_map(|controller| system.folder_of(controller)).map(|own| own.join(name)).collect()
}

/// Makes the node's folder in every hierarchy that a task needs, or says why not.
pub(super) fn writable(root: &Path, name: &str) -> Result<Vec<Hierarchy>, String> {
    let system = System::read(root, "self").map_err(|error| format!("/proc cannot be read: {error}"))?;
    let v1: Vec<(Controller, PathBuf)> = Controller::V1
        .iter()
        .filter_map(|(controller, _)| Some((*controller, system.folder_of(*controller)?)))
        .collect();
    let (owns, is_unified) = match (v1.len(), system.folder_of(Controller::Unified)) {
        (3, _) => (v1, false),
        (_, Some(own)) => (vec![(Controller::Unified, own)], true),
        _ => return Err("no control groups with memory, cpu and pids are mounted".to_owned()),
    };
    let mut hierarchies = Vec::with_capacity(owns.len());
    for (controller, own) in owns {
        let folder = own.join(name);
        let made = || -> io::Result<()> {
            if is_unified {
                enable(&own)?;
            }
            fs::create_dir_all(&folder)?;
            if is_unified { enable(&folder) } else { Ok(()) }
        };
        made().map_err(|error| {
            format!("{}: {error}. Run the node as root, or as a systemd service with Delegate=yes", folder.display())
        })?;
        hierarchies.push(Hierarchy { controller, folder });
    }
    Ok(hierarchies)
}

/// Has the groups below one count and limit. A group that does must itself hold no process, so ours move one down first; where
/// others are in it too, it is not ours to change.
fn enable(group: &Path) -> io::Result<()> {
    let control = group.join("cgroup.subtree_control");
    let on = "+memory +cpu +pids";
    let Err(refused) = fs::write(&control, on) else { return Ok(()) };
    let own = i32::try_from(std::process::id()).expect("a pid is an i32");
    let inside = fs::read_to_string(group.join("cgroup.procs"))?;
    let inside: Vec<i32> = inside.lines().filter_map(|line| line.parse().ok()).collect();
    if inside.is_empty() || !inside.iter().all(|pid| descends(*pid, own)) {
        return Err(refused);
    }
    let below = group.join("updraft-node");
    fs::create_dir_all(&below)?;
    for pid in inside {
        fs::write(below.join("cgroup.procs"), pid.to_string())?;
    }
    fs::write(control, on)
}

/// Whether a process is `ancestor` or one of its descendants.
fn descends(pid: i32, ancestor: i32) -> bool {
    let parent = |pid: i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    std::iter::successors(Some(pid), |pid| parent(*pid)).take(64).any(|pid| pid == ancestor)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that stands for `/`.
    fn machine(mounts: &str, groups: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        fs::write(root.path().join("proc/self/mounts"), mounts).unwrap();
        fs::write(root.path().join("proc/self/cgroup"), groups).unwrap();
        root
    }

    const HYBRID: &str = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\n\
                          cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                          cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n\
                          cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";

    #[test]
    fn version_1_has_a_folder_for_each_controller() {
        let root = machine(HYBRID, "5:cpu,cpuacct:/a\n4:memory:/m\n3:pids:/\n0::/u\n");
        let found = writable(root.path(), "updraft-1").unwrap();
        let folders: Vec<String> = found
            .iter()
            .map(|hierarchy| hierarchy.folder.strip_prefix(root.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(
            folders,
            ["sys/fs/cgroup/memory/m/updraft-1", "sys/fs/cgroup/cpu/a/updraft-1", "sys/fs/cgroup/pids/updraft-1"]
        );
        assert!(found.iter().all(|hierarchy| hierarchy.folder.is_dir()));
    }

    #[test]
    fn version_2_has_one_and_hands_its_controllers_down() {
        let root = machine("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n", "0::/system.slice/updraft.service\n");
        let own = root.path().join("sys/fs/cgroup/system.slice/updraft.service");
        fs::create_dir_all(&own).unwrap();
        let found = writable(root.path(), "updraft-1").unwrap();
        assert_eq!(found, [Hierarchy { controller: Controller::Unified, folder: own.join("updraft-1") }]);
        for group in [own.clone(), own.join("updraft-1")] {
            assert_eq!(fs::read_to_string(group.join("cgroup.subtree_control")).unwrap(), "+memory +cpu +pids");
        }
    }

    #[test]
    fn a_machine_without_them_says_so() {
        let root = machine("proc /proc proc rw 0 0\n", "0::/\n");
        assert!(writable(root.path(), "updraft-1").unwrap_err().contains("no control groups"));
        assert!(known(root.path(), "updraft-1").is_empty());
    }
}
