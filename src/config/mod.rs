//! The configuration: default TOML, then a file, then `UPDRAFT__SECTION__KEY`, then flags, into one typed struct that is
//! checked at start. The only place that reads the environment.

pub(crate) mod docker;
mod layers;
mod show;
pub(crate) mod types;

use std::{collections::BTreeMap, env, path::PathBuf};

use figment::{Figment, value::Dict};

use self::{layers::Layer, types::explain};
pub(crate) use self::{
    layers::{DEFAULTS, Flags},
    show::{Row, reference, show},
    types::{Config, LogFormat},
};

/// Why the configuration cannot be used. Every variant names the layer and the key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{layer}: cannot read it: {message}")]
    Unreadable { layer: String, message: String },
    #[error("{layer}: there is no key `{key}`{hint}")]
    UnknownKey { layer: String, key: String, hint: String },
    #[error("{layer}: `{key}`: {message}")]
    Invalid { layer: String, key: String, message: String },
}

/// The configuration with the origin of each value.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    figment: Figment,
}

/// What the environment says that is not a key: where files are. Taken once, so that tests can pass their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    pub(crate) home: Option<PathBuf>,
    pub(crate) xdg_config_home: Option<PathBuf>,
    pub(crate) xdg_data_home: Option<PathBuf>,
    pub(crate) path: Vec<PathBuf>,
    /// `UPDRAFT_FAILPOINTS`, read only by builds with the feature `failpoints`.
    #[cfg_attr(not(feature = "failpoints"), expect(dead_code, reason = "only builds with failpoints read it"))]
    pub(crate) failpoints: Option<String>,
    /// The variables that begin with `UPDRAFT__`, as they are.
    pub(crate) updraft: Vec<(String, String)>,
    /// All others that are Unicode, from which `core.dag_environment` chooses.
    others: Vec<(String, String)>,
}

impl Environment {
    /// Reads this process' environment. Variables that are not Unicode are left out.
    pub(crate) fn read() -> Self {
        let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let (updraft, others) = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .partition(|(name, _)| name.starts_with("UPDRAFT__"));
        Self {
            home: folder("HOME"),
            xdg_config_home: folder("XDG_CONFIG_HOME").filter(|path| path.is_absolute()),
            xdg_data_home: folder("XDG_DATA_HOME").filter(|path| path.is_absolute()),
            path: env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default(),
            failpoints: env::var_os("UPDRAFT_FAILPOINTS").and_then(|value| value.into_string().ok()),
            updraft,
            others,
        }
    }

    /// The variables of these names, as far as they are set.
    pub(crate) fn chosen(&self, names: &[String]) -> BTreeMap<String, String> {
        self.others.iter().filter(|(name, _)| names.contains(name)).cloned().collect()
    }

    /// One that is not a setting.
    pub(crate) fn other(&self, name: &str) -> Option<&str> {
        self.others.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All variables that are not settings: the store takes `AIRFLOW_VAR_…` and `AIRFLOW_CONN_…` from them.
    pub(crate) fn others(&self) -> impl Iterator<Item = (String, String)> {
        self.others.iter().cloned()
    }

    fn default_file(&self) -> Option<PathBuf> {
        let base = self.xdg_config_home.clone().or_else(|| self.home.as_ref().map(|home| home.join(".config")))?;
        Some(base.join("updraft/updraft.toml")).filter(|file| file.is_file())
    }
}

/// Merges the layers and checks the result.
///
/// # Errors
/// A file that cannot be read, a key that does not exist, a value of the wrong kind; each names its layer.
pub(crate) fn load(environment: &Environment, file: Option<PathBuf>, flags: Flags) -> Result<Loaded, ConfigError> {
    let defaults = Layer::text("the default configuration", DEFAULTS)?;
    let known = defaults.values().clone();
    let mut layers = vec![defaults];
    if let Some(file) = file.or_else(|| environment.default_file()) {
        layers.push(Layer::file(&file)?);
    }
    layers.extend(Layer::environment(&environment.updraft, &known)?);
    layers.push(flags.into_layer());
    merge(layers, &known)
}

fn merge(layers: Vec<Layer>, known: &Dict) -> Result<Loaded, ConfigError> {
    let mut figment = Figment::new();
    for layer in layers {
        layer.check_keys(known)?;
        figment = figment.merge(layer);
    }
    let config: Config = figment.extract().map_err(|error| explain(&figment, &error))?;
    Ok(Loaded { config, figment })
}

#[cfg(test)]
mod tests {
    use updraft_webserver::Source;

    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment = Environment {
            updraft: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..Environment::default()
        };
        load(&environment, None, Flags::default()).map(|loaded| loaded.config)
    }

    #[test]
    fn defaults_are_complete_and_valid() {
        let config = with(&[]).unwrap();
        assert_eq!(config.core.parallelism.get(), 512);
        assert_eq!(config.core.data_dir, None);
        assert_eq!(config.webserver.port, 8080);
    }

