//! Assets and expressions over them, in schedules, inlets and outlets.

use serde_json::{Value, json};

use super::{
    Context,
    node::{Mark, Node},
    object::{Family, object},
};
use crate::dag::Schedule;

impl Context<'_> {
    /// A schedule by assets, with a time beside it or without.
    pub(super) fn assets(&self, mark: Mark, expression: Value, time: Option<Schedule>) -> Schedule {
        self.not_supported(mark, "a schedule by assets");
        Schedule::Assets { expression, timetable: time.map(Box::new) }
    }

    /// A list of assets as `{"all": […]}` or `{"any": […]}`; one alone stands for itself.
    pub(super) fn asset_group(&self, node: &Node, word: &str) -> Option<Value> {
        let Some(items) = self.items(node) else { return self.asset(node) };
        let mut members: Vec<Value> = items.iter().map(|item| self.asset(item)).collect::<Option<_>>()?;
        match members.len() {
            0 => {
                self.findings.error("invalid_schedule", node.mark, "the list of assets is empty");
                None
            }
            1 => members.pop(),
            _ => Some(json!({ word: members })),
        }
    }

    /// An asset, or an expression over assets: `{"asset": uri, "name": name}`, `{"alias": name}`, `{"all": […]}`, `{"any": […]}`.
    pub(super) fn asset(&self, node: &Node) -> Option<Value> {
        if let Some(uri) = node.as_text() {
            return Some(json!({ "asset": uri, "name": uri }));
        }
        if let Some(found) = object(node) {
            let text = |index: usize, name: &str| {
                found.kwarg(name).or_else(|| found.args.get(index)).and_then(|node| self.text(name, node))
            };
            let members = || -> Option<Vec<Value>> {
                let inner =
                    found.args.iter().chain(found.kwarg("objects").and_then(Node::as_sequence).into_iter().flatten());
                inner.map(|member| self.asset(member)).collect()
            };
            return match found.family() {
                Some(Family::Asset) if found.class() == "Asset" => {
                    let (name, uri) = (text(0, "name"), text(1, "uri"));
                    let Some(first) = name.clone().or_else(|| uri.clone()) else {
                        let message = format!("`{}` needs a `name` or a `uri`", found.path);
                        self.findings.error("invalid_type_arguments", found.path_mark, message);
                        return None;
                    };
                    let uri = uri.unwrap_or_else(|| first.clone());
                    Some(json!({ "asset": uri, "name": name.unwrap_or_else(|| uri.clone()) }))
                }
                Some(Family::Asset) => text(0, "uri").map(|uri| json!({ "asset": uri, "name": uri })),
                Some(Family::AssetAlias) => text(0, "name").map(|name| json!({ "alias": name })),
                Some(Family::AssetAll) => members().map(|members| json!({ "all": members })),
                Some(Family::AssetAny) => members().map(|members| json!({ "any": members })),
                _ => {
                    self.unfit_object("asset", &found, "an asset");
                    None
                }
            };
        }
        if let Some(entries) = node.as_mapping() {
            for (key, word) in
                [("__or__", "any"), ("any", "any"), ("or", "any"), ("__and__", "all"), ("all", "all"), ("and", "all")]
            {
                if let Some(entry) = entries.get(key) {
                    return self.asset_group(&entry.value, word);
                }
            }
        }
        self.wrong_type("assets", node, "a URI, an asset or an expression over assets");
        None
    }
}
