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
use updraft_protocol::{LOG_PIECES, LogAnswer, LogPiece, LogsRequest, LogsResponse};
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
/// Bytes of logs per request.
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

/// What became of one log of a request.
enum Shipped {
    /// The server has all there was, or will never take it.
    Done,
    /// There is more, or it was not its turn.
    More,
    /// It is to be sent again, after a while.
    Failed,
}

/// What became of the logs of a request.
struct Batch {
    logs: Vec<(Arc<Spool>, Shipped)>,
    /// Why some of them failed.
    error: Option<CallError>,
}

impl Batch {
    fn fail(&mut self, spools: impl IntoIterator<Item = Arc<Spool>>, error: CallError) {
        self.logs.extend(spools.into_iter().map(|spool| (spool, Shipped::Failed)));
        self.error = Some(error);
    }
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
                if waiting.is_empty() {
                    break;
                }
                let spools = waiting.drain(..waiting.len().min(LOG_PIECES)).collect();
                let shipper = Arc::clone(&self);
                under_way.push(async move { shipper.ship(spools).await });
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
                Some(batch) = under_way.next() => {
                    for (spool, shipped) in batch.logs {
                        match shipped {
                            Shipped::Done => {
                                queued.remove(&spool.id);
                                if !spool.drained() {
                                    self.wake.dirty(&spool);
                                }
                                self.forget_if_done(&spool);
                            }
                            Shipped::More | Shipped::Failed => waiting.push_back(spool),
                        }
                    }
                    if let Some(error) = batch.error {
                        let delay = backoff.delay(&error);
                        if matches!(error, CallError::Later { .. }) {
                            tracing::debug!(%error, delay_ms = delay.as_millis() as u64, "logs wait for the server");
                        } else {
                            tracing::warn!(%error, "the server does not take logs; they stay in the spool");
                        }
                        not_before = Instant::now() + delay;
                    } else {
                        backoff = Backoff::new();
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

    /// Sends what is new in several logs in one request of about [`CHUNK`] bytes, the short ones first.
    async fn ship(&self, mut spools: Vec<Arc<Spool>>) -> Batch {
        let mut batch = Batch { logs: Vec::with_capacity(spools.len()), error: None };
        let mut request = LogsRequest { pieces: Vec::with_capacity(spools.len()) };
        let mut sent = Vec::with_capacity(spools.len());
        let mut bytes = Vec::new();
        spools.sort_by_key(|spool| spool.unsent());
        for spool in spools {
            if let Err(error) = self.learn_size(&spool).await {
                batch.logs.push((spool, Shipped::Failed));
                batch.error = Some(error);
                continue;
            }
            let room = CHUNK - bytes.len();
            if room == 0 {
                batch.logs.push((spool, Shipped::More));
                continue;
            }
            match spool.next_chunk(room) {
                Ok(Some((offset, piece))) => {
                    request.pieces.push(LogPiece { attempt_id: spool.id, offset, length: piece.len() });
                    bytes.extend_from_slice(&piece);
                    sent.push((spool, piece.len() == room));
                }
                Ok(None) => batch.logs.push((spool, Shipped::Done)),
                Err(error) => {
                    tracing::warn!(%error, attempt_id = %spool.id, "a spooled log cannot be read; the rest of it is lost");
                    spool.give_up();
                    batch.logs.push((spool, Shipped::Done));
                }
            }
        }
        if sent.is_empty() {
            return batch;
        }
        match self.client.send_logs(&request, &bytes).await {
            Ok(answer) if answer.answers.len() == sent.len() => self.heed(&mut batch, sent, &request.pieces, answer),
            Ok(answer) => {
                let reason = format!("{} answers about {} logs", answer.answers.len(), sent.len());
                batch.fail(sent.into_iter().map(|(spool, _)| spool), CallError::Later { reason, retry_after: None });
            }
            Err(error) => batch.fail(sent.into_iter().map(|(spool, _)| spool), error),
        }
        batch
    }

    /// Asks what the server has of a log of an earlier life.
    async fn learn_size(&self, spool: &Spool) -> Result<(), CallError> {
        if spool.size_unknown() {
            match self.client.log_size(spool.id).await {
                Ok(size) => spool.sent(size),
                Err(CallError::Rejected { status, .. }) if status == reqwest::StatusCode::NOT_FOUND => spool.sent(0),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// `sent`: the logs of the pieces, and whether there was no room for more of them.
    fn heed(&self, batch: &mut Batch, sent: Vec<(Arc<Spool>, bool)>, pieces: &[LogPiece], answer: LogsResponse) {
        self.gather_ms.store(answer.gather_ms, Ordering::Relaxed);
        for (((spool, is_cut), piece), answer) in sent.into_iter().zip(pieces).zip(answer.answers) {
            match answer {
                LogAnswer::Has { size } => {
                    metrics::counter!(LOG_BYTES_SHIPPED.name).increment(size.saturating_sub(piece.offset));
                    spool.sent(size);
                    if size > piece.offset {
                        batch.logs.push((spool, if is_cut { Shipped::More } else { Shipped::Done }));
                    } else {
                        // The server has less than it said. Go back to where it is, not in a tight loop.
                        let reason = format!("the server has {size} bytes of a log of which it had {}", piece.offset);
                        batch.fail([spool], CallError::Later { reason, retry_after: None });
                    }
                }
                LogAnswer::Refused { code, detail } => {
                    tracing::warn!(code, detail, attempt_id = %spool.id, "the server does not take this attempt's log; it is dropped");
                    spool.give_up();
                    batch.logs.push((spool, Shipped::Done));
                }
                LogAnswer::Later { detail } => {
                    batch.fail([spool], CallError::Later { reason: detail, retry_after: None });
                }
            }
        }
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
