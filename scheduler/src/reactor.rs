//! Wake → lock → plan → dispatch → commit.
//!
//! One transaction is in flight at a time; what arrives meanwhile waits for the next, so that a burst becomes a batch. The
//! wake-up is only a hint: everything is read under the lock, and the sweep finds what a lost wake-up would have told.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use metrics::{counter, histogram};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use updraft_core::{
    failpoint,
    metrics::{RUNS_QUARANTINED, SCHEDULER_LOOP_DURATION, SCHEDULER_PASS_FAILURES},
    plan::{Change, Facts, Needs, Plan, RunState, Scope, plan},
};
use updraft_store::{
    PgConnection, Store, StoreError,
    dispatch::{self, Classes},
    plan::{self as store_plan, Planned, RunRow},
    runs,
    versions::DagCache,
    wake::Signal,
};

use crate::{
    Config, SchedulerError, measure,
    prefer::{PATIENCE_MS, Preference},
    run_cache::RunCache,
};

/// Runs in one transaction, at most.
const BATCH: usize = 64;
/// The sweep finds what no wake-up told, at the latest after this long.
const SWEEP: Duration = Duration::from_secs(1);
/// With other schedulers about, their runs are looked after this soon.
const SWEEP_WITH_PEERS: Duration = Duration::from_millis(250);
/// Wait after a database error.
const AFTER_ERROR: Duration = Duration::from_millis(200);

pub(crate) struct Reactor {
    store: Store,
    dags: DagCache,
    classes: Classes,
    cache: RunCache,
    preference: Preference,
    rules: dispatch::Rules,
    /// Runs to look at.
    hints: BTreeSet<i64>,
    /// Something waits for a slot, or may, and no plan transaction placed it.
    dispatch: bool,
    sweep_at: Instant,
}

/// A run in the middle of a batch.
struct Decided {
    row: RunRow,
    version: i64,
    state: RunState,
    plan: Plan,
    tag: i64,
    /// Whether anything is to be written.
    write: bool,
}

