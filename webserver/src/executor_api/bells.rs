//! Wakes exactly the polls that have something to fetch: one subscription per process instead of one per held poll.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use updraft_store::{Store, wake::Signal};

/// A bell per node with a held poll.
#[derive(Default)]
pub(super) struct Bells {
    nodes: Mutex<HashMap<i64, watch::Sender<()>>>,
}

impl Bells {
    /// Passes on signals until `shutdown`.
    pub(super) fn start(store: &Store, shutdown: CancellationToken) -> Arc<Self> {
        let bells = Arc::new(Self::default());
        let mut signals = store.wake().subscribe();
        let ringing = bells.clone();
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    () = shutdown.cancelled() => return,
                    signal = signals.recv() => signal,
                };
                match signal {
                    Ok(Signal::Executor(id)) => ringing.ring(id),
                    Ok(Signal::Everything) | Err(broadcast::error::RecvError::Lagged(_)) => ringing.ring_all(),
                    Ok(
                        Signal::Run(_)
                        | Signal::Trigger
                        | Signal::Outbox
                        | Signal::Dispatch
                        | Signal::Dags
                        | Signal::Files,
                    ) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
        bells
    }

    /// The node's bell, as heard from now on. Subscribe before the query.
    pub(super) fn subscribe(&self, executor_id: i64) -> watch::Receiver<()> {
        self.lock().entry(executor_id).or_insert_with(|| watch::channel(()).0).subscribe()
    }

    fn ring(&self, executor_id: i64) {
        let mut nodes = self.lock();
        if let Some(bell) = nodes.get(&executor_id)
            && bell.send(()).is_err()
        {
            // No poll of the node is held here any more.
            nodes.remove(&executor_id);
        }
    }

    fn ring_all(&self) {
        self.lock().retain(|_, bell| bell.send(()).is_ok());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, watch::Sender<()>>> {
        self.nodes.lock().expect("nothing panics under this lock")
    }
}
