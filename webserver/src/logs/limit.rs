//! What of a node's bytes is new, and where a log that grew too long ends.

use updraft_protocol::LogLine;

use super::AppendError;

/// What to write at the end of a log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct New {
    pub(super) bytes: Vec<u8>,
    /// It ends with the line that says so; nothing is taken after it.
    pub(super) is_full: bool,
}

/// Of `bytes` that belong at `offset`, what lies behind `size`. A log over `limit` ends with whole lines and a word about it; from
/// then on it is at least as long as the limit. The same bytes give the same end, whoever writes it.
pub(super) fn cut(size: u64, offset: u64, bytes: &[u8], limit: u64) -> Result<New, AppendError> {
    if size >= limit {
        return Err(AppendError::Full { limit });
    }
    if offset > size {
        return Err(AppendError::Gap { size });
    }
    let known = usize::try_from(size - offset).unwrap_or(usize::MAX);
    let new = bytes.get(known..).unwrap_or_default();
    if size + new.len() as u64 <= limit {
        return Ok(New { bytes: new.to_vec(), is_full: false });
    }
    let room = usize::try_from(limit - size).unwrap_or(usize::MAX);
    let kept = new[..room].iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |last| &new[..=last]);
    let mut bytes = [kept, notice(limit).as_bytes()].concat();
    if size + (bytes.len() as u64) < limit {
        bytes.resize(room, b'\n');
    }
    Ok(New { bytes, is_full: true })
}

/// The last line of a log that is cut off. Without a time: it would be another one on every webserver.
fn notice(limit: u64) -> String {
    let line = LogLine {
        timestamp: String::new(),
        level: "warning".to_owned(),
        event: format!(
            "The log of this try reached its limit of {limit} bytes; the rest was not kept. The task goes on."
        ),
        logger: "webserver".to_owned(),
        goes_on: false,
    };
    serde_json::to_string(&line).expect("a line of texts is JSON") + "\n"
}
