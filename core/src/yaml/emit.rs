//! Writes YAML, each line with the place its value came from.

use super::{
    node::{Content, Mark, Node, Scalar, Style},
    scalar,
};

/// Wider than this, and the comments of all lines would stand far out for one of them.
const COMMENT_COLUMN: usize = 72;
const FLOW_WIDTH: usize = 80;

/// A line, and where its value stands in the files that were read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) from: Option<Mark>,
}

/// YAML in the making.
#[derive(Debug, Default)]
pub(super) struct Emitter {
    pub(super) lines: Vec<Line>,
}

impl Emitter {
    pub(super) fn line(&mut self, indent: usize, text: impl AsRef<str>, from: Option<Mark>) {
        self.lines.push(Line { text: format!("{:indent$}{}", "", text.as_ref()), from });
    }

    /// `key: value`, on as many lines as it takes.
    pub(super) fn entry(&mut self, indent: usize, key: &str, value: &Node, from: Mark) {
        let key = word(key);
        match &value.content {
            Content::Scalar(scalar) if scalar.text.contains('\n') && is_literal(&scalar.text) => {
                let chomp = match scalar.text.len() - scalar.text.trim_end_matches('\n').len() {
                    0 => "|-",
                    1 => "|",
                    _ => "|+",
                };
                self.line(indent, format!("{key}: {chomp}"), Some(from));
                let body = scalar.text.strip_suffix('\n').unwrap_or(&scalar.text);
                for line in body.split('\n') {
                    self.line(if line.is_empty() { 0 } else { indent + 2 }, line, None);
                }
            }
            Content::Scalar(_) if value.is_null() => self.line(indent, format!("{key}:"), Some(from)),
            Content::Mapping(entries) if !entries.is_empty() => {
                self.line(indent, format!("{key}:"), Some(from));
                for (key, entry) in entries.iter() {
                    self.entry(indent + 2, key, &entry.value, entry.key);
                }
            }
            Content::Sequence(items)
                if flow(value).len() > FLOW_WIDTH || items.iter().any(|item| item.as_mapping().is_some()) =>
            {
                self.line(indent, format!("{key}:"), Some(from));
                for item in items.iter() {
                    self.line(indent + 2, format!("- {}", flow(item)), Some(item.mark));
                }
            }
            _ => self.line(indent, format!("{key}: {}", flow(value)), Some(from)),
        }
    }

    /// The text, with a comment behind each line that came from somewhere. `file` names the other files.
    pub(super) fn into_text(self, file: impl Fn(u16) -> Option<String>) -> String {
        let widest = self.lines.iter().filter(|line| line.from.is_some()).map(|line| line.text.chars().count()).max();
        let column = widest.unwrap_or(0).min(COMMENT_COLUMN);
        let mut text = String::new();
        for Line { text: line, from } in self.lines {
            match from {
                Some(mark) => {
                    let place = match file(mark.file) {
                        Some(name) => format!("{name}:{}", mark.line),
                        None => format!("line {}", mark.line),
                    };
                    text.push_str(&format!("{line:column$}  # {place}"));
                }
                None => text.push_str(&line),
            }
            text.push('\n');
        }
        text
    }
}

/// A value on one line.
pub(super) fn flow(node: &Node) -> String {
    match &node.content {
        Content::Scalar(scalar) => scalar_text(scalar),
        Content::Sequence(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Content::Mapping(entries) => {
            let entries = entries.iter().map(|(key, entry)| format!("{}: {}", word(key), flow(&entry.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A scalar that reads as the same text, and resolves to the same value.
fn scalar_text(Scalar { text, style }: &Scalar) -> String {
    let is_text = scalar::resolve(text).is_string();
    match style {
        Style::Plain if !is_text => {
            if text.is_empty() {
                "null".to_owned()
            } else {
                text.to_string()
            }
        }
        _ if is_text && is_plain(text) => text.to_string(),
        _ => quoted(text),
    }
}

/// A key, or a text of our own.
fn word(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether text can stand without quotes anywhere.
fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '.'))
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@' | '+' | ' '))
        && !text.ends_with(' ')
}

/// Whether text can stand as a literal block.
fn is_literal(text: &str) -> bool {
    !text.starts_with([' ', '\n', '\t'])
        && text.chars().all(|c| c == '\n' || !c.is_control())
        && text.lines().all(|line| !line.ends_with([' ', '\t']))
}
