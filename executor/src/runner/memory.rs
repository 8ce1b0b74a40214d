//! How much memory a running task uses, looked at now and then.

use std::{fs, time::Duration};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// When to look. Short tasks are over before.
pub(crate) struct Looks(Interval);

impl Looks {
    const FIRST: Duration = Duration::from_millis(300);
    const EVERY: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        let mut ticks = interval_at(Instant::now() + Self::FIRST, Self::EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(ticks)
    }

    /// Returns when it is time. Dropping the future loses nothing.
    pub(crate) async fn due(&mut self) {
        self.0.tick().await;
    }
}

/// The peaks of a process and its descendants that live now, added up. Bytes.
///
/// Not `wait4`'s: a process that was started by `posix_spawn` inherits its parent's peak there.
pub(crate) fn of_tree(pid: i32) -> Option<u64> {
    let mut sum = None;
    let mut left = vec![pid];
    while let Some(pid) = left.pop() {
        sum = peak_of(pid).map(|peak| sum.unwrap_or(0) + peak).or(sum);
        left.extend(children_of(pid));
    }
    sum
}

fn peak_of(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// A process that ends meanwhile has none.
fn children_of(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_a_process_with_its_descendants() {
        let mut shell = std::process::Command::new("/bin/sh").args(["-c", "sleep 600; true"]).spawn().unwrap();
        let pid = i32::try_from(shell.id()).unwrap();
        let child = loop {
            if let [child] = children_of(pid)[..] {
                break child;
            }
        };
        // Its peak begins anew when it becomes `sleep`, and only grows from then on.
        while !std::fs::read(format!("/proc/{child}/cmdline")).unwrap().starts_with(b"sleep") {}
        let sum = || peak_of(pid).unwrap() + peak_of(child).unwrap();
        let (before, tree, after) = (sum(), of_tree(pid).unwrap(), sum());
        assert!((before..=after).contains(&tree), "{tree} is not between {before} and {after}");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), nix::sys::signal::Signal::SIGKILL).unwrap();
        shell.wait().unwrap();
    }
}
