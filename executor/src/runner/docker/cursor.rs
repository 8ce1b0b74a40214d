//! Where a container's log was left, so that it goes on without a lost or a doubled line.
//!
//! The daemon stamps every line and can answer from a second on; what it repeats is told by the stamps, and by counting the lines
//! of the last one. Each stream by itself: within one the stamps rise, but the daemon reads two of them side by side and may
//! write a line after a later one of the other. The stamps have one fixed width, so they compare as text.

use bollard::container::LogOutput;
use chrono::DateTime;

use crate::logs::{AttemptLog, LineSplitter, Piece, Position, Resume, Stream};

/// How far the two streams may be out of step in the daemon's own file. Seconds.
const SKEW: i64 = 2;

/// The position in a container's log.
#[derive(Default)]
pub(super) struct Cursor {
    stdout: Track,
    stderr: Track,
}

/// The position in one stream.
#[derive(Default)]
struct Track {
    last: Position,
    /// Lines to pass over since the last (re)connection: those before this position, and so many at it.
    skip: Option<(String, usize)>,
    lines: LineSplitter,
    /// The stamp of the first piece of a line that the daemon delivers in pieces (it cuts at 16 KiB), and whether it is new.
    begun: Option<(String, bool)>,
}

impl Cursor {
    pub(super) fn new(resume: Resume) -> Self {
        let track = |last| Track { last, ..Track::default() };
        Self { stdout: track(resume.stdout), stderr: track(resume.stderr) }
    }

    /// Prepares for a new connection; answers the second to ask from.
    pub(super) fn reconnect(&mut self) -> i32 {
        self.stdout.reconnect();
        self.stderr.reconnect();
        let second = |track: &Track| {
            let stamp = DateTime::parse_from_rfc3339(track.last.timestamp.as_deref()?).ok()?;
            Some(stamp.timestamp())
        };
        let latest = second(&self.stdout).max(second(&self.stderr));
        latest.and_then(|second| i32::try_from(second - SKEW).ok()).unwrap_or(0)
    }

    /// Takes one message of the daemon.
    pub(super) fn take(&mut self, output: &LogOutput, log: &AttemptLog) {
        let (stream, message) = match output {
            LogOutput::StdErr { message } => (Stream::Stderr, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                (Stream::Stdout, message)
            }
        };
        let track = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        track.take(message, |line, stamp| log.output_at(stream, line, stamp));
    }

    /// The stream ended for good: what came without a line break is a line too.
    pub(super) fn finish(&mut self, log: &AttemptLog) {
        self.stdout.finish(|line, stamp| log.output_at(Stream::Stdout, line, stamp));
        self.stderr.finish(|line, stamp| log.output_at(Stream::Stderr, line, stamp));
    }
}

impl Track {
    fn reconnect(&mut self) {
        self.lines = LineSplitter::default();
        if let Some((_, true)) = self.begun.take() {
            // Not handed out yet: it comes again, from its first piece on.
            self.last.count -= 1;
        }
        self.skip = self.last.timestamp.clone().map(|timestamp| (timestamp, self.last.count));
    }

    fn take(&mut self, message: &[u8], mut line: impl FnMut(Piece<'_>, String)) {
        let (stamp, text) = match message.iter().position(|byte| *byte == b' ') {
            Some(end) if message[..end].is_ascii() => {
                (String::from_utf8_lossy(&message[..end]).into_owned(), &message[end + 1..])
            }
            // Without a stamp (a terminal's prompt cut by the end of the stream): as new as the line before.
            _ => (self.last.timestamp.clone().unwrap_or_default(), message),
        };
        let (stamp, new) = self.begun.take().unwrap_or_else(|| {
            let new = self.admit(&stamp);
            (stamp, new)
        });
        self.lines.feed(text, |piece| {
            if new {
                line(piece, stamp.clone());
            }
        });
        if !text.ends_with(b"\n") {
            self.begun = Some((stamp, new));
        }
    }

    fn finish(&mut self, mut line: impl FnMut(Piece<'_>, String)) {
        if let Some((stamp, true)) = self.begun.take() {
            self.lines.finish(|piece| line(piece, stamp));
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
            self.last = Position::new(stamp.to_owned(), 1);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(track: &mut Track, messages: &[&str]) -> Vec<String> {
        let mut lines = Vec::new();
        for message in messages {
            track.take(message.as_bytes(), |line, _| lines.push(String::from_utf8_lossy(line.bytes).into_owned()));
        }
        lines
    }

    #[test]
    fn a_resumed_log_repeats_and_loses_nothing() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.reconnect(), 0);
        let [one, two, three] =
            ["2026-01-01T00:00:01.1Z a\n", "2026-01-01T00:00:01.2Z b\n", "2026-01-01T00:00:01.2Z c\n"];
        assert_eq!(taken(&mut cursor.stdout, &[one, two, three]), ["a", "b", "c"]);
        assert_eq!(cursor.reconnect(), 1_767_225_599);
        let more = ["2026-01-01T00:00:01.2Z d\n", "2026-01-01T00:00:01.3Z e\n"];
        assert_eq!(taken(&mut cursor.stdout, &[one, two, three, more[0], more[1]]), ["d", "e"]);
        assert_eq!(cursor.stdout.last.timestamp.as_deref(), Some("2026-01-01T00:00:01.3Z"));
    }

    #[test]
    fn a_line_whose_end_was_not_seen_comes_again_whole() {
        let mut track = Track::default();
        let (begin, end) = ("2026-01-01T00:00:01.1Z be", "2026-01-01T00:00:01.2Z gun\n");
        assert!(taken(&mut track, &[begin]).is_empty());
        track.reconnect();
        assert_eq!(taken(&mut track, &[begin, end]), ["begun"]);
        track.reconnect();
        assert!(taken(&mut track, &[begin, end]).is_empty());
    }

    #[test]
    fn a_line_written_after_a_later_one_of_the_other_stream_is_not_lost() {
        let mut cursor = Cursor::default();
        taken(&mut cursor.stdout, &["2026-01-01T00:00:01.2Z out\n"]);
        cursor.reconnect();
        assert_eq!(taken(&mut cursor.stderr, &["2026-01-01T00:00:01.1Z err\n"]), ["err"]);
    }
}
