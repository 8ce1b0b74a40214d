//! A poll: the heartbeat, and what the node gets.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use updraft_core::{failpoint, lease::Lease};
use uuid::Uuid;

use super::{TokenId, reconcile::interval};
use crate::{Store, StoreError, wake::Signal};

/// At most this many attempts leave with one answer; the node's next poll brings the rest at once.
const HAND_OUT_LIMIT: i64 = 256;

/// A live session.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    pub executor_id: i64,
}

/// An attempt that was just handed out.
#[derive(Clone, Debug)]
pub struct Handed {
    pub attempt_id: Uuid,
    pub dag_run_id: i64,
    pub task_id: String,
    pub map_index: i32,
    pub try_number: i32,
    pub max_tries: i32,
    /// Not a task's: a notice's.
    pub is_callback: bool,
    /// How often the try was asked before and will be asked again (`up_for_reschedule`).
    pub reschedules: i32,
}

/// A stop to tell the node about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Cancel {
    pub attempt_id: Uuid,
    pub grace_ms: i64,
    pub reason: String,
}

/// What a poll brings.
#[derive(Clone, Debug, Default)]
pub struct HandOut {
    pub start: Vec<Handed>,
    pub cancel: Vec<Cancel>,
    pub draining: bool,
}

impl HandOut {
    /// Nothing to tell the node, except perhaps that it is draining.
    pub fn is_empty(&self) -> bool {
        self.start.is_empty() && self.cancel.is_empty()
    }
}

/// The start of a poll is the heartbeat: the node was heard now. Written at most every [`Lease::stamp`], or when its runners changed
/// or it had been given up; the latter two ring [`Signal::Dispatch`], since what waits may have a place now. `None`: the session is
/// unknown (superseded, or the row is gone), the node must register.
///
/// Called once per poll; served by `executor_session_key`.
pub async fn begin_poll(
    store: &Store,
    token: TokenId,
    session: Uuid,
    runners: &Value,
    stats: &Value,
    lease: Lease,
) -> Result<Option<Heartbeat>, StoreError> {
    let row = sqlx::query!(
        r#"with node as (
               select id, state, last_poll_at < now() - $5::interval as stale,
                      runners is distinct from $3 as changed, state in ('lost', 'offline') as returned
               from executor where session = $1 and token_id = $2
           ), touched as (
               update executor e
               set last_poll_at = now(), runners = $3, stats = $4,
                   state = case when e.is_drained then 'draining' else 'active' end
               from node
               where e.id = node.id and e.session = $1 and (node.stale or node.changed or node.returned)
           )
           select id as "id!", (changed or returned) as "capacity!" from node"#,
        session,
        token.0,
        runners,
        stats,
        interval(lease.stamp())
    )
    .fetch_optional(store.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.capacity {
        store.wake().ring(Signal::Dispatch);
    }
    Ok(Some(Heartbeat { executor_id: row.id }))
}

