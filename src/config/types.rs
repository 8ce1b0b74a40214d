//! The typed configuration and what each value may be.

use std::{
    collections::BTreeMap,
    num::{NonZeroU16, NonZeroU32, NonZeroU64},
    path::PathBuf,
    time::Duration,
};

use figment::{Figment, error::Kind};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};
use updraft_core::{dispatch::Strategy, identity::Role, lease::Lease};
use updraft_webserver::Network;

use super::ConfigError;

/// All sections. `default.toml` documents the keys.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Config {
    pub(crate) core: Core,
    pub(crate) dispatch: Dispatch,
    pub(crate) git: Git,
    pub(crate) database: Database,
    pub(crate) scheduler: Scheduler,
    pub(crate) webserver: Webserver,
    pub(crate) auth: Auth,
    pub(crate) executor: Executor,
    pub(crate) notifications: Notifications,
    pub(crate) smtp: Smtp,
    pub(crate) client: Client,
    pub(crate) logging: Logging,
    pub(crate) metrics: Metrics,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Core {
    pub(crate) dags_folder: PathBuf,
    #[serde(deserialize_with = "optional")]
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) parallelism: NonZeroU32,
    pub(crate) default_timezone: chrono_tz::Tz,
    pub(crate) dags_are_paused_at_creation: bool,
    pub(crate) dag_environment: Vec<String>,
    #[serde(deserialize_with = "optional")]
    pub(crate) fernet_key: Option<SecretString>,
    #[serde(deserialize_with = "inline_limit")]
    pub(crate) xcom_inline_limit: usize,
    pub(crate) max_map_length: NonZeroU32,
    #[serde(deserialize_with = "seconds")]
    pub(crate) shutdown_grace: Duration,
    pub(crate) postgres_bin_dirs: Vec<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dispatch {
    #[serde(deserialize_with = "strategy")]
    pub(crate) strategy: Strategy,
    #[serde(deserialize_with = "queue_strategies")]
    pub(crate) queues: BTreeMap<String, Strategy>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Git {
    /// May hold a token, hence secret.
    #[serde(deserialize_with = "optional")]
    pub(crate) url: Option<SecretString>,
    #[serde(rename = "ref")]
    pub(crate) reference: String,
    pub(crate) subfolder: PathBuf,
    #[serde(deserialize_with = "positive_seconds")]
    pub(crate) interval: Duration,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Database {
    /// May hold a password, hence secret.
    #[serde(deserialize_with = "optional")]
    pub(crate) url: Option<SecretString>,
    pub(crate) pool_size: NonZeroU16,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Scheduler {
    #[serde(deserialize_with = "seconds")]
    pub(crate) rescan_interval: Duration,
    pub(crate) cached_instances: usize,
    pub(crate) create_cron_data_intervals: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Webserver {
    pub(crate) host: String,
    /// 0 lets the kernel choose; the URL printed at start has the real one.
    pub(crate) port: u16,
    #[serde(deserialize_with = "optional")]
    pub(crate) ssl_cert: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub(crate) ssl_key: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub(crate) log_folder: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub(crate) log_store: Option<String>,
    /// May hold keys, hence secret.
    #[serde(deserialize_with = "pairs")]
    pub(crate) log_store_options: Vec<(String, SecretString)>,
    pub(crate) log_limit: NonZeroU64,
    /// 0: for ever.
    pub(crate) log_retention_days: u32,
    pub(crate) max_connections: NonZeroU32,
    #[serde(deserialize_with = "optional")]
    pub(crate) base_url: Option<String>,
    #[serde(deserialize_with = "networks")]
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) expose_config: bool,
    #[serde(deserialize_with = "enabled")]
    pub(crate) test_connection: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Auth {
    pub(crate) admin_user: String,
    #[serde(deserialize_with = "optional")]
    pub(crate) admin_password: Option<SecretString>,
    #[serde(deserialize_with = "optional")]
    pub(crate) jwt_secret: Option<SecretString>,
    #[serde(deserialize_with = "seconds")]
    pub(crate) jwt_expiration: Duration,
    #[serde(deserialize_with = "seconds")]
    pub(crate) jwt_cli_expiration: Duration,
    pub(crate) all_admins: bool,
    #[serde(deserialize_with = "optional")]
    pub(crate) oidc_issuer: Option<String>,
    pub(crate) oidc_client_id: String,
    #[serde(deserialize_with = "optional")]
    pub(crate) oidc_client_secret: Option<SecretString>,
    pub(crate) oidc_scopes: Vec<String>,
    pub(crate) oidc_name_claim: String,
    pub(crate) oidc_role_claim: String,
    #[serde(deserialize_with = "roles")]
    pub(crate) oidc_roles: Vec<(String, Role)>,
    #[serde(deserialize_with = "optional_role")]
    pub(crate) oidc_default_role: Option<Role>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Executor {
    #[serde(deserialize_with = "optional")]
    pub(crate) name: Option<String>,
    /// 0: from the number of processors, see [`Executor::slots`].
    slots: u32,
    pub(crate) weight: NonZeroU16,
    #[serde(deserialize_with = "labels")]
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) queues: Vec<String>,
    pub(crate) server: String,
    #[serde(deserialize_with = "optional")]
    pub(crate) token_file: Option<PathBuf>,
    #[serde(deserialize_with = "lease")]
    pub(crate) lease: Lease,
    #[serde(deserialize_with = "optional")]
    pub(crate) default_image: Option<String>,
    #[serde(deserialize_with = "seconds")]
    pub(crate) stop_grace: Duration,
    /// MiB.
    pub(crate) venv_cache: u64,
    pub(crate) log_spool_limit: u64,
    pub(crate) docker: bool,
    #[serde(deserialize_with = "optional")]
    pub(crate) docker_host: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub(crate) docker_cert_path: Option<PathBuf>,
    pub(crate) docker_privileged: bool,
    pub(crate) prewarm: u32,
}

impl Executor {
    /// How many tasks at once: the configured number, or twice the processors, at least 4.
    pub(crate) fn slots(&self) -> u32 {
        if self.slots > 0 {
            return self.slots;
        }
        let processors = std::thread::available_parallelism().map_or(2, |n| n.get() as u32);
        (processors * 2).max(4)
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Notifications {
    #[serde(deserialize_with = "positive_seconds")]
    pub(crate) timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub(crate) retry_for: Duration,
    #[serde(deserialize_with = "seconds")]
    pub(crate) keep: Duration,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Smtp {
    #[serde(deserialize_with = "optional")]
    pub(crate) host: Option<String>,
    /// 0: the usual one.
    pub(crate) port: u16,
    #[serde(deserialize_with = "optional")]
    pub(crate) user: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub(crate) password: Option<SecretString>,
    pub(crate) starttls: bool,
    pub(crate) ssl: bool,
    #[serde(deserialize_with = "optional")]
    pub(crate) mail_from: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Client {
    #[serde(deserialize_with = "optional")]
    pub(crate) server: Option<String>,
    pub(crate) username: String,
    #[serde(deserialize_with = "optional")]
    pub(crate) password: Option<SecretString>,
    #[serde(deserialize_with = "optional")]
    pub(crate) token: Option<SecretString>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Metrics {
    /// `host:port`
    #[serde(deserialize_with = "optional")]
    pub(crate) listen: Option<String>,
    pub(crate) webserver: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Logging {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// An empty text is "not set": TOML and environment variables have no null.
fn optional<'de, D: Deserializer<'de>, T: From<String>>(input: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(input)?;
    Ok(Some(text).filter(|text| !text.is_empty()).map(T::from))
}

/// Seconds, whole or not, up to a year: a larger number is a slip.
fn seconds<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(input)?;
    if (0.0..=31_536_000.0).contains(&value) {
        Ok(Duration::from_secs_f64(value))
    } else {
        Err(de::Error::custom(format!("{value} is no number of seconds between 0 and a year")))
    }
}

/// The same, but not none at all.
fn positive_seconds<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let value = seconds(input)?;
    if value.is_zero() { Err(de::Error::custom("0 seconds are not enough for anything")) } else { Ok(value) }
}

/// A second or more: what is derived from it is a fraction.
fn lease<'de, D: Deserializer<'de>>(input: D) -> Result<Lease, D::Error> {
    let value = seconds(input)?;
    if value < Duration::from_secs(1) {
        return Err(de::Error::custom(format!("{} s are less than one", value.as_secs_f64())));
    }
    Ok(Lease::new(value))
}

fn networks<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Network>, D::Error> {
    Vec::<String>::deserialize(input)?.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
}

/// Airflow's words, in whatever case it takes them.
fn enabled<'de, D: Deserializer<'de>>(input: D) -> Result<bool, D::Error> {
    let text = String::deserialize(input)?;
    match text.trim().to_lowercase().as_str() {
        "enabled" => Ok(true),
        "disabled" => Ok(false),
        _ => Err(de::Error::custom(format!("`{text}` is neither Enabled nor Disabled"))),
    }
}

fn strategy<'de, D: Deserializer<'de>>(input: D) -> Result<Strategy, D::Error> {
    String::deserialize(input)?.parse().map_err(de::Error::custom)
}

/// `["queue=strategy", …]` as a map.
fn queue_strategies<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, Strategy>, D::Error> {
    let named = |(queue, strategy): (String, String)| Ok((queue, strategy.parse().map_err(de::Error::custom)?));
    labels(input)?.into_iter().map(named).collect()
}

/// Bytes, at least what a node's report carries.
fn inline_limit<'de, D: Deserializer<'de>>(input: D) -> Result<usize, D::Error> {
    let limit = usize::deserialize(input)?;
    if limit >= updraft_protocol::INLINE_LIMIT {
        Ok(limit)
    } else {
        Err(de::Error::custom(format!("{limit} is less than {}", updraft_protocol::INLINE_LIMIT)))
    }
}

/// `["word=role", …]`.
fn roles<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<(String, Role)>, D::Error> {
    let role = |(word, role): (String, String)| Ok((word, role.parse().map_err(de::Error::custom)?));
    labels(input)?.into_iter().map(role).collect()
}

fn optional_role<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Role>, D::Error> {
    let text = String::deserialize(input)?;
    Some(text).filter(|text| !text.is_empty()).map(|text| text.parse().map_err(de::Error::custom)).transpose()
}

/// `["key=value", …]`, whose values may be secrets.
fn pairs<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<(String, SecretString)>, D::Error> {
    Ok(labels(input)?.into_iter().map(|(key, value)| (key, value.into())).collect())
}

/// `["key=value", …]` as a map.
fn labels<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    Vec::<String>::deserialize(input)?
        .into_iter()
        .map(|label| match label.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
            _ => Err(de::Error::custom(format!("`{label}` is not `key=value`"))),
        })
        .collect()
}

/// Turns figment's error into ours: which layer, which key, what is wrong.
pub(super) fn explain(figment: &Figment, error: &figment::Error) -> ConfigError {
    let key = error.path.join(".");
    let layer = error
        .metadata
        .as_ref()
        .or_else(|| figment.find_metadata(&key))
        .map_or_else(|| "the configuration".to_owned(), |metadata| metadata.name.to_string());
    let message = match &error.kind {
        Kind::Message(message) => message.clone(),
        kind => kind.to_string(),
    };
    ConfigError::Invalid { layer, key, message }
}
