//! A node introduces itself.

use serde_json::Value;
use updraft_core::{failpoint, lease::Lease};
use uuid::Uuid;

use super::{
    NodeAttempt, Reconciled, TokenId,
    reconcile::{self, interval},
};
use crate::{Store, StoreError, wake::Signal};

/// What a node says of itself.
#[derive(Clone, Debug)]
pub struct NewNode {
    pub name: String,
    /// From the key file in its data folder; survives a restart, unlike the session.
    pub identity: Uuid,
    /// New at each start of the process.
    pub session: Uuid,
    pub hostname: String,
    pub version: String,
    pub slots: i32,
    pub weight: i32,
    /// It ends: its state is `offline` from now on, and its slots are as they were.
    pub leaves: bool,
    /// A JSON object of texts.
    pub labels: Value,
    /// Empty means `default`.
    pub queues: Vec<String>,
    /// A JSON list of `RunnerStatus`.
    pub runners: Value,
}

/// How a registration ended.
#[derive(Clone, Debug)]
pub enum Registration {
    Registered {
        executor_id: i64,
        reconciled: Reconciled,
    },
    /// Another identity has the name, and its node is live.
    NameTaken,
}

/// Writes the node's row and reconciles its attempts at once: what the server had handed to an earlier session of this node and the
/// node does not name is lost (its old process is dead, so nothing can be on its way to it). What was placed and never handed out
/// is handed out by the next poll.
///
/// The same identity with another session supersedes, and drains on if it was told to; another identity gets a name whose node is
/// lost or silent for the lease, counted from when it could have been heard.
///
/// Called at each start and end of a node. Rings [`Signal::Dispatch`] (capacity came), the node's own bell (held polls of an older
/// session end) and the runs of lost attempts.
pub async fn register(
    store: &Store,
    token: TokenId,
    node: &NewNode,
    attempts: &[NodeAttempt],
    lease: Lease,
) -> Result<Registration, StoreError> {
    let default_queue = ["default".to_owned()];
    let queues: &[String] = if node.queues.is_empty() { &default_queue } else { &node.queues };
    let mut transaction = store.begin().await?;
    // The node of this data folder was renamed: its row follows, with the attempts it has.
    sqlx::query!(
        "update executor set name = $1
         where id = (select max(id) from executor where identity = $2) and name <> $1
           and not exists (select from executor where name = $1)",
        node.name,
        node.identity
    )
    .execute(&mut *transaction)
    .await?;
    // One statement decides whose name it is, so that two nodes cannot both get it.
    let row = sqlx::query!(
        r#"with old as (
             select session from executor where name = $1 and identity = $2
         )
         insert into executor as e (name, identity, session, token_id, state, hostname, version, slots, labels, queues, runners, weight)
         values ($1, $2, $3, $4, case when $13 then 'offline' else 'active' end, $5, $6, $7, $8, $9, $10, $12)
         on conflict (name) do update set
            identity = excluded.identity, session = excluded.session, token_id = excluded.token_id,
            is_drained = e.is_drained and e.identity = excluded.identity,
            state = case when $13 then 'offline'
                         when e.is_drained and e.identity = excluded.identity then 'draining'
                         else 'active' end,
            hostname = excluded.hostname, version = excluded.version, labels = excluded.labels, queues = excluded.queues,
            slots = case when $13 then e.slots else excluded.slots end, weight = excluded.weight,
            runners = excluded.runners, registered_at = now(), last_poll_at = now()
         where e.identity = excluded.identity
            or e.state = 'lost'
            or greatest(e.last_poll_at, (select heard_since from liveness)) < now() - $11::interval
         returning id, coalesce((select session = $3 from old), false) as "is_same_session!""#,
        node.name,
        node.identity,
        node.session,
        token.0,
        node.hostname,
        node.version,
        node.slots,
        node.labels,
        queues,
        node.runners,
        interval(lease.length()),
        node.weight,
        node.leaves
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else { return Ok(Registration::NameTaken) };
    let reconciled = reconcile::settle(&mut transaction, row.id, attempts, row.is_same_session).await?;
    failpoint!("register.before_commit");
    transaction.commit().await?;
    failpoint!("register.after_commit");
    store.wake().ring(Signal::Executor(row.id));
    store.wake().ring(Signal::Dispatch);
    reconciled.ring(store);
    Ok(Registration::Registered { executor_id: row.id, reconciled })
}
