//! Wake-ups: who should look again, now.
//!
//! A signal carries ids as hints only: losing one delays work until the next sweep, never loses it. Within a process it is a
//! broadcast; between processes it is NOTIFY, sent after the commit from one connection, coalesced (inside the transaction it
//! would serialise commits). Subscribe before you query.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{PgPool, postgres::PgListener};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

const CHANNEL: &str = "updraft";
/// Postgres refuses payloads of 8000 bytes and more.
const PAYLOAD_LIMIT: usize = 7_500;

/// What may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// A run has inbox rows, or its `wake_at` was set.
    Run(i64),
    /// An executor has attempts or cancels to fetch.
    Executor(i64),
    /// Capacity was given back or a node came: what waits for a slot may have one.
    Dispatch,
    /// The triggerer has something to look at.
    Trigger,
    /// DAG rows, schedules or queued runs changed.
    Dags,
    /// There is something to send.
    Outbox,
    /// A DAG file is to be read anew.
    Files,
    /// Signals may have been lost: look at everything.
    Everything,
}

impl Signal {
    fn encode(self) -> String {
        match self {
            Self::Run(id) => format!("r{id}"),
            Self::Executor(id) => format!("e{id}"),
            Self::Dispatch => "x".to_owned(),
            Self::Trigger => "t".to_owned(),
            Self::Dags => "d".to_owned(),
            Self::Outbox => "o".to_owned(),
            Self::Files => "f".to_owned(),
            Self::Everything => "*".to_owned(),
        }
    }

    fn decode(text: &str) -> Self {
        let id = || text.get(1..).and_then(|digits| digits.parse().ok());
        match (text.as_bytes().first(), id()) {
            (Some(b'r'), Some(id)) => Self::Run(id),
            (Some(b'e'), Some(id)) => Self::Executor(id),
            (Some(b'x'), _) => Self::Dispatch,
            (Some(b't'), _) => Self::Trigger,
            (Some(b'd'), _) => Self::Dags,
            (Some(b'o'), _) => Self::Outbox,
            (Some(b'f'), _) => Self::Files,
            // A newer process may say what this one does not know.
            _ => Self::Everything,
        }
    }
}

/// One process' bell. Cheap to clone.
#[derive(Clone)]
pub struct Wake {
    inside: broadcast::Sender<Signal>,
    outside: mpsc::UnboundedSender<Signal>,
}

impl Wake {
    /// Starts the notifier and the listener; both end with `stop`.
    pub(crate) fn start(pool: PgPool, stop: CancellationToken) -> Self {
        let (inside, _) = broadcast::channel(4096);
        let (outside, queue) = mpsc::unbounded_channel();
        let process = uuid::Uuid::new_v4().simple().to_string();
        tokio::spawn(notify(pool.clone(), queue, process.clone(), stop.clone()));
        tokio::spawn(listen(pool, inside.clone(), process, stop));
        Self { inside, outside }
    }

    /// Rings, here and in every other process. Call it after the commit.
    pub fn ring(&self, signal: Signal) {
        // No receiver in this process is fine; the notifier is gone only at shutdown.
        let _ = self.inside.send(signal);
        let _ = self.outside.send(signal);
    }

    /// Signals from now on. A receiver that lags should look at everything.
    pub fn subscribe(&self) -> broadcast::Receiver<Signal> {
        self.inside.subscribe()
    }
}

/// Sends what was rung since the last NOTIFY as one statement.
async fn notify(pool: PgPool, mut queue: mpsc::UnboundedReceiver<Signal>, process: String, stop: CancellationToken) {
    let mut batch = Vec::new();
    loop {
        batch.clear();
        tokio::select! {
            () = stop.cancelled() => return,
            count = queue.recv_many(&mut batch, 10_000) => if count == 0 { return },
        }
        let signals: BTreeSet<Signal> = batch.iter().copied().collect();
        let words: Vec<String> = signals.into_iter().map(Signal::encode).collect();
        let mut text = words.join(",");
        if text.len() > PAYLOAD_LIMIT {
            text = Signal::Everything.encode();
        }
        let sent = sqlx::query("select pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(format!("{process}:{text}"))
            .execute(&pool)
            .await;
        if let Err(error) = sent {
            // Other processes sweep; nothing is lost but time.
            tracing::debug!(%error, "a wake-up could not be sent to other processes");
        }
    }
}

/// Passes on what other processes ring; after every reconnect, "look at everything".
async fn listen(pool: PgPool, inside: broadcast::Sender<Signal>, process: String, stop: CancellationToken) {
    loop {
        let heard = tokio::select! {
            () = stop.cancelled() => return,
            heard = hear(&pool, &inside, &process) => heard,
        };
        if let Err(error) = heard {
            tracing::debug!(%error, "the wake-up connection is down, trying again");
        }
        let _ = inside.send(Signal::Everything);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
        }
    }
}

async fn hear(pool: &PgPool, inside: &broadcast::Sender<Signal>, process: &str) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    let _ = inside.send(Signal::Everything);
    while let Some(notification) = listener.try_recv().await? {
        let Some((sender, words)) = notification.payload().split_once(':') else { continue };
        if sender != process {
            for word in words.split(',') {
                let _ = inside.send(Signal::decode(word));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_survives_the_wire() {
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
        for signal in signals {
            assert_eq!(Signal::decode(&signal.encode()), signal);
        }
    }

    #[test]
    fn an_unknown_word_means_look_at_everything() {
        assert_eq!(Signal::decode("z9"), Signal::Everything);
        assert_eq!(Signal::decode("r"), Signal::Everything);
    }
}
