//! A node's life: register, poll for work, reconcile, stop.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use updraft_core::lease::Lease;
use updraft_protocol::{
    PollRequest, PollResponse, ReconcileRequest, ReconcileResponse, RegisterResponse, RunRef, StartAttempt,
};
use uuid::Uuid;

use crate::{
    attempt::{self, Life},
    bundle::Bundles,
    client::{Backoff, CallError, Client},
    clock::Moment,
    config::{Config, ExecutorError},
    guardian::Guardian,
    identity::Identity,
    journal::Journal,
    logs::Shipper,
    measure,
    node::{Node, Parts, Stop},
    registration::{Registration, offer_nothing, register},
    report::{Answer, Body},
    runner::{
        docker::{self, Docker, RunKey},
        python, sweep,
        venv::Environments,
    },
};

/// What is unsent at the end of a life waits this long for the server; then it waits in the journal.
const LINGER: Duration = Duration::from_secs(3);

/// How serving ended.
enum Served {
    /// The server forgot this node: register again.
    Forgotten,
    Shutdown,
    Refused {
        code: String,
        detail: String,
    },
}

/// Runs a node until `shutdown`; returns after a clean stop: processes ended and reported, containers left to be adopted by the
/// next start. A server that is away is waited for, at start as well as later.
///
/// # Errors
/// When the data folder cannot be used or is in use, or the server refuses this node.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), ExecutorError> {
    let identity = Identity::take(&config.data_dir)?;
    let node = build(config, identity.id)?;
    let guardian =
        Guardian::start(&node.mark(), &node.cgroups.patterns()).map_err(|source| data_dir(&node.config, source))?;
    clear_previous_life(&node)?;

    let registration = Registration::default();
    let reporter = tokio::spawn(report_loop(Arc::clone(&node), registration.clone()));
    let shipper = tokio::spawn(Arc::clone(&node.logs).run(node.halt.clone(), LINGER));
    let watcher = tokio::spawn(Docker::watch(Arc::clone(&node)));
    let result = live(&node, &shutdown, &registration).await;

    node.stop_all();
    node.docker.close();
    node.tracker.close();
    let patience = node.config.stop_grace + Duration::from_secs(5);
    if tokio::time::timeout(patience, node.tracker.wait()).await.is_err() {
        tracing::warn!(attempts = node.live_count(), "attempts did not end in time; they are left behind");
    }
    docker::tidy(&node, true).await;
    node.halt.cancel();
    for ended in [reporter.await, shipper.await, watcher.await] {
        if let Err(error) = ended {
            tracing::error!(%error, "a part of the node failed");
        }
    }
    drop(guardian);
    drop(identity);
    result
}

fn build(config: Config, identity: Uuid) -> Result<Arc<Node>, ExecutorError> {
    let client = Arc::new(Client::new(&config.server, config.token.clone())?);
    let open = || -> std::io::Result<_> {
        let journal = Arc::new(Journal::open(&config.data_dir, config.keep_results)?);
        let logs = Arc::new(Shipper::new(config.data_dir.join("logs"), config.log_spool_limit, Arc::clone(&client))?);
        let work_dir = config.data_dir.join("work");
        std::fs::create_dir_all(&work_dir)?;
        // Relative folders would mean another place to a process with a folder of its own.
        let bundles = Bundles::open(&config.data_dir.join("bundles"), Arc::clone(&client))?;
        let shim = python::install_shim(&config.data_dir)?;
        let environments = Environments::open(&config.data_dir.join("venvs"), config.venv_cache)?;
        Ok((journal, logs, work_dir.canonicalize()?, bundles, shim, environments))
    };
    let (journal, logs, work_dir, bundles, shim, environments) = open().map_err(|source| data_dir(&config, source))?;
    let docker = Docker::new(&config);
    Ok(Node::new(Parts { config, identity, client, journal, logs, docker, bundles, shim, environments, work_dir }))
}

fn data_dir(config: &Config, source: std::io::Error) -> ExecutorError {
    ExecutorError::DataDir { path: config.data_dir.clone(), source }
}

