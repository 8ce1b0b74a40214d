//! The scheduler: decides what runs next and places it on nodes. Any number of them run at once, all active.
//!
//! It holds no state that Postgres does not: its cache of runs is checked against their tags under their locks, so killing it
//! between any two steps loses nothing. It never talks to executors; it writes rows and rings the bell.
//!
//! Where to start reading: [`run`]; [`reactor`] (wake → plan → dispatch), [`timetables`] (runs that are due),
//! [`triggerer`] (tasks that need only the database), [`janitor`] (lost nodes), [`measure`] (metrics),
//! [`outbox`] (what is told to people and programs), [`dag_processor`] (DAG files).

mod assets;
pub mod dag_processor;
mod deadlines;
mod heartbeat;
mod janitor;
mod measure;
pub mod outbox;
mod prefer;
mod reactor;
mod run_cache;
mod timetables;
mod triggerer;

use thiserror::Error;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use updraft_core::{lease::Lease, metrics::TRIGGERER_HEARTBEAT};
use updraft_store::{Store, StoreError, dispatch, jobs, versions::DagCache};
use uuid::Uuid;

/// What a scheduler needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    pub dispatch: dispatch::Rules,
    /// A node that was silent for this long is lost.
    pub lease: Lease,
    /// Shown in `/jobs`.
    pub hostname: String,
    /// Task instances kept in memory, at most; runs beyond are read again when something happens to them.
    pub cached_instances: usize,
    /// How notices are sent.
    pub outbox: outbox::Config,
}

/// Why a scheduler stopped without being asked.
#[derive(Debug, Error)]
pub enum SchedulerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A loop panicked: a bug. The process should be restarted; nothing is lost.
    #[error("a scheduler task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Schedules until `shutdown`. Database outages are survived; only a bug returns early.
pub async fn run(store: Store, config: Config, shutdown: CancellationToken) -> Result<(), SchedulerError> {
    let id = Uuid::new_v4();
    let dags = DagCache::default();
    let (live, live_schedulers) = watch::channel(vec![id]);
    let mut tasks: JoinSet<Result<(), SchedulerError>> = JoinSet::new();
    let stop = shutdown.child_token();

    tasks.spawn(heartbeat::run(store.clone(), id, config.hostname.clone(), live, stop.clone()));
    tasks.spawn(timetables::run(store.clone(), dags.clone(), stop.clone()));
    tasks.spawn(assets::run(store.clone(), dags.clone(), stop.clone()));
    tasks.spawn(deadlines::run(store.clone(), stop.clone()));
    tasks.spawn(outbox::run(store.clone(), dags.clone(), config.outbox.clone(), stop.clone()));
    tasks.spawn(janitor::run(store.clone(), config.lease, stop.clone()));
    tasks.spawn(measure::run(store.clone(), stop.clone()));
    let heart =
        heartbeat::keep(store.clone(), jobs::TRIGGERER, TRIGGERER_HEARTBEAT, config.hostname.clone(), stop.clone());
    tasks.spawn(async {
        heart.await;
        Ok(())
    });
    let triggerer = triggerer::Triggerer::new(store.clone(), dags.clone(), config.hostname.clone());
    tasks.spawn(triggerer.run(stop.clone()));
    let reactor = reactor::Reactor::new(store.clone(), dags, &config, prefer::Preference::new(id, live_schedulers));
    tasks.spawn(reactor.run(stop.clone()));
    tracing::info!(scheduler = %id, "the scheduler is running");
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.map_err(SchedulerError::from).and_then(|result| result);
        if ended.is_err() && outcome.is_ok() {
            outcome = ended;
        }
        // One loop ended: by shutdown, or by a bug that must not leave half a scheduler running.
        stop.cancel();
    }
    heartbeat::end(&store, id).await;
    outcome
}
