//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second does not wait for it.

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Two tokens that signals cancel.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    /// Finish and end.
    pub(crate) orderly: CancellationToken,
    /// End now.
    pub(crate) forced: CancellationToken,
}

impl Shutdown {
    /// Takes over SIGINT and SIGTERM for the rest of the process' life.
    pub(crate) fn on_signals() -> Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let shutdown = Self { orderly: CancellationToken::new(), forced: CancellationToken::new() };
        let tokens = shutdown.clone();
        tokio::spawn(async move {
            for token in [tokens.orderly, tokens.forced] {
                let name = tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                };
                tracing::info!("got {name}, stopping");
                token.cancel();
            }
        });
        Ok(shutdown)
    }
}
