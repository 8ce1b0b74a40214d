//! The triggerer: tasks that need the database and nothing else (branches, sensors of clocks and of other runs, runs of other
//! DAGs, questions to people). They wait as rows, not as processes, so any number of them costs a timer.
//!
//! A pass claims attempts that are due, takes one look at each ([`look`]), and commits what follows with the inbox rows that tell
//! plan. Every scheduler has such a loop; they share the work row by row. What to decide is `updraft_core::triggerer`'s.

mod look;
mod render;
mod trigger;

use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;
use updraft_core::failpoint;
use updraft_store::{
    Store, StoreError, Transaction,
    dispatch::Classes,
    triggerer::{self as rows, Claimed, Written},
    versions::DagCache,
    wake::Signal,
};
use uuid::Uuid;

use self::look::{Looked, look};
use crate::SchedulerError;

/// Attempts in one transaction, at most.
const BATCH: i64 = 64;
/// Looks at the latest after this long, should a wake-up be lost.
const SWEEP: Duration = Duration::from_secs(1);
/// Wait after a database error.
const AFTER_ERROR: Duration = Duration::from_millis(200);

pub(crate) struct Triggerer {
    store: Store,
    dags: DagCache,
    classes: Classes,
    /// Shown as the host of its tasks.
    hostname: String,
    /// A run may have ended since the last pass.
    runs_ended: bool,
}

impl Triggerer {
    pub(crate) fn new(store: Store, dags: DagCache, hostname: String) -> Self {
        Self { store, dags, classes: Classes::default(), hostname, runs_ended: true }
    }

    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), SchedulerError> {
        let mut bell = self.store.wake().subscribe();
        loop {
            let wait = match self.work().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, "the triggerer's pass failed, trying again");
                    self.classes.forget();
                    self.runs_ended = true;
                    AFTER_ERROR
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                open = self.wait(&mut bell, wait) => if !open { return Ok(()) },
            }
        }
    }

    /// Waits until there may be something to do. `false`: the bell is gone.
    async fn wait(&mut self, bell: &mut broadcast::Receiver<Signal>, longest: Duration) -> bool {
        let timer = tokio::time::sleep(longest);
        tokio::pin!(timer);
        loop {
            let heard = tokio::select! {
                () = &mut timer => return true,
                heard = bell.recv() => heard,
            };
            match heard {
                Ok(Signal::Trigger) => return true,
                // A run ended, perhaps, or a DAG was unpaused.
                Ok(Signal::Dags | Signal::Everything) | Err(RecvError::Lagged(_)) => {
                    self.runs_ended = true;
                    return true;
                }
                Ok(Signal::Run(_) | Signal::Executor(_) | Signal::Dispatch | Signal::Outbox | Signal::Files) => {}
                Err(RecvError::Closed) => return false,
            }
        }
    }

    /// Does all that is due and says when to look again.
    async fn work(&mut self) -> Result<Duration, StoreError> {
        if std::mem::take(&mut self.runs_ended) {
            rows::wake_for_ended_runs(self.store.pool()).await?;
        }
        while self.pass().await? > 0 {}
        let next = rows::next_look(self.store.pool()).await?.map_or(SWEEP, Duration::from_millis);
        Ok(next.clamp(Duration::from_millis(1), SWEEP))
    }

    /// One batch; returns how many attempts it brought forward.
    async fn pass(&self) -> Result<usize, StoreError> {
        let mut transaction = self.store.begin().await?;
        let claimed = rows::claim(&mut transaction, BATCH).await?;
        if claimed.is_empty() {
            return Ok(0);
        }
        match self.look_at(transaction, &claimed).await {
            Err(error) if !error.is_transient() => {
                // One of them cannot be worked on; the others must not wait for it.
                for one in &claimed {
                    self.alone(one.attempt.attempt_id).await?;
                }
                Ok(claimed.len())
            }
            outcome => outcome,
        }
    }

    /// One attempt in a transaction of its own. What keeps failing there fails the task, with the reason.
    async fn alone(&self, attempt_id: Uuid) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        let Some(claimed) = rows::claim_one(&mut transaction, attempt_id).await? else { return Ok(()) };
        let error = match self.look_at(transaction, std::slice::from_ref(&claimed)).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => error,
        };
        tracing::error!(%error, task_id = claimed.attempt.task_id, "a task of the triggerer could not be worked on");
        let mut transaction = self.store.begin().await?;
        let Some(claimed) = rows::claim_one(&mut transaction, attempt_id).await? else { return Ok(()) };
        let end = look::broken(&error.to_string());
        let written = Looked::of_end(&claimed, end, None, &self.hostname);
        self.commit(transaction, &[(&claimed, written)]).await
    }

    /// Takes one look at each and commits what follows; returns how many were brought forward.
    async fn look_at(&self, mut transaction: Transaction, claimed: &[Claimed]) -> Result<usize, StoreError> {
        let loaded = rows::load(&mut transaction, &self.dags, claimed).await?;
        let mut written = Vec::with_capacity(claimed.len());
        let mut runs_to_make = Vec::new();
        let with = (&self.dags, self.store.sources());
        for (one, loaded) in claimed.iter().zip(loaded) {
            // Its run was deleted since, and the attempt with it.
            let Some(loaded) = loaded else { continue };
            match look(&mut transaction, with, one, loaded, &self.hostname).await? {
                Looked::Written(what) => written.push((one, what)),
                Looked::MakeRun(run) => runs_to_make.push((one.attempt.attempt_id, run)),
            }
        }
        let count = written.len() + runs_to_make.len();
        self.commit(transaction, &written).await?;
        // These lock another DAG's row before the attempt's: each in a transaction of its own.
        for (attempt_id, run) in runs_to_make {
            self.make_run(attempt_id, *run).await?;
        }
        Ok(count)
    }

    async fn commit(&self, mut transaction: Transaction, written: &[(&Claimed, Written)]) -> Result<(), StoreError> {
        let runs = rows::write(&mut transaction, written).await?;
        failpoint!("triggerer.before_commit");
        transaction.commit().await.map_err(|error| StoreError::UnknownOutcome(error.to_string()))?;
        failpoint!("triggerer.after_commit");
        for run in runs {
            self.store.wake().ring(Signal::Run(run));
        }
        Ok(())
    }
}
