//! Taking notices to send them, and saying what became of them.

use std::{collections::HashMap, time::Duration};

use sqlx::{PgConnection, PgExecutor};
use updraft_core::{dag::CallbackAction, notify::Facts};
use uuid::Uuid;

use crate::{Store, StoreError, nodes::interval};

/// Whose turn it is: nobody else sends the notice until the claim's time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    pub key: Uuid,
    pub(super) claimed_by: Uuid,
}

/// A notice to send.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub claim: Claim,
    /// A host, a connection, or empty: the configured mail server.
    pub destination: String,
    pub dag_run_id: i64,
    pub action: CallbackAction,
    pub facts: Facts,
    /// This one is the n-th, from 1.
    pub tries: u32,
    /// Since the change.
    pub age: Duration,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Delivered,
    /// Try again after this long.
    Again {
        after: Duration,
        error: String,
    },
    /// Not to be tried again.
    Failed {
        error: String,
    },
}

impl Ended {
    /// The row's state, the wait before the next try, the error.
    pub(super) fn stored(&self) -> (&'static str, Option<Duration>, Option<String>) {
        match self {
            Self::Delivered => ("delivered", None, None),
            Self::Again { after, error } => ("pending", Some(*after), Some(short(error))),
            Self::Failed { error } => ("failed", None, Some(short(error))),
        }
    }
}

/// What one who sends has room for.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// Notices to take, at most.
    pub total: usize,
    /// Notices on their way to one destination at once, at most: one that hangs must not hold up the others.
    pub each: usize,
    /// How many are on their way already, by destination.
    pub sending: HashMap<String, usize>,
}

impl Room {
    /// For so many, wherever they go.
    pub fn of(total: usize) -> Self {
        Self { total, each: total, sending: HashMap::new() }
    }

    /// The destinations on the way to which something is, and how much more they take.
    fn left(&self) -> (Vec<String>, Vec<i64>) {
        let left = |(to, sending): (&String, &usize)| (to.clone(), self.each.saturating_sub(*sending) as i64);
        self.sending.iter().map(left).unzip()
    }
}

/// Longer errors are cut: they are for people.
const ERROR_LIMIT: usize = 2000;

/// An error as the row keeps it.
pub(super) fn short(error: &str) -> String {
    error.replace('\0', "\u{fffd}").chars().take(ERROR_LIMIT).collect()
}

/// Takes notices of one kind that are due and there is room for, the longest due first, for `lease`. Several schedulers take
/// different ones.
///
/// A row whose content this binary cannot read is marked failed with the reason, so that it does not come again and again.
/// Called by each scheduler when the bell rings, when one is due and every few seconds; `outbox_due_idx` serves it, destination
/// by destination.
pub async fn claim(store: &Store, kind: &str, room: &Room, lease: Duration) -> Result<Vec<Claimed>, StoreError> {
    let claimed_by = Uuid::new_v4();
    let (busy, left) = room.left();
    let rows = sqlx::query!(
        r#"with recursive place (destination) as (
               (select destination from outbox where state = 'pending' and kind = $1 order by destination limit 1)
               union all
               select (select o.destination from outbox o
                       where o.state = 'pending' and o.kind = $1 and o.destination > p.destination
                       order by o.destination limit 1)
               from place p where p.destination is not null
           ), due as (
               select k.key from place p
               left join unnest($5::text[], $6::bigint[]) as b (destination, rest) on b.destination = p.destination
               cross join lateral (
                   select o.key, o.due_at from outbox o
                   where o.state = 'pending' and o.kind = $1 and o.destination = p.destination and o.due_at <= now()
                   order by o.due_at limit coalesce(b.rest, $7::bigint) for update skip locked
               ) k
               where p.destination is not null
               order by k.due_at limit $2
           )
           update outbox o
           set tries = o.tries + 1, due_at = now() + $3::interval, claimed_by = $4
           from due where o.key = due.key
           returning o.key as "key!", o.destination as "destination!", o.dag_run_id as "dag_run_id!", o.action as "action!", o.facts as "facts!",
                     o.tries as "tries!",
                     (extract(epoch from now() - coalesce(o.retried_at, o.created_at)) * 1000)::bigint as "age_ms!""#,
        kind,
        room.total as i64,
        interval(lease),
        claimed_by,
        &busy,
        &left,
        room.each as i64
    )
    .fetch_all(store.pool())
    .await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        let claim = Claim { key: row.key, claimed_by };
        let read =
            serde_json::from_value(row.action).and_then(|action| Ok((action, serde_json::from_value(row.facts)?)));
        let (action, facts) = match read {
            Ok(read) => read,
            Err(error) => {
                let error = format!("the stored notice cannot be read: {error}");
                mark(store.pool(), claim, &Ended::Failed { error }).await?;
                continue;
            }
        };
        claimed.push(Claimed {
            claim,
            destination: row.destination,
            dag_run_id: row.dag_run_id,
            action,
            facts,
            tries: row.tries.unsigned_abs(),
            age: Duration::from_millis(u64::try_from(row.age_ms).unwrap_or(0)),
        });
    }
    Ok(claimed)
}

