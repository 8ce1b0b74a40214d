//! File names made of ids that people chose.

use sha2::{Digest, Sha256};

use super::LogKey;

/// Longer names than this are shortened to a prefix and a hash; file systems allow 255 bytes.
const NAME_LIMIT: usize = 200;

/// `dag_id=…/run_id=…/task_id=…/[map_index=…/]attempt=<try>-<attempt id>.log`, Airflow's layout but for the last part.
pub(super) fn relative(key: &LogKey) -> String {
    let (dag, run, task) =
        (segment("dag_id=", &key.dag_id), segment("run_id=", &key.run_id), segment("task_id=", &key.task_id));
    let mapped = if key.map_index >= 0 { format!("map_index={}/", key.map_index) } else { String::new() };
    format!("{dag}/{run}/{task}/{mapped}attempt={}-{}.log", key.try_number, key.attempt_id)
}

/// One folder name: bytes that mean something to a path, a shell or a terminal are %-escaped, so that different ids never share a
/// name and none leaves its folder.
fn segment(prefix: &str, id: &str) -> String {
    use std::fmt::Write;
    let mut name = String::from(prefix);
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' | b':' | b'+' | b'@' => {
                name.push(char::from(byte));
            }
            other => write!(name, "%{other:02X}").expect("writing to a text cannot fail"),
        }
    }
    if name.len() > NAME_LIMIT {
        let hash = updraft_core::dag::hex(&Sha256::digest(id));
        name.truncate(NAME_LIMIT - 33);
        name.push('-');
        name.push_str(&hash[..32]);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_leaves_its_folder_or_shares_a_name() {
        assert_eq!(segment("dag_id=", "a/../../b"), "dag_id=a%2F..%2F..%2Fb");
        assert_eq!(segment("dag_id=", "a%2Fb"), "dag_id=a%252Fb");
        assert_eq!(segment("run_id=", "manual__2026-01-01T00:00:00+00:00"), "run_id=manual__2026-01-01T00:00:00+00:00");
        let (long, longer) = (segment("dag_id=", &"ä".repeat(200)), segment("dag_id=", &"ä".repeat(201)));
        assert!(long.len() <= NAME_LIMIT && longer.len() <= NAME_LIMIT && long != longer);
    }
}
