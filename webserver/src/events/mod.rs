//! What changes, as it happens: one task per webserver reads it, any number of readers are told.
//!
//! Changes are heard of by [`wake`](updraft_store::wake), whose one LISTEN per process says which runs were written and that
//! something else was. What they say now is read once for all readers: at most every quarter of a second, more seldom the more
//! there are ([`pace`]), and not at all while there is none. A reader holds no connection to the database.

mod known;
mod ring;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use metrics::{counter, gauge};
use tokio::{
    sync::{Notify, broadcast::error::RecvError, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use updraft_core::metrics::{EVENT_READS, EVENT_STREAMS};
use updraft_store::{
    Store, StoreError,
    query::changes::{self, Catalog, RunRow, Since},
    wake::Signal,
};

pub(crate) use self::ring::{Filter, Position};
use self::{
    known::Known,
    ring::{Ahead, Ring},
};

/// Readers are told at most this often.
const PACE: Duration = Duration::from_millis(250);
/// And each costs a write of some microseconds: so many of them are told more seldom.
const PACE_PER_READER: Duration = Duration::from_millis(1);
/// The database is read for them for at most this share of the time, as a divisor.
const READING: u32 = 20;
/// All DAGs, nodes and import errors are compared at most this often.
const CATALOG_PACE: Duration = Duration::from_secs(1);
/// After the last reader went: one that lost its connection comes back and goes on where it was.
const LINGER: Duration = Duration::from_mins(1);
/// Wait after a database error.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// With more changed runs, or more events, at once it is cheaper to read anew what one shows.
const MOST: usize = 1_000;

/// Where readers come to.
pub(crate) struct Feed {
    ring: Arc<Mutex<Ring>>,
    /// Changes with the ring; its end is the end of the process.
    ticks: watch::Receiver<()>,
    /// A reader came.
    wanted: Arc<Notify>,
}

impl Feed {
    /// Starts the task that reads; it ends with `shutdown`, and with it every reader's stream.
    pub(crate) fn start(store: &Store, shutdown: CancellationToken) -> Self {
        let (sender, ticks) = watch::channel(());
        let feed = Self { ring: Arc::default(), ticks, wanted: Arc::default() };
        let pump = Pump { store: store.clone(), ring: feed.ring.clone(), ticks: sender, wanted: feed.wanted.clone() };
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = pump.run() => {}
            }
        });
        feed
    }

    /// A reader that goes on at `position`, or from now on.
    pub(crate) fn subscribe(&self, position: Option<Position>, filter: Filter) -> Reader {
        let mut ticks = self.ticks.clone();
        // It looks before it waits.
        ticks.mark_changed();
        self.wanted.notify_one();
        gauge!(EVENT_STREAMS.name).increment(1.0);
        Reader { ring: self.ring.clone(), ticks, position, filter }
    }
}

/// One reader. Dropping it is leaving.
pub(crate) struct Reader {
    ring: Arc<Mutex<Ring>>,
    ticks: watch::Receiver<()>,
    position: Option<Position>,
    filter: Filter,
}

/// What a reader is told.
pub(crate) enum Told {
    /// What it was told before may be out of date: read anew.
    Reset(Position),
    /// Events, as they are sent.
    Events(Bytes),
}

impl Reader {
    /// Waits for what comes next. `None`: the webserver stops.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        loop {
            self.ticks.changed().await.ok()?;
            let ahead = lock(&self.ring).ahead(self.position);
            match ahead {
                Ahead::Asleep => {}
                Ahead::Reset(position) => {
                    self.position = Some(position);
                    return Some(Told::Reset(position));
                }
                Ahead::Frames(frames, end) => {
                    self.position = Some(end);
                    if let Some(events) = ring::render(&frames, &self.filter, end) {
                        return Some(Told::Events(events));
                    }
                }
            }
        }
    }

    /// The id to go on from.
    pub(crate) fn position(&self) -> Option<Position> {
        self.position
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        gauge!(EVENT_STREAMS.name).decrement(1.0);
    }
}

fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().expect("nothing panics under this lock")
}

/// The task that reads.
struct Pump {
    store: Store,
    ring: Arc<Mutex<Ring>>,
    ticks: watch::Sender<()>,
    wanted: Arc<Notify>,
}

/// What was rung and is not told yet.
#[derive(Default)]
struct Pending {
    runs: BTreeSet<i64>,
    catalog: bool,
    /// Which runs changed is not known.
    is_lost: bool,
}

impl Pending {
    fn note(&mut self, signal: Result<Signal, RecvError>) {
        match signal {
            Ok(Signal::Dags | Signal::Dispatch) => self.catalog = true,
            Ok(Signal::Everything) | Err(_) => self.lose(),
            Ok(Signal::Run(_) | Signal::Executor(_) | Signal::Trigger | Signal::Outbox | Signal::Files) => {}
        }
    }

    fn note_run(&mut self, run: Result<i64, RecvError>) {
        match run {
            Ok(run) if self.runs.len() < MOST => drop(self.runs.insert(run)),
            Ok(_) | Err(_) => self.lose(),
        }
    }

    fn lose(&mut self) {
        *self = Self { runs: BTreeSet::new(), catalog: true, is_lost: true };
    }
}

impl Pump {
    async fn run(self) {
        loop {
            self.wanted.notified().await;
            if self.readers() > 0 {
                self.watch().await;
                lock(&self.ring).stop();
            }
        }
    }

