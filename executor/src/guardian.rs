//! What kills the node's processes when the node itself is killed.
//!
//! PR_SET_PDEATHSIG would fire when the thread that started a process ends, and needs code between fork and exec. Instead one
//! small shell waits for its standard input to end, which happens exactly when the node is gone, and then kills every process
//! that carries this life of the node in its environment, with its whole group, and all that is in this life's control groups. It costs
//! a running task nothing.

use std::{
    io,
    process::{Child, Command, Stdio},
};

use std::os::unix::process::CommandExt;

use crate::runner::sweep::NODE_VARIABLE;

/// Looks three times: a process may have been between fork and exec the first time.
const SCRIPT: &str = r#"
read -r _
mark=$1; shift
groups=$*
for turn in 1 2 3; do
  for group in $groups; do
    kill -KILL $(cat "$group/cgroup.procs")
  done
  for file in $(grep -lsz -x "$mark" /proc/[0-9]*/environ); do
    pid=${file#/proc/}; pid=${pid%/environ}
    read -r stat < "/proc/$pid/stat" || continue
    set -- ${stat##*) }
    [ "$3" -gt 1 ] && kill -KILL "-$3"
    kill -KILL "$pid"
  done
  sleep 0.2
done 2>/dev/null
"#;

/// The guardian. Dropping it lets it go without a sweep having anything left to do.
pub(crate) struct Guardian {
    /// `None` on a machine without a shell, such as an image of nothing but this program: its tasks run in containers.
    child: Option<Child>,
}

impl Guardian {
    /// `groups`: patterns of the folders of control groups, without blanks.
    pub(crate) fn start(mark: &str, groups: &[String]) -> io::Result<Self> {
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "updraft-guardian"])
            .arg(format!("{NODE_VARIABLE}={mark}"))
            .args(groups)
            .env_remove(NODE_VARIABLE)
            .current_dir("/")
            // Ctrl-C at a terminal is for the node; the guardian must outlive it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Ok(Self { child: Some(child) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!(
                    "there is no /bin/sh: processes of tasks outlive a node that is killed, until its next start"
                );
                Ok(Self { child: None })
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // The node ends cleanly: its processes are gone already.
        let Some(child) = &mut self.child else { return };
        if let Err(error) = child.kill().and_then(|()| child.wait()) {
            tracing::debug!(%error, "the guardian was gone before the node");
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_guardian_kills_marked_processes_and_their_groups_when_the_node_is_gone() {
        let mark = format!("{}:{}", Uuid::new_v4(), Uuid::new_v4());
        // The leader wipes its environment after starting a marked child, so that only the group leads to it.
        let mut marked = Command::new("/bin/sh")
            .args(["-c", "sleep 600 & exec env -i sleep 600"])
            .env(NODE_VARIABLE, &mark)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut bystander =
            Command::new("sleep").arg("600").env(NODE_VARIABLE, Uuid::new_v4().to_string()).spawn().unwrap();
        let mut guardian = Guardian::start(&mark, &[]).unwrap();
        let child = guardian.child.as_mut().unwrap();
        drop(child.stdin.take());
        marked.wait().unwrap();
        child.wait().unwrap();
        assert!(bystander.try_wait().unwrap().is_none(), "a process of another node was killed");
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }
}
