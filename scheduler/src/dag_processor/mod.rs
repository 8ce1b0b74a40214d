//! The DAG processor: a folder of YAML files becomes rows of `dag`, `dag_version` and `import_error`.
//!
//! One processor per bundle works at a time, the others stand by. It looks when the folder changes and, since network
//! mounts do not tell, every so often; a look at an unchanged folder is stats and one query. What it must never do: run
//! code, let one broken file touch anything but itself, or take DAGs away on the word of a single look.
//!
//! Where to start reading: [`Processor::scan_once`] is one look from scan to commit; [`source`] is the folder,
//! `compile` one file, `write` the transaction of some, `removal` what is gone, `bundle` the code that goes to nodes, `git` where the folder
//! comes from when it is a repository.

mod bundle;
mod compile;
pub mod git;
mod index;
mod pass;
mod removal;
mod render;
pub mod source;
mod watch;
mod write;

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use updraft_core::metrics::{DAG_PROCESSING_FILES, DAG_PROCESSING_TOTAL_PARSE_TIME, DAG_PROCESSOR_HEARTBEAT};
use updraft_store::{Store, jobs, wake::Signal};

pub use pass::{Processor, Report};
use source::Rules;
use watch::Watch;

use crate::heartbeat;

/// The largest bundle, packed, unless configured otherwise.
const MAX_BUNDLE: usize = 64 * 1024 * 1024;
/// How often those who stand by ask whether the bundle is free.
const STANDBY: Duration = Duration::from_secs(2);
/// After a failed pass (the database is away), before the next try; half of it more by chance.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How often bundles that nothing can run from any more are deleted.
const PRUNE: Duration = Duration::from_hours(1);
/// A pass that took long is followed by this many times its duration of rest, so that a folder which changes all the time
/// (somebody writes logs into it) costs a sixth of a core at most.
const REST: u32 = 5;

/// A folder's code as nodes fetch it: the bundle's name and its `tar.gz`.
///
/// # Errors
/// The folder cannot be read, changed meanwhile, or is larger than 64 MiB when packed.
pub fn pack_folder(root: &Path) -> io::Result<(String, Vec<u8>)> {
    let mut index = index::Index::default();
    index.update(root, &source::scan(root)?, SystemTime::UNIX_EPOCH);
    let entries = index.bundle();
    let content = bundle::pack(root, &entries, MAX_BUNDLE).map_err(io::Error::other)?;
    Ok((bundle::hash(&entries), content))
}

/// What the processor of one folder needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    pub dags_folder: PathBuf,
    /// Where `dags_folder`, a folder in [`git::Config::folder`], comes from; `None`: it is a folder that others write.
    pub git: Option<git::Config>,
    /// Airflow's name of the local folder's bundle is `dags-folder`. A repository takes its place under the same name.
    pub bundle_name: String,
    /// How often the folder is looked at when nothing tells that it changed.
    pub rescan: Duration,
    /// Whether new DAGs that do not say start paused.
    pub dags_are_paused_at_creation: bool,
    pub rules: Rules,
    /// The largest bundle, packed, in bytes; a larger folder is not sent to the nodes.
    pub max_bundle: usize,
    /// A file or DAG that is gone must stay gone this long: editors and `git` replace files in several steps.
    pub settle: Duration,
    /// The same when many DAGs are gone at once, or the folder cannot be read.
    pub confirm: Duration,
    /// Shown in `/jobs`.
    pub hostname: String,
}

impl Config {
    /// A folder with the defaults: rescan and confirm 30 s, settle 250 ms, new DAGs paused, default rules, bundles of 64 MiB.
    pub fn new(dags_folder: impl Into<PathBuf>) -> Self {
        Self {
            dags_folder: dags_folder.into(),
            git: None,
            bundle_name: "dags-folder".to_owned(),
            rescan: Duration::from_secs(30),
            dags_are_paused_at_creation: true,
            rules: Rules::default(),
            max_bundle: MAX_BUNDLE,
            settle: Duration::from_millis(250),
            confirm: Duration::from_secs(30),
            hostname: String::new(),
        }
    }
}

