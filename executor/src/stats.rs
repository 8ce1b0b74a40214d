//! Load facts of the machine, for people. What cannot be read is left out.

use std::{collections::BTreeMap, fs, path::Path};

/// `cpu`: load average of the last minute per core, 1 is fully used. `memory_free`, `disk_free`: bytes a task could use.
pub(crate) fn read(data_dir: &Path) -> BTreeMap<String, f64> {
    let mut stats = BTreeMap::new();
    let mut put = |name: &str, value: Option<f64>| value.map(|value| stats.insert(name.to_owned(), value));
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    put("cpu", load().map(|load| load / cores));
    put("memory_free", memory_free());
    put("disk_free", disk_free(data_dir));
    stats
}

fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

fn memory_free() -> Option<f64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

fn disk_free(data_dir: &Path) -> Option<f64> {
    let facts = nix::sys::statvfs::statvfs(data_dir).ok()?;
    Some(facts.blocks_available() as f64 * facts.fragment_size() as f64)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_has_load_memory_and_disk() {
        let stats = super::read(std::path::Path::new("/"));
        assert_eq!(stats.keys().collect::<Vec<_>>(), ["cpu", "disk_free", "memory_free"]);
    }
}
