//! Registering: introducing the node, learning that the server forgot it, and taking leave.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use updraft_protocol::{RegisterRequest, RegisterResponse, VERSION};

use crate::{
    client::{Backoff, CallError},
    config::ExecutorError,
    node::Node,
};

/// A server that is away this long when the node wants to register is worth a warning.
const PATIENCE: Duration = Duration::from_secs(3);

/// The server is told of the end of this life for at most this long.
const FAREWELL: Duration = Duration::from_secs(2);

/// How the node introduces itself with this many slots.
fn introduction(node: &Node, slots: u32) -> RegisterRequest {
    RegisterRequest {
        name: node.config.name.clone(),
        identity: node.identity,
        session: node.session,
        hostname: node.hostname.clone(),
        version: node.config.version.clone(),
        protocol_min: VERSION,
        protocol_max: VERSION,
        slots,
        weight: node.config.weight,
        labels: node.config.labels.clone(),
        queues: node.config.queues.clone(),
        runners: node.runners(),
        attempts: node.journal.attempts(),
    }
}

/// A node that ends offers no slots: nothing waits for it, and its silence is no alarm. It keeps its name, and its containers: its
/// next life is expected back.
pub(crate) async fn offer_nothing(node: &Node) {
    match tokio::time::timeout(FAREWELL, node.client.register(&introduction(node, 0))).await {
        Ok(Ok(_)) => tracing::info!("told the server that this node ends"),
        Ok(Err(error)) => {
            tracing::info!(%error, "the server was not told that this node ends; it notices when the lease is over");
        }
        Err(_elapsed) => {
            tracing::info!("the server was not told that this node ends; it notices when the lease is over");
        }
    }
}

/// Registers, however long the server is away.
pub(crate) async fn register(node: &Node) -> Result<RegisterResponse, ExecutorError> {
    let mut backoff = Backoff::new();
    let begun = Instant::now();
    let mut told = false;
    loop {
        match node.client.register(&introduction(node, node.config.slots)).await {
            Ok(response) => return Ok(response),
            Err(CallError::Refused { code, detail }) => return Err(ExecutorError::Refused { code, detail }),
            Err(error) => {
                let delay = backoff.delay(&error);
                // A server that starts together with this node is no news.
                if begun.elapsed() >= PATIENCE && !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, server = node.config.server, "cannot register yet; trying until the server answers");
                }
                tokio::time::sleep(delay).await;
            }
        }
    }
}

/// How the report loop ends the present registration.
#[derive(Clone, Default)]
pub(crate) struct Registration(Arc<Mutex<Standing>>);

#[derive(Default)]
struct Standing {
    /// Cancelled when the server forgot or refused this node.
    over: CancellationToken,
    /// Code and detail of a refusal.
    refused: Option<(String, String)>,
}

impl Registration {
    /// A new registration begins; the token is cancelled when it is over.
    pub(crate) fn renew(&self) -> CancellationToken {
        let over = CancellationToken::new();
        self.lock().over = over.clone();
        over
    }

    /// It is over: forgotten, or refused with code and detail.
    pub(crate) fn end(&self, refused: Option<(String, String)>) {
        let mut standing = self.lock();
        standing.refused = refused;
        standing.over.cancel();
    }

    /// Code and detail, if it ended by a refusal.
    pub(crate) fn refusal(&self) -> Option<(String, String)> {
        self.lock().refused.take()
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().expect("no code panics while it holds this")
    }
}
