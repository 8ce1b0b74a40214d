//! Bytes of a stream become lines.

/// A longer line is split.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// Collects the bytes of one stream and hands out whole lines, without their line breaks.
#[derive(Default)]
pub(crate) struct LineSplitter {
    rest: Vec<u8>,
}

impl LineSplitter {
    /// Takes bytes and gives every line they complete; a line over [`MAX_LINE`] comes in pieces.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
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
            line(&self.rest[..end]);
            self.rest.drain(..end);
        }
    }

    /// The last line, when the stream ended without a line break.
    pub(crate) fn finish(&mut self, line: impl FnOnce(&[u8])) {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            line(rest.strip_suffix(b"\r").unwrap_or(&rest));
        }
    }
}

fn pieces(mut bytes: &[u8], line: &mut impl FnMut(&[u8])) {
    bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    while bytes.len() > MAX_LINE {
        let end = boundary(bytes);
        line(&bytes[..end]);
        bytes = &bytes[end..];
    }
    line(bytes);
}

/// Where to cut a long line: at [`MAX_LINE`], or a little before so that no UTF-8 character is cut in two.
fn boundary(bytes: &[u8]) -> usize {
    (MAX_LINE - 3..=MAX_LINE).rev().find(|end| bytes[*end] & 0b1100_0000 != 0b1000_0000).unwrap_or(MAX_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.feed(chunk, |line| lines.push(String::from_utf8_lossy(line).into_owned()));
        }
        splitter.finish(|line| lines.push(String::from_utf8_lossy(line).into_owned()));
        lines
    }

    #[test]
    fn lines_are_whole_however_the_bytes_arrive() {
        assert_eq!(split(&[b"a\nb", b"c\r\n\nlast"]), ["a", "bc", "", "last"]);
        assert!(split(&[b""]).is_empty());
    }

    #[test]
    fn long_lines_are_split_between_characters() {
        let text = format!("x{}", "ä".repeat(MAX_LINE));
        let pieces = split(&[text.as_bytes(), b"\n"]);
        assert!(pieces.len() >= 3);
        assert!(pieces.iter().all(|piece| piece.len() <= MAX_LINE && !piece.contains('\u{fffd}')));
        assert_eq!(pieces.concat(), text);
    }
}