/// Ends what an earlier life left running as processes, and takes up its results and logs.
fn clear_previous_life(node: &Arc<Node>) -> Result<(), ExecutorError> {
    let failed = |source| data_dir(&node.config, source);
    let mut owed = HashSet::new();
    for attempt in node.journal.owed() {
        let id = attempt.start.attempt_id;
        if let Some(result) = attempt.result {
            owed.insert(id);
            let task = Arc::clone(node);
            node.tracker.spawn(async move { task.outbox.push_result(id, result, &task.halt).await });
            continue;
        }
        if let Some(life) = Life::of(&node.config, &attempt) {
            owed.insert(id);
            let stop = node.enter(id);
            node.tracker.spawn(attempt::run(Arc::clone(node), attempt.start, stop, life));
            continue;
        }
        if let Some(group) = attempt.group {
            sweep::kill_recorded(group);
        }
        // Not in the reconciled set any more: the server makes it lost, and decides about another try.
        node.journal.settle(id);
    }
    node.cgroups.sweep();
    let killed = sweep::kill_marked(sweep::NODE_VARIABLE, node.identity).map_err(failed)?;
    if killed > 0 {
        tracing::info!(processes = killed, "ended processes of an earlier life of this node");
    }
    node.logs.take_up(&owed).map_err(failed)?;
    for entry in std::fs::read_dir(&node.work_dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let attempt = path.file_name().and_then(|name| name.to_str()?.parse::<Uuid>().ok());
        if attempt.is_some_and(|id| node.is_live(id)) {
            continue;
        }
        if let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(%error, path = %path.display(), "a folder of an earlier task stays behind");
        }
    }
    Ok(())
}

async fn report_loop(node: Arc<Node>, registration: Registration) {
    let answered = |answer| match answer {
        Answer::Told(event) => match event.body {
            Body::Preparing(_) => {}
            Body::Started(_) => node.journal.confirm(event.id),
            Body::Finished(_) => {
                updraft_core::failpoint!("executor.before_settle");
                node.settle(event.id);
            }
            Body::Stopped => {
                node.cancel_told(event.id);
                node.settle(event.id);
            }
        },
        // A live one settles when it is gone.
        Answer::Stale(id) if node.stop(id, Stop::Stale) => {
            tracing::info!(attempt_id = %id, "the attempt is no longer this node's: stopping it");
        }
        Answer::Stale(id) => {
            node.cancel_told(id);
            node.settle(id);
        }
        Answer::UnknownSession => registration.end(None),
        Answer::Refused { code, detail } => registration.end(Some((code, detail))),
    };
    node.outbox.run(node.halt.clone(), LINGER, answered).await;
}

async fn live(
    node: &Arc<Node>,
    shutdown: &CancellationToken,
    registration: &Registration,
) -> Result<(), ExecutorError> {
    loop {
        let registered = tokio::select! {
            registered = register(node) => registered?,
            () = shutdown.cancelled() => return Ok(()),
        };
        let again = registration.renew();
        apply_reconcile(node, &registered.reconcile);
        node.outbox.registered();
        tracing::info!(
            executor_id = registered.executor_id,
            name = node.config.name,
            server = node.config.server,
            "registered"
        );
        match serve(node, &registered, shutdown, &again, registration).await {
            Served::Forgotten => tracing::info!("the server asks this node to register again"),
            Served::Shutdown => {
                offer_nothing(node).await;
                return Ok(());
            }
            Served::Refused { code, detail } => return Err(ExecutorError::Refused { code, detail }),
        }
    }
}

async fn serve(
    node: &Arc<Node>,
    registered: &RegisterResponse,
    shutdown: &CancellationToken,
    again: &CancellationToken,
    registration: &Registration,
) -> Served {
    tokio::select! {
        served = poll_loop(node, registered) => served,
        served = reconcile_loop(node, Duration::from_millis(registered.reconcile_ms)) => served,
        () = again.cancelled() => match registration.refusal() {
            Some((code, detail)) => Served::Refused { code, detail },
            None => Served::Forgotten,
        },
        () = shutdown.cancelled() => Served::Shutdown,
    }
}

/// A call's error, if it ends serving.
fn fatal(error: &CallError) -> Option<Served> {
    match error {
        CallError::UnknownSession => Some(Served::Forgotten),
        CallError::Refused { code, detail } => Some(Served::Refused { code: code.clone(), detail: detail.clone() }),
        CallError::Later { .. } | CallError::Rejected { .. } => None,
    }
}

