//! From our configuration to each role's own.

use std::{
    path::{Component, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};
use updraft_core::dispatch::Strategies;
use updraft_scheduler::{
    dag_processor::{self, source::Rules},
    outbox,
};
use updraft_store::{
    bucket::Bucket,
    dispatch,
    objects::Objects,
    sources::{Environment, Sources},
};
use updraft_webserver::{LogPlace, Oidc, Setting, Tls};

use crate::{
    cli::App,
    config::{Config, Row, docker::docker_daemon, show},
    metrics::Metrics,
    standalone::{
        data_dir::{self, Layout},
        secrets::{Secrets, fernet_keys},
    },
};

/// How long the test of a connection may take.
const CONNECTION_TEST_LIMIT: Duration = Duration::from_secs(5);

/// The scheduler's configuration. `url`: where the dashboard is, should the configuration not say.
pub(crate) fn scheduler(config: &Config, url: Option<&str>) -> updraft_scheduler::Config {
    updraft_scheduler::Config {
        dispatch: dispatch::Rules {
            parallelism: config.core.parallelism.get(),
            strategies: Strategies { default: config.dispatch.strategy, queues: config.dispatch.queues.clone() },
        },
        lease: config.executor.lease,
        hostname: hostname(),
        cached_instances: config.scheduler.cached_instances,
        outbox: outbox(config, url),
    }
}

fn outbox(config: &Config, url: Option<&str>) -> outbox::Config {
    let smtp = config.smtp.host.clone().map(|host| outbox::Smtp {
        host,
        port: Some(config.smtp.port).filter(|port| *port > 0),
        user: config.smtp.user.clone(),
        password: config.smtp.password.clone(),
        tls: match (config.smtp.ssl, config.smtp.starttls) {
            (true, _) => outbox::SmtpTls::Always,
            (false, true) => outbox::SmtpTls::StartTls,
            (false, false) => outbox::SmtpTls::Off,
        },
        mail_from: config.smtp.mail_from.clone(),
    });
    outbox::Config {
        smtp,
        timeout: config.notifications.timeout,
        give_up_after: config.notifications.retry_for,
        keep: config.notifications.keep,
        base_url: config.webserver.base_url.clone().or_else(|| url.map(str::to_owned)),
    }
}

/// What a store answers references from beside its tables.
pub(crate) fn sources(app: &App, layout: &Layout) -> Result<Sources> {
    let config = &app.loaded.config;
    let inline_limit = config.core.xcom_inline_limit;
    let objects = match log_place(app, layout)? {
        LogPlace::Folder(folder) => Objects::new(folder, inline_limit),
        LogPlace::Bucket(bucket) => Objects::in_bucket(bucket, inline_limit),
    };
    Ok(Sources { keys: fernet_keys(config, layout)?, environment: secrets_environment(app), objects })
}

/// The variables and connections that this process' environment has.
pub(crate) fn secrets_environment(app: &App) -> Environment {
    Environment::new(app.environment.others())
}

/// The DAG processor's configuration.
pub(crate) fn dag_processor(app: &App) -> Result<dag_processor::Config> {
    let config = &app.loaded.config;
    let repository = git(app)?;
    let folder = match &repository {
        Some(repository) => repository.folder().join(&config.git.subfolder),
        None => config.core.dags_folder.clone(),
    };
    let folder =
        std::path::absolute(&folder).with_context(|| format!("resolving the DAG folder {}", folder.display()))?;
    let mut settings = dag_processor::Config::new(folder);
    settings.git = repository;
    settings.rescan = config.scheduler.rescan_interval;
    settings.dags_are_paused_at_creation = config.core.dags_are_paused_at_creation;
    settings.rules = compile_rules(app);
    settings.hostname = hostname();
    Ok(settings)
}

/// The repository of the DAGs, if there is one; its clone is in the data folder.
fn git(app: &App) -> Result<Option<dag_processor::git::Config>> {
    let config = &app.loaded.config;
    let Some(url) = config.git.url.clone() else { return Ok(None) };
    let subfolder = &config.git.subfolder;
    if !subfolder.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        bail!("git.subfolder is {}: it must be a folder of the repository", subfolder.display());
    }
    let (reference, interval) = (config.git.reference.clone(), config.git.interval);
    let home = data_dir::locate(config, &app.environment)?.join("git");
    Ok(Some(dag_processor::git::Config { url, reference, interval, home }))
}

/// What the configuration says about how DAG files are compiled, for the server and `updraft dags validate` alike.
pub(crate) fn compile_rules(app: &App) -> Rules {
    let config = &app.loaded.config;
    Rules {
        env: app.environment.chosen(&config.core.dag_environment),
        default_timezone: config.core.default_timezone,
        create_cron_data_intervals: config.scheduler.create_cron_data_intervals,
        max_map_length: config.core.max_map_length.get(),
    }
}

/// Where logs and large XComs are.
fn log_place(app: &App, layout: &Layout) -> Result<LogPlace> {
    let given = &app.loaded.config.webserver;
    let Some(url) = &given.log_store else {
        return Ok(LogPlace::Folder(given.log_folder.clone().unwrap_or_else(|| layout.logs())));
    };
    // The stores' own variables, as their tools read them.
    let ours = |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix));
    let environment = app.environment.others().filter(|(name, _)| ours(name));
    let options = given.log_store_options.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
    Ok(LogPlace::Bucket(Bucket::open(url, environment.chain(options)).context("webserver.log_store")?))
}

