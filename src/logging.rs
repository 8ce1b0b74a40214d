//! Log lines on stderr, as text or JSON; panics are logged like errors.

use std::{io, io::IsTerminal, panic};

use anyhow::{Context, Result};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogFormat, types::Logging};

/// Installs the process' subscriber and the panic hook. Once per process.
///
/// # Errors
/// `logging.level` is no filter.
pub(crate) fn install(config: &Logging) -> Result<()> {
    // Every statement of the database library at debug drowns what one looks for; it can be asked for by name.
    let level =
        if config.level.contains("sqlx") { config.level.clone() } else { format!("{},sqlx=warn", config.level) };
    let filter = EnvFilter::try_new(&level)
        .with_context(|| format!("logging.level: {:?} is neither a level nor a filter", config.level))?;
    let registry = tracing_subscriber::registry().with(filter);
    match config.format {
        LogFormat::Text => {
            let layer = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
            registry.with(layer).try_init()
        }
        LogFormat::Json => registry.with(fmt::layer().json().flatten_event(true).with_writer(io::stderr)).try_init(),
    }
    .context("installing the log subscriber")?;
    let default_hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic: {}", info.payload_as_str().unwrap_or("(no message)"));
        default_hook(info);
    }));
    Ok(())
}
