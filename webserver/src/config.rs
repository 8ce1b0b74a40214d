//! What a webserver is told at its start.

use std::{path::PathBuf, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use serde::Serialize;
use updraft_store::bucket::Bucket;
use utoipa::ToSchema;

use crate::{
    auth::{address::Network, oidc::Oidc},
    executor_api::ExecutorSettings,
    logs,
    tls::Tls,
};

/// Where logs are.
#[derive(Clone, Debug)]
pub enum LogPlace {
    Folder(PathBuf),
    Bucket(Bucket),
}

/// One value of the deployment's configuration as `GET /config` and `/ui/config` show it.
#[derive(Clone, Debug)]
pub struct Setting {
    pub section: String,
    pub option: String,
    /// Secrets are masked already.
    pub value: String,
    pub source: Source,
    /// The file or the environment variable that says so.
    pub origin: Option<String>,
    /// The value if nobody says anything.
    pub default: String,
}

/// Where a value of the configuration is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ConfigSource)]
pub enum Source {
    Default,
    File,
    Environment,
    /// The command line.
    Flag,
}

/// Settings of one webserver process. The binary merges them from its configuration; [`Config::new`] gives Airflow's defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Shown by the dashboard and in the OpenAPI document.
    pub instance_name: String,
    /// Signs the API's tokens (HS512); the same on every webserver of a deployment.
    pub jwt_secret: SecretString,
    /// How long a token of `POST /auth/token` is valid (`[api_auth] jwt_expiration_time`).
    pub jwt_expiration: Duration,
    /// How long a token of `POST /auth/token/cli` is valid (`[api_auth] jwt_cli_expiration_time`).
    pub jwt_cli_expiration: Duration,
    /// A provider by which people log in, beside passwords.
    pub oidc: Option<Oidc>,
    /// Whoever comes without a token is an admin (`[core] simple_auth_manager_all_admins`).
    pub all_admins: bool,
    /// Browsers send the login's cookie over TLS only.
    pub secure_cookies: bool,
    /// Whose word counts for where a request came from (`X-Forwarded-For`).
    pub trusted_proxies: Vec<Network>,
    /// What executor nodes are told; the same on every webserver of a deployment.
    pub executors: ExecutorSettings,
    /// Where the logs of attempts are kept.
    pub logs: LogPlace,
    /// Bytes that one attempt's log may hold.
    pub log_limit: u64,
    /// Rows of a list when the caller does not say (`[api] fallback_page_limit`).
    pub page_limit: i64,
    /// Rows of a list at most; more is silently cut (`[api] maximum_page_limit`).
    pub maximum_page_limit: i64,
    /// Task instances that may run at once in the deployment, as its schedulers have it; for the reasons why a task waits.
    pub parallelism: u32,
    /// Answers `GET /metrics`; without it there is no such route.
    pub metrics: Option<PrometheusHandle>,
    /// The listener speaks TLS; without it, plain HTTP.
    pub tls: Option<Tls>,
    /// A request other than a long poll or a followed log ends after this long.
    pub request_timeout: Duration,
    /// What `GET /config` answers, in order; `None`: it answers 403 (`[api] expose_config` is False, Airflow's default).
    pub exposed: Option<Vec<Setting>>,
    /// How long the test of a connection may take; `None`: it answers 403 (`[core] test_connection` is Disabled, Airflow's default).
    pub test_connection: Option<Duration>,
    /// Connections at once; more wait until one ends.
    pub max_connections: usize,
}

impl Config {
    /// The default of `page_limit`, which the document tells.
    pub(crate) const PAGE_LIMIT: i64 = 50;

    /// Airflow's defaults around the secrets, for which there is none.
    pub fn new(jwt_secret: SecretString, attempt_secret: SecretString, logs: LogPlace) -> Self {
        Self {
            instance_name: "Updraft".to_owned(),
            jwt_secret,
            jwt_expiration: Duration::from_hours(24),
            jwt_cli_expiration: Duration::from_hours(1),
            oidc: None,
            all_admins: false,
            secure_cookies: false,
            trusted_proxies: Vec::new(),
            executors: ExecutorSettings::new(attempt_secret),
            logs,
            log_limit: logs::DEFAULT_LIMIT,
            page_limit: Self::PAGE_LIMIT,
            maximum_page_limit: 100,
            parallelism: 512,
            metrics: None,
            tls: None,
            request_timeout: Duration::from_secs(30),
            exposed: None,
            test_connection: None,
            max_connections: 8_192,
        }
    }
}
