//! What was told lately, in a bounded ring that every reader reads at its own pace.
//!
//! A reader is a position and nothing else, so one that is slow, and one that comes back, cost no memory: as long as the ring has
//! what comes next they get it, and are told to read anew when it has not.

use std::{collections::VecDeque, fmt, str::FromStr, sync::Arc};

use bytes::Bytes;

use crate::permission::Kind;

/// Frames that are kept.
const FRAMES: usize = 512;
/// Bytes of text that are kept.
const BYTES: usize = 4 << 20;

/// What a reader is to get next; an event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Random, of one webserver from one moment on since when it has seen everything.
    epoch: u64,
    next: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.epoch, self.next)
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (epoch, next) = text.split_once('-').ok_or(())?;
        let epoch = u64::from_str_radix(epoch, 16).map_err(drop)?;
        Ok(Self { epoch, next: next.parse().map_err(drop)? })
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// What a caller must be allowed to read.
    pub(super) kind: Kind,
    /// `None`: it is about no DAG.
    pub(super) dag_id: Option<String>,
    /// The lines of the event, without its id and the empty line behind it.
    pub(super) text: String,
}

/// What a reader wants and may read.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// Empty: everything.
    pub(crate) dag_ids: Vec<String>,
    /// `None`: all kinds.
    pub(crate) kinds: Option<Vec<Kind>>,
}

impl Filter {
    fn is_everything(&self) -> bool {
        self.dag_ids.is_empty() && self.kinds.is_none()
    }

    fn takes(&self, change: &Change) -> bool {
        let is_allowed = self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&change.kind));
        let is_wanted = self.dag_ids.is_empty() || change.dag_id.as_ref().is_some_and(|id| self.dag_ids.contains(id));
        is_allowed && is_wanted
    }
}

/// What one look at the database found.
pub(super) struct Frame {
    changes: Vec<Change>,
    /// All of it as it is sent, made once for all who take everything.
    whole: Bytes,
}

/// The ring. Without an epoch nobody looks at the database.
#[derive(Default)]
pub(super) struct Ring {
    epoch: Option<u64>,
    /// The number of the oldest frame that is kept.
    first: u64,
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
}

/// What there is for a reader.
pub(super) enum Ahead {
    /// Nobody looks at the database yet.
    Asleep,
    /// The position is of another time or place: read anew, and go on from here.
    Reset(Position),
    /// Perhaps nothing.
    Frames(Vec<Arc<Frame>>, Position),
}

impl Ring {
    /// From now on everything that changes is told. No earlier position is valid.
    pub(super) fn restart(&mut self) {
        *self = Self { epoch: Some(rand::random()), ..Self::default() };
    }

    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }

    pub(super) fn push(&mut self, changes: Vec<Change>) {
        let Some(epoch) = self.epoch else { return };
        let next = self.first + self.frames.len() as u64 + 1;
        let Some(whole) = text(changes.iter(), Position { epoch, next }) else { return };
        self.bytes += whole.len();
        self.frames.push_back(Arc::new(Frame { changes, whole }));
        while self.frames.len() > FRAMES || self.bytes > BYTES {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.bytes -= oldest.whole.len();
            self.first += 1;
        }
    }

    pub(super) fn ahead(&self, of: Option<Position>) -> Ahead {
        let Some(epoch) = self.epoch else { return Ahead::Asleep };
        let end = Position { epoch, next: self.first + self.frames.len() as u64 };
        match of {
            Some(position) if position.epoch == epoch && (self.first..=end.next).contains(&position.next) => {
                let behind = (position.next - self.first) as usize;
                Ahead::Frames(self.frames.iter().skip(behind).cloned().collect(), end)
            }
            _ => Ahead::Reset(end),
        }
    }
}

/// What of the frames a reader gets, as it is sent; `None`: nothing.
pub(super) fn render(frames: &[Arc<Frame>], filter: &Filter, end: Position) -> Option<Bytes> {
    match frames {
        [frame] if filter.is_everything() => Some(frame.whole.clone()),
        frames => text(frames.iter().flat_map(|frame| &frame.changes).filter(|change| filter.takes(change)), end),
    }
}

