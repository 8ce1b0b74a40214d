//! The states of the runs that somebody waits for: one reader per process, however many wait.
//!
//! It reads when a signal may be about one of them, and once a second in case a signal was lost. Who waits holds no connection
//! to Postgres.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::{
        Notify,
        broadcast::{self, error::RecvError},
        watch,
    },
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use updraft_core::state::DagRunState;
use updraft_store::{Store, StoreError, query::dag_runs, wake::Signal};

/// Signals may be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// What is rung within this is read together.
const GATHER: Duration = Duration::from_millis(10);

/// A run's state; `None`: it was deleted.
pub(crate) type Seen = Option<DagRunState>;

/// A channel per run.
#[derive(Default)]
pub(crate) struct Waits {
    runs: Mutex<HashMap<i64, watch::Sender<Seen>>>,
    came: Notify,
}

impl Waits {
    /// Reads until `shutdown`.
    pub(crate) fn start(store: &Store, shutdown: CancellationToken) -> Arc<Self> {
        let waits = Arc::new(Self::default());
        let (store, reading) = (store.clone(), Arc::clone(&waits));
        let mut signals = store.wake().subscribe();
        tokio::spawn(async move {
            let mut next = Instant::now();
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = reading.rung(&mut signals) => {}
                    () = reading.came.notified() => {}
                    () = sleep_until(next) => {}
                }
                if let Err(error) = reading.look(&store).await {
                    tracing::debug!(%error, "the states of runs that somebody waits for cannot be read now");
                }
                next = Instant::now() + LOOK_AGAIN;
                sleep(GATHER).await;
            }
            // Whoever waits ends.
            reading.lock().clear();
        });
        waits
    }

    /// The state of a run from `known` on; read anew at once, since it may have changed before this.
    pub(crate) fn follow(&self, dag_run_id: i64, known: DagRunState) -> watch::Receiver<Seen> {
        let seen = self.lock().entry(dag_run_id).or_insert_with(|| watch::channel(Some(known)).0).subscribe();
        self.came.notify_one();
        seen
    }

    /// Until a signal may be about a run that somebody waits for.
    async fn rung(&self, signals: &mut broadcast::Receiver<Signal>) {
        loop {
            let concerns = match signals.recv().await {
                Ok(Signal::Run(id)) => self.lock().contains_key(&id),
                // A run that ends rings this, for those that wait for its place.
                Ok(Signal::Dags | Signal::Everything) | Err(RecvError::Lagged(_)) => !self.lock().is_empty(),
                Ok(Signal::Executor(_) | Signal::Dispatch | Signal::Trigger | Signal::Outbox | Signal::Files) => false,
                Err(RecvError::Closed) => std::future::pending().await,
            };
            if concerns {
                return;
            }
        }
    }

    async fn look(&self, store: &Store) -> Result<(), StoreError> {
        let ids: Vec<i64> = {
            let mut runs = self.lock();
            // Nobody waits for these any more.
            runs.retain(|_, run| run.receiver_count() > 0);
            runs.keys().copied().collect()
        };
        if ids.is_empty() {
            return Ok(());
        }
        let states = dag_runs::states(&mut *store.pool().acquire().await?, &ids).await?;
        let runs = self.lock();
        for id in ids {
            let Some(run) = runs.get(&id) else { continue };
            let state = states.get(&id).copied();
            run.send_if_modified(|seen| std::mem::replace(seen, state) != state);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, watch::Sender<Seen>>> {
        self.runs.lock().expect("nothing panics under this lock")
    }
}
