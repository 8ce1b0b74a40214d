//! Where a DAG's values come from: the DAG, `default` of the file, `include`d files, the `defaults.yml` chain.
//!
//! dag-factory has two orders, and files rely on both: `default_args` take the file's `default` before included files and
//! the chain, every other key takes it last.

use super::{
    Context, env,
    node::{Entry, Mapping, Mark, Node},
    parse,
};

/// What the DAGs of one document inherit.
#[derive(Default)]
pub(super) struct Inherited {
    /// Everything but `default_args`.
    keys: Mapping,
    default_args: Mapping,
}

/// A mapping found in another file or in the `default` block, in today's form.
pub(super) struct Layer {
    pub(super) entries: Mapping,
    /// Whether `tags` unite with what is there (`defaults.yml`) instead of replacing it.
    unites_tags: bool,
}

impl Context<'_> {
    /// The `defaults.yml` files from the DAG root down to the file's folder, weakest first.
    pub(super) fn defaults_chain(&self) -> Vec<Layer> {
        let folder = self.folder();
        let mut folders = vec![""];
        folders.extend(folder.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| &folder[..at]));
        if !folder.is_empty() {
            folders.push(folder);
        }
        let mut layers = Vec::new();
        for folder in folders {
            for name in ["defaults.yml", "defaults.yaml"] {
                let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                if let Some(bytes) = self.read(&path) {
                    layers.extend(self.layer(&path, &bytes, true));
                    break;
                }
            }
        }
        layers
    }

    /// The files of an `include`, weakest first.
    pub(super) fn included(&self, node: &Node) -> Vec<Layer> {
        let items = match node.as_sequence() {
            Some(items) => items.to_vec(),
            None if node.is_null() => Vec::new(),
            None => vec![node.clone()],
        };
        let mut layers = Vec::new();
        for item in items {
            let Some(name) = self.text("include", &item) else { continue };
            let Some(path) = self.resolve(self.folder(), &name) else {
                self.findings.error_help(
                    "include_outside_root",
                    item.mark,
                    format!("`{name}` is outside of the DAG folder"),
                    Some("included files must be below the DAG folder; paths are relative to this file".to_owned()),
                );
                continue;
            };
            self.includes.borrow_mut().insert(path.clone());
            match self.read(&path) {
                Some(bytes) => layers.extend(self.layer(&path, &bytes, false)),
                None => self.findings.error_help(
                    "include_not_found",
                    item.mark,
                    format!("there is no file `{path}`"),
                    Some("paths are relative to this file".to_owned()),
                ),
            }
        }
        layers
    }

    fn layer(&self, path: &str, bytes: &[u8], unites_tags: bool) -> Option<Layer> {
        let file = self.findings.add_file(path);
        let mut document = parse::parse(&self.findings, file, bytes)?.into_iter().next()?;
        env::expand(&mut document, &self.settings.env, false);
        if document.as_mapping().is_none() {
            self.findings.error("not_a_mapping", Mark::start(file), format!("`{path}` must be a mapping of DAG keys"));
        }
        self.block_layer(&document, unites_tags)
    }

    fn block_layer(&self, node: &Node, unites_tags: bool) -> Option<Layer> {
        Some(Layer { entries: self.modernise(node).as_mapping()?.clone(), unites_tags })
    }

    /// Puts the layers over one another. `chain` is weakest first: `defaults.yml` files, then included ones.
    pub(super) fn inherit(&self, default: Option<&Node>, chain: Vec<Layer>) -> Inherited {
        let mut result = Inherited::default();
        let mut strong = Mapping::new();
        for layer in chain {
            for (key, entry) in layer.entries {
                match &*key {
                    "default_args" => overlay(&mut result.default_args, entry.value.as_mapping()),
                    "tags" if layer.unites_tags && strong.contains_key("tags") => {
                        let tags = united(&strong["tags"].value, &entry.value);
                        strong.insert(key, Entry { key: entry.key, value: tags });
                    }
                    _ => {
                        strong.insert(key, entry);
                    }
                }
            }
        }
        let default = default.and_then(|node| self.block_layer(node, false));
        for (key, entry) in default.map(|layer| layer.entries).unwrap_or_default() {
            if &*key == "default_args" {
                overlay(&mut result.default_args, entry.value.as_mapping());
            } else {
                result.keys.insert(key, entry);
            }
        }
        result.keys.extend(strong);
        result
    }
}

impl Inherited {
    /// A DAG over what it inherits.
    pub(super) fn under(&self, dag: &Node) -> Node {
        let Some(own) = dag.as_mapping() else { return dag.clone() };
        let mut keys = self.keys.clone();
        if !self.default_args.is_empty() {
            let value = Node::mapping(dag.mark, self.default_args.clone());
            keys.insert("default_args".into(), Entry { key: dag.mark, value });
        }
        Node::mapping(dag.mark, merged(&keys, own))
    }
}

/// `over` over `base`: mappings merge recursively, all else replaces. A schedule and an object (`__type__`) are one value.
fn merged(base: &Mapping, over: &Mapping) -> Mapping {
    let mut result = base.clone();
    for (key, entry) in over {
        let value = match result.get(key) {
            Some(below) if &**key != "schedule" => merged_node(&below.value, &entry.value),
            _ => entry.value.clone(),
        };
        result.insert(key.clone(), Entry { key: entry.key, value });
    }
    result
}

fn merged_node(base: &Node, over: &Node) -> Node {
    match (base.as_mapping(), over.as_mapping()) {
        (Some(below), Some(above)) if !below.contains_key("__type__") && !above.contains_key("__type__") => {
            Node::mapping(over.mark, merged(below, above))
        }
        // `load:` with nothing behind it inherits the task `load` whole.
        (Some(_), None) if over.is_null() => base.clone(),
        _ => over.clone(),
    }
}

fn overlay(below: &mut Mapping, above: Option<&Mapping>) {
    for (key, entry) in above.into_iter().flatten() {
        below.insert(key.clone(), entry.clone());
    }
}

fn united(left: &Node, right: &Node) -> Node {
    let mut tags: Vec<Node> = Vec::new();
    for tag in left.as_sequence().into_iter().flatten().chain(right.as_sequence().into_iter().flatten()) {
        if !tags.iter().any(|known| known.as_text() == tag.as_text()) {
            tags.push(tag.clone());
        }
    }
    tags.sort_by(|left, right| left.as_text().cmp(&right.as_text()));
    Node::sequence(right.mark, tags)
}