    /// Readers, without the feed's own receiver.
    fn readers(&self) -> usize {
        self.ticks.receiver_count().saturating_sub(1)
    }

    /// Tells what changes, until nobody has read for a while.
    async fn watch(&self) {
        // Before the first look: what is rung after it is told.
        let mut signals = self.store.wake().subscribe();
        let mut runs = self.store.wake().changes();
        let catalog = loop {
            match self.read(&BTreeMap::new(), true).await {
                Ok((_, catalog)) => break catalog.unwrap_or_default(),
                Err(error) => complain(&error),
            }
            tokio::time::sleep(AFTER_ERROR).await;
        };
        lock(&self.ring).restart();
        self.ticks.send_replace(());
        let mut watch = Watch::new(catalog);
        let mut last_reader = Instant::now();
        loop {
            let due = watch.due();
            tokio::select! {
                signal = signals.recv() => watch.pending.note(signal),
                run = runs.recv() => watch.pending.note_run(run),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.look(&mut watch).await,
                () = sleep_until(last_reader + LINGER) => {}
            }
            if self.readers() > 0 {
                last_reader = Instant::now();
            } else if last_reader.elapsed() >= LINGER {
                return;
            }
        }
    }

    /// Reads what is pending and tells it.
    async fn look(&self, watch: &mut Watch) {
        let began = Instant::now();
        // A new run moves its DAG's next date.
        watch.pending.catalog |= watch.known.has_new(&watch.pending.runs);
        let with_catalog = watch.pending.catalog && watch.catalog_at <= began;
        let (runs, catalog) = match self.read(&watch.known.since(&watch.pending.runs), with_catalog).await {
            Ok(found) => found,
            Err(error) => {
                complain(&error);
                watch.look_at = Instant::now() + AFTER_ERROR;
                return;
            }
        };
        let asked = std::mem::take(&mut watch.pending.runs);
        let is_lost = std::mem::take(&mut watch.pending.is_lost);
        let told = watch.known.learn_runs(&asked, runs).filter(|_| !is_lost);
        let mut more = Vec::new();
        if let Some(catalog) = catalog {
            more = watch.known.learn_catalog(catalog);
            watch.pending.catalog = false;
            watch.catalog_at = began + CATALOG_PACE;
        }
        let told = told.map(|told| told.into_iter().chain(more).collect::<Vec<_>>()).filter(|told| told.len() <= MOST);
        match told {
            Some(told) => lock(&self.ring).push(told),
            None => lock(&self.ring).restart(),
        }
        self.ticks.send_replace(());
        watch.look_at = Instant::now() + pace(self.readers(), began.elapsed());
    }

    /// One look at the database, whoever reads.
    async fn read(
        &self,
        runs: &BTreeMap<i64, Since>,
        with_catalog: bool,
    ) -> Result<(Vec<RunRow>, Option<Catalog>), StoreError> {
        counter!(EVENT_READS.name).increment(1);
        let mut connection = self.store.pool().acquire().await?;
        let runs = if runs.is_empty() {
            Vec::new()
        } else {
            changes::runs(&mut connection, runs, known::INSTANCES as i64 + 1).await?
        };
        let catalog = if with_catalog { Some(changes::catalog(&mut connection).await?) } else { None };
        Ok((runs, catalog))
    }
}

/// What is known, what is not told yet, and when to look for it.
struct Watch {
    known: Known,
    pending: Pending,
    look_at: Instant,
    catalog_at: Instant,
}

impl Watch {
    fn new(catalog: Catalog) -> Self {
        let now = Instant::now();
        Self { known: Known::new(catalog), pending: Pending::default(), look_at: now, catalog_at: now }
    }

    /// `None`: there is nothing to look for.
    fn due(&self) -> Option<Instant> {
        if self.pending.is_lost || !self.pending.runs.is_empty() {
            Some(self.look_at)
        } else {
            self.pending.catalog.then(|| self.look_at.max(self.catalog_at))
        }
    }
}

/// How long to rest after a look that took `reading`.
fn pace(readers: usize, reading: Duration) -> Duration {
    let readers = u32::try_from(readers).unwrap_or(u32::MAX);
    PACE.max(PACE_PER_READER.saturating_mul(readers)).max(reading.saturating_mul(READING))
}

/// Others say louder that the database is away; readers are told when it is back.
fn complain(error: &StoreError) {
    tracing::debug!(%error, "what changed could not be read for the event stream, trying again");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_as_rare_as_its_cost_asks_for() {
        let ms = Duration::from_millis;
        let table = [(1, ms(1), PACE), (200, ms(1), PACE), (1_000, ms(1), ms(1_000)), (1, ms(100), ms(2_000))];
        for (readers, reading, expected) in table {
            assert_eq!(pace(readers, reading), expected, "{readers} readers, {reading:?}");
        }
    }

    #[test]
    fn more_than_can_be_told_is_lost() {
        let mut pending = Pending::default();
        for run in 0..MOST as i64 {
            pending.note_run(Ok(run));
        }
        assert!(!pending.is_lost && pending.runs.len() == MOST);
        pending.note_run(Ok(-1));
        assert!(pending.is_lost && pending.catalog && pending.runs.is_empty());
        let mut pending = Pending::default();
        pending.note(Ok(Signal::Everything));
        assert!(pending.is_lost);
    }
}