async fn poll_loop(node: &Arc<Node>, registered: &RegisterResponse) -> Served {
    let held = Duration::from_millis(registered.poll_ms);
    let lease = Lease::new(Duration::from_millis(registered.lease_ms));
    let mut backoff = Backoff::within(lease);
    loop {
        measure::node(node);
        let request = PollRequest {
            session: node.session,
            have: node.journal.unconfirmed(),
            cancelling: node.cancelling(),
            free_slots: node.config.slots.saturating_sub(node.live_count() as u32),
            runners: node.runners(),
            stats: node.stats(),
            desktop: node.desktop().await,
        };
        let asked = Instant::now();
        let answer = tokio::select! {
            answer = node.client.poll(&request, held, lease) => answer,
            () = node.ask_again.notified() => continue,
        };
        match answer {
            Ok(mut response) => {
                backoff = Backoff::within(lease);
                if asked.elapsed() > lease.length() {
                    // The node was frozen, or its network: by now it may be lost and what it was given elsewhere. What is still
                    // its own comes with the next poll.
                    tracing::warn!(
                        age_ms = asked.elapsed().as_millis() as u64,
                        attempts = response.start.len(),
                        "an answer came that is older than the lease; what it brings is not started"
                    );
                    response.start.clear();
                }
                let empty = response.start.is_empty() && response.cancel.is_empty();
                take(node, response);
                if empty && asked.elapsed() < Duration::from_millis(20) {
                    // A server that does not hold polls must not be asked in a tight loop.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Err(error) => {
                if let Some(served) = fatal(&error) {
                    return served;
                }
                let delay = backoff.delay(&error);
                tracing::warn!(%error, delay_ms = delay.as_millis() as u64, "polling again later");
                tokio::time::sleep(delay).await;
            }
        }
    }
}

/// Acts on a poll's answer: new attempts are journaled with one write, then started.
fn take(node: &Arc<Node>, response: PollResponse) {
    let mut fresh = Vec::new();
    let mut seen = HashSet::new();
    for start in response.start {
        let id = start.attempt_id;
        if !node.journal.knows(id) {
            if seen.insert(id) {
                fresh.push(Arc::new(start));
            }
        } else if !node.is_live(id) {
            offered_again(node, &Arc::new(start));
        }
    }
    if !fresh.is_empty() {
        if let Err(error) = node.journal.received(&fresh) {
            // Not taken: it is offered again, here or, after its launch deadline, elsewhere.
            tracing::error!(%error, attempts = fresh.len(), "the journal cannot be written; these attempts are not started");
            fresh.clear();
        }
        updraft_core::failpoint!("executor.after_received");
    }
    for start in fresh {
        let stop = node.enter(start.attempt_id);
        node.tracker.spawn(attempt::run(Arc::clone(node), start, stop, Life::Fresh));
    }
    for cancel in response.cancel {
        let id = cancel.attempt_id;
        node.note_cancel(id);
        let stop = Stop::Cancel { grace: Duration::from_millis(cancel.grace_ms), reason: cancel.reason };
        if !node.stop(id, stop) {
            // Never came, or over already: there is nothing left to stop, which is what the server wants to hear.
            node.outbox.push(id, Moment::now(), Body::Stopped);
        }
    }
}

/// An attempt that is over here is offered again: never run again, its result told again.
fn offered_again(node: &Arc<Node>, start: &Arc<StartAttempt>) {
    let id = start.attempt_id;
    let settled = node.journal.owe_again(start);
    if node.journal.result(id).is_some() {
        report_again(node, id);
    } else if settled {
        node.tracker.spawn(attempt::give_up(Arc::clone(node), id));
    }
}

fn report_again(node: &Arc<Node>, id: Uuid) {
    let Some(result) = node.journal.result(id) else { return };
    let task = Arc::clone(node);
    node.tracker.spawn(async move { task.outbox.push_result(id, result, &task.halt).await });
}

async fn reconcile_loop(node: &Arc<Node>, every: Duration) -> Served {
    loop {
        docker::remove_orphans(node).await;
        tokio::time::sleep(every).await;
        let runs = node.docker.runs().into_iter();
        let runs =
            runs.map(|RunKey { dag_id, run_id }| RunRef { dag_id: dag_id.to_string(), run_id: run_id.to_string() });
        let request =
            ReconcileRequest { session: node.session, attempts: node.journal.attempts(), runs: runs.collect() };
        match node.client.reconcile(&request).await {
            Ok(response) => {
                apply_reconcile(node, &response);
                docker::tidy(node, false).await;
            }
            Err(error) => {
                if let Some(served) = fatal(&error) {
                    return served;
                }
                tracing::warn!(%error, "reconciling again later");
            }
        }
    }
}

fn apply_reconcile(node: &Arc<Node>, response: &ReconcileResponse) {
    for id in &response.stop {
        if !node.stop(*id, Stop::Stale) {
            node.settle(*id);
        }
    }
    for id in &response.report_again {
        report_again(node, *id);
    }
    let over = response.over.iter();
    let over =
        over.map(|RunRef { dag_id, run_id }| RunKey { dag_id: dag_id.as_str().into(), run_id: run_id.as_str().into() });
    node.docker.over(&over.collect::<Vec<_>>());
}