/// Hands out what is placed on the node, not started, not given up and not in `have`, and names the cancels that are not in `cancelling`.
/// `None`: another session of the node superseded this one.
///
/// One statement, hence one commit, before anything is returned: an answer that gets lost is handed out again by the next poll,
/// and an attempt that may have reached a node always has `handed_at`. A repeated hand-out moves the launch deadline (`launch`
/// from now), but not past ten minutes after the first: a node that never keeps what it gets must not hold it for ever.
///
/// Called at each poll and when its bell rings; served by `attempt_placed_idx`, `attempt_cancel_executor_idx`.
pub async fn hand_out(
    store: &Store,
    executor_id: i64,
    session: Uuid,
    have: &[Uuid],
    cancelling: &[Uuid],
    launch: Duration,
) -> Result<Option<HandOut>, StoreError> {
    failpoint!("poll.before_commit");
    let rows = sqlx::query!(
        r#"with node as (
               select id, state from executor where id = $1 and session = $2
           ), pick as (
               select a.attempt_id from attempt a join node on a.executor_id = node.id
               where a.started_at is null and not a.given_up and not a.attempt_id = any($3)
               order by a.attempt_id limit $6
               for no key update of a
           ), handed as (
               update attempt a
               set handed_at = coalesce(a.handed_at, now()),
                   launch_deadline = greatest(a.launch_deadline,
                       least(now() + $5::interval, coalesce(a.handed_at, now()) + interval '10 minutes'))
               from pick where a.attempt_id = pick.attempt_id and a.executor_id = $1
               returning a.attempt_id, a.kind, a.dag_run_id, a.task_id, a.map_index, a.try_number, a.priority_weight, a.run_order,
                         a.created_at
           ), logged as (
               insert into attempt_log (dag_run_id, attempt_id, kind, task_id, map_index, try_number, executor_id)
               select dag_run_id, attempt_id, kind, task_id, map_index, try_number, $1 from handed
               on conflict do nothing
           )
           select node.state as "state!", h.attempt_id as "attempt_id?", h.dag_run_id as "dag_run_id?", h.task_id as "task_id?",
                  h.map_index as "map_index?", h.try_number as "try_number?", h.kind = 'callback' as "is_callback?",
                  ti.max_tries as "max_tries?", ti.reschedules as "reschedules?",
                  (select jsonb_agg(jsonb_build_object('attempt_id', c.attempt_id, 'grace_ms', c.grace_ms, 'reason', c.reason)
                                    order by c.created_at, c.attempt_id)
                   from attempt_cancel c
                   where c.executor_id = $1 and c.deadline > now() and not c.attempt_id = any($4)) as "cancels?"
           from node
           left join handed h on true
           left join task_instance ti
             on ti.dag_run_id = h.dag_run_id and ti.task_id = h.task_id and ti.map_index = h.map_index
           order by h.priority_weight desc, h.run_order, h.created_at"#,
        executor_id,
        session,
        have,
        cancelling,
        interval(launch),
        HAND_OUT_LIMIT
    )
    .fetch_all(store.pool())
    .await?;
    failpoint!("poll.after_commit");
    let Some(first) = rows.first() else { return Ok(None) };
    let draining = first.state == "draining";
    let cancel = match &first.cancels {
        Some(cancels) => serde_json::from_value(cancels.clone())?,
        None => Vec::new(),
    };
    let start = rows
        .into_iter()
        .filter_map(|row| {
            Some(Handed {
                attempt_id: row.attempt_id?,
                dag_run_id: row.dag_run_id?,
                task_id: row.task_id?,
                map_index: row.map_index?,
                try_number: row.try_number?,
                // Its task instance is locked or gone only while a plan deletes the attempt too; the node then hears a stale.
                max_tries: row.max_tries.unwrap_or_default(),
                is_callback: row.is_callback?,
                reschedules: row.reschedules.unwrap_or_default(),
            })
        })
        .collect();
    Ok(Some(HandOut { start, cancel, draining }))
}

/// Where an attempt's log belongs, also for a fenced attempt.
#[derive(Clone, Debug)]
pub struct LogPlace {
    pub attempt_id: Uuid,
    pub dag_id: String,
    pub run_id: String,
    pub task_id: String,
    pub map_index: i32,
    pub try_number: i32,
}

/// So many looks of a try keep their logs: an hour and a half of a sensor that is asked every minute.
pub const LOOKS_KEPT: i32 = 100;

/// The attempts whose logs a try has too many of, the oldest first: those of a sensor's looks but for the latest. Delete their files,
/// then call [`forget_looks`].
///
/// Called when a look is handed out that may be one too many; served by `attempt_log_pkey`.
pub async fn old_looks(store: &Store, handed: &Handed) -> Result<Vec<Uuid>, StoreError> {
    let old = sqlx::query_scalar!(
        "select attempt_id from attempt_log
         where dag_run_id = $1 and task_id = $2 and map_index = $3 and try_number = $4 and kind = 'task'
         order by seq desc offset $5",
        handed.dag_run_id,
        handed.task_id,
        handed.map_index,
        handed.try_number,
        i64::from(LOOKS_KEPT)
    )
    .fetch_all(store.pool())
    .await?;
    Ok(old.into_iter().rev().collect())
}

/// Forgets the logs of attempts; their files are gone.
pub async fn forget_looks(store: &Store, dag_run_id: i64, attempts: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query!("delete from attempt_log where dag_run_id = $1 and attempt_id = any($2)", dag_run_id, attempts)
        .execute(store.pool())
        .await?;
    Ok(())
}

/// Where the logs of these attempts belong, of those that were handed to a node of this token and are still known.
/// Called about once per attempt and webserver, for many at once; served by `attempt_log_attempt_idx`.
pub async fn log_places(store: &Store, token: TokenId, attempts: &[Uuid]) -> Result<Vec<LogPlace>, StoreError> {
    let rows = sqlx::query_as!(
        LogPlace,
        r#"select l.attempt_id as "attempt_id!", d.dag_id as "dag_id!", r.run_id as "run_id!", l.task_id as "task_id!",
                  l.map_index as "map_index!", l.try_number as "try_number!"
         from attempt_log l
         join executor e on e.id = l.executor_id
         join dag_run r on r.id = l.dag_run_id
         join dag d on d.id = r.dag_fk
         where l.attempt_id = any($1) and e.token_id = $2"#,
        attempts,
        token.0
    )
    .fetch_all(store.pool())
    .await?;
    Ok(rows)
}
