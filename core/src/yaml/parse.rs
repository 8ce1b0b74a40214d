//! Bytes → UTF-8 → parser events → a tree, within limits. Nothing here recurses, and an alias never copies.
//!
//! Decided here: encoding, size, depth, duplicate keys, anchors and aliases, merge keys, tags.

use std::{collections::HashMap, sync::Arc};

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle, Tag};

use super::{
    findings::{Findings, related},
    node::{Content, Entry, Mapping, Mark, Node, Style},
};

/// One MiB, 64 levels, 100 000 nodes: more is a mistake or an attack, never a DAG.
pub(super) const MAX_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 100_000;

/// dag-factory's concatenation.
const JOIN: &str = "__join__";

/// The documents of a file, empty ones left out; `None` if it is no readable YAML (and the findings say why).
pub(super) fn parse(findings: &Findings, file: u16, bytes: &[u8]) -> Option<Vec<Node>> {
    let before = findings.error_count();
    if bytes.len() > MAX_BYTES {
        findings.error_help(
            "file_too_large",
            Mark::start(file),
            format!("the file has {} bytes; the limit is {MAX_BYTES}", bytes.len()),
            Some("split it into several DAG files".to_owned()),
        );
        return None;
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            let line = good.matches('\n').count() as u32 + 1;
            let column = good.rsplit('\n').next().map_or(0, |last| last.chars().count()) as u32 + 1;
            findings.error_help(
                "not_utf8",
                Mark { file, line, column, end_line: line, end_column: column + 1 },
                format!("byte 0x{:02x} is not UTF-8", bytes[error.valid_up_to()]),
                Some("save the file as UTF-8".to_owned()),
            );
            return None;
        }
    };
    let documents = Builder::new(findings, file, text).run()?;
    (findings.error_count() == before).then_some(documents)
}

/// An open collection.
pub(super) enum Frame {
    Sequence { open: Open, items: Vec<Node> },
    Mapping { open: Open, entries: Mapping, merges: Vec<Node>, key: Option<Key> },
}

pub(super) struct Open {
    pub(super) mark: Mark,
    anchor: usize,
    pub(super) flow: bool,
    wrap: Option<&'static str>,
    size: Size,
}

pub(super) struct Key {
    text: Arc<str>,
    mark: Mark,
    merge: bool,
}

/// Nodes and levels below (and with) a node, aliases written out.
#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    depth: usize,
}

/// Builds the tree from events.
pub(super) struct Builder<'a> {
    pub(super) findings: &'a Findings,
    pub(super) file: u16,
    pub(super) text: &'a str,
    pub(super) stack: Vec<Frame>,
    anchors: HashMap<usize, (Node, Size)>,
    documents: Vec<Node>,
    nodes: usize,
    /// The last thing that was read whole.
    pub(super) last: Mark,
}

impl<'a> Builder<'a> {
    fn new(findings: &'a Findings, file: u16, text: &'a str) -> Self {
        Self {
            findings,
            file,
            text,
            stack: Vec::new(),
            anchors: HashMap::new(),
            documents: Vec::new(),
            nodes: 0,
            last: Mark::start(file),
        }
    }

    fn run(mut self) -> Option<Vec<Node>> {
        let options = granit_parser::options! { emit_unresolved_aliases: true };
        for event in Parser::new_from_str_with_options(self.text, options) {
            match event {
                Ok((event, span)) => {
                    self.take(event, span)?;
                    self.last = mark(self.file, &span);
                }
                Err(error) => {
                    self.scan_error(&error);
                    return None;
                }
            }
        }
        Some(self.documents)
    }

