//! Assets and expressions over them, in schedules, inlets and outlets.

use serde_json::{Map, Value};

use super::{
    Context,
    node::{Mark, Node},
    object::{Family, Object, object},
    suggest::did_you_mean,
};
use crate::{
    asset::{self, UriError},
    dag::{AssetExpression, AssetRef},
};

/// The words of the mapping forms, and whether all members are meant.
const WORDS: &[(&str, bool)] =
    &[("__or__", false), ("any", false), ("or", false), ("__and__", true), ("all", true), ("and", true)];

impl Context<'_> {
    /// A list of assets that are all wanted (or any of them); one alone stands for itself.
    pub(super) fn asset_group(&self, node: &Node, all: bool) -> Option<AssetExpression> {
        let Some(items) = self.items(node) else { return self.asset(node) };
        let mut members: Vec<AssetExpression> = items.iter().map(|item| self.asset(item)).collect::<Option<_>>()?;
        match members.len() {
            0 => {
                self.findings.error("invalid_schedule", node.mark, "the list of assets is empty");
                None
            }
            1 => members.pop(),
            _ => Some(if all { AssetExpression::All(members) } else { AssetExpression::Any(members) }),
        }
    }

    /// An asset, or an expression over assets.
    pub(super) fn asset(&self, node: &Node) -> Option<AssetExpression> {
        if let Some(uri) = node.as_text() {
            return self.asset_of(node.mark, uri.to_owned(), uri, None, Map::new());
        }
        if let Some(found) = object(node) {
            return self.asset_object(&found);
        }
        if let Some(entries) = node.as_mapping()
            && let Some((all, entry)) = WORDS.iter().find_map(|(word, all)| Some((*all, entries.get(*word)?)))
        {
            return self.asset_group(&entry.value, all);
        }
        self.wrong_type("assets", node, "a URI, an asset or an expression over assets");
        None
    }

    /// What `inlets` or `outlets` name: assets, no expressions over them.
    pub(super) fn task_assets(&self, key: &str, node: &Node) -> Vec<AssetRef> {
        if node.is_null() {
            return Vec::new();
        }
        let Some(items) = self.items(node) else {
            self.wrong_type(key, node, "a list of assets");
            return Vec::new();
        };
        let mut assets: Vec<AssetRef> = Vec::with_capacity(items.len());
        for item in items {
            match self.asset(item) {
                Some(AssetExpression::One(asset)) if assets.contains(&asset) => {}
                Some(AssetExpression::One(asset)) => assets.push(asset),
                Some(_) => self.wrong_type(key, item, "a list of assets, each named by itself"),
                None => {}
            }
        }
        assets
    }

    fn asset_object(&self, found: &Object<'_>) -> Option<AssetExpression> {
        let family = found.family();
        let known: &[&str] = match family {
            Some(Family::Asset) if found.class() == "Asset" => &["name", "uri", "group", "extra"],
            Some(Family::Asset) => &["uri", "extra"],
            Some(Family::AssetAlias) => &["name", "group"],
            Some(Family::AssetAll | Family::AssetAny) => &["objects"],
            Some(Family::AssetRef) if found.class() == "AssetNameRef" => &["name"],
            Some(Family::AssetRef) => &["uri"],
            _ => {
                self.unfit_object("asset", found, "an asset");
                return None;
            }
        };
        for (name, mark, node) in &found.kwargs {
            if *name == "watchers" && found.class() == "Asset" {
                if node.is_null() || self.items(node).is_some_and(<[Node]>::is_empty) {
                    continue;
                }
                let watcher = self.items(node).and_then(<[Node]>::first).and_then(object);
                match watcher {
                    Some(watcher) => self.unsupported_type(&watcher),
                    None => self.wrong_type("watchers", node, "left out: a DAG file cannot start watchers"),
                }
                return None;
            }
            if !known.contains(name) {
                let help = did_you_mean(name, known.iter().copied())
                    .unwrap_or_else(|| format!("it takes {}", known.join(", ")));
                let message = format!("`{}` takes no argument `{name}`", found.path);
                self.findings.error_help("invalid_type_arguments", *mark, message, Some(help));
                return None;
            }
        }
        let argument = |name: &str| {
            let place = known.iter().position(|known| *known == name)?;
            found.kwarg(name).or_else(|| found.args.get(place))
        };
        let text = |name: &str| argument(name).and_then(|node| self.text(name, node));
        let needs = |what: &str| {
            let message = format!("`{}` needs {what}", found.path);
            self.findings.error("invalid_type_arguments", found.path_mark, message);
        };
        match family {
            Some(Family::Asset) => {
                let (name, uri) = (text("name"), text("uri"));
                let Some(first) = name.clone().or_else(|| uri.clone()) else {
                    needs(if known[0] == "name" { "a `name` or a `uri`" } else { "a `uri`" });
                    return None;
                };
                let extra = match argument("extra").filter(|node| !node.is_null()) {
                    None => Map::new(),
                    Some(node) => {
                        if let Value::Object(extra) = self.json(node)? {
                            extra
                        } else {
                            self.wrong_type("extra", node, "a mapping");
                            return None;
                        }
                    }
                };
                let uri = uri.unwrap_or_else(|| first.clone());
                self.asset_of(found.path_mark, name.unwrap_or(first), &uri, text("group"), extra)
            }
            Some(Family::AssetAlias) => {
                let Some(name) = text("name") else {
                    needs("a `name`");
                    return None;
                };
                self.checked(found.path_mark, &name, asset::check_name(&name))?;
                let group = text("group").unwrap_or_else(|| "asset".to_owned());
                Some(AssetExpression::One(AssetRef::Alias { name, group }))
            }
            Some(Family::AssetRef) => {
                let Some(value) = text(known[0]) else {
                    needs(&format!("a `{}`", known[0]));
                    return None;
                };
                let reference = if known[0] == "name" {
                    self.checked(found.path_mark, &value, asset::check_name(&value))?;
                    AssetRef::Ref { name: Some(value), uri: None }
                } else {
                    let uri = self.checked(found.path_mark, &value, asset::normalise(&value))?;
                    AssetRef::Ref { name: None, uri: Some(uri) }
                };
                Some(AssetExpression::One(reference))
            }
            _ => {
                let objects = found.kwarg("objects").and_then(Node::as_sequence).into_iter().flatten();
                let members: Vec<_> =
                    found.args.iter().chain(objects).map(|member| self.asset(member)).collect::<Option<_>>()?;
                if members.is_empty() {
                    needs("at least one asset");
                    return None;
                }
                let all = family == Some(Family::AssetAll);
                Some(if all { AssetExpression::All(members) } else { AssetExpression::Any(members) })
            }
        }
    }

    /// An asset, its name checked and its URI normalised.
    pub(super) fn asset_of(
        &self,
        mark: Mark,
        name: String,
        uri: &str,
        group: Option<String>,
        extra: Map<String, Value>,
    ) -> Option<AssetExpression> {
        self.checked(mark, &name, asset::check_name(&name))?;
        let uri = self.checked(mark, uri, asset::normalise(uri))?;
        let group = group.unwrap_or_else(|| "asset".to_owned());
        Some(AssetExpression::One(AssetRef::Asset { name, uri, group, extra }))
    }

    fn checked<T>(&self, mark: Mark, text: &str, result: Result<T, UriError>) -> Option<T> {
        result
            .map_err(|error| {
                let shown: String = text.chars().take(40).collect();
                self.findings.error("invalid_value", mark, format!("`{shown}` cannot name an asset: {error}"));
            })
            .ok()
    }
}