/// Events in the format of the HTML standard (§9.2). The last carries the id: who gets a part only gets all of it again.
fn text<'a>(changes: impl Iterator<Item = &'a Change>, position: Position) -> Option<Bytes> {
    let mut text = String::new();
    for change in changes {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&change.text);
    }
    (!text.is_empty()).then(|| (text + &format!("id: {position}\n\n")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Filter = Filter { dag_ids: Vec::new(), kinds: None };

    fn change(number: usize) -> Change {
        Change { kind: Kind::Dag, dag_id: Some(format!("d{number}")), text: format!("event: dag\ndata: {number}\n") }
    }

    fn start(ring: &Ring) -> Position {
        match ring.ahead(None) {
            Ahead::Reset(position) => position,
            _ => panic!("a reader without a position is told to read"),
        }
    }

    fn read(ring: &Ring, of: Position, filter: &Filter) -> Option<(String, Position)> {
        match ring.ahead(Some(of)) {
            Ahead::Frames(frames, end) => {
                let text = render(&frames, filter, end).unwrap_or_default();
                Some((String::from_utf8(text.to_vec()).unwrap(), end))
            }
            _ => None,
        }
    }

    #[test]
    fn a_reader_gets_what_was_told_since_its_position_and_the_last_event_has_the_id() {
        let mut ring = Ring::default();
        assert!(matches!(ring.ahead(None), Ahead::Asleep));
        ring.restart();
        let begin = start(&ring);
        ring.push(vec![change(1), change(2)]);
        ring.push(vec![change(3)]);
        let (text, end) = read(&ring, begin, &EVERYTHING).unwrap();
        let expected = format!("event: dag\ndata: 1\n\nevent: dag\ndata: 2\n\nevent: dag\ndata: 3\nid: {end}\n\n");
        assert_eq!(text, expected);
        assert_eq!(read(&ring, end, &EVERYTHING).unwrap(), (String::new(), end));
        assert_eq!(end.to_string().parse(), Ok(end));
    }

    #[test]
    fn an_unknown_position_is_told_to_read_anew() {
        let mut ring = Ring::default();
        ring.restart();
        let begin = start(&ring);
        assert!(read(&ring, Position { next: begin.next + 1, ..begin }, &EVERYTHING).is_none(), "not told yet");
        for number in 0..=FRAMES {
            ring.push(vec![change(number)]);
        }
        assert!(read(&ring, begin, &EVERYTHING).is_none(), "too old");
        let end = start(&ring);
        ring.restart();
        assert!(read(&ring, end, &EVERYTHING).is_none(), "of another time");
    }

    #[test]
    fn the_ring_is_bounded_by_bytes_too() {
        let mut ring = Ring::default();
        ring.restart();
        for _ in 0..20 {
            ring.push(vec![Change { text: "x".repeat(1 << 20), ..change(0) }]);
        }
        assert!(ring.bytes <= BYTES && ring.frames.len() == 3, "{} frames", ring.frames.len());
    }

    #[test]
    fn what_is_not_wanted_or_not_allowed_is_left_out() {
        let mut ring = Ring::default();
        ring.restart();
        let begin = start(&ring);
        let node = Change { kind: Kind::Executor, dag_id: None, text: "event: executor\ndata: n\n".to_owned() };
        ring.push(vec![change(1), node, change(2)]);
        let of_one = Filter { dag_ids: vec!["d2".to_owned()], kinds: None };
        let (text, end) = read(&ring, begin, &of_one).unwrap();
        assert_eq!(text, format!("event: dag\ndata: 2\nid: {end}\n\n"));
        let nodes = Filter { dag_ids: Vec::new(), kinds: Some(vec![Kind::Executor]) };
        assert_eq!(read(&ring, begin, &nodes).unwrap().0, format!("event: executor\ndata: n\nid: {end}\n\n"));
        let nothing = Filter { dag_ids: vec!["d3".to_owned()], kinds: None };
        assert_eq!(read(&ring, begin, &nothing).unwrap().0, "");
    }
}
