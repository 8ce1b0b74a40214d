//! Bytes of a stream become lines.

/// A longer line is split.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// A line without its line break, or a part of one that is longer than [`MAX_LINE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) bytes: &'a [u8],
    /// Its line goes on in the next piece.
    pub(crate) goes_on: bool,
}

/// Collects the bytes of one stream and hands out whole lines, without their line breaks.
#[derive(Default)]
pub(crate) struct LineSplitter {
    rest: Vec<u8>,
}

impl LineSplitter {
    /// Takes bytes and gives every line they complete; a line over [`MAX_LINE`] comes in pieces.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(Piece<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = bytes.split_at(end);
            bytes = &tail[1..];
            if self.rest.is_empty() {
                pieces(head, &mut line);
            } else {
                self.rest.extend_from_slice(head);
                pieces(&self.rest, &mut line);
                self.rest.clear();
            }
        }
        self.rest.extend_from_slice(bytes);
        while self.rest.len() > MAX_LINE {
            let end = boundary(&self.rest);
            line(Piece { bytes: &self.rest[..end], goes_on: true });
            self.rest.drain(..end);
        }
    }

    /// The last line, when the stream ended without a line break.
    pub(crate) fn finish(&mut self, line: impl FnOnce(Piece<'_>)) {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            line(Piece { bytes: rest.strip_suffix(b"\r").unwrap_or(&rest), goes_on: false });
        }
    }
}

fn pieces(mut bytes: &[u8], line: &mut impl FnMut(Piece<'_>)) {
    bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    while bytes.len() > MAX_LINE {
        let end = boundary(bytes);
        line(Piece { bytes: &bytes[..end], goes_on: true });
        bytes = &bytes[end..];
    }
    line(Piece { bytes, goes_on: false });
}

/// Where to cut a long line: at [`MAX_LINE`], or a little before so that no UTF-8 character is cut in two.
fn boundary(bytes: &[u8]) -> usize {
    (MAX_LINE - 3..=MAX_LINE).rev().find(|end| bytes[*end] & 0b1100_0000 != 0b1000_0000).unwrap_or(MAX_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(String, bool)> {
        let mut splitter = LineSplitter::default();
        let mut pieces = Vec::new();
        let mut take = |piece: Piece<'_>| {
            pieces.push((String::from_utf8_lossy(piece.bytes).into_owned(), piece.goes_on));
        };
        for chunk in chunks {
            splitter.feed(chunk, &mut take);
        }
        splitter.finish(take);
        pieces
    }

    #[test]
    fn lines_are_whole_however_the_bytes_arrive() {
        let lines = ["a", "bc", "", "last"].map(|line| (line.to_owned(), false));
        assert_eq!(split(&[b"a\nb", b"c\r\n\nlast"]), lines);
        assert!(split(&[b""]).is_empty());
    }

    #[test]
    fn long_lines_are_split_between_characters() {
        let text = format!("x{}", "ä".repeat(MAX_LINE));
        let pieces = split(&[text.as_bytes(), b"\n"]);
        assert!(pieces.len() >= 3);
        assert!(pieces.iter().all(|(piece, _)| piece.len() <= MAX_LINE && !piece.contains('\u{fffd}')));
        assert_eq!(pieces.iter().map(|(piece, _)| piece.as_str()).collect::<String>(), text);
        let (last, others) = pieces.split_last().unwrap();
        assert!(!last.1 && others.iter().all(|(_, goes_on)| *goes_on), "only the last piece ends the line");
    }
}
