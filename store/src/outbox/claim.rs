//! Taking notices to send them, and saying what became of them.

use std::time::Duration;

use sqlx::PgExecutor;
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

/// Longer errors are cut: they are for people.
const ERROR_LIMIT: usize = 2000;

/// An error as the row keeps it.
pub(super) fn short(error: &str) -> String {
    error.replace('\0', "\u{fffd}").chars().take(ERROR_LIMIT).collect()
}

/// Takes up to `limit` notices of one kind that are due, for `lease`. Several schedulers take different ones.
///
/// A row whose content this binary cannot read is marked failed with the reason, so that it does not come again and again.
/// Called by each scheduler when the bell rings, when one is due and every few seconds; `outbox_due_idx` serves it.
pub async fn claim(store: &Store, kind: &str, limit: i64, lease: Duration) -> Result<Vec<Claimed>, StoreError> {
    let claimed_by = Uuid::new_v4();
    let rows = sqlx::query!(
        r#"with due as (
               select key from outbox where state = 'pending' and kind = $1 and due_at <= now()
               order by due_at limit $2 for update skip locked
           )
           update outbox o
           set tries = o.tries + 1, due_at = now() + $3::interval, claimed_by = $4
           from due where o.key = due.key
           returning o.key as "key!", o.dag_run_id as "dag_run_id!", o.action as "action!", o.facts as "facts!",
                     o.tries as "tries!", (extract(epoch from now() - o.created_at) * 1000)::bigint as "age_ms!""#,
        kind,
        limit,
        interval(lease),
        claimed_by
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

/// How long until the next notice of a kind is due, milliseconds; `None`: there is none. `outbox_due_idx` serves it.
pub async fn next_due(executor: impl PgExecutor<'_>, kind: &str) -> Result<Option<u64>, StoreError> {
    let ms = sqlx::query_scalar!(
        r#"select (extract(epoch from min(due_at) - now()) * 1000)::bigint as "ms" from outbox
           where state = 'pending' and kind = $1"#,
        kind
    )
    .fetch_one(executor)
    .await?;
    Ok(ms.map(|ms| u64::try_from(ms).unwrap_or(0)))
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
