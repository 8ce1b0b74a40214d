//! Wake-ups: who should look again, now.
//!
//! A signal carries ids as hints only: losing one delays work until the next sweep, never loses it. Within a process it is a
//! broadcast; between processes it is NOTIFY, sent after the commit from one connection, coalesced (inside the transaction it
//! would serialise commits). Subscribe before you query.
//!
//! Changed runs, which people look at, go beside the signals, which work waits for: those who work are not woken by them.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{PgPool, postgres::PgListener};
use tokio::{
    sync::{broadcast, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

const CHANNEL: &str = "updraft";
/// Postgres refuses payloads of 8000 bytes and more.
const PAYLOAD_LIMIT: usize = 7_500;
/// Changed runs of one payload: an id has at most 20 digits, a word two more characters.
const RUNS_PER_PAYLOAD: usize = PAYLOAD_LIMIT / 22;
/// How long changed runs wait for company on the way to other processes, when nothing urgent takes them along.
const PATIENCE: Duration = Duration::from_millis(100);
/// Signals, and changed runs, that a receiver may be behind.
const BACKLOG: usize = 4096;

/// What may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// A run has inbox rows, or its `wake_at` was set.
    Run(i64),
    /// An executor has attempts or cancels to fetch.
    Executor(i64),
    /// Capacity was given back, or a node came or went: what waits for a slot may have one.
    Dispatch,
    /// The triggerer has something to look at.
    Trigger,
    /// DAG rows, schedules, queued runs or import errors changed.
    Dags,
    /// There is something to send.
    Outbox,
    /// A DAG file is to be read anew.
    Files,
    /// Signals may have been lost: look at everything.
    Everything,
}

/// What goes from process to process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Signal(Signal),
    /// The rows of a run are not what they were.
    Changed(i64),
}

impl Word {
    fn encode(self) -> String {
        match self {
            Self::Signal(Signal::Run(id)) => format!("r{id}"),
            Self::Signal(Signal::Executor(id)) => format!("e{id}"),
            Self::Signal(Signal::Dispatch) => "x".to_owned(),
            Self::Signal(Signal::Trigger) => "t".to_owned(),
            Self::Signal(Signal::Dags) => "d".to_owned(),
            Self::Signal(Signal::Outbox) => "o".to_owned(),
            Self::Signal(Signal::Files) => "f".to_owned(),
            Self::Signal(Signal::Everything) => "*".to_owned(),
            Self::Changed(id) => format!("c{id}"),
        }
    }

    fn decode(text: &str) -> Self {
        let id = || text.get(1..).and_then(|digits| digits.parse().ok());
        match (text.as_bytes().first(), id()) {
            (Some(b'r'), Some(id)) => Self::Signal(Signal::Run(id)),
            (Some(b'e'), Some(id)) => Self::Signal(Signal::Executor(id)),
            (Some(b'x'), _) => Self::Signal(Signal::Dispatch),
            (Some(b't'), _) => Self::Signal(Signal::Trigger),
            (Some(b'd'), _) => Self::Signal(Signal::Dags),
            (Some(b'o'), _) => Self::Signal(Signal::Outbox),
            (Some(b'f'), _) => Self::Signal(Signal::Files),
            (Some(b'c'), Some(id)) => Self::Changed(id),
            // A newer process may say what this one does not know.
            _ => Self::Signal(Signal::Everything),
        }
    }
}

/// One process' bell. Cheap to clone.
#[derive(Clone)]
pub struct Wake {
    inside: Inside,
    outside: mpsc::UnboundedSender<Word>,
}

/// To the receivers of this process. That there is none is fine.
#[derive(Clone)]
struct Inside {
    signals: broadcast::Sender<Signal>,
    changes: broadcast::Sender<i64>,
}

impl Inside {
    fn send(&self, word: Word) {
        match word {
            Word::Signal(signal) => drop(self.signals.send(signal)),
            Word::Changed(run) => drop(self.changes.send(run)),
        }
    }
}

impl Wake {
    /// Starts the notifier and the listener; both end with `stop`.
    pub(crate) fn start(pool: PgPool, stop: CancellationToken) -> Self {
        let inside = Inside { signals: broadcast::channel(BACKLOG).0, changes: broadcast::channel(BACKLOG).0 };
        let (outside, queue) = mpsc::unbounded_channel();
        let process = uuid::Uuid::new_v4().simple().to_string();
        tokio::spawn(notify(pool.clone(), queue, process.clone(), stop.clone()));
        tokio::spawn(listen(pool, inside.clone(), process, stop));
        Self { inside, outside }
    }

    /// Rings, here and in every other process. Call it after the commit.
    pub fn ring(&self, signal: Signal) {
        self.send(Word::Signal(signal));
    }

    /// Tells those who show runs that a run is new, has another state, has task instances that have, or is gone. Call it after the
    /// commit, whoever is rung for besides.
    pub fn changed(&self, dag_run_id: i64) {
        self.send(Word::Changed(dag_run_id));
    }

