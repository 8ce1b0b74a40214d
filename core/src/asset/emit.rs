//! Which events a successful task emits: one for each outlet, and what its code said in `outlet_events`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{AssetRef, uri::normalise};

/// An event to write. One of name and URI may be empty: then the active asset with the other is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emitted {
    pub name: String,
    pub uri: String,
    pub extra: Map<String, Value>,
    /// The aliases the task emitted it through; they are among its outlets.
    pub aliases: Vec<String>,
}

/// What a task's code says of one asset; an `alias` adds an asset to what the task emits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    alias: Option<String>,
    name: Option<String>,
    uri: Option<String>,
    extra: Map<String, Value>,
}

impl Said {
    fn is_about(&self, outlet: &AssetRef) -> bool {
        let same = |said: &Option<String>, have: &str| said.as_deref().is_none_or(|said| said == have);
        match outlet {
            AssetRef::Asset { name, uri, .. } => {
                // Plain text in the task's code may be the name, or the URI as it is written in the file.
                same(&self.name, name)
                    && (same(&self.uri, uri) || same(&self.uri, name) || same(&self.normalised(), uri))
            }
            AssetRef::Ref { name, uri } => {
                (self.name.is_some() && self.name == *name)
                    || (uri.is_some() && (self.uri == *uri || self.normalised() == *uri))
            }
            AssetRef::Alias { .. } => false,
        }
    }

    fn normalised(&self) -> Option<String> {
        self.uri.as_deref().and_then(|uri| normalise(uri).ok())
    }
}

/// The events of a task with these outlets, in order; their places are part of their keys.
///
/// `reported` is a list of `{name, uri, alias, extra}`, each but `extra` optional; what is not about an outlet counts for
/// nothing, as in Airflow, and so does what cannot be read.
pub fn emitted(outlets: &[AssetRef], reported: Option<&Value>) -> Vec<Emitted> {
    let said: Vec<Said> = reported
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|one| Said::deserialize(one).ok())
        .filter(|one| one.name.is_some() || one.uri.is_some())
        .collect();
    let extra = |outlet: &AssetRef| {
        let about = said.iter().filter(|one| one.alias.is_none() && one.is_about(outlet));
        about.flat_map(|one| one.extra.clone()).collect()
    };
    let mut events: Vec<Emitted> = Vec::new();
    for outlet in outlets {
        let (name, uri) = match outlet {
            AssetRef::Asset { name, uri, .. } => (name.clone(), uri.clone()),
            AssetRef::Ref { name, uri } => (name.clone().unwrap_or_default(), uri.clone().unwrap_or_default()),
            AssetRef::Alias { .. } => continue,
        };
        events.push(Emitted { name, uri, extra: extra(outlet), aliases: Vec::new() });
    }
    let through = said.iter().filter_map(|one| Some((one.alias.as_ref()?, one)));
    for (alias, one) in through {
        if !outlets.iter().any(|outlet| matches!(outlet, AssetRef::Alias { name, .. } if name == alias)) {
            continue;
        }
        let (Some(name), Some(uri)) = (one.name.as_ref().or(one.uri.as_ref()), one.uri.as_ref().or(one.name.as_ref()))
        else {
            continue;
        };
        let Ok(uri) = normalise(uri) else { continue };
        // The same event through several aliases is one.
        let same = |event: &&mut Emitted| {
            !event.aliases.is_empty() && event.name == *name && event.uri == uri && event.extra == one.extra
        };
        match events.iter_mut().find(same) {
            Some(event) if event.aliases.contains(alias) => {}
            Some(event) => event.aliases.push(alias.clone()),
            None => {
                let (name, extra, aliases) = (name.clone(), one.extra.clone(), vec![alias.clone()]);
                events.push(Emitted { name, uri, extra, aliases });
            }
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alias(name: &str) -> AssetRef {
        AssetRef::Alias { name: name.to_owned(), group: "asset".to_owned() }
    }

    /// `name uri extra aliases` of each event.
    fn events(outlets: &[AssetRef], reported: Value) -> Vec<String> {
        let show =
            |event: Emitted| format!("{} {} {} {:?}", event.name, event.uri, Value::Object(event.extra), event.aliases);
        emitted(outlets, Some(&reported)).into_iter().map(show).collect()
    }

    #[test]
    fn every_asset_among_the_outlets_has_an_event_and_an_alias_has_none_of_its_own() {
        let outlets = [AssetRef::asset("a", "s3://a/"), alias("x"), AssetRef::asset("b", "b")];
        assert_eq!(events(&outlets, Value::Null), ["a s3://a/ {} []", "b b {} []"]);
        assert_eq!(emitted(&[alias("x")], None), []);
    }

    #[test]
    fn the_extra_goes_to_the_outlet_that_the_code_names() {
        let outlets = [AssetRef::asset("a", "s3://a/"), AssetRef::asset("s3://b", "s3://b/")];
        for key in [json!({"name": "a"}), json!({"uri": "s3://a"}), json!({"name": "a", "uri": "s3://a/"})] {
            let mut said = key;
            said["extra"] = json!({"rows": 3});
            assert_eq!(events(&outlets, json!([said]))[0], r#"a s3://a/ {"rows":3} []"#, "{said}");
        }
        let both = json!([{"uri": "s3://b", "extra": {"n": 1}}, {"name": "other", "extra": {"n": 2}}]);
        assert_eq!(events(&outlets, both), ["a s3://a/ {} []", r#"s3://b s3://b/ {"n":1} []"#]);
    }

    #[test]
    fn an_alias_adds_assets_and_the_same_event_through_two_is_one() {
        let outlets = [alias("x"), alias("y")];
        let said = json!([
            {"alias": "x", "uri": "s3://a", "extra": {"n": 1}},
            {"alias": "y", "uri": "s3://a", "extra": {"n": 1}},
            {"alias": "y", "uri": "s3://a", "extra": {"n": 2}},
            {"alias": "z", "uri": "s3://a", "extra": {}},
            {"alias": "x", "extra": {}},
        ]);
        assert_eq!(events(&outlets, said), [r#"s3://a s3://a/ {"n":1} ["x", "y"]"#, r#"s3://a s3://a/ {"n":2} ["y"]"#]);
    }

    #[test]
    fn what_cannot_be_read_counts_for_nothing() {
        let outlets = [AssetRef::asset("a", "a"), alias("x")];
        for said in
            [json!("text"), json!([1, null, {"name": 3}]), json!([{"alias": "x", "uri": "airflow://a"}]), json!({})]
        {
            assert_eq!(events(&outlets, said.clone()), ["a a {} []"], "{said}");
        }
    }
}
