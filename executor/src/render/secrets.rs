//! A task's `secrets`: environment variables filled in on the node. They are masked wherever they show up, and never stored with the
//! run.

use std::ffi::OsStr;

use indexmap::IndexMap;
use updraft_core::{
    secret_source::SecretSource,
    spec::{Failure, FailureClass, TaskSpec},
    template::Resolved,
};

use crate::{node::Node, runner::failure};

/// A secret is no data. Bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// Variable → where its value comes from.
pub(super) fn sources(spec: &TaskSpec) -> Result<IndexMap<&str, SecretSource>, Failure> {
    let parse = |(name, text): (&'_ String, &'_ String)| {
        text.parse::<SecretSource>().map_err(|wrong| missing(name, &wrong.to_string()))
    };
    spec.secrets.iter().map(|(name, text)| Ok((name.as_str(), parse((name, text))?))).collect()
}

/// The variables with their values; what the server knows of them has been fetched.
pub(super) fn fill(
    node: &Node,
    sources: &IndexMap<&str, SecretSource>,
    resolved: &Resolved,
) -> Result<Vec<(String, String)>, Failure> {
    let value = |source: &SecretSource| match source {
        SecretSource::Variable { key } => {
            fetched(source, resolved).ok_or_else(|| format!("the variable `{key}` does not exist"))
        }
        SecretSource::Connection { conn_id, .. } => fetched(source, resolved)
            .ok_or_else(|| format!("the connection `{conn_id}` does not exist, or has nothing there")),
        SecretSource::Env(variable) => {
            let known = node.base_env.iter().find(|(known, _)| known == OsStr::new(variable));
            known
                .map(|(_, value)| value.to_string_lossy().into_owned())
                .ok_or_else(|| format!("the environment of this node has no `{variable}`"))
        }
        SecretSource::File(path) => {
            read(path).map_err(|error| format!("the file `{path}` of this node cannot be read: {error}"))
        }
    };
    let named = |(name, source): (&&str, &SecretSource)| {
        value(source).map(|value| ((*name).to_owned(), value)).map_err(|wrong| missing(name, &wrong))
    };
    sources.iter().map(named).collect()
}

fn fetched(source: &SecretSource, resolved: &Resolved) -> Option<String> {
    source.reference().and_then(|reference| resolved.value(&reference)).and_then(|answer| source.pick(answer))
}

/// The file's text without the line break at its end.
fn read(path: &str) -> std::io::Result<String> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_LIMIT {
        return Err(std::io::Error::other(format!("it has {size} bytes, more than a secret may have")));
    }
    let text = std::fs::read_to_string(path)?;
    Ok(text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text)).to_owned())
}

fn missing(name: &str, wrong: &str) -> Failure {
    failure(FailureClass::InvalidArguments, format!("secrets.{name}: {wrong}."))
}