    #[test]
    fn environment_beats_file_and_flags_beat_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("updraft.toml");
        std::fs::write(&file, "[webserver]\nhost = \"0.0.0.0\"\nport = 1000\n[database]\npool_size = 7\n").unwrap();
        let environment = Environment {
            updraft: vec![
                ("UPDRAFT__WEBSERVER__PORT".into(), "2000".into()),
                ("UPDRAFT__WEBSERVER__HOST".into(), "::1".into()),
            ],
            ..Environment::default()
        };
        let mut flags = Flags::default();
        flags.set("webserver.port", Some(3000u16));
        let config = load(&environment, Some(file), flags).unwrap().config;
        assert_eq!(
            (config.webserver.port, config.webserver.host.as_str(), config.database.pool_size.get()),
            (3000, "::1", 7)
        );
    }

    #[test]
    fn text_keys_keep_numbers_as_text() {
        let config = with(&[("UPDRAFT__CLIENT__USERNAME", "007"), ("UPDRAFT__EXECUTOR__QUEUES", "a, b")]).unwrap();
        assert_eq!(config.client.username, "007");
        assert_eq!(config.executor.queues, ["a", "b"]);
    }

    #[test]
    fn unknown_keys_name_their_layer_and_the_nearest_key() {
        let error = with(&[("UPDRAFT__WEBSERVER__PROT", "1")]).err().unwrap().to_string();
        assert_eq!(
            error,
            "environment variable UPDRAFT__WEBSERVER__PROT: there is no key `webserver.prot`; did you mean `webserver.port`?"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("u.toml");
        std::fs::write(&file, "[webserve]\nport = 1\n").unwrap();
        let error = load(&Environment::default(), Some(file.clone()), Flags::default()).err().unwrap().to_string();
        assert_eq!(error, format!("{}: there is no key `webserve`; did you mean `webserver`?", file.display()));
    }

    #[test]
    fn wrong_values_name_their_layer_and_key() {
        let error = with(&[("UPDRAFT__WEBSERVER__PORT", "http")]).err().unwrap().to_string();
        assert!(error.starts_with("environment variable UPDRAFT__WEBSERVER__PORT: `webserver.port`: "), "{error}");
        let error = with(&[("UPDRAFT__CORE__PARALLELISM", "0")]).err().unwrap().to_string();
        assert!(error.starts_with("environment variable UPDRAFT__CORE__PARALLELISM: `core.parallelism`: "), "{error}");
        let error = with(&[("UPDRAFT__CORE__XCOM_INLINE_LIMIT", "100")]).err().unwrap().to_string();
        assert!(error.contains("core.xcom_inline_limit") && error.contains("65536"), "{error}");
        let error = with(&[("UPDRAFT__LOGGING__FORMAT", "xml")]).err().unwrap().to_string();
        assert!(error.contains("logging.format"), "{error}");
        let error = with(&[("UPDRAFT__EXECUTOR__LABELS", "gpu")]).err().unwrap().to_string();
        assert!(error.contains("executor.labels") && error.contains("key=value"), "{error}");
    }

    #[test]
    fn show_masks_secrets_and_names_origins() {
        let environment = Environment {
            updraft: vec![
                ("UPDRAFT__AUTH__ADMIN_PASSWORD".into(), "hush".into()),
                ("UPDRAFT__CORE__FERNET_KEY".into(), "hush".into()),
                ("UPDRAFT__DATABASE__URL".into(), "postgres://u:geheim@h/db".into()),
                ("UPDRAFT__WEBSERVER__LOG_STORE_OPTIONS".into(), "[\"aws_secret_access_key=geheim\"]".into()),
            ],
            ..Environment::default()
        };
        let loaded = load(&environment, None, Flags::default()).unwrap();
        let rows: Vec<String> =
            show(&loaded).iter().map(|row| format!("{} {} {}", row.key, row.value, row.source)).collect();
        let text = rows.join("\n");
        assert!(!text.contains("hush") && !text.contains("geheim"), "{text}");
        assert!(
            text.contains("auth.admin_password \"***\" environment variable UPDRAFT__AUTH__ADMIN_PASSWORD"),
            "{text}"
        );
        assert!(text.contains("postgres://u:***@h/db"), "{text}");
        assert!(text.contains("webserver.port 8080 default"), "{text}");
    }

    #[test]
    fn a_row_tells_its_source_and_its_default() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("u.toml");
        std::fs::write(&file, "[webserver]\nhost = \"0.0.0.0\"\n").unwrap();
        let environment = Environment {
            updraft: vec![("UPDRAFT__AUTH__JWT_SECRET".into(), "hush".into())],
            ..Environment::default()
        };
        let mut flags = Flags::default();
        flags.set("webserver.port", Some(3000u16));
        let rows = show(&load(&environment, Some(file.clone()), flags).unwrap());
        let told = |key: &str| {
            let row = rows.iter().find(|row| row.key == key).unwrap();
            (row.plain.clone(), row.origin(), row.default.clone())
        };
        let text = str::to_owned;
        assert_eq!(told("webserver.port"), (text("3000"), (Source::Flag, None), text("8080")));
        let origin = (Source::File, Some(file.display().to_string()));
        assert_eq!(told("webserver.host"), (text("0.0.0.0"), origin, text("127.0.0.1")));
        let origin = (Source::Environment, Some(text("UPDRAFT__AUTH__JWT_SECRET")));
        assert_eq!(told("auth.jwt_secret"), (text("***"), origin, text("")));
        assert_eq!(told("smtp.starttls"), (text("true"), (Source::Default, None), text("true")));
    }

    #[test]
    fn tests_of_connections_are_enabled_by_airflows_word() {
        assert!(!with(&[]).unwrap().webserver.test_connection);
        assert!(with(&[("UPDRAFT__WEBSERVER__TEST_CONNECTION", "enabled ")]).unwrap().webserver.test_connection);
        let error = with(&[("UPDRAFT__WEBSERVER__TEST_CONNECTION", "Hidden")]).err().unwrap().to_string();
        assert!(error.contains("webserver.test_connection") && error.contains("neither"), "{error}");
    }
}
