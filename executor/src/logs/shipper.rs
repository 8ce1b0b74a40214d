//! Sends what is new in the spools.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use updraft_core::metrics::LOG_BYTES_SHIPPED;
use updraft_protocol::LogsResponse;
use uuid::Uuid;

use super::{
    segments::Segments,
    spool::{AttemptLog, Budget, Spool},
};
use crate::client::{Backoff, CallError, Client};

/// Lines wait at least so long for others before they are sent.
const GATHER: Duration = Duration::from_millis(40);
/// And, should the server wish it, at most so long.
const LONGEST_GATHER: Duration = Duration::from_secs(10);
/// Bytes per request.
const CHUNK: usize = 1024 * 1024;
/// Requests under way at once.
const CONCURRENT: usize = 4;

/// Tells the shipper which spools have news, and all of them how much may wait.
pub(super) struct Wake {
    pub(super) budget: Budget,
    dirty: Mutex<HashMap<Uuid, Arc<Spool>>>,
    notify: Notify,
}

impl Wake {
    pub(super) fn new(limit: u64) -> Self {
        Self { budget: Budget::new(limit), dirty: Mutex::default(), notify: Notify::new() }
    }

    pub(super) fn dirty(&self, spool: &Arc<Spool>) {
        let mut dirty = self.dirty.lock().expect("no code panics while it holds the list");
        if dirty.insert(spool.id, Arc::clone(spool)).is_none() && dirty.len() == 1 {
            self.notify.notify_one();
        }
    }

    fn take(&self) -> HashMap<Uuid, Arc<Spool>> {
        std::mem::take(&mut *self.dirty.lock().expect("no code panics while it holds the list"))
    }
}

/// All logs of the node.
pub(crate) struct Shipper {
    dir: PathBuf,
    client: Arc<Client>,
    wake: Arc<Wake>,
    spools: Mutex<HashMap<Uuid, AttemptLog>>,
    /// The server's wish; see [`LogsResponse`].
    gather_ms: AtomicU64,
}

enum Shipped {
    /// The server has all there was, or will never take it.
    Done,
    More,
    Failed(CallError),
}

