//! How an attempt was carried out on its node: facts for people, which no decision reads.

use serde::{Deserialize, Serialize};

/// Longer commands are cut for show. Bytes of all words together.
const COMMAND_LIMIT: usize = 4096;
/// Longer lines of standard error are cut for show. Characters.
const ERROR_LENGTH: usize = 500;

/// What a node knows of the process or container of an attempt; what it does not know is absent. Secrets are masked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// The image as the task names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Which image that was: `repository@sha256:…` of one that was pulled, the id (`sha256:…`) of one that was made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// The words of the command, templates rendered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The most memory that its processes used together, as far as it was measured. Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// Of an attempt that failed: the last line of its standard error that says something (of Python: the exception).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl Execution {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sets the last line of standard error, in which secrets are masked already: without colours, cut to what is worth showing.
    pub fn set_last_error(&mut self, line: &str) {
        let plain: String = without_escapes(line).trim().chars().take(ERROR_LENGTH).collect();
        self.last_error = (!plain.is_empty()).then_some(plain);
    }

    /// Sets the command, each word as `masked` makes it and all of them cut to what is worth showing.
    pub fn set_command<'a>(&mut self, words: impl IntoIterator<Item = &'a str>, masked: impl Fn(&str) -> String) {
        self.command.clear();
        let mut left = COMMAND_LIMIT;
        for word in words {
            let word = masked(word);
            if word.len() > left {
                self.command.push(format!("{}…", &word[..word.floor_char_boundary(left)]));
                break;
            }
            left -= word.len();
            self.command.push(word);
        }
    }
}

/// A line without what terminals take for commands (`ESC [ … letter`, `ESC ] … BEL`) and without control characters.
fn without_escapes(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, chars.peek()) {
            ('\u{1b}', Some('[')) => {
                chars.next();
                while chars.next().is_some_and(|char| !('@'..='~').contains(&char)) {}
            }
            ('\u{1b}', Some(']')) => while chars.next().is_some_and(|char| char != '\u{7}') {},
            ('\t', _) => plain.push(' '),
            (char, _) if char.is_control() => {}
            (char, _) => plain.push(char),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_error_is_one_short_line_without_colours() {
        let of = |line: &str| {
            let mut execution = Execution::default();
            execution.set_last_error(line);
            execution.last_error
        };
        assert_eq!(of("\u{1b}[31mfatal:\u{1b}[0m no\tdisk\r").as_deref(), Some("fatal: no disk"));
        assert_eq!(of(" \u{1b}[0m "), None);
        assert_eq!(of(&"ä".repeat(600)).map(|line| line.chars().count()), Some(ERROR_LENGTH));
    }

    #[test]
    fn a_command_is_masked_before_it_is_cut() {
        let mut execution = Execution::default();
        let long = format!("{}é", "x".repeat(COMMAND_LIMIT - 4));
        execution.set_command(["psql", "hunter2", &long, "never"], |word| word.replace("hunter2", "***"));
        assert_eq!(execution.command[..2], ["psql", "***"]);
        assert_eq!(execution.command.len(), 3, "what is beyond the limit is left out");
        assert!(execution.command[2].ends_with("x…"), "a character is never cut in two");
    }
}
