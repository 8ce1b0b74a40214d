//! Sends what the outbox holds: emails, HTTP calls, Slack messages; functions of the DAG's code become work for nodes.
//!
//! One loop per kind of delivery, so that a mail server that hangs holds up no webhook, and within it so many at once to one
//! destination, so that a host that hangs holds up no other; none of them ever holds a run's lock or runs inside a task. Any number of schedulers do it at once, each notice is one's at a time. At least once: a scheduler that
//! dies between sending and saying so leaves the notice to others, who send it again with the same key.

mod config;
mod email;
mod http;
mod send;
mod slack;

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::broadcast::error::RecvError,
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use updraft_core::{dag::CallbackAction, failpoint, metrics::NOTIFICATIONS};
use updraft_store::{
    Store, StoreError,
    outbox::{self, Ended, Ready, Room},
    versions::DagCache,
    wake::Signal,
};
use uuid::Uuid;

pub use self::config::{Config, Smtp, SmtpTls};
use self::send::{Sender, kind};
use crate::SchedulerError;

/// Every kind has a loop.
const KINDS: [&str; 4] = ["email", "http", "slack", PYTHON];
/// Not sent from here: nodes call them.
const PYTHON: &str = "python";
/// Deliveries at once, per kind and scheduler.
const AT_ONCE: usize = 64;
/// Of them to one host, connection or mail server.
const PER_DESTINATION: usize = 16;
/// Looks at the latest after this long, should a wake-up be lost.
const SWEEP: Duration = Duration::from_secs(5);
const AFTER_ERROR: Duration = Duration::from_millis(500);
const PRUNE_EVERY: Duration = Duration::from_mins(10);
/// What is being sent when the scheduler is asked to end has this long.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Sends notices until `stop`.
pub(crate) async fn run(
    store: Store,
    dags: DagCache,
    config: Config,
    stop: CancellationToken,
) -> Result<(), SchedulerError> {
    let keep = config.keep;
    let sender = match Sender::new(store.clone(), dags, config) {
        Ok(sender) => sender,
        Err(error) => {
            // Runs go on without; the notices wait for a scheduler that can.
            tracing::error!(%error, "notifications cannot be sent from here: the HTTP client cannot be made");
            stop.cancelled().await;
            return Ok(());
        }
    };
    let mut loops = JoinSet::new();
    for kind in KINDS {
        loops.spawn(deliver(sender.clone(), kind, stop.clone()));
    }
    loops.spawn(prune(store, keep, stop));
    while let Some(ended) = loops.join_next().await {
        ended?;
    }
    Ok(())
}

async fn deliver(sender: Sender, kind: &'static str, stop: CancellationToken) {
    let mut bell = sender.store.wake().subscribe();
    let mut sending = Sending::new(kind);
    loop {
        let wait = match take(&sender, kind, &sending.room()).await {
            Ok((ready, wait)) => {
                for notice in ready {
                    sending.spawn(&sender, notice);
                }
                wait
            }
            Err(error) => {
                tracing::warn!(%error, kind, "notices could not be read");
                AFTER_ERROR
            }
        };
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = stop.cancelled() => return sending.end().await,
                // There is room again: what waited for it is taken at once.
                Some(ended) = sending.tasks.join_next_with_id() => {
                    sending.ended(ended);
                    break;
                }
                () = tokio::time::sleep_until(until) => break,
                heard = bell.recv() => match heard {
                    Ok(Signal::Outbox | Signal::Everything) | Err(RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }
}

/// Notices on their way.
struct Sending {
    kind: &'static str,
    tasks: JoinSet<()>,
    destinations: HashMap<Id, String>,
}

impl Sending {
    fn new(kind: &'static str) -> Self {
        Self { kind, tasks: JoinSet::new(), destinations: HashMap::new() }
    }

    fn room(&self) -> Room {
        let mut sending = HashMap::new();
        for destination in self.destinations.values() {
            *sending.entry(destination.clone()).or_default() += 1;
        }
        Room { total: AT_ONCE.saturating_sub(self.tasks.len()), each: PER_DESTINATION, sending }
    }

    fn spawn(&mut self, sender: &Sender, ready: Ready) {
        let destination = ready.notice.destination.clone();
        let task = self.tasks.spawn(deliver_one(sender.clone(), ready));
        self.destinations.insert(task.id(), destination);
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, kind = self.kind, "sending a notice panicked");
                error.id()
            }
        };
        self.destinations.remove(&id);
    }

    /// Lets what is on its way arrive, for a while; the rest is sent again by another scheduler.
    async fn end(mut self) {
        let all = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.ended(ended);
            }
        };
        if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
            tracing::warn!(kind = self.kind, left = self.tasks.len(), "notices were still being sent at the end");
        }
    }
}