/// The webserver's configuration. Running tasks prove themselves by tokens of a key derived from the one secret of a deployment.
pub(crate) fn webserver(
    app: &App,
    layout: &Layout,
    secrets: &Secrets,
    metrics: &Metrics,
) -> Result<updraft_webserver::Config> {
    let config = &app.loaded.config;
    let attempt_secret = SecretString::from(format!("attempt {}", secrets.jwt_secret));
    let mut settings = updraft_webserver::Config::new(
        SecretString::from(secrets.jwt_secret.as_str()),
        attempt_secret,
        log_place(app, layout)?,
    );
    settings.log_limit = config.webserver.log_limit.get();
    let days = u64::from(config.webserver.log_retention_days);
    settings.executors.log_retention = (days > 0).then(|| Duration::from_hours(24 * days));
    settings.max_connections = config.webserver.max_connections.get() as usize;
    settings.jwt_expiration = config.auth.jwt_expiration;
    settings.jwt_cli_expiration = config.auth.jwt_cli_expiration;
    settings.all_admins = config.auth.all_admins;
    settings.tls = tls(config)?;
    let is_https = config.webserver.base_url.as_ref().is_some_and(|url| url.starts_with("https://"));
    settings.secure_cookies = is_https || settings.tls.is_some();
    settings.oidc = oidc(config)?;
    settings.trusted_proxies.clone_from(&config.webserver.trusted_proxies);
    settings.executors.lease = config.executor.lease;
    settings.parallelism = config.core.parallelism.get();
    settings.metrics = config.metrics.webserver.then(|| metrics.handle.clone());
    settings.test_connection = config.webserver.test_connection.then_some(CONNECTION_TEST_LIMIT);
    settings.exposed = config.webserver.expose_config.then(|| exposed(app));
    Ok(settings)
}

/// The configuration as the API shows it.
fn exposed(app: &App) -> Vec<Setting> {
    let setting = |row: Row| {
        let (section, option) = row.key.split_once('.')?;
        let (source, origin) = row.origin();
        Some(Setting {
            section: section.to_owned(),
            option: option.to_owned(),
            value: row.plain,
            source,
            origin,
            default: row.default,
        })
    };
    show(&app.loaded).into_iter().filter_map(setting).collect()
}

/// The provider by which people log in, if there is one.
fn oidc(config: &Config) -> Result<Option<Oidc>> {
    let auth = &config.auth;
    let Some(issuer) = auth.oidc_issuer.clone() else { return Ok(None) };
    let Some(base_url) = config.webserver.base_url.clone() else {
        bail!(
            "auth.oidc_issuer is set and webserver.base_url is not: the provider must be told where to send browsers back to"
        );
    };
    if auth.oidc_client_id.is_empty() {
        bail!("auth.oidc_issuer is set and auth.oidc_client_id is not: the provider knows this deployment by it");
    }
    if auth.oidc_roles.is_empty() && auth.oidc_default_role.is_none() {
        bail!("with neither auth.oidc_roles nor auth.oidc_default_role nobody who logs in by the provider has a role");
    }
    Ok(Some(Oidc {
        issuer,
        client_id: auth.oidc_client_id.clone(),
        client_secret: auth.oidc_client_secret.clone(),
        scopes: auth.oidc_scopes.clone(),
        name_claim: auth.oidc_name_claim.clone(),
        role_claim: auth.oidc_role_claim.clone(),
        roles: auth.oidc_roles.clone(),
        default_role: auth.oidc_default_role,
        base_url,
    }))
}

/// Certificate and key of the listener, if it has them.
pub(crate) fn tls(config: &Config) -> Result<Option<Tls>> {
    match (&config.webserver.ssl_cert, &config.webserver.ssl_key) {
        (Some(certificate), Some(key)) => Ok(Some(Tls { certificate: certificate.clone(), key: key.clone() })),
        (None, None) => Ok(None),
        (Some(_), None) => bail!("webserver.ssl_cert is set and webserver.ssl_key is not: a certificate needs its key"),
        (None, Some(_)) => bail!("webserver.ssl_key is set and webserver.ssl_cert is not: a key needs its certificate"),
    }
}

/// The node's configuration.
pub(crate) fn executor(app: &App, server: String, token: SecretString, data_dir: PathBuf) -> updraft_executor::Config {
    let given = &app.loaded.config.executor;
    let name = given.name.clone().unwrap_or_else(hostname);
    let mut node = updraft_executor::Config::new(name, server, token, data_dir);
    node.slots = given.slots();
    node.weight = given.weight.get().into();
    node.labels.clone_from(&given.labels);
    node.queues.clone_from(&given.queues);
    node.docker = if given.docker { updraft_executor::DockerMode::Auto } else { updraft_executor::DockerMode::Off };
    let daemon = docker_daemon(given, &app.environment);
    node.docker_host = daemon.host;
    node.docker_certificates = daemon.certificates;
    node.docker_privileged = given.docker_privileged;
    node.prewarm = given.prewarm;
    node.default_image.clone_from(&given.default_image);
    node.stop_grace = given.stop_grace;
    node.venv_cache = given.venv_cache << 20;
    node.log_spool_limit = given.log_spool_limit;
    env!("CARGO_PKG_VERSION").clone_into(&mut node.version);
    node
}

/// This machine's name.
pub(crate) fn hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".into())
}
