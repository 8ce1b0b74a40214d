//! The layers of the configuration, each a figment provider that knows its own name.

use std::{fs, path::Path};

use figment::{
    Error, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};

use super::ConfigError;

/// Every key with its default and its documentation.
pub(crate) const DEFAULTS: &str = include_str!("default.toml");

/// What the name of a layer of a variable begins with.
pub(super) const ENVIRONMENT_VARIABLE: &str = "environment variable ";
/// The layer of the flags.
pub(super) const COMMAND_LINE: &str = "command line";

/// One source of values. Its name is what `config show` and every error say.
pub(super) struct Layer {
    name: String,
    values: Dict,
}

impl Layer {
    pub(super) fn text(name: &str, toml: &str) -> Result<Self, ConfigError> {
        let unreadable = |error: &Error| ConfigError::Unreadable { layer: name.to_owned(), message: message(error) };
        let mut profiles = Toml::string(toml).data().map_err(|error| unreadable(&error))?;
        Ok(Self { name: name.to_owned(), values: profiles.remove(&Profile::Default).unwrap_or_default() })
    }

    pub(super) fn file(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|error| ConfigError::Unreadable { layer: name.clone(), message: error.to_string() })?;
        Self::text(&name, &text)
    }

    /// One layer per variable, so that errors and `config show` name it. The kind of a value follows the default of its key:
    /// a text stays as it is, a list is `[a, b]` or `a, b`.
    pub(super) fn environment(variables: &[(String, String)], known: &Dict) -> Result<Vec<Self>, ConfigError> {
        let mut layers = Vec::with_capacity(variables.len());
        for (variable, text) in variables {
            let name = format!("{ENVIRONMENT_VARIABLE}{variable}");
            let path = variable.trim_start_matches("UPDRAFT__").to_lowercase().replace("__", ".");
            let Some((section, key)) = path.split_once('.') else {
                return Err(unknown(&name, &path, known.keys()));
            };
            let default = match known.get(section) {
                Some(Value::Dict(_, keys)) => keys.get(key),
                _ => None,
            };
            let value = match default {
                Some(Value::String(..)) => Value::from(text.as_str()),
                Some(Value::Array(..)) if !text.trim_start().starts_with('[') => {
                    Value::from(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>())
                }
                _ => text.parse().unwrap_or_else(|never: std::convert::Infallible| match never {}),
            };
            layers.push(Self { name, values: nested(section, key, value) });
        }
        Ok(layers)
    }

    pub(super) fn values(&self) -> &Dict {
        &self.values
    }

    /// Refuses a section or key that the defaults do not have.
    pub(super) fn check_keys(&self, known: &Dict) -> Result<(), ConfigError> {
        for (section, value) in &self.values {
            let Some(Value::Dict(_, keys)) = known.get(section) else {
                return Err(unknown(&self.name, section, known.keys()));
            };
            let Value::Dict(_, given) = value else {
                return Err(ConfigError::Invalid {
                    layer: self.name.clone(),
                    key: section.clone(),
                    message: "is a section, not a value".into(),
                });
            };
            if let Some(key) = given.keys().find(|key| !keys.contains_key(*key)) {
                let full: Vec<String> = keys.keys().map(|key| format!("{section}.{key}")).collect();
                return Err(unknown(&self.name, &format!("{section}.{key}"), full.iter()));
            }
        }
        Ok(())
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// The values given on the command line.
#[derive(Default)]
pub(crate) struct Flags(Dict);

impl Flags {
    /// Sets `section.key` when the flag was given.
    pub(crate) fn set<T: Into<Value>>(&mut self, path: &str, value: Option<T>) {
        let Some(value) = value else { return };
        let (section, key) = path.split_once('.').expect("keys are written `section.key` in this program");
        match self.0.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new())) {
            Value::Dict(_, keys) => {
                keys.insert(key.to_owned(), value.into());
            }
            _ => unreachable!("sections are inserted as dictionaries above"),
        }
    }

    pub(super) fn into_layer(self) -> Layer {
        Layer { name: COMMAND_LINE.into(), values: self.0 }
    }
}

fn nested(section: &str, key: &str, value: Value) -> Dict {
    Dict::from([(section.to_owned(), Value::from(Dict::from([(key.to_owned(), value)])))])
}

fn message(error: &Error) -> String {
    match &error.kind {
        figment::error::Kind::Message(message) => message.trim_end().to_owned(),
        kind => kind.to_string(),
    }
}

fn unknown<'a>(layer: &str, key: &str, known: impl Iterator<Item = &'a String>) -> ConfigError {
    let nearest = known.map(|name| (distance(name, key), name)).min().filter(|(distance, _)| *distance <= 3);
    let hint = match nearest {
        Some((_, name)) => format!("; did you mean `{name}`?"),
        None => "; `updraft config default` lists all keys".to_owned(),
    };
    ConfigError::UnknownKey { layer: layer.to_owned(), key: key.to_owned(), hint }
}

/// Optimal string alignment distance (edits and swaps of neighbours), for "did you mean".
pub(super) fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let same = usize::from(left[i - 1] != right[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}