impl Reactor {
    pub(crate) fn new(store: Store, dags: DagCache, config: &Config, preference: Preference) -> Self {
        Self {
            store,
            dags,
            classes: Classes::default(),
            cache: RunCache::new(config.cached_instances),
            preference,
            rules: config.dispatch.clone(),
            hints: BTreeSet::new(),
            dispatch: true,
            sweep_at: Instant::now(),
        }
    }

    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), SchedulerError> {
        let mut bell = self.store.wake().subscribe();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                open = self.wait(&mut bell) => if !open { return Ok(()) },
            }
            let began = Instant::now();
            let outcome = self.work().await;
            histogram!(SCHEDULER_LOOP_DURATION.name).record(began.elapsed());
            if let Err(error) = outcome {
                counter!(SCHEDULER_PASS_FAILURES.name).increment(1);
                tracing::warn!(%error, "a scheduling pass failed, trying again");
                // What was committed is not known: nothing cached counts, and the sweep finds what is left to do.
                self.cache.clear();
                self.classes.forget();
                self.sweep_at = Instant::now();
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }

    /// Waits for a reason to work, and takes all hints that are there. `false`: the bell is gone.
    async fn wait(&mut self, bell: &mut broadcast::Receiver<Signal>) -> bool {
        loop {
            match bell.try_recv() {
                Ok(signal) => self.note(signal),
                Err(broadcast::error::TryRecvError::Lagged(_)) => self.note(Signal::Everything),
                Err(broadcast::error::TryRecvError::Empty) => break,
                Err(broadcast::error::TryRecvError::Closed) => return false,
            }
        }
        while self.hints.is_empty() && !self.dispatch && self.sweep_at > Instant::now() {
            tokio::select! {
                heard = bell.recv() => match heard {
                    Ok(signal) => self.note(signal),
                    Err(RecvError::Lagged(_)) => self.note(Signal::Everything),
                    Err(RecvError::Closed) => return false,
                },
                () = tokio::time::sleep_until(self.sweep_at) => {}
            }
        }
        true
    }

    fn note(&mut self, signal: Signal) {
        match signal {
            Signal::Run(run) if self.preference.is_mine(run) => drop(self.hints.insert(run)),
            Signal::Dispatch => self.dispatch = true,
            Signal::Everything => {
                self.dispatch = true;
                self.sweep_at = Instant::now();
            }
            // A DAG was unpaused, perhaps: its runs are due, and its attempts may be placed.
            Signal::Dags => {
                self.dispatch = true;
                self.sweep_at = Instant::now();
            }
            Signal::Run(_) | Signal::Executor(_) | Signal::Trigger | Signal::Outbox | Signal::Files => {}
        }
    }

    async fn work(&mut self) -> Result<(), StoreError> {
        if self.sweep_at <= Instant::now() {
            self.sweep().await?;
        }
        let batch: Vec<i64> = self.hints.iter().copied().take(BATCH).collect();
        if !batch.is_empty() {
            for run in &batch {
                self.hints.remove(run);
            }
            self.plan_safely(&batch).await?;
        }
        if self.dispatch {
            self.dispatch = false;
            dispatch::dispatch(&self.store, &self.rules).await?;
        }
        Ok(())
    }

    async fn sweep(&mut self) -> Result<(), StoreError> {
        let every = if self.preference.has_peers() { SWEEP_WITH_PEERS } else { SWEEP };
        for attention in store_plan::attention(self.store.pool(), 1_000).await? {
            let mine = self.preference.is_mine(attention.dag_run_id);
            if mine || attention.waiting_ms > PATIENCE_MS {
                self.hints.insert(attention.dag_run_id);
            }
        }
        self.dispatch |= dispatch::somebody_waits(self.store.pool()).await?;
        let timer = store_plan::next_timer(self.store.pool()).await?.map_or(every, Duration::from_millis);
        self.sweep_at = Instant::now() + timer.clamp(Duration::from_millis(5), every);
        Ok(())
    }

    /// Plans a batch. A run whose plan fails is retried alone, then quarantined; it never takes its batch with it.
    async fn plan_safely(&mut self, batch: &[i64]) -> Result<(), StoreError> {
        let error = match self.plan_batch(batch).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_transient() => {
                self.hints.extend(batch);
                return Err(error);
            }
            Err(error) => error,
        };
        self.cache.clear();
        self.classes.forget();
        if let [run] = batch {
            let mut transaction = self.store.begin().await?;
            let quarantined = store_plan::note_failure(&mut transaction, *run, &error.to_string()).await?;
            transaction.commit().await?;
            if quarantined {
                counter!(RUNS_QUARANTINED.name).increment(1);
            }
            tracing::error!(dag_run_id = run, %error, quarantined, "a run could not be planned");
            return Ok(());
        }
        for run in batch {
            Box::pin(self.plan_safely(&[*run])).await?;
        }
        Ok(())
    }

    async fn plan_batch(&mut self, batch: &[i64]) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        let locked = store_plan::lock(&mut transaction, batch).await?;
        if locked.is_empty() {
            return Ok(());
        }
        failpoint!("plan.locked");
        let read = store_plan::read(&mut transaction, &locked).await?;
        let now = read.now;
        let mut changes: HashMap<i64, Vec<Change>> = HashMap::new();
        for (run, change) in read.changes {
            changes.entry(run).or_default().push(change);
        }
        let mut decided = Vec::with_capacity(read.runs.len());
        for (row, state, version, scope) in self.load(&mut transaction, read.runs, now).await? {
            let changes = changes.remove(&row.run.id).unwrap_or_default();
            let plan = self.decide(&mut transaction, &row, &state, &changes, scope, now).await?;
            if plan.stale > 0 {
                tracing::debug!(
                    dag_run_id = row.run.id,
                    count = plan.stale,
                    "events of attempts that are not current were dropped"
                );
            }
            let write =
                !plan.is_empty() || plan.wake_at != row.wake_at || version != row.dag_version_id || row.decision_is_old;
            let tag = if write { rand::random() } else { row.tag };
            decided.push(Decided { row, version, state, plan, tag, write });
        }
        let planned: Vec<Planned<'_>> = decided
            .iter()
            .filter(|one| one.write)
            .map(|one| Planned {
                dag_fk: one.row.dag_fk,
                dag_version_id: one.version,
                state: &one.state,
                plan: &one.plan,
                tag: one.tag,
            })
            .collect();
        let mut woken = dispatch::Woken::default();
        let mut written = store_plan::Written::default();
        if !planned.is_empty() {
            written = store_plan::write(&mut transaction, &self.classes, now, &planned).await?;
            failpoint!("plan.written");
            if written.freed || written.waiting {
                match dispatch::try_dispatch(&mut transaction, &self.rules).await? {
                    Some(placed) => woken = placed,
                    None => self.dispatch = true,
                }
            }
        }
        failpoint!("plan.before_commit");
        transaction.commit().await.map_err(|error| StoreError::UnknownOutcome(error.to_string()))?;
        failpoint!("plan.after_commit");
        woken.nodes.extend(written.cancelled_on);
        woken.triggerer |= written.triggers;
        dispatch::ring(&self.store, &woken);
        if written.notices {
            self.store.wake().ring(Signal::Outbox);
        }
        if written.asset_events {
            self.store.wake().ring(Signal::Dags);
        }
        self.hints.extend(written.stopped_at_once);
        self.hints.extend(written.later_runs);
        self.remember(decided, now);
        Ok(())
    }

    /// Plans one run; what the plan asks for is loaded in the same transaction and it is asked again.
    async fn decide(
        &self,
        connection: &mut PgConnection,
        row: &RunRow,
        state: &RunState,
        changes: &[Change],
        scope: Scope,
        now: DateTime<Utc>,
    ) -> Result<Plan, StoreError> {
        let mut facts = Facts::default();
        let mut asked = Needs::new();
        loop {
            let plan = plan(state, changes, scope, &facts, now, &mut store_plan::new_attempt_id);
            if plan.needs.is_empty() {
                return Ok(plan);
            }
            if plan.needs.is_subset(&asked) {
                return Err(StoreError::Inconsistent(format!("a plan asks twice for {:?}", plan.needs)));
            }
            asked.extend(plan.needs.iter().cloned());
            store_plan::load_facts(
                connection,
                &self.dags,
                self.store.sources(),
                row,
                &state.dag,
                &plan.needs,
                &mut facts,
            )
            .await?;
        }
    }

    /// The states to plan from: cached ones whose tag is the row's, the others read in one statement.
    async fn load(
        &mut self,
        connection: &mut PgConnection,
        rows: Vec<RunRow>,
        now: DateTime<Utc>,
    ) -> Result<Vec<(RunRow, RunState, i64, Scope)>, StoreError> {
        let mut ready = Vec::with_capacity(rows.len());
        let mut missing = Vec::new();
        for row in rows {
            let version = row.follows.filter(|_| !row.run.state.is_finished()).unwrap_or(row.dag_version_id);
            match self.cache.take(row.run.id, row.tag).filter(|_| version == row.dag_version_id) {
                Some(mut state) => {
                    // Unpaused since: what was held back must be looked at. So must everything once in a while: a run may
                    // wait for something outside it that went without a word (an earlier run was deleted).
                    let same = state.run.dag_is_paused == row.run.dag_is_paused && !row.decision_is_old;
                    let scope = if same { Scope::Changed } else { Scope::All };
                    state.run = row.run.clone();
                    ready.push((row, state, version, scope));
                }
                None => missing.push((row, version)),
            }
        }
        if missing.is_empty() {
            return Ok(ready);
        }
        let versions: Vec<i64> = missing.iter().map(|(_, version)| *version).collect();
        let dags = self.dags.get_many(&mut *connection, &versions).await?;
        let mut to_load = Vec::with_capacity(missing.len());
        for (row, version) in &missing {
            let dag = dags
                .get(version)
                .cloned()
                .ok_or_else(|| StoreError::Inconsistent(format!("DAG version {version} does not exist")))?;
            if *version != row.dag_version_id {
                runs::adopt(&mut *connection, row, &dag, now).await?;
            }
            to_load.push((row.clone(), Arc::clone(&dag)));
        }
        let states = store_plan::load(connection, to_load).await?;
        ready.extend(missing.into_iter().zip(states).map(|((row, version), state)| (row, state, version, Scope::All)));
        Ok(ready)
    }

    /// After the commit: the cache, timers, and whom else it concerns.
    fn remember(&mut self, decided: Vec<Decided>, now: DateTime<Utc>) {
        let mut ended = false;
        for mut one in decided {
            if one.write {
                measure::planned(&one.state, &one.plan);
                self.store.wake().changed(one.row.run.id);
            }
            one.state.apply(&one.plan);
            ended |= one.plan.run.as_ref().is_some_and(|run| run.state.is_finished());
            if let Some(wait) = one.plan.wake_at.and_then(|at| (at - now).to_std().ok()) {
                self.sweep_at = self.sweep_at.min(Instant::now() + wait);
            }
            self.cache.put(one.tag, one.state);
        }
        if ended {
            // A run of the DAG that waits for max_active_runs may start now.
            self.store.wake().ring(Signal::Dags);
        }
    }
}
