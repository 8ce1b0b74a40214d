//! The tree a file is read into: every value with its place, its raw text and whether it was written plain.
//!
//! Sequences and mappings are shared (`Arc`), so an alias or a merged default costs nothing until it is changed.

use std::sync::Arc;

use indexmap::IndexMap;

/// A place in one of the files that were read. Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Index into the list of files of [`super::findings::Findings`]; 0 is the DAG file itself.
    pub(super) file: u16,
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) end_line: u32,
    pub(super) end_column: u32,
}

impl Mark {
    /// The first character of the file.
    pub(super) const fn start(file: u16) -> Self {
        Self { file, line: 1, column: 1, end_line: 1, end_column: 1 }
    }

    /// The same place, some lines further down (inside a block scalar).
    pub(super) const fn lines_below(self, lines: u32) -> Self {
        let line = self.line + lines;
        Self { file: self.file, line, column: 1, end_line: line, end_column: 1 }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) mark: Mark,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Scalar(Scalar),
    Sequence(Arc<Vec<Node>>),
    Mapping(Arc<Mapping>),
}

#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: Arc<str>,
    pub(super) style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Resolved by the rules of YAML 1.1.
    Plain,
    /// Always text.
    Quoted,
    /// `|` or `>`: always text, its lines are lines of the file (for `|`).
    Block,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key stands.
    pub(super) key: Mark,
    pub(super) value: Node,
}

/// A mapping in file order; keys are raw text (`task no:` is the key `no`).
pub(super) type Mapping = IndexMap<Arc<str>, Entry>;

impl Node {
    pub(super) fn scalar(mark: Mark, text: impl Into<Arc<str>>, style: Style) -> Self {
        Self { mark, content: Content::Scalar(Scalar { text: text.into(), style }) }
    }

    pub(super) fn sequence(mark: Mark, items: Vec<Self>) -> Self {
        Self { mark, content: Content::Sequence(Arc::new(items)) }
    }

    pub(super) fn mapping(mark: Mark, entries: Mapping) -> Self {
        Self { mark, content: Content::Mapping(Arc::new(entries)) }
    }

    pub(super) fn as_mapping(&self) -> Option<&Mapping> {
        match &self.content {
            Content::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    pub(super) fn as_sequence(&self) -> Option<&[Self]> {
        match &self.content {
            Content::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The raw text of a scalar; a null has none.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(scalar) if !self.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    pub(super) fn as_scalar(&self) -> Option<&Scalar> {
        match &self.content {
            Content::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar)
            if scalar.style == Style::Plain && super::scalar::is_null(&scalar.text))
    }

    /// The value of a key of a mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.as_mapping()?.get(key).map(|entry| &entry.value)
    }

    /// What the value is, for messages.
    pub(super) fn what(&self) -> &'static str {
        match &self.content {
            _ if self.is_null() => "nothing",
            Content::Scalar(_) => "text",
            Content::Sequence(_) => "a list",
            Content::Mapping(_) => "a mapping",
        }
    }
}