    fn send(&self, word: Word) {
        self.inside.send(word);
        // The notifier is gone only at shutdown.
        let _ = self.outside.send(word);
    }

    /// Signals from now on. A receiver that lags should look at everything.
    pub fn subscribe(&self) -> broadcast::Receiver<Signal> {
        self.inside.signals.subscribe()
    }

    /// Changed runs from now on. They may have been lost whenever [`Signal::Everything`] is rung, and when the receiver lags.
    pub fn changes(&self) -> broadcast::Receiver<i64> {
        self.inside.changes.subscribe()
    }
}

/// Sends what was rung since the last NOTIFY as one statement.
async fn notify(pool: PgPool, mut queue: mpsc::UnboundedReceiver<Word>, process: String, stop: CancellationToken) {
    let mut batch = Vec::new();
    let mut words = BTreeSet::new();
    let mut due: Option<Instant> = None;
    loop {
        batch.clear();
        tokio::select! {
            () = stop.cancelled() => return,
            count = queue.recv_many(&mut batch, 10_000) => if count == 0 { return },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
        let is_urgent = batch.iter().any(|word| matches!(word, Word::Signal(_)));
        words.extend(batch.iter().copied());
        let is_due = *due.get_or_insert_with(|| Instant::now() + PATIENCE) <= Instant::now();
        if !is_urgent && !is_due {
            continue;
        }
        due = None;
        let payloads: Vec<String> =
            payloads(std::mem::take(&mut words)).into_iter().map(|text| format!("{process}:{text}")).collect();
        let sent = sqlx::query("select pg_notify($1, payload) from unnest($2::text[]) payload")
            .bind(CHANNEL)
            .bind(payloads)
            .execute(&pool)
            .await;
        if let Err(error) = sent {
            // Other processes sweep; nothing is lost but time.
            tracing::debug!(%error, "a wake-up could not be sent to other processes");
        }
    }
}

/// The texts of the words, each short enough for a NOTIFY. Too many signals are "look at everything".
fn payloads(words: BTreeSet<Word>) -> Vec<String> {
    let (signals, runs): (Vec<Word>, Vec<Word>) = words.into_iter().partition(|word| matches!(word, Word::Signal(_)));
    let join = |words: &[Word]| words.iter().map(|word| word.encode()).collect::<Vec<_>>().join(",");
    let mut text = join(&signals);
    if text.len() > PAYLOAD_LIMIT {
        text = Word::Signal(Signal::Everything).encode();
    }
    let signals = Some(text).filter(|text| !text.is_empty());
    signals.into_iter().chain(runs.chunks(RUNS_PER_PAYLOAD).map(join)).collect()
}

/// Passes on what other processes ring; after every reconnect, "look at everything".
async fn listen(pool: PgPool, inside: Inside, process: String, stop: CancellationToken) {
    loop {
        let heard = tokio::select! {
            () = stop.cancelled() => return,
            heard = hear(&pool, &inside, &process) => heard,
        };
        if let Err(error) = heard {
            tracing::debug!(%error, "the wake-up connection is down, trying again");
        }
        inside.send(Word::Signal(Signal::Everything));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
        }
    }
}

async fn hear(pool: &PgPool, inside: &Inside, process: &str) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    inside.send(Word::Signal(Signal::Everything));
    while let Some(notification) = listener.try_recv().await? {
        let Some((sender, words)) = notification.payload().split_once(':') else { continue };
        if sender != process {
            for word in words.split(',') {
                inside.send(Word::decode(word));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_survives_the_wire() {
        let signals = [
            Signal::Run(7),
            Signal::Executor(3),
            Signal::Dispatch,
            Signal::Trigger,
            Signal::Dags,
            Signal::Outbox,
            Signal::Files,
            Signal::Everything,
        ];
        for word in signals.into_iter().map(Word::Signal).chain([Word::Changed(i64::MAX)]) {
            assert_eq!(Word::decode(&word.encode()), word);
        }
    }

    #[test]
    fn an_unknown_word_means_look_at_everything() {
        assert_eq!(Word::decode("z9"), Word::Signal(Signal::Everything));
        assert_eq!(Word::decode("r"), Word::Signal(Signal::Everything));
    }

    #[test]
    fn no_payload_is_too_long_and_no_changed_run_is_left_out() {
        let runs = (0..1_000).map(|run| Word::Changed(i64::MAX - run));
        let signals = (0..1_000).map(|run| Word::Signal(Signal::Run(i64::MAX - run)));
        let payloads = payloads(runs.chain(signals).collect());
        assert!(payloads.iter().all(|payload| payload.len() <= PAYLOAD_LIMIT));
        assert_eq!(payloads[0], "*");
        let told = payloads[1..].iter().flat_map(|payload| payload.split(',')).map(Word::decode);
        assert_eq!(told.collect::<BTreeSet<_>>().len(), 1_000);
    }
}
