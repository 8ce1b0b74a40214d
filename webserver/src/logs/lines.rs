//! Bytes of a log as lines.

use updraft_protocol::LogLine;

/// A line longer than this is cut into lines of this size when it is read.
pub(super) const LINE_LIMIT: usize = 16 << 20;

/// Whole lines of a log.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    pub lines: Vec<LogLine>,
    /// Where to read on. Less than the log's size while a line's end has not arrived.
    pub next: u64,
}

/// How many of `bytes` are whole lines; `None`: read more, the first line is longer than these. They are `all` that there is,
/// or as many as were asked for; `ended`: nothing will follow.
pub(super) fn whole(bytes: &[u8], all: bool, ended: bool) -> Option<usize> {
    match bytes.iter().rposition(|byte| *byte == b'\n') {
        _ if all && ended => Some(bytes.len()),
        Some(last) => Some(last + 1),
        None if all => Some(0),
        None if bytes.len() >= LINE_LIMIT => Some(bytes.len()),
        None => None,
    }
}

/// The lines of `bytes`, which begin at `offset`. What is no [`LogLine`] is the `event` of one.
pub(super) fn split(bytes: &[u8], offset: u64) -> Lines {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(parse).collect();
    Lines { lines, next: offset + bytes.len() as u64 }
}

fn parse(line: &[u8]) -> LogLine {
    serde_json::from_slice(line).unwrap_or_else(|_| LogLine {
        timestamp: String::new(),
        level: "info".to_owned(),
        event: String::from_utf8_lossy(line).into_owned(),
        logger: String::new(),
        goes_on: false,
    })
}
