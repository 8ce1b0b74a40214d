//! Kills what must not outlive its attempt or its node: by process group, and by the variables every task is started with.

use std::{fs, io};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use uuid::Uuid;

use crate::journal::ProcessGroup;

/// Set for every process of an attempt; the attempt's id.
pub(crate) const ATTEMPT_VARIABLE: &str = "UPDRAFT_ATTEMPT_ID";
/// Set for every process of a node's tasks: `<identity>:<session>`. The next life sweeps by the identity; the guardian of this one
/// by both, since the next may already run tasks of its own.
pub(crate) const NODE_VARIABLE: &str = "UPDRAFT_NODE";

/// Sends `signal` to a whole process group. A group that is gone is no error.
pub(crate) fn signal_group(pgid: i32, signal: Signal) {
    match killpg(Pid::from_raw(pgid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
        Err(error) => tracing::warn!(%error, pgid, %signal, "a process group could not be signalled"),
    }
}

/// The start time of a process, which tells a reused pid apart.
pub(crate) fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name, in brackets, may hold anything; field 22 is the 20th after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Kills a group an earlier life of this node started, if it is still the same one.
pub(crate) fn kill_recorded(group: ProcessGroup) {
    if start_ticks(group.pgid) == Some(group.start_ticks) {
        signal_group(group.pgid, Signal::SIGKILL);
    }
}

/// Kills every process whose environment has a `name` that begins with this id: also those that left their group. Answers how many.
pub(crate) fn kill_marked(name: &str, value: Uuid) -> io::Result<usize> {
    let mark = format!("{name}={value}");
    let own = i32::try_from(std::process::id()).expect("a pid is an i32");
    let mut killed = 0;
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // Processes of other users and those that just ended cannot be read, and are not ours.
        let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        if pid != own && environ.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes())) {
            match kill(Pid::from_raw(pid), Signal::SIGKILL) {
                Ok(()) => killed += 1,
                Err(error) => tracing::debug!(%error, pid, "a marked process ended by itself"),
            }
        }
    }
    Ok(killed)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::CommandExt, process::Command};

    use super::*;

    #[test]
    fn a_recorded_group_is_killed_and_a_reused_pid_is_not() {
        let mut child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let pgid = i32::try_from(child.id()).unwrap();
        let start_ticks = start_ticks(pgid).unwrap();
        kill_recorded(ProcessGroup { pgid, start_ticks: start_ticks + 1 });
        assert!(child.try_wait().unwrap().is_none(), "another process under the same number is left alone");
        kill_recorded(ProcessGroup { pgid, start_ticks });
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn marked_processes_are_found_wherever_they_went() {
        let identity = Uuid::new_v4();
        let mark = format!("{identity}:{}", Uuid::new_v4());
        let mut child = Command::new("setsid").args(["sleep", "600"]).env(NODE_VARIABLE, mark).spawn().unwrap();
        while kill_marked(NODE_VARIABLE, identity).unwrap() == 0 {
            std::thread::yield_now();
        }
        assert!(!child.wait().unwrap().success());
    }
}