impl Shipper {
    /// `limit`: bytes that may wait for the server.
    pub(crate) fn new(dir: PathBuf, limit: u64, client: Arc<Client>) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        Ok(Self {
            dir,
            client,
            wake: Arc::new(Wake::new(limit)),
            spools: Mutex::default(),
            gather_ms: AtomicU64::new(0),
        })
    }

    /// The log of a new attempt.
    pub(crate) fn open(&self, id: Uuid) -> AttemptLog {
        let log = AttemptLog::fresh(id, &self.dir, Arc::clone(&self.wake));
        self.spools().insert(id, log.clone());
        log
    }

    /// The log of an attempt of an earlier life, which goes on; made anew when it is gone.
    pub(crate) fn reopen(&self, id: Uuid) -> io::Result<AttemptLog> {
        let log = AttemptLog::found(id, &self.dir, Arc::clone(&self.wake))?;
        self.spools().insert(id, log.clone());
        self.wake.dirty(&log.spool);
        Ok(log)
    }

    /// Takes up the logs an earlier life left and nobody writes to any more. `owed`: attempts whose result is not settled.
    pub(crate) fn take_up(&self, owed: &HashSet<Uuid>) -> io::Result<()> {
        for id in Segments::ids(&self.dir)? {
            if self.spools().contains_key(&id) {
                continue;
            }
            let log = self.reopen(id)?;
            log.close();
            if !owed.contains(&id) {
                self.settle(id);
            }
        }
        Ok(())
    }

    /// The attempt's result is settled; its spool goes as soon as the server has all of it.
    pub(crate) fn settle(&self, id: Uuid) {
        let log = self.spools().get(&id).cloned();
        if let Some(log) = log {
            log.spool.settle();
            self.forget_if_done(&log.spool);
        }
    }

    /// Bytes of all logs that the server does not have.
    pub(crate) fn unsent(&self) -> u64 {
        self.wake.budget.unsent()
    }

    /// Ships until `stop`; then once more for at most `linger`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken, linger: Duration) {
        let mut waiting: VecDeque<Arc<Spool>> = VecDeque::new();
        let mut queued: HashSet<Uuid> = HashSet::new();
        let mut under_way = FuturesUnordered::new();
        let mut backoff = Backoff::new();
        let mut not_before = Instant::now();
        let mut gather_until: Option<Instant> = None;
        let mut deadline: Option<Instant> = None;
        loop {
            while under_way.len() < CONCURRENT && Instant::now() >= not_before {
                let Some(spool) = waiting.pop_front() else { break };
                let shipper = Arc::clone(&self);
                under_way.push(async move {
                    let shipped = shipper.ship(&spool).await;
                    (spool, shipped)
                });
            }
            tokio::select! {
                () = self.wake.notify.notified(), if gather_until.is_none() && deadline.is_none() => {
                    gather_until = Some(Instant::now() + self.gather());
                }
                () = tokio::time::sleep_until(gather_until.unwrap_or(not_before)), if gather_until.is_some() => {
                    gather_until = None;
                    for (id, spool) in self.wake.take() {
                        if queued.insert(id) {
                            waiting.push_back(spool);
                        }
                    }
                }
                Some((spool, shipped)) = under_way.next() => {
                    match shipped {
                        Shipped::Done => {
                            queued.remove(&spool.id);
                            backoff = Backoff::new();
                            if !spool.drained() {
                                self.wake.dirty(&spool);
                            }
                            self.forget_if_done(&spool);
                        }
                        Shipped::More => waiting.push_back(spool),
                        Shipped::Failed(error) => {
                            let delay = backoff.delay(&error);
                            tracing::debug!(%error, attempt_id = %spool.id, delay_ms = delay.as_millis() as u64, "logs wait for the server");
                            not_before = Instant::now() + delay;
                            waiting.push_back(spool);
                        }
                    }
                }
                () = tokio::time::sleep_until(not_before), if !waiting.is_empty() && under_way.len() < CONCURRENT => {}
                () = stop.cancelled(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + linger);
                    for (id, spool) in self.wake.take() {
                        if queued.insert(id) {
                            waiting.push_back(spool);
                        }
                    }
                }
                () = tokio::time::sleep_until(deadline.unwrap_or(not_before)), if deadline.is_some() => return,
            }
            if deadline.is_some() && waiting.is_empty() && under_way.is_empty() {
                return;
            }
        }
    }

    async fn ship(&self, spool: &Spool) -> Shipped {
        if spool.size_unknown() {
            match self.client.log_size(spool.id).await {
                Ok(answer) => spool.sent(self.heed(&answer)),
                Err(CallError::Rejected { status, .. }) if status == reqwest::StatusCode::NOT_FOUND => spool.sent(0),
                Err(error) => return Shipped::Failed(error),
            }
        }
        let (offset, bytes) = match spool.next_chunk(CHUNK) {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Shipped::Done,
            Err(error) => {
                tracing::warn!(%error, attempt_id = %spool.id, "a spooled log cannot be read; the rest of it is lost");
                spool.give_up();
                return Shipped::Done;
            }
        };
        let full = bytes.len() == CHUNK;
        match self.client.put_logs(spool.id, offset, bytes).await {
            Ok(answer) => {
                let size = self.heed(&answer);
                metrics::counter!(LOG_BYTES_SHIPPED.name).increment(size.saturating_sub(offset));
                spool.sent(size);
                if size <= offset {
                    // A gap: the server has less than it said. Go back to where it is, not in a tight loop.
                    let reason = format!("the server has {size} bytes of a log of which it had {offset}");
                    return Shipped::Failed(CallError::Later { reason, retry_after: None });
                }
                if full { Shipped::More } else { Shipped::Done }
            }
            Err(CallError::Rejected { status, detail, .. }) => {
                tracing::warn!(%status, detail, attempt_id = %spool.id, "the server does not take this attempt's log; it is dropped");
                spool.give_up();
                Shipped::Done
            }
            Err(error) => Shipped::Failed(error),
        }
    }

    /// What the server has; remembers how long it wants lines to be gathered.
    fn heed(&self, answer: &LogsResponse) -> u64 {
        self.gather_ms.store(answer.gather_ms, Ordering::Relaxed);
        answer.size
    }

    /// Lines wait this long for others before they are sent.
    fn gather(&self) -> Duration {
        GATHER.max(Duration::from_millis(self.gather_ms.load(Ordering::Relaxed)).min(LONGEST_GATHER))
    }

    fn forget_if_done(&self, spool: &Spool) {
        if spool.done() {
            spool.remove();
            self.spools().remove(&spool.id);
        }
    }

    fn spools(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, AttemptLog>> {
        self.spools.lock().expect("no code panics while it holds the list")
    }
}
