//! Which DAGs a file holds, each merged with its defaults, in today's form.

use std::collections::HashMap;

use super::{
    Context, LoadedDag, defaults, env, keys,
    node::{Mark, Node},
    parse,
    suggest::did_you_mean,
};

/// One DAG, ready to be read.
pub(super) struct Source {
    pub(super) dag_id: String,
    /// Where the id stands; the line of the DAG.
    pub(super) mark: Mark,
    pub(super) node: Node,
    /// The file is this one DAG: offsets in dates count, shell commands are not expanded.
    pub(super) native: bool,
}

impl Context<'_> {
    pub(super) fn load(&self, bytes: &[u8]) -> Vec<LoadedDag> {
        let file = self.findings.add_file(self.path);
        let Some(documents) = parse::parse(&self.findings, file, bytes) else { return Vec::new() };
        if documents.is_empty() {
            self.findings.warning("empty_file", Mark::start(file), "the file holds no DAG");
        }
        let mut seen: HashMap<String, Mark> = HashMap::new();
        let mut loaded = Vec::new();
        for document in documents {
            let before = self.findings.error_count();
            let before_document = loaded.len();
            let (sources, inherited) = self.sources(document);
            let file_is_broken = self.findings.error_count() > before;
            for source in sources {
                if let Some(first) = seen.get(&source.dag_id) {
                    self.findings.error_related(
                        "duplicate_dag_id",
                        source.mark,
                        format!("the file has two DAGs `{}`; the first is in line {}", source.dag_id, first.line),
                        Some("give one of them another `dag_id`".to_owned()),
                        vec![super::findings::related(*first, "the first")],
                    );
                    loaded.retain(|known: &LoadedDag| known.dag.dag_id.as_str() != source.dag_id);
                    continue;
                }
                seen.insert(source.dag_id.clone(), source.mark);
                let line = source.mark.line;
                let dag_id = source.dag_id.clone();
                let ((dag, source), broken) = self.findings.in_dag(&dag_id, || {
                    let own = self.modernise(&source.node);
                    let source = Source { node: inherited.under(&own), ..source };
                    (self.dag(&source), source)
                });
                if !broken && !file_is_broken {
                    self.explain_dag(&source, loaded.len() == before_document);
                    loaded.push(LoadedDag { dag, line });
                }
            }
        }
        loaded
    }

    /// The DAGs of one document and what they inherit.
    fn sources(&self, mut document: Node) -> (Vec<Source>, defaults::Inherited) {
        let Some(entries) = document.as_mapping() else {
            self.findings.error_help(
                "not_a_mapping",
                document.mark,
                format!("a DAG file is a mapping, and this is {}", document.what()),
                Some("write `tasks:` for one DAG, or `dag_id:` with its keys below for several".to_owned()),
            );
            return (Vec::new(), defaults::Inherited::default());
        };
        // Groups with tasks inside are native; without them dag-factory ignores `task_groups` at this level.
        let native = entries.contains_key("tasks")
            || document
                .get("task_groups")
                .and_then(Node::as_mapping)
                .is_some_and(|groups| groups.values().any(|group| group.value.get("tasks").is_some()));
        env::expand(&mut document, &self.settings.env, native);
        let mut chain = self.defaults_chain();
        let entries = document.as_mapping().cloned().unwrap_or_default();
        if let Some(include) = entries.get("include") {
            chain.extend(self.included(&include.value));
        }
        let inherited = self.inherit(entries.get("default").map(|entry| &entry.value), chain);
        if native {
            let (dag_id, mark) = match entries.get("dag_id") {
                Some(entry) if entry.value.as_text().is_some() => {
                    (entry.value.as_text().unwrap_or_default().to_owned(), entry.value.mark)
                }
                _ => (self.file_stem().to_owned(), document.mark),
            };
            return (vec![Source { dag_id, mark, node: document, native: true }], inherited);
        }
        let mut sources = Vec::new();
        for (key, entry) in &entries {
            if matches!(&**key, "default" | "task_groups" | "include") || key.starts_with("x-") {
                continue;
            }
            if entry.value.as_mapping().is_none() && !entry.value.is_null() {
                let help = if keys::has(keys::DAG, key) {
                    Some("a file with one DAG has `tasks` at the top level".to_owned())
                } else {
                    did_you_mean(key, keys::names(keys::DAG))
                        .or_else(|| Some("each value of a file of several DAGs is a mapping of DAG keys".to_owned()))
                };
                self.wrong_type_help(key, &entry.value, "a DAG (a mapping)", help);
                continue;
            }
            let node = if entry.value.is_null() {
                Node::mapping(entry.key, super::node::Mapping::new())
            } else {
                entry.value.clone()
            };
            sources.push(Source { dag_id: key.to_string(), mark: entry.key, node, native: false });
        }
        (sources, inherited)
    }

    /// The file's name without extension, the id of a DAG that names none.
    fn file_stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(self.path);
        let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml")).unwrap_or(name);
        stem.strip_suffix(".dag").unwrap_or(stem)
    }
}