    /// `None` ends the reading of the file: a limit was passed, or nothing below could be trusted.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let at = mark(self.file, &span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                    _ => Style::Quoted,
                };
                let (text, style) =
                    self.scalar_tag(tag.as_deref(), text.into_owned(), style, tag_mark(self.file, &span));
                self.complete(Node::scalar(at, text, style), anchor, Size { nodes: 1, depth: 0 }, false)
            }
            Event::SequenceStart(style, anchor, tag) => {
                let wrap = self.collection_tag(tag.as_deref(), true, tag_mark(self.file, &span));
                let open = self.open(at, anchor, style, wrap)?;
                self.stack.push(Frame::Sequence { open, items: Vec::new() });
                Some(())
            }
            Event::MappingStart(style, anchor, tag) => {
                self.collection_tag(tag.as_deref(), false, tag_mark(self.file, &span));
                let open = self.open(at, anchor, style, None)?;
                self.stack.push(Frame::Mapping { open, entries: Mapping::new(), merges: Vec::new(), key: None });
                Some(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => {
                if let Some((node, size)) = self.anchors.get(&id) {
                    let node = Node { mark: at, content: node.content.clone() };
                    let size = *size;
                    if self.stack.len() + size.depth > MAX_DEPTH {
                        return self.too_deep(at);
                    }
                    self.complete(node, 0, size, true)
                } else {
                    self.findings.error_help(
                        "recursive_alias",
                        at,
                        "the alias stands inside the value it refers to",
                        Some("write the value out, or move the anchor".to_owned()),
                    );
                    self.complete(Node::scalar(at, "", Style::Plain), 0, Size { nodes: 1, depth: 0 }, false)
                }
            }
            Event::UnresolvedAlias(name) => {
                self.findings.error_help(
                    "unknown_anchor",
                    at,
                    format!("there is no anchor `&{name}` before this alias"),
                    Some("an alias `*name` needs `&name` further up in the same document; quote a text that begins with `*`".to_owned()),
                );
                self.complete(Node::scalar(at, "", Style::Plain), 0, Size { nodes: 1, depth: 0 }, false)
            }
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Some(())
            }
            _ => Some(()),
        }
    }

    fn open(&mut self, at: Mark, anchor: usize, style: StructureStyle, wrap: Option<&'static str>) -> Option<Open> {
        if self.stack.len() >= MAX_DEPTH {
            self.too_deep(at)?;
        }
        let flow = style == StructureStyle::Flow;
        Some(Open { mark: at, anchor, flow, wrap, size: Size { nodes: 1, depth: 1 } })
    }

    pub(super) fn too_deep(&self, at: Mark) -> Option<()> {
        self.findings.error("too_deep", at, format!("values are nested deeper than {MAX_DEPTH} levels"));
        None
    }

    fn close(&mut self) -> Option<()> {
        match self.stack.pop()? {
            Frame::Sequence { open, items } => {
                let mut node = Node::sequence(open.mark, items);
                if open.wrap == Some(JOIN) {
                    node = joined(open.mark, &node).unwrap_or(node);
                } else if let Some(word) = open.wrap {
                    let entry = Entry { key: open.mark, value: node };
                    node = Node::mapping(open.mark, Mapping::from_iter([(Arc::from(word), entry)]));
                }
                self.complete(node, open.anchor, open.size, false)
            }
            Frame::Mapping { open, entries, merges, .. } => {
                let entries = if merges.is_empty() { entries } else { self.merge(entries, merges) };
                let joins = entries.get(JOIN).filter(|_| entries.len() == 1);
                let text = joins.and_then(|items| joined(open.mark, &items.value));
                let node = text.unwrap_or_else(|| Node::mapping(open.mark, entries));
                self.complete(node, open.anchor, open.size, false)
            }
        }
    }

    /// Merged entries come first, explicit ones win; of several merged mappings the first wins.
    fn merge(&self, mut own: Mapping, merges: Vec<Node>) -> Mapping {
        let mut result = Mapping::new();
        for merged in merges {
            let sources = match &merged.content {
                Content::Sequence(items) => items.to_vec(),
                _ => vec![merged],
            };
            for source in sources {
                let Some(entries) = source.as_mapping() else {
                    self.findings.error_help(
                        "wrong_type",
                        source.mark,
                        format!("`<<` merges mappings, and this is {}", source.what()),
                        Some("refer to the anchor of a mapping".to_owned()),
                    );
                    continue;
                };
                for (key, entry) in entries {
                    if !result.contains_key(key) {
                        result.insert(key.clone(), own.shift_remove(key).unwrap_or_else(|| entry.clone()));
                    }
                }
            }
        }
        result.extend(own);
        result
    }

    /// Puts a finished node where it belongs: into the open collection, as a key, or as a document.
    fn complete(&mut self, node: Node, anchor: usize, size: Size, from_alias: bool) -> Option<()> {
        // A collection's members were counted when they were finished; an alias brings all of its nodes at once.
        self.nodes += if from_alias { size.nodes } else { 1 };
        if self.nodes > MAX_NODES {
            let (kind, what) =
                if from_alias { ("alias_bomb", "with aliases written out, ") } else { ("file_too_large", "") };
            self.findings.error(kind, node.mark, format!("{what}the file has more than {MAX_NODES} values"));
            return None;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.stack.last_mut() {
            None => {
                if !node.is_null() {
                    self.documents.push(node);
                }
            }
            Some(Frame::Sequence { open, items }) => {
                open.size.add(size);
                items.push(node);
            }
            Some(Frame::Mapping { open, entries, merges, key }) => {
                open.size.add(size);
                match key.take() {
                    None => {
                        let Content::Scalar(scalar) = &node.content else {
                            self.findings.error(
                                "invalid_yaml",
                                node.mark,
                                "a key must be text, and this is a collection",
                            );
                            return None;
                        };
                        let merge = scalar.style == Style::Plain && &*scalar.text == "<<";
                        *key = Some(Key { text: scalar.text.clone(), mark: node.mark, merge });
                    }
                    Some(key) if key.merge => {
                        if !node.is_null() {
                            merges.push(node);
                        }
                    }
                    Some(key) => {
                        if let Some(first) = entries.get(&key.text) {
                            self.findings.error_related(
                                "duplicate_key",
                                key.mark,
                                format!(
                                    "the key `{}` stands here a second time; the first is in line {}",
                                    key.text, first.key.line
                                ),
                                Some("remove one of the two, or give it another name".to_owned()),
                                vec![related(first.key, "the first")],
                            );
                        } else {
                            entries.insert(key.text, Entry { key: key.mark, value: node });
                        }
                    }
                }
            }
        }
        Some(())
    }

    fn scalar_tag(&self, tag: Option<&Tag>, text: String, style: Style, at: Mark) -> (String, Style) {
        let Some(tag) = tag else { return (text, style) };
        match (tag.core_suffix(), tag.suffix()) {
            (Some("str"), _) | (None, "") => (text, Style::Quoted),
            (Some("int" | "float" | "bool" | "null"), _) => (text, Style::Plain),
            (None, suffix) if suffix.starts_with("python/name:") => {
                let name = suffix["python/name:".len()..].to_owned();
                self.findings.warning_help(
                    "deprecated_key",
                    at,
                    format!("`!!python/name:{name}` is read as the text `{name}`; nothing is imported"),
                    Some(format!("write `{name}`")),
                );
                (name, Style::Quoted)
            }
            _ => {
                self.bad_tag(tag, at);
                (text, style)
            }
        }
    }

    /// For a sequence tagged `!and`, `!or` or `!join` (dag-factory before 1.0) the key it is wrapped into.
    fn collection_tag(&self, tag: Option<&Tag>, sequence: bool, at: Mark) -> Option<&'static str> {
        let tag = tag?;
        let word = match (tag.core_suffix(), tag.suffix()) {
            (Some("map"), _) if !sequence => return None,
            (Some("seq"), _) if sequence => return None,
            (None, "and") if sequence => "__and__",
            (None, "or") if sequence => "__or__",
            (None, "join") if sequence => JOIN,
            _ => {
                self.bad_tag(tag, at);
                return None;
            }
        };
        self.findings.warning_help(
            "deprecated_key",
            at,
            format!("the tag `!{}` is of dag-factory before 1.0", tag.suffix()),
            Some(format!("write `{word}: […]`")),
        );
        Some(word)
    }

    fn bad_tag(&self, tag: &Tag, at: Mark) {
        if tag.suffix().starts_with("python/") {
            self.findings.error_help(
                "unsafe_tag",
                at,
                format!("the tag `{}` would run Python while the file is read; it is refused", tag.original()),
                Some("write plain values; objects have the form `{__type__: …}`".to_owned()),
            );
        } else {
            self.findings.error_help(
                "unknown_tag",
                at,
                format!("the tag `{}` has no meaning here", tag.original()),
                Some("remove it; for a secret use `secrets: {NAME: variable:key}`".to_owned()),
            );
        }
    }
}

impl Size {
    fn add(&mut self, member: Self) {
        self.nodes += member.nodes;
        self.depth = self.depth.max(member.depth + 1);
    }
}

/// The text of `{__join__: [a, b]}`, if all parts are scalars.
fn joined(at: Mark, items: &Node) -> Option<Node> {
    let parts: Option<Vec<&str>> =
        items.as_sequence()?.iter().map(|item| item.as_scalar().map(|part| &*part.text)).collect();
    Some(Node::scalar(at, parts?.concat(), Style::Quoted))
}

fn mark(file: u16, span: &Span) -> Mark {
    let (line, column) = (span.start.line() as u32, span.start.col() as u32 + 1);
    let (end_line, end_column) = (span.end.line() as u32, span.end.col() as u32 + 1);
    if (end_line, end_column) <= (line, column) {
        return Mark { file, line, column, end_line: line, end_column: column + 1 };
    }
    Mark { file, line, column, end_line, end_column }
}

fn tag_mark(file: u16, span: &Span) -> Mark {
    span.tag_span().map_or_else(|| mark(file, span), |tag| mark(file, &tag))
}
