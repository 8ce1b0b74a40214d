//! Control groups of the kernel, versions 1 and 2: how much memory processes used together.

use std::{
    fs,
    path::{Path, PathBuf},
};

use updraft_core::spec::{Failure, FailureClass};

use super::{Job, failure};

/// The file that holds the peak memory of a group.
pub(crate) struct Peak(PathBuf);

impl Peak {
    /// Of the group that a process is in, when its path names `owner`: a process of that number on this machine may be another.
    pub(crate) fn of(pid: i64, owner: &str) -> Option<Self> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let (root, path, file) = memory_group(&mounts, &groups)?;
        path.contains(owner).then(|| Self(root.join(path.trim_start_matches('/')).join(file)))
    }

    /// The peak so far; `None` when the group is gone or the kernel is older than 5.19 and has version 2. Bytes.
    pub(crate) fn read(&self) -> Option<u64> {
        fs::read_to_string(&self.0).ok()?.trim().parse().ok()
    }
}

/// Where the memory of a process is counted: the mount, the group's path in it, and the file with its peak.
fn memory_group<'a>(mounts: &'a str, groups: &'a str) -> Option<(&'a Path, &'a str, &'static str)> {
    let mounted = |kind: &str, option: Option<&str>| {
        mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (root, found, options) = (fields.next()?, fields.next()?, fields.next()?);
            let matches = found == kind && option.is_none_or(|option| options.split(',').any(|word| word == option));
            matches.then(|| Path::new(root))
        })
    };
    let group = |wanted: &dyn Fn(&str) -> bool| {
        groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            wanted(controllers).then_some(path)
        })
    };
    if let Some(path) = group(&|controllers| controllers.split(',').any(|name| name == "memory")) {
        return Some((mounted("cgroup", Some("memory"))?, path, "memory.max_usage_in_bytes"));
    }
    Some((mounted("cgroup2", None)?, group(&|controllers| controllers.is_empty())?, "memory.peak"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_where_its_controller_is_mounted() {
        let pure = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n";
        assert_eq!(
            memory_group(pure, "0::/system.slice/docker-12ab.scope\n"),
            Some((Path::new("/sys/fs/cgroup"), "/system.slice/docker-12ab.scope", "memory.peak"))
        );
        let hybrid = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\n\
                      cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(
            memory_group(hybrid, "5:cpu,cpuacct:/a\n4:memory:/docker/12ab\n0::/b\n"),
            Some((Path::new("/sys/fs/cgroup/memory"), "/docker/12ab", "memory.max_usage_in_bytes"))
        );
        assert_eq!(memory_group("", "0::/\n"), None);
    }
}