/// Says what became of a claimed notice. `false`: the claim's time had passed and somebody else took it; their word counts.
pub async fn mark(executor: impl PgExecutor<'_>, claim: Claim, ended: &Ended) -> Result<bool, StoreError> {
    let (state, after, error) = ended.stored();
    let marked = sqlx::query!(
        "update outbox
         set state = $3, claimed_by = null, last_error = coalesce($5, last_error),
             due_at = case when $3 = 'pending' then now() + $4::interval else due_at end,
             ended_at = case when $3 <> 'pending' then now() end
         where key = $1 and claimed_by = $2 and state = 'pending'",
        claim.key,
        claim.claimed_by,
        state,
        interval(after.unwrap_or_default()),
        error
    )
    .execute(executor)
    .await?;
    Ok(marked.rows_affected() > 0)
}

/// How long until the next notice of a kind is due that there is room for, milliseconds; `None`: there is none.
/// `outbox_due_idx` serves it.
pub async fn next_due(executor: impl PgExecutor<'_>, kind: &str, room: &Room) -> Result<Option<u64>, StoreError> {
    let (busy, left) = room.left();
    let full: Vec<String> = busy.into_iter().zip(left).filter(|(_, left)| *left == 0).map(|(to, _)| to).collect();
    let ms = sqlx::query_scalar!(
        r#"select (extract(epoch from min(due_at) - now()) * 1000)::bigint as "ms" from outbox
           where state = 'pending' and kind = $1 and not destination = any($2)"#,
        kind,
        &full
    )
    .fetch_one(executor)
    .await?;
    Ok(ms.map(|ms| u64::try_from(ms).unwrap_or(0)))
}

/// What came of asking for a notice again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It is due now, and has its whole time before it.
    Again,
    /// It has not failed.
    NotFailed,
    NoNotice,
}

/// Makes a notice that failed due again, with the same key. The caller rings
/// [`Signal::Outbox`](crate::wake::Signal::Outbox) after the commit.
///
/// Called when a person asks; `outbox_pkey` serves it.
pub async fn retry(connection: &mut PgConnection, key: Uuid) -> Result<Retried, StoreError> {
    let found = sqlx::query_scalar!("select state from outbox where key = $1 for update", key)
        .fetch_optional(&mut *connection)
        .await?;
    match found.as_deref() {
        None => return Ok(Retried::NoNotice),
        Some("failed") => {}
        Some(_) => return Ok(Retried::NotFailed),
    }
    sqlx::query!(
        "update outbox
         set state = 'pending', tries = 0, due_at = now(), retried_at = now(), ended_at = null, claimed_by = null, attempt_id = null
         where key = $1",
        key
    )
    .execute(connection)
    .await?;
    Ok(Retried::Again)
}

/// Deletes what ended before `before` ago; a few thousand rows at most, the next call takes the rest. `outbox_ended_idx`.
pub async fn prune(store: &Store, before: Duration) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from outbox where key in (
             select key from outbox where ended_at < now() - $1::interval order by ended_at limit 5000)",
        interval(before)
    )
    .execute(store.pool())
    .await?;
    Ok(deleted.rows_affected())
}
