//! `{file, datasets}` of dag-factory on Airflow 2: assets by the names that another YAML file gives them.

use std::collections::HashMap;

use serde_json::Map;

use super::{
    Context,
    node::{Entry, Mark, Node},
    parse,
    suggest::did_you_mean,
};
use crate::dag::{AssetExpression, AssetRef};

impl Context<'_> {
    /// The assets that `datasets` names: a list (all of them), or text with `&`, `|` and brackets.
    pub(super) fn named_assets(&self, file: &Entry, datasets: &Node) -> Option<AssetExpression> {
        let uris = self.asset_file(&file.value)?;
        if let Some(items) = self.items(datasets) {
            let mut members: Vec<AssetExpression> = items
                .iter()
                .map(|item| self.named_asset(&self.text("datasets", item)?, item.mark, &uris))
                .collect::<Option<_>>()?;
            return match members.len() {
                0 => {
                    self.findings.error("invalid_schedule", datasets.mark, "the list of assets is empty");
                    None
                }
                1 => members.pop(),
                _ => Some(AssetExpression::All(members)),
            };
        }
        let text = self.text("datasets", datasets)?;
        let mut tokens = tokens(&text);
        tokens.reverse();
        let mark = datasets.mark;
        let resolve = |name: &str| self.named_asset(name, mark, &uris);
        match alternatives(&mut tokens, &resolve, MAX_DEPTH) {
            Ok(expression) if tokens.is_empty() => Some(expression),
            Ok(_) | Err(Broken::Syntax) => {
                let help = "write `(a & b) | c`, or a list".to_owned();
                let message = format!("`{text}` is no expression over assets");
                self.findings.error_help("invalid_schedule", mark, message, Some(help));
                None
            }
            Err(Broken::Said) => None,
        }
    }

    /// `inlets` and `outlets` in this form.
    pub(super) fn named_task_assets(&self, key: &str, entry: &Entry) -> Vec<AssetRef> {
        let (Some(file), Some(datasets)) =
            (entry.value.as_mapping().and_then(|entries| entries.get("file")), entry.value.get("datasets"))
        else {
            self.wrong_type(key, &entry.value, "a list of assets");
            return Vec::new();
        };
        self.findings.warning_help(
            "deprecated_key",
            entry.key,
            format!("`{key}: {{file, datasets}}` is of Airflow 2"),
            Some("write the list of assets".to_owned()),
        );
        let expression = self.named_assets(file, datasets);
        expression.iter().flat_map(AssetExpression::leaves).cloned().collect()
    }

    /// Name → URI.
    fn asset_file(&self, node: &Node) -> Option<HashMap<String, String>> {
        let path = self.text("file", node)?;
        let Some((path, bytes)) =
            self.resolve(self.folder(), &path).and_then(|path| self.read(&path).map(|bytes| (path, bytes)))
        else {
            let message = format!("there is no file `{path}` below the DAG folder");
            let help = "paths are relative to this file".to_owned();
            self.findings.error_help("include_not_found", node.mark, message, Some(help));
            return None;
        };
        let file = self.findings.add_file(&path);
        let document = parse::parse(&self.findings, file, &bytes)?.into_iter().next()?;
        let items = document.get("datasets").and_then(Node::as_sequence).unwrap_or(&[]);
        let text = |item: &Node, key: &str| item.get(key).and_then(Node::as_text).map(str::to_owned);
        Some(items.iter().filter_map(|item| Some((text(item, "name")?, text(item, "uri")?))).collect())
    }

    fn named_asset(&self, name: &str, mark: Mark, uris: &HashMap<String, String>) -> Option<AssetExpression> {
        let Some(uri) = uris.get(name) else {
            let help = did_you_mean(name, uris.keys().map(String::as_str));
            self.findings.error_help("invalid_value", mark, format!("the file has no asset `{name}`"), help);
            return None;
        };
        self.asset_of(mark, uri.clone(), uri, None, Map::new())
    }
}

/// Brackets in brackets.
const MAX_DEPTH: u32 = 64;

enum Broken {
    Syntax,
    /// A name that is not there, which is said already.
    Said,
}

fn tokens(text: &str) -> Vec<&str> {
    let mut result = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '(' | ')' | '&' | '|' => 1,
            _ => rest.find(|c: char| c.is_whitespace() || "()&|".contains(c)).unwrap_or(rest.len()),
        };
        result.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    result
}

type Resolve<'a> = dyn Fn(&str) -> Option<AssetExpression> + 'a;

/// `a | b`; the tokens stand in reverse.
fn alternatives(tokens: &mut Vec<&str>, resolve: &Resolve<'_>, depth: u32) -> Result<AssetExpression, Broken> {
    let mut members = vec![conjunction(tokens, resolve, depth)?];
    while tokens.pop_if(|token| *token == "|").is_some() {
        members.push(conjunction(tokens, resolve, depth)?);
    }
    Ok(if members.len() == 1 { members.remove(0) } else { AssetExpression::Any(members) })
}

/// `a & b`.
fn conjunction(tokens: &mut Vec<&str>, resolve: &Resolve<'_>, depth: u32) -> Result<AssetExpression, Broken> {
    let mut members = vec![primary(tokens, resolve, depth)?];
    while tokens.pop_if(|token| *token == "&").is_some() {
        members.push(primary(tokens, resolve, depth)?);
    }
    Ok(if members.len() == 1 { members.remove(0) } else { AssetExpression::All(members) })
}

/// A name, or an expression in brackets.
fn primary(tokens: &mut Vec<&str>, resolve: &Resolve<'_>, depth: u32) -> Result<AssetExpression, Broken> {
    match tokens.pop() {
        Some("(") => {
            let inner = alternatives(tokens, resolve, depth.checked_sub(1).ok_or(Broken::Syntax)?)?;
            tokens.pop_if(|token| *token == ")").map(|_| inner).ok_or(Broken::Syntax)
        }
        Some(")" | "&" | "|") | None => Err(Broken::Syntax),
        Some(name) => resolve(name).ok_or(Broken::Said),
    }
}