/// Claims what is due and there is room for, and says when to look again.
async fn take(sender: &Sender, kind: &str, room: &Room) -> Result<(Vec<Ready>, Duration), StoreError> {
    if kind == PYTHON {
        take_lost(sender).await?;
    }
    if room.total == 0 {
        return Ok((Vec::new(), SWEEP));
    }
    let claimed = outbox::claim(&sender.store, kind, room, sender.config.lease()).await?;
    let mut room = room.clone();
    room.total -= claimed.len().min(room.total);
    for notice in &claimed {
        *room.sending.entry(notice.destination.clone()).or_default() += 1;
    }
    let base_url = sender.config.base_url.as_deref();
    let ready = outbox::contexts(&sender.store, &sender.dags, claimed, |spec| Some(log_url(base_url?, spec))).await?;
    if room.total == 0 {
        return Ok((ready, SWEEP));
    }
    let due = outbox::next_due(sender.store.pool(), kind, &room).await?.map_or(SWEEP, Duration::from_millis);
    Ok((ready, due.clamp(Duration::from_millis(5), SWEEP)))
}

async fn deliver_one(sender: Sender, ready: Ready) {
    let notice = &ready.notice;
    let (key, kind) = (notice.claim.key, kind(&notice.action));
    let ended = match (&notice.action, &ready.context) {
        (CallbackAction::Python { .. }, Ok(context)) => match sender.launch(notice, context).await {
            Some(ended) => ended,
            None => return,
        },
        _ => sender.send(&ready).await,
    };
    failpoint!("outbox.sent");
    match outbox::mark(sender.store.pool(), notice.claim, &ended).await {
        Ok(true) => {}
        Ok(false) => tracing::debug!(%key, kind, "another scheduler took the notice meanwhile; its word counts"),
        // Its claim runs out and it is sent again, with the same key.
        Err(error) => tracing::warn!(%error, %key, kind, "what became of a notice could not be noted"),
    }
    tell(key, kind, notice.tries, &ended);
}

/// Callbacks whose node failed them are tried again, later.
async fn take_lost(sender: &Sender) -> Result<(), StoreError> {
    for lost in outbox::lost(&sender.store).await? {
        let ended = sender.again(lost.tries, lost.age, lost.error.clone(), None);
        if outbox::mark_lost(&sender.store, &lost, &ended).await? {
            tell(lost.key, PYTHON, lost.tries, &ended);
        }
    }
    Ok(())
}

/// Says what became of a try.
fn tell(key: Uuid, kind: &'static str, tries: u32, ended: &Ended) {
    let outcome = match ended {
        Ended::Delivered => {
            tracing::debug!(%key, kind, tries, "notice delivered");
            "delivered"
        }
        Ended::Again { after, error } => {
            tracing::warn!(%key, kind, tries, error, after_s = after.as_secs(), "a notice could not be sent, trying again");
            "again"
        }
        Ended::Failed { error } => {
            tracing::error!(%key, kind, tries, error, "a notice could not be sent and is not tried again");
            "failed"
        }
    };
    metrics::counter!(NOTIFICATIONS.name, "kind" => kind, "outcome" => outcome).increment(1);
}

/// Where the dashboard shows the log of the try (`ui/src/paths.ts`).
fn log_url(base_url: &str, spec: &updraft_core::spec::TaskSpec) -> String {
    let encode = |text: &str| -> String {
        text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
            out
        })
    };
    let run = &spec.run;
    let mapped = if spec.map_index.0 < 0 { String::new() } else { format!("?map_index={}", spec.map_index.0) };
    format!(
        "{}/dags/{}/runs/{}/tasks/{}/logs/{}{mapped}",
        base_url.trim_end_matches('/'),
        encode(run.dag_id.as_str()),
        encode(run.run_id.as_str()),
        encode(spec.task_id.as_str()),
        spec.try_number
    )
}

async fn prune(store: Store, keep: Duration, stop: CancellationToken) {
    loop {
        match outbox::prune(&store, keep).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "old notices deleted"),
            Err(error) => tracing::warn!(%error, "old notices could not be deleted"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PRUNE_EVERY) => {}
        }
    }
}