/// Processes the folder until `shutdown`, as long as nobody else does; survives every outage of the database.
pub async fn run(store: Store, config: Config, shutdown: CancellationToken) {
    let heart = heartbeat::keep(
        store.clone(),
        jobs::DAG_PROCESSOR,
        DAG_PROCESSOR_HEARTBEAT,
        config.hostname.clone(),
        shutdown.clone(),
    );
    tokio::join!(heart, process(store, config, shutdown));
}

async fn process(store: Store, config: Config, shutdown: CancellationToken) {
    let mut watch = Watch::new(config.dags_folder.clone());
    let mut failing = false;
    while !shutdown.is_cancelled() {
        let outcome = tokio::select! {
            () = shutdown.cancelled() => return,
            outcome = serve(&store, &config, &mut watch, &mut failing) => outcome,
        };
        let pause = match outcome {
            Ok(()) => STANDBY,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "DAG files cannot be processed now; trying again");
                }
                AFTER_FAILURE.mul_f64(1.0 + rand::random::<f64>() / 2.0)
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Takes the bundle over, if it is free, and looks at the folder again and again. `Ok`: another processor has it.
async fn serve(
    store: &Store,
    config: &Config,
    watch: &mut Watch,
    failing: &mut bool,
) -> Result<(), updraft_store::StoreError> {
    let Some(mut processor) = Processor::take_over(store.clone(), config.clone()).await? else { return Ok(()) };
    tracing::info!(folder = %config.dags_folder.display(), "processing DAG files");
    let mut pruned = None;
    let mut repository = config.git.clone().map(git::Repository::new);
    let mut bell = store.wake().subscribe();
    loop {
        // Watch before looking, so that no change falls between.
        watch.follow().await;
        if let Some(repository) = &mut repository {
            update(&mut processor, repository).await?;
            if repository.commit().is_none() {
                tokio::time::sleep(repository.due_in()).await;
                continue;
            }
        }
        let started = Instant::now();
        let report = processor.scan_once().await?;
        metrics::gauge!(DAG_PROCESSING_TOTAL_PARSE_TIME.name).set(started.elapsed());
        metrics::counter!(DAG_PROCESSING_FILES.name).increment(report.compiled.len() as u64);
        if std::mem::replace(failing, false) {
            tracing::info!("DAG files are processed again");
        }
        if pruned.is_none_or(|at: Instant| at.elapsed() >= PRUNE) {
            pruned = Some(started);
            prune(store).await?;
        }
        let rest = started.elapsed() * REST;
        let wait = report.look_again_in.map_or(config.rescan, |wait| wait.min(config.rescan));
        let wait = repository.as_ref().map_or(wait, |repository| wait.min(repository.due_in()));
        tokio::select! {
            () = watch.changed() => {}
            () = asked(&mut bell) => {}
            () = tokio::time::sleep(wait) => {}
        }
        let rested = started + rest.min(config.rescan);
        if report.compiled.is_empty() {
            tokio::time::sleep_until(rested).await;
        }
    }
}

/// Until somebody may have asked for a file to be read anew.
async fn asked(bell: &mut broadcast::Receiver<Signal>) {
    loop {
        match bell.recv().await {
            Ok(Signal::Files | Signal::Everything) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            // The process ends.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Asks the repository, when it is time. While it does not answer, the last commit's DAGs go on, and an import error says why.
async fn update(processor: &mut Processor, repository: &mut git::Repository) -> Result<(), updraft_store::StoreError> {
    if !repository.due_in().is_zero() {
        return Ok(());
    }
    let outcome = repository.update().await;
    if let Err(error) = &outcome {
        tracing::warn!(%error, "the DAG repository cannot be read; its last commit goes on");
    }
    processor.follow_commit(repository.commit(), outcome.err().map(|error| error.to_string())).await
}

async fn prune(store: &Store) -> Result<(), updraft_store::StoreError> {
    let mut transaction = store.begin().await?;
    let count = updraft_store::bundles::prune(&mut transaction).await?;
    transaction.commit().await.map_err(pass::unknown_outcome)?;
    if count > 0 {
        tracing::info!(count, "deleted old bundles");
    }
    Ok(())
}
