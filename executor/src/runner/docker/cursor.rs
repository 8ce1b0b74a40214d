//! Where a container's log was left, so that it goes on without a lost or a doubled line.
//!
//! The daemon stamps every line and can answer from a second on; what it repeats is told by the stamps, and by counting the lines
//! of the last one. The stamps have one fixed width, so they compare as text.

use bollard::container::LogOutput;
use chrono::DateTime;

use crate::logs::{AttemptLog, LineSplitter, Resume, Stream};

/// The position in a container's log.
#[derive(Default)]
pub(super) struct Cursor {
    last: Resume,
    /// Lines to pass over since the last (re)connection: those before `.0`, and `.1` at it.
    skip: Option<(String, usize)>,
    stdout: Partial,
    stderr: Partial,
}

/// A line that the daemon delivers in pieces (it cuts at 16 KiB).
#[derive(Default)]
struct Partial {
    lines: LineSplitter,
    /// The stamp of its first piece, and whether it is new.
    begun: Option<(String, bool)>,
}

impl Cursor {
    pub(super) fn new(resume: Resume) -> Self {
        Self { last: resume, ..Self::default() }
    }

    /// Prepares for a new connection; answers the second to ask from.
    pub(super) fn reconnect(&mut self) -> i32 {
        self.stdout = Partial::default();
        self.stderr = Partial::default();
        self.skip = self.last.timestamp.clone().map(|timestamp| (timestamp, self.last.count));
        let since = self.last.timestamp.as_deref().and_then(|stamp| DateTime::parse_from_rfc3339(stamp).ok());
        since.and_then(|since| i32::try_from(since.timestamp()).ok()).unwrap_or(0)
    }

    /// Takes one message of the daemon.
    pub(super) fn take(&mut self, output: &LogOutput, log: &AttemptLog) {
        let (stream, message) = match output {
            LogOutput::StdErr { message } => (Stream::Stderr, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                (Stream::Stdout, message)
            }
        };
        let (stamp, text) = match message.iter().position(|byte| *byte == b' ') {
            Some(end) if message[..end].is_ascii() => {
                (String::from_utf8_lossy(&message[..end]).into_owned(), &message[end + 1..])
            }
            // Without a stamp (a terminal's prompt cut by the end of the stream): as new as the line before.
            _ => (self.last.timestamp.clone().unwrap_or_default(), &message[..]),
        };
        let begun = match stream {
            Stream::Stdout => self.stdout.begun.take(),
            Stream::Stderr => self.stderr.begun.take(),
        };
        let (stamp, new) = begun.unwrap_or_else(|| {
            let new = self.admit(&stamp);
            (stamp, new)
        });
        let partial = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        partial.lines.feed(text, |line| {
            if new {
                log.output_at(stream, line, stamp.clone());
            }
        });
        if !text.ends_with(b"\n") {
            partial.begun = Some((stamp, new));
        }
    }

    /// The stream ended for good: what came without a line break is a line too.
    pub(super) fn finish(&mut self, log: &AttemptLog) {
        for (stream, partial) in [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)] {
            if let Some((stamp, true)) = partial.begun.take() {
                partial.lines.finish(|line| log.output_at(stream, line, stamp));
            }
        }
    }

    /// Whether the line that begins at `stamp` is new; counts it if so.
    fn admit(&mut self, stamp: &str) -> bool {
        if let Some((at, count)) = &mut self.skip {
            if stamp < at.as_str() {
                return false;
            }
            if stamp == at.as_str() && *count > 0 {
                *count -= 1;
                return false;
            }
            if stamp > at.as_str() {
                self.skip = None;
            }
        }
        if self.last.timestamp.as_deref() == Some(stamp) {
            self.last.count += 1;
        } else {
            self.last = Resume { timestamp: Some(stamp.to_owned()), count: 1 };
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(cursor: &mut Cursor, stamps: &[&str]) -> Vec<bool> {
        stamps.iter().map(|stamp| cursor.admit(stamp)).collect()
    }

    #[test]
    fn a_resumed_log_repeats_and_loses_nothing() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.reconnect(), 0);
        assert_eq!(
            admitted(&mut cursor, &["2026-01-01T00:00:01.1Z", "2026-01-01T00:00:01.2Z", "2026-01-01T00:00:01.2Z"]),
            [true; 3]
        );
        assert_eq!(cursor.reconnect(), 1_767_225_601);
        let again = [
            "2026-01-01T00:00:01.1Z",
            "2026-01-01T00:00:01.2Z",
            "2026-01-01T00:00:01.2Z",
            "2026-01-01T00:00:01.2Z",
            "2026-01-01T00:00:01.3Z",
        ];
        assert_eq!(admitted(&mut cursor, &again), [false, false, false, true, true]);
        assert_eq!(cursor.last, Resume { timestamp: Some("2026-01-01T00:00:01.3Z".to_owned()), count: 1 });
    }
}
