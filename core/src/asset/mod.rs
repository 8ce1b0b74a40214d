//! Assets: what tasks produce, and schedules that wait for it (semantics §15).
//!
//! An event of an asset waits for each of its consumers until a run of that consumer takes it. [`due`] decides, from what
//! waits, whether a consumer's run is made and which events it takes; nothing else does.

mod emit;
mod uri;

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use self::emit::{Emitted, emitted};
pub use self::uri::{MAX_LENGTH, UriError, check_name, normalise};

/// An asset, or something that stands for assets.
///
/// Serialises as Airflow's `asset_expression` does: `{"asset": {…}}`, `{"alias": {…}}`, `{"asset_ref": {…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetRef {
    Asset {
        name: String,
        /// Normalised (`s3://a` → `s3://a/`).
        uri: String,
        #[serde(default = "default_group")]
        group: String,
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        extra: Map<String, Value>,
    },
    /// A name that a task resolves to assets when it runs.
    Alias {
        name: String,
        #[serde(default = "default_group")]
        group: String,
    },
    /// An asset that another DAG defines, by its name or its URI (`Asset.ref`). One of the two is given.
    #[serde(rename = "asset_ref")]
    Ref {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uri: Option<String>,
    },
}

fn default_group() -> String {
    "asset".to_owned()
}

impl AssetRef {
    /// An asset of the default group.
    pub fn asset(name: impl Into<String>, uri: impl Into<String>) -> Self {
        Self::Asset { name: name.into(), uri: uri.into(), group: default_group(), extra: Map::new() }
    }

    /// The short form that `updraft dags validate` shows.
    pub fn describe(&self) -> Value {
        match self {
            Self::Asset { name, uri, .. } => json!({ "asset": uri, "name": name }),
            Self::Alias { name, .. } => json!({ "alias": name }),
            Self::Ref { name: Some(name), .. } => json!({ "ref": name }),
            Self::Ref { uri, .. } => json!({ "ref_uri": uri }),
        }
    }

    /// Whether an event of this asset, emitted through these aliases, is what is meant.
    pub fn is_about(&self, event_name: &str, event_uri: &str, aliases: &[String]) -> bool {
        match self {
            Self::Asset { name, uri, .. } => name == event_name && uri == event_uri,
            Self::Alias { name, .. } => aliases.contains(name),
            Self::Ref { name, uri } => {
                name.as_deref().is_none_or(|name| name == event_name)
                    && uri.as_deref().is_none_or(|uri| uri == event_uri)
            }
        }
    }
}

impl fmt::Display for AssetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asset { name, .. } | Self::Alias { name, .. } | Self::Ref { name: Some(name), .. } => {
                f.write_str(name)
            }
            Self::Ref { uri, .. } => f.write_str(uri.as_deref().unwrap_or_default()),
        }
    }
}

/// What a consumer waits for. An empty list is never met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetExpression {
    All(Vec<AssetExpression>),
    Any(Vec<AssetExpression>),
    #[serde(untagged)]
    One(AssetRef),
}

impl AssetExpression {
    /// Whether the expression holds where `has` says of each asset whether it has an event.
    pub fn is_met(&self, has: &impl Fn(&AssetRef) -> bool) -> bool {
        match self {
            Self::All(members) => !members.is_empty() && members.iter().all(|member| member.is_met(has)),
            Self::Any(members) => members.iter().any(|member| member.is_met(has)),
            Self::One(asset) => has(asset),
        }
    }

    /// Every asset, alias and reference in it, in file order, repeated ones too.
    pub fn leaves(&self) -> Vec<&AssetRef> {
        match self {
            Self::All(members) | Self::Any(members) => members.iter().flat_map(Self::leaves).collect(),
            Self::One(asset) => vec![asset],
        }
    }

    /// The short form that `updraft dags validate` shows.
    pub fn describe(&self) -> Value {
        let list = |members: &[Self]| members.iter().map(Self::describe).collect::<Vec<_>>();
        match self {
            Self::All(members) => json!({ "all": list(members) }),
            Self::Any(members) => json!({ "any": list(members) }),
            Self::One(asset) => asset.describe(),
        }
    }
}

/// An event that no run of one consumer has taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub event_id: i64,
    pub name: String,
    pub uri: String,
    /// The aliases it was emitted through.
    pub aliases: Vec<String>,
    /// Whether it counts towards the expression: the consumer was not paused when it happened, and nobody took it out of
    /// the queue. Others are taken along by the next run.
    pub queued: bool,
    pub at: DateTime<Utc>,
}

/// The run that a consumer is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// When the newest event that counted happened.
    pub run_after: DateTime<Utc>,
    /// What the run takes: all events up to then, in order of their ids.
    pub events: Vec<i64>,
}

/// The run that is due by what waits for a consumer, or `None`.
pub fn due(expression: &AssetExpression, waiting: &[Waiting]) -> Option<Due> {
    let queued = || waiting.iter().filter(|event| event.queued);
    let has = |asset: &AssetRef| queued().any(|event| asset.is_about(&event.name, &event.uri, &event.aliases));
    if !expression.is_met(&has) {
        return None;
    }
    let run_after = queued().map(|event| event.at).max()?;
    let mut events: Vec<i64> =
        waiting.iter().filter(|event| event.queued || event.at <= run_after).map(|event| event.event_id).collect();
    events.sort_unstable();
    Some(Due { run_after, events })
}

#[cfg(test)]
mod tests;
